"""Blocking, to the letter: what stops both ways, what the other's node is told, and what it costs them."""

from __future__ import annotations

import pytest

from node import ids
from node.chat import commands as c, events
from node.chat.notes import Note, token_of
from node.chat.room import Room
from node.crypto.channel import inbox_channel
from node.crypto.prekeys import seal_request
from node.crypto.roomitem import open_item, parse_item
from node.sim import SimNode, SimSession, Simulation
from node.tables import Table
from node.wire import envelope
from node.wire.payload import Type, decode
from tests.engine.hostile import (
    direct,
    engine_of,
    give,
    no_late_faults,
    post,
    room_inner,
    room_of,
    sending,
    text,
)
from tests.engine.test_contact_requests import both, club, names, refused, state_of
from tests.engine.test_history import world_of
from tests.engine.worlds import befriend, invite, texts


def friends(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """Ann and Bob are contacts, in a room of Cat's."""
    world, ann, bob, cat, room = club(seed)
    befriend(world, ann, bob)
    world.run(3)
    return world, ann, bob, cat, room


def facts(node: SimNode, name: str) -> tuple[bool, bool]:
    rows = {row["username"]: row for row in node.call(c.ContactList())["contacts"]}
    profile = node.call(c.ProfileGet(username=name))
    said: tuple[bool, bool] = (profile["blocked"], profile["blocked_by"])
    if name in rows:
        assert (rows[name]["blocked"], rows[name]["blocked_by"]) == said
    return said


def about(session: SimSession, name: str) -> list[events.Event]:
    """Return what a frontend was told of a person since it came, the owner's own doing aside."""
    told = [e for e in session.seen if getattr(e, "username", getattr(e, "sender", None)) == name]
    return [e for e in told if not isinstance(e, events.ContactUpdated | events.ContactAdded)]


def test_nobody_can_be_blocked_who_is_not_known() -> None:
    world = Simulation("nobody")
    ann = world.add("ann")
    for command in (c.ContactBlock(username="bob"), c.ContactUnblock(username="bob")):
        assert refused(ann, command) == "unknown_user"
    assert refused(ann, c.ContactBlock(username="ann")) == "invalid"


@pytest.mark.parametrize("silent", [False, True])
def test_nothing_of_a_blocked_contact_reaches_a_frontend_and_unblocking_brings_nothing_late(
    silent: bool,
) -> None:
    world, ann, bob, cat, room = friends(f"block {silent}")
    dm = ann.call(c.DmOpen(username="bob"))["room"]
    assert bob.call(c.DmOpen(username="ann"))["room"] == dm
    bob.call(c.UserMessage(room=dm, message="before"))
    world.run(3)
    own = ann.attach(plain=False)
    assert ann.call(c.ContactBlock(username="bob", silent=silent))["blocked"]
    world.run(5)
    assert facts(ann, "bob") == (True, False) and facts(bob, "ann") == (False, not silent)
    assert [(e.username, e.blocked) for e in own.of(events.ContactUpdated)] == [("bob", True)]
    session, at_cat = ann.attach(plain=False), cat.attach(plain=False)
    if silent:
        bob.call(c.UserMessage(room=dm, message="direct"))
    other = bob.call(c.RoomCreate(name="other"))["room"]
    for command in (c.UserMessage(room=dm, message="direct"), c.UserInvite(target="ann", room=other)):
        if silent:
            bob.call(command)
        else:
            assert refused(bob, command) == "blocked"
    bob.call(c.UserMessage(room=room, message="hidden"))
    bob.call(c.TypingSet(room=room, typing=True))
    bob.call(c.ProfileSet(status="look at me"))
    world.run(5)
    cat.call(c.UserMessage(room=room, message="seen"))
    world.run(100)
    bob.crash()
    world.run(400)
    bob.start()
    world.run(80)
    assert about(session, "bob") == []
    assert texts(session) == ["seen"] and texts(at_cat) == ["hidden", "seen"]
    ann.crash()
    ann.start()
    world.run(5)
    assert facts(ann, "bob") == (True, False)
    session = ann.attach(plain=False)
    bob.call(c.UserMessage(room=room, message="hidden too"))
    cat.call(c.UserMessage(room=room, message="after the kill"))
    world.run(100)
    assert texts(session) == ["after the kill"]
    ann.call(c.ContactUnblock(username="bob"))
    world.run(70)
    assert facts(bob, "ann") == (False, False)
    bob.call(c.UserMessage(room=room, message="heard"))
    bob.call(c.UserMessage(room=dm, message="heard here too"))
    world.run(100)
    assert texts(session) == ["after the kill", "heard", "heard here too"]
    ann.crash()
    ann.start()
    session = ann.attach(plain=False)
    bob.call(c.UserMessage(room=room, message="and again"))
    world.run(100)
    assert texts(session) == ["and again"]
    ann.call(c.UserMessage(room=dm, message="back to you"))
    world.run(5)
    no_late_faults(ann, bob, cat)


def test_an_honest_node_refuses_to_send_to_who_blocked_it_and_the_blocker_does_not_send_either() -> None:
    world, ann, bob, _, room = friends("refuses")
    dm = ann.call(c.DmOpen(username="bob"))["room"]
    assert bob.call(c.DmOpen(username="ann"))["room"] == dm
    seen = bob.attach(plain=False)
    ann.call(c.ContactBlock(username="bob"))
    world.run(3)
    assert [(e.username, e.blocked_by) for e in seen.of(events.ContactUpdated)] == [("ann", True)]
    for node, name in ((ann, "bob"), (bob, "ann")):
        new = node.call(c.RoomCreate(name="new"))["room"]
        assert refused(node, c.UserMessage(room=dm, message="no")) == "blocked"
        assert refused(node, c.UserInvite(target=name, room=new)) == "blocked"
        assert refused(node, c.ContactRequest(username=name)) == "blocked"
        assert not node.call(c.TypingSet(room=dm, typing=True))["told"]
        node.call(c.UserMessage(room=room, message="rooms go on"))
    assert not ann.call(c.TypingSet(room=room, typing=True))["told"]
    members = {row["username"]: row for row in bob.call(c.RoomGet(room=dm))["members"]}
    assert members["ann"]["blocked_by"] and not members["ann"]["blocked"]
    bob.crash()
    bob.start()
    assert refused(bob, c.UserMessage(room=dm, message="no")) == "blocked"


def test_a_blocked_one_cannot_see_when_we_are_here_and_contacts_still_can() -> None:
    world, ann, bob, cat, _ = friends("presence")
    ann.attach()
    world.run(65)
    ann.call(c.ContactBlock(username="bob"))
    world.run(5)
    ours = engine_of(ann).state.me.profile.presence_cs
    account = ann.setup.identity.account
    assert engine_of(bob).state.people.by_account[account].presence_cs != ours
    assert engine_of(cat).state.people.by_account[account].presence_cs == ours
    session = bob.attach(plain=False)
    world.run(200)
    shown = [e.presence for e in session.of(events.Presence) if e.username == "ann"]
    assert shown == ["offline"]
    rows = {row["username"]: row["presence"] for row in ann.call(c.ContactList())["contacts"]}
    assert rows["bob"] == "offline"
    ann.call(c.ContactUnblock(username="bob"))
    world.run(100)
    assert engine_of(bob).state.people.by_account[account].presence_cs == ours
    no_late_faults(ann, bob, cat)


def test_a_co_member_who_is_no_contact_is_blocked_with_their_request_and_open_invites() -> None:
    world, ann, bob, _, _ = club("no contact")
    session = ann.attach(plain=False)
    theirs = bob.call(c.RoomCreate(name="theirs"))["room"]
    bob.call(c.UserInvite(target="ann", room=theirs))
    bob.call(c.ContactRequest(username="ann"))
    ours = ann.call(c.RoomCreate(name="ours"))["room"]
    ann.call(c.UserInvite(target="bob", room=ours))
    world.run(5)
    assert state_of(ann, "bob") == "incoming"
    ann.call(c.ContactBlock(username="bob"))
    world.run(5)
    assert both(ann, bob) == ("none", "none")
    assert sorted(e.response for e in session.of(events.InviteResult))[:2] == ["cancelled", "delivered"]
    assert not [i for i in engine_of(ann).state.invites.all.values() if i.live]
    assert refused(ann, c.ContactReject(username="bob")) == "request_not_found"
    rows = {row["username"]: row for row in ann.call(c.ContactList())["contacts"]}
    assert rows["bob"]["blocked"] and rows["bob"]["state"] == "none"


def note(teller: SimNode, to: SimNode, kind: Note, **changes: object) -> bytes:
    """Return the inner of a note as the teller's keys make it."""
    me = engine_of(teller).state.me
    turn = engine_of(teller)._turn(teller.now())
    fields: dict[str, object] = {
        "cert": me.cert,
        "devices": me.devices,
        "bundle": me.bundle(turn),
        "node_record": b"",
        "name": teller.name,
        "token": token_of(kind),
        "ts_ms": teller.now().wall_ms,
        "hello": "" if kind is Note.ASKED else str((1 << 64) - 1),
        "to_account": to.setup.identity.account,
        "to_intro": to.setup.identity.intro_pub,
        "entropy": teller.setup.entropy,
    }
    return seal_request(me.identity, **{**fields, **changes})  # type: ignore[arg-type]


def rows_of(node: SimNode) -> dict[bytes, object]:
    return dict(engine_of(node).state.people.by_account)


def test_what_a_dishonest_blocked_one_sends_reaches_no_frontend() -> None:
    world, ann, bob, cat, room = friends("dishonest")
    ann.call(c.ContactBlock(username="bob"))
    world.run(5)
    session = ann.attach(plain=False)
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    direct(bob, ann, Type.TEXT, ["direct", "text", None])
    direct(bob, ann, Type.INVITE, [bytes(16), bytes(16), bytes(32), "r", "room", "{}", bob.now().wall_ms * 2])
    for kind in (Note.ASKED, Note.ACCEPTED, Note.CANCELLED, Note.BLOCKED, Note.UNBLOCKED):
        world.run(1)
        post(bob, inbox, note(bob, ann, kind))
    held = sending(bob)
    chain = held.send
    assert chain is not None
    room_inner(bob, text(bob, "lost"))
    post(bob, held.channel, room_inner(bob, text(bob, "not shown")))
    world.run(200)
    assert about(session, "bob") == [] and texts(session) == []
    assert [e for e in session.of(events.UserMessage) if e.kind == "unreadable"] == []
    assert [i for i in ann.call(c.InviteList())["invites"] if i["sender"] == "bob"] == []
    cat.call(c.UserMessage(room=room, message="still here"))
    world.run(100)
    assert [m for m in texts(session) if m] == ["still here"]
    no_late_faults(ann, cat)


def test_what_a_blocked_one_asks_is_opened_and_changes_and_makes_us_say_nothing() -> None:
    world, ann, bob, _, _ = friends("costs nothing")
    ann.call(c.ContactBlock(username="bob", silent=True))
    world.run(5)

    def kept() -> dict[tuple[str, bytes], bytes]:
        tables = {Table.PEOPLE, Table.REQUESTS, Table.ROOMS, Table.INVITES}
        return {key: value for key, value in ann.store._state.rows.items() if key[0] in tables}

    before, held = kept(), len(ann.store._state.held)
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    for _ in range(5):
        post(bob, inbox, note(bob, ann, Note.ASKED))
        post(bob, inbox, note(bob, ann, Note.ACCEPTED))
        post(bob, inbox, note(bob, ann, Note.ASKED, token=None))
        direct(bob, ann, Type.TEXT, ["direct", "text", None])
        world.run(1)
    assert kept() == before
    assert len(ann.store._state.held) == held + 20
    no_late_faults(ann)


def test_forged_and_repeated_notes_change_nothing() -> None:
    world, ann, bob, cat, _ = friends("forged")
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    old = [note(bob, ann, Note.BLOCKED), note(bob, ann, Note.REMOVED)]
    world.run(1)
    for kind in (Note.UNBLOCKED, Note.ASKED):
        post(bob, inbox, note(bob, ann, kind))
    world.run(2)
    before = rows_of(ann)
    session = ann.attach(plain=False)
    forged = [note(cat, ann, Note.REMOVED, cert=engine_of(bob).state.me.cert)]
    forged.append(note(bob, cat, Note.BLOCKED))
    for inner in (*old, *forged):
        post(cat, inbox, inner)
    world.run(5)
    assert rows_of(ann) == before
    assert about(session, "bob") == [] and state_of(ann, "bob") == "contact"
    assert names(session, events.ContactUpdated) == []
    no_late_faults(ann)


def test_what_comes_late_of_a_blocked_one_takes_its_placeholder_away_and_shows_nothing() -> None:
    world, ann, bob, cat, room = friends("late")
    session = ann.attach(plain=False)
    held = sending(bob)
    withheld = room_inner(bob, text(bob, "came late"))
    post(bob, held.channel, room_inner(bob, text(bob, "after it")))
    world.run(100)
    (gone,) = [e for e in session.of(events.UserMessage) if e.kind == "unreadable"]
    ann.call(c.ContactBlock(username="bob"))
    post(bob, held.channel, withheld)
    world.run(20)
    (healed,) = session.of(events.MessageHealed)
    assert (healed.placeholder, healed.missing) == (gone.id, 0)
    assert not healed.id and not healed.message
    assert "came late" not in texts(session)
    ann.crash()
    ann.start()
    session = ann.attach(plain=False)
    ann.call(c.ContactUnblock(username="bob"))
    cat.call(c.UserMessage(room=room, message="go on"))
    world.run(100)
    assert texts(session) == ["go on"]
    no_late_faults(ann, cat)


def test_a_blocked_contact_can_be_removed_and_stays_blocked() -> None:
    world, ann, bob, _, _ = friends("removed too")
    session = ann.attach(plain=False)
    ann.call(c.ContactBlock(username="bob"))
    ann.call(c.ContactRemove(username="bob"))
    world.run(3)
    assert names(session, events.ContactRemoved) == ["bob"]
    assert both(ann, bob) == ("none", "none") and facts(ann, "bob") == (True, False)
    ann.call(c.ContactUnblock(username="bob"))
    world.run(3)
    bob.call(c.ContactRequest(username="ann"))
    world.run(3)
    assert both(bob, ann) == ("requested", "incoming")


def test_a_newcomer_is_not_shown_what_somebody_it_blocked_said_before() -> None:
    world, ann, bob, cat, _ = friends("history")
    kept = cat.call(c.RoomCreate(name="kept", history=50))["room"]
    invite(world, cat, bob, kept)
    bob.call(c.UserMessage(room=kept, message="of bob"))
    cat.call(c.UserMessage(room=kept, message="of cat"))
    world.run(3)
    ann.call(c.ContactBlock(username="bob"))
    session = invite(world, cat, ann, kept)
    world.run(60)
    assert texts(session) == ["of cat"]
    no_late_faults(ann, cat)


def test_what_a_blocked_member_says_with_a_time_to_live_is_over_in_silence() -> None:
    world, ann, bob, cat, room = friends("blocked ttl")
    ann.call(c.ContactBlock(username="bob"))
    world.run(3)
    session = ann.attach(plain=False)
    bob.call(c.UserMessage(room=room, message="@ann burn this", ttl=30))
    world.run(60)
    assert about(session, "bob") == [] and session.of(events.MessageDeleted) == []
    assert not [key for key in ann.store.load().rows["pending"] if key[:1] == b"M"]


@pytest.mark.parametrize("late", [False, True])
def test_what_a_blocked_member_takes_back_or_lets_expire_is_given_to_no_newcomer(late: bool) -> None:
    world, ann, bob, cat, room = world_of(f"blocked history {late}", 50)
    ann.call(c.ContactBlock(username="bob"))
    world.run(3)
    world.partition(["ann"], ["bob", "cat"])
    world.run(1)
    before = set(bob.store._state.held)
    mid = bob.call(c.UserMessage(room=room, message="taken back"))["id"]
    bob.call(c.MessageDelete(room=room, id=mid))
    bob.call(c.UserMessage(room=room, message="short", ttl=20))
    bob.call(c.UserMessage(room=room, message="stays"))
    made = [envelope.parse(one.raw) for key, one in bob.store._state.held.items() if key not in before]
    give(ann, [made[1], made[0], *made[2:]] if late else made)
    bob.crash()
    world.heal()
    world.run(30)
    kept = [read_item(room_of(ann), item) for item in room_of(ann).kept.items()]
    assert kept == ["stays"]
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: texts(seen) == ["stays"], 60)
    no_late_faults(ann, cat)


def read_item(room: Room, raw: bytes) -> str:
    item = parse_item(raw)
    author = room.log.device(item.msg.core.device16)
    assert author is not None
    return str(decode(open_item(item, author.dsk)).body[0])


def test_blocking_somebody_works_where_an_open_invite_of_theirs_cannot_be_revoked() -> None:
    world, ann, bob, cat, _ = friends("block without keys")
    rooms = [ann.call(c.RoomCreate(name=name))["room"] for name in ("one", "two")]
    for name in rooms:
        ann.call(c.UserInvite(target="bob", room=name))
    world.run(2)
    inbox = engine_of(ann).state.rooms.inboxes[ids.parse(rooms[0])]
    inbox.room.epochs.held.clear()  # as in a restored home, until a member has given them
    assert ann.call(c.ContactBlock(username="bob"))["blocked"]
    rows = ann.call(c.InviteList())["invites"]
    assert [row["state"] for row in rows if row["room"] in rooms] == ["cancelled", "cancelled"]


def test_a_read_position_names_what_was_shown_and_nothing_hidden() -> None:
    world, ann, bob, cat, room = friends("read to")
    shown = cat.call(c.UserMessage(room=room, message="seen"))["id"]
    world.run(3)
    ann.call(c.ContactBlock(username="bob"))
    bob.call(c.UserMessage(room=room, message="hidden"))
    world.run(5)
    session = ann.attach(plain=False)
    ann.call(c.RoomRead(room=room), session)
    assert [event.read_to for event in session.of(events.RoomUpdated)] == [shown]

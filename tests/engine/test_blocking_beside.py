"""Blocking beside what else messages have: receipts, changes, times to live, announcements, presence."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from node.chat import commands as c, events
from node.sim import Simulation
from node.wire.payload import Payload, Type
from tests.engine.hostile import direct, later_on, no_late_faults, post, room_inner, sending, text
from tests.engine.test_blocking import about, friends
from tests.engine.test_receipts import ask, count_receipts, say, statuses, why
from tests.engine.worlds import befriend, texts


@pytest.mark.attack("A33")
@pytest.mark.parametrize("silent", [False, True])
def test_who_is_blocked_gets_no_receipts_and_none_of_theirs_count(silent: bool) -> None:
    world, ann, bob, _, room = friends(f"receipts {silent}")
    dm = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    first, second = say(bob, room), say(bob, dm)
    own = say(ann, dm)
    world.run(8)
    assert why(world, bob, first)["ann"][0] == why(world, bob, second)["ann"][0] == "delivered"
    ann.call(c.ContactBlock(username="bob", silent=silent))
    world.run(5)
    from_ann, from_bob, session = count_receipts(ann), count_receipts(bob), ann.attach()
    for place in (room, dm):
        ann.call(c.RoomRead(room=place))
    ask(world, ann, c.MessageRead(room=room, id=first))
    mine, theirs = say(ann, room), say(bob, room)
    world.run(20)
    bob.call(c.RoomRead(room=room))
    bob.call(c.RoomRead(room=dm))
    world.run(20)
    assert from_ann == [] and bool(from_bob) == silent
    told = statuses(session, mine)
    assert told and "bob" not in {by for _, by in told} and statuses(session, own) == []
    assert why(world, ann, mine)["bob"][0] == "held" and "you blocked them" in why(world, ann, mine)["bob"][1]
    assert ("they have blocked you" in why(world, bob, theirs)["ann"][1]) != silent
    ann.crash()
    ann.start()
    world.run(20)
    ann.call(c.RoomRead(room=room))
    world.run(20)
    assert why(world, bob, first)["ann"][0] == "delivered" and why(world, bob, theirs)["ann"][0] == "held"
    no_late_faults(ann, bob)


def test_what_somebody_blocked_changes_or_announces_in_a_room_is_not_shown_nor_counted() -> None:
    world, ann, bob, cat, room = friends("changes")
    old = say(bob, room, "old words")
    world.run(3)
    of_cat = say(cat, room, "of cat")
    world.run(5)
    ann.call(c.RoomRead(room=room))
    cat.call(c.MemberRole(room=room, username="bob", role="admin"))
    world.run(3)
    ann.call(c.ContactBlock(username="bob", silent=True))
    world.run(5)
    session = ann.attach(plain=False)
    ask(world, bob, c.MessageEdit(room=room, id=old, message="@ann other words"))
    ask(world, bob, c.ReactionSet(room=room, id=of_cat, emoji="like"))
    bob.call(c.AnnouncementSend(room=room, text="announced"))
    hidden = say(bob, room, "@ann hidden words")
    ask(world, bob, c.MessageEdit(room=room, id=hidden, message="@ann hidden too"))
    bob.call(c.TypingSet(room=room, typing=True))
    world.run(30)
    assert about(session, "bob") == [] and session.of(events.Notification) == []
    rows = {row["room"]: row for row in ann.call(c.RoomList())["rooms"]}
    assert rows[room]["unread"] == 0 and rows[room]["last_message"] == "of cat"
    ann.crash()
    ann.start()
    ann.call(c.ContactUnblock(username="bob"))
    world.run(10)
    history = ann.call(c.HistoryGet(room=room))["messages"]
    assert [(row["message"], row.get("reactions")) for row in history] == [
        ("old words", None),
        ("of cat", None),
    ]
    assert not ann.call(c.Search(text="hidden"))["messages"]
    no_late_faults(ann, cat)


def test_a_change_made_while_blocked_does_not_come_to_life_when_its_message_is_read_after_that() -> None:
    world, ann, bob, cat, room = friends("not made good")
    old = say(bob, room, "old words")
    world.run(5)
    ann.call(c.ContactBlock(username="bob", silent=True))
    world.run(2)
    ask(world, bob, c.MessageEdit(room=room, id=old, message="other words"))
    world.run(5)
    ann.call(c.ContactUnblock(username="bob"))
    for session_of in (ann, cat):
        ask(world, session_of, c.ReactionSet(room=room, id=old, emoji="like"))
    world.run(5)
    (row,) = ann.call(c.HistoryGet(room=room))["messages"]
    assert row["message"] == "old words" and row["reactions"][0]["count"] == 2
    assert cat.call(c.HistoryGet(room=room))["messages"][0]["message"] == "other words"


def test_nobody_hears_when_what_somebody_blocked_said_for_a_time_goes() -> None:
    world, ann, bob, _, room = friends("ttl")
    dm = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    ann.call(c.ContactBlock(username="bob", silent=True))
    world.run(5)
    session = ann.attach(plain=False)
    for place in (room, dm):
        bob.call(c.UserMessage(room=place, message="gone soon", ttl=20))
    world.run(5)
    ann.crash()
    ann.start()
    session = ann.attach(plain=False)
    world.run(60)
    assert session.of(events.MessageDeleted) == [] and texts(session) == []


def test_who_is_heard_again_is_shown_as_they_are_to_frontends_that_came_meanwhile() -> None:
    world, ann, bob, _, _ = friends("back")
    ann.attach()
    bob.attach()
    world.run(70)
    ann.call(c.ContactBlock(username="bob", silent=True))
    world.run(70)
    session = ann.attach(plain=False)
    rows = {row["username"]: row["presence"] for row in ann.call(c.ContactList())["contacts"]}
    assert rows["bob"] == "offline"
    ann.call(c.ContactUnblock(username="bob"))
    world.run(70)
    rows = {row["username"]: row["presence"] for row in ann.call(c.ContactList())["contacts"]}
    assert rows["bob"] == "online"
    assert [e.state for e in session.of(events.Presence) if e.username == "bob"] == ["online"]


def test_a_message_held_back_before_its_author_was_blocked_is_never_shown_nor_unread() -> None:
    world, ann, bob, _, _ = friends("held back")
    dm = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    say(bob, dm, "before")
    world.run(5)
    ann.call(c.RoomRead(room=dm))
    direct(bob, ann, Type.TEXT, ["held back", "text", None])
    session = ann.attach(plain=False)
    ann.call(c.ContactBlock(username="bob", silent=True))
    world.run(200)
    ann.call(c.ContactUnblock(username="bob"))
    world.run(200)
    assert texts(session) in ([], ["held back"])  # shown before the block, or never
    assert [row["unread"] for row in ann.call(c.RoomList())["rooms"] if row["room"] == dm] == [
        len(texts(session))
    ]


def test_an_announcement_to_contacts_goes_to_nobody_who_blocked_us() -> None:
    world, ann, bob, _, _ = friends("announce")
    befriended = bob.call(c.AnnouncementSend(contacts=True, text="one"))["recipients"]
    ann.call(c.ContactBlock(username="bob"))
    world.run(15)
    assert bob.call(c.AnnouncementSend(contacts=True, text="two"))["recipients"] == befriended - 1


def test_a_restored_home_still_hides_mutes_and_knows_how_far_it_had_read() -> None:
    world, ann, bob, cat, room = friends("restored")
    dm = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    mine = say(ann, dm)
    old = [say(cat, room, f"m{n}") for n in range(3)]
    world.run(8)
    ask(world, ann, c.MessageRead(room=room, id=old[1]))
    ann.call(c.RoomMute(room=room))
    ann.call(c.ReceiptsSet(read=False))
    ann.call(c.ContactBlock(username="bob"))
    world.run(5)
    say(bob, room, "hidden")
    world.run(5)
    records = ann.backup()
    ann.crash()
    anns = world.restore("anns", records, peers=["cat"])
    anns.start()
    session = anns.attach(plain=False)
    world.run(60)
    say(bob, room, "hidden too")
    last = say(cat, room, "seen")
    world.run(60)
    assert [m for m in texts(session) if m] == ["seen"] and about(session, "bob") == []
    rows = {row["room"]: row for row in anns.call(c.RoomList())["rooms"]}
    assert rows[room]["muted"] and rows[room]["unread"] == 2
    assert anns.call(c.ReceiptsGet())["read"] is False
    assert why(world, anns, mine)["bob"][0] == "delivered"
    assert ask(world, anns, c.MessageRead(room=room, id=last))["unread"] == 0
    no_late_faults(anns, bob, cat)


def test_a_vault_that_was_locked_meanwhile_forgets_nothing_of_it() -> None:
    world, ann, bob, cat, room = friends("vault")
    ann.call(c.ContactBlock(username="bob", silent=True))
    ann.call(c.RoomMute(room=room, until=ann.now().wall_ms // 1000 + 30))
    session = ann.attach(plain=False)
    ann.lock()
    say(bob, room, "hidden")
    say(cat, room, "@ann seen")
    world.run(100)
    ann.start()
    world.run(60)
    assert texts(session) == ["@ann seen"] and about(session, "bob") == []
    assert [e.kind for e in session.of(events.Notification)] == ["mention"]
    assert [e.muted for e in session.of(events.RoomUpdated)] == [False]


@pytest.mark.parametrize("silent", [False, True])
def test_what_somebody_shows_of_themselves_is_taken_when_they_are_blocked_no_more(silent: bool) -> None:
    world, ann, bob, cat, _ = friends(f"profile {silent}")
    ann.attach()
    bob.attach()
    bob.call(c.ProfileSet(status="old"))
    world.run(5)
    ann.call(c.ContactBlock(username="bob", silent=silent))
    world.run(5)
    session = ann.attach(plain=False)
    later_on(world, 2, cat, ann, bob)
    session = ann.attach(plain=False)
    bob.attach()
    world.run(5)
    bob.call(c.ContactBlock(username="cat"))  # bob beats elsewhere from here on
    bob.call(c.ProfileSet(status="between"))
    world.run(5)
    bob.call(c.ProfileSet(status="new", name="Robert"))
    world.run(100)
    assert about(session, "bob") == []
    shown = ann.call(c.ProfileGet(username="bob"))
    assert (shown["status"], shown["presence"]) == ("old", "offline")
    ann.crash()
    ann.start()
    session = ann.attach(plain=False)
    ann.call(c.ContactUnblock(username="bob"))
    assert [(e.status, e.nickname) for e in session.of(events.Profile)] == [("new", "Robert")]
    world.run(70)
    shown = ann.call(c.ProfileGet(username="bob"))
    assert (shown["status"], shown["nickname"], shown["presence"]) == ("new", "Robert", "online")
    assert len(session.of(events.Profile)) == 1
    no_late_faults(ann, bob)


def test_who_was_removed_says_nothing_to_us_by_their_profile() -> None:
    world = Simulation("removed profile")
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    world.run(5)
    ann.call(c.ContactRemove(username="bob"))
    world.run(1)
    session = ann.attach(plain=False)
    before = ann.call(c.ProfileGet(username="bob"))
    direct(bob, ann, Type.PROFILE, ["bob", None, "you cannot be rid of me", None])
    world.run(5)
    assert session.of(events.Profile) == [] and ann.call(c.ProfileGet(username="bob")) == before
    befriend(world, bob, ann)
    world.run(5)
    bob.call(c.ProfileSet(status="back"))
    world.run(5)
    assert [e.status for e in session.of(events.Profile)][-1] == "back"
    no_late_faults(ann, bob)


def test_a_reaction_that_waits_for_its_message_is_not_shown_if_its_author_was_blocked_meanwhile() -> None:
    world, ann, bob, cat, room = friends("waits")
    payload = text(cat, "late")
    author = cat.setup.identity.account
    react = Payload(bytes(15) + b"r", bob.now().wall_ms, 99, Type.REACTION, [payload.mid, author, "👍", 1])
    post(bob, sending(bob).channel, room_inner(bob, react))
    world.run(3)
    ann.call(c.ContactBlock(username="bob", silent=True))
    session, at_bob = ann.attach(plain=False), bob.attach(plain=False)
    post(cat, sending(cat).channel, room_inner(cat, payload))
    world.run(5)
    (late,) = [e for e in session.of(events.UserMessage) if e.message == "late"]
    assert late.reactions is UNSET
    assert [e.message for e in at_bob.of(events.UserMessage)] == ["late"]
    no_late_faults(ann, cat)

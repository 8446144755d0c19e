"""What became of what was said: held, delivered and read, told by receipts (docs/bridge.md section 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node import ids
from node.chat import commands as c, events
from node.engine import receipts
from node.sim import CallError, SimNode, SimSession, Simulation
from node.wire.payload import Payload, Type
from tests.engine.worlds import befriend, invite, trio


def pair(seed: str = "pair") -> tuple[Simulation, SimNode, SimNode, str]:
    """Two contacts, linked, and the room of the two."""
    world = Simulation(seed)
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    return world, ann, bob, direct


def statuses(session: SimSession, mid: str) -> list[tuple[str, Any]]:
    """Return (status, by) of what a frontend was told of one message, in order."""
    told = [event for event in session.of(events.MessageStatus) if event.id == mid]
    return [(event.status, event.by if isinstance(event.by, str) else None) for event in told]


def say(node: SimNode, room: str, text: str = "hello") -> str:
    return str(node.call(c.UserMessage(room=room, message=text))["id"])


def ask(world: Simulation, node: SimNode, command: c.Command) -> dict[str, Any]:
    """Ask something that the store answers; raises CallError for an `error`."""
    session = SimSession(10_000 + len(node.sessions))
    node.sessions[session.number] = session
    try:
        node.call(command, session)
    except CallError as fault:
        if fault.code != "no_answer":
            raise
    assert world.run_until(lambda: bool(session.of(events.Ok) or session.of(events.Error)), 5)
    del node.sessions[session.number]
    for error in session.of(events.Error):
        raise CallError(error.code, error.message)
    fields: dict[str, Any] = session.of(events.Ok)[0].fields
    return fields


def why(world: Simulation, node: SimNode, mid: str) -> dict[str, tuple[str, str, int]]:
    """Return (status, why, since) by recipient, as `message_why` has it."""
    found = ask(world, node, c.MessageWhy(id=mid))
    assert found["id"] == mid
    return {row["username"]: (row["status"], row["why"], row["since"]) for row in found["recipients"]}


def comes_to(world: Simulation, node: SimNode, mid: str, wanted: dict[str, str], seconds: int) -> bool:
    """Say whether a message comes to stand so with everybody, within that time."""
    for _ in range(seconds):
        if {name: row[0] for name, row in why(world, node, mid).items()} == wanted:
            return True
        world.run(1)
    return False


def count_receipts(node: SimNode) -> list[Payload]:
    """Note every receipt that a node seals from now on."""
    sent: list[Payload] = []
    assert node.engine is not None
    dms = node.engine.state.dms
    seal = dms.seal

    def noting(turn: Any, session: Any, payload: Payload) -> bytes:
        if payload.type is Type.RECEIPT:
            sent.append(payload)
        return seal(turn, session, payload)

    dms.seal = noting  # type: ignore[method-assign]
    return sent


def test_a_message_is_delivered_and_then_read_and_both_frontends_of_its_author_see_it() -> None:
    world, ann, bob, direct = pair()
    one, other = ann.attach(), ann.attach()
    sent = ann.call(c.UserMessage(room=direct, message="hello"))
    assert sent["status"] == "sent"
    world.run(7)
    for session in (one, other):
        assert statuses(session, sent["id"]) == [("held", None), ("delivered", "bob")]
    bob.call(c.RoomRead(room=direct))
    world.run(7)
    for session in (one, other):
        assert statuses(session, sent["id"])[2:] == [("read", "bob")]
    assert why(world, ann, sent["id"])["bob"][:2] == ("read", "they have read it")


def test_a_read_position_moves_on_and_never_back_and_every_frontend_sees_it() -> None:
    world, ann, bob, direct = pair()
    mids = [say(ann, direct, f"m{n}") for n in range(4)]
    world.run(7)
    one, other = bob.attach(), bob.attach()
    assert ask(world, bob, c.MessageRead(room=direct, id=mids[1])) == {
        "room": direct, "id": mids[1], "unread": 2,
    }  # fmt: skip
    for session in (one, other):
        told = session.of(events.RoomUpdated)
        assert [(e.room, e.unread, e.read_to) for e in told] == [(direct, 2, mids[1])]
    assert ask(world, bob, c.MessageRead(room=direct, id=mids[0]))["unread"] == 2
    assert len(one.of(events.RoomUpdated)) == 1
    bob.crash()
    bob.start()
    rows = {row["room"]: row["unread"] for row in bob.call(c.RoomList())["rooms"]}
    assert rows[direct] == 2
    assert ask(world, bob, c.RoomRead(room=direct, id=mids[2]))["unread"] == 1
    assert bob.call(c.RoomRead(room=direct))["unread"] == 0


def test_own_messages_do_not_count_as_unread() -> None:
    world, ann, bob, direct = pair()
    say(ann, direct)
    say(bob, direct)
    world.run(7)
    assert [row["unread"] for row in bob.call(c.RoomList())["rooms"] if row["room"] == direct] == [1]


def test_what_is_read_in_part_is_told_in_part() -> None:
    world, ann, bob, direct = pair()
    session = ann.attach()
    mids = [say(ann, direct, f"m{n}") for n in range(3)]
    world.run(7)
    ask(world, bob, c.MessageRead(room=direct, id=mids[1]))
    world.run(7)
    assert [mid for mid in mids if ("read", "bob") in statuses(session, mid)] == mids[:2]


def test_a_message_to_somebody_who_is_away_is_held_and_comes_later() -> None:
    world, ann, bob, _cat, _room = trio("away")
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    session = ann.attach()
    bob.crash()
    mid = say(ann, direct)
    assert world.run_until(lambda: statuses(session, mid) == [("held", None)], 5)
    world.run(200)
    status, text, since = why(world, ann, mid)["bob"]
    assert status == "held" and "offline" in text and since
    bob.start()
    assert world.run_until(lambda: ("delivered", "bob") in statuses(session, mid), 30)


def test_what_was_said_without_a_link_is_queued_until_a_peer_has_it() -> None:
    world, ann, bob, _cat, _room = trio("alone")
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    session = ann.attach()
    world.partition({"ann"}, {"bob", "cat"})
    world.run(1)
    sent = ann.call(c.UserMessage(room=direct, message="hello"))
    assert sent["status"] == "queued"
    assert why(world, ann, sent["id"])["bob"][:2] == ("queued", "this node has no link to any other")
    bob.crash()
    world.heal()
    assert world.run_until(lambda: statuses(session, sent["id"]) == [("held", None)], 60)


def test_a_first_message_waits_for_a_session_and_says_so() -> None:
    world = Simulation("first")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    cat = world.add("cat", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    befriend(world, ann, cat)
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    invite(world, ann, cat, room)
    world.run(5)
    cat.crash()
    direct = bob.call(c.DmOpen(username="cat"))["room"]
    session = bob.attach()
    sent = bob.call(c.UserMessage(room=direct, message="hello"))
    assert sent["status"] == "queued"
    assert statuses(session, sent["id"]) == [("queued", None)]
    assert why(world, bob, sent["id"])["cat"][:2] == (
        "queued", "there is no session with them yet: their node has to answer first",
    )  # fmt: skip
    bob.crash()
    bob.start()
    session = bob.attach()
    cat.start()
    assert world.run_until(lambda: ("held", None) in statuses(session, sent["id"]), 120)
    assert statuses(session, sent["id"])[0] == ("sent", None)


def test_in_a_room_each_member_who_is_a_contact_is_told_of_by_name() -> None:
    world = Simulation("named")
    ann = world.add("ann")
    bob, cat = world.add("bob", peers=["ann"]), world.add("cat", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    befriend(world, ann, cat)
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    invite(world, ann, cat, room)
    world.run(5)
    session, at_cat = ann.attach(), cat.attach()
    mine = say(ann, room)
    world.run(8)
    assert set(statuses(session, mine)) == {("held", None), ("delivered", "bob"), ("delivered", "cat")}
    bob.call(c.RoomRead(room=room))
    world.run(8)
    assert statuses(session, mine)[-1] == ("read", "bob")
    assert {n: s for n, (s, _, _) in why(world, ann, mine).items()} == {"bob": "read", "cat": "delivered"}
    before = say(ann, room)
    world.run(5)
    dan = world.add("dan", peers=["ann"])
    world.run(2)
    befriend(world, ann, dan)
    invite(world, ann, dan, room)
    after = say(ann, room)
    world.run(8)
    assert why(world, ann, before).keys() == {"bob", "cat"}
    assert why(world, ann, after).keys() == {"bob", "cat", "dan"}
    theirs = say(cat, room)  # bob and cat are no contacts
    world.run(8)
    assert set(statuses(at_cat, theirs)) == {("held", None), ("delivered", "ann")}
    status, text, _ = why(world, cat, theirs)["bob"]
    assert status == "held" and "no contact" in text


@pytest.mark.attack("A33")
def test_strangers_get_receipts_only_if_the_owner_says_so() -> None:
    world = Simulation("strangers")
    ann = world.add("ann")
    bob, cat = world.add("bob", peers=["ann"]), world.add("cat", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    befriend(world, ann, cat)
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    invite(world, ann, cat, room)
    world.run(5)
    direct = bob.call(c.DmOpen(username="cat"))["room"]
    session = bob.attach()
    first = say(bob, direct)
    world.run(30)
    assert ("delivered", "cat") not in statuses(session, first)
    assert cat.call(c.ReceiptsSet(strangers=True)) == {"read": True, "strangers": True}
    cat.crash()
    cat.start()
    second = say(bob, direct)
    assert world.run_until(lambda: ("delivered", "cat") in statuses(session, second), 30)


def test_who_sends_no_read_receipts_sees_none() -> None:
    world, ann, bob, direct = pair()
    assert ann.call(c.ReceiptsGet()) == {"read": True, "strangers": False}
    bob.call(c.ReceiptsSet(read=False))
    at_ann, at_bob = ann.attach(), bob.attach()
    mine, theirs = say(ann, direct), say(bob, direct)
    world.run(8)
    ann.call(c.RoomRead(room=direct))
    bob.call(c.RoomRead(room=direct))
    world.run(8)
    assert statuses(at_ann, mine)[-1] == ("delivered", "bob")
    assert statuses(at_bob, theirs)[-1] == ("delivered", "ann")


@pytest.mark.attack("A33")
def test_a_burst_of_a_thousand_messages_costs_a_handful_of_receipts() -> None:
    world, ann, bob, direct = pair("burst")
    session, sealed = ann.attach(), count_receipts(bob)
    mids = []
    for n in range(1_000):
        mids.append(say(ann, direct, f"m{n}"))
        if n % 50 == 49:
            world.run(1)
    world.run(12)
    assert 2 <= len(sealed) <= 6
    told = session.of(events.MessageStatus)
    assert len(told) <= 2 * 32 * (len(sealed) + 25)
    assert statuses(session, mids[-1])[-1] == ("delivered", "bob")
    assert why(world, ann, mids[10])["bob"][0] == "delivered"
    assert ann.engine is not None
    assert not ann.engine.state.ledger.following


def said(node: SimNode) -> str | None:
    """Return the id of the newest message of its own that a node has stored."""
    stored = [events.decode_json(one.body) for one in node.store.messages()]
    return next((e.id for e in reversed(stored) if isinstance(e, events.UserMessage) and e.mine), None)


@pytest.mark.parametrize("crashing", ["ann", "bob"])
def test_receipts_survive_a_crash_at_every_effect(crashing: str) -> None:
    """Of the author or the recipient, while a message goes out and while its reading comes back."""
    for place in range(40):
        for reading in (False, True):
            world, ann, bob, direct = pair(f"crash {place} {crashing}")
            node = world.nodes[crashing]

            def up(node: SimNode = node) -> None:
                node.effects_left = None
                if not node.up:
                    node.start()

            if not reading:
                node.effects_left = place
            else:
                world.run(3)
            try:
                say(ann, direct)
            except CallError:  # it crashed before it could answer, and had committed or not
                up()
            world.run(6)
            up()
            mid = said(ann) or say(ann, direct)
            world.run(12)
            if reading:  # nothing but the store knows which message is meant
                ann.crash()
                ann.start()
                world.run(8)
            node.effects_left = place if reading else None
            try:
                bob.call(c.RoomRead(room=direct))
            except CallError:
                up()
                bob.call(c.RoomRead(room=direct))
            world.run(7)
            up()
            assert comes_to(world, ann, mid, {"bob": "read"}, 60), (place, reading)
            logged = [events.decode_json(body) for _, body in ann.store.events_after(0, 10_000)]
            told = [e.status for e in logged if isinstance(e, events.MessageStatus) and e.id == mid]
            order = ["queued", "sent", "held", "delivered", "read"]
            assert told == sorted(set(told), key=order.index), (place, reading, told)


def test_what_is_owed_for_a_room_survives_a_crash_before_it_was_sent() -> None:
    world, ann, bob, _cat, room = trio("owed")
    session = ann.attach()
    mid = say(ann, room)
    world.run(0.2)
    bob.crash()
    assert [(row.mid, row.body) for row in bob.store.messages() if row.mid == ids.parse(mid)]
    world.run(30)
    assert ("delivered", "bob") not in statuses(session, mid)
    bob.start()
    assert world.run_until(lambda: ("delivered", "bob") in statuses(session, mid), 30)


def test_who_is_no_contact_any_more_is_told_nothing_of_what_came_before() -> None:
    world, ann, bob, _cat, room = trio("no more")
    assert bob.engine is not None and ann.engine is not None
    sealed = count_receipts(bob)
    say(ann, room)
    world.run(0.2)
    people = bob.engine.state.people
    turn = bob.engine._turn(bob.now())
    people.save(turn, replace(people.by_account[ann.engine.state.me.account], state="known"))
    world.run(10)
    assert sealed == []
    inbox = bob.engine.state.rooms.inboxes[ids.parse(room)]
    assert inbox.room.marks.of == {}


def test_an_older_reading_takes_nothing_back_that_is_still_to_be_told() -> None:
    world, ann, bob, direct = pair()
    session = ann.attach()
    mids = [say(ann, direct, f"m{n}") for n in range(3)]
    world.run(7)
    ask(world, bob, c.MessageRead(room=direct, id=mids[1]))
    ask(world, bob, c.MessageRead(room=direct, id=mids[0]))
    world.run(7)
    assert ("read", "bob") in statuses(session, mids[1])


def test_an_author_who_was_away_finds_one_receipt_for_all() -> None:
    world, ann, bob, _cat, _room = trio("author away")
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    mids = [say(ann, direct, f"m{n}") for n in range(20)]
    world.run(0.3)
    ann.crash()
    sealed = count_receipts(bob)
    world.run(20)
    bob.call(c.RoomRead(room=direct))
    world.run(20)
    assert len(sealed) <= 2
    ann.start()
    assert comes_to(world, ann, mids[-1], {"bob": "read"}, 30)
    assert {why(world, ann, mid)["bob"][0] for mid in mids} == {"read"}


@pytest.mark.attack("A33")
def test_nobody_can_say_for_others_or_of_what_was_never_sent_that_it_came() -> None:
    world, ann, bob, cat, room = trio("forged")
    session = ann.attach()
    assert ann.engine is not None and bob.engine is not None
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    theirs = ids.parse(say(bob, room))
    world.run(8)
    account = ann.engine.state.me.account
    place = ids.parse(room)
    junk = bytes(range(16))
    for body in (
        [[place, junk, junk]],
        [[junk, junk, None]],
        [[place, theirs, theirs]],
        [[ids.parse(direct), junk, None], [ids.parse(direct), None, junk]],
    ):
        turn = bob.engine._turn(bob.now())
        payload = Payload(turn.new_id(), turn.mesh_ms, 0, Type.RECEIPT, body)
        bob.engine.state.dms.send(turn, account, payload)
        bob.perform(bob.engine._release(turn, []))
    world.run(8)
    assert session.of(events.MessageStatus) == []
    assert ann.engine.state.ledger.reached == {}
    befriend(world, ann, cat)
    mine = ids.parse(say(ann, room))  # cat is not in the room, whatever it has heard of
    world.run(8)
    before = len(ann.engine.state.ledger.reached)
    assert cat.engine is not None
    turn = cat.engine._turn(cat.now())
    payload = Payload(turn.new_id(), turn.mesh_ms, 0, Type.RECEIPT, [[place, mine, mine]])
    cat.engine.state.dms.send(turn, account, payload)
    cat.perform(cat.engine._release(turn, []))
    world.run(8)
    assert len(ann.engine.state.ledger.reached) == before == 1
    assert ann.engine.late_faults == 0


def test_no_receipt_is_taken_of_a_room_that_is_too_large_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, _cat, room = trio("large")
    session = ann.attach()
    monkeypatch.setattr(receipts, "MAX_MEMBERS", 1)
    mid = say(ann, room)
    assert bob.engine is not None and ann.engine is not None
    turn = bob.engine._turn(bob.now())
    body = [[ids.parse(room), ids.parse(mid), None]]
    payload = Payload(turn.new_id(), turn.mesh_ms, 0, Type.RECEIPT, body)
    bob.engine.state.dms.send(turn, ann.engine.state.me.account, payload)
    bob.perform(bob.engine._release(turn, []))
    world.run(20)
    assert statuses(session, mid) == [("held", None)]


def test_a_room_is_muted_for_good_or_for_a_time_and_says_so_everywhere() -> None:
    world, ann, bob, direct = pair()
    one, other = bob.attach(), bob.attach()
    assert bob.call(c.RoomMute(room=direct)) == {"room": direct, "muted": True, "muted_until": None}
    assert [(e.muted, e.muted_until) for e in other.of(events.RoomUpdated)] == [(True, None)]
    bob.crash()
    bob.start()
    one = bob.attach()
    assert bob.call(c.RoomGet(room=direct))["muted"] is True
    assert bob.call(c.RoomMute(room=direct, muted=False))["muted"] is False
    until = bob.now().wall_ms // 1000 + 60
    bob.call(c.RoomMute(room=direct, until=until))
    assert [r["muted_until"] for r in bob.call(c.RoomList())["rooms"] if r["room"] == direct] == [until]
    world.run(61)
    assert [e.muted for e in one.of(events.RoomUpdated)] == [False, True, False]
    assert bob.call(c.RoomGet(room=direct))["muted"] is False
    for bad in (c.RoomMute(room=direct, until=1), c.RoomMute(room=direct, muted=False, until=until)):
        with pytest.raises(CallError, match="invalid"):
            bob.call(bad)


def test_only_own_messages_can_be_asked_about() -> None:
    world, ann, bob, direct = pair()
    mid = say(ann, direct)
    world.run(3)
    for wrong in (mid, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(CallError, match="message_not_found"):
            ask(world, bob, c.MessageWhy(id=wrong))
    with pytest.raises(CallError, match="invalid"):
        bob.call(c.MessageWhy(id="x" * 36))
    with pytest.raises(CallError, match="message_not_found"):
        ask(world, bob, c.MessageRead(room=direct, id="00000000-0000-4000-8000-000000000000"))


def test_what_is_deleted_before_it_was_read_is_unread_no_more_and_an_edit_counts_nothing() -> None:
    world, ann, bob, direct = pair()
    mids = [say(ann, direct, f"m{n}") for n in range(4)]
    world.run(7)

    def unread() -> int:
        return int(next(row["unread"] for row in bob.call(c.RoomList())["rooms"] if row["room"] == direct))

    assert unread() == 4
    ask(world, ann, c.MessageEdit(room=direct, id=mids[3], message="better"))
    ask(world, ann, c.MessageDelete(room=direct, id=mids[2]))
    world.run(7)
    assert unread() == 3
    assert ask(world, bob, c.MessageRead(room=direct, id=mids[1]))["unread"] == 1
    ask(world, ann, c.MessageDelete(room=direct, id=mids[0]))
    world.run(7)
    assert unread() == 1
    bob.crash()
    bob.start()
    assert unread() == 1
    ask(world, ann, c.MessageDelete(room=direct, id=mids[3]))
    world.run(7)
    assert unread() == 0


def test_a_deleted_message_can_still_be_asked_about() -> None:
    world, ann, bob, direct = pair()
    mid = say(ann, direct)
    world.run(7)
    ask(world, ann, c.MessageDelete(room=direct, id=mid))
    world.run(7)
    assert why(world, ann, mid)["bob"][0] == "delivered"

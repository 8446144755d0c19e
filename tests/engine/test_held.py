"""What is held for the others, what is given up, and how much all that costs (docs/bridge.md section 2)."""

from __future__ import annotations

import pytest

from node import ids
from node.chat import commands as c, events, reading
from node.clock import DAY_MS
from node.engine import receipts, why as answers
from node.sim import SimNode, Simulation
from node.wire import frame_bytes, frames
from node.wire.payload import Type, decode
from tests.engine.hostile import room_of
from tests.engine.test_receipts import ask, comes_to, count_receipts, pair, say, statuses, why
from tests.engine.worlds import befriend, invite, trio


def pass_over(world: Simulation, days: int) -> None:
    """Let days go by during which every node is down."""
    for node in world.nodes.values():
        if node.up:
            node.crash()
    world.run(days * DAY_MS / 1000)


def test_what_was_not_known_to_be_held_when_the_node_stopped_is_found_by_a_sync() -> None:
    world, ann, bob, cat, _room = trio("found")
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    bob.crash()
    mid = say(ann, direct)
    world.run(0.05)
    ann.crash()  # the peer has it, and has not been asked yet
    assert cat.up
    ann.start()
    session = ann.attach()
    assert world.run_until(lambda: statuses(session, mid) == [("held", None)], 90)
    ann.crash()
    ann.start()
    session = ann.attach()
    world.run(30)
    assert statuses(session, mid) == []  # and is not told again
    assert why(world, ann, mid)["bob"][0] == "held"


def test_a_hundred_messages_without_a_link_are_held_by_one_sync() -> None:
    world, ann, bob, _cat, room = trio("hundred")
    session = ann.attach()
    world.partition({"ann"}, {"bob", "cat"})
    world.run(1)
    mids = [say(ann, room, f"m{n}") for n in range(100)]
    assert all(statuses(session, mid) == [] for mid in mids)
    bob.crash()
    world.heal()
    assert world.run_until(lambda: statuses(session, mids[-1]) == [("held", None)], 90)
    assert len(session.of(events.MessageStatus)) == 32
    assert {status for status, _, _ in why(world, ann, mids[0]).values()} == {"held"}


def test_a_partition_between_author_and_recipient_ends_in_a_receipt() -> None:
    world, ann, bob, _cat, _room = trio("parted")
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    session = ann.attach()
    world.partition({"ann", "cat"}, {"bob"})
    mid = say(ann, direct)
    world.run(30)
    assert statuses(session, mid) == [("held", None)]
    world.partition({"ann"}, {"bob", "cat"})
    world.run(60)
    bob.call(c.RoomRead(room=direct))
    world.run(60)
    assert statuses(session, mid) == [("held", None)]
    world.heal()
    assert comes_to(world, ann, mid, {"bob": "read"}, 60)


def test_a_recipient_without_a_link_seals_one_receipt_when_there_is_one() -> None:
    world, ann, bob, direct = pair("sealed late")
    for n in range(5):
        say(ann, direct, f"m{n}")
    world.run(0.2)
    world.partition({"ann"}, {"bob"})
    world.run(1)
    sealed = count_receipts(bob)
    ask_all = [row["unread"] for row in bob.call(c.RoomList())["rooms"] if row["room"] == direct]
    assert ask_all == [5]
    world.run(100)
    bob.call(c.RoomRead(room=direct))
    world.run(100)
    assert sealed == []
    world.heal()
    world.run(60)
    assert len(sealed) == 1


def test_after_thirty_five_days_without_a_sign_a_message_has_failed() -> None:
    world, ann, _bob, direct = pair("expired")
    world.partition({"ann"}, {"bob"})
    world.run(1)
    mid = say(ann, direct)
    pass_over(world, 36)
    ann.start()
    session = ann.attach()
    world.run(3_700)
    assert statuses(session, mid) == [("failed", None)]
    assert [event.why for event in session.of(events.MessageStatus)] == ["expired"]
    assert why(world, ann, mid)["bob"][0] == "failed"


def test_what_waited_for_a_session_that_never_came_has_failed() -> None:
    world = Simulation("never")
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
    mid = say(bob, direct)
    pass_over(world, 36)
    bob.start()
    session = bob.attach()
    world.run(3_700)
    told = [(e.status, e.why) for e in session.of(events.MessageStatus) if e.status == "failed"]
    assert told == [("failed", "no_session")]
    assert statuses(session, mid) == [("failed", "cat")]
    assert bob.engine is not None
    left = [decode(one.payload) for queue in bob.engine.state.dms.queue.values() for one in queue]
    assert all(payload.type is not Type.TEXT for payload in left)


def test_who_is_put_out_without_having_it_is_told_of() -> None:
    world, ann, bob, _cat, room = trio("put out")
    session = ann.attach()
    first = say(ann, room)
    world.run(8)
    assert statuses(session, first)[-1] == ("delivered", "bob")
    bob.crash()
    second = say(ann, room)
    world.run(8)
    ann.call(c.MemberRemove(room=room, username="bob"))
    assert statuses(session, second) == [("held", None), ("failed", "bob")]
    assert statuses(session, first)[-1] == ("delivered", "bob")


@pytest.mark.slow
def test_receipts_end_where_a_room_grows_beyond_thirty_two(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reading.MAX_MEMBERS == 32
    few = 6  # thirty-three nodes show no more, and take ten seconds
    for module in (reading, receipts, answers):
        monkeypatch.setattr(module, "MAX_MEMBERS", few)
    world = Simulation("too many")
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    guests = [world.add(f"guest{n}", peers=["ann"]) for n in range(few - 1)]
    world.run(3)

    def come(guest: SimNode, count: int) -> None:
        guest.call(c.RoomLinkUse(link=link))
        assert world.run_until(lambda: len(room_of(ann).log.roster.members) == count, 30)

    for n, guest in enumerate(guests[:-1]):
        come(guest, n + 3)
    world.run(20)
    session, sealed = ann.attach(), count_receipts(bob)
    mid = say(ann, room)
    world.run(10)
    assert ("delivered", "bob") in statuses(session, mid) and len(sealed) == 1
    come(guests[-1], few + 1)
    world.run(20)
    mid = say(ann, room)
    world.run(20)
    assert statuses(session, mid) == [("held", None)] and len(sealed) == 1
    reasons = {status: text for status, text, _ in why(world, ann, mid).values()}
    assert reasons == {"held": "held for them; a room of more than 6 sends no receipts"}


def test_asking_who_holds_costs_a_ping_a_second_whatever_is_said() -> None:
    world, ann, _bob, direct = pair("pings")
    world.run(20)
    pings = 0
    encode = frame_bytes.encode

    def counting(frame: frames.Frame) -> bytes:
        nonlocal pings
        pings += isinstance(frame, frames.Ping)
        return encode(frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_bytes, "encode", counting)
        for n in range(200):
            say(ann, direct, f"m{n}")
            world.run(0.05)
        world.run(3)
    assert pings <= 14


def test_a_peer_that_keeps_nothing_for_others_holds_nothing() -> None:
    world = Simulation("keeps nothing")
    ann = world.add("ann")
    entry = world.setup

    def bare(name: str, *rest: object, **more: object) -> object:
        from dataclasses import replace

        setup = entry(name, *rest, **more)  # type: ignore[arg-type]
        return replace(setup, roles=frozenset()) if name == "bob" else setup

    world.setup = bare  # type: ignore[method-assign, assignment]
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    world.run(5)
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    session = ann.attach()
    mid = say(ann, direct)
    world.run(8)
    assert statuses(session, mid) == [("delivered", "bob")]


def test_a_position_survives_that_its_message_is_long_past() -> None:
    world, ann, bob, direct = pair("long past")
    mids = [say(ann, direct, f"m{n}") for n in range(150)]
    world.run(8)
    ann.crash()
    ann.start()
    session = ann.attach()
    ask(world, bob, c.MessageRead(room=direct, id=mids[3]))
    world.run(8)
    assert [e.id for e in session.of(events.MessageStatus)] == [mids[3]]
    found = ann.call(c.LedgerGet(room=direct))
    assert found["recipients"][0]["read"] < found["recipients"][0]["delivered"] == found["held"]
    assert why(world, ann, mids[2])["bob"][0] == "read"
    assert why(world, ann, mids[4])["bob"][0] == "delivered"


def test_a_receipt_is_not_sent_for_what_a_missing_message_would_be_covered_by() -> None:
    world, ann, bob, direct = pair("missing")
    room = bob.engine
    assert room is not None
    conversation = room.state.rooms.direct[ids.parse(direct)]
    from node.chat.direct_gaps import Gap

    gap = Gap(conversation.room_id, bytes(16), 1, (bytes([9]) * 16,), bob.now().wall_ms)
    conversation.gaps.all[gap.placeholder] = gap
    session = ann.attach()
    mid = say(ann, direct)
    world.run(120)
    assert ("delivered", "bob") not in statuses(session, mid)
    world.run(3_700)
    assert ("delivered", "bob") in statuses(session, mid)


def test_a_restored_home_keeps_what_was_muted_read_and_told() -> None:
    world, ann, bob, direct = pair("restored")
    mid = say(ann, direct)
    world.run(8)
    bob.call(c.RoomRead(room=direct))
    ann.call(c.RoomMute(room=direct))
    ann.call(c.ReceiptsSet(strangers=True))
    world.run(8)
    assert why(world, ann, mid)["bob"][0] == "read"
    records = ann.backup()
    ann.crash()
    again = world.restore("ann2", records, peers=["bob"])
    again.start()
    world.run(20)
    assert why(world, again, mid)["bob"][0] == "read"
    assert again.call(c.RoomGet(room=direct))["muted"] is True
    assert again.call(c.ReceiptsGet())["strangers"] is True

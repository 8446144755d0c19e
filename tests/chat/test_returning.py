"""When a room is come back to, and when not: the machine alone."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.chat.returning import JOIN_AFTER, JOIN_SPREAD, MAX_NEWS, RETURN_AFTER, Returning, apart, away, news
from node.crypto import ops
from node.crypto.ops import Device, Op
from node.sim import SimNode, Simulation
from tests.engine.hostile import engine_of, inbox_of, room_of, sending, turn_of
from tests.engine.worlds import trio


def restored(seed: str) -> tuple[Simulation, SimNode, SimNode]:
    world, ann, bob, _, _ = trio(seed)
    bobs = world.restore("bobs", bob.backup())
    bob.crash()
    world.partition({"bobs"}, {"ann", "cat"})
    bobs.start()
    return world, ann, bobs


def test_a_room_is_come_back_to_after_a_while_and_a_room_that_was_left_meanwhile_is_not() -> None:
    _, _, bobs = restored("machine")
    room, machine = room_of(bobs), Returning(engine_of(bobs).state.me)
    assert away(room) and not apart(room)
    machine.look(room, 100.0)
    machine.look(room, 105.0)
    assert machine.deadline == 100.0 + RETURN_AFTER
    turn = turn_of(bobs)
    turn.now = turn.now.after(1000.0)
    assert machine.due(turn, []) == [] and machine.deadline is None
    machine.look(room, 100.0)
    assert machine.due(turn, [room]) == [room] and not away(room)
    machine.look(room, 100.0)
    assert machine.deadline is None


def test_where_perhaps_nobody_listens_any_more_the_owner_is_told() -> None:
    for days, told in ((1, []), (48, []), (50, ["room_unreachable"])):
        _, _, bobs = restored(f"old {days}")
        room, machine = room_of(bobs), Returning(engine_of(bobs).state.me)
        turn = turn_of(bobs)
        machine.look(room, turn.now.mono)
        turn.now = turn.now.after(86_400.0 * days)
        machine.due(turn, [room])
        warned = [out.event for out in turn.out]
        assert [one.code for one in warned if isinstance(one, events.Warning)] == told


def test_who_is_where_it_says_has_nothing_to_do() -> None:
    _, ann, _ = restored("nothing")
    machine = Returning(engine_of(ann).state.me)
    machine.look(room_of(ann), 0.0)
    assert machine.deadline is None


def device_op(bobs: SimNode) -> Op:
    room, me = room_of(bobs), engine_of(bobs).state.me
    turn = turn_of(bobs)
    return room.signed(turn, Device(me.cert.raw, me.devices.raw, me.new_leaf(turn)))


def test_a_newer_device_of_a_member_is_news_once_and_only_so_much_is_looked_at() -> None:
    _, ann, bobs = restored("news")
    log = room_of(ann).log
    op = device_op(bobs)
    assert news(log, [op]) == [op]
    assert len(news(log, [op] * 20)) == MAX_NEWS
    log.add(op)
    assert news(log, [op]) == []


@pytest.mark.attack("A36")
def test_an_op_that_does_not_hold_makes_nobody_read_a_channel_again_and_one_that_waits_once() -> None:
    _, ann, bobs = restored("again")
    room, inbox, turn = room_of(ann), inbox_of(ann), turn_of(ann)
    good = device_op(bobs)
    fields = {"room_id": room.room_id, "author_seq": good.author_seq, "ts_ms": good.ts_ms, "body": good.body}
    held, me = sending(ann), engine_of(bobs).state.me.identity
    bad = ops.make_op(me, parents=good.parents, lamport=good.lamport + 5, **fields)  # type: ignore[arg-type]
    late = ops.make_op(me, parents=(b"p" * 32,), lamport=9, **fields)  # type: ignore[arg-type]
    inbox._take_given(turn, held, [bad])
    assert turn.behind == [] and not room.log.knows(bad.op_id)
    for _ in range(5):
        inbox._take_given(turn, held, [late])
    assert len(turn.behind) == 1
    inbox._take_given(turn, held, [good])
    assert len(turn.behind) == 2 and room.log.knows(good.op_id)


def test_a_device_of_somebody_who_is_gone_is_no_news() -> None:
    _, ann, bobs = restored("gone")
    op = device_op(bobs)
    ann.call(c.MemberRemove(username="bob", room=room_of(ann).uuid))
    assert news(room_of(ann).log, [op]) == []


def test_two_branches_are_joined_within_seconds_and_not_again_within_a_minute() -> None:
    world, ann, bobs = restored("branches")
    world.run(20)
    ann.call(c.UserMessage(message="meanwhile", room=room_of(ann).uuid))
    machine, room = Returning(engine_of(ann).state.me), room_of(ann)
    room.parted_then = ((room.epochs.version, room.log.view16, 0), True)
    machine.look(room, 50.0, lambda size: b"\xff" * size)
    assert machine.deadline is not None and JOIN_AFTER < machine.deadline - 50.0 < JOIN_AFTER + JOIN_SPREAD
    turn = turn_of(ann)
    turn.now = turn.now.after(1000.0)
    machine.due(turn, [room])
    room.parted_then = ((room.epochs.version, room.log.view16, 0), True)
    machine.look(room, turn.now.mono, bytes)
    assert machine.deadline is not None and machine.deadline >= turn.now.mono + 59.0


def test_who_renews_the_keys_before_it_is_back_comes_back_by_that() -> None:
    world, ann, bobs = restored("renews")
    room = room_of(bobs)
    assert away(room)
    bobs.call(c.RoomRekey(room=room.uuid))
    assert not away(room_of(bobs)) and sending(bobs).send is not None
    world.heal()
    world.run(30)
    assert sending(ann).epoch16 == sending(bobs).epoch16

"""When holes are asked for: soon, then more and more seldom, and not by everybody at once."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from node.chat.asking import ASK_AGAIN, ASK_LATER
from node.chat.holes import Hole, of_names, run_of
from node.chat.nacks import ASKS_AT_ONCE, BETWEEN, JITTER, JITTER_EACH, QUIET_TRIES, Nacks
from node.chat.room import Room
from node.chat.turn import Turn
from node.sim import SimNode
from tests.engine.hostile import inbox_of, room_of, sending, turn_of
from tests.engine.worlds import trio

SPREAD = JITTER + 2 * JITTER_EACH


def lacking(seed: str) -> tuple[SimNode, Room, Nacks, Turn, Hole]:
    """Ann's room lacks three messages of Bob's."""
    _, ann, bob, _, _ = trio(seed)
    room, turn = room_of(ann), turn_of(ann)
    device, account = bob.setup.identity.device_id, bob.setup.identity.account
    lacks = Hole(room.room_id, sending(ann).epoch16, device, account, 5, run_of(5, 8), (), turn.now.wall_ms)
    return ann, room, inbox_of(ann).healing.nacks, turn, lacks


def at(turn: Turn, moment: float) -> Turn:
    """The same time of the wall, later by the other clock."""
    return structs.replace(turn, now=turn.now.after(moment - turn.now.mono), posts=[], rows={}, out=[])


def asked(nacks: Nacks, turn: Turn) -> int:
    nacks.due(turn)
    return len(turn.posts)


def test_a_hole_is_asked_for_within_a_moment_of_our_own_and_then_each_time_after_twice_as_long() -> None:
    _, _, nacks, turn, hole = lacking("soon")
    nacks.soon(turn, hole)
    [moment] = nacks.moments.values()
    assert turn.now.mono <= moment < turn.now.mono + SPREAD
    assert asked(nacks, at(turn, moment - 0.001)) == 0
    for tries in range(4):
        assert asked(nacks, at(turn, moment)) == 1
        [after] = nacks.moments.values()
        assert after == moment + ASK_AGAIN * 2**tries
        moment = after
    assert nacks.holes.all[hole.key].tries == 4


def test_what_somebody_else_asks_for_is_left_to_them_once() -> None:
    _, room, nacks, turn, hole = lacking("heard")
    nacks.soon(turn, hole)
    [moment] = nacks.moments.values()
    other = next(m for m in room.members() if m.account != room.me.account)
    body = [hole.epoch16, hole.device_id, 7, 9]
    nacks.heard(turn, other, [hole.epoch16, hole.device_id, 8, 9])
    assert nacks.moments == {hole.key: moment}, "they ask for something else"
    nacks.heard(turn, other, body)
    [left] = nacks.moments.values()
    assert left == turn.now.mono + ASK_AGAIN
    nacks.heard(at(turn, left - 1.0), other, body)
    assert nacks.moments == {hole.key: left}, "and not again"
    assert asked(nacks, at(turn, left)) == 1


def test_of_somebody_who_is_gone_nothing_is_asked_but_it_is_looked_at_again() -> None:
    _, _, nacks, turn, hole = lacking("gone")
    nacks.soon(turn, replace(hole, device_id=b"g" * 16))
    [moment] = nacks.moments.values()
    assert asked(nacks, at(turn, moment)) == 0
    assert list(nacks.moments.values()) == [moment + ASK_LATER]


def test_what_may_be_nothing_is_asked_for_a_few_times() -> None:
    _, room, nacks, turn, _ = lacking("quiet")
    hole = of_names(room.room_id, (b"m" * 16,), b"n" * 16, turn.now.wall_ms, quiet=True)
    nacks.soon(turn, hole)
    for _ in range(QUIET_TRIES):
        [moment] = nacks.moments.values()
        assert asked(nacks, at(turn, moment)) == 1
    [moment] = nacks.moments.values()
    assert asked(nacks, at(turn, moment)) == 0
    assert not nacks.moments and not nacks.holes.all


def test_of_many_some_are_asked_for_at_a_time() -> None:
    _, _, nacks, turn, hole = lacking("many")
    for number in range(2 * ASKS_AT_ONCE):
        nacks.soon(turn, replace(hole, first=10 * number))
    late = at(turn, max(nacks.moments.values()))
    assert asked(nacks, late) == ASKS_AT_ONCE
    assert asked(nacks, at(late, late.now.mono + BETWEEN)) == ASKS_AT_ONCE

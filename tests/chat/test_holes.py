"""What is missing in a room, as numbers and names."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.chat.holes import Hole, Holes, run_of
from node.chat.timeline import Patience
from node.chat.turn import Turn, pack_row, unpack_row
from node.clock import Instant
from node.sim import stream

ROOM, EPOCH, DEVICE = b"r" * 16, b"e" * 16, b"d" * 16


def hole(first: int, end: int, *, since_ms: int = 0, device: bytes = DEVICE) -> Hole:
    return Hole(ROOM, EPOCH, device, b"a" * 32, first, run_of(first, end), (), since_ms)


def turn() -> Turn:
    return Turn(Instant(0.0, 0), 0, stream("holes"), 0)


@given(st.integers(0, 1000), st.integers(1, 200), st.sets(st.integers(0, 199)), st.data())
def test_a_hole_knows_exactly_what_has_not_come(
    first: int, size: int, came: set[int], data: st.DataObject
) -> None:
    it = hole(first, first + size)
    for number in came & set(range(size)):
        it = it.without(first + number)
    left = [first + n for n in range(size) if n not in came]
    assert it.missing == len(left)
    assert [n for low, high in it.runs() for n in range(low, high + 1)] == left
    assert [n for n in range(first - 2, first + size + 2) if it.lacks(n)] == left
    low = data.draw(st.integers(0, first + size + 2))
    high = data.draw(st.integers(low, first + size + 300))
    assert it.lacks_any(low, high) == any(low <= n <= high for n in left)
    assert unpack_row(pack_row(it), Hole) == it


def test_runs_are_whole() -> None:
    it = hole(5, 12).without(8)
    assert list(it.runs()) == [(5, 7), (9, 11)]


def test_a_hole_that_is_filled_leaves_no_row_and_no_memory() -> None:
    holes, ledger = Holes(ROOM), turn()
    it = hole(5, 6)
    holes.waiting[it.key] = Patience()
    holes.save(ledger, it)
    assert holes.at(EPOCH, DEVICE, 5) == it and holes.at(EPOCH, DEVICE, 6) is None
    holes.save(ledger, it.without(5))
    assert holes.all == {} and holes.waiting == {} and holes.of(EPOCH, DEVICE) == []
    assert list(ledger.rows.values()) == [None]


def test_of_too_many_holes_the_oldest_of_whoever_has_most_goes() -> None:
    holes, ledger = Holes(ROOM), turn()
    honest = hole(0, 1, device=b"h" * 16)
    holes.save(ledger, honest)
    for number in range(600):
        holes.save(ledger, hole(number * 2, number * 2 + 1, since_ms=number + 1))
    assert len(holes.all) == 512
    assert honest.key in holes.all
    assert holes.at(EPOCH, DEVICE, 0) is None
    assert holes.at(EPOCH, DEVICE, 599 * 2) is not None

"""Which messages some frontend has had: intervals that merge, stay apart, and stay few."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st

from node.bridge.intervals import MOST, Intervals, holds, joined, past

PARTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=30)


@given(PARTS)
def test_intervals_hold_exactly_what_was_joined(parts: list[tuple[int, int]]) -> None:
    have: Intervals = ()
    for after, upto in parts:
        have = joined(have, after, upto)
    wanted = {seq for after, upto in parts for seq in range(after + 1, upto + 1)}
    assert {seq for seq in range(62) if holds(have, seq)} == wanted
    assert all(one[1] < other[0] for one, other in itertools.pairwise(have))
    for seq in range(62):
        assert past(have, seq) == next(n for n in range(seq, 63) if n + 1 not in wanted)


def test_a_later_part_does_not_wait_for_the_gap_before_it() -> None:
    have = joined(joined((), 0, 10), 50, 60)
    assert have == ((0, 10), (50, 60))
    assert joined(have, 10, 50) == ((0, 60),)


def test_of_too_many_the_oldest_gap_is_closed() -> None:
    have: Intervals = ()
    for number in range(MOST + 5):
        have = joined(have, 10 * number, 10 * number + 5)
    assert len(have) == MOST
    assert have[0] == (0, 55)
    assert have[-1] == (10 * (MOST + 4), 10 * (MOST + 4) + 5)

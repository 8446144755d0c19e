"""One day's ids in blocks: what a sorted list would say, whatever was put in and taken out."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings, strategies as st

from node.mesh import days
from node.mesh.days import Day, Entry


def agrees(day: Day, wanted: list[Entry], rng: random.Random) -> None:
    assert len(day) == len(wanted) and day.run(0, len(wanted)) == wanted
    low, high = sorted(rng.randrange(len(wanted) + 1) for _ in range(2))
    assert day.run(low, high) == wanted[low:high]
    assert day.sum_before(low) == sum(int.from_bytes(eid, "little") for _, eid in wanted[:low])
    key = (rng.randrange(60), rng.choice([b"", rng.randbytes(2)]))
    assert day.rank(key) == sum(entry < key for entry in wanted)
    if low < len(wanted):
        assert day[low] == wanted[low] and day.rank(wanted[low]) == low


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120))
def test_a_day_is_a_sorted_list_with_sums(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(days, "BLOCK", rng.choice([1, 2, 5, 512]))
        patch.setattr(days, "_STEP", rng.choice([1, 3, 32]))
        day, wanted = Day(), list[Entry]()
        for _ in range(steps):
            if wanted and rng.random() < 0.4:
                day.remove(gone := rng.choice(wanted))
                wanted.remove(gone)
            else:
                day.add(new := (rng.randrange(50), rng.randbytes(32)))
                wanted = sorted([*wanted, new])
            if rng.random() < 0.3:
                agrees(day, wanted, rng)
        agrees(day, wanted, rng)


def test_a_day_that_only_grows_has_full_blocks() -> None:
    rng = random.Random(1)
    day = Day()
    for at in range(20_000):
        day.add((at, rng.randbytes(32)))
    assert len(day._blocks) <= 20_000 // days.BLOCK + 1

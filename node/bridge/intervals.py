"""Which numbers of the event log some frontend has had: a few merged intervals (docs/bridge.md section 3).

An interval is a pair (after, upto): it holds the numbers above `after`, up to and with `upto`.
"""

from __future__ import annotations

from typing import Final, TypeAlias

Intervals: TypeAlias = tuple[tuple[int, int], ...]

MOST: Final = 64
"""Intervals kept. Beyond it the oldest gap is closed: a plain frontend is given the newest anyway."""


def joined(have: Intervals, after: int, upto: int) -> Intervals:
    """Return `have` and one interval more: sorted, apart from each other, at most MOST of them."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((*have, (after, upto))):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    while len(merged) > MOST:
        merged[:2] = [(merged[0][0], merged[1][1])]
    return tuple(merged)


def past(have: Intervals, seq: int) -> int:
    """Return how far all after `seq` is had without a gap: `seq` itself if the next number is not."""
    return next((end for start, end in have if start <= seq < end), seq)


def holds(have: Intervals, seq: int) -> bool:
    """Say whether this number is had."""
    return any(start < seq <= end for start, end in have)

"""How much a peer may make us read, and how much of a link's budget one arrival link gets (protocol.md 8).

A sender keeps to the budget it was granted. Who does not is not blamed: its link is read more slowly, so that
what it sends waits at its own end. What we pass on is shared out by where it came from.
"""

from __future__ import annotations

from typing import Final

from node.mesh.limits import BYTES_PER_UNIT, envelope_cost
from node.wire.frames import Number

LENIENCE: Final = 2.0
"""What is read is this many times the budget: clocks and bursts differ, and honest senders never feel it."""
BURST: Final = 5.0
"""Seconds at that rate that may come at once: after a stall of ours a peer's frames come in one piece."""
SMALL_COST: Final = 0.25
"""What another frame than an envelope costs at least: a catch-up at full speed needs some 200 a second."""
ASKED_FOR: Final = frozenset({bytes((0x94, Number.BATCH)), bytes((0x94, Number.PART))})
"""How frames begin that come by credit, or because we asked for just that: arrays of four fields."""
PUSH_HEAD: Final = bytes((0x93, Number.PUSH))
MAX_PAUSE: Final = 5.0
"""Seconds for which a link is not read at most: longer, and a peer would seem dead."""
FAIR_WITHIN: Final = 1.0
"""Seconds of its share that one may have at once, and that it is counted as one of those who share."""
RESERVED: Final = 0.25
"""The part of a burst that is kept for those that have not had their share."""


class Meter:
    """What came over one link; what was asked for costs nothing here."""

    __slots__ = ("_at", "_owed", "rate")

    def __init__(self, budget: float, *, now: float) -> None:
        self.rate = LENIENCE * budget
        self._owed = 0.0
        self._at = now

    def took(self, frame: bytes) -> None:
        """Count a frame that was read."""
        head = frame[:2]
        if head == PUSH_HEAD:
            self._owed += envelope_cost(len(frame))
        elif head not in ASKED_FOR:
            self._owed += max(SMALL_COST, len(frame) / BYTES_PER_UNIT)

    def pause(self, *, now: float) -> float:
        """Return for how many seconds not to read on."""
        self._owed = max(0.0, self._owed - (now - self._at) * self.rate)
        self._at = now
        over = self._owed / self.rate - BURST
        if over <= 0:
            return 0.0
        self._owed = min(self._owed, (BURST + MAX_PAUSE) * self.rate)
        return min(over, MAX_PAUSE)


class Shares:
    """What each arrival link had of a budget lately, by the node it came from; empty for our own.

    What one had fades at the rate of an equal share, so who sends less than that is at zero, and who sends
    more is above whatever the budget lets through.
    """

    __slots__ = ("_had", "_look_at", "rate")

    def __init__(self, rate: float, *, now: float) -> None:
        self.rate = rate
        self._had: dict[bytes, tuple[float, float]] = {}
        self._look_at = now + FAIR_WITHIN

    def may(self, origin: bytes, cost: float, *, left: float, now: float) -> bool:
        """Say whether it may have `cost` of the budget, of which `left` is left, and count it if so.

        While more than the reserve is left, anybody may. The reserve is for those who have had less than an
        equal share, of two at least: a flood that takes all it can leaves room for each of the others.
        """
        if now >= self._look_at:
            self._forget(now)
        fair = self.rate / max(2, len(self._had) + (origin not in self._had))
        had, at = self._had.get(origin, (0.0, now))
        had = max(0.0, had - (now - at) * fair)
        if left - cost < RESERVED * self.rate and had + cost > fair * FAIR_WITHIN:
            return False
        self._had[origin] = min(had + cost, 2 * fair * FAIR_WITHIN), now
        return True

    def _forget(self, now: float) -> None:
        self._look_at = now + FAIR_WITHIN
        self._had = {origin: one for origin, one in self._had.items() if now - one[1] < FAIR_WITHIN}

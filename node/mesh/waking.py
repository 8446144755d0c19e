"""Notices that this machine slept: then every link may be dead, and every failure is out of date."""

from __future__ import annotations

from node.clock import Instant

GAP = 30.0
"""Seconds without any input: a node with a link has something to do each 15 s."""
JUMP_MS = 10_000
"""Milliseconds by which the wall clock got ahead of one that stops while the machine sleeps."""


class Waking:
    """Compares each reading of the clocks with the last; a clock that was set looks the same: a PING."""

    __slots__ = ("_mono", "_wall_ms")

    def __init__(self, now: Instant) -> None:
        self._mono, self._wall_ms = now.mono, now.wall_ms

    def slept(self, now: Instant) -> bool:
        """Take the next reading; True if there was a sleep before it."""
        passed, shown_ms = now.mono - self._mono, now.wall_ms - self._wall_ms
        self._mono, self._wall_ms = now.mono, now.wall_ms
        return passed > GAP or shown_ms - passed * 1000 > JUMP_MS

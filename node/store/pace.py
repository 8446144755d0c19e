"""Whether a commit is made at once, on the event loop's own thread, or handed to the thread that writes.

The two hops to the thread and back take a quarter of what a small commit takes with its disk. What is
large, or on a disk that is slow, or was a moment ago, would hold up all frontends and links meanwhile: that
goes to the thread.
"""

from __future__ import annotations

from collections import deque

SMALL = 64
"""Records of a commit that may be made at once: some twelve messages, 1 ms without the disk."""
QUICK = 0.003
"""Seconds that a small commit may take: less than a turn of the engine does under load."""
LOOKED_AT = 8
"""Small commits that all have to be quick before the next is made at once; a slow one counts so long."""


class Pace:
    """What the last small commits took."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=LOOKED_AT)

    def at_once(self, records: int) -> bool:
        """Say whether a commit of so many records is made at once."""
        return records <= SMALL and len(self._took) == LOOKED_AT and max(self._took) < QUICK

    def took(self, records: int, seconds: float) -> None:
        """A commit of so many records took so long, wherever it was made."""
        if records <= SMALL:
            self._took.append(seconds)

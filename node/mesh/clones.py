"""Two processes with one node key: a restart, or a home that was copied (docs/protocol.md section 3).

A node that starts anew greets with another boot nonce while its old link may still stand here. Both links
are pinged, and only if both ends answer, each a PING that left after the newer HELLO, are there two of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.clock import earliest

DOUBT_FOR = 5.0
"""Seconds that both have to answer."""
CLONED_RETRY_S = 300
"""Seconds that the newer one is asked to stay away."""
MAX_DOUBTS = 64
"""Pairs looked at at once, as many as there are links; beyond it the newer is believed."""


@dataclass(slots=True)
class _Doubt:
    older: int
    newer: int
    until: float
    waits: dict[int, int]


class Clones:
    """Watches pairs of links to one key that greeted with different boot nonces."""

    def __init__(self) -> None:
        self._doubts: dict[int, _Doubt] = {}

    def doubt(self, older: int, newer: int, *, pings: tuple[int, int], now: float) -> bool:
        """Begin to look at a pair; `pings` were under way on each before the HELLO, and prove nothing."""
        if len(self._doubts) >= MAX_DOUBTS:
            return False
        waits = {older: pings[0] + 1, newer: pings[1] + 1}
        self._doubts[newer] = _Doubt(older, newer, now + DOUBT_FOR, waits)
        return True

    def doubts(self, number: int) -> bool:
        """Whether a link is one of a pair that is looked at."""
        return any(number in doubt.waits for doubt in self._doubts.values())

    def answered(self, number: int, *, now: float) -> tuple[list[int], list[int]]:
        """Take a PONG; return links to PING once more, and newer links that are clones."""
        again: list[int] = []
        cloned: list[int] = []
        for doubt in list(self._doubts.values()):
            if not doubt.waits.get(number) or now >= doubt.until:
                continue
            doubt.waits[number] -= 1
            if doubt.waits[number]:
                again.append(number)
            elif not any(doubt.waits.values()):
                cloned.append(doubt.newer)
                del self._doubts[doubt.newer]
        return again, cloned

    def due(self, *, now: float) -> list[int]:
        """Return links whose end has not answered in time: the older, if that process is gone."""
        over = [doubt for doubt in self._doubts.values() if now >= doubt.until]
        for doubt in over:
            del self._doubts[doubt.newer]
        return [doubt.older if doubt.waits[doubt.older] else doubt.newer for doubt in over]

    def closed(self, number: int) -> None:
        """A link is gone, and with it what was doubtful."""
        for newer, doubt in list(self._doubts.items()):
            if number in doubt.waits:
                del self._doubts[newer]

    @property
    def deadline(self) -> float | None:
        """When the next pair is decided."""
        return earliest(*(doubt.until for doubt in self._doubts.values()))

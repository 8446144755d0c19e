"""Which of our own envelopes a peer surely has (docs/protocol.md section 6, "Held").

A peer handles the frames of a link in order, so who answers a PING has taken in every PUSH that left before
it: no frame is needed but one more PING. What did not go by PUSH is found to be there when a sync finds both
to have the same.
"""

from __future__ import annotations

from node.clock import earliest
from node.wire.frames import MAX_IDS

ASK_AFTER = 0.1
"""Seconds that envelopes are gathered before a peer is asked."""
ASK_EVERY = 1.0
"""Seconds between two questions on one link: a burst of any size costs one a second."""
MAX_ASKED = 16 * MAX_IDS
"""Envelopes asked about at once on one link; of more the next sync tells."""


class _Line:
    """One link: what was pushed on it since the last question, and what the question under way is about."""

    __slots__ = ("asked", "asked_at", "at", "pushed")

    def __init__(self) -> None:
        self.pushed: list[bytes] = []
        self.asked: list[bytes] = []
        self.at: float | None = None
        self.asked_at = float("-inf")


class Holding:
    """What each link was given of ours; ids are their first 16 bytes."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}

    @property
    def deadline(self) -> float | None:
        """When a peer is next to be asked."""
        return earliest(*(line.at for line in self._lines.values()))

    def pushed(self, link: int, prefix: bytes, *, now: float) -> None:
        """An envelope of ours was put on a link's queue."""
        line = self._lines.get(link)
        if line is None:
            line = self._lines[link] = _Line()
        if len(line.pushed) < MAX_ASKED:
            line.pushed.append(prefix)
        if line.at is None and not line.asked:
            line.at = max(now + ASK_AFTER, line.asked_at + ASK_EVERY)

    def due(self, *, now: float) -> list[int]:
        """Return the links on which to ask now."""
        return [link for link, line in self._lines.items() if line.at is not None and now >= line.at]

    def asked(self, link: int, *, now: float) -> None:
        """A PING goes out on a link, behind everything pushed on it so far."""
        line = self._lines.get(link)
        if line is not None:
            line.asked, line.pushed, line.at, line.asked_at = line.pushed, [], None, now

    def later(self, link: int, *, now: float) -> None:
        """The link cannot ask yet."""
        self._lines[link].at = now + ASK_EVERY

    def answered(self, link: int, *, now: float) -> list[bytes]:
        """The peer has answered; return what it has, to be told once."""
        line = self._lines.get(link)
        if line is None:
            return []
        taken, line.asked = line.asked, []
        if line.pushed and line.at is None:
            line.at = max(now + ASK_AFTER, line.asked_at + ASK_EVERY)
        return taken

    def closed(self, link: int) -> None:
        """A link is gone, and with it whether what was on its way arrived."""
        self._lines.pop(link, None)

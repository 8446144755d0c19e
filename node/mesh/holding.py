"""Which of our own envelopes a peer surely has (docs/protocol.md section 6, "Held").

A peer handles the frames of a link in order, so who answers a PING has taken in every PUSH that left before
it: no frame is needed but one more PING. It goes out in the same way after what others wrote, or a peer
would know by it what is ours. What did not go by PUSH is found to be there when a sync finds both to have the
same.
"""

from __future__ import annotations

from node.clock import earliest
from node.mesh.packed import Packed
from node.wire.frames import ID_BYTES, MAX_IDS

ASK_AFTER = 0.1
"""Seconds that envelopes are gathered before a peer is asked."""
ASK_EVERY = 3.0
"""Seconds between two questions on one link, however much passes."""
ASK_AGAIN = 1.0
"""Seconds until a link is tried again on which no question can be put now."""
MAX_ASKED = 16 * MAX_IDS
"""Envelopes asked about at once on one link; of more the next sync tells."""


class _Line:
    """One link: what was pushed on it since the last question, and what the question under way is about.

    `more` says whether anything passed since, of whomever.
    """

    __slots__ = ("asked", "asked_at", "at", "more", "open", "pushed")

    def __init__(self) -> None:
        self.pushed = Packed(ID_BYTES)
        self.asked = Packed(ID_BYTES)
        self.at: float | None = None
        self.asked_at = float("-inf")
        self.open = self.more = False


class Holding:
    """What each link was given of ours; ids are their first 16 bytes."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}
        self._soon: float | None = None
        self._known = True

    @property
    def deadline(self) -> float | None:
        """When a peer is next to be asked."""
        if not self._known:
            self._soon, self._known = earliest(*(line.at for line in self._lines.values())), True
        return self._soon

    def pushed(self, link: int, prefix: bytes, *, now: float) -> None:
        """An envelope of ours was put on a link's queue."""
        self.passed(link, now=now)
        line = self._lines[link]
        if len(line.pushed) < MAX_ASKED:
            line.pushed.append(prefix)

    def passed(self, link: int, *, now: float) -> None:
        """An envelope, of whomever, is there at the other end of a link or on its way."""
        line = self._lines.get(link)
        if line is None:
            line = self._lines[link] = _Line()
        line.more = True
        if line.at is None and not line.open:
            self._plan(line, max(now + ASK_AFTER, line.asked_at + ASK_EVERY))

    def _plan(self, line: _Line, at: float) -> None:
        line.at = at
        self._soon = earliest(self._soon, at)

    def due(self, *, now: float) -> list[int]:
        """Return the links on which to ask now."""
        if self.deadline is None or now < self.deadline:
            return []
        return [link for link, line in self._lines.items() if line.at is not None and now >= line.at]

    def asked(self, link: int, *, now: float) -> None:
        """A PING goes out on a link, behind everything pushed on it so far."""
        line = self._lines.get(link)
        if line is None or line.open:
            return  # the answer to the PING before says nothing of what was pushed since
        self._known = False
        line.asked, line.pushed, line.at, line.asked_at = line.pushed, Packed(ID_BYTES), None, now
        line.open, line.more = True, False

    def later(self, link: int, *, now: float) -> None:
        """The link cannot ask yet."""
        self._known = False
        self._lines[link].at = now + ASK_AGAIN

    def answered(self, link: int, *, now: float) -> list[bytes]:
        """The peer has answered; return what it has, to be told once."""
        line = self._lines.get(link)
        if line is None:
            return []
        taken, line.asked, line.open = list(line.asked), Packed(ID_BYTES), False
        if line.more and line.at is None:
            self._plan(line, max(now + ASK_AFTER, line.asked_at + ASK_EVERY))
        return taken

    def closed(self, link: int) -> None:
        """A link is gone, and with it whether what was on its way arrived."""
        self._known = False
        self._lines.pop(link, None)

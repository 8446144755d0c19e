"""What peers ask of us: read a run of parts at a time, sent behind all that is live (docs/protocol.md 10).

Nothing is read before a peer has taken what was read for it, so one that asks and does not read costs eight
parts; who has no claim on us gets its parts at a steady rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from node.wire.frames import MAX_PART_BYTES, Fetch, Part

MAX_ASKED = 32
"""FETCHes of one link that wait for an answer: twice what an honest peer has under way."""
RUN = 8
"""Parts read at once, 192 KiB, and as many wait to be sent at most."""
STRANGER_RATE = 4 * 1024 * 1024
"""Bytes a second for those who have no claim on us: a FETCH of 40 bytes brings 24 KiB."""
BURST = 1.0
"""Seconds of that rate that are given at once."""


@dataclass(slots=True)
class _Line:
    trusted: bool
    waiting: deque[tuple[bytes, int]] = field(default_factory=deque)
    reading: tuple[bytes, int, int] | None = None
    ready: deque[Part] = field(default_factory=deque)
    owing: float = float("-inf")
    held_back: bool = False

    @property
    def asked(self) -> int:
        return len(self.waiting) + len(self.ready) + (self.reading[2] if self.reading else 0)


@dataclass(frozen=True, slots=True)
class Read:
    """Read `count` parts of a block, from `index` on; answered by `on_read` with the same ticket."""

    ticket: int
    block: bytes
    index: int
    count: int


class Giving:
    """The FETCHes that wait, by link."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}
        self._tickets: dict[int, int] = {}
        self._last = 0

    def opened(self, number: int, *, trusted: bool) -> None:
        """A link is live."""
        self._lines[number] = _Line(trusted)

    def closed(self, number: int) -> None:
        """A link is gone."""
        self._lines.pop(number, None)

    def on_fetch(self, number: int, frame: Fetch) -> bool:
        """Take a FETCH; False if too many wait."""
        line = self._lines[number]
        if line.asked >= MAX_ASKED:
            return False
        line.waiting.append((frame.object, frame.index))
        return True

    def owes(self, number: int) -> bool:
        """Whether there is anything to read for a link, or to send on it."""
        line = self._lines.get(number)
        return line is not None and bool(line.waiting or line.ready)

    def read(self, number: int) -> Read | None:
        """Return what to read now for a link: the next parts in a row."""
        line = self._lines.get(number)
        if line is None or not line.waiting or line.reading is not None or len(line.ready) > RUN // 2:
            return None
        block, first = line.waiting.popleft()
        count = 1
        while count < RUN - len(line.ready) and line.waiting and line.waiting[0] == (block, first + count):
            line.waiting.popleft()
            count += 1
        line.reading = (block, first, count)
        self._last += 1
        self._tickets[self._last] = number
        return Read(self._last, block, first, count)

    def on_read(self, ticket: int, data: bytes | None) -> int | None:
        """Take what was read, nothing if the block is not here; returns the link that it is for."""
        number = self._tickets.pop(ticket, None)
        line = None if number is None else self._lines.get(number)
        if line is None or line.reading is None:
            return None
        block, first, count = line.reading
        line.reading = None
        for step in range(count):
            part = (data or b"")[step * MAX_PART_BYTES : (step + 1) * MAX_PART_BYTES]
            line.ready.append(Part(block, first + step, part))
        return number

    def next(self, number: int, *, now: float) -> Part | None:
        """Return the next part to send on a link, if it may be sent now."""
        line = self._lines.get(number)
        if line is None or not line.ready:
            return None
        line.held_back = now < line.owing - BURST
        if line.held_back:
            return None
        part = line.ready.popleft()
        if not line.trusted:
            line.owing = max(now, line.owing) + len(part.data) / STRANGER_RATE
        return part

    @property
    def deadline(self) -> float | None:
        """When a stranger may be sent more."""
        return min((line.owing - BURST for line in self._lines.values() if line.held_back), default=None)

    def due(self, *, now: float) -> None:
        """It is time to send on: `next` gives more."""
        for line in self._lines.values():
            line.held_back = line.held_back and now < line.owing - BURST

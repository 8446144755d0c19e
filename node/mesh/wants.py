"""Envelopes that peers said they have and we lack: who is asked for which, and who next (docs/protocol.md 5).

One peer at a time is asked for an envelope. If it does not answer, another that announced it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from node.wire.frames import MAX_IDS

MAX_WANTED = 1 << 17
"""Ids wanted at once, over all links, about 11 MiB; the next sync finds what did not fit."""
MAX_WANTED_OF_LINK = 6_144
"""Of these on one link, about 500 KiB: a peer that announces what nobody has crowds out no other."""
MAX_FLIGHTS = 2
"""WANTs under way on one link: one being answered, one on its way there."""
MAX_HOLDERS = 3
"""Peers remembered for one id."""
MAX_OWED = 6
"""WANTs of one link without an answer, those included that were given to others meanwhile; a peer answers
one after the other and takes eight. Who owes so many is asked for nothing more."""
ANSWER_WITHIN = 20.0
"""Seconds without an envelope before a peer's WANTs are given to others."""


@dataclass(slots=True)
class _Line:
    """What one link is to be asked for, and what it was; `late` are WANTs that others were given since."""

    waiting: deque[bytes] = field(default_factory=deque)
    flights: deque[tuple[bytes, ...]] = field(default_factory=deque)
    moved_at: float = 0.0
    late: int = 0
    alone: tuple[int, ...] = ()
    """Stands for an id that this link alone is known to have: one for all of them."""

    @property
    def owes_too_much(self) -> bool:
        return self.late + len(self.flights) >= MAX_OWED

    @property
    def may_be_asked(self) -> bool:
        return len(self.flights) < MAX_FLIGHTS and not self.owes_too_much


class Wants:
    """The wanted ids over all links; a link is known from `opened` to `closed`."""

    def __init__(self) -> None:
        self._holders: dict[bytes, tuple[int, ...]] = {}
        self._lines: dict[int, _Line] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def opened(self, link: int) -> None:
        """A link can be asked from now on."""
        self._lines[link] = _Line(alone=(link,))

    def closed(self, link: int) -> set[int]:
        """A link is gone; return the links that take over."""
        line = self._lines.pop(link, None)
        return set() if line is None else self._pass_on(link, [*line.waiting, *sum(line.flights, ())])

    def announced(self, link: int, prefix: bytes) -> bool:
        """`link` has an envelope that we lack; False if there is no room to remember it."""
        holders = self._holders.get(prefix)
        if holders is not None:
            if link not in holders and len(holders) < MAX_HOLDERS:
                self._holders[prefix] = (*holders, link)
            return True
        line = self._lines.get(link)
        if line is None or line.owes_too_much or len(line.waiting) >= MAX_WANTED_OF_LINK:
            return False
        if len(self._holders) >= MAX_WANTED:
            return False
        self._holders[prefix] = line.alone
        line.waiting.append(prefix)
        return True

    def arrived(self, prefix: bytes) -> None:
        """An envelope is here, whoever sent it, or is wanted no more."""
        self._holders.pop(prefix, None)

    def to_ask(self, link: int, *, now: float) -> Iterator[tuple[bytes, ...]]:
        """Yield the ids of each WANT to send on a link now, and count them as asked."""
        line = self._lines.get(link)
        while line is not None and line.waiting and line.may_be_asked:
            flight: list[bytes] = []
            while line.waiting and len(flight) < MAX_IDS:
                prefix = line.waiting.popleft()
                if self._asked_of(prefix) == link:
                    flight.append(prefix)
            if not flight:
                return
            if not line.flights:
                line.moved_at = now
            line.flights.append(tuple(flight))
            yield tuple(flight)

    def expects(self, link: int) -> bool:
        """Whether a link owes us an answer to a WANT."""
        line = self._lines.get(link)
        return line is not None and bool(line.flights or line.late)

    def idle(self, link: int) -> bool:
        """Whether nothing is asked or to be asked of a link."""
        line = self._lines.get(link)
        return line is None or not (line.flights or line.waiting)

    def moved(self, link: int, *, now: float) -> None:
        """A link is answering."""
        line = self._lines.get(link)
        if line is not None:
            line.moved_at = now

    def answered(self, link: int) -> set[int]:
        """The oldest WANT of a link has its last answer; return the links that take over the rest."""
        line = self._lines.get(link)
        if line is None or line.late:
            if line is not None:
                line.late -= 1  # what it owes longest comes first, and others were asked for that
            return set()
        return self._pass_on(link, line.flights.popleft()) if line.flights else set()

    def gone(self, link: int, prefixes: tuple[bytes, ...]) -> set[int]:
        """A link has not got these after all; return the links that take over."""
        return self._pass_on(link, prefixes)

    def overdue(self, *, now: float) -> set[int]:
        """Take the WANTs of links that stopped answering; return the links concerned, old and new."""
        late = [n for n, line in self._lines.items() if line.flights and now >= line.moved_at + ANSWER_WITHIN]
        touched: set[int] = set()
        for link in late:
            line = self._lines[link]
            unanswered = sum(line.flights, ())
            line.late += len(line.flights)
            line.flights.clear()
            if line.owes_too_much:
                unanswered += tuple(line.waiting)
                line.waiting.clear()
            touched |= {link} | self._pass_on(link, unanswered)
        return touched

    @property
    def deadline(self) -> float | None:
        """When the next WANT is overdue."""
        waiting = [line.moved_at + ANSWER_WITHIN for line in self._lines.values() if line.flights]
        return min(waiting, default=None)

    def _asked_of(self, prefix: bytes) -> int | None:
        holders = self._holders.get(prefix)
        return holders[0] if holders else None

    def _can_ask(self, link: int) -> bool:
        line = self._lines.get(link)
        return line is not None and not line.owes_too_much

    def _pass_on(self, link: int, prefixes: list[bytes] | tuple[bytes, ...]) -> set[int]:
        touched: set[int] = set()
        for prefix in prefixes:
            if self._asked_of(prefix) != link:
                continue
            holders = [n for n in self._holders[prefix][1:] if self._can_ask(n)]
            if not holders:
                del self._holders[prefix]
                continue
            line = self._lines[holders[0]]
            self._holders[prefix] = tuple(holders) if len(holders) > 1 else line.alone
            line.waiting.append(prefix)
            touched.add(holders[0])
        return touched

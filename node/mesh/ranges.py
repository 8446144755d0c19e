"""What to say of which range: two nodes find out in which ids a day of theirs differs (docs/protocol.md 6).

Negentropy V1. Who opens says a fingerprint for each of a few ranges; each answer cuts the ranges that differ
into smaller ones, until they are so small that their ids are said. The opener learns what either side lacks;
who answers learns and remembers nothing, so the ids that the opener has are not said to it: a fingerprint
makes it say its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from node.mesh.days import Entry
from node.mesh.index import Items
from node.wire.negentropy import END, ID_BYTES, Bound, Range, Writer, count_ranges, read

BUCKETS = 16
"""Ranges that a large one is cut into."""
FEW = 2 * BUCKETS
"""Ids below which all of them are said: 1 KiB, about what the ranges and the next message would take."""
SMALL = FEW * BUCKETS
"""Ids up to which a range is cut into ranges of BUCKETS ids, so that the ids are said next.

At 100 differences in 100,000 this makes 16, 256, then some 80 x 24 ranges, each of these messages and the ids
after them below MAX_MESSAGE: with 16 ranges each time the ids would take half as much again.
"""
MAX_MESSAGE = 60_000
"""Bytes of a message that we make: with the fields of its frame it stays under 60 KiB."""
MAX_HAVE = 1 << 13
"""Entries that one comparison shows the peer to lack; a few bytes can say that it lacks all, and one round
finds as many in the time in which they are sent."""
_ROOM = 128
"""Of these, kept for the range that says that the rest comes later: two bounds, two modes, a fingerprint."""
_MOST_PER_RANGE = 61
"""Bytes of one fingerprint with its bound: 10 + 1 + 32 + 1 + 16, and one to spare."""


@dataclass(slots=True)
class Found:
    """What an opener has learnt: ids the other side has and we lack, entries of ours that it lacks, in order.

    What comes after a range that was put off may be said twice.
    """

    need: dict[bytes, None] = field(default_factory=dict)
    have: dict[Entry, None] = field(default_factory=dict)


def begin(items: Items, end: Bound = END, *, limit: int = MAX_MESSAGE) -> bytes:
    """Return the first message, about all ids before `end`."""
    speaker = _Speaker(items, limit, opener=True)
    speaker.cut(0, items.rank(end), end, end)
    return speaker.message()


def answer(items: Items, message: bytes, *, limit: int = MAX_MESSAGE) -> bytes:
    """Return what the one who did not open says to a message.

    Raises:
        DecodeError: If the message is not one.
    """
    return _reply(items, message, limit, None)


def go_on(
    items: Items, message: bytes, found: Found, *, limit: int = MAX_MESSAGE, room: int | None = None
) -> bytes | None:
    """Take an answer as the opener, note what it shows; return the next message, None when all is known.

    About `room` entries that the other side lacks are noted, if it is given, else MAX_HAVE.

    Raises:
        DecodeError: If the message is not one; nothing is noted.
    """
    said = _reply(items, message, limit, found, MAX_HAVE if room is None else room)
    return said if len(said) > 1 else None


def work_of(message: bytes) -> int:
    """Return about how much work a message is: its ranges, and the ids in them."""
    return max(1 + len(message) // 16, count_ranges(message))


def _reply(items: Items, message: bytes, limit: int, found: Found | None, most: int = 0) -> bytes:
    ranges = read(message)
    speaker = _Speaker(items, limit, opener=found is not None)
    end = next((said.bound for said in reversed(ranges) if _tells(said)), END)
    low = 0
    for said in ranges:
        high = items.rank(said.bound)
        if said.fingerprint is not None and said.fingerprint != items.fingerprint(low, high):
            speaker.cut(low, high, said.bound, end)
        elif said.ids is not None and found is not None:
            room = max(0, most - len(found.have)) + len(said.ids)
            _compare(items.entries(low, min(high, low + room)), said.ids, found)
            speaker.skip(said.bound)
        elif said.ids is not None:
            speaker.tell(low, high, said.bound, end)
        else:
            speaker.skip(said.bound)
        if speaker.full:
            break
        low = high
    return speaker.message()


def _tells(said: Range) -> bool:
    return said.fingerprint is not None or said.ids is not None


def _compare(ours: list[Entry], theirs: tuple[bytes, ...], found: Found) -> None:
    named, known = set(theirs), {eid for _, eid in ours}
    found.have |= dict.fromkeys(entry for entry in ours if entry[1] not in named)
    found.need |= dict.fromkeys(eid for eid in theirs if eid not in known)


class _Speaker:
    """A message that is being made; `full` when it ends with a promise to say the rest later."""

    def __init__(self, items: Items, limit: int, *, opener: bool) -> None:
        self.full = False
        self._opener = opener
        self._items = items
        self._limit = limit - _ROOM
        self._out = Writer()
        self._skipped: Bound | None = None

    def message(self) -> bytes:
        return self._out.message()

    def skip(self, bound: Bound) -> None:
        """Nothing needs to be said up to `bound`; that is written only if something comes after it."""
        self._skipped = bound

    def cut(self, low: int, high: int, bound: Bound, end: Bound) -> None:
        """Say fingerprints of parts of a range, or its ids if these are few."""
        ask = self._opener and low < high < low + FEW
        if high - low < FEW and not ask:
            self.tell(low, high, bound, end)
            return
        edges = [low, high] if ask else _edges(low, high)
        if len(self._out) + (len(edges) - 1) * _MOST_PER_RANGE > self._limit:
            self._put_off(low, end)
            return
        for first, last in itertools.pairwise(edges):
            upper = bound if last == high else self._between(last)
            self._say(Range(upper, fingerprint=self._items.fingerprint(first, last)))

    def tell(self, low: int, high: int, bound: Bound, end: Bound) -> None:
        """Say the ids of a range, or as many as there is room for."""
        room = (self._limit - len(self._out)) // ID_BYTES - 2
        if high - low <= room:
            self._say(Range(bound, ids=self._ids(low, high)))
        elif room < FEW:
            self._put_off(low, end)
        else:
            self._say(Range(self._between(low + room), ids=self._ids(low, low + room)))
            self._put_off(low + room, end)

    def _ids(self, low: int, high: int) -> tuple[bytes, ...]:
        return tuple(eid for _, eid in self._items.entries(low, high))

    def _between(self, rank: int) -> Bound:
        """Return the shortest bound between the entry of a rank and the one before it."""
        (ts_before, before), (ts, eid) = self._items[rank - 1], self._items[rank]
        if ts != ts_before:
            return ts, b""
        same = next(at for at in range(ID_BYTES) if eid[at] != before[at])
        return ts, eid[: same + 1]

    def _put_off(self, low: int, end: Bound) -> None:
        """The message is full: all that is left becomes one range, to be cut in the next."""
        high = self._items.rank(end)
        self._say(Range(end, fingerprint=self._items.fingerprint(low, max(low, high))))
        self.full = True

    def _say(self, said: Range) -> None:
        if self._skipped is not None:
            self._out.add(Range(self._skipped))
            self._skipped = None
        self._out.add(said)


def _edges(low: int, high: int) -> list[int]:
    """Return where a range is cut: into BUCKETS parts, or into parts of BUCKETS ids if it is small."""
    size = high - low
    parts = BUCKETS if size > SMALL else size // BUCKETS
    return [low + size * part // parts for part in range(parts + 1)]

"""What is missing in a room: indexes of a device that were jumped over, and messages that only others name.

A hole is noted in the transaction that makes it, so that a crash forgets none. It is waited for as long as a
message is held back; then it is shown as a placeholder and asked for until it is filled or 35 days old
(docs/crypto.md 3.8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from node.chat.timeline import Patience
from node.chat.turn import Turn
from node.tables import Table

MAX_HOLES = 512
"""Holes a room keeps; of more, the oldest of whoever made the most is asked for no longer."""
MAX_NAMED = 32
"""Of these, those that one account has named: whoever makes up names has all members ask for them."""

LOST, GONE, NAMED = "lost", "keys_gone", "unknown"
"""Why something cannot be read: it never came; its keys were given up before it came; others refer to it, and
nobody has brought it."""


@dataclass(frozen=True)
class Hole:
    """One run of what is missing. `lacking` has a bit for each index from `first` on, or `names` the ids.

    `author` is an account, empty where it is not known; `placeholder` and `seq` are where it is shown,
    `tries` and `due_ms` (wall clock) how often it was asked for and when it is next; `heard`: it is left to
    others this time, since they asked; `quiet`: it is asked for without being shown, for it may be nothing.
    """

    room_id: bytes
    epoch16: bytes
    device_id: bytes
    author: bytes
    first: int
    lacking: bytes
    names: tuple[bytes, ...]
    since_ms: int
    why: str = LOST
    placeholder: bytes = b""
    seq: int = 0
    tries: int = 0
    due_ms: int = 0
    heard: bool = False
    quiet: bool = False

    @property
    def key(self) -> bytes:
        """What tells it from others of the room: its chain and first index, or who named it."""
        return self.epoch16 + self.device_id + self.first.to_bytes(4, "big")

    @property
    def bits(self) -> int:
        """The missing indexes as a number, the lowest bit being that of `first`."""
        return int.from_bytes(self.lacking, "little")

    @property
    def missing(self) -> int:
        """How many messages it lacks."""
        return self.bits.bit_count() + len(self.names)

    def lacks(self, index: int) -> bool:
        """Say whether an index is missing."""
        return 0 <= index - self.first < len(self.lacking) * 8 and bool(self.bits >> (index - self.first) & 1)

    def lacks_any(self, first: int, last: int) -> bool:
        """Say whether one of these indexes, both included, is missing."""
        low, high = max(first, self.first), min(last, self.first + len(self.lacking) * 8)
        return low <= high and bool(self.bits >> (low - self.first) & ((1 << (high - low + 1)) - 1))

    def beside(self, others: Iterable[Hole]) -> Hole:
        """Return the hole without what others lack already."""
        bits = self.bits
        for other in others:
            shift = other.first - self.first
            bits &= ~(other.bits << shift if shift >= 0 else other.bits >> -shift)
        return replace(self, lacking=_packed(bits))

    def without(self, index: int) -> Hole:
        """Return the hole without an index that has come."""
        return replace(self, lacking=_packed(self.bits & ~(1 << (index - self.first))))

    def unnamed(self, mid: bytes) -> Hole:
        """Return the hole without a message that it named and that has come."""
        return replace(self, names=tuple(name for name in self.names if name != mid))

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the missing indexes as (first, last), both included, lowest first."""
        bits, at = self.bits, self.first
        while bits:
            skip = (bits & -bits).bit_length() - 1
            bits, at = bits >> skip, at + skip
            length = (~bits & (bits + 1)).bit_length() - 1
            yield at, at + length - 1
            bits, at = bits >> length, at + length


def _packed(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def run_of(first: int, end: int) -> bytes:
    """Return `lacking` for all of [first, end)."""
    return _packed((1 << (end - first)) - 1)


def of_names(room_id: bytes, names: tuple[bytes, ...], namer: bytes, since_ms: int, *, quiet: bool) -> Hole:
    """Return a hole of messages known by name alone; `namer` (16 bytes) stands for who named them."""
    return Hole(room_id, names[0], namer, b"", 0, b"", names, since_ms, NAMED, quiet=quiet)


class Holes:
    """The holes of one room, those that are still waited for with their patience."""

    def __init__(self, room_id: bytes) -> None:
        self.room_id = room_id
        self.all: dict[bytes, Hole] = {}
        self.waiting: dict[bytes, Patience] = {}
        self._chains: dict[bytes, set[bytes]] = {}

    def restore(self, hole: Hole) -> None:
        """Take a stored hole back; the clock of one that is not shown yet stands until there is a link."""
        self._take(hole)
        if not hole.placeholder and not hole.quiet:
            self.waiting[hole.key] = Patience()

    def _take(self, hole: Hole) -> None:
        self.all[hole.key] = hole
        self._chains.setdefault(hole.key[:32], set()).add(hole.key)

    def save(self, turn: Turn, hole: Hole) -> None:
        """Keep a hole as it is now, and forget one that lacks nothing more."""
        if not hole.missing:
            self.forget(turn, hole)
            return
        self._take(hole)
        turn.put(Table.PENDING, b"h" + self.room_id + hole.key, hole)
        named = [h for h in self.all.values() if h.names and h.device_id == hole.device_id]
        if hole.names and len(named) > MAX_NAMED:
            self.forget(turn, min((h for h in named if h is not hole), key=lambda h: h.since_ms))
        if len(self.all) > MAX_HOLES:
            made = Counter(other.device_id for other in self.all.values())
            others = [other for other in self.all.values() if other is not hole]
            self.forget(turn, min(others, key=lambda h: (-made[h.device_id], h.since_ms)))

    def forget(self, turn: Turn, hole: Hole) -> None:
        """Ask no more for a hole; its placeholder stays what it is."""
        if self.all.pop(hole.key, None) is not None:
            self.waiting.pop(hole.key, None)
            chain = self._chains[hole.key[:32]]
            chain.discard(hole.key)
            if not chain:
                del self._chains[hole.key[:32]]
            turn.delete(Table.PENDING, b"h" + self.room_id + hole.key)

    def at(self, epoch16: bytes, device_id: bytes, index: int) -> Hole | None:
        """Return the hole that lacks a device's index."""
        for key in self._chains.get(epoch16 + device_id, ()):
            if self.all[key].lacks(index):
                return self.all[key]
        return None

    def named(self, mid: bytes) -> Hole | None:
        """Return the hole of a message that only others have named."""
        return next((hole for hole in self.all.values() if mid in hole.names), None)

    def of(self, epoch16: bytes, device_id: bytes) -> list[Hole]:
        """Return the holes of one chain."""
        return [self.all[key] for key in self._chains.get(epoch16 + device_id, ())]

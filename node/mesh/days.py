"""The accepted ids of one day in order, in blocks: adding one, and the sum of any run of them, cost little.

A comparison of ranges asks for thousands of sums (docs/protocol.md section 6), and catching up adds ids at
any place: with one list and one running sum, each of the two would pay for what the other had changed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TypeAlias

Entry: TypeAlias = tuple[int, bytes]
"""(ts_ms, 32-byte eid): the order in which envelopes are listed, compared and sent."""

BLOCK = 512
"""Entries of a block; it is halved at twice as many."""
_STEP = 32
"""Entries between two running sums within a block: what a sum adds up afresh, at most."""


class _Block:
    __slots__ = ("_marks", "entries", "total")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.total = _added(entries)
        self._marks: list[int] | None = None

    def changed(self, by: int) -> None:
        self.total += by
        self._marks = None

    def sum_before(self, spot: int) -> int:
        """Return the sum of the first `spot` ids."""
        if spot == len(self.entries):
            return self.total
        if self._marks is None:
            self._marks = [0]
            for start in range(0, len(self.entries) - _STEP, _STEP):
                self._marks.append(self._marks[-1] + _added(self.entries[start : start + _STEP]))
        mark = min(spot // _STEP, len(self._marks) - 1)
        return self._marks[mark] + _added(self.entries[mark * _STEP : spot])


class Day:
    """Ids of one day, ordered by (ts_ms, eid); a rank counts from 0."""

    __slots__ = ("_blocks", "_lasts", "_ranks", "_size", "_sums", "total")

    def __init__(self) -> None:
        self.total = 0
        """The sum of all ids as little-endian integers, not yet cut to 256 bits."""
        self._size = 0
        self._blocks: list[_Block] = []
        self._lasts: list[Entry] = []
        self._ranks = [0]  # of the first entry of each block, as far as known
        self._sums = [0]  # of all ids before each block, as far

    def __len__(self) -> int:
        return self._size

    def add(self, entry: Entry) -> None:
        """Put an id in that is not there."""
        spot = min(bisect_left(self._lasts, entry), len(self._lasts) - 1)
        if spot < 0:
            self._blocks.append(_Block([]))
            self._lasts.append(entry)
            spot = 0
        block = self._blocks[spot]
        insort(block.entries, entry)
        value = int.from_bytes(entry[1], "little")
        block.changed(value)
        self.total += value
        self._size += 1
        self._lasts[spot] = block.entries[-1]
        if len(block.entries) >= 2 * BLOCK:
            self._split(spot)
        self._forget(spot)

    def _split(self, spot: int) -> None:
        """Make two of a block; one that grows at its end stays nearly full, as days do that pass."""
        entries = self._blocks[spot].entries
        middle = BLOCK
        self._blocks[spot : spot + 1] = [_Block(entries[:middle]), _Block(entries[middle:])]
        self._lasts[spot : spot + 1] = [entries[middle - 1], entries[-1]]

    def remove(self, entry: Entry) -> None:
        """Take an id out that is there."""
        spot = bisect_left(self._lasts, entry)
        block = self._blocks[spot]
        del block.entries[bisect_left(block.entries, entry)]
        value = int.from_bytes(entry[1], "little")
        block.changed(-value)
        self.total -= value
        self._size -= 1
        if block.entries:
            self._lasts[spot] = block.entries[-1]
        else:
            del self._blocks[spot], self._lasts[spot]
        self._forget(spot)

    def _forget(self, spot: int) -> None:
        del self._ranks[spot + 1 :], self._sums[spot + 1 :]

    def _reach(self, spot: int) -> None:
        """Make the running sums up to the block of number `spot`."""
        while len(self._ranks) <= spot:
            block = self._blocks[len(self._ranks) - 1]
            self._ranks.append(self._ranks[-1] + len(block.entries))
            self._sums.append(self._sums[-1] + block.total)

    def rank(self, key: Entry) -> int:
        """Return how many entries come before `key`, an entry or (ts_ms, beginning of an id)."""
        spot = bisect_left(self._lasts, key)
        if spot == len(self._lasts):
            return self._size
        self._reach(spot)
        return self._ranks[spot] + bisect_left(self._blocks[spot].entries, key)

    def sum_before(self, rank: int) -> int:
        """Return the sum of the first `rank` ids."""
        if rank >= self._size:
            return self.total
        spot = self._block_of(rank)
        return self._sums[spot] + self._blocks[spot].sum_before(rank - self._ranks[spot])

    def __getitem__(self, rank: int) -> Entry:
        spot = self._block_of(rank)
        return self._blocks[spot].entries[rank - self._ranks[spot]]

    def run(self, low: int, high: int) -> list[Entry]:
        """Return the entries of rank `low` up to, not including, `high`."""
        found: list[Entry] = []
        while low < min(high, self._size):
            spot = self._block_of(low)
            start = low - self._ranks[spot]
            page = self._blocks[spot].entries[start : start + high - low]
            found += page
            low += len(page)
        return found

    def _block_of(self, rank: int) -> int:
        if self._ranks[-1] <= rank:
            self._reach(len(self._blocks) - 1)
        return bisect_right(self._ranks, rank) - 1


def _added(entries: list[Entry]) -> int:
    return sum(int.from_bytes(eid, "little") for _, eid in entries)

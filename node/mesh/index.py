"""Which envelopes were accepted and have not expired, by day, and what two nodes compare to agree on them.

The fingerprint of a set is negentropy V1's: the sum of its 32-byte ids modulo 2^256 (little endian) and its
size as a varint, hashed by SHA-256, 16 bytes of it. It is a sum, so it costs the same however large the set
grows (docs/protocol.md section 6).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from hashlib import sha256

from node.clock import DAY_MS

ID_BYTES = 16
_MARK_EVERY = 256
"""Entries between two running sums: what a fingerprint of part of a day adds up afresh, at most."""
SPARE = 4096
"""Expiries of ids that were taken out early which are not looked for: 400 KB."""
_MODULUS_BYTES = 32
_MASK = (1 << 8 * _MODULUS_BYTES) - 1


def fingerprint(total: int, count: int) -> bytes:
    """Return the 16 bytes that stand for a set of `count` ids whose little-endian sum is `total`."""
    summed = (total & _MASK).to_bytes(_MODULUS_BYTES, "little")
    return sha256(summed + _varint(count)).digest()[:ID_BYTES]


def _varint(number: int) -> bytes:
    """Base 128, most significant digit first, the top bit set on all but the last (negentropy V1)."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


class _Day:
    """The accepted ids of one day, ordered by (ts_ms, eid), with running sums that are made when needed."""

    __slots__ = ("_marks", "entries", "total")

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.total = 0
        self._marks = [0]  # sum of the first 256 x i entries

    def add(self, entry: tuple[int, bytes]) -> None:
        if not self.entries or entry > self.entries[-1]:
            self.entries.append(entry)
        else:
            insort(self.entries, entry)
            self._stale(bisect_left(self.entries, entry))
        self.total += int.from_bytes(entry[1], "little")

    def remove(self, entry: tuple[int, bytes]) -> None:
        spot = bisect_left(self.entries, entry)
        del self.entries[spot]
        self._stale(spot)
        self.total -= int.from_bytes(entry[1], "little")

    def _stale(self, spot: int) -> None:
        del self._marks[spot // _MARK_EVERY + 1 :]

    def sum_before(self, spot: int) -> int:
        marks = self._marks
        while len(marks) <= spot // _MARK_EVERY:
            start = (len(marks) - 1) * _MARK_EVERY
            marks.append(marks[-1] + self._sum(start, start + _MARK_EVERY))
        return marks[spot // _MARK_EVERY] + self._sum(spot - spot % _MARK_EVERY, spot)

    def _sum(self, start: int, end: int) -> int:
        return sum(int.from_bytes(eid, "little") for _, eid in self.entries[start:end])


class Index:
    """Accepted ids; grows with what the horizon holds, about 250 bytes an envelope."""

    def __init__(self, known: Iterable[tuple[bytes, int, int]]) -> None:
        self._by_prefix: dict[bytes, tuple[int, bytes]] = {}
        self._days: dict[int, _Day] = {}
        self._expiry: list[tuple[int, bytes]] = []
        for eid, ts_ms, expires_ms in known:
            self.add(eid, ts_ms, expires_ms)

    def __contains__(self, prefix: bytes) -> bool:
        return prefix in self._by_prefix

    def __len__(self) -> int:
        return len(self._by_prefix)

    def add(self, eid: bytes, ts_ms: int, expires_ms: int) -> bool:
        """Count an envelope as accepted; False if it was already."""
        prefix = eid[:ID_BYTES]
        if prefix in self._by_prefix:
            return False
        entry = self._by_prefix[prefix] = (ts_ms, eid)
        day = self._days.get(ts_ms // DAY_MS)
        if day is None:
            day = self._days[ts_ms // DAY_MS] = _Day()
        day.add(entry)
        heapq.heappush(self._expiry, (expires_ms, prefix))
        return True

    def discard(self, eid: bytes) -> None:
        """Take an id out; nothing happens if it is not in."""
        entry = self._by_prefix.pop(eid[:ID_BYTES], None)
        if entry is None:
            return
        number = entry[0] // DAY_MS
        self._days[number].remove(entry)
        if not self._days[number].entries:
            del self._days[number]

    def expire(self, now_ms: int) -> None:
        """Take out everything that expires by `now_ms`."""
        while self._expiry and self._expiry[0][0] <= now_ms:
            self.discard(heapq.heappop(self._expiry)[1])

    def forget(self, eids: Iterable[bytes]) -> None:
        """Take ids out; and the expiries of those that are out, once they are more than what is in."""
        for eid in eids:
            self.discard(eid)
        if len(self._expiry) > 2 * len(self._by_prefix) + SPARE:
            self._expiry = list({entry for entry in self._expiry if entry[1] in self._by_prefix})
            heapq.heapify(self._expiry)

    def numbers(self) -> list[int]:
        """The days that hold something, ascending."""
        return sorted(self._days)

    def summary(self, day: int, start_ms: int, end_ms: int) -> tuple[int, bytes]:
        """Return count and fingerprint of what a day holds with start <= ts < end."""
        held = self._days.get(day)
        if held is None:
            return 0, fingerprint(0, 0)
        low, high = _spot(held, start_ms), _spot(held, end_ms)
        if low == 0 and high == len(held.entries):
            return high, fingerprint(held.total, high)
        if high <= low:
            return 0, fingerprint(0, 0)
        return high - low, fingerprint(held.sum_before(high) - held.sum_before(low), high - low)

    def starts_with(self, day: int, start_ms: int, count: int, wanted: bytes) -> bool:
        """Say whether the first `count` ids of a day from `start_ms` on have this fingerprint."""
        held = self._days.get(day)
        if held is None:
            return count == 0
        low = _spot(held, start_ms)
        if low + count > len(held.entries):
            return False
        return fingerprint(held.sum_before(low + count) - held.sum_before(low), count) == wanted

    def newest_ms(self, day: int, end_ms: int) -> int | None:
        """Return the time of the newest id of a day before `end_ms`, or None."""
        held = self._days.get(day)
        spot = 0 if held is None else _spot(held, end_ms)
        return held.entries[spot - 1][0] if held is not None and spot else None

    def prefixes(
        self, day: int, after: tuple[int, bytes], end_ms: int, most: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield up to `most` (ts_ms, eid) of a day that come after `after`, before `end_ms`, in order."""
        held = self._days.get(day)
        if held is None:
            return
        low = bisect_left(held.entries, after)
        if low < len(held.entries) and held.entries[low] == after:
            low += 1
        for entry in held.entries[low : low + most]:
            if entry[0] >= end_ms:
                return
            yield entry


def _spot(day: _Day, ts_ms: int) -> int:
    return bisect_left(day.entries, (ts_ms, b""))

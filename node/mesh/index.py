"""Which envelopes were accepted and have not expired, by day, and what two nodes compare to agree on them.

The fingerprint of a set is negentropy V1's: the sum of its 32-byte ids modulo 2^256 (little endian) and its
size as a varint, hashed by SHA-256, 16 bytes of it. It is a sum, so it costs the same however large the set
grows (docs/protocol.md section 6).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from hashlib import sha256

from node.clock import DAY_MS
from node.mesh.days import Day, Entry
from node.wire.negentropy import varint

ID_BYTES = 16
SPARE = 4096
"""Expiries of ids that were taken out early which are not looked for: 400 KB."""
GRACE_MS = 2 * DAY_MS
"""For so long it is known what expired: a clock that goes a day ahead and back lets nothing in twice."""
_MODULUS_BYTES = 32
_MASK = (1 << 8 * _MODULUS_BYTES) - 1


def fingerprint(total: int, count: int) -> bytes:
    """Return the 16 bytes that stand for a set of `count` ids whose little-endian sum is `total`."""
    summed = (total & _MASK).to_bytes(_MODULUS_BYTES, "little")
    return sha256(summed + varint(count)).digest()[:ID_BYTES]


class Index:
    """Accepted ids; grows with what the horizon holds, about 350 bytes an envelope, its id included."""

    def __init__(self, known: Iterable[tuple[bytes, int, int]]) -> None:
        self._by_prefix: dict[bytes, tuple[int, bytes]] = {}
        self._days: dict[int, Day] = {}
        self._expiry: list[tuple[int, bytes]] = []
        self._over: deque[tuple[int, int, bytes]] = deque()
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
            day = self._days[ts_ms // DAY_MS] = Day()
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
        if not self._days[number]:
            del self._days[number]

    def expire(self, now_ms: int) -> None:
        """Take out what expires by `now_ms`; and put in again what does not, if the clock went back."""
        while self._over and self._over[-1][0] > now_ms:
            expires_ms, ts_ms, eid = self._over.pop()
            self.add(eid, ts_ms, expires_ms)
        while self._expiry and self._expiry[0][0] <= now_ms:
            expires_ms, prefix = heapq.heappop(self._expiry)
            if prefix in self._by_prefix:
                ts_ms, eid = self._by_prefix[prefix]
                self._over.append((expires_ms, ts_ms, eid))
                self.discard(eid)
        while self._over and self._over[0][0] <= now_ms - GRACE_MS:
            self._over.popleft()

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

    def items(self, day: int, start_ms: int, end_ms: int) -> Items:
        """Return what a day holds with start <= ts < end, as it is at this moment."""
        return Items(self._days.get(day, _NOTHING), start_ms, end_ms)

    def summary(self, day: int, start_ms: int, end_ms: int) -> tuple[int, bytes]:
        """Return count and fingerprint of what a day holds with start <= ts < end."""
        items = self.items(day, start_ms, end_ms)
        return len(items), items.fingerprint(0, len(items))

    def starts_with(self, day: int, start_ms: int, count: int, wanted: bytes) -> bool:
        """Say whether the first `count` ids of a day from `start_ms` on have this fingerprint."""
        items = self.items(day, start_ms, (day + 1) * DAY_MS)
        return count <= len(items) and items.fingerprint(0, count) == wanted

    def newest_ms(self, day: int, end_ms: int) -> int | None:
        """Return the time of the newest id of a day before `end_ms`, or None."""
        items = self.items(day, day * DAY_MS, end_ms)
        return items[len(items) - 1][0] if len(items) else None

    def newest_before(self, end_ms: int) -> int | None:
        """Return the time of the newest id of all before `end_ms`, or None."""
        times = (self.newest_ms(day, end_ms) for day in self.numbers())
        return max((ts_ms for ts_ms in times if ts_ms is not None), default=None)


class Items:
    """A run of one day's ids, for one comparison to look at; stale as soon as the index changes."""

    __slots__ = ("_day", "_low", "_size")

    def __init__(self, day: Day, start_ms: int, end_ms: int) -> None:
        self._day = day
        self._low = day.rank((start_ms, b""))
        self._size = max(0, day.rank((end_ms, b"")) - self._low)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, rank: int) -> Entry:
        return self._day[self._low + rank]

    def rank(self, key: Entry) -> int:
        """Return how many of these ids come before `key`, (ts_ms, beginning of an id)."""
        return min(max(self._day.rank(key) - self._low, 0), self._size)

    def fingerprint(self, low: int, high: int) -> bytes:
        """Return the 16 bytes that stand for the ids of rank `low` up to, not including, `high`."""
        if low == 0 and high == len(self._day):
            return fingerprint(self._day.total, high)
        low, high = self._low + low, self._low + high
        return fingerprint(self._day.sum_before(high) - self._day.sum_before(low), high - low)

    def entries(self, low: int, high: int) -> list[Entry]:
        """Return the entries of rank `low` up to, not including, `high`."""
        return self._day.run(self._low + low, self._low + min(high, self._size))


_NOTHING = Day()
"""A day without ids."""

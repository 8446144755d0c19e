"""Somebody else's envelopes on their way to the disk: gathered for a second, written beside the loop's work.

What comes at a low rate shares one commit a second. What a catch-up brings is written in slices, while the
next envelopes are checked, and soon after the last has come: a slice is so small that what the loop commits,
which waits behind it on the writing thread, does not wait long. A loss before it is written is repaired by
sync (docs/architecture.md, "One shape everywhere").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from node.clock import earliest
from node.store.records import Gone, PutEnvelope, Write
from node.store.sqlite import SqliteStore

HOLD_SECONDS = 1.0
"""An envelope is on disk within this time, and what else one commit takes."""
SLICE = 128
"""Envelopes that are written without waiting for more: some 10 ms beside 100,000 that are held."""
AT_ONCE = 512
"""Envelopes of one commit, where so many have come while others were written: the more, the fewer pages
change for each. What the loop commits itself waits for one of these at most."""
SLICE_BYTES = 1 << 19
"""Bytes that are written without waiting for more: 16 of the largest envelopes."""
MAX_WAITING = 2_000
"""Envelopes that wait or are being written; with more the loop waits for the disk too."""
MAX_BYTES = 1 << 20
"""Their bytes, for the same: what peers bring is bounded, however slow the disk is."""
BURST = 64
"""Envelopes in a second that nobody types: then the rest is written as soon as no more come."""
QUIET_SECONDS = 0.05
"""For so long none has come when a burst is taken to be over."""


class Gathering:
    """What waits; `told` hears what a commit took away, `ended` of each write that was begun beside."""

    def __init__(
        self, store: SqliteStore, told: Callable[[Gone], None], ended: Callable[[asyncio.Task[None]], None]
    ) -> None:
        self._store, self._told, self._ended = store, told, ended
        self._waiting: list[Write] = []
        self._bytes = self._writing = self._writing_bytes = 0
        self._since = self._last = 0.0
        self._burst_until = float("-inf")
        self._generation = 0
        self._one_by_one = asyncio.Lock()
        self._beside: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, write: Write, *, now: float) -> None:
        """Have this written soon."""
        if not self._waiting:
            self._since = now
        self._waiting.append(write)
        self._bytes += _size(write)
        self._last = now

    def drop(self) -> None:
        """Forget what waits, and who was to be told: the engine is made anew of what is stored."""
        self._waiting, self._bytes = [], 0
        self._generation += 1

    @property
    def deadline(self) -> float | None:
        """When to write next; none while that is being done, which wakes the loop when it ends."""
        if not self._waiting or self._beside is not None:
            return None
        if len(self._waiting) >= SLICE or self._bytes >= SLICE_BYTES:
            return self._since
        bursting = len(self._waiting) >= BURST or self._last < self._burst_until
        return earliest(self._since + HOLD_SECONDS, self._last + QUIET_SECONDS if bursting else None)

    async def due(self, *, now: float) -> None:
        """Begin to write if it is time; where the disk does not keep up, wait for it."""
        soon = self.deadline
        if soon is not None and now >= soon:
            if len(self._waiting) >= BURST:
                self._burst_until = now + HOLD_SECONDS
            self._begin()
        while self._is_full:
            writing = self._beside or self._begin()
            await asyncio.wait({writing})
            if writing.cancelled() or writing.exception():
                return  # who is told of its end knows what to do

    @property
    def _is_full(self) -> bool:
        """Whether as much waits or is being written as may."""
        count, nbytes = len(self._waiting) + self._writing, self._bytes + self._writing_bytes
        return bool(self._waiting) and (count >= MAX_WAITING or nbytes >= MAX_BYTES)

    def _begin(self) -> asyncio.Task[None]:
        """Write a slice beside what goes on."""
        self._beside = asyncio.create_task(self._write(AT_ONCE), name="gathering")
        self._beside.add_done_callback(self._over)
        return self._beside

    def _over(self, task: asyncio.Task[None]) -> None:
        self._beside = None
        self._ended(task)

    async def write(self) -> None:
        """Write all that waits; who reads the store after this finds it, whoever writes it just now."""
        await self._write(len(self._waiting))

    async def _write(self, count: int) -> None:
        """Write so many in slices, between which the loop's own commits have their turn."""
        async with self._one_by_one:
            generation = self._generation
            while count > 0 and self._waiting and generation == self._generation:
                count -= AT_ONCE
                gone = await self._write_slice()
                if generation == self._generation:  # else the engine was made of what is stored by now
                    self._told(gone)

    async def _write_slice(self) -> Gone:
        written, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        self._writing, self._writing_bytes = len(written), sum(map(_size, written))
        self._bytes -= self._writing_bytes
        try:
            return await self._store.commit(written)
        finally:
            self._writing = self._writing_bytes = 0


def _size(write: Write) -> int:
    return len(write.raw) if isinstance(write, PutEnvelope) else 0

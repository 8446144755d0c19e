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
"""Envelopes that are written without waiting for more: some 10 ms beside 100,000 that are held, for as many
pages change as envelopes come. Fewer gain nothing, for more have come when that is done."""
SLICE_BYTES = 1 << 19
"""Or so many bytes of them: 16 of the largest."""
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
        self._bytes += len(write.raw) if isinstance(write, PutEnvelope) else 0
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
            self._beside = asyncio.create_task(self.write(), name="gathering")
            self._beside.add_done_callback(self._over)
        if self._is_full:
            await self.write()

    @property
    def _is_full(self) -> bool:
        """Whether as much waits or is being written as may."""
        count, nbytes = len(self._waiting) + self._writing, self._bytes + self._writing_bytes
        return bool(self._waiting) and (count >= MAX_WAITING or nbytes >= MAX_BYTES)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._beside = None
        self._ended(task)

    async def write(self) -> None:
        """Write all that waits; who reads the store after this finds it, whoever writes it just now."""
        async with self._one_by_one:
            written, self._waiting = self._waiting, []
            generation = self._generation
            if written:
                self._writing, self._writing_bytes, self._bytes = len(written), self._bytes, 0
                try:
                    gone = await self._store.commit(written)
                finally:
                    self._writing = self._writing_bytes = 0
                if generation == self._generation:  # else the engine was made of what is stored by now
                    self._told(gone)

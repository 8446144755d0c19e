"""What holding an envelope for others costs with a full quota and one with room, and a start with 100,000.

All run the same way: the engine's numbers, then the store's commit, 500 envelopes at a time as the loop
gathers them within a second. A full quota lets go of one envelope for each that comes.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from pathlib import Path

from bench.figures import Figures
from node.crypto.vault import StoreKeys
from node.engine.shelving import Shelving
from node.mesh.index import Index
from node.store.sqlite import SqliteStore
from node.wire.envelope import KEPT, Envelope

HELD, SIZE, AT_ONCE, PEERS = 100_000, 659, 500, 40
QUOTA = HELD * SIZE
DAY = 86_400.0
HORIZON_MS = 35 * 86_400_000


def _sealed(number: int) -> Envelope:
    raw = os.urandom(SIZE)
    eid = blake2b(raw, digest_size=32).digest()
    return Envelope(raw, KEPT, 1_000_000_000 + number, 35, os.urandom(32), bytes(64), b"", eid)


async def _hold(store: SqliteStore, shelving: Shelving, count: int, first: int, now: float) -> float:
    """Hold so many more; return the seconds, without those of making them."""
    spent = 0.0
    for start in range(first, first + count, AT_ONCE):
        came = [_sealed(n) for n in range(start, start + AT_ONCE)]
        since = time.perf_counter()
        orders = [
            order
            for n, sealed in enumerate(came)
            for order in shelving.hold(sealed, b"%032d" % (n % PEERS), known=n % 3 == 0, now=now)
        ]
        gone = await store.commit(orders)
        if gone:
            shelving.gone(gone)
        spent += time.perf_counter() - since
    return spent


async def measure(folder: Path, held: int = HELD) -> list[Figures]:
    """Fill a quota, hold on beyond it, and start again."""
    store = await SqliteStore.open(folder / "gossamer.db", StoreKeys(os.urandom(32), (os.urandom(32),)))
    quota, some = held * SIZE, max(AT_ONCE, held // 10)
    try:
        shelving = Shelving(quota, (), (await store.load()).source_of, now=0.0)
        empty = await _hold(store, shelving, some, 0, 0.0)
        for day in range(1, 10):
            large = await _hold(store, shelving, some, day * some, day * DAY)
        full = await _hold(store, shelving, some, 10 * some, 11 * DAY)
        since = time.perf_counter()
        loaded = await store.load()
        index = Index(loaded.envelopes)
        Shelving(quota, loaded.portions, loaded.source_of, now=0.0)
        start = time.perf_counter() - since
    finally:
        await store.close()
    return [
        Figures("hold, the quota empty", some / empty),
        Figures("hold, as much held as may be", some / large),
        Figures(f"hold, full ({full / large:.1f} x the time)", some / full),
        Figures(f"start, {len(index):,} ids: {start:.2f} s", len(index) / start),
    ]

"""kill -9 at a random instant: what was acknowledged is there, and the rest is there whole or not at all."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from node.store.records import Table
from node.store.sqlite import SqliteStore
from tests.store.samples import KEYS, ROOM, mid

ROUNDS = 4
BUSY = 0.25
"""Seconds a round writes at most before it is killed."""
WRITE = """
import asyncio, sys
from pathlib import Path
from node.store.records import AppendEvent, Put, PutMessage, Table
from node.store.sqlite import SqliteStore
from tests.store.samples import KEYS, ROOM, mid

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), KEYS)
    seq = store.last_seq
    print("open", flush=True)
    while True:
        seq += 1
        await store.commit([
            Put(Table.CHAINS, b"index", b"%d" % seq),
            PutMessage(ROOM, mid(seq), seq, b"text %d" % seq),
            AppendEvent(seq, seq, None, (ROOM, mid(seq))),
        ])
        print(seq, flush=True)

asyncio.run(main())
"""


def acknowledged(path: Path, seconds: float) -> int:
    """Run the writer, kill it, and return the last seq that it had said was stored."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    said = writer.communicate()[0]
    whole = said[: said.rfind("\n") + 1].split()
    return int(whole[-1]) if whole else 0


async def stored(path: Path) -> tuple[int, list[tuple[int, bytes]], bytes]:
    store = await SqliteStore.open(path, KEYS)
    await store.check()
    chain = (await store.load()).rows[Table.CHAINS].get(b"index", b"0")
    found = store.last_seq, await store.events_after(0, 1_000_000), chain
    assert found[0] == 0 or await store.message(ROOM, mid(found[0])) is not None
    await store.close()
    return found


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path) -> None:
    rng = Random(9)
    path = tmp_path / "gossamer.db"
    for _ in range(ROUNDS):
        acked = acknowledged(path, rng.random() * BUSY)
        last, events, chain = asyncio.run(stored(path))
        assert last >= acked
        assert events == [(seq, b"text %d" % seq) for seq in range(1, last + 1)]
        assert chain == b"%d" % last
    assert last > ROUNDS

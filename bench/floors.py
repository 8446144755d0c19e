"""The bare parts that a message between two bridges is made of, measured alone: nothing can beat them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.figures import Figures

BODY = 1024


async def echo(count: int) -> Figures:
    """Round trips of 1 KiB over a bare websocket to this process, one after the other, then pipelined."""

    async def back(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async with (
        serve(back, "127.0.0.1", 0, compression=None) as server,
        connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", compression=None) as ws,
    ):
        body, trips = os.urandom(BODY), []
        for _ in range(count // 4):
            started = time.perf_counter()
            await ws.send(body)
            await ws.recv()
            trips.append(time.perf_counter() - started)
        started = time.perf_counter()
        sending = asyncio.create_task(_send(ws.send, body, count))
        for _ in range(count):
            await ws.recv()
        await sending
        return Figures("bare websocket echo", count / (time.perf_counter() - started), trips)


async def _send(send: Callable[[bytes], object], body: bytes, count: int) -> None:
    for _ in range(count):
        await send(body)  # type: ignore[misc]  # a coroutine function by another name


def commits(folder: Path, count: int, *, rows: int = 1) -> Figures:
    """Commits of `rows` rows of 1 KiB to SQLite, WAL and synchronous=FULL as the node has it."""
    db = sqlite3.connect(folder / f"floor-{rows}.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)")
    body, times = os.urandom(BODY), []
    for _ in range(count):
        started = time.perf_counter()
        db.execute("BEGIN")
        db.executemany("INSERT INTO t(v) VALUES (?)", [(body,)] * rows)
        db.execute("COMMIT")
        times.append(time.perf_counter() - started)
    db.close()
    return Figures(f"bare SQLite commit, {rows} row{'s' * (rows > 1)}", rows / statistics.mean(times), times)

"""The bare parts that a message between two bridges is made of, measured alone: nothing can beat them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.figures import Figures

BODY = 1024
ROWS = 5
"""Rows that a node commits for a message."""

ONWARD = """
import asyncio, contextlib, sqlite3, sys
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
db = sqlite3.connect(sys.argv[2], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)")
rows = int(sys.argv[3])
async def main():
    async with connect(sys.argv[1], compression=None) as onward:
        async def take(ws):
            with contextlib.suppress(ConnectionClosed):
                async for message in ws:
                    if rows:
                        db.execute("BEGIN")
                        db.executemany("INSERT INTO t(v) VALUES (?)", [(message,)] * rows)
                        db.execute("COMMIT")
                    await onward.send(message)
        async with serve(take, "127.0.0.1", 0, compression=None) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await asyncio.Future()
asyncio.run(main())
"""
"""A bare process: what comes in is committed, if it is told to, and goes on."""


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


async def chain(folder: Path, count: int, rate: float, *, rows: int) -> Figures:
    """1 KiB through two bare processes, at `rate` a second; each commits `rows` rows of it before."""
    times: list[float] = []
    sent: deque[float] = deque()

    async def sink(ws: ServerConnection) -> None:
        with suppress(ConnectionClosed):  # the chain is ended from its other end
            async for _ in ws:
                times.append(time.perf_counter() - sent.popleft())

    async with serve(sink, "127.0.0.1", 0, compression=None) as server:
        last = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with _onward(folder, last, rows) as entry, connect(entry, compression=None) as first:
            body, started = os.urandom(BODY), time.perf_counter()
            for number in range(count):
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                sent.append(time.perf_counter())
                await first.send(body)
            while sent:
                await asyncio.sleep(0.01)
    what = f"two bare processes at {rate:.0f}/s" + (f", {rows} rows each" if rows else "")
    return Figures(what, None, times)


@asynccontextmanager
async def _onward(folder: Path, last: str, rows: int) -> AsyncIterator[str]:
    """Start two bare processes, the second of which sends to `last`; yield the address of the first."""
    with ExitStack() as ends:
        for number in range(2):
            file = str(folder / f"chain-{rows}-{number}.db")
            words = [sys.executable, "-c", ONWARD, last, file, str(rows)]
            process = ends.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE))
            ends.callback(process.kill)
            assert process.stdout is not None
            last = f"ws://127.0.0.1:{int(await asyncio.to_thread(process.stdout.readline))}"
        yield last

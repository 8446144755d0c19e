"""A file of 64 MiB from node to node, from being asked for to being ready, beside a bare websocket copy."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

from aiohttp import ClientSession
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.bridge import PATIENCE, Pair, pair
from bench.figures import Figures

MIB = 1024 * 1024
SIZE = 64
"""MiB; the figures are MiB a second."""
PIECE = 24_576


async def measure(folder: Path, mib: int = SIZE) -> AsyncIterator[Figures]:
    """Store a file at one node, fetch it at the other; both sealed and on disk, every block verified."""
    async with pair(folder) as both:
        data = os.urandom(mib * MIB)
        started = time.perf_counter()
        ident = await _stored(folder / "alice", data)
        yield Figures(f"a file of {mib} MiB stored by HTTP, MiB", mib / (time.perf_counter() - started))
        took = await asyncio.wait_for(_fetched(both, ident), PATIENCE)
    yield Figures("the same fetched from a node, MiB", mib / took)
    yield await _bare(data)


async def _stored(home: Path, data: bytes) -> str:
    runtime = json.loads((home / "runtime.json").read_bytes())
    headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}
    url = f"http://127.0.0.1:{runtime['bridge']['port']}/api/v1/attachments?name=film"
    async with (
        ClientSession(headers=headers) as http,
        http.post(url, data=BytesIO(data)) as answer,
    ):
        return str((await answer.json())["attachment"])


async def _fetched(both: Pair, ident: str) -> float:
    await both.sender.call("user_message", room=both.room, message="look", attachment=ident)
    started = 0.0
    async for event in both.receiver.events():
        if event.get("event") == "user_message":
            started = time.perf_counter()
            await both.receiver.call("attachment_get", id=ident)
        if event.get("event") == "attachment" and event.get("state") == "ready":
            break
    return time.perf_counter() - started


async def _bare(data: bytes) -> Figures:
    async def send(ws: ServerConnection) -> None:
        for at in range(0, len(data), PIECE):
            await ws.send(data[at : at + PIECE])

    async with (
        serve(send, "127.0.0.1", 0, compression=None) as server,
        connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", compression=None) as ws,
    ):
        started, left = time.perf_counter(), len(data)
        while left:
            left -= len(await ws.recv())
        return Figures("bare websocket copy, MiB", len(data) / MIB / (time.perf_counter() - started))

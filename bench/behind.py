"""A frontend that was away: how fast it is given the 10,000 messages that it missed, beside a bare socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.bridge import BODY, pair
from bench.figures import Figures

EVENTS = 10_000


async def measure(folder: Path, count: int = EVENTS) -> AsyncIterator[Figures]:
    """Say so many messages, then attach a frontend at the other node that has seen none of them."""
    async with pair(folder) as both:
        at = both.receiver.hello
        seen = asyncio.create_task(both._see(count))
        await both.say(count)
        await seen
        frames = await _replayed(folder / "bob", {"epoch": at["log_epoch"], "seq": at["seq"]}, count)
    yield frames
    yield await _bare(count)


async def _replayed(home: Path, resume: dict[str, object], events: int) -> Figures:
    runtime = json.loads((home / "runtime.json").read_bytes())
    token = (home / "token").read_text().strip()
    url = f"ws://127.0.0.1:{runtime['bridge']['port']}/?token={token}&hello=1"
    async with connect(url, compression=None, max_size=None) as ws:
        started = time.perf_counter()
        await ws.send(json.dumps({"event": "hello", "resume": resume}))
        count = 0
        async for frame in ws:
            count += b'"user_message"' in (frame if isinstance(frame, bytes) else frame.encode())
            if count == events:
                break
        return Figures(f"a frontend {events:,} messages behind", events / (time.perf_counter() - started))


async def _bare(count: int) -> Figures:
    body = json.dumps({"event": "user_message", "message": "." * BODY, "room": "r" * 36, "id": "i" * 36})

    async def send(ws: ServerConnection) -> None:
        for _ in range(count):
            await ws.send(body)

    async with (
        serve(send, "127.0.0.1", 0, compression=None) as server,
        connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", compression=None) as ws,
    ):
        started = time.perf_counter()
        for _ in range(count):
            await ws.recv()
        return Figures("the same over a bare websocket", count / (time.perf_counter() - started))

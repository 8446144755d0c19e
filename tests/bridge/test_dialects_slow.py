"""Frontends of other protocols that do not read, or are put out while much happens, at a listening bridge."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import re
import socket
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from node.bridge import http_socket, http_socketio_frontend
from node.bridge.ports import Deliver
from node.chat import events
from tests.bridge.dialect_pages import PATHS, Stage, until
from tests.transcripts.runner import ADMIN

MOST_MEMORY = 8 * 1024 * 1024
BODY = "y" * 8_000


def messages(stage: Stage) -> Iterator[events.UserMessage]:
    """What the owner says, at another frontend."""
    engine = stage.ann.engine
    assert engine is not None
    for number in itertools.count():
        yield events.UserMessage(
            username="ann", timestamp=1, message=f"{number}.{BODY}", room=stage.room,
            id=str(uuid.UUID(int=number + 1)), user_id=engine.state.me.user_id, ts_ms=1, seq=number + 100,
        )  # fmt: skip


def masked(text: str) -> bytes:
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xFE]) + len(data).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + data


@asynccontextmanager
async def deaf(stage: Stage) -> AsyncIterator[socket.socket]:
    """A websocket with a small window, of which nothing is read."""
    line, loop = socket.socket(), asyncio.get_running_loop()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setblocking(False)
    await loop.sock_connect(line, ("127.0.0.1", stage.node.port))
    head = (
        f"GET {PATHS[stage.dialect]}token={ADMIN} HTTP/1.1\r\nHost: 127.0.0.1:{stage.node.port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    join = json.dumps(["join_room", {"roomId": stage.room, "userId": "u", "username": "me"}])
    says = {"002": ["40"], "004": ["40", "42" + join]}.get(stage.dialect, [])
    await loop.sock_sendall(line, head.encode() + b"".join(map(masked, says)))
    try:
        yield line
    finally:
        line.close()


@pytest.mark.parametrize("dialect", sorted(PATHS))
async def test_one_that_never_reads_costs_little_misses_nothing_in_between_and_disturbs_nobody(
    dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shell in (http_socket, http_socketio_frontend):
        monkeypatch.setattr(shell, "ABORT_AFTER", 2.0)
    async with Stage(dialect) as stage, stage.attached() as watcher, deaf(stage) as line:
        await stage.settle()
        connections = stage.node.server._connections
        assert len(connections) == 2
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for message in itertools.islice(messages(stage), 2_000):
            for number in tuple(connections):
                stage.node.server.perform(Deliver(number, message))
            if watcher.told and len(watcher.told) > 100:
                del watcher.told[:100]
            await asyncio.sleep(0)
        await until(watcher, "1999.y")
        grown = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert grown < MOST_MEMORY
        came = bytearray()
        async with asyncio.timeout(12):
            while data := await asyncio.get_running_loop().sock_recv(line, 1 << 20):
                came += data
        found = re.findall(rb'"(\d+)\.y', came)  # a frame may say it under several names
        numbers = [int(number) for number, _ in itertools.groupby(found)]
        assert numbers == list(range(len(numbers))) and 0 < len(numbers) < 2_000
        assert not watcher.ws.closed


@pytest.mark.parametrize("dialect", sorted(PATHS))
async def test_a_planned_stop_says_1012_however_much_happens_meanwhile(dialect: str) -> None:
    async with Stage(dialect) as stage, stage.attached() as page:
        await stage.settle()
        (number,) = stage.node.server._connections
        stopping = asyncio.create_task(stage.node.server.stop())
        for message in messages(stage):
            stage.node.server.perform(Deliver(number, message))
            stage.node.server.perform(Deliver(number, message))
            await asyncio.sleep(0)
            if stopping.done():
                break
        await page.reading
        assert page.ws.close_code == 1012


@pytest.mark.parametrize("dialect", sorted(PATHS))
async def test_what_comes_after_more_than_is_kept_is_not_told_before_the_end(dialect: str) -> None:
    async with Stage(dialect) as stage, stage.attached() as page:
        await stage.settle()
        (number,) = stage.node.server._connections
        page.told.clear()
        for message in itertools.islice(messages(stage), 1_100):
            stage.node.server.perform(Deliver(number, message))
        async with asyncio.timeout(30):
            await page.reading
        assert page.ws.close_code == 4008
        assert all('"0.y' in text for text in page.told)  # it was on its way before

"""One of ten frontends never reads: the others do not notice it, nor does memory (minutes: gate only)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.nodes import EVENT_SECONDS, Frontend, NodeProcess, running

pytestmark = pytest.mark.gate
READERS = 9
PAIRS = 5
TIMED = 1_500
RATE = 100.0
BODY = 8_192
"""So that what the kernel takes for one who does not read, some MiB, is full within a part of a run."""
EVENTS = 100_000
MOST_MEMORY = 32 * 1024 * 1024
NUMBER = re.compile(rb'"message":"(\d+)\.')


def resident(node: NodeProcess) -> int:
    """Return the bytes of memory that a node has."""
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


class Reader:
    """A frontend that reads everything, and notes when."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.came: dict[int, float] = {}
        self.count = 0

    async def run(self) -> None:
        """Read until cancelled; nothing is decoded, so that we are not slow ourselves."""
        while True:
            frame = await self.ws.recv(decode=False)
            found = NUMBER.search(frame)
            if found is not None:
                self.came[int(found[1])] = time.perf_counter()
                self.count += 1


@contextlib.asynccontextmanager
async def readers(node: NodeProcess) -> AsyncIterator[list[Reader]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for _ in range(READERS):
            ws = await stack.enter_async_context(connect(node.url + "&hello=1", max_size=None))
            await ws.send('{"event":"hello","subscribe":{"events":["user_message"]}}')
            await ws.recv()
            found.append(Reader(ws))
        tasks = [asyncio.create_task(reader.run()) for reader in found]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def deaf(node: NodeProcess) -> socket.socket:
    """Attach a frontend that says hello and never reads."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", node.bridge_port))
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    head = (
        f"GET /?token={node.token} HTTP/1.1\r\nHost: 127.0.0.1:{node.bridge_port}\r\nUpgrade: websocket\r\n"
    )
    line.sendall(f"{head}Connection: Upgrade\r\n{key}\r\n".encode())
    hello = b'{"event":"hello"}'
    line.sendall(bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
    return line


async def timed(writer: Frontend, room: str, node: NodeProcess) -> float:
    """Send at a rate; return the 99th percentile of the times until the readers have it, in seconds."""
    sent: dict[int, float] = {}
    async with readers(node) as found:
        started = time.perf_counter()
        for number in range(TIMED):
            await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
            sent[number] = time.perf_counter()
            text = f"{number}.".ljust(BODY, "x")
            await writer.send({"event": "user_message", "room": room, "message": text})
        async with asyncio.timeout(30):
            while any(reader.count < TIMED for reader in found):
                await asyncio.sleep(0.05)
        times = sorted(at - sent[n] for reader in found for n, at in reader.came.items())
    return times[int(len(times) * 0.99)]


async def clients(writer: Frontend) -> int:
    return int((await writer.call("node_status"))["clients"])


async def gone(writer: Frontend, left: int) -> None:
    """Wait until the node has closed who does not read."""
    async with asyncio.timeout(30):
        while await clients(writer) > left:
            await asyncio.sleep(0.2)


@pytest.mark.timeout(900)
async def test_a_frontend_that_never_reads_costs_the_others_nothing(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "ann", "ann")
    async with running(node), node.frontend({"subscribe": {"events": []}}) as writer:
        room = (await writer.call("room_create", name="tea"))["room"]
        ratios = []
        for _ in range(PAIRS):
            alone = await timed(writer, room, node)
            with deaf(node):
                beside = await timed(writer, room, node)
                await gone(writer, 1)
            ratios.append(beside / alone)
            print(f"p99 alone {alone * 1000:.1f} ms, beside one that never reads {beside * 1000:.1f} ms")
        assert median(ratios) <= 2, ratios


@pytest.mark.timeout(900)
async def test_a_frontend_that_never_reads_100000_events_costs_little_memory_and_loses_nothing(
    tmp_path: Path,
) -> None:
    node = NodeProcess(tmp_path / "ann", "ann")
    async with running(node), node.frontend({"subscribe": {"events": []}}) as writer:
        room = (await writer.call("room_create", name="tea"))["room"]
        start = writer.events[0]
        await _say(writer, room, range(2_000))
        async with readers(node) as found:
            before = most = resident(node)
            with deaf(node):
                async with asyncio.timeout(EVENT_SECONDS):
                    while await clients(writer) < 2 + READERS:
                        await asyncio.sleep(0.05)
                said = 2_000
                while await clients(writer) > 1 + READERS:
                    await _say(writer, room, range(said, said + 640))
                    said += 640
                    most = max(most, resident(node))
                    assert said < EVENTS, "it was never closed"
            print(f"closed after {said - 2_000} events; {(most - before) / 2**20:.1f} MiB more meanwhile")
            assert most - before <= MOST_MEMORY
            await _say(writer, room, range(said, EVENTS))
            async with asyncio.timeout(60):
                while any(reader.count < EVENTS - 2_000 for reader in found):
                    await asyncio.sleep(0.05)
        seqs = await _resumed(node, start)
    first = int(start["seq"])
    assert seqs == list(range(first + 1, seqs[-1] + 1))
    assert len(seqs) >= EVENTS


async def _say(writer: Frontend, room: str, numbers: range) -> None:
    for at in range(0, len(numbers), 64):
        some = [
            {"event": "user_message", "room": room, "message": f"{n}.".ljust(1024, "x")}
            for n in numbers[at : at + 64]
        ]
        await writer.call("batch", commands=some)
    writer.events.clear()


async def _resumed(node: NodeProcess, start: dict[str, Any]) -> list[int]:
    """Come back where the one that never read had stopped, and read it all."""
    seqs: list[int] = []
    resume = {"epoch": start["log_epoch"], "seq": start["seq"]}
    async with connect(node.url + "&hello=1", max_size=None) as ws, asyncio.timeout(120):
        await ws.send(json.dumps({"event": "hello", "resume": resume}))
        while True:
            event = json.loads(await ws.recv())
            if event["event"] == "caught_up":
                return seqs
            if event["event"] != "hello" and "seq" in event:
                seqs.append(event["seq"])

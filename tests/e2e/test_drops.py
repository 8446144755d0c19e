"""Sockets cut off and a node killed, again and again: nothing is lost and nothing comes twice."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from tests.e2e.nodes import NodeProcess, running

pytestmark = pytest.mark.slow
DROPS = 50
KILLS = 25
MESSAGES = 3_000


async def test_a_socket_dropped_50_times_amid_messages_loses_and_repeats_nothing(tmp_path: Path) -> None:
    rng = random.Random(50)
    node = NodeProcess(tmp_path / "ann", "ann")
    async with running(node), node.frontend({"subscribe": {"events": []}}) as writer:
        hello = writer.events[0]
        room = (await writer.call("room_create", name="tea"))["room"]
        writing = asyncio.create_task(_messages(writer, room))
        had, drops = [int(hello["seq"])], 0
        while len(had) <= MESSAGES:
            how: dict[str, Any] = {"resume": {"epoch": hello["log_epoch"], "seq": had[-1]}}
            most = rng.randint(1, 100)
            async with connect(node.url + "&hello=1", max_size=None) as ws:
                await ws.send(json.dumps({"event": "hello", **how}))
                while most and len(had) <= MESSAGES + 2:
                    event = json.loads(await asyncio.wait_for(ws.recv(), 30))
                    if "seq" in event and event["event"] not in {"hello", "caught_up"}:
                        had.append(event["seq"])
                        most -= 1
                if len(had) <= MESSAGES:
                    drops += 1
                    ws.transport.abort()
        await writing
    assert drops >= DROPS
    assert had == list(range(had[0], had[0] + len(had)))


async def _messages(writer: Any, room: str) -> None:
    for start in range(0, MESSAGES, 20):
        some = [{"event": "user_message", "room": room, "message": str(start + n)} for n in range(20)]
        await writer.call("batch", commands=some)


class Writer:
    """Sends, one command at a time, each with a nonce; sends it again until it is answered."""

    def __init__(self, node: NodeProcess, name: str, room: str) -> None:
        self.node, self.name, self.room = node, name, room
        self.acknowledged: dict[str, str] = {}
        self.again = 0
        self.number = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Write until told to stop and everything is answered, over as many connections as it takes."""
        pending: dict[str, Any] | None = None
        while not stop.is_set() or pending is not None:
            try:
                async with connect(self.node.url + "&hello=1", max_size=None) as ws:
                    await ws.send(json.dumps({"event": "hello", "subscribe": {"events": []}}))
                    await ws.recv()
                    while not stop.is_set() or pending is not None:
                        self.again += pending is not None
                        pending = pending or self._next()
                        await ws.send(json.dumps(pending))
                        answer = json.loads(await ws.recv())
                        assert answer["event"] == "ok", answer
                        self._take(pending, answer)
                        pending = None
            except (OSError, ConnectionClosed, InvalidMessage):
                await asyncio.sleep(0.02)

    def _next(self) -> dict[str, Any]:
        self.number += 1
        mark = f"{self.name} {self.number}"
        said = {"event": "user_message", "room": self.room, "message": mark}
        if self.number % 3:
            return {**said, "nonce": mark, "req": mark}
        more = [{**said, "message": f"{mark} {n}"} for n in range(3)]
        return {"event": "batch", "commands": more, "nonce": mark, "req": mark}

    def _take(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        done = answer.get("results", [answer])
        texts = [row["message"] for row in asked.get("commands", [asked])]
        self.acknowledged.update({text: row["id"] for text, row in zip(texts, done, strict=True)})


@pytest.mark.gate
async def test_25_kills_amid_commands_that_are_sent_again_with_their_nonce_do_each_once(
    tmp_path: Path,
) -> None:
    rng = random.Random(1)
    node = NodeProcess(tmp_path / "ann", "ann")
    async with running(node):
        async with node.frontend({}) as first:
            room = (await first.call("room_create", name="tea"))["room"]
        writers = [Writer(node, name, room) for name in ("a", "b", "c")]
        stop = asyncio.Event()
        tasks = [asyncio.create_task(writer.run(stop)) for writer in writers]
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.02, 0.3))
            await node.kill()
            await node.start()
        stop.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)
        acknowledged = {text: mid for writer in writers for text, mid in writer.acknowledged.items()}
        shown = await _shown(node, room)
        assert len(shown) == len(set(shown)), "done twice"
        assert dict(shown) == acknowledged, "acknowledged and lost, or done and never acknowledged"
        assert sum(writer.again for writer in writers) >= KILLS / 2
        assert len(acknowledged) > 100


async def _shown(node: NodeProcess, room: str) -> list[tuple[str, str]]:
    """Return (text, id) of every message of a room, page after page."""
    shown: list[tuple[str, str]] = []
    async with node.frontend({"subscribe": {"events": []}}) as reader:
        more, before = True, dict[str, Any]()
        while more:
            page = await reader.call("history_get", room=room, limit=200, **before)
            shown = [(row["message"], row["id"]) for row in page["messages"]] + shown
            more, before = page["more"], {"before": page["messages"][0]["id"]}
    return shown

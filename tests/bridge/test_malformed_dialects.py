"""Five hundred frames gone wrong a dialect, at a listening bridge with a node behind it; another watches.

The adapters alone are given ten thousand each (tests/bridge/dialects); here what carries them is judged too.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from node.bridge.ports import CredentialsChanged, DialectRecord
from node.chat import commands as c
from node.sim import Simulation
from tests.engine.worlds import befriend
from tests.transcripts.runner import ADMIN, Node

FRAMES, ROUNDS = 50, 10
PATHS = {"001": "/ws?", "002": "/socket.io/?EIO=4&transport=websocket&", "003": "/ws/events?"}
PATHS["004"] = PATHS["002"]
CLOSES = {"001": {4400, 1007}, "002": {4400, 1000, 1007}, "003": {3100, 1007}, "004": {4400, 1000, 1007}}
"""How those end whose frames are no good; 1000 is what Engine.IO's own `close` gets."""
STRANGE: list[Any] = [
    None, True, 0, -1, 2**63, 2**200, 1e308, "", "\x00", "\ud800", "x" * 20_000, [], [[]], {}, {"": {}}, "🫖",
    {"a": {"b": [1]}}, "ann", "bob", ["ann"], "data:image/png;base64,!",
    "00000000-0000-4000-8000-000000000000",
]  # fmt: skip


def good(dialect: str, room: str) -> list[Any]:
    """A few frames of a dialect that change little."""
    match dialect:
        case "001":
            there = {"groupId": room, "text": "hi", "username": "me"}
            kinds = ("CHAT:SEND_MESSAGE_TEXT", "CHAT:GET_INIT_MESSAGES", "GROUP:GET_INIT_DATA")
            return [{"type": kind, "data": there} for kind in kinds]
        case "002":
            said = {"chat_id": room, "content": "hi", "id": "one"}
            return [["new message", said], ["join room", room], ["set status", "at tea", ["bob"]]]
        case "003":
            said = {"chat_id": room, "content": "hi", "timestamp": "1"}
            ask = {"username": "eve", "options": {"a": 1}, "client_id": "t"}
            return [{"action": "new_message", "data": said}, {"action": "game_invite", "data": ask}]
        case _:
            said = {"roomId": room, "userId": "u", "content": "hi", "username": "me"}
            return [["send_message", said], ["join_room", said], ["typing", {**said, "isTyping": True}]]


def mutated(dice: random.Random, frame: Any) -> str:
    """Put something strange into a frame, or change its text."""
    made = {"whole": json.loads(json.dumps(frame))}
    if dice.random() < 0.6:
        place: Any = made
        key: Any = "whole"
        while isinstance(place[key], dict | list) and place[key] and dice.random() < 0.8:
            place = place[key]
            key = dice.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[key] = dice.choice(STRANGE)
        return json.dumps(made["whole"], ensure_ascii=dice.random() < 0.5)
    text = list(json.dumps(made["whole"]))
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(text))
        text[at : at + dice.randint(0, 2)] = dice.choice('{}[]",:\\\x000159eE.-+ tfné😀')
    return "".join(text)


class Page:
    """A websocket of a dialect, and all that it was told."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, dialect: str) -> None:
        self.ws, self.dialect = ws, dialect
        self.told: list[str] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.ws:
            self.told.append(str(message.data))

    async def say(self, text: str) -> None:
        head = "42" if self.dialect in {"002", "004"} else ""
        await self.ws.send_bytes(text.encode("utf-8", "surrogatepass")) if "\ud800" in text else (
            await self.ws.send_str(head + text)
        )

    def errors(self) -> list[Any]:
        """Return the codes that it was told, out of the dialect's own kind of error."""
        found: list[Any] = []
        for text in self.told:
            if self.dialect in {"002", "004"}:
                frame = json.loads(text[2:]) if text.startswith("42") else [None]
                told = frame[1] if frame[0] == "error" else None
            else:
                frame = json.loads(text)
                told = frame["data"] if frame.get("type", frame.get("action")) in {"ERROR", "error"} else None
            if told is not None:
                found.append(told["error" if self.dialect == "002" else "code"])
        return found


@asynccontextmanager
async def attached(node: Node, dialect: str, room: str) -> AsyncIterator[Page]:
    url = f"http://127.0.0.1:{node.port}{PATHS[dialect]}token={ADMIN}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        page = Page(ws, dialect)
        if dialect in {"002", "004"}:
            await ws.send_str("40")
        if dialect == "004":
            await page.say(json.dumps(["join_room", {"roomId": room, "userId": "u", "username": "me"}]))
        try:
            yield page
        finally:
            page.reading.cancel()
            await asyncio.gather(page.reading, return_exceptions=True)


async def until(page: Page, word: str) -> None:
    async with asyncio.timeout(5):
        while not any(word in text for text in page.told):
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("dialect", sorted(PATHS))
async def test_five_hundred_frames_gone_wrong_are_answered_in_its_own_words_and_disturb_nobody(
    dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    world, dice = Simulation("malformed"), random.Random(5)
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    room = ann.call(c.DmOpen(username="bob"))["room"]
    if dialect != "003":
        room = ann.call(c.RoomCreate(name="tea"))["room"]
    node = Node(ann)
    _, node.port = await node.server.start()
    codes: set[str] = set()
    try:
        node.server.perform(CredentialsChanged((), (), dialects=(DialectRecord(dialect),)))
        async with attached(node, dialect, room) as watcher:
            await asyncio.sleep(0.05)
            for number in range(ROUNDS):
                left = FRAMES
                while left > 0:
                    async with attached(node, dialect, room) as page:
                        while left > 0 and not page.ws.closed:
                            left -= 1
                            try:
                                await page.say(mutated(dice, dice.choice(good(dialect, room))))
                            except ConnectionError:
                                break
                            await asyncio.sleep(0.001)
                            world.run(0.05)
                        await asyncio.sleep(0.005)
                        assert not page.ws.closed or page.ws.close_code in CLOSES[dialect], page.ws.close_code
                        codes.update(page.errors())
                ann.call(c.UserMessage(room=room, message=f"word {number} of calm"))
                await until(watcher, f"word {number} of calm")
            assert not watcher.ws.closed
            assert watcher.errors() == []
            assert sum(" of calm" in text for text in watcher.told) == ROUNDS
        async with asyncio.timeout(5):
            while node.server._connections:
                await asyncio.sleep(0.01)
    finally:
        await node.server.stop()
    assert codes or dialect == "003"
    assert codes.isdisjoint({"internal", "ERR_INTERNAL"})
    assert [one.getMessage() for one in caplog.records if one.levelname in {"ERROR", "CRITICAL"}] == []


async def test_the_third_malformed_frame_in_a_minute_ends_a_connection_of_the_groups_protocol() -> None:
    world = Simulation("malformed")
    node = Node(world.add("ann"))
    _, node.port = await node.server.start()
    try:
        node.server.perform(CredentialsChanged((), (), dialects=(DialectRecord("001"),)))
        async with attached(node, "001", "") as slow, attached(node, "001", "") as page:
            for _ in range(2):
                await slow.say("nonsense")
                await until(slow, "bad_frame")
                world.run(61)
            for _ in range(3):
                assert not page.ws.closed
                await page.say('{"data":{}}')
            async with asyncio.timeout(5):
                await page.reading
            assert (page.ws.close_code, page.errors()) == (4400, ["bad_frame"] * 3)
            await slow.say("nonsense")
            await asyncio.sleep(0.05)
            assert slow.errors() == ["bad_frame"] * 3 and not slow.ws.closed
    finally:
        await node.server.stop()

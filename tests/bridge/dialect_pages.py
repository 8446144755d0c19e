"""Frontends of all four dialects at a listening bridge with a simulated node behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp

from node.bridge.ports import CredentialsChanged, DialectRecord
from node.chat import commands as c
from node.sim import SimNode, Simulation
from tests.engine.worlds import befriend
from tests.transcripts.runner import ADMIN, Node

PATHS = {"001": "/ws?", "002": "/socket.io/?EIO=4&transport=websocket&", "003": "/ws/events?"}
PATHS["004"] = PATHS["002"]


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
    async with asyncio.timeout(30):
        while not any(word in text for text in page.told):
            await asyncio.sleep(0.005)


class Stage:
    """A node with one dialect on, and a room in which it is spoken; bob is a contact."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.world = Simulation("stage")
        ann, bob = self.world.add("ann"), self.world.add("bob", peers=["ann"])
        self.world.run(2)
        befriend(self.world, ann, bob)
        direct = ann.call(c.DmOpen(username="bob"))["room"]
        self.room: str = direct if dialect == "003" else ann.call(c.RoomCreate(name="tea"))["room"]
        self.ann: SimNode = ann
        self.node = Node(ann)
        perform = self.node.server.perform
        # The node knows nothing of the dialect, which would be off again with each new engine.
        self.node.server.perform = lambda one: None if isinstance(one, CredentialsChanged) else perform(one)  # type: ignore[method-assign]
        perform(CredentialsChanged((), (), dialects=(DialectRecord(dialect),)))

    async def __aenter__(self) -> Stage:
        _, self.node.port = await self.node.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.server.stop()

    def attached(self) -> AbstractAsyncContextManager[Page]:
        """Attach a frontend."""
        return attached(self.node, self.dialect, self.room)

    async def settle(self) -> None:
        """Let half a second pass, here and there."""
        for _ in range(10):
            await asyncio.sleep(0.01)
            self.world.run(0.05)

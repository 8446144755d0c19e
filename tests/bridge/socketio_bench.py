"""What tests of Socket.IO share: two small dialects, raw polling and raw websockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from node.bridge.dialects.adapter import Adapter, Call, Frame, Last, Talk
from node.bridge.dialects.registry import ADAPTERS, VOCABULARIES
from node.bridge.ports import CredentialsChanged, DialectRecord, TokenRecord, hash_token
from node.chat import commands as c, events
from node.errors import Refused
from tests.bridge.fake_engine import ADMIN, ROOM, Bridge

PAGE = "http://localhost:5173"
OTHER = "http://localhost:9999"
CHILD, READER = "c" * 43, "r" * 43


class Spaced(Adapter):
    """Says messages, echoes what it is told, fails when asked to; every answer acknowledges."""

    NAMES = frozenset({"new message", "echo", "fail", "big"})
    shown = "new message"

    def opened(self) -> Talk[None]:
        yield from ()

    def said(self, call: Call) -> Talk[Any]:
        if call.name in {"new message", "send_message"}:
            answer = yield Last(c.UserMessage(room=ROOM, message=str(call.args[0])))
            return {"ok": True, "id": answer["id"]}
        if call.name in {"echo", "say_again"}:
            yield Frame("echo", call.args)
            return list(call.args)
        if call.name == "big":
            yield Frame("big", ("x" * int(call.args[0]),))
            return None
        raise Refused("invalid", "this cannot be done")

    def happened(self, event: events.Event) -> Talk[None]:
        if isinstance(event, events.UserMessage):
            yield Frame(self.shown, (event.message,))

    def refused(self, call: Call | None, fault: Refused) -> Talk[Any]:
        yield Frame("error", ({"code": fault.code},))
        return {"ok": False, "error": fault.code}


class Underlined(Spaced):
    NAMES = frozenset({"send_message", "say_again"})
    shown = "message_received"


def speak(monkeypatch: Any) -> None:
    """Have these two dialects for 002 and 004."""
    for name, kind in (("002", Spaced), ("004", Underlined)):
        monkeypatch.setitem(ADAPTERS, name, kind)
        monkeypatch.setitem(VOCABULARIES, name, kind.NAMES)


def enable(bridge: Bridge, *names: str, origins: tuple[str, ...] = (PAGE,), tokens: bool = True) -> None:
    """Turn dialects on, and all others off; there are a child token and one that only reads."""
    known = (
        TokenRecord("child", "chat", hash_token(CHILD), 0),
        TokenRecord("reader", "read", hash_token(READER), 0),
    )
    records = tuple(DialectRecord(name, origins) for name in names)
    bridge.server.perform(CredentialsChanged(known if tokens else (), (), dialects=records))


class Polling:
    """Engine.IO by hand over HTTP."""

    def __init__(self, http: aiohttp.ClientSession, bridge: Bridge, query: str, headers: Any = None) -> None:
        self.http, self.headers = http, headers
        self.base = bridge.http("/socket.io/") + f"?EIO=4&transport=polling{query}"
        self.sid = ""

    async def get(self, more: str = "") -> tuple[int, str]:
        url = self.base + (f"&sid={self.sid}" if self.sid else "") + more
        async with self.http.get(url, headers=self.headers) as answer:
            self.seen = answer.headers
            return answer.status, await answer.text()

    async def post(self, data: Any, headers: Any = None) -> tuple[int, str]:
        kind = {"Content-Type": "text/plain;charset=UTF-8", **(self.headers or {}), **(headers or {})}
        async with self.http.post(f"{self.base}&sid={self.sid}", data=data, headers=kind) as answer:
            return answer.status, await answer.text()

    async def open(self) -> None:
        status, text = await self.get()
        assert status == 200, text
        self.sid = json.loads(text[1:])["sid"]

    async def connect(self, auth: Any = None) -> str:
        await self.open()
        await self.post("40" + ("" if auth is None else json.dumps(auth)))
        return (await self.get())[1]


@asynccontextmanager
async def socket(
    bridge: Bridge,
    query: str = f"&token={ADMIN}",
    auth: Any = None,
    headers: Any = None,
    connect: bool = True,
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A websocket of its own, connected to the main namespace."""
    async with aiohttp.ClientSession() as http:
        url = bridge.http("/socket.io/") + f"?EIO=4&transport=websocket{query}"
        async with http.ws_connect(url, headers=headers) as ws:
            assert (await ws.receive_str()).startswith('0{"sid"')
            if connect:
                await ws.send_str("40" + ("" if auth is None else json.dumps(auth)))
                assert (await ws.receive_str()).startswith('40{"sid"')
            yield ws


async def told(ws: aiohttp.ClientWebSocketResponse) -> str:
    """Return the next frame that is no ping."""
    async with asyncio.timeout(30):
        while (text := await ws.receive_str()) == "2":
            await ws.send_str("3")
        return text


async def ending(ws: aiohttp.ClientWebSocketResponse) -> tuple[list[str], int | None]:
    """Return what still comes, and the close code."""
    seen = []
    async with asyncio.timeout(15):
        async for message in ws:
            seen.append(message.data)
    return seen, ws.close_code

"""A fake engine with a real event log in memory, and a bridge around it on real loopback sockets."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection

from node.bridge import ports
from node.bridge.intervals import Intervals
from node.bridge.server import BridgeServer
from node.chat import commands, events
from node.clock import Instant

ADMIN = "a" * 43
ROOM = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"
EPOCH = "6f2b0c6e-0000-4000-8000-000000000001"


class FakeEngine:
    """Answers every command with ok, logs messages, and replays: an engine as the bridge sees one."""

    def __init__(self) -> None:
        self.log: list[tuple[int, bytes]] = []
        self.inputs: list[ports.BridgeInput] = []
        self.sessions: dict[int, ports.SessionStarted] = {}
        self.server: BridgeServer | None = None
        self.queued = 0
        self.had: Intervals = ()
        self.no_history: Exception | None = None
        self.first = 1
        self.searching: asyncio.Event | None = None
        self.searches = 0
        self.on_page: Callable[[], None] = lambda: None

    def submit(self, event: ports.BridgeInput) -> None:
        self.inputs.append(event)
        match event:
            case ports.SessionStarted():
                self._started(event)
            case ports.SessionEnded():
                self.sessions.pop(event.session, None)
            case ports.CommandReceived():
                self._command(event.session, event.command)
            case ports.EventsWritten():
                pass

    def _started(self, started: ports.SessionStarted) -> None:
        self.sessions[started.session] = started
        if started.plain:
            self.perform(
                ports.StartReplay(started.session, 0, newest=200, until_seq=len(self.log), had=self.had),
            )
            return
        self.deliver(
            started.session,
            events.Hello(
                req=msgspec.UNSET if started.req is None else started.req,
                protocol="1", node_version="0", user_id="u", username="me", log_epoch=EPOCH,
                seq=len(self.log), features=[], deprecated=[], connectivity="alone",
            ),
        )  # fmt: skip
        if started.resume is not None:
            self.perform(ports.StartReplay(started.session, started.resume.seq))

    def _command(self, session: int, command: commands.Command) -> None:
        match command:
            case commands.UserMessage():
                self.deliver(session, events.Ok(req=command.req, fields={"id": ROOM, "ts_ms": 1}))
                self.say(command.message, room=command.room)
            case commands.Search():
                self.perform(ports.ReadSearch(session, command.req, command.text, None, None, 10))
            case commands.HistoryGet():
                room = bytes(16)
                nonced = None if command.nonce is None else ports.CommandReceived(session, command)
                self.perform(ports.ReadHistory(session, command.req, room, None, None, 10, nonced))
            case _:
                self.deliver(session, events.Ok(req=command.req))

    def say(self, text: str, *, room: str = ROOM) -> None:
        """Log one message and deliver it live, in the order of commit and effect."""
        seq = len(self.log) + 1
        event = events.UserMessage(
            username="Example", timestamp=1730736486, message=text, room=room, id=ROOM, user_id="u",
            ts_ms=1730736486000, seq=seq,
        )  # fmt: skip
        self.log.append((seq, events.encode_json(event)))
        self.broadcast(event)

    def broadcast(self, event: events.Event) -> None:
        for session in tuple(self.sessions):
            self.deliver(session, event)

    def deliver(self, session: int, event: events.Event) -> None:
        self.perform(ports.Deliver(session, event))

    def perform(self, effect: ports.BridgeEffect) -> None:
        if self.server is not None:
            self.server.perform(effect)

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        start = max(seq, self.first - 1)
        page = self.log[start : start + limit]
        self.on_page()
        return page

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        if self.no_history is not None:
            raise self.no_history
        return [body for _seq, body in self.log[-limit:]], len(self.log) > limit

    async def message_count(self, room: bytes) -> int:
        return len(self.log)

    async def search(self, *_asked: Any) -> tuple[list[bytes], bool]:
        self.searches += 1
        try:
            if self.searching is not None:
                await self.searching.wait()
        finally:
            self.searches -= 1
        return [], False


def counted_entropy() -> Callable[[int], bytes]:
    count = itertools.count()
    return lambda size: hashlib.shake_256(b"test%d" % next(count)).digest(size)


def clock() -> Instant:
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)


class Bridge:
    """The server under test and the ways into it."""

    def __init__(self, server: BridgeServer, engine: FakeEngine, path: Path) -> None:
        self.server = server
        self.engine = engine
        self.path = path
        self.port = 0

    def url(self, path: str = "/", *, token: str | None = ADMIN) -> str:
        return f"ws://127.0.0.1:{self.port}{path}" + ("" if token is None else f"?token={token}")

    def http(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


async def recv(ws: ClientConnection) -> dict[str, Any]:
    frame = await ws.recv()
    value: dict[str, Any] = json.loads(frame)
    return value

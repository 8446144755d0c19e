"""What each dialect costs beside the native one: one node says a thousand things, another shows them.

Two node processes, messages of 1 KiB, durable. A frontend at the first sends in the dialect, or natively; a
frontend at the second is shown them in the dialect. The clock runs from the first frame sent to the last
shown. The frontends are bare websockets that look for a number in what comes: none decodes more than another.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench.bridge import BODY, PATIENCE, WINDOW, gather
from node.client import Client
from node.commandline.processes import NodeProcess, end, start

ROUNDS = 3
"""Of each; the median counts."""
_NUMBER = re.compile(rb"(\d{8})\.{64}")


@dataclass(frozen=True, slots=True)
class Share:
    """Messages a second one way, and as a share of what the native dialect makes of the same."""

    what: str
    per_second: float
    share: float

    def line(self) -> str:
        """Return the measurement as a line of the report."""
        return f"{self.what:<38}{self.per_second:>10,.0f}/s  {self.share:.2f} of native"

    def row(self) -> dict[str, object]:
        """Return the measurement as data."""
        return {"what": self.what, "per_second": self.per_second, "share": self.share}


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a dialect is spoken over a bare websocket: where, what opens it, and how something is said."""

    path: str
    opens: Callable[[str], list[str]]
    says: Callable[[str, str], str]
    socketio: bool = False


def _json(**keys: Any) -> str:
    return json.dumps(keys)


def _emit(*args: Any) -> str:
    return "42" + json.dumps(args)


SPOKEN: dict[str, Spoken] = {
    "native": Spoken(
        "/", lambda _room: [_json(event="hello")],
        lambda room, text: _json(event="user_message", room=room, message=text),
    ),
    "001": Spoken(
        "/ws", lambda _room: [],
        lambda room, text: _json(type="CHAT:SEND_MESSAGE_TEXT", data={"groupId": room, "message": text}),
    ),
    "002": Spoken(
        "/socket.io/", lambda room: [_emit("user connect", "me"), _emit("join room", room)],
        lambda room, text: _emit("new message", {"chat_id": room, "content": text}), socketio=True,
    ),
    "003": Spoken(
        "/ws/events", lambda _room: [],
        lambda room, text: _json(
            action="new_message", data={"chat_id": room, "content": text, "timestamp": text[:8]}
        ),
    ),
    "004": Spoken(
        "/socket.io/", lambda room: [_emit("join_room", {"roomId": room, "userId": "me", "username": "me"})],
        lambda room, text: _emit("send_message", {"roomId": room, "userId": "me", "content": text}),
        socketio=True,
    ),
}  # fmt: skip


class Page:
    """One frontend; `shown` counts the numbered messages that it has been shown, each once."""

    def __init__(self, ws: ClientConnection, spoken: Spoken) -> None:
        self._ws, self._spoken = ws, spoken
        self._numbers: set[int] = set()
        self._news = asyncio.Event()

    async def open(self, room: str) -> None:
        """Say what opens it, and give what that brings a moment to come."""
        if self._spoken.socketio:
            assert str(await self._ws.recv()).startswith("0")
            await self._ws.send("40")
            assert str(await self._ws.recv()).startswith("40")
        for frame in self._spoken.opens(room):
            await self._ws.send(frame)
        await asyncio.sleep(0.5)

    async def say(self, room: str, number: int) -> None:
        await self._ws.send(self._spoken.says(room, f"{number:08d}".ljust(BODY, ".")))

    async def read(self) -> None:
        """Read until the connection ends."""
        async for frame in self._ws:
            data = frame.encode() if isinstance(frame, str) else frame
            if data == b"2" and self._spoken.socketio:
                await self._ws.send("3")
            found = _NUMBER.search(data)
            if found:
                self._numbers.add(int(found[1]))
                self._news.set()

    async def until(self, first: int, count: int) -> None:
        """Wait until so many messages from this number on have been shown."""
        while True:
            self._news.clear()
            if sum(first <= number < first + count for number in self._numbers) >= count:
                return
            await self._news.wait()

    def seen(self, first: int) -> int:
        """Say how many from this number on were shown."""
        return sum(number >= first for number in self._numbers)


@dataclass(slots=True)
class Stage:
    """Two nodes in a room and a direct room; where each listens."""

    at: list[tuple[int, str]]
    rooms: dict[str, str]
    _first: int = 0

    @asynccontextmanager
    async def page(self, node: int, dialect: str) -> AsyncIterator[Page]:
        """Attach a frontend of a dialect at a node."""
        port, token = self.at[node]
        spoken = SPOKEN[dialect]
        query = f"token={token}" + ("&EIO=4&transport=websocket" if spoken.socketio else "")
        async with connect(
            f"ws://127.0.0.1:{port}{spoken.path}?{query}", max_size=None, compression=None
        ) as ws:
            page = Page(ws, spoken)
            await page.open(self.room(dialect))
            reading = asyncio.create_task(page.read())
            try:
                yield page
            finally:
                reading.cancel()

    def room(self, dialect: str) -> str:
        """Return the room that a dialect talks in: one of the events protocol's is of two."""
        return self.rooms["direct" if dialect == "003" else "room"]

    async def run(self, says: str, shows: str, count: int) -> float:
        """Say so many things in one dialect, have them shown in another; return how many a second."""
        self._first = first = self._first + 100_000
        room = self.room(shows if says == "native" else says)
        async with self.page(0, says) as alice, self.page(1, shows) as bob:
            begun = time.perf_counter()
            for number in range(first, first + count):
                while number - first - alice.seen(first) >= WINDOW:  # one's own words come back too
                    await asyncio.sleep(0.001)
                await alice.say(room, number)
            await asyncio.wait_for(bob.until(first, count), PATIENCE)
            return count / (time.perf_counter() - begun)


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Start two nodes with every dialect enabled."""
    async with AsyncExitStack() as stack:
        nodes: list[NodeProcess] = []
        stack.callback(end, nodes)
        peers: tuple[str, ...] = ()
        clients, at = [], []
        for name in ("alice", "bob"):
            home = folder / name
            nodes.append(start(home, name, peers))
            up = await nodes[-1].up()
            peers = (f"ws://{up['mesh']['host']}:{up['mesh']['port']}",)
            client = await stack.enter_async_context(Client.connect(home=home))
            for dialect in SPOKEN.keys() - {"native"}:
                await client.call("dialect_enable", dialect=dialect)
            clients.append(client)
            at.append((int(up["bridge"]["port"]), (home / "token").read_text().strip()))
        room = await asyncio.wait_for(gather(clients[0], clients[1]), PATIENCE)
        direct = str((await clients[0].call("dm_open", username="bob"))["room"])
        yield Stage(at, {"room": room, "direct": direct})


async def measure(folder: Path, count: int, rounds: int = ROUNDS) -> list[Share]:
    """Return messages a second, said or shown by each dialect, beside the native one of the same run."""
    ways = [("native", "native"), *(("native", one) for one in SPOKEN if one != "native")]
    ways += [(one, "native") for one in ("001", "002", "004")]  # the events protocol allows 50 a second
    rates: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    async with stage(folder) as both:
        for _ in range(rounds):
            for way in ways:
                rates[way].append(await both.run(*way, count))
    middle = {way: sorted(found)[rounds // 2] for way, found in rates.items()}
    native = middle["native", "native"]
    return [Share(f"said in {says}, shown in {shows}", rate, rate / native)
            for (says, shows), rate in middle.items()]  # fmt: skip

"""Plays a transcript: real bridges and websockets, simulated nodes and mesh behind them.

A line is one of

    # words for people
    @ world contacts            ann and bob: alone (ann), linked, contacts, room (both in `$room`, "tea");
                                three: ann, bob and cid, linked
    @ session phone ann         another frontend of ann; `plain` says no hello, `token=$t` comes in by that
    @ page chat ann 001         a frontend of that dialect at ann's node; `rooms=private`, `scope=chat` set it
    @ run 130                   time passes; more in `Player._order`
    ann> {"event":"room_list"}  what a frontend sends, with `$name` replaced
    ann< {"event":"ok","rooms":"*"}
                                what it gets, now or within a virtual minute: "*" is anything, "$name" is
                                bound by its first use and compared after, "*" as a key lets there be more

Every node has a session of its own name from the beginning. Every `ok` is held against its answer's struct.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from node.bridge.dialects.adapter import Setting
from node.bridge.media import Dresser
from node.bridge.ports import (
    BridgeInput,
    CredentialsChanged,
    Deliver,
    EndSession,
    ReadHistory,
    ReadSearch,
    StartReplay,
)
from node.bridge.server import BridgeServer
from node.chat import answers, commands as c, events
from node.engine.effects import AnswerStatus
from node.sim import SimNode, Simulation
from tests.bridge.fake_engine import counted_entropy
from tests.engine.healing_worlds import lost
from tests.engine.worlds import befriend, invite, joined
from tests.transcripts.adapted import SimFrontend
from tests.transcripts.requests import pattern_of

ADMIN = "a" * 43
STEP, STEPS = 0.05, 1_200
"""Virtual seconds between two looks, and how often one looks."""


class Node:
    """A simulated node behind a real bridge."""

    def __init__(self, sim: SimNode) -> None:
        self.sim = sim
        self.port = 0
        self.server = BridgeServer(
            self.submit, self, admin_token=ADMIN, host="127.0.0.1", port=0, socket_path=None,
            entropy=counted_entropy(), clock=sim.now, locked=lambda: sim.engine is None,
        )  # fmt: skip
        self.dresser = Dresser(lambda _ident: "ready", lambda ident: f"/api/v1/attachments/{ident}?cap=cap")
        self._inner = sim._one
        sim._one = self._one  # type: ignore[method-assign]  # this is where a simulated node meets the world

    def submit(self, event: BridgeInput) -> None:
        self.sim.feed(event)

    def _one(self, effect: Any) -> None:
        match effect:
            case Deliver() | ReadHistory() | ReadSearch() if effect.session in self.sim.sessions:
                self._inner(effect)
            case AnswerStatus(session, req, fields):
                ok = events.Ok(req=req, fields={**fields, **self.sim.store.stats()})
                self.server.perform(Deliver(session, ok))
            case (
                Deliver() | StartReplay() | ReadHistory() | ReadSearch() | EndSession() | CredentialsChanged()
            ):
                self.server.perform(effect)
            case _:
                self._inner(effect)

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        return self.sim.store.events_after(seq, limit)

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        return self.sim.store.history(room, before, after, limit, skip)

    async def message_count(self, room: bytes) -> int:
        return self.sim.store.message_count(room)

    async def search(
        self, text: str, room: bytes | None, before: tuple[bytes, Sequence[bytes]] | None, limit: int
    ) -> tuple[list[bytes], bool]:
        return self.sim.store.search(text, room, before, limit)


class Frontend:
    """One websocket, what came and was not looked for yet, and what was asked by which `req`."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.came: list[dict[str, Any]] = []
        self.asked: dict[Any, str] = {}
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for frame in self.ws:
                self.came.append(json.loads(frame))
        except ConnectionClosed:
            pass


class Player:
    """Plays the lines of one transcript."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.world = Simulation(name)
        self.nodes: dict[str, Node] = {}
        self.frontends: dict[str, Frontend] = {}
        self.pages: dict[str, SimFrontend] = {}
        self.bound: dict[str, Any] = {}
        self.sent: set[str] = set()
        self.seen: set[str] = set()
        self._next = 0

    async def play(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            try:
                await self._line(line.strip())
            except Exception as exc:
                raise AssertionError(f"{self.name}, line {number}: {line}\n{exc}") from exc

    async def _line(self, line: str) -> None:
        spoken = re.match(r"(\w+)([<>]) (.*)", line)
        page = self.pages.get(spoken[1]) if spoken else None
        if line.startswith("@ "):
            await self._order(*line[2:].split(" ", 2))
        elif spoken and page is not None:
            await self._on_page(page, spoken[2], spoken[3])
        elif spoken and spoken[2] == ">":
            await self._send(self.frontends[spoken[1]], spoken[3])
        elif spoken:
            await self._expect(self.frontends[spoken[1]], json.loads(spoken[3]))
        else:
            assert not line or line.startswith("#"), "neither a frame nor an order"

    # -- orders -----------------------------------------------------------------------------------

    async def _order(self, word: str, first: str = "", rest: str = "") -> None:
        match word:
            case "world":
                await self._make(first)
            case "session" | "socket":
                await self._attach(first, *rest.split(), hello=word == "session")
            case "page":
                self._open(first, *rest.split())
            case "run":
                self.world.run(float(first))
            case "part":
                self.world.partition(*([name] for name in self.nodes))
            case "heal":
                self.world.heal()
            case "crash":  # as kill -9, and a start after it; sessions have to attach again
                self.nodes[first].sim.crash()
                self.nodes[first].sim.start()
            case "lost":  # a command of which no envelope ever leaves the node
                sim, text = self.nodes[first].sim, self._filled(rest)
                command = msgspec.json.decode(text, type=c.BY_NAME[json.loads(text)["event"]])
                lost(self.world, sim, lambda: sim.call(command))
            case "restored":  # a backup of a node's is restored at a new node, which is up beside it
                old = self.nodes[first].sim
                self.world.restore(rest, old.backup(), peers=[n for n in self.nodes if n != first]).start()
                await self._serve(rest)
            case "slow":  # a frontend that does not read what is sent
                number = max(self._node_of(first).server._connections)
                connection = self._node_of(first).server._connections[number]
                connection.outbox.lagged = True
                connection._woken()
            case "never":  # a page is not told this, now or within two virtual seconds
                self.world.run(2)
                self.pages[first].pump()
                told = [
                    one for one in self.pages[first].came if self._fits(json.loads(self._filled(rest)), one)
                ]
                assert not told, f"it was told {told}"
            case "quiet":  # a page was told nothing of that name, or nothing else of it than was looked for
                self.pages[first].pump()
                left = [frame for frame in self.pages[first].came if rest in str(frame)[:200]]
                assert not left, left
            case (
                "http"
            ):  # what a program gets at a node's own port, without a credential unless it is in the path
                await self._http(self._node_of(first), *rest.split())
            case "closed" if first in self.pages:
                self.pages[first].pump()
                assert self.pages[first].closed == int(rest), self.pages[first].closed
            case "closed":
                await self._closed(self.frontends[first], int(rest))
            case _:
                raise AssertionError("no such order")

    async def _http(self, node: Node, status: str, method: str, path: str) -> None:
        url = f"http://127.0.0.1:{node.port}{self._filled(path)}"
        async with aiohttp.ClientSession() as client, client.request(method, url) as answer:
            assert answer.status == int(status), answer.status

    def _fits(self, pattern: Any, frame: Any) -> bool:
        return self._matched(pattern, frame, dict(self.bound)) is not None

    def _node_of(self, name: str) -> Node:
        return self.nodes[name]

    async def _make(self, kind: str) -> None:
        names = {"alone": ["ann"], "three": ["ann", "bob", "cid"]}.get(kind, ["ann", "bob"])
        for name in names:
            self.world.add(name, peers=[] if name == "ann" else ["ann"])
        self.world.run(2)
        sims = self.world.nodes
        if kind in {"contacts", "room"}:
            befriend(self.world, sims["ann"], sims["bob"])
        if kind == "room":
            room = self.bound["room"] = sims["ann"].call(c.RoomCreate(name="tea"))["room"]
            session = invite(self.world, sims["ann"], sims["bob"], room)
            assert joined(session, room, "bob")
            sims["bob"].detach(session)
            self.world.run(3)
        for name, sim in sims.items():
            self.bound[f"id_{name}"] = sim.call(c.ProfileGet())["user_id"]
            await self._serve(name)

    async def _serve(self, name: str) -> None:
        node = self.nodes[name] = Node(self.world.nodes[name])
        _, node.port = await node.server.start()
        await self._attach(name, name, hello=True)

    async def _attach(self, name: str, at: str, *how: str, hello: bool) -> None:
        given = dict(word.partition("=")[::2] for word in how)
        token = self._filled(given.get("token", ADMIN))
        query = "" if "nameless" in given else f"?token={token}"
        url = f"ws://127.0.0.1:{self.nodes[at].port}/{query}"
        frontend = self.frontends[name] = Frontend(await connect(url, proxy=None))
        if hello and "plain" not in given:
            await self._send(frontend, json.dumps({"event": "hello", "req": 0, "client": name}))
            await self._expect(frontend, {"event": "hello", "req": 0, "*": "*"})

    def _open(self, name: str, at: str, dialect: str, *how: str) -> None:
        given: dict[str, Any] = dict(word.partition("=")[::2] for word in how)
        self.pages[name] = SimFrontend(self.nodes[at].sim, dialect, Setting(**given), self.nodes[at].dresser)

    async def _on_page(self, page: SimFrontend, way: str, text: str) -> None:
        """Play a line of a frontend of another protocol."""
        if way == ">":
            await page.send(self._filled(text))
            return
        wanted = re.fullmatch(r"(\d+)(\[.*\])", text)
        pattern = pattern_of(text) or json.loads(wanted[2] if wanted else text)
        for _ in range(STEPS):
            page.pump()
            for place, frame in enumerate(page.came):
                mark = re.fullmatch(r"(\d+)(\[.*\])", frame) if isinstance(frame, str) else None
                if (wanted and wanted[1]) != (mark and mark[1]):
                    continue
                found = self._matched(pattern, json.loads(mark[2]) if mark else frame, dict(self.bound))
                if found is not None:
                    del page.came[place]
                    self.bound = found
                    return
            await asyncio.sleep(0.002)  # native frontends speak beside it
            self.world.run(STEP)
        raise AssertionError("did not come; there is:\n" + "\n".join(map(json.dumps, page.came)))

    async def _closed(self, frontend: Frontend, code: int) -> None:
        async with asyncio.timeout(30):
            await frontend.ws.wait_closed()
        assert frontend.ws.close_code == code, frontend.ws.close_code

    # -- frames -----------------------------------------------------------------------------------

    def _filled(self, text: str) -> str:
        return re.sub(r"\$([a-z_]\w*)", lambda found: str(self.bound[found[1]]), text)

    async def _send(self, frontend: Frontend, text: str) -> None:
        frame = self._filled(text)
        name = re.search(r'"event"\s*:\s*"(\w+)"', frame)
        req = re.search(r'"req"\s*:\s*("\w*"|\d+)', frame)
        if name:
            self.sent.add(name[1])
            frontend.asked[json.loads(req[1]) if req else None] = name[1]
        await frontend.ws.send(frame)

    async def _expect(self, frontend: Frontend, pattern: dict[str, Any]) -> None:
        for _ in range(STEPS):
            for place, frame in enumerate(frontend.came):
                found = self._matched(pattern, frame, dict(self.bound))
                if found is not None:
                    del frontend.came[place]
                    self.bound = found
                    self.seen.add(frame["event"])
                    self._judge(frontend, frame)
                    return
            await asyncio.sleep(0.002)
            self.world.run(STEP)
        raise AssertionError("did not come; there is:\n" + "\n".join(map(json.dumps, frontend.came)))

    def _judge(self, frontend: Frontend, frame: dict[str, Any]) -> None:
        """An event has the keys of its struct; an ok those of its command's answer, neither more nor less."""
        if frame["event"] != "ok":
            event = events.BY_NAME[frame["event"]]
            known = {field.encode_name for field in msgspec.structs.fields(event)} | {"event"}
            assert frame["event"] == "error" or frame.keys() <= known, frame
            msgspec.convert(frame, event)
            return
        kind = answers.BY_COMMAND[frontend.asked[frame.get("req")]]
        msgspec.convert({key: frame[key] for key in frame.keys() - {"event", "req"}}, kind)

    def _matched(self, pattern: Any, value: Any, bound: dict[str, Any]) -> dict[str, Any] | None:
        """Return what is bound after a match, None if it is none."""
        if pattern == "*":
            return bound
        if isinstance(pattern, str) and re.fullmatch(r"\$[a-z_]\w*", pattern):
            return bound if bound.setdefault(pattern[1:], value) == value else None
        if isinstance(pattern, str) and isinstance(value, str):  # what is bound may stand in a longer text
            return bound if self._filled(pattern) == value else None
        if isinstance(pattern, dict) and isinstance(value, dict):
            wanted = pattern.keys() - {"*"}
            if not wanted <= value.keys() or ("*" not in pattern and wanted != value.keys()):
                return None
            pairs = [(pattern[key], value[key]) for key in pattern if key != "*"]
        elif isinstance(pattern, list) and isinstance(value, list) and len(pattern) == len(value):
            pairs = list(zip(pattern, value, strict=True))
        else:
            return bound if pattern == value else None
        for one, other in pairs:
            after = self._matched(one, other, bound)
            if after is None:
                return None
            bound = after
        return bound

    async def stop(self) -> None:
        for frontend in self.frontends.values():
            frontend.reading.cancel()
            await frontend.ws.close()
        for page in self.pages.values():
            await page.stop()
        for node in self.nodes.values():
            await node.server.stop()


@asynccontextmanager
async def player(path: Path) -> AsyncIterator[Player]:
    """Return who plays a file; whatever happens, what was opened is closed."""
    made = Player(path.stem)
    try:
        yield made
    finally:
        await made.stop()

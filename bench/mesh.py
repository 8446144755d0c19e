"""The mesh of real nodes on this machine: copies, delivery, processor's time, beside bare echo processes.

Each node dials a few others, as the owner of each would have told it. An observer linked to every node hands
envelopes in at one and sees them come out at all others (`bench/observer.py`); what it costs the nodes to
serve it is in the figures. Beside, in the same run, the same bytes go along a chain of bare websocket
processes, as many as the nodes from entry to exit: while the mesh rests, so that the chain has the machine to
itself, and again while the mesh carries as much as when it was measured. The goal is of the first; the second
tells what of the distance is due to so many processes on so few cores. The last part is what people see:
members of one room, a frontend each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.figures import Figures, cpu_s
from bench.observer import SMALLEST, Observer, envelope
from node.client import Client
from node.commandline.processes import NodeProcess, end, start
from node.errors import Refused
from node.wire.envelope import OVERHEAD

RATE = 20.0
"""Envelopes a second, in all."""
DIALS = 3
"""Others that each node dials: about twice as many links a node."""
SETTLE_S = 3.0
WARM_UP = 60
"""Envelopes before the first that is measured: what a mesh learns of its shape it knows by then."""
LAST_S = 5.0
"""After the last envelope, for stragglers and for what a sync must bring."""
JOIN_S = 120.0
"""For all to be in one room; raises TimeoutError when that is not enough, and with it ends the run."""
CHAIN_SENDS = 200
BODY = 512

ONWARD = """
import asyncio, sys
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
async def main():
    async with connect(sys.argv[1], compression=None) as onward:
        async def take(ws):
            async for message in ws:
                await onward.send(message)
        async with serve(take, "127.0.0.1", 0, compression=None) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await asyncio.Future()
asyncio.run(main())
"""
"""A bare process of the chain: what comes in goes on."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a run takes beside what is measured: seconds of waiting, envelopes before, sends of a chain."""

    settle: float = SETTLE_S
    last: float = LAST_S
    warm_up: int = WARM_UP
    chain: int = CHAIN_SENDS


@dataclass(slots=True)
class Spread:
    """What became of the measured envelopes: one time for each and each node that it reached."""

    sent: dict[bytes, tuple[int, float]] = field(default_factory=dict)
    came: dict[tuple[bytes, int], float] = field(default_factory=dict)

    def seen(self, node: int, raw: bytes, at: float) -> None:
        """Node `node` has passed an envelope on."""
        if raw in self.sent:
            self.came.setdefault((raw, node), at)

    def times(self) -> list[float]:
        """Return the seconds from handing in to coming out, at every node but the entry."""
        return [at - self.sent[raw][1] for (raw, node), at in self.came.items() if node != self.sent[raw][0]]


@dataclass(frozen=True, slots=True)
class Whole:
    """The figures of one mesh; `chain` are times of bare processes, as many as lie on a typical path.

    `busy` and `far_busy` are those of the chains beside the mesh at work.
    """

    what: str
    nodes: int
    missing: int
    copies: float
    cpu_ms: float
    times: list[float]
    chain: list[float]
    far_chain: list[float]
    busy: list[float]
    far_busy: list[float]

    def line(self) -> str:
        """Return the figures as lines of the report."""
        p50, p99 = (Figures("", None, self.times).at(share) or 0.0 for share in (0.5, 0.99))
        bare50, bare99 = _at(self.chain, 0.5), _at(self.far_chain, 0.99)
        busy50, busy99 = _at(self.busy, 0.5), _at(self.far_busy, 0.99)
        return (
            f"{self.what}: {self.copies:.2f} copies a node, {self.missing} missing\n"
            f"    p50 {p50:.1f} ms ({p50 / bare50:.1f} x bare), p99 {p99:.1f} ms ({p99 / bare99:.1f} x bare),"
            f" {self.cpu_ms:.2f} ms CPU an envelope and node\n"
            f"    bare {bare50:.1f} and {bare99:.1f} ms; beside the mesh at work {busy50:.1f} and"
            f" {busy99:.1f} ms ({p50 / busy50:.1f} x and {p99 / busy99:.1f} x)"
        )

    def row(self) -> dict[str, object]:
        """Return the figures as data."""
        shares = Figures(self.what, None, self.times).row()
        bare = {"bare_p50_ms": _at(self.chain, 0.5), "bare_p99_ms": _at(self.far_chain, 0.99)}
        bare |= {"busy_bare_p50_ms": _at(self.busy, 0.5), "busy_bare_p99_ms": _at(self.far_busy, 0.99)}
        return {
            **shares, **bare, "nodes": self.nodes, "missing": self.missing, "copies": self.copies,
            "cpu_ms": self.cpu_ms,
        }  # fmt: skip


def _at(times: list[float], share: float) -> float:
    return Figures("", None, times).at(share) or 1e-9


@dataclass(slots=True)
class Mesh:
    """Nodes that run, a frontend and an observer at each."""

    addresses: list[str]
    nodes: list[NodeProcess]
    clients: list[Client]
    observers: list[Observer]
    spread: Spread

    async def graph(self) -> list[set[int]]:
        """Return which nodes are linked, and to which."""
        lists = await asyncio.gather(*(self._rows(client) for client in self.clients))
        keys = [{row["peer"] for row in rows} for rows in lists]
        return [{n for n, other in enumerate(self.observers) if other.node in linked} for linked in keys]

    async def _rows(self, client: Client) -> list[dict[str, Any]]:
        own = {observer.key for observer in self.observers}
        rows = (await client.call("peer_list"))["peers"]
        return [row for row in rows if row["state"] != "down" and row["peer"] not in own]

    async def copies(self) -> int:
        """Return how many envelopes have come over the links between nodes."""
        lists = await asyncio.gather(*(self._rows(client) for client in self.clients))
        return sum(row["copies"] for rows in lists for row in rows)

    def cpu_s(self) -> float:
        """Return the processor's time that all nodes have taken."""
        return sum(cpu_s(node.process.pid) for node in self.nodes)

    async def feed(self, count: int, rng: random.Random, *, counted: bool) -> None:
        """Hand in `count` envelopes at RATE, each at a node drawn by lot."""
        started = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
            sealed, entry = envelope(), rng.randrange(len(self.observers))
            if counted:
                self.spread.sent[sealed.raw] = (entry, time.perf_counter())
            await self.observers[entry].push(sealed)


async def measure(
    folder: Path,
    seconds: float,
    *,
    nodes: int,
    name: str,
    effort: Effort = Effort(),
) -> Whole:
    """Measure one mesh of real nodes, handing in from outside."""
    rng = random.Random(nodes)
    async with mesh(folder, nodes, rng, effort) as running:
        await running.feed(effort.warm_up, rng, counted=False)
        await asyncio.sleep(effort.last)
        idle = await _idle(running, effort.settle)
        copies, cpu = await running.copies(), running.cpu_s()
        began, count = time.perf_counter(), int(seconds * RATE)
        await running.feed(count, rng, counted=True)
        await asyncio.sleep(effort.last)
        busy = running.cpu_s() - cpu - idle * (time.perf_counter() - began)
        copies = await running.copies() - copies
        spread, others = running.spread, count * (nodes - 1)
        near, far = _depths(await running.graph())
        chain = await _chain(near, effort.chain)
        far_chain = chain if far == near else await _chain(far, effort.chain)
        busy_chain = await _beside(near, running, rng, effort.chain)
        far_busy = busy_chain if far == near else await _beside(far, running, rng, effort.chain)
        missing = others - len(spread.times())
        what = f"{name}: {nodes} nodes, {BODY} B, {RATE:.0f}/s"
        print(f"  (paths of {near} nodes, the longest {far}; idle, all take {idle * 100:.1f} % of a core)")
        cost = busy * 1000 / (count * nodes)
        return Whole(
            what,
            nodes,
            missing,
            copies / others,
            cost,
            spread.times(),
            chain,
            far_chain,
            busy_chain,
            far_busy,
        )


async def people(
    folder: Path,
    seconds: float,
    *,
    nodes: int,
    effort: Effort = Effort(),
) -> Figures:
    """Measure what members of one room see of each other's texts, from a frontend to all others."""
    rng = random.Random(nodes)
    async with mesh(folder, nodes, rng, effort, observed=False) as running:
        began = time.perf_counter()
        room = await asyncio.wait_for(_room(running.clients), JOIN_S)
        print(f"  ({nodes} members after {time.perf_counter() - began:.1f} s)")
        times: list[float] = []
        reading = [asyncio.create_task(_read(client, times)) for client in running.clients]
        count = int(seconds * RATE)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
                text = f"{time.perf_counter():.6f} ".ljust(BODY, ".")
                group.create_task(rng.choice(running.clients).call("user_message", room=room, message=text))
        wanted, patience = count * (nodes - 1), time.perf_counter() + 30
        while len(times) < wanted and time.perf_counter() < patience:
            await asyncio.sleep(0.1)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        if len(times) != wanted:
            print(f"  {wanted - len(times)} of {wanted} texts were not shown")
        return Figures(f"{nodes} members, frontend to frontends", None, times)


@asynccontextmanager
async def mesh(
    folder: Path, count: int, rng: random.Random, effort: Effort, *, observed: bool = True
) -> AsyncIterator[Mesh]:
    """Start nodes of which each dials a few of those before it, and stop them by their own ids."""
    async with AsyncExitStack() as stack:
        running = Mesh([], [], [], [], Spread())
        stack.callback(end, running.nodes)
        for number in range(count):
            peers = rng.sample(running.addresses, min(DIALS, number))
            home = folder / f"n{number}"
            running.nodes.append(start(home, f"n{number}", peers))
            at = (await running.nodes[-1].up())["mesh"]
            running.addresses.append(f"ws://{at['host']}:{at['port']}")
        for number, node in enumerate(running.nodes):
            running.clients.append(await stack.enter_async_context(Client.connect(home=node.home)))
            if observed:
                observer = Observer(lambda raw, at, number=number: running.spread.seen(number, raw, at))
                await observer.open(running.addresses[number])
                stack.push_async_callback(observer.close)
                running.observers.append(observer)
        await asyncio.sleep(effort.settle)
        yield running


async def _room(clients: list[Client]) -> str:
    """Make an open room at the first and let the others join, all at once; returns its id."""
    room = str((await clients[0].call("room_create", name="bench", visibility="open"))["room"])
    await asyncio.gather(*(_come_in(client, room) for client in clients[1:]))
    for client in clients:
        while len((await client.call("room_get", room=room))["members"]) < len(clients):
            await asyncio.sleep(0.2)
    return room


async def _come_in(client: Client, room: str) -> None:
    for command in ("user_join", "room_get"):  # once it is listed here; until somebody has let us in
        while True:
            try:
                await client.call(command, room=room)
                break
            except Refused:
                await asyncio.sleep(0.2)


async def _read(client: Client, times: list[float]) -> None:
    async for event in client.events():
        if event.get("event") == "user_message" and not event.get("self"):
            times.append(time.perf_counter() - float(event["message"].split()[0]))


async def _idle(running: Mesh, seconds: float) -> float:
    """Return the share of a core that the nodes take together while nothing is handed in."""
    before, began = running.cpu_s(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (running.cpu_s() - before) / (time.perf_counter() - began)


def _depths(graph: list[set[int]]) -> tuple[int, int]:
    """Return how many nodes lie on a typical path and on the longest, both ends counted."""
    depths: list[int] = []
    for begin in range(len(graph)):
        found, waiting = {begin: 1}, deque([begin])
        while waiting:
            node = waiting.popleft()
            for other in graph[node] - found.keys():
                found[other] = found[node] + 1
                waiting.append(other)
        depths += [depth for node, depth in found.items() if node != begin]
    return round(statistics.median(depths)), max(depths)


async def _chain(length: int, sends: int) -> list[float]:
    """Return the times of an envelope's bytes through `length` bare processes, at the same rate."""
    times: list[float] = []
    sent: deque[float] = deque()

    async def sink(ws: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the chain is ended from its other end
            async for _ in ws:
                times.append(time.perf_counter() - sent.popleft())

    processes: list[subprocess.Popen[bytes]] = []
    async with serve(sink, "127.0.0.1", 0, compression=None) as server:
        onward = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            for _ in range(length):
                words = [sys.executable, "-c", ONWARD, onward]
                processes.append(subprocess.Popen(words, stdout=subprocess.PIPE))
                port = await asyncio.to_thread(processes[-1].stdout.readline)  # type: ignore[union-attr]
                onward = f"ws://127.0.0.1:{int(port)}"
            async with connect(onward, compression=None) as first:
                await _send_along(first, sent, sends)
                await asyncio.sleep(0.5)
        finally:
            for process in processes:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()
    return times


async def _beside(length: int, running: Mesh, rng: random.Random, sends: int) -> list[float]:
    """Return the same while the mesh carries as many envelopes as when it was measured."""
    feeding = asyncio.create_task(running.feed(sends * 100, rng, counted=False))
    try:
        return await _chain(length, sends)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _send_along(first: ClientConnection, sent: deque[float], count: int) -> None:
    started = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        body = os.urandom(OVERHEAD + SMALLEST)
        sent.append(time.perf_counter())
        await first.send(body)

"""Catching up: the bytes and round trips of finding out what is missing, and how fast it is taken in.

The finding out is counted on a virtual link between two meshes, so it is the same on every machine. The
taking in is timed between two node processes with their stores, beside bare verifications and commits.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import statistics
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path

from bench import floors
from bench.figures import Figures
from node.client import Client
from node.clock import DAY_MS, Instant
from node.commandline.processes import NodeProcess, end, start
from node.crypto.channel import Channel, ChannelKind, network_id, verify_envelope
from node.engine.shelving import QUOTA, Shelving
from node.mesh.mesh import Mesh
from node.mesh.ports import (
    AddAddress,
    Arrived,
    ByIds,
    ByTime,
    HeldRead,
    LinkBytes,
    LinkDrained,
    LinkOpened,
    MeshEffect,
    MeshInput,
    Publish,
    ReadHeld,
    SendBytes,
)
from node.store import files
from node.vault import Vault
from node.wire import frame_bytes
from node.wire.envelope import KEPT, Envelope, parse
from node.wire.frames import Batch, Days, Gone, IHave, NegEnd, NegMsg, NegOpen, Tail, Want

HELD = 100_000
NOON = 20_000 * DAY_MS + DAY_MS // 2
LATENCY = 0.05
SPOKEN = (Days, Tail, NegOpen, NegMsg, NegEnd, Want, Gone, IHave)
"""What finding out is made of: all frames of a sync but the envelopes and the credit for them."""
MISSING = 10_000
RATE = 1_000_000
"""Bytes a second of a slow link."""
SIZE = 659
"""Of the smallest envelope, as these are."""
RUNS = 3
BESIDE = 2_500
"""Envelopes of a catch-up that takes longer than the second in which live ones are timed."""
AT_ONCE, PEERS = 2_000, 10
"""Envelopes a commit while a home is filled, and peers that brought them."""
CHANNEL = Channel(ChannelKind.ROOM, b"s" * 32)


@dataclass(frozen=True, slots=True)
class Found:
    """What finding out has cost; `goal` is what the project wants of it, `others` what stands beside it."""

    what: str
    spent: int
    trips: float
    goal: str
    others: str

    def line(self) -> str:
        """Return the figure as a line of the report."""
        here = f"{self.spent:>9,} B {self.trips:4.1f} round trips"
        return f"{self.what:<38}{here}  (goal {self.goal}; {self.others})"

    def row(self) -> dict[str, object]:
        """Return the figure as data."""
        return {"what": self.what, "bytes": self.spent, "round_trips": self.trips, "goal": self.goal}


def reconciliation(held: int = HELD) -> Iterator[Found]:
    """Two nodes, so many ids; one lacks the newest, or some here and there."""
    rng = random.Random(11)
    for span, name in ((DAY_MS // 3, "of one day"), (34 * DAY_MS, "of 34 days")):
        ids = sorted((NOON - 10_000 - rng.randrange(span), rng.randbytes(32)) for _ in range(held))
        for missing, others in ((10, "1,650"), (1_000, "33,742"), (10_000, "322,151")):
            if missing >= held:
                continue
            both = _Both(ids[:-missing], ids[-missing:])
            what = f"the newest {missing:,} {name} missing"
            yield both.measured(what, "1 KiB, 2", f"negentropy JS {others} B, 3")
        some = set(rng.sample(range(held), 100))
        both = _Both([e for n, e in enumerate(ids) if n not in some], [ids[n] for n in some])
        yield both.measured(f"any 100 {name} missing", "112 kB, 4", "floor 1,600 B of ids")


class _Both:
    """Two meshes and a link with LATENCY; one holds all ids, the other lacks some. Bodies are junk."""

    def __init__(self, shared: list[tuple[int, bytes]], missing: list[tuple[int, bytes]]) -> None:
        self.time, self.order = 0.0, count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        known = [(eid, ts, ts + 35 * DAY_MS) for ts, eid in shared]
        more = [(eid, ts, ts + 35 * DAY_MS) for ts, eid in missing]
        self.meshes = [self._mesh(1, [*known, *more]), self._mesh(2, known)]
        self.spent, self.begun, self.first = 0, 0.0, 0.0

    def _mesh(self, seed: int, known: list[tuple[bytes, int, int]]) -> Mesh:
        rng = random.Random(seed)
        return Mesh(
            node_seed=bytes([seed]) * 32, network_id=network_id(None), psk=None, roles=frozenset({"hold"}),
            listen=(), boot_nonce=rng.randbytes(8), entropy=rng.randbytes, verify=verify_envelope,
            known=known, now=self.now,
        )  # fmt: skip

    @property
    def now(self) -> Instant:
        return Instant(self.time, NOON + round(self.time * 1_000))

    def measured(self, what: str, goal: str, others: str) -> Found:
        """Link the two, until the first envelope is on its way."""
        decode = frame_bytes.decode

        def counted(data: bytes) -> object:
            frame = decode(data)
            if isinstance(frame, Days) and not self.begun:
                self.begun = self.time - LATENCY
            if isinstance(frame, Batch) and not self.first:
                self.first = self.time
            if isinstance(frame, SPOKEN):
                self.spent += len(data)
            return frame

        frame_bytes.decode = counted  # type: ignore[assignment] # looks at what passes, and passes it on
        try:
            self.link()
            self.run(10)
        finally:
            frame_bytes.decode = decode
        return Found(what, self.spent, (self.first - self.begun) / (2 * LATENCY), goal, others)

    def link(self) -> None:
        """Let the second dial the first."""
        self._put(1, AddAddress("ws://a:1", "configured"))
        self._put(1, LinkOpened(1, True, "ws://a:1", "a:1"))
        self._put(0, LinkOpened(1, False, "", "b:1"))

    def run(self, until: float) -> None:
        """Let time pass, as long as something happens."""
        while self.events and self.events[0][0] <= until:
            self.time, _, action = heapq.heappop(self.events)
            action()
        self.time = until

    def _put(self, who: int, event: MeshInput) -> None:
        for effect in self.meshes[who].handle(event, now=self.now):
            self._do(who, effect)

    def _do(self, who: int, effect: MeshEffect) -> None:
        match effect:
            case SendBytes(_, data):
                self._later(LATENCY, lambda: self._put(1 - who, LinkBytes(1, data)))
                self._later(LATENCY, lambda: self._put(who, LinkDrained(1, len(data))))
            case ReadHeld(ticket, ByIds() | ByTime()):
                self._later(0.0, lambda: self._put(who, HeldRead(ticket, (), more=False)))
            case _:
                pass

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.time + seconds, next(self.order), action))


class _Slow(_Both):
    """The same over a link of RATE, with bodies: how long do live envelopes take meanwhile?"""

    def __init__(self, missing: list[Envelope]) -> None:
        super().__init__([], [(env.ts_ms, env.eid) for env in missing])
        self.rows = [(env.ts_ms, env.eid, env.raw) for env in missing]
        self.free = [0.0, 0.0]
        self.sent: dict[bytes, float] = {}
        self.times: list[float] = []

    def publish(self, env: Envelope) -> None:
        self.sent[env.eid] = self.time
        self._put(0, Publish((env,)))

    def _do(self, who: int, effect: MeshEffect) -> None:
        match effect:
            case SendBytes(_, data):
                self.free[who] = gone = max(self.time, self.free[who]) + len(data) / RATE
                self._later(gone - self.time, lambda: self._put(who, LinkDrained(1, len(data))))
                self._later(gone - self.time + LATENCY, lambda: self._put(1 - who, LinkBytes(1, data)))
            case ReadHeld(ticket, ByTime() as spec):
                low = bisect_left(self.rows, (*(spec.after or (spec.t0_ms, b"")), b"\xff"))
                page = tuple(raw for _, _, raw in self.rows[low : low + spec.max_bytes // SIZE])
                more = low + len(page) < len(self.rows)
                self._later(0.001, lambda: self._put(who, HeldRead(ticket, page, more)))
            case Arrived(env, _) if env.eid in self.sent:
                self.times.append(self.time - self.sent[env.eid])
            case _:
                super()._do(who, effect)


def beside(missing: int = BESIDE) -> Iterator[Figures]:
    """Live envelopes at 100/s for a second, with and without a catch-up that takes longer than that."""
    rng = random.Random(13)
    for what, lacking in (("live alone, 8 Mbit/s", 0), ("live beside a catch-up, 8 Mbit/s", missing)):
        both = _Slow([_sealed(rng, NOON - 7_200_000 + at) for at in range(lacking)])
        both.link()
        for tick in range(100):
            both.run(1 + tick / 100)
            both.publish(_sealed(rng, NOON + round(both.time * 1_000)))
        both.run(4)
        assert len(both.times) == 100
        yield Figures(what, None, both.times)


async def taking_in(
    folder: Path, held: int = HELD, missing: int = MISSING, runs: int = RUNS
) -> AsyncIterator[Figures]:
    """Two node processes; one is `missing` envelopes of others behind `held`."""
    rng = random.Random(12)
    now_ms = time.time_ns() // 1_000_000
    newest = [_sealed(rng, now_ms - 7_200_000 + at) for at in range(missing)]
    yield _verifying(newest)
    yield floors.commits(folder, 20, rows=2_000)
    shared = [_sealed(rng, now_ms - 7_300_000)]  # a tail is sent from the newest on that both have
    shared += [_junk(rng, now_ms - 7_300_000 - at * 20) for at in range(1, held - missing)]
    rates = []
    for run in range(runs):
        rates.append(await _caught_up(folder / str(run), shared, newest))
        yield Figures(f"  run {run + 1}", rates[-1])
    yield Figures(f"taken in durably, {missing:,} of {held:,}", statistics.median(rates))


def _sealed(rng: random.Random, ts_ms: int) -> Envelope:
    inner = b"\x91\x01" + rng.randbytes(300)
    return parse(CHANNEL.seal(inner, ts_ms=ts_ms, ttl_days=35, ephemeral=False, entropy=rng.randbytes))


def _junk(rng: random.Random, ts_ms: int) -> Envelope:
    """Return what is only held: nobody looks at its signature any more."""
    raw = rng.randbytes(SIZE)
    eid = blake2b(raw, digest_size=32).digest()
    return Envelope(raw, KEPT, ts_ms, 35, rng.randbytes(32), bytes(64), b"", eid)


def _verifying(envelopes: list[Envelope]) -> Figures:
    some = envelopes[:2_000]
    started = time.perf_counter()
    for env in some:
        verify_envelope(env)
    return Figures("bare verifications of signatures", len(some) / (time.perf_counter() - started))


async def _caught_up(folder: Path, shared: list[Envelope], newest: list[Envelope]) -> float:
    """Return how many envelopes a second were on disk, from the moment the link was asked for."""
    async with AsyncExitStack() as stack:
        nodes: list[NodeProcess] = []
        stack.callback(end, nodes)
        clients = []
        for name, envelopes in (("holder", [*shared, *newest]), ("behind", shared)):
            await _fill(folder / name, envelopes)
            nodes.append(start(folder / name, name))
            await nodes[-1].up()
            clients.append(await stack.enter_async_context(Client.connect(home=folder / name)))
        mesh = json.loads((folder / "holder" / "runtime.json").read_bytes())["mesh"]
        total = len(shared) + len(newest)
        started = time.perf_counter()
        await clients[1].call("peer_add", address=f"ws://{mesh['host']}:{mesh['port']}")
        while (await clients[1].call("node_status"))["held_envelopes"] < total:
            if time.perf_counter() > started + 120:
                raise AssertionError("it has not caught up within two minutes")
            await asyncio.sleep(0.05)
        return len(newest) / (time.perf_counter() - started)


async def _fill(home: Path, envelopes: list[Envelope]) -> None:
    """Make a home that holds envelopes of others, as the engine counts and the store writes them."""
    files.prepare_home(home)
    store = (await Vault(home).open(None, now_ms=time.time_ns() // 1_000_000)).store
    try:
        shelving = Shelving(QUOTA, (), (await store.load()).source_of, now=0.0)
        for at in range(0, len(envelopes), AT_ONCE):
            page = enumerate(envelopes[at : at + AT_ONCE])
            came = [shelving.hold(env, b"%032d" % (n % PEERS), known=False, now=0.0) for n, env in page]
            await store.commit([order for orders in came for order in orders])
    finally:
        await store.close()

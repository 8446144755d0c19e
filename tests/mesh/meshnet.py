"""A network of meshes on a virtual clock: links are queues, time is a number, nothing sleeps."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from itertools import count, pairwise

from node.clock import DAY_MS, Instant
from node.crypto.channel import Channel, ChannelKind, network_id, verify_envelope
from node.crypto.primitives import ed25519_keypair
from node.mesh.mesh import Mesh
from node.mesh.ports import (
    AddAddress,
    Arrived,
    ByIds,
    ByTime,
    ClockSkew,
    Cloned,
    CloseLink,
    DeadlineReached,
    Dial,
    DialFailed,
    HeldRead,
    InStep,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    LinkOpened,
    MeshEffect,
    MeshInput,
    PeerDown,
    PeerUp,
    Publish,
    ReadHeld,
    SendBytes,
    Source,
    SyncFinished,
    Taken,
)
from node.wire.envelope import EPHEMERAL, Envelope, parse

START = Instant(1_000.0, 20_000 * DAY_MS + 12 * 3_600_000)
ROLES = frozenset({"hold"})
CHANNEL = Channel(ChannelKind.ROOM, b"c" * 32)


def envelope(
    rng: random.Random, ts_ms: int, *, ttl_days: int = 35, ephemeral: bool = False, size: int = 40
) -> Envelope:
    """A genuine envelope of a room channel."""
    inner = bytes([0x91, 10 if ephemeral else 1]) + rng.randbytes(size)
    ttl = 0 if ephemeral else ttl_days
    return parse(CHANNEL.seal(inner, ts_ms=ts_ms, ttl_days=ttl, ephemeral=ephemeral, entropy=rng.randbytes))


class Wire:
    """One websocket between two nodes, each end with its own link number."""

    def __init__(self, ends: dict[int, Node]) -> None:
        self.ends = ends
        self.open = True

    def other(self, link: int) -> tuple[int, Node]:
        return next(end for end in self.ends.items() if end[0] != link)


class Node:
    """A mesh, its store, and what it reported; only one whose name has a dot is told of to others."""

    def __init__(self, net: Net, name: str, seed: int, **options: object) -> None:
        self.net, self.name, self.seed = net, name, seed
        self.skew_ms = 0
        self.store: dict[bytes, Envelope] = {}
        self.options = options
        self.verified = 0
        self.outside: Callable[[MeshEffect], None] = lambda _effect: None
        self.reads: list[ReadHeld] | None = None  # kept here instead of answered
        self.start()

    def start(self) -> None:
        self.boots = getattr(self, "boots", 0) + 1
        rng = random.Random(self.seed * 1_000 + self.boots)
        self.effects: list[MeshEffect] = []
        self._to_do, self._doing = deque[MeshEffect](), False
        self.wires: dict[int, Wire] = {}
        self.mesh = Mesh(
            node_seed=bytes([self.seed]) * 32,
            network_id=self.options.get("network", network_id(None)),  # type: ignore[arg-type] # of a test
            psk=self.options.get("psk"),  # type: ignore[arg-type] # of a test
            roles=self.options.get("roles", ROLES),  # type: ignore[arg-type] # of a test
            listen=(self.address,),
            boot_nonce=rng.randbytes(8),
            entropy=rng.randbytes,
            verify=self._verify,
            known=[(e.eid, e.ts_ms, e.expires_ms) for e in self.store.values()],
            now=self.now,
            remembered=self.options.get("remembered", ()),  # type: ignore[arg-type] # of a test
        )
        self.alive = True

    def _verify(self, env: Envelope) -> None:
        self.verified += 1
        verify_envelope(env)

    @property
    def now(self) -> Instant:
        return Instant(self.net.time, self.net.wall_ms + self.skew_ms)

    @property
    def key(self) -> bytes:
        return ed25519_keypair(bytes([self.seed]) * 32)[0]

    @property
    def address(self) -> str:
        return f"ws://{self.name}:1"

    def put(self, event: MeshInput) -> list[MeshEffect]:
        if not self.alive:
            return []
        effects = self.mesh.handle(event, now=self.now)
        kept = self.mesh.deadline
        self.mesh._known = self.mesh._known_beside = False
        assert self.mesh.deadline == kept, "what is kept of the deadlines is what they are"
        self.effects += effects
        self._to_do += effects
        if not self._doing:  # what is put in by one of them is done after all of them, as they left
            self._doing = True
            while self._to_do:
                self._do(self._to_do.popleft())
            self._doing = False
        return effects

    def _do(self, effect: MeshEffect) -> None:
        match effect:
            case SendBytes(link) | CloseLink(link) if link not in self.wires:
                self.outside(effect)
            case SendBytes(link, data):
                self.net.send(self, link, data)
            case CloseLink(link, reason):
                self.net.close(self.wires[link], reason)
            case Dial(address):
                self.net.dial(self, address)
            case Arrived(env, _):
                if env.kind != EPHEMERAL:
                    self.store[env.eid] = env
            case ReadHeld() if self.reads is not None:
                self.reads.append(effect)
            case ReadHeld(ticket, spec):
                found, more = self.read(spec)
                self.net.later(0.001, lambda: self.put(HeldRead(ticket, found, more)))
            case PeerUp() | PeerDown() | SyncFinished() | ClockSkew() | Taken() | InStep() | Cloned():
                pass

    def read(self, spec: ByIds | ByTime) -> tuple[tuple[bytes, ...], bool]:
        if isinstance(spec, ByIds):
            assert len(spec.ids16) <= 64
            by_prefix = {eid[:16]: env.raw for eid, env in self.store.items()}
            return tuple(by_prefix[p] for p in spec.ids16 if p in by_prefix), False
        rows = sorted((env.ts_ms, eid) for eid, env in self.store.items() if env.ts_ms < spec.t1_ms)
        low = bisect_left(rows, (spec.t0_ms, b""))
        if spec.after is not None:
            low = max(low, bisect_left(rows, spec.after) + (spec.after in rows))
        page: list[bytes] = []
        used = 0
        for _, eid in rows[low:]:
            raw = self.store[eid].raw
            used += len(raw)
            if page and used > spec.max_bytes:
                return tuple(page), True
            page.append(raw)
        return tuple(page), False

    def publish(self, env: Envelope, *, watched: bool = False) -> None:
        if env.kind != EPHEMERAL:
            self.store[env.eid] = env
        self.put(Publish((env,), frozenset({env.eid} if watched else ())))

    def arrived(self) -> list[Envelope]:
        return [e.envelope for e in self.effects if isinstance(e, Arrived)]

    def add(self, address: str, source: Source = "configured") -> None:
        self.put(AddAddress(address, source))

    def stop(self) -> None:
        """Crash: everything but the store is gone."""
        for wire in {id(w): w for w in self.wires.values()}.values():
            self.net.close(wire, "crash")
        self.alive = False


class Net:
    """Nodes, the time, and what is under way between them."""

    def __init__(self, seed: int = 1, *, latency: float = 0.005) -> None:
        self.rng = random.Random(seed)
        self.time, self.wall_ms = START.mono, START.wall_ms
        self.latency = latency
        self.nodes: dict[str, Node] = {}
        self.cut: set[frozenset[str]] = set()
        self.traffic = 0
        self._order = count(1)
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self.on_wire: Callable[[str, str, bytes], bytes] = lambda _from, _to, data: data

    def node(self, name: str, **options: object) -> Node:
        node = self.nodes[name] = Node(self, name, len(self.nodes) + 1, **options)
        return node

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._events, (self.time + seconds, next(self._order), action))

    def send(self, node: Node, link: int, data: bytes) -> None:
        assert len(data) <= 131_072
        self.traffic += len(data)
        wire = node.wires[link]
        there, other = wire.other(link)
        if frozenset((node.name, other.name)) in self.cut:
            return  # a cable that is cut: nothing arrives, nothing is reported as written
        data = self.on_wire(node.name, other.name, data)

        def deliver() -> None:
            if wire.open:
                node.put(LinkDrained(link, len(data)))
                other.put(LinkBytes(there, data))

        self.later(self.latency, deliver)

    def dial(self, node: Node, address: str) -> None:
        name = address.removeprefix("ws://").rpartition(":")[0]
        other = self.nodes.get(name)

        def answer() -> None:
            severed = frozenset((node.name, name)) in self.cut
            if not node.alive or other is None or not other.alive or severed:
                node.put(DialFailed(address, "refused"))
                return
            self.connect(node, other, address)

        self.later(self.latency, answer)

    def connect(self, node: Node, other: Node, address: str) -> None:
        mine, theirs = next(self._order), next(self._order)
        wire = Wire({mine: node, theirs: other})
        node.wires[mine] = other.wires[theirs] = wire
        node.put(LinkOpened(mine, True, address, f"8.8.{other.seed}.1:1"))
        if wire.open:
            other.put(LinkOpened(theirs, False, "", f"8.8.{node.seed}.1:5"))

    def close(self, wire: Wire, reason: str) -> None:
        if not wire.open:
            return

        def closed() -> None:
            wire.open = False
            for link, node in wire.ends.items():
                node.put(LinkClosed(link, reason))

        self.later(2 * self.latency, closed)  # what was sent before still arrives

    def run(self, seconds: float) -> None:
        """Let `seconds` pass."""
        end = self.time + seconds
        while True:
            at = min((n.mesh.deadline or end for n in self.nodes.values() if n.alive), default=end)
            if self._events and self._events[0][0] <= min(at, end):
                at, _, action = heapq.heappop(self._events)
                self._advance(at)
                action()
                continue
            if at > end:
                break
            self._advance(at)
            for node in list(self.nodes.values()):
                if node.alive and (node.mesh.deadline or end) <= self.time:
                    node.put(DeadlineReached())
                    assert (node.mesh.deadline or end) > self.time, "a deadline that does not move"
        self._advance(end)

    def _advance(self, at: float) -> None:
        if at > self.time:
            self.wall_ms += round((at - self.time) * 1000)
            self.time = at

    def agree(self) -> bool:
        """Whether all living nodes hold the same."""
        held = [set(n.store) for n in self.nodes.values() if n.alive]
        return all(h == held[0] for h in held)


def chain(net: Net, *names: str) -> list[Node]:
    """Nodes in a row, each dialling the one before it; already linked."""
    nodes = [net.node(name) for name in names]
    for earlier, later in pairwise(nodes):
        later.add(earlier.address)
    net.run(1.0)
    return nodes

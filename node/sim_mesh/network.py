"""The virtual clock, the wires and the nodes: what stands between mesh machines in a simulation.

A wire is a TCP connection of a constant latency with a little jitter: bytes arrive whole and in order, a lost
packet delays what is behind it. There is no limit of bandwidth and no cost of computing (docs/simulator.md).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from node.clock import DAY_MS, Instant
from node.crypto.channel import network_id, verify_envelope
from node.mesh.mesh import Mesh
from node.mesh.ports import (
    AddAddress,
    Arrived,
    CloseLink,
    DeadlineReached,
    Dial,
    DialFailed,
    HeldRead,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    LinkOpened,
    MeshEffect,
    MeshInput,
    ReadHeld,
    SendBytes,
)
from node.sim_mesh.declared import Received, Tally, Watched
from node.sim_mesh.dice import Dice, fixed
from node.sim_mesh.messages import Messages
from node.wire.envelope import Envelope

EPOCH_MS = 20_000 * DAY_MS + DAY_MS // 2
"""UNIX milliseconds at virtual time zero: noon, so that no run of hours passes midnight."""
RETRANSMIT = 0.2
"""Seconds after which TCP sends a lost packet again, beside the round trip that it takes to be missed."""
READ_DELAY = 0.001
"""Seconds that a store takes to read what a peer asks for."""
DIAL_TIMEOUT = 10.0
"""Seconds after which a dial that nobody answers is given up, as the daemon does."""
ROLES = frozenset({"hold"})
_NETWORK = network_id(None)


@dataclass(frozen=True, slots=True)
class Physics:
    """What the wires are like: seconds, and the fraction of messages that are lost once.

    `private`: all are in one private network, in which nobody dials what strangers name.
    """

    seed: str
    low: float
    high: float
    jitter: float = 0.001
    loss: float = 0.0
    private: bool = False


class _Target(Protocol):
    """What an event of the heap is for."""

    def take(self, data: bytes | None) -> None:
        """Do what is due."""


class Clock:
    """Virtual time: a heap of what is due, in order of time and then of who came first."""

    def __init__(self) -> None:
        self.time = 0.0
        self.now = Instant(0.0, EPOCH_MS)
        self._order = 0
        self._heap: list[tuple[float, int, _Target, bytes | None]] = []

    def at(self, moment: float, target: _Target, data: bytes | None = None) -> None:
        """Give `data` to `target` at a moment."""
        self._order += 1
        heapq.heappush(self._heap, (moment, self._order, target, data))

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something after so many seconds."""
        self.at(self.time + seconds, _Act(act))

    def run(self, end: float) -> None:
        """Let time pass until `end`."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end:
            moment, _, target, data = pop(heap)
            if moment > self.time:
                self._advance(moment)
            target.take(data)
        self._advance(max(end, self.time))

    def _advance(self, moment: float) -> None:
        self.time = moment
        self.now = Instant(moment, EPOCH_MS + int(moment * 1000))


class _Act:
    """Something to do once."""

    __slots__ = ("_act",)

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def take(self, data: bytes | None) -> None:  # noqa: ARG002 - the shape of a target
        self._act()


class End:
    """One end of a wire: what arrives here, for which node."""

    __slots__ = ("arrives", "held", "node", "number", "open", "other", "seconds")
    other: End

    def __init__(self, node: SimMesh, number: int, seconds: float) -> None:
        self.node, self.number, self.seconds = node, number, seconds
        self.arrives = 0.0  # when the last byte that was sent to this end gets here
        self.open = True
        self.held: list[bytes | None] = []  # what was sent to this end through a cut

    def take(self, data: bytes | None) -> None:
        """Bytes arrive, or (None) the end of the connection."""
        if not self.open:
            return
        if data is None:
            self.open = False
            self.node.ends.pop(self.number, None)
            self.node.feed(LinkClosed(self.number, "gone"))
        else:
            self.node.feed(LinkBytes(self.number, data))


class SimMesh:
    """One node: a mesh machine that a crash ends, and what survives it."""

    __slots__ = (
        "address", "dials", "ends", "mesh", "number", "secure", "side", "since", "sybil", "wakes", "world",
    )  # fmt: skip

    def __init__(self, world: World, number: int, dials: list[str], *, sybil: bool) -> None:
        self.world, self.number, self.dials, self.sybil = world, number, dials, sybil
        self.address = world.address_of(number)
        self.mesh: Mesh | None = None
        self.ends: dict[int, End] = {}
        self.wakes: list[float] = []  # the wake-ups that the clock's heap has for us, a heap too
        self.since = 0.0
        self.side = 0
        received = None if sybil else world.received
        self.secure = Watched(world.tally, received, real=world.real, drops=sybil)

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self.mesh is not None

    def start(self) -> None:
        """Start, or start again with what was stored."""
        world = self.world
        self.since = world.clock.time
        self.mesh = Mesh(
            node_seed=self.number.to_bytes(32, "big"),
            network_id=_NETWORK,
            psk=None,
            roles=ROLES,
            listen=()
            if world.physics.private
            else (self.address,),  # where the graph is given, nobody tells of itself
            boot_nonce=world.entropy(8),
            entropy=world.entropy,
            verify=verify_envelope if world.real else _declared_genuine,
            known=world.messages.stored(self.number),
            now=world.clock.now,
            secure=self.secure,
        )
        for address in self.dials:
            self.feed(AddAddress(address, "configured"))

    def stop(self, *, silent: bool = False) -> None:
        """End as a killed process does: its machine ends the connections, unless it falls silent too."""
        self.mesh = None
        for end in list(self.ends.values()):
            if silent:
                end.open = False
            else:
                self.world.hang_up(end)
        self.ends.clear()

    def take(self, data: bytes | None) -> None:  # noqa: ARG002 - the shape of a target
        """A wake-up is due; it may be one that is no longer needed."""
        mesh, time = self.mesh, self.world.clock.time
        heapq.heappop(self.wakes)
        if mesh is None:
            return
        deadline = mesh.deadline
        if deadline is not None and deadline <= time:
            self.feed(DeadlineReached())
        else:
            self._plan(deadline)

    def feed(self, event: MeshInput) -> None:
        """Give the machine an input and carry out what it orders."""
        mesh = self.mesh
        if mesh is None:
            return
        now = self.world.clock.now
        effects = mesh.handle(event, now=now)
        while effects:
            written: dict[int, int] = {}
            for effect in effects:
                if type(effect) is SendBytes:
                    if self.world.send(self, effect.link, effect.data):
                        written[effect.link] = written.get(effect.link, 0) + len(effect.data)
                else:
                    self._perform(effect)
            effects = []
            for link, nbytes in written.items():
                effects += mesh.handle(LinkDrained(link, nbytes), now=now)
        self._plan(mesh.deadline)

    def _plan(self, deadline: float | None) -> None:
        """Be woken at the deadline, unless a wake-up comes before it anyway: that one looks again."""
        if deadline is None or (self.wakes and self.wakes[0] <= deadline):
            return
        clock = self.world.clock
        moment = max(deadline, clock.time)
        heapq.heappush(self.wakes, moment)
        clock.at(moment, self)

    def _perform(self, effect: MeshEffect) -> None:
        world = self.world
        match effect:
            case Arrived(envelope, link):
                end = None if link is None else self.ends.get(link)
                origin = self.number if end is None else end.other.node.number
                world.messages.arrived(envelope.eid, self.number, origin, world.clock.time)
                world.deliveries += not self.sybil
            case ReadHeld(ticket, spec):
                mesh = self.mesh
                found, more = world.messages.read(self.number, spec)

                def answer() -> None:
                    if self.mesh is mesh:
                        self.feed(HeldRead(ticket, found, more))

                world.clock.later(READ_DELAY, answer)
            case Dial(address):
                world.dial(self, address)
            case CloseLink(link):
                end = self.ends.pop(link, None)
                if end is not None:
                    world.hang_up(end)
            case _:
                pass


class World:
    """All nodes and the wires between them."""

    def __init__(self, physics: Physics, messages: Messages, *, real: bool) -> None:
        self.physics, self.messages, self.real = physics, messages, real
        self.clock = Clock()
        self.tally = Tally()
        self.received: Received = messages.received
        self.entropy = Dice(f"{physics.seed} entropy")
        self.chance = Dice(f"{physics.seed} chance")
        self.nodes: list[SimMesh] = []
        self.bytes = 0
        self.deliveries = 0
        """Envelopes that were new to an honest node."""
        self.changes = 0
        """Counts whatever changes the graph of open wires."""
        self._numbers = 0
        self.parted = False

    def add(self, dials: list[str], *, sybil: bool) -> SimMesh:
        """Make a node that will dial these addresses; it does not run yet."""
        node = SimMesh(self, len(self.nodes), dials, sybil=sybil)
        self.nodes.append(node)
        return node

    def honest(self) -> Iterator[SimMesh]:
        """The nodes that run and pass on what they get."""
        return (node for node in self.nodes if node.mesh is not None and not node.sybil)

    def latency(self, a: int, b: int) -> float:
        """Return the seconds from one node to another: the same both ways, whenever they are linked."""
        low, high = min(a, b), max(a, b)
        return self.physics.low + (self.physics.high - self.physics.low) * fixed(self.physics.seed, low, high)

    def graph(self) -> dict[int, list[tuple[int, float]]]:
        """The open wires between honest nodes that run and reach each other."""
        return {
            node.number: [
                (end.other.node.number, end.seconds)
                for end in node.ends.values()
                if end.other.open and not end.other.node.sybil and self._reach(node, end.other.node)
            ]
            for node in self.honest()
        }

    def address_of(self, number: int) -> str:
        """Return where a node is dialled."""
        return address_of(number, private=self.physics.private)

    # wires

    def dial(self, node: SimMesh, address: str) -> None:
        """Answer a dial: two round trips for TCP and the websocket, one to be refused."""
        number = number_of(address)
        other = self.nodes[number] if number < len(self.nodes) else None
        if other is None or not self._reach(node, other):
            self.clock.later(DIAL_TIMEOUT, lambda: node.feed(DialFailed(address, "timed out")))
            return
        seconds = self.latency(node.number, number)
        mesh = node.mesh

        def answer() -> None:
            if node.mesh is not mesh:
                return
            if other.mesh is None or not self._reach(node, other):
                node.feed(DialFailed(address, "refused"))
            else:
                self._connect(node, other, address, seconds)

        self.clock.later(4 * seconds, answer)

    def _connect(self, node: SimMesh, other: SimMesh, address: str, seconds: float) -> None:
        mine, theirs = End(node, self._numbers, seconds), End(other, self._numbers + 1, seconds)
        self._numbers += 2
        self.changes += 1
        mine.other, theirs.other = theirs, mine
        node.ends[mine.number] = mine
        other.ends[theirs.number] = theirs
        here, there = (one.address.removeprefix("ws://") for one in (node, other))
        other.feed(LinkOpened(theirs.number, False, "", here))
        node.feed(LinkOpened(mine.number, True, address, there))

    def send(self, node: SimMesh, link: int, data: bytes) -> bool:
        """Carry bytes to the other end; False if they wait in the socket because the cable is cut."""
        end = node.ends.get(link)
        if end is None:
            return True
        self.bytes += len(data)
        other = end.other
        if self.parted and other.node.side != node.side:
            other.held.append(data)
            return False
        self._arrive(other, data)
        return True

    def _arrive(self, end: End, data: bytes | None) -> None:
        physics = self.physics
        moment = self.clock.time + end.seconds + physics.jitter * self.chance.random()
        if physics.loss and self.chance.random() < physics.loss:
            moment += RETRANSMIT + 2 * end.seconds
        end.arrives = max(moment, end.arrives)  # one connection: nothing overtakes
        self.clock.at(end.arrives, end, data)

    def hang_up(self, end: End) -> None:
        """End a connection from one side, after what was sent on it."""
        end.open = False
        self.changes += 1
        other = end.other
        if self.parted and other.node.side != end.node.side:
            other.held.append(None)
        else:
            self._arrive(other, None)

    def part(self, side: list[SimMesh]) -> None:
        """Cut the cables between these nodes and all others: TCP keeps what is sent, and dials time out."""
        self.parted = True
        for node in side:
            node.side = 1

    def heal(self) -> None:
        """Mend the cables: what TCP kept arrives, where the connection still stands."""
        self.parted = False
        for node in self.nodes:
            node.side = 0
        for node in list(self.nodes):
            for end in list(node.ends.values()):
                self._mend(node, end)

    def _mend(self, node: SimMesh, end: End) -> None:
        held, end.other.held = end.other.held, []
        for data in held:
            self._arrive(end.other, data)
        written = sum(len(data) for data in held if data is not None)
        if written and end.open:
            node.feed(LinkDrained(end.number, written))
        for data in end.held if not end.other.open else ():
            self._arrive(end, data)

    def _reach(self, node: SimMesh, other: SimMesh) -> bool:
        return not self.parted or node.side == other.side


_PUBLIC, _PRIVATE = 44, 10
"""The first byte of an address; the next two are a public node's own network."""


def address_of(number: int, *, private: bool = False) -> str:
    """Return where a node is dialled, for up to 2^22 nodes."""
    if private:
        return f"ws://{_PRIVATE}.{number >> 16}.{number >> 8 & 255}.{number & 255}:7118"
    return f"ws://{_PUBLIC + (number >> 16)}.{number >> 8 & 255}.{number & 255}.7:7118"


def number_of(address: str) -> int:
    """Return whose address this is; one that is nobody's gives a number that no node has."""
    parts = address.removeprefix("ws://").removesuffix(":7118").split(".")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return 1 << 30
    first, second, third, fourth = map(int, parts)
    if first == _PRIVATE:
        return (second << 16) + (third << 8) + fourth
    return ((first - _PUBLIC) << 16) + (second << 8) + third


def _declared_genuine(envelope: Envelope) -> None:
    """Take every signature for genuine."""

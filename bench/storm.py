"""`make torture ARGS='--frames 5000000'`: hostile frames into one mesh machine, as fast as it takes them.

Valid, lying, mutated, truncated, oversized and interleaved frames of every kind come over some links whose
keys change as they are closed; an honest friend stays linked. Whatever comes, only what is genuine is
accepted, once; deadlines move on; memory stays within M4; and the friend gets and gives what is published.
Cryptography is declared (`node/sim_mesh/declared.py`), time is a number: the same seed gives the same run.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from bisect import bisect_left, insort
from collections import Counter, deque
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType

from bench.storm_words import KINDS, NAMES, START_MS, Words, genuine
from node.clock import Instant
from node.crypto.channel import network_id
from node.errors import PeerFault
from node.mesh.mesh import Mesh
from node.mesh.ports import (
    AddAddress,
    Arrived,
    ByIds,
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
    PauseReading,
    Publish,
    ReadHeld,
    SendBytes,
)
from node.sim_mesh.declared import DeclaredHandshake
from node.wire import frame_bytes, frames as f
from node.wire.envelope import KEPT, Envelope

FOES = 4
"""Hostile links at a time."""
EVERY = 2.0
"""Seconds of the virtual clock between two envelopes of the friend, and of the machine itself."""
PAUSE = 0.005
"""Seconds from one websocket message of the foes to the next, on average."""
REPEATED = 100
"""Frames of a kind that are said again, each until another takes its place: replays, and cheap."""
QUIET = 400.0
"""Seconds after the storm in which everything must have come: a regular round of sync is among them."""
STUCK = 64
"""Wake-ups without the clock moving after which a deadline counts as one that never moves."""
MOST_WEIGHT = 6 << 20
"""M4: what one peer may make us hold."""
BASE_WEIGHT = 48 << 20
"""What a machine may hold besides: seen ids, recent envelopes, and what it knows of itself."""
ID_WEIGHT = 600
"""Bytes of one accepted id."""
_TAG = bytes(16)


class Broken(Exception):
    """What must hold does not."""


def _verify(env: Envelope) -> None:
    if not genuine(env.raw):
        raise PeerFault("an envelope that is not genuine")


@dataclass(slots=True)
class Machine:
    """A mesh and its store."""

    mesh: Mesh
    store: dict[bytes, Envelope] = field(default_factory=dict)
    order: list[tuple[int, bytes]] = field(default_factory=list)
    arrived: set[bytes] = field(default_factory=set)

    def keep(self, env: Envelope) -> None:
        """Hold an envelope."""
        self.store[env.eid[:16]] = env
        insort(self.order, (env.ts_ms, env.eid))

    def read(self, order: ReadHeld) -> HeldRead:
        """Answer a read of the store."""
        spec = order.spec
        if isinstance(spec, ByIds):
            found = [self.store[one].raw for one in spec.ids16 if one in self.store]
            return HeldRead(order.ticket, tuple(found), False)
        page: list[bytes] = []
        used, at = 0, bisect_left(self.order, (spec.t0_ms, b""))
        if spec.after is not None:
            at = max(at, bisect_left(self.order, (spec.after[0], spec.after[1] + b"\0")))
        for ts_ms, eid in self.order[at:]:
            raw = self.store[eid[:16]].raw
            if ts_ms >= spec.t1_ms or (page and used + len(raw) > spec.max_bytes):
                return HeldRead(order.ticket, tuple(page), ts_ms < spec.t1_ms)
            page.append(raw)
            used += len(raw)
        return HeldRead(order.ticket, tuple(page), False)


@dataclass(slots=True)
class Foe:
    """A hostile link: what it says, how much of it is damaged, whether it reads, how long it stays."""

    number: int
    damage: float
    reads: bool
    frames_left: int
    says: list[str]
    read_at: float = 0.0
    heard: deque[bytes] = field(default_factory=lambda: deque(maxlen=16))


@dataclass(slots=True)
class Found:
    """What became of a storm."""

    frames: int = 0
    links: int = 0
    accepted: int = 0
    published: int = 0
    pauses: int = 0
    most_weight: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    virtual: float = 0.0

    def lines(self) -> list[str]:
        """Return the report."""
        said = ", ".join(f"{name} {count:,}" for name, count in sorted(self.sent.items()))
        ends = ", ".join(f"{why}: {count:,}" for why, count in self.closed.most_common())
        return [
            f"{self.frames:,} frames on {self.links:,} links in {self.seconds:.0f} s"
            f" ({self.frames / max(self.seconds, 1e-9):,.0f} frames/s), {self.virtual:,.0f} s of its clock",
            f"said: {said}",
            f"links ended: {ends}",
            f"{self.accepted:,} envelopes accepted, {self.published:,} of friend and machine, all came;"
            f" {self.pauses:,} times left unread; {self.most_weight / 2**20:.1f} MiB at most",
        ]


class Storm:
    """One run: the machine, its friend, the foes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.words = Words(self.chance)
        self.time = 1_000.0
        self.found = Found()
        self.foes: dict[int, Foe] = {}
        self._numbers = 10
        self._queue: deque[tuple[Machine, MeshInput]] = deque()
        self.victim, self.friend = self._machine(b"v"), self._machine(b"f")
        self._wire: dict[tuple[int, int], tuple[Machine, int]] = {}
        self._next_publish = self.time + EVERY
        self._published: list[Envelope] = []
        self._said: dict[str, list[bytes]] = {name: [] for name in KINDS}
        self._feed(self.friend, AddAddress("ws://9.9.9.9:7118", "configured"))

    def run(self, frames: int) -> Found:
        """Say so many frames, then see that all is well; raises Broken, or what the machine raises."""
        began, told = time.perf_counter(), self.time
        look_every = max(frames // 10, 1)
        look_at = look_every
        while self.found.frames < frames:
            self._say()
            self._pass(self.chance.expovariate(1 / PAUSE))
            if self.found.frames >= look_at:
                look_at += look_every
                self._weigh()
        for number in list(self.foes):
            self._feed(self.victim, LinkClosed(number, "gone"))
            del self.foes[number]
        end = self.time + QUIET
        while self.time < end:
            self._pass(0.5)
        self._compare()
        self.found.seconds, self.found.virtual = time.perf_counter() - began, self.time - told
        return self.found

    # the machines

    def _machine(self, seed: bytes) -> Machine:
        return Machine(
            Mesh(
                node_seed=seed * 32,
                network_id=network_id(None),
                psk=None,
                roles=frozenset({"hold"}),
                listen=(),
                boot_nonce=seed * 8,
                entropy=self.chance.randbytes,
                verify=_verify,
                known=(),
                now=self._now(),
                secure=DeclaredHandshake,
            )
        )

    def _now(self) -> Instant:
        return Instant(self.time, START_MS + int((self.time - 1_000) * 1000))

    def _feed(self, machine: Machine, event: MeshInput) -> None:
        self._queue.append((machine, event))
        while self._queue:
            to, what = self._queue.popleft()
            for effect in to.mesh.handle(what, now=self._now()):
                self._perform(to, effect)

    def _perform(self, of: Machine, effect: MeshEffect) -> None:
        match effect:
            case SendBytes(link, data):
                self._send(of, link, data)
            case CloseLink(link, reason):
                if of is self.victim and link in self.foes:
                    del self.foes[link]
                    self.found.closed[reason] += 1
                else:
                    raise Broken(f"machine and friend part: {reason}")
                self._queue.append((of, LinkClosed(link, reason)))
            case PauseReading(link, seconds):
                self.found.pauses += 1
                if of is self.victim and link in self.foes:
                    self.foes[link].read_at = self.time + seconds
            case Arrived(env):
                if env.eid in of.arrived or not genuine(env.raw):
                    raise Broken(f"accepted what is not genuine, or twice: {env.eid.hex()}")
                of.arrived.add(env.eid)
                if env.kind == KEPT:
                    of.keep(env)
            case ReadHeld():
                self._queue.append((of, of.read(effect)))
            case Dial(address):
                self._dial(of, address)
            case _:
                pass

    def _dial(self, of: Machine, address: str) -> None:
        if of is self.victim or address != "ws://9.9.9.9:7118":
            self._queue.append((of, DialFailed(address, "refused")))
            return
        if self._wire:
            raise Broken("the friend dials again")
        self._numbers += 3
        mine, theirs = self._numbers - 1, self._numbers
        self._wire[id(of), mine] = (self.victim, theirs)
        self._wire[id(self.victim), theirs] = (of, mine)
        self._queue.append((self.victim, LinkOpened(theirs, False, "", "7.7.7.7:1")))
        self._queue.append((of, LinkOpened(mine, True, address, "9.9.9.9:7118")))

    def _send(self, of: Machine, link: int, data: bytes) -> None:
        foe = self.foes.get(link) if of is self.victim else None
        if foe is None:
            there = self._wire.get((id(of), link))
            if there is not None:
                self._queue.append((there[0], LinkBytes(there[1], data)))
            self._queue.append((of, LinkDrained(link, len(data))))
        elif foe.reads:
            spot = 0
            while spot < len(data):
                size = int.from_bytes(data[spot : spot + 2], "big")
                foe.heard.append(data[spot + 2 : spot + 2 + size - 16])
                spot += 2 + size
            self._queue.append((of, LinkDrained(link, len(data))))

    def _pass(self, seconds: float) -> None:
        """Let time pass, wake who wants to be, and let friend and machine say something."""
        self.time += seconds
        self.words.now_ms = self._now().wall_ms
        for machine in (self.victim, self.friend):
            for _ in range(STUCK):
                due = machine.mesh.deadline
                if due is None or due > self.time:
                    break
                self._feed(machine, DeadlineReached())
            else:
                raise Broken("a deadline that does not move")
        if self.time >= self._next_publish and self.foes:
            self._next_publish = self.time + EVERY
            for machine in (self.victim, self.friend):
                env = self.words.write(KEPT)
                self._published.append(env)
                self.found.published += 1
                machine.arrived.add(env.eid)
                machine.keep(env)
                self._feed(machine, Publish((env,)))

    def _weigh(self) -> None:
        """Raise Broken if the machine holds more than its peers may make it hold."""
        held = weight(self.victim.mesh)
        self.found.most_weight = max(held, self.found.most_weight)
        most = BASE_WEIGHT + MOST_WEIGHT * (len(self.foes) + 1) + ID_WEIGHT * len(self.victim.arrived)
        if held > most:
            raise Broken(f"the machine holds {held:,} bytes, {most:,} are what it may")

    def _compare(self) -> None:
        """Raise Broken unless friend and machine agree, and have what both published."""
        for machine in (self.victim, self.friend):
            missing = sum(env.eid not in machine.arrived for env in self._published)
            if missing:
                raise Broken(f"{missing} of {len(self._published)} honest envelopes did not come")
        if self.victim.store.keys() != self.friend.store.keys():
            raise Broken("machine and friend do not agree on what there is")
        self._weigh()
        self.found.accepted = len(self.victim.arrived)

    # the foes

    def _say(self) -> None:
        """Let a foe send one websocket message of some frames."""
        chance = self.chance
        while len(self.foes) < FOES:
            self._open()
        foe = self.foes[chance.choice(list(self.foes))]
        if foe.read_at > self.time:
            return
        parts: list[bytes] = []
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            name = chance.choice(foe.says)
            self.found.sent[name] += 1
            frame = self._frame(name, foe)
            if chance.random() < foe.damage:
                frame = self.words.damaged(frame)
            parts += ((len(frame) + 16).to_bytes(2, "big"), frame, _TAG)
            self.found.frames += 1
            foe.frames_left -= 1
        data = b"".join(parts)
        if chance.random() < foe.damage / 100:
            data = self.words.damaged(data)[:131_072]
        self._feed(self.victim, LinkBytes(foe.number, data))
        if foe.number in self.foes and foe.frames_left <= 0:
            del self.foes[foe.number]
            self.found.closed["hung up"] += 1
            self._feed(self.victim, LinkClosed(foe.number, "gone"))

    def _frame(self, name: str, foe: Foe) -> bytes:
        """Return a frame: a new one, or one that was said before."""
        said = self._said[name]
        spot = int(self.chance.random() * REPEATED)
        if spot < len(said) and self.chance.random() < 0.75:
            return said[spot]
        frame = KINDS[name](self.words, foe.heard)
        said[spot:] = [frame] if spot >= len(said) else [frame, *said[spot + 1 :]]
        return frame

    def _open(self) -> None:
        chance = self.chance
        self._numbers += 1
        self.found.links += 1
        damage, reads = chance.choice((0.0, 0.0, 0.002, 0.02, 0.5)), chance.random() < 0.9
        says = chance.sample(NAMES, chance.choice((3, 8, 60)))
        foe = Foe(self._numbers, damage, reads, chance.choice((20, 500, 5_000)), says)
        self.foes[foe.number] = foe
        remote = f"8.{chance.randrange(250)}.{chance.randrange(250)}.7:99"
        self._feed(self.victim, LinkOpened(foe.number, False, "", remote))
        key = chance.randbytes(32)
        self._feed(self.victim, LinkBytes(foe.number, b"\0\x20" + key))
        hello = frame_bytes.encode(
            f.Hello(
                0, chance.randbytes(8), (), chance.choice((frozenset(), frozenset({"hold", "relay"}))),
                65_519, chance.choice((0, START_MS)), self._now().wall_ms, chance.choice((0, 200, 10_000)),
            )
        )  # fmt: skip
        greeting = b"\0\xa0" + key.ljust(160, b"\0") + (len(hello) + 16).to_bytes(2, "big") + hello + _TAG
        if foe.number in self.foes:
            self._feed(self.victim, LinkBytes(foe.number, greeting))


def weight(what: object) -> int:
    """Return the bytes of all that can be reached from an object, but code and what all objects share."""
    seen, waiting, total = set[int](), [what], 0
    skipped = (type, ModuleType, FunctionType, MethodType, type(len), random.Random, Storm)
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, skipped):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total


def storm(frames: int, seed: int) -> bool:
    """Run one and print what became of it; says whether all was well."""
    try:
        found = Storm(seed).run(frames)
    except Broken as fault:
        print(f"broken: {fault}")
        return False
    print("\n".join(found.lines()))
    return True

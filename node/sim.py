"""A mesh in one process: whole engines on a virtual clock, with latency, loss, partitions and crashes.

The same seed gives the same run, to the byte: entropy is a BLAKE2b stream, time is a heap of events.
Frontend authors use it as a fake mesh, our tests as the place where nodes fail
(docs/architecture.md, "The simulator").
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, assert_never

from node import sim_shell
from node.bridge.ports import (
    BridgeInput,
    CommandReceived,
    CredentialsChanged,
    Deliver,
    EndSession,
    GiveAttachment,
    ReadAnswered,
    ReadHistory,
    ReadSearch,
    Scope,
    SessionEnded,
    SessionStarted,
    StartReplay,
    UploadKept,
)
from node.chat import backup, commands, events
from node.chat.filing import FileOrder
from node.clock import Instant
from node.crypto.keys import Identity
from node.engine import outage
from node.engine.effects import (
    AnswerStatus,
    BackupWritten,
    ChannelRead,
    Effect,
    FetchAfter,
    FetchMessages,
    FindMessages,
    Hold,
    Input,
    KeepToken,
    LockVault,
    OpenVault,
    Persist,
    ReadChannel,
    SealVault,
    ShredSoon,
    StopNode,
    TokenKept,
    VaultSealed,
    Woke,
    WriteBackup,
)
from node.engine.engine import Engine, Setup
from node.engine.locked import Locked
from node.errors import StoreFull
from node.mesh.ports import (
    CloseLink,
    Dial,
    DialFailed,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    LinkOpened,
    PauseReading,
    ReadHeld,
    SendBytes,
)
from node.sim_session import CallError, SimFiles, SimSession, stream
from node.sim_shell import REPLAYED, answered, backup_facts, backup_of, fetched, held, replayed, stand_in
from node.store.memory import MemoryStore, Snapshot
from node.store.records import AppendEvent, Put, PutMessage, Write

EPOCH_MS = 1_790_000_000_000
"""UNIX milliseconds at virtual time zero."""

__all__ = ["EPOCH_MS", "CallError", "SimNode", "SimSession", "Simulation", "stream"]


@dataclass
class _Link:
    """One simulated websocket: the two ends, and when the last bytes each way arrive."""

    ends: tuple[str, str]
    arrives: dict[str, float] = field(default_factory=dict)


class SimNode:
    """One node: its store survives a crash, its engine does not."""

    def __init__(self, world: Simulation, name: str, setup: Setup) -> None:
        self.world, self.name, self.setup = world, name, setup
        self.store = MemoryStore()
        self.files = SimFiles(name)
        self.engine: Engine | None = None
        self.locked: Locked | None = None
        self.sessions: dict[int, SimSession] = {}
        self.skew_s = 0.0
        self.effects_left: int | None = None
        self.sent_bytes: list[bytes] = []
        self._woken_for: float | None = None
        self._next_session = 1

    @property
    def address(self) -> str:
        """The address by which others dial it."""
        return f"ws://{self.name}:1"

    @property
    def up(self) -> bool:
        """Say whether it runs."""
        return self.engine is not None

    def now(self) -> Instant:
        """Return what its clocks say."""
        return Instant(self.world.time, EPOCH_MS + round((self.world.time + self.skew_s) * 1000))

    def start(self) -> None:
        """Start, or start again from what was committed."""
        self.files.start()
        locked, self.locked, self._woken_for = self.locked, None, None
        setup = self.setup if locked is None else replace(self.setup, sessions=locked.kept)
        self.engine = Engine(setup, self.store.load(), self.now())
        self.perform(self.engine.start(self.now()))
        for event in () if locked is None else locked.waiting:
            self.feed(event)

    def crash(self) -> None:
        """Stop between two effects, as `kill -9` would; nothing that was not committed survives."""
        self.engine = self.locked = None
        self.sessions.clear()
        self.world.cut(self.name)

    def lock(self) -> None:
        """Close the vault, as `vault_lock` does; `start`, or `vault_unlock` with any passphrase, opens it."""
        assert self.engine is not None
        self.locked = Locked(self.now(), sessions=self.engine.state.sessions.values())
        waiting, self.engine = self.engine.desk.unanswered(), None
        self.world.cut(self.name)
        for effect in self.locked.start():
            self._one(effect)
        for command in waiting:
            self.feed(command)

    def backup(self) -> list[bytes]:
        """Return the records of a backup of what was committed, in their order."""
        assert self.engine is not None
        return backup_of(self.engine.state.me, self.store, self.now())

    def snapshot(self) -> Snapshot:
        """Return a copy of the store, to roll back to."""
        return self.store.snapshot()

    def rollback(self, snapshot: Snapshot) -> None:
        """Stop, and start from an earlier copy of the store, as somebody does who copies a disk back."""
        if self.up:
            self.crash()
        self.store.restore(snapshot)
        self.start()

    # -- the frontend's side ----------------------------------------------------------------------

    def attach(self, *, plain: bool = True, scope: Scope = "owner", **hello: Any) -> SimSession:
        """Attach a frontend; `hello` may carry subscribe, resume, consumer."""
        session = SimSession(self._next_session)
        self._next_session += 1
        self.sessions[session.number] = session
        self.feed(SessionStarted(session.number, scope, "owner", plain, **hello))
        return session

    def detach(self, session: SimSession) -> None:
        """Close a frontend."""
        self.sessions.pop(session.number, None)
        self.feed(SessionEnded(session.number))

    def call(self, command: commands.Command, session: SimSession | None = None) -> dict[str, Any]:
        """Do a command and return what its `ok` carries; raises CallError with the code of an `error`."""
        asked = session or self.sessions.setdefault(0, SimSession(0))
        place = len(asked.seen)
        self.feed(CommandReceived(asked.number, command))
        for event in asked.seen[place:]:
            if isinstance(event, events.Ok):
                return event.fields
            if isinstance(event, events.Error):
                raise CallError(event.code, event.message)
        raise CallError("no_answer", commands.name_of(command))

    def make_room(self) -> None:
        """Let the store take something again, as a daemon finds out within a second."""
        self.store.full = False
        self._run_out([])

    # -- the shell's side -------------------------------------------------------------------------

    def feed(self, event: Input) -> None:
        """Give the engine one input and carry its effects out."""
        if self.engine is not None:
            effects = self.engine.handle(event, now=self.now())
            try:
                self.perform(effects)
            except StoreFull:
                self._run_out([event])
                self.perform(outage.refused([(event, effects)]))
        elif self.locked is not None and isinstance(event, BridgeInput):
            for effect in self.locked.handle(event, now=self.now()):
                self._one(effect)

    def _run_out(self, failed: list[Input]) -> None:
        assert self.engine is not None
        self.world.cut(self.name)
        self.engine, again = stand_in(self.engine, failed, self.setup, self.store, self.now())
        self._woken_for = None
        self.perform(self.engine.start(self.now()))
        for event in again:
            self.feed(event)

    def perform(self, effects: list[Effect]) -> None:
        """Carry effects out in order, Persist first; stop where a crash was ordered."""
        for effect in effects:
            if self.effects_left is not None:
                self.effects_left -= 1
                if self.effects_left < 0:
                    self.effects_left = None
                    self.crash()
                    return
            self._one(effect)
            if self.engine is None:
                return
        self._set_alarm()

    def _one(self, effect: Effect | OpenVault) -> None:
        if isinstance(effect, FileOrder):
            self.files.carry_out(effect, self.feed, partial(self.world.later, self.name, 0.0))
            return
        match effect:
            case Persist() | Hold():
                for order in sim_shell.committed(self.store, effect, self.engine):
                    self._one(order)
            case SendBytes(link, data):
                self.sent_bytes.append(data)
                self.world.send(self.name, link, data)
            case CloseLink(link, reason):
                self.world.close(self.name, link, reason)
            case Dial(address):
                self.world.dial(self.name, address)
            case ReadHeld():
                self.world.later(self.name, 0.0, held(self.store, effect))
            case ReadChannel(channel, keys, since_ms, final):
                found = tuple(self.store.envelopes_by_rk(list(keys), REPLAYED, (since_ms, b"")))
                self.world.later(self.name, 0.0, ChannelRead(channel, found, final, done=True))
            case FetchMessages(to_change=True):
                self.feed(fetched(self.store, effect))
            case FindMessages() | FetchMessages() | FetchAfter():
                self.world.later(self.name, 0.0, fetched(self.store, effect))
            case GiveAttachment(session, req):
                self._one(Deliver(session, events.Ok(req=req, fields=self.files.give(effect))))
            case Deliver(session, event):
                if session in self.sessions:
                    self.sessions[session].seen.append(event)
            case WriteBackup(received):
                self.feed(BackupWritten(received, backup_facts(self.engine, self.store, self.backup())))
            case KeepToken():
                self.feed(TokenKept(effect, "simulated"))
            case LockVault() | SealVault() | OpenVault():
                self._vault(effect)
            case StartReplay(session):
                if session in self.sessions:
                    self.sessions[session].seen += replayed(self.store, effect)
            case ReadHistory() | ReadSearch() | AnswerStatus():
                came = answered(self.store, effect)
                if isinstance(came, ReadAnswered):
                    self.feed(came)
                else:
                    self._one(Deliver(effect.session, came))
            case (
                CredentialsChanged() | EndSession() | UploadKept() | ShredSoon() | StopNode() | PauseReading()
            ):
                pass  # no socket, no token and no disk is here
            case _:
                assert_never(effect)

    def _vault(self, order: LockVault | SealVault | OpenVault) -> None:
        """Do what a daemon does; there is no file here, so every passphrase is right."""
        if isinstance(order, SealVault):
            asked = order.received.command
            assert isinstance(asked, commands.VaultPassphrase)
            self.feed(VaultSealed(order.received, asked.passphrase is not None))
            return
        if isinstance(order, LockVault):
            self.lock()
        else:
            self.start()
        done = events.Ok(req=order.req, fields={"locked": isinstance(order, LockVault)})
        self._one(Deliver(order.session, done))

    def _set_alarm(self) -> None:
        assert self.engine is not None
        deadline = self.engine.deadline
        if deadline is not None and deadline != self._woken_for:
            self._woken_for = deadline
            self.world.wake(self.name, max(deadline, self.world.time))


class Simulation:
    """Nodes, links and a clock; everything that happens is an event in a heap."""

    def __init__(self, seed: str = "0", *, latency: tuple[float, float] = (0.005, 0.03)) -> None:
        self.time = 0.0
        self.latency = latency
        self.nodes: dict[str, SimNode] = {}
        self.loss = 0.0
        self._seed = seed
        self._entropy = stream(f"world {seed}")
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._links: dict[int, _Link] = {}
        self._next_link = 1
        self._groups: list[frozenset[str]] = []

    def random(self) -> float:
        """Return the world's next random number, 0 to 1."""
        return int.from_bytes(self._entropy(6), "big") / (1 << 48)

    def add(
        self, name: str, *, peers: Iterable[str] = (), relay: bool = False, listed: bool = True
    ) -> SimNode:
        """Add a node that dials the named ones; one that is not `listed` tells nobody its address."""
        entropy = stream(f"{self._seed} {name}")
        node = SimNode(self, name, self._setup(name, entropy, peers, relay=relay, listed=listed))
        self.nodes[name] = node
        node.start()
        return node

    def _setup(
        self,
        name: str,
        entropy: Callable[[int], bytes],
        peers: Iterable[str],
        *,
        relay: bool = False,
        listed: bool = True,
    ) -> Setup:
        return Setup(
            identity=Identity.generate(entropy, EPOCH_MS // 86_400_000),
            boot_id="simulated",
            boot_nonce=entropy(8),
            entropy=entropy,
            name=name,
            roles=frozenset({"relay", "hold"} if relay else {"hold"}),
            addresses=(f"ws://{name}:1",) if listed else (),
            peers=tuple(f"ws://{peer}:1" for peer in peers),
        )

    def restore(self, name: str, records: Iterable[bytes], *, peers: Iterable[str] = ()) -> SimNode:
        """Add a node that begins with a backup, as `gossamer backup restore` makes one; it is not started."""
        entropy = stream(f"{self._seed} {name}")
        node = SimNode(self, name, self._setup(name, entropy, peers))
        order, restoring, writes = backup.Order(), None, list[Write]()
        for raw in records:
            match order.take(raw):
                case backup.Owner() as owner:
                    restoring = backup.Restoring(owner, node.now(), entropy)
                case backup.Row() as row:
                    assert restoring is not None
                    writes += [Put(one.table, one.key, one.value) for one in restoring.rows(row)]
                case backup.Message(room, mid, seq, body):
                    writes.append(PutMessage(room, mid, seq, body))
        order.close()
        assert restoring is not None and order.head is not None
        seq, told = restoring.told(order.head)
        node.setup = replace(node.setup, identity=restoring.identity)
        node.store = MemoryStore(f"restored {name}")
        node.store.commit([*writes, AppendEvent(seq, node.now().wall_ms, told)])
        self.nodes[name] = node
        return node

    # -- time -------------------------------------------------------------------------------------

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Let something happen at a moment of virtual time."""
        self._order += 1
        heapq.heappush(self._heap, (moment, self._order, act))

    def later(self, name: str, delay: float, event: Input) -> None:
        """Give a node an input after a delay, if it still runs as it does now."""
        engine = self.nodes[name].engine

        def act() -> None:
            if self.nodes[name].engine is engine:
                self.nodes[name].feed(event)

        self.at(self.time + delay, act)

    def wake(self, name: str, moment: float) -> None:
        """Wake a node at its deadline."""
        engine = self.nodes[name].engine

        def act() -> None:
            node = self.nodes[name]
            if node.engine is engine and node.engine is not None:
                deadline = node.engine.deadline
                if deadline is not None and deadline <= self.time:
                    node.feed(Woke())

        self.at(moment, act)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Run until something holds; False if it did not within so many virtual seconds."""
        end = self.time + seconds
        while not done():
            if not self._heap or self._heap[0][0] > end:
                self.time = end
                return done()
            self.time, _, act = heapq.heappop(self._heap)
            act()
        return True

    # -- the network ------------------------------------------------------------------------------

    def partition(self, *groups: Iterable[str]) -> None:
        """Part the nodes into groups that cannot reach each other; links between them break."""
        self._groups = [frozenset(group) for group in groups]
        for link, ends in list(self._links.items()):
            if not self._reach(*ends.ends):
                self._break(link, "partition")

    def heal(self) -> None:
        """Let everybody reach everybody again."""
        self._groups = []

    def _reach(self, a: str, b: str) -> bool:
        return not self._groups or any(a in group and b in group for group in self._groups)

    def dial(self, name: str, address: str) -> None:
        """Open a link to an address, if its node runs and can be reached."""
        peer = self.nodes.get(address.removeprefix("ws://").partition(":")[0])
        if peer is None or not peer.up or not self._reach(name, peer.name):
            self.later(name, self._delay(), DialFailed(address, "refused"))
            return
        link, self._next_link = self._next_link, self._next_link + 1
        here, there = self._delay(), self._delay()
        opens = {name: self.time + here, peer.name: self.time + there}  # no bytes arrive before
        self._links[link] = _Link((name, peer.name), opens)
        self.later(name, here, LinkOpened(link, True, address, address))
        self.later(peer.name, there, LinkOpened(link, False, "", f"{name}:1"))

    def _delay(self) -> float:
        low, high = self.latency
        return low + (high - low) * self.random()

    def send(self, name: str, link: int, data: bytes) -> None:
        """Carry bytes to the other end, in order; a lost packet breaks the link, as TCP would in the end."""
        wire = self._links.get(link)
        if wire is None:
            return
        if self.loss and self.random() < self.loss:
            self._break(link, "loss")
            return
        other = wire.ends[1] if wire.ends[0] == name else wire.ends[0]
        moment = max(self.time + self._delay(), wire.arrives.get(other, 0.0))
        wire.arrives[other] = moment
        self.later(name, 0.0, LinkDrained(link, len(data)))
        engine = self.nodes[other].engine

        def arrive() -> None:
            if link in self._links and self.nodes[other].engine is engine:
                self.nodes[other].feed(LinkBytes(link, data))

        self.at(moment, arrive)

    def close(self, name: str, link: int, reason: str) -> None:
        """Close a link from one end, after what was sent on it has arrived."""
        wire = self._links.get(link)
        if wire is None:
            return
        other = wire.ends[1] if wire.ends[0] == name else wire.ends[0]
        self.at(max(self.time, wire.arrives.get(other, 0.0)), lambda: self._break(link, reason))

    def _break(self, link: int, reason: str) -> None:
        wire = self._links.pop(link, None)
        if wire is not None:
            for name in wire.ends:
                self.later(name, 0.0, LinkClosed(link, reason))

    def cut(self, name: str) -> None:
        """Break every link of a node that is gone."""
        for link, wire in list(self._links.items()):
            if name in wire.ends:
                self._break(link, "gone")

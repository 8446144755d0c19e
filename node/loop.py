"""The one task that owns the engine: drain, handle, commit once, then let everything go.

    drain the inbox (256 inputs or 5 ms, frontends first) -> handle each -> one commit -> effects in order

Draining before committing is the group commit: one fsync for a busy moment, none visible when idle
(docs/architecture.md, "One shape everywhere").
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, assert_never

from node.alarm import Alarm
from node.bridge.metrics import Histogram, Shown, counters, gauge
from node.bridge.ports import (
    BridgeEffect,
    CredentialsChanged,
    Deliver,
    EndSession,
    GiveAttachment,
    ReadAnswered,
    ReadHistory,
    ReadSearch,
    SessionStarted,
    StartReplay,
    UploadKept,
)
from node.chat import events
from node.chat.filing import FileOrder
from node.clock import Instant
from node.engine import figures, outage
from node.engine.effects import (
    AfterFetched,
    AnswerStatus,
    ChannelRead,
    Effect,
    FetchAfter,
    FetchMessages,
    FindMessages,
    Hold,
    Input,
    KeepToken,
    LockVault,
    MessagesFetched,
    MessagesFound,
    Persist,
    ReadChannel,
    SealVault,
    ShredSoon,
    StopNode,
    Woke,
    WriteBackup,
)
from node.engine.engine import Engine
from node.errors import StoreFull
from node.gathering import Gathering
from node.lanes import Inbox, in_turns
from node.mesh.ports import ByIds, ByTime, CloseLink, Dial, HeldRead, PauseReading, ReadHeld, SendBytes
from node.store.attachments import AttachmentFiles
from node.store.records import Gone, Loaded
from node.store.sqlite import SqliteStore
from node.wire import envelope

log = logging.getLogger(__name__)

MAX_BATCH = 256
"""Inputs handled before one commit."""
MAX_BATCH_SECONDS = 0.005
SHOWN_AT_ONCE = 128
"""Events told to frontends before these are written to: their queues are short, and one message that closes a
gap lets out all that were held back behind it, which may be more than such a queue takes."""
READ_PAGE = 2_000
EXPIRE_SECONDS = 3600.0
EXPIRE_PAUSE = 0.1
"""Between two looks for what has expired, and between two slices of it."""
SHRED_SECONDS, SHRED_FIRST = 24 * 3600.0, 3600.0
SHRED_PAUSE = 5.0
"""Seconds between shred rounds, from a start to the first, and from a removal to the round that it brings."""
MAX_SLEEP = 2.0
"""Seconds at most between two looks at the clock: the event loop's stands still while a machine sleeps."""
PROBE_SECONDS = 1.0
"""Between two looks whether a full disk takes something again."""
_FOR_PEERS = (SendBytes, CloseLink, PauseReading, Dial)


class Outlet(Protocol):
    """A shell that carries out effects without blocking."""

    def perform(self, effect: Any) -> None:
        """Carry out one effect."""


class Links(Outlet, Protocol):
    """The shell of the mesh."""

    def write(self) -> None:
        """Write what was ordered, as far as sockets take it at once."""

    def close_all(self, reason: str) -> None:
        """Close every link."""

    def took(self, batch: Sequence[object]) -> None:
        """Read links on whose inputs are done with."""


Read: TypeAlias = ReadHeld | ReadChannel | FindMessages | FetchMessages | FetchAfter | AnswerStatus
Done: TypeAlias = Sequence[tuple[Input, list[Effect]]]
"""Inputs, and what each has caused."""


class EngineLoop:
    """Runs one engine over one store, between the shells of bridge and mesh; `vault` takes its orders."""

    def __init__(
        self, store: SqliteStore, clock: Callable[[], Instant], stopping: asyncio.Event | None = None
    ) -> None:
        self.store, self._clock = store, clock
        self._engine: Engine | None = None
        self.bridge: Outlet | None = None
        self.mesh: Links | None = None
        self.rebuild: outage.Rebuild | None = None
        self.vault: Outlet | None = None
        self.stopping = stopping or asyncio.Event()
        self._inbox = Inbox()
        self._alarm, self._told, self._finishing = Alarm(), False, False
        self._held = Gathering(store, self._gone, self._read_done)
        self._reads: set[asyncio.Task[None]] = set()
        self._next_expiry = 0.0
        self._next_shred = clock().mono + SHRED_FIRST
        self.shred: Callable[[], Awaitable[bool]] | None = None
        self.files: AttachmentFiles | None = None
        self._orders: asyncio.Queue[tuple[int, FileOrder]] = asyncio.Queue()
        self._filing: asyncio.Task[None] | None = None
        self._fault: BaseException | None = None
        self._commits = Histogram("commit_seconds", "One commit of the store, with its fsync.")
        self._full: StoreFull | None = None
        self._probe_at: float | None = None
        self._generation = 0

    def submit(self, event: Input) -> None:
        """Put an input into the inbox; called by the shells, never blocks."""
        self._inbox.append(event)
        self._alarm.ring()

    def backlog(self) -> int:
        """Return how many inputs of frontends wait: the bridge reads no socket beyond its limit."""
        return len(self._inbox.frontends)

    def mesh_backlog(self) -> int:
        """Return how many inputs of the mesh wait: links are not read beyond the transport's limit."""
        return len(self._inbox.others)

    @property
    def engine(self) -> Engine:
        """The engine that runs here; there is one from `begin` on."""
        assert self._engine is not None
        return self._engine

    @property
    def begun(self) -> bool:
        """Say whether there is an engine."""
        return self._engine is not None

    def figures(self, now: Instant, stats: Mapping[str, int | None]) -> list[Shown]:
        """Return what the engine, its inbox and its store count and measure."""
        waiting = {("frontends",): self.backlog(), ("mesh",): self.mesh_backlog()}
        return [
            counters("inbox", "Inputs that wait for the engine.", ("of",), waiting, "gauge"),
            gauge("held_back", "Envelopes of others that wait to be written.", len(self._held)),
            gauge("reads", "Reads of the store under way.", len(self._reads)),
            self._commits,
            *figures.of(self.engine, now),
            *figures.stored(stats),
        ]

    async def begin(self, engine: Engine) -> None:
        """Take an engine and carry out what its start causes."""
        self._engine = engine
        try:
            await self._carry_out(self.engine.start(self._clock()))
        except StoreFull as full:
            await self._run_out(full, [])

    async def run(self) -> None:
        """Own the engine until cancelled or told to finish; raises what makes going on unsafe."""
        while not self._finishing:
            due = await self._sleep()
            if self._fault is not None:
                raise self._fault
            batch, done = self._drain(), list[tuple[Input, list[Effect]]]()
            now = self._clock()
            try:
                if self._full is not None:
                    raise self._full
                await self._carry_out(self._handled(batch, now, due, done))
                if self.mesh is not None:
                    self.mesh.took(batch)
                batch, done = [], []
                await self._keep_house(now)
            except StoreFull as full:
                await self._run_out(full, batch, done)
            if self._probe_at is not None and now.mono >= self._probe_at:
                await self._look_for_room()

    def _handled(
        self, batch: list[Input], now: Instant, due: float | None, done: list[tuple[Input, list[Effect]]]
    ) -> list[Effect]:
        """Let the engine have a batch; `done` gets what each input causes that nobody asks again.

        `due` was its deadline before: what the batch makes due, the next round finds.
        """
        effects: list[Effect] = []
        for event in in_turns(batch):
            if isinstance(event, tuple):
                effects += self.engine.handle_said(event, now=now)
                continue
            came = self.engine.handle(event, now=now)
            effects += came
            done.append((event, came))
        if due is not None and now.mono >= due:
            effects += self.engine.handle(Woke(), now=now)
        return effects

    def finish(self) -> None:
        """Let `run` return after what it is doing now: nothing that was committed stays undelivered."""
        self._finishing = True
        self._alarm.ring()

    async def settle(self, patience: float = 0.0) -> None:
        """Write what waits, end reads after `patience` seconds: the last act before the store closes."""
        try:
            await self._empty()
            if patience:
                await self._await_answers(patience)
                await self._empty()
            await self._held.write()
        except StoreFull as full:
            log.warning("what came last was not stored, and nobody was told that it was: %s", full)
        if self._filing is not None:
            self._filing.cancel()
            await asyncio.gather(self._filing, return_exceptions=True)
        if self.files is not None:
            self.files.close()
        for task in tuple(self._reads):
            task.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)

    # -- inside -----------------------------------------------------------------------------------

    async def _await_answers(self, patience: float) -> None:
        """Wait for the store and the folder to answer what they were asked."""
        filed = asyncio.create_task(self._orders.join())
        await asyncio.wait({filed, *self._reads}, timeout=patience)
        filed.cancel()

    async def _empty(self) -> None:
        while self._inbox:
            batch, now = self._drain(), self._clock()
            await self._carry_out([e for event in batch for e in self.engine.handle(event, now=now)])

    async def _run_out(self, full: StoreFull, batch: list[Input], done: Done = ()) -> None:
        """Put an engine that only reads in the place of the one that is ahead of the disk; ask it again."""
        log.error("there is no room: %s", full)
        self._full = None
        kept, again = outage.carried_over(self.engine.desk, batch)
        await self._replaced(kept, read_only=True)
        self._probe_at = self._clock().mono + PROBE_SECONDS
        now = self._clock()
        effects = [*outage.refused(done), *self.engine.start(now)]
        for event in again:
            effects += self.engine.handle(event, now=now)
        await self._carry_out(effects)

    async def _look_for_room(self) -> None:
        """Go on as after a start, if the disk takes something again."""
        self._probe_at = self._clock().mono + PROBE_SECONDS
        kept, again = outage.carried_over(self.engine.desk, [])
        try:
            await self.store.probe()
            await self._replaced(kept, read_only=False)
        except StoreFull:
            return
        log.info("there is room again")
        self._probe_at = None
        await self.begin(self.engine)
        for event in again:
            self.submit(event)

    async def _replaced(self, sessions: tuple[SessionStarted, ...], *, read_only: bool) -> None:
        """Make the engine anew from the store; what was on its way to the old one is gone with it."""
        assert self.rebuild is not None
        if self.mesh is not None:
            self.mesh.close_all("no room")
        self._generation += 1
        self._held.drop()
        self._inbox.others.keep(outage.AGAIN)
        self._engine = self.rebuild(await self._loaded(), sessions, read_only=read_only)

    async def _loaded(self) -> Loaded:
        """Read the store; a disk that does not give it now is asked again until the node is to stop."""
        while True:
            try:
                return await self.store.load()
            except StoreFull as full:
                if self._finishing or self.stopping.is_set():
                    raise
                log.error("the store cannot be read, and will be tried again: %s", full)
            await asyncio.sleep(PROBE_SECONDS)

    async def _sleep(self) -> float | None:
        """Wait for an input or for what is due next; return the engine's deadline."""
        if self._told or self._inbox:  # frontends get theirs before deadlines are asked
            self._told = await asyncio.sleep(0, False)
        due = self.engine.deadline
        if self._inbox:
            return due
        deadlines = [due, self._next_expiry, self._next_shred, self._probe_at, self._held.deadline]
        soon = min(d for d in deadlines if d is not None) - self._clock().mono
        await self._alarm.sleep(min(max(0.0, soon), MAX_SLEEP))
        return due

    def _drain(self) -> list[Input]:
        batch: list[Input] = []
        until = time.perf_counter() + MAX_BATCH_SECONDS
        while self._inbox and len(batch) < MAX_BATCH:
            batch.append(self._inbox.popleft())
            if time.perf_counter() > until:
                break
        return batch

    async def _carry_out(self, effects: list[Effect]) -> None:
        """Commit all writes at once, and let go what follows; peers get what stands ahead of them before."""
        wait = next((at for at, effect in enumerate(effects) if isinstance(effect, Persist)), len(effects))
        self._let_out(effects[:wait])
        writes = [write for effect in effects if isinstance(effect, Persist) for write in effect.writes]
        if writes:
            since = time.perf_counter()
            self._gone(await self.store.commit(writes))
            self._commits.observe(time.perf_counter() - since)
        self._let_out(effects[wait:])
        others = [effect for effect in effects if not isinstance(effect, _FOR_PEERS)]
        for start in range(0, len(others), SHOWN_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            for effect in others[start : start + SHOWN_AT_ONCE]:
                self._perform(effect)

    def _let_out(self, effects: list[Effect]) -> None:
        """Let links write before a disk is waited for, or frontends are told."""
        if for_peers := [effect for effect in effects if isinstance(effect, _FOR_PEERS)]:
            assert self.mesh is not None
            for order in for_peers:
                self.mesh.perform(order)
            self.mesh.write()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Deliver):  # as most are
            self._show(effect)
            return
        if isinstance(effect, FileOrder):
            self._orders.put_nowait((self._generation, effect))
            if self._filing is None:
                self._filing = asyncio.create_task(self._file(), name="attachments")
                self._filing.add_done_callback(self._read_done)
            return
        match effect:
            case Persist():
                return
            case SendBytes() | CloseLink() | PauseReading() | Dial():
                assert self.mesh is not None
                self.mesh.perform(effect)
            case Hold(write):
                self._held.add(write, now=self._clock().mono)
            case ShredSoon():
                self._next_shred = min(self._next_shred, self._clock().mono + SHRED_PAUSE)
            case StopNode():
                self.stopping.set()
            case LockVault() | SealVault() | WriteBackup() | KeepToken():
                assert self.vault is not None
                self.vault.perform(effect)
            case (
                ReadHeld() | ReadChannel() | FindMessages() | FetchMessages() | FetchAfter() | AnswerStatus()
            ):
                task = asyncio.create_task(self._read(effect, self._generation))
                self._reads.add(task)
                task.add_done_callback(self._read_done)
            case StartReplay() | ReadHistory() | ReadSearch() | GiveAttachment():
                self._show(effect)
            case UploadKept() | EndSession() | CredentialsChanged():
                self._show(effect)
            case _:
                assert_never(effect)

    def _show(self, effect: BridgeEffect) -> None:
        assert self.bridge is not None
        self._told = True
        self.bridge.perform(effect)

    def _read_done(self, task: asyncio.Task[None]) -> None:
        self._reads.discard(task)
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, StoreFull):
            self._full, fault = fault, None
        self._fault = self._fault or fault
        self._alarm.ring()

    def _bring(self, generation: int, event: Input) -> None:
        """Hand the engine what was read for it; one that took its place has not asked."""
        if generation == self._generation or isinstance(event, outage.AGAIN):
            self.submit(event)

    async def _read(self, effect: Read, asked: int) -> None:
        match effect:
            case ReadHeld(ticket, ByIds(ids16, most)):
                await self._held.write()
                self._bring(asked, HeldRead(ticket, tuple(await self.store.envelopes_by_id(ids16, most))))
            case ReadHeld(ticket, ByTime(t0, t1, after, most)):
                await self._held.write()
                found, more = await self.store.envelopes_by_time(t0, t1, after, most)
                self._bring(asked, HeldRead(ticket, tuple(found), more))
            case ReadChannel():
                await self._held.write()
                await self._read_channel(effect, asked)
            case FindMessages(room, mids):
                known = [mid for mid in mids if await self.store.message(room, mid) is not None]
                self._bring(asked, MessagesFound(room, tuple(known)))
            case FetchMessages(room, mids, to_change):
                bodies = [(mid, await self.store.message(room, mid)) for mid in mids]
                self._bring(asked, MessagesFetched(room, tuple(bodies), to_change))
            case FetchAfter(room, mid, limit):
                body, page, more = await self.store.message(room, mid), list[bytes](), False
                if body is not None:
                    page, more = await self.store.history(room, None, mid, limit)
                self._bring(asked, AfterFetched(room, mid, body, tuple(page), more))
            case AnswerStatus(session, req, fields, nonced):
                whole = {**fields, **await self.store.stats()}
                assert self.bridge is not None
                if nonced is not None:
                    self._bring(asked, ReadAnswered(nonced, whole))
                else:
                    self.bridge.perform(Deliver(session, events.Ok(req=req, fields=whole)))

    async def _file(self) -> None:
        """Carry out the orders about attachments, one after the other, on a thread."""
        while True:
            asked, order = await self._orders.get()
            assert self.files is not None
            answer = await asyncio.to_thread(self.files.carry_out, order)
            if answer is not None:
                self._bring(asked, answer)
            self._orders.task_done()

    async def _read_channel(self, order: ReadChannel, asked: int) -> None:
        after: tuple[int, bytes] | None = (order.since_ms, b"") if order.since_ms else None
        while True:
            found = await self.store.envelopes_by_rk(order.keys, READ_PAGE, after)
            done = len(found) < READ_PAGE
            self._bring(asked, ChannelRead(order.channel, tuple(found), order.final, done))
            if done or asked != self._generation:
                return
            last = envelope.parse(found[-1])
            after = (last.ts_ms, last.eid)

    def _gone(self, gone: Gone | None) -> None:
        """Tell the engine what a commit took away."""
        for effect in self.engine.let_go(gone) if gone else ():
            self._perform(effect)

    async def _keep_house(self, now: Instant) -> None:
        await self._held.due(now=now.mono)
        try:
            await self._clean(now)
        except StoreFull as full:
            log.warning("what has expired could not be erased, and will be tried again: %s", full)

    async def _clean(self, now: Instant) -> None:
        """Drop what has expired and shred; neither is urgent, and both are tried again."""
        if now.mono >= self._next_expiry:
            self._next_expiry = now.mono + EXPIRE_SECONDS  # also if it fails
            self._gone(await self.store.expire(self.engine.expires_at(now)))
            self.engine.state.first_seq = self.store.first_seq
            if self.store.expiring:
                self._next_expiry = now.mono + EXPIRE_PAUSE
        if self.shred is not None and now.mono >= self._next_shred:
            self._next_shred = now.mono + SHRED_SECONDS
            if not await self.shred():
                log.warning("the write-ahead log could not be emptied: the next shred round will")

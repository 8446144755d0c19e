"""The one task that owns the engine: drain, handle, commit once, then let everything go.

    drain the inbox (256 inputs or 5 ms, frontends first) -> handle each -> one commit -> effects in order

Draining before committing is the group commit: one fsync for a busy moment, none visible when idle
(docs/architecture.md, "One shape everywhere").
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from node.bridge.ports import (
    CommandReceived,
    CredentialsChanged,
    Deliver,
    EndSession,
    EventsWritten,
    ReadHistory,
    SessionEnded,
    SessionStarted,
    StartReplay,
)
from node.chat import events
from node.clock import Instant
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
from node.errors import Fatal, StoreFull
from node.mesh.ports import ByIds, ByTime, CloseLink, Dial, HeldRead, ReadHeld, SendBytes
from node.store.records import PutEnvelope, Write
from node.store.sqlite import SqliteStore
from node.wire import envelope

log = logging.getLogger(__name__)

MAX_BATCH = 256
"""Inputs handled before one commit."""
MAX_BATCH_SECONDS = 0.005
HOLD_SECONDS = 1.0
"""Somebody else's envelope is on disk within this time; a loss before is repaired by sync."""
MAX_HELD_BACK = 2_000
"""Envelopes that wait for that moment; more are written at once."""
READ_PAGE = 2_000
EXPIRE_SECONDS = 3600.0
SHRED_SECONDS = 24 * 3600.0
SHRED_PAUSE = 5.0
"""Seconds between shred rounds, and from a removal to the round that it brings."""
_FRONTEND = (CommandReceived, SessionStarted, SessionEnded, EventsWritten)


class Outlet(Protocol):
    """A shell that carries out effects without blocking."""

    def perform(self, effect: Any) -> None:
        """Carry out one effect."""


BridgeOut: TypeAlias = Deliver | StartReplay | ReadHistory | EndSession | CredentialsChanged
MeshOut: TypeAlias = SendBytes | CloseLink | Dial


class EngineLoop:
    """Runs one engine over one store, between the shells of bridge and mesh; `vault` takes its orders."""

    def __init__(
        self, store: SqliteStore, clock: Callable[[], Instant], stopping: asyncio.Event | None = None
    ) -> None:
        self.store, self._clock = store, clock
        self._engine: Engine | None = None
        self.bridge: Outlet | None = None
        self.mesh: Outlet | None = None
        self.vault: Outlet | None = None
        self.stopping = stopping or asyncio.Event()
        self._finishing = False
        self._frontends: deque[Input] = deque()
        self._others: deque[Input] = deque()
        self._wake = asyncio.Event()
        self._held: list[PutEnvelope] = []
        self._held_since: float | None = None
        self._holding = asyncio.Lock()
        self._reads: set[asyncio.Task[None]] = set()
        self._next_expiry = 0.0
        self._next_shred = clock().mono + SHRED_SECONDS
        self.shred: Callable[[], Awaitable[bool]] | None = None
        self._fault: BaseException | None = None

    def submit(self, event: Input) -> None:
        """Put an input into the inbox; called by the shells, never blocks."""
        (self._frontends if isinstance(event, _FRONTEND) else self._others).append(event)
        self._wake.set()

    def backlog(self) -> int:
        """Return how many inputs of frontends wait: the bridge reads no socket beyond its limit."""
        return len(self._frontends)

    def mesh_backlog(self) -> int:
        """Return how many inputs of the mesh wait: links are not read beyond the transport's limit."""
        return len(self._others)

    @property
    def engine(self) -> Engine:
        """The engine that runs here; there is one from `begin` on."""
        assert self._engine is not None
        return self._engine

    async def begin(self, engine: Engine) -> None:
        """Take an engine and carry out what its start causes."""
        self._engine = engine
        await self._carry_out(self.engine.start(self._clock()))

    async def run(self) -> None:
        """Own the engine until cancelled or told to finish; raises what makes going on unsafe."""
        while not self._finishing:
            await self._sleep()
            if self._fault is not None:
                raise self._fault
            batch = self._drain()
            effects: list[Effect] = []
            now = self._clock()
            for event in batch:
                effects += self.engine.handle(event, now=now)
            deadline = self.engine.deadline
            if deadline is not None and now.mono >= deadline:
                effects += self.engine.handle(Woke(), now=now)
            try:
                await self._carry_out(effects)
            except StoreFull as full:
                raise self._full(full, batch) from full
            await self._keep_house(now)

    def finish(self) -> None:
        """Let `run` return after what it is doing now: nothing that was committed stays undelivered."""
        self._finishing = True
        self._wake.set()

    async def settle(self, patience: float = 0.0) -> None:
        """Write what waits, end reads after `patience` seconds: the last act before the store closes."""
        await self._empty()
        if self._reads and patience:
            await asyncio.wait(self._reads, timeout=patience)
            await self._empty()
        await self._write_held()
        for task in tuple(self._reads):
            task.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)

    # -- inside -----------------------------------------------------------------------------------

    async def _empty(self) -> None:
        while self._frontends or self._others:
            batch, now = self._drain(), self._clock()
            await self._carry_out([e for event in batch for e in self.engine.handle(event, now=now)])

    def _full(self, full: StoreFull, batch: list[Input]) -> Fatal:
        """Tell every frontend that nothing of this batch was done.

        The engine is ahead of the disk now, so the node has to stop; what it was asked can be asked again.
        """
        assert self.bridge is not None
        text = f"nothing was stored, the node stops: make room on the disk, then start it again ({full})"
        for event in batch:
            if isinstance(event, CommandReceived):
                req = event.command.req
                failed = events.Error(code=full.code, message=text, retryable=True, req=req)
                self.bridge.perform(Deliver(event.session, failed))
        for session in self.engine.state.sessions:
            self.bridge.perform(Deliver(session, events.Warning(code=full.code, message=text)))
        return Fatal(text, code=full.code)

    async def _sleep(self) -> None:
        if self._frontends or self._others:
            await asyncio.sleep(0)
            return
        self._wake.clear()
        deadlines = [self.engine.deadline, self._next_expiry, self._next_shred]
        if self._held_since is not None:
            deadlines.append(self._held_since + HOLD_SECONDS)
        soonest = min(d for d in deadlines if d is not None)
        delay = max(0.0, soonest - self._clock().mono)
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    def _drain(self) -> list[Input]:
        batch: list[Input] = []
        until = time.perf_counter() + MAX_BATCH_SECONDS
        while (self._frontends or self._others) and len(batch) < MAX_BATCH:
            batch.append((self._frontends or self._others).popleft())
            if time.perf_counter() > until:
                break
        return batch

    async def _carry_out(self, effects: list[Effect]) -> None:
        writes: list[Write] = []
        for effect in effects:
            if isinstance(effect, Persist):
                writes += effect.writes
        if writes:
            await self.store.commit(writes)
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist():
                return
            case SendBytes() | CloseLink() | Dial():
                assert self.mesh is not None
                self.mesh.perform(effect)
            case Hold(sealed):
                self._held.append(sealed)
                if self._held_since is None:
                    self._held_since = self._clock().mono
            case ShredSoon():
                self._next_shred = min(self._next_shred, self._clock().mono + SHRED_PAUSE)
            case StopNode():
                self.stopping.set()
            case LockVault() | SealVault() | WriteBackup():
                assert self.vault is not None
                self.vault.perform(effect)
            case (
                ReadHeld() | ReadChannel() | FindMessages() | FetchMessages() | FetchAfter() | AnswerStatus()
            ):
                task = asyncio.create_task(self._read(effect))
                self._reads.add(task)
                task.add_done_callback(self._read_done)
            case _:
                assert self.bridge is not None
                self.bridge.perform(effect)

    def _read_done(self, task: asyncio.Task[None]) -> None:
        self._reads.discard(task)
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, StoreFull):
            fault = self._full(fault, [])
        self._fault = self._fault or fault
        self._wake.set()

    async def _read(
        self,
        effect: ReadHeld | ReadChannel | FindMessages | FetchMessages | FetchAfter | AnswerStatus,
    ) -> None:
        match effect:
            case ReadHeld(ticket, ByIds(ids16)):
                await self._write_held()
                self.submit(HeldRead(ticket, tuple(await self.store.envelopes_by_id(ids16))))
            case ReadHeld(ticket, ByTime(t0, t1, after, most)):
                await self._write_held()
                found, more = await self.store.envelopes_by_time(t0, t1, after, most)
                self.submit(HeldRead(ticket, tuple(found), more))
            case ReadChannel():
                await self._write_held()
                await self._read_channel(effect)
            case FindMessages(room, mids):
                known = [mid for mid in mids if await self.store.message(room, mid) is not None]
                self.submit(MessagesFound(room, tuple(known)))
            case FetchMessages(room, mids, to_change):
                bodies = [(mid, await self.store.message(room, mid)) for mid in mids]
                self.submit(MessagesFetched(room, tuple(bodies), to_change))
            case FetchAfter(room, mid, limit):
                body, page, more = await self.store.message(room, mid), list[bytes](), False
                if body is not None:
                    page, more = await self.store.history(room, None, mid, limit)
                self.submit(AfterFetched(room, mid, body, tuple(page), more))
            case AnswerStatus(session, req, fields):
                stats = await self.store.stats()
                assert self.bridge is not None
                self.bridge.perform(Deliver(session, events.Ok(req=req, fields={**fields, **stats})))

    async def _read_channel(self, order: ReadChannel) -> None:
        after: tuple[int, bytes] | None = (order.since_ms, b"") if order.since_ms else None
        while True:
            found = await self.store.envelopes_by_rk(order.keys, READ_PAGE, after)
            done = len(found) < READ_PAGE
            self.submit(ChannelRead(order.channel, tuple(found), order.final, done))
            if done:
                return
            last = envelope.parse(found[-1])
            after = (last.ts_ms, last.eid)

    async def _write_held(self) -> None:
        """Write what was held back; who reads the store after this finds it, whoever writes it just now."""
        async with self._holding:
            held, self._held, self._held_since = self._held, [], None
            if held:
                await self.store.commit(held)

    async def _keep_house(self, now: Instant) -> None:
        if self._held_since is not None and (
            now.mono >= self._held_since + HOLD_SECONDS or len(self._held) >= MAX_HELD_BACK
        ):
            try:
                await self._write_held()
            except StoreFull as full:
                raise self._full(full, []) from full
        try:
            await self._clean(now)
        except StoreFull as full:
            log.warning("what has expired could not be erased, and will be tried again: %s", full)

    async def _clean(self, now: Instant) -> None:
        """Drop what has expired and shred; neither is urgent, and both are tried again."""
        if now.mono >= self._next_expiry:
            self._next_expiry = now.mono + EXPIRE_SECONDS
            self.engine.mesh.forget(await self.store.expire(now.wall_ms))
            self.engine.state.first_seq = self.store.first_seq
        if self.shred is not None and now.mono >= self._next_shred:
            self._next_shred = now.mono + SHRED_SECONDS
            if not await self.shred():
                log.warning("the write-ahead log could not be emptied: the next shred round will")

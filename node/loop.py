"""The one task that owns the engine: drain, handle, commit once, then let everything go.

    take an input, frontends' first -> handle it; after 256 or 5 ms -> one commit -> effects in order

One commit for many is the group commit: one fsync for a busy moment, none visible when idle. While one is
under way the engine goes on; what it makes of more inputs waits for that one to end, and then shares the next
(docs/architecture.md, "One shape everywhere").
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, assert_never

from node.alarm import Alarm
from node.bridge.metrics import Histogram, Shown, counters, gauge
from node.bridge.outbox import MAX_EVENTS
from node.bridge.ports import (
    BridgeEffect,
    CredentialsChanged,
    Deliver,
    EndSession,
    GiveAttachment,
    ReadHistory,
    ReadSearch,
    SessionStarted,
    StartReplay,
    UploadKept,
)
from node.chat.filing import FileOrder
from node.clock import Instant
from node.engine import figures, outage
from node.engine.effects import (
    AnswerStatus,
    Effect,
    FetchAfter,
    FetchMessages,
    FindMessages,
    Hold,
    Input,
    KeepToken,
    LockVault,
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
from node.mesh.ports import CloseLink, Dial, PauseReading, ReadHeld, SendBytes
from node.reads import Reads
from node.store.records import Gone, Loaded
from node.store.sqlite import SqliteStore
from node.turns import Turn

log = logging.getLogger(__name__)

MAX_BATCH = 256
"""Inputs that share one commit."""
MAX_BATCH_SECONDS = 0.005
"""For so long inputs are handled before sockets are looked at, and a commit is begun if none is under way."""
SHOWN_AT_ONCE = 128
"""Events told to frontends before these are written to: their queues are short, and one message that closes a
gap lets out all that were held back behind it, which may be more than such a queue takes."""
SHOW_SECONDS, SHOW_PAUSE, SHOW_TRIES = 0.5, 0.002, 10
"""Where a queue is half full then: how long a turn waits for it in all, between two looks, and so often while
nothing at all is taken."""
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


class Outlet(Protocol):
    """A shell that carries out effects without blocking."""

    def perform(self, effect: Any) -> None:
        """Carry out one effect."""


class Frontends(Outlet, Protocol):
    """The shell of the bridge."""

    def behind(self) -> int:
        """Return how many events wait in the longest queue."""


class Links(Outlet, Protocol):
    """The shell of the mesh."""

    def write(self) -> None:
        """Write what was ordered, as far as sockets take it at once."""

    def close_all(self, reason: str) -> None:
        """Close every link."""

    def took(self, batch: Sequence[object]) -> None:
        """Read links on whose inputs are done with."""


class EngineLoop:
    """Runs one engine over one store, between the shells of bridge and mesh; `vault` takes its orders."""

    def __init__(
        self, store: SqliteStore, clock: Callable[[], Instant], stopping: asyncio.Event | None = None
    ) -> None:
        self.store, self._clock = store, clock
        self._engine: Engine | None = None
        self.bridge: Frontends | None = None
        self.mesh: Links | None = None
        self.rebuild: outage.Rebuild | None = None
        self.vault: Outlet | None = None
        self.stopping = stopping or asyncio.Event()
        self._inbox = Inbox()
        self._alarm, self._told, self._finishing = Alarm(), False, False
        self._ahead, self._under_way = Turn(), Turn()
        self._commit: asyncio.Future[Gone] | None = None
        self._since = 0.0
        self._held = Gathering(store, self._gone, self._ended)
        self.reads = Reads(store, self._held, self.submit, self._show, self._ended)
        self._next_expiry = 0.0
        self._next_shred = clock().mono + SHRED_FIRST
        self.shred: Callable[[], Awaitable[bool]] | None = None
        self._fault: BaseException | None = None
        self._commits = Histogram("commit_seconds", "One commit of the store, with its fsync.")
        self._full: StoreFull | None = None
        self._probe_at: float | None = None

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
            gauge("reads", "Reads of the store under way.", len(self.reads)),
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
            await self._run_out(full)

    async def run(self) -> None:
        """Own the engine until cancelled or told to finish; raises what makes going on unsafe."""
        while not self._finishing:
            due = await self._sleep()
            if self._fault is not None:
                raise self._fault
            now = self._clock()
            try:
                if self._full is not None:
                    raise self._full
                await self._go_on(now, due)
            except StoreFull as full:
                await self._run_out(full)
            if self._probe_at is not None and now.mono >= self._probe_at:
                await self._look_for_room()
        try:
            await self._come_to_rest()
        except StoreFull as full:
            await self._run_out(full)

    def finish(self) -> None:
        """Let `run` return after what it is doing now: nothing that was committed stays undelivered."""
        self._finishing = True
        self._alarm.ring()

    async def settle(self, patience: float = 0.0) -> None:
        """Write what waits, end reads after `patience` seconds: the last act before the store closes."""
        try:
            await self._empty()
            if patience:
                await self.reads.answered(patience)
                await self._empty()
            await self._held.write()
        except StoreFull as full:
            log.warning("what came last was not stored, and nobody was told that it was: %s", full)
        await self.reads.stop()

    # -- turns ------------------------------------------------------------------------------------

    async def _go_on(self, now: Instant, due: float | None) -> None:
        """Let go of what is on disk, let the engine have what waits, and begin the next commit."""
        if self._commit is not None and self._commit.done():
            await self._conclude()
        if self._commit is None:  # under load one is always under way, but for this moment
            await self._keep_house(now)
        self._advance(now, due)
        if self._commit is None:
            await self._commit_ahead()

    def _advance(self, now: Instant, due: float | None) -> None:
        """Let the engine have some inputs.

        `due` was its deadline before: what they make due, the next round finds.
        """
        for event in in_turns(self._taken(now)):
            if isinstance(event, tuple):
                self._ahead.said(event, self.engine.handle_said(event, now=now))
            else:
                self._ahead.took(event, self.engine.handle(event, now=now))
        if due is not None and now.mono >= due:
            self._ahead.effects += self.engine.handle(Woke(), now=now)

    def _taken(self, now: Instant) -> Iterator[Input]:
        """Yield what waits, until there is enough for a commit or it took long enough."""
        until = time.perf_counter() + MAX_BATCH_SECONDS
        for _ in range(MAX_BATCH - len(self._ahead.inputs)):
            event = self._inbox.take(self._congested, now=now.mono) if time.perf_counter() < until else None
            if event is None:
                return
            yield event

    def _congested(self) -> bool:
        return self.engine.mesh.congested

    async def _commit_ahead(self) -> None:
        """Commit what was handled; peers get what stands ahead of it before."""
        self._under_way, self._ahead = self._ahead, Turn()
        self._under_way.sort()
        self._let_out(self._under_way.early)
        writes, self._since = self._under_way.writes(), time.perf_counter()
        if not writes:
            await self._let_go()
        elif self.store.at_once(writes):
            await self._stored(await self.store.commit(writes))
        else:
            self._commit = asyncio.ensure_future(self.store.commit(writes))
            self._commit.add_done_callback(lambda _commit: self._alarm.ring())

    async def _conclude(self) -> None:
        """The commit has ended: let go of what waited for it. One that failed leaves its turn as it is."""
        assert self._commit is not None
        commit, self._commit = self._commit, None
        await self._stored(commit.result())

    async def _stored(self, gone: Gone) -> None:
        self._commits.observe(time.perf_counter() - self._since)
        self._gone(gone)
        await self._let_go()

    async def _let_go(self) -> None:
        """Carry out what follows, for peers first, and read on what this came from."""
        turn, self._under_way = self._under_way, Turn()
        self._let_out(turn.late)
        patience = SHOW_SECONDS
        for start in range(0, len(turn.others), SHOWN_AT_ONCE):
            if start:
                patience = await self._breathe(patience)
            for effect in turn.others[start : start + SHOWN_AT_ONCE]:
                self._perform(effect)
        if self.mesh is not None:
            self.mesh.took(turn.inputs)

    async def _breathe(self, patience: float) -> float:
        """Let frontends take of what they were told; return for how much longer to wait in this turn.

        Not for one that takes nothing.
        """
        await asyncio.sleep(0)
        assert self.bridge is not None
        since, tries, waiting = time.perf_counter(), SHOW_TRIES, self.bridge.behind()
        while waiting > MAX_EVENTS // 2 and time.perf_counter() < since + patience:
            await asyncio.sleep(SHOW_PAUSE)
            before, waiting = waiting, self.bridge.behind()
            tries = SHOW_TRIES if waiting < before else tries - 1
            if not tries:
                return 0.0
        return max(0.0, patience - (time.perf_counter() - since))

    async def _come_to_rest(self) -> None:
        """Let all go that was handled."""
        while self._commit is not None or self._ahead.effects or self._ahead.inputs:
            if self._commit is not None:
                await asyncio.wait({self._commit})
                await self._conclude()
            else:
                await self._commit_ahead()

    async def _carry_out(self, effects: list[Effect]) -> None:
        """Carry out what no input has caused, now."""
        self._ahead.effects += effects
        await self._come_to_rest()

    async def _empty(self) -> None:
        await self._come_to_rest()
        while self._inbox:
            self._advance(self._clock(), None)
            await self._come_to_rest()

    # -- without room -----------------------------------------------------------------------------

    async def _failed(self) -> tuple[list[Input], list[tuple[Input, list[Effect]]]]:
        """Return the inputs whose turns are not on disk and never will be, and what they had caused."""
        if self._commit is not None:
            await asyncio.wait({self._commit})
            with contextlib.suppress(StoreFull):  # then its turn is among those that failed
                await self._conclude()
        turns, self._under_way, self._ahead = (self._under_way, self._ahead), Turn(), Turn()
        return [i for turn in turns for i in turn.inputs], [done for turn in turns for done in turn.done]

    async def _run_out(self, full: StoreFull) -> None:
        """Put an engine that only reads in the place of the one that is ahead of the disk; ask it again."""
        log.error("there is no room: %s", full)
        self._full = None
        failed, done = await self._failed()
        kept, again = outage.carried_over(self.engine.desk, failed)
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
        self.reads.generation += 1
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
        now = self._clock().mono
        waits = self._inbox.due(self._congested, now=now)
        ready = waits is not None and waits <= now and len(self._ahead.inputs) < MAX_BATCH
        if ready or (self._commit is not None and self._commit.done()):
            return due
        if self._commit is not None:
            await self._alarm.sleep(MAX_SLEEP)
            return due
        deadlines = [due, waits, self._next_expiry, self._next_shred, self._probe_at, self._held.deadline]
        soon = min(d for d in deadlines if d is not None) - now
        await self._alarm.sleep(min(max(0.0, soon), MAX_SLEEP))
        return due

    def _let_out(self, effects: list[Effect]) -> None:
        """Let links write before a disk is waited for, or frontends are told."""
        if effects:
            assert self.mesh is not None
            for order in effects:
                self.mesh.perform(order)
            self.mesh.write()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Deliver):  # as most are
            self._show(effect)
            return
        if isinstance(effect, FileOrder):
            self.reads.file(effect)
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
                self.reads.begin(effect)
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

    def _ended(self, task: asyncio.Task[None]) -> None:
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, StoreFull):
            self._full, fault = fault, None
        self._fault = self._fault or fault
        self._alarm.ring()

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

"""The shell around one websocket: it reads frames into the session and writes the outbox to the socket.

What may be said is the session's decision, what is sent and in which order the outbox's (docs/bridge.md 3).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, assert_never

import msgspec
from aiohttp import WSMsgType, web

from node.bridge import intervals, session as machine
from node.bridge.dialects.base import Dialect
from node.bridge.guard import Grant
from node.bridge.outbox import Item, Outbox, Replay
from node.bridge.ports import (
    BridgeInput,
    CommandReceived,
    EventsWritten,
    ReadHistory,
    SessionEnded,
    SessionStarted,
    StartReplay,
)
from node.bridge.session import Session
from node.chat import commands, events
from node.clock import Instant
from node.errors import Refused

log = logging.getLogger(__name__)

PAGE = 256
"""Logged events read at a time in a replay; between pages answers are written."""
NEWEST_WINDOW = 20_000
"""Logged events searched for messages that no frontend has had."""
MAX_BACKLOG = 1024
"""Commands waiting for the engine; above it sockets are not read."""
MAX_READS = 16
"""Unanswered history reads of one session; above it its socket is not read."""
ABORT_AFTER = 5.0
"""Seconds a slow frontend has to read its `lagged` and the close."""
CLOSE_SECONDS = 2.0
CAUGHT_UP_EVERY = 60.0
"""Seconds at least between two `caught_up` that only move the position."""
PAUSE = 0.005
SLOW, GOING_WRONG = 4008, 1011


class Reader(Protocol):
    """What the bridge reads from the store."""

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the logged events after `seq`, oldest first, at most `limit`."""
        ...

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int
    ) -> tuple[list[bytes], bool]:
        """Return messages of a room, oldest first, and whether there are more."""
        ...


@dataclass(slots=True)
class Surroundings:
    """What every connection shares: the way to the engine, the store, the clock, the credentials."""

    submit: Callable[[BridgeInput], None]
    reader: Reader
    clock: Callable[[], Instant]
    backlog: Callable[[], int]
    lookup: Callable[[str, int], Grant | None]
    login_link: Callable[[str | None], tuple[str, int]]
    locked: Callable[[], bool] = lambda: False
    last: tuple[events.Event, dict[bool, bytes]] | None = field(default=None, repr=False)

    def encode(self, dialect: Dialect, event: events.Event) -> bytes:
        """Encode an event, once for all sessions of a dialect that it goes to."""
        if self.last is None or self.last[0] is not event:
            self.last = (event, {})
        cache = self.last[1]
        if dialect.binary not in cache:
            cache[dialect.binary] = dialect.encode(event)
        return cache[dialect.binary]


class _Stored(msgspec.Struct):
    event: str
    room: str | None = None
    deleted: bool = False


_stored = msgspec.json.Decoder(_Stored)


class Connection:
    """One frontend: `run` returns when its socket is closed."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        session: Session,
        around: Surroundings,
        *,
        origin: str | None,
        transport: asyncio.BaseTransport | None,
    ) -> None:
        self.ws = ws
        self.session = session
        self.around = around
        self.origin = origin
        self.outbox = Outbox()
        self._transport = transport
        self._opcode = WSMsgType.BINARY if session.dialect.binary else WSMsgType.TEXT
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._started = False
        self._told = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._abort: asyncio.TimerHandle | None = None
        self._reads: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the socket until it is closed by either side."""
        writer = asyncio.create_task(self._write(), name=f"bridge-writer-{self.session.number}")
        try:
            self._feed(machine.Opened())
            await self._read()
            if self._closing is not None or self.outbox.lagged:
                await asyncio.wait({writer}, timeout=ABORT_AFTER)
        finally:
            for handle in (self._timer, self._abort):
                if handle is not None:
                    handle.cancel()
            for task in (writer, *self._reads):
                task.cancel()
            await asyncio.gather(writer, *self._reads, return_exceptions=True)
            self._report()
            if self._started:
                self.around.submit(SessionEnded(self.session.number))

    # -- what the engine orders -------------------------------------------------------------------

    def deliver(self, event: events.Event) -> None:
        """Queue an event, if this session is to see it."""
        box = self.outbox
        name = events.name_of(event)
        if isinstance(event, events.Hello | events.Error):
            box.muted = False
        if isinstance(event, events.Hello):
            box.anchor(event.seq)
        seq = getattr(event, "seq", 0) if name in events.LOGGED else 0
        seq = seq if isinstance(seq, int) else 0
        if not self.session.wants_event(event):
            box.passed(seq)
        elif box.takes(seq):
            item = Item(self.around.encode(self.session.dialect, event), seq, _coalescing(event))
            box.push(item, answer=name in events.ANSWERS)
            self._woken()

    def start_replay(self, effect: StartReplay) -> None:
        """Send the log after a position before anything live."""
        at = effect.after_seq
        self.outbox.start_replay(at, newest=effect.newest, until=effect.until_seq, had=effect.had)
        self._woken()

    def read_history(self, effect: ReadHistory) -> None:
        """Answer from the store, beside everything else."""
        task = asyncio.create_task(self._history(effect))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then close."""
        if self._closing is None:
            self._closing = (code, reason)
            self._abort_later()
        self._wake.set()

    def abort(self) -> None:
        """Cut the connection without another word."""
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    def tick(self, now: Instant) -> None:
        """Once a second: end what has expired, move positions, say what was written."""
        grant = self.session.grant
        if grant is not None and grant.expires_ms is not None and now.wall_ms >= grant.expires_ms:
            self.close(machine.UNAUTHORIZED, "the token has expired")
        self._report()
        box = self.outbox
        moved = box.position is not None and box.position > box.announced and box.replay is None
        if self.session.subscribe is not None and moved and now.mono - self._told >= CAUGHT_UP_EVERY:
            assert box.position is not None
            self._told, box.announced = now.mono, box.position
            self.deliver(events.CaughtUp(seq=box.position))

    def _report(self) -> None:
        asked = self.session.subscribe
        if self.session.wants("user_message", None) and (asked is None or asked.rooms is None):
            written = self.outbox.take_report()
            if written is not None:
                self.around.submit(EventsWritten(self.session.number, *written))

    def _woken(self) -> None:
        self._wake.set()
        if self.outbox.lagged:
            self._abort_later()

    def _abort_later(self) -> None:
        if self._abort is None:
            self._abort = asyncio.get_running_loop().call_later(ABORT_AFTER, self.abort)

    # -- what the session decides -----------------------------------------------------------------

    def _feed(self, event: machine.Input) -> None:
        for effect in self.session.handle(event, now=self.around.clock()):
            self._do(effect)
        self._arm()

    def _do(self, effect: machine.Effect) -> None:
        match effect:
            case machine.Send():
                self.deliver(effect.event)
            case machine.Submit():
                self._submit(effect.input)
            case machine.Park():
                self.outbox.parked = True
            case machine.Release():
                self.outbox.parked = False
                self._wake.set()
            case machine.Discard():
                self.outbox.discard()
            case machine.Close():
                self.close(effect.code, effect.reason)
            case _:
                assert_never(effect)

    def _submit(self, event: BridgeInput) -> None:
        if isinstance(event, SessionStarted):
            self._started = True
        asked = event.command if isinstance(event, CommandReceived) else None
        if isinstance(asked, commands.LoginLinkCreate) and not self.around.locked():
            url, expires = self.around.login_link(asked.nonce)
            self.deliver(events.Ok(req=asked.req, fields={"url": url, "expires_at": expires}))
            return
        self.around.submit(event)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.session.deadline is not None:
            wait = max(0.0, self.session.deadline - self.around.clock().mono) + 0.001
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait, self._feed, machine.DeadlineReached())

    # -- the socket -------------------------------------------------------------------------------

    async def _read(self) -> None:
        while self._closing is None:
            while self.around.backlog() >= MAX_BACKLOG or len(self._reads) >= MAX_READS:  # noqa: ASYNC110
                await asyncio.sleep(PAUSE)  # the inbox is the daemon's and tells nobody when it drains
            message = await self.ws.receive()
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            if self._closing is None:
                self._feed(machine.FrameReceived(message.data))

    async def _write(self) -> None:
        try:
            while not await self._write_some():
                pass
        except (ConnectionError, RuntimeError):
            pass  # the frontend is gone; the reading side sees it too
        except Exception:
            log.exception("bridge session %d cannot go on", self.session.number)
            await self.ws.close(code=GOING_WRONG)

    async def _write_some(self) -> bool:
        """Write what is next, or wait for it; True when the socket is closed."""
        box = self.outbox
        for item in box.take():
            await self.ws.send_frame(item.data, self._opcode)
            box.written(item)
        if box.lagged:
            await self._send(events.Lagged(resume_from=box.position or 0))
            await self.ws.close(code=SLOW, message=b"too slow; resume")
            return True
        if box.ready:
            return False
        if self._closing is not None:
            code, reason = self._closing
            await self.ws.close(code=code, message=reason.encode()[:120])
            return True
        if box.replay is not None and not box.parked:
            await self._replay(box.replay)
            return False
        self._wake.clear()
        await self._wake.wait()
        return False

    async def _send(self, event: events.Event) -> None:
        await self.ws.send_frame(self.session.dialect.encode(event), self._opcode)

    async def _replay(self, replay: Replay) -> None:
        if replay.newest is not None:
            await self._replay_newest(replay, replay.newest)
            return
        rows = await self.around.reader.events_after(replay.cursor, PAGE)
        for seq, body in rows:
            if self.outbox.replay is not replay:
                return
            if self._shown(body):
                await self.ws.send_frame(self.session.dialect.encode_stored(body), self._opcode)
                self.outbox.written(Item(b"", seq))
            replay.cursor = seq
        if self.outbox.replay is not replay:
            return
        if len(rows) < PAGE and replay.cursor >= replay.skipped:
            self.outbox.end_replay(replay.cursor)
            self.outbox.announced = replay.cursor
            self._told = self.around.clock().mono
            await self._send(events.CaughtUp(seq=replay.cursor))
        elif not rows:
            raise AssertionError("the log lacks an event that was delivered")

    async def _replay_newest(self, replay: Replay, newest: int) -> None:
        until = replay.cursor if replay.until is None else replay.until
        found: deque[tuple[int, bytes]] = deque(maxlen=newest)
        cursor = max(replay.cursor, until - NEWEST_WINDOW)
        while (cursor := intervals.past(replay.had, cursor)) < until:
            rows = await self.around.reader.events_after(cursor, PAGE)
            if not rows:
                break
            fresh = [row for row in rows if row[0] <= until and not intervals.holds(replay.had, row[0])]
            found.extend(row for row in fresh if self._shown(row[1], "user_message"))
            cursor = rows[-1][0]
        for seq, body in found:
            if self.outbox.replay is not replay:
                return
            await self.ws.send_frame(self.session.dialect.encode_stored(body), self._opcode)
            self.outbox.written(Item(b"", seq))
        if self.outbox.replay is replay:
            self.outbox.end_replay(until)

    def _shown(self, body: bytes, only: str | None = None) -> bool:
        if only is None and self.session.subscribe is None and self.session.phase is machine.Phase.OPEN:
            return True
        head = _stored.decode(body)
        if only is not None and (head.event != only or head.deleted):  # what is gone is no news
            return False
        return self.session.wants(head.event, head.room)

    async def _history(self, effect: ReadHistory) -> None:
        try:
            bodies, more = await self.around.reader.history(
                effect.room, effect.before, effect.after, effect.limit
            )
        except Refused as fault:
            self.deliver(events.error_of(fault, effect.req))
            return
        except Exception:
            log.exception("history could not be read")
            text = "the history could not be read; the log says why"
            self.deliver(events.Error(code="internal", message=text, req=effect.req))
            return
        messages = [self.session.dialect.stored_value(body) for body in bodies]
        self.deliver(events.Ok(req=effect.req, fields={"messages": messages, "more": more}))


def _coalescing(event: events.Event) -> str | None:
    return f"presence {event.user_id}" if isinstance(event, events.Presence) else None

"""The shell around one websocket: it reads frames into the session and writes the outbox to the socket.

What may be said is the session's decision, what is sent and in which order the outbox's (docs/bridge.md 3).
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, assert_never

import msgspec
from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from node.bridge import intervals, media, session as machine
from node.bridge.audit import OK, UNANSWERED, Who
from node.bridge.dialects.base import Dialect
from node.bridge.framing import framed
from node.bridge.guard import Grant
from node.bridge.http_reading import Reader, found
from node.bridge.media import Dresser
from node.bridge.metrics import Meter
from node.bridge.outbox import Item, Outbox, Replay, key_of
from node.bridge.ports import (
    BridgeInput,
    CommandReceived,
    EventsWritten,
    GiveAttachment,
    ReadAnswered,
    ReadHistory,
    ReadSearch,
    SessionEnded,
    SessionStarted,
    StartReplay,
)
from node.bridge.session import Session
from node.chat import commands, events
from node.clock import Instant
from node.errors import NodeError, Refused
from node.wire.manifest import Manifest

log = logging.getLogger(__name__)

PAGE = 256
"""Logged events read at a time in a replay; between pages answers are written."""
NEWEST_WINDOW = 20_000
"""Logged events searched for messages that no frontend has had."""
MAX_BACKLOG = 1024
"""Commands waiting for the engine; above it sockets are not read."""
MAX_READS = 16
"""Unanswered reads of one session, of its history or in search; above it its socket is not read."""
ABORT_AFTER = 5.0
"""Seconds a slow frontend has to read its `lagged` and the close."""
CLOSE_SECONDS = 2.0
CAUGHT_UP_EVERY = 60.0
"""Seconds at least between two `caught_up` that only move the position."""
PAUSE = 0.005
SLOW, GOING_WRONG = 4008, 1011


@dataclass(slots=True)
class Surroundings:
    """What every connection shares: the way to the engine, the store, the clock, the credentials."""

    submit: Callable[[BridgeInput], None]
    reader: Reader
    clock: Callable[[], Instant]
    backlog: Callable[[], int]
    lookup: Callable[[str, int], Grant | None]
    own: Callable[[commands.Command], Awaitable[dict[str, Any]] | None]
    record: Callable[[Who, str, str], None]
    meter: Meter
    locked: Callable[[], bool] = lambda: False
    dress: Callable[[Grant], Dresser] | None = None
    content: Callable[[Manifest], bytes] | None = None
    """Reads a small attachment; blocks."""
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
        stream: AbstractStreamWriter,
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
        self._stream = stream
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._started = False
        self._told = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._abort: asyncio.TimerHandle | None = None
        self._reads: set[asyncio.Task[None]] = set()
        self._dresser: Dresser | None = None
        self._asked: deque[tuple[str | int | None, str, float]] = deque()
        self._client: str | None = None

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
            for _, name, _ in self._asked:
                self.around.record(self._who(), name, UNANSWERED)
            if self._started:
                self.around.submit(SessionEnded(self.session.number))

    # -- what the engine orders -------------------------------------------------------------------

    def deliver(self, event: events.Event) -> None:
        """Queue an event, if this session is to see it; put the outcome of a command on record."""
        if isinstance(event, events.Ok | events.Error | events.Hello):
            self._answered(event)
        self._queue(event)

    def _answered(self, event: events.Ok | events.Error | events.Hello) -> None:
        """Find what this answers: the oldest unanswered command with its `req`."""
        req = event.req if isinstance(event.req, str | int) else None
        for place, (asked, name, since) in enumerate(self._asked):
            if asked == req and (name == "hello") == isinstance(event, events.Hello):
                del self._asked[place]
                code = event.code if isinstance(event, events.Error) else OK
                self.around.meter.commands[name, code] += 1
                self.around.meter.seconds.observe(self.around.clock().mono - since)
                self.around.record(self._who(), name, code)
                return

    def _who(self) -> Who:
        grant, number = self.session.grant, self.session.number
        if grant is None:
            return Who(session=number)
        return Who(grant.name, grant.via, self._client, number)

    def _queue(self, event: events.Event) -> None:
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
            item = Item(self._encoded(event), seq, key_of(event), logged=seq > 0)
            box.push(item, answer=name in events.ANSWERS)
            self._woken()

    def _encoded(self, event: events.Event) -> bytes:
        """Encode an event; one with an attachment for this session alone, for its URL is nobody else's."""
        dresser = self.dresser if isinstance(event, media.DRESSED) else None
        dressed = event if dresser is None else dresser.event(event)
        if dressed is not event:
            return self.session.dialect.encode(dressed)
        return self.around.encode(self.session.dialect, event)

    @property
    def dresser(self) -> Dresser | None:
        """What dresses attachments for this session, once it has a credential."""
        if self._dresser is None and self.around.dress is not None and self.session.grant is not None:
            self._dresser = self.around.dress(self.session.grant)
        return self._dresser

    def _as_shown(self, body: bytes) -> bytes:
        """Return a logged event as this session is shown it."""
        return body if self.dresser is None else self.dresser.stored(body)

    def give_attachment(self, effect: GiveAttachment) -> None:
        """Answer with an attachment's facts, its URL, and its content if that is small."""
        task = asyncio.create_task(self._attachment(effect))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _attachment(self, effect: GiveAttachment) -> None:
        fields, read = dict(effect.fields), self.around.content
        shown = None if self.dresser is None else self.dresser.value(fields)
        fields["url"] = None if shown is None else shown["url"]
        if effect.manifest is not None and effect.manifest.size <= media.INLINE_BYTES and read is not None:
            try:
                data = await asyncio.to_thread(read, effect.manifest)
            except Refused as locked:
                self.deliver(events.error_of(locked, effect.req))
                return
            except NodeError:
                log.exception("a stored attachment cannot be read")
                fault = Refused("attachment_damaged", "the stored file is damaged", field="id")
                self.deliver(events.error_of(fault, effect.req))
                return
            fields["data"] = base64.b64encode(data).decode()
        self.deliver(events.Ok(req=effect.req, fields=fields))

    def start_replay(self, effect: StartReplay) -> None:
        """Send the log after a position before anything live."""
        at = effect.after_seq
        self.outbox.start_replay(at, newest=effect.newest, until=effect.until_seq, had=effect.had)
        self._woken()

    def read(self, effect: ReadHistory | ReadSearch) -> None:
        """Answer from the store, beside everything else; it ends with the socket."""
        self._later(self._from_store(effect))

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
                if isinstance(effect.event, events.Error):
                    self._refused(effect.about or "frame", effect.event.code)
                self._queue(effect.event)
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
                if effect.code == machine.UNAUTHORIZED:
                    self._refused("hello", "unauthorized")
                self.close(effect.code, effect.reason)
            case _:
                assert_never(effect)

    def _refused(self, name: str, code: str) -> None:
        self.around.meter.commands[name, code] += 1
        self.around.record(self._who(), name, code)

    def _submit(self, event: BridgeInput) -> None:
        now = self.around.clock().mono
        if isinstance(event, SessionStarted):
            if not (event.plain or self._started):
                self.outbox.muted = True  # until its answer
            self._started, self._client = True, event.client
            if not event.plain:
                self._asked.append((event.req, "hello", now))
        elif isinstance(event, CommandReceived):
            asked = event.command
            self._asked.append((asked.req, commands.name_of(asked), now))
            own = None if self.around.locked() else self.around.own(asked)
            if own is not None:
                self._later(self._answer(asked.req, own))
                return
        self.around.submit(event)

    async def _answer(self, req: str | int | None, own: Awaitable[dict[str, Any]]) -> None:
        """Answer what the bridge itself does."""
        try:
            self.deliver(events.Ok(req=req, fields=await own))
        except Exception:
            log.exception("the bridge could not answer")
            text = "this could not be done; the log says why"
            self.deliver(events.Error(code="internal", message=text, req=req))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

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
            while self.around.backlog() >= MAX_BACKLOG or len(self._reads) >= MAX_READS:
                await asyncio.sleep(PAUSE)  # the inbox is the daemon's and tells nobody when it drains
                if self._transport is not None and self._transport.is_closing():
                    return  # nobody waits for what is being read: it ends with the session
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
        items = box.take()
        if items:
            await self._put([item.data for item in items])
            for item in items:
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
        await self._put([self.session.dialect.encode(event)])

    async def _put(self, messages: list[bytes]) -> None:
        """Write messages in one piece; waits while the socket takes no more."""
        if self.ws.closed:
            raise ConnectionResetError("the frontend has said goodbye")
        await self._stream.write(framed(messages, binary=self.session.dialect.binary))

    async def _replay(self, replay: Replay) -> None:
        if replay.newest is not None:
            await self._replay_newest(replay, replay.newest)
            return
        rows = await self.around.reader.events_after(replay.cursor, PAGE)
        if rows and rows[0][0] != replay.cursor + 1:  # the log was compacted past us: resumed, we learn it
            self.outbox.fall_behind()
            return
        for seq, body in rows:
            if self.outbox.replay is not replay:
                return
            if self._shown(body):
                await self._put([self.session.dialect.encode_stored(self._as_shown(body))])
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
            await self._put([self.session.dialect.encode_stored(self._as_shown(body))])
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

    async def _from_store(self, effect: ReadHistory | ReadSearch) -> None:
        try:
            bodies, more = await found(self.around.reader, effect)
        except Refused as fault:
            self.deliver(events.error_of(fault, effect.req))
            return
        except Exception:
            log.exception("messages could not be read")
            text = "the messages could not be read; the log says why"
            self.deliver(events.Error(code="internal", message=text, req=effect.req))
            return
        if effect.nonced is not None:
            shown = [msgspec.json.decode(self._as_shown(body)) for body in bodies]
            whole = {"messages": shown, "more": more}
            self.around.submit(ReadAnswered(effect.nonced, whole))
            return
        messages = [self.session.dialect.stored_value(self._as_shown(body)) for body in bodies]
        self.deliver(events.Ok(req=effect.req, fields={"messages": messages, "more": more}))

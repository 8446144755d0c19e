"""The shell around one websocket: it reads frames into the session and writes the outbox to the socket.

What may be said is the session's decision, what is sent and in which order the outbox's (docs/bridge.md 3).
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import deque
from typing import Any, assert_never

import msgspec
from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from node.bridge import intervals, media, session as machine
from node.bridge.close_codes import GOING_WRONG, SLOW, UNAUTHORIZED
from node.bridge.framing import framed
from node.bridge.guard import Grant
from node.bridge.http_frontend import MAX_BACKLOG, MAX_READS, Frontend, Surroundings
from node.bridge.outbox import Item, Replay, key_of
from node.bridge.ports import (
    StartReplay,
)
from node.bridge.session import Session
from node.chat import events
from node.clock import Instant

log = logging.getLogger(__name__)

PAGE = 256
"""Logged events read at a time in a replay; between pages answers are written."""
NEWEST_WINDOW = 20_000
"""Logged events searched for messages that no frontend has had."""
ABORT_AFTER = 5.0
"""Seconds a slow frontend has to read its `lagged` and the close."""
CLOSE_SECONDS = 2.0
PAUSE = 0.005
CAUGHT_UP_EVERY = 60.0
"""Seconds at least between two `caught_up` that only move the position."""


class _Stored(msgspec.Struct):
    event: str
    room: str | None = None
    deleted: bool = False


_stored = msgspec.json.Decoder(_Stored)


class Socket(Frontend):
    """A frontend on a websocket: `run` returns when it is closed by either side."""

    opcode = WSMsgType.TEXT
    """What kind of frame is written."""
    stream: AbstractStreamWriter
    """What carries the bytes of the websocket."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        number: int,
        around: Surroundings,
        *,
        origin: str | None,
        transport: asyncio.BaseTransport | None,
    ) -> None:
        super().__init__(number, around, origin=origin)
        self.ws = ws
        self._transport = transport
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._abort: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve the socket until it is closed by either side."""
        writer = asyncio.create_task(self._write(), name=f"bridge-writer-{self.number}")
        try:
            self._opened()
            await self._read()
            if self._closing is not None or self.outbox.lagged:
                await asyncio.wait({writer}, timeout=ABORT_AFTER)
        finally:
            if self._abort is not None:
                self._abort.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            await self._ended()

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

    # -- for the subclasses ------------------------------------------------------------------------

    @abstractmethod
    def _opened(self) -> None:
        """The websocket stands."""

    @abstractmethod
    def _came(self, data: str | bytes) -> None:
        """One whole frame came."""

    @property
    def _busy(self) -> bool:
        """Say whether it has asked for enough, so that it is not read for now."""
        return self.around.backlog() >= MAX_BACKLOG or len(self._reads) >= MAX_READS

    async def _last_words(self) -> None:
        """Say what there is to say to one that is too slow."""

    async def _write_more(self) -> bool:
        """Write what does not come from the queue; False if there is nothing."""
        return False

    def _woken(self) -> None:
        self._wake.set()
        if self.outbox.lagged:
            self._abort_later()

    # -- the socket -------------------------------------------------------------------------------

    def _abort_later(self) -> None:
        if self._abort is None:
            self._abort = asyncio.get_running_loop().call_later(ABORT_AFTER, self.abort)

    async def _read(self) -> None:
        while self._closing is None:
            while self._busy:
                await asyncio.sleep(PAUSE)  # the inbox is the daemon's and tells nobody when it drains
                if self._transport is not None and self._transport.is_closing():
                    return  # nobody waits for what is being read: it ends with the session
            message = await self.ws.receive()
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            if self._closing is None:
                self._came(message.data)

    async def _write(self) -> None:
        try:
            while not await self._write_some():
                pass
        except (ConnectionError, RuntimeError):
            pass  # the frontend is gone; the reading side sees it too
        except Exception:
            log.exception("bridge session %d cannot go on", self.number)
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
            await self._last_words()
            await self.ws.close(code=SLOW, message=b"too slow; resume")
            return True
        if box.ready:
            return False
        if self._closing is not None:
            code, reason = self._closing
            await self.ws.close(code=code, message=reason.encode()[:120])
            return True
        if await self._write_more():
            return False
        self._wake.clear()
        await self._wake.wait()
        return False

    async def _put(self, messages: list[bytes]) -> None:
        """Write messages in one piece; waits while the socket takes no more."""
        if self.ws.closed:
            raise ConnectionResetError("the frontend has said goodbye")
        await self.stream.write(framed(messages, binary=self.opcode is WSMsgType.BINARY))


class Connection(Socket):
    """A frontend that speaks the native dialect."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        session: Session,
        around: Surroundings,
        *,
        origin: str | None,
        transport: asyncio.BaseTransport | None,
    ) -> None:
        super().__init__(ws, session.number, around, origin=origin, transport=transport)
        self.session = session
        self.opcode = WSMsgType.BINARY if session.dialect.binary else WSMsgType.TEXT
        self._told = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def grant(self) -> Grant | None:
        """What its credential opens; None before it has shown one."""
        return self.session.grant

    @property
    def phase(self) -> str:
        """Where the connection is."""
        return self.session.phase.name.lower()

    # -- what the engine orders -------------------------------------------------------------------

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

    def start_replay(self, effect: StartReplay) -> None:
        """Send the log after a position before anything live."""
        at = effect.after_seq
        self.outbox.start_replay(at, newest=effect.newest, until=effect.until_seq, had=effect.had)
        self._woken()

    def tick(self, now: Instant) -> None:
        """Once a second: end what has expired, move positions, say what was written."""
        self._expire(now)
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
            super()._report()

    def _opened(self) -> None:
        self._feed(machine.Opened())

    def _came(self, data: str | bytes) -> None:
        self._feed(machine.FrameReceived(data))

    async def _ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await super()._ended()

    def _value(self, body: bytes) -> Any:
        return self.session.dialect.stored_value(self._as_shown(body))

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
                if effect.code == UNAUTHORIZED:
                    self._refused("hello", "unauthorized")
                self.close(effect.code, effect.reason)
            case _:
                assert_never(effect)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.session.deadline is not None:
            wait = max(0.0, self.session.deadline - self.around.clock().mono) + 0.001
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait, self._feed, machine.DeadlineReached())

    async def _send(self, event: events.Event) -> None:
        await self._put([self.session.dialect.encode(event)])

    async def _last_words(self) -> None:
        await self._send(events.Lagged(resume_from=self.outbox.position or 0))

    async def _write_more(self) -> bool:
        replay = self.outbox.replay
        if replay is None or self.outbox.parked:
            return False
        await self._replay(replay)
        return True

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

"""What every attached frontend has towards the engine, whatever it speaks and comes in by.

Commands go in and are put on record with their outcome, reads are answered from the store beside everything
else, attachments are dressed for this session. How it is spoken to is for the subclasses (docs/bridge.md 3).
"""

from __future__ import annotations

import asyncio
import base64
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec

from node.bridge import media
from node.bridge.audit import OK, UNANSWERED, Who
from node.bridge.close_codes import UNAUTHORIZED
from node.bridge.dialects.base import Dialect
from node.bridge.guard import Grant
from node.bridge.http_reading import Reader, found
from node.bridge.media import Dresser
from node.bridge.metrics import Meter
from node.bridge.outbox import Outbox
from node.bridge.ports import (
    BridgeInput,
    CommandReceived,
    Deliver,
    EventsWritten,
    GiveAttachment,
    ReadAnswered,
    ReadHistory,
    ReadSearch,
    SessionEnded,
    SessionStarted,
    StartReplay,
)
from node.chat import commands, events
from node.clock import Instant
from node.errors import NodeError, Refused
from node.wire.manifest import Manifest

log = logging.getLogger(__name__)

MAX_BACKLOG = 1024
"""Commands waiting for the engine; above it sockets are not read."""
MAX_READS = 16
"""Unanswered reads of one session, of its history or in search; above it its socket is not read."""


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

    def encoded(self, effect: Deliver) -> None:
        """Take note of how the log has an event that is delivered: no native session needs it made again."""
        if effect.encoded and (self.last is None or self.last[0] is not effect.event):
            self.last = (effect.event, {False: effect.encoded})

    def encode(self, dialect: Dialect, event: events.Event) -> bytes:
        """Encode an event, once for all sessions of a dialect that it goes to."""
        if self.last is None or self.last[0] is not event:
            self.last = (event, {})
        cache = self.last[1]
        if dialect.binary not in cache:
            cache[dialect.binary] = dialect.encode(event)
        return cache[dialect.binary]


class Frontend(ABC):
    """One attached frontend, as the engine and the bridge see it."""

    dialect = "native"
    """The dialects that may be spoken here, by their names with a space between them."""
    port: int | None = None
    """Of this machine, that it came in on."""

    def __init__(self, number: int, around: Surroundings, *, origin: str | None) -> None:
        self.number = number
        self.around = around
        self.origin = origin
        self.outbox = Outbox()
        self._started = False
        self._reads: set[asyncio.Task[None]] = set()
        self._dresser: Dresser | None = None
        self._asked: deque[tuple[str | int | None, str, float]] = deque()
        self._client: str | None = None

    # -- for the subclasses ------------------------------------------------------------------------

    @property
    @abstractmethod
    def grant(self) -> Grant | None:
        """What its credential opens; None before it has shown one."""

    @property
    @abstractmethod
    def phase(self) -> str:
        """Where the connection is, for the metrics."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then close."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection without another word."""

    @abstractmethod
    def tick(self, now: Instant) -> None:
        """Once a second: end what has expired, say what was written."""

    @abstractmethod
    def start_replay(self, effect: StartReplay) -> None:
        """Send the log after a position before anything live."""

    @abstractmethod
    def _woken(self) -> None:
        """There is something to write."""

    @abstractmethod
    def _queue(self, event: events.Event) -> None:
        """Show an event, or an answer, if this session is to see it."""

    @abstractmethod
    def _value(self, body: bytes) -> Any:
        """Return a stored message, as it is shown here, to be put inside an answer."""

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
        grant, number = self.grant, self.number
        if grant is None:
            return Who(session=number)
        return Who(grant.name, grant.via, self._client, number)

    @property
    def dresser(self) -> Dresser | None:
        """What dresses attachments for this session, once it has a credential."""
        if self._dresser is None and self.around.dress is not None and self.grant is not None:
            self._dresser = self.around.dress(self.grant)
        return self._dresser

    def _as_shown(self, body: bytes) -> bytes:
        """Return a logged event as this session is shown it."""
        return body if self.dresser is None else self.dresser.stored(body)

    def give_attachment(self, effect: GiveAttachment) -> None:
        """Answer with an attachment's facts, its URL, and its content if that is small."""
        self._later(self._attached(effect))

    async def _attached(self, effect: GiveAttachment) -> None:
        try:
            await self._attachment(effect)
        except Exception:  # of the file system, say: who asked waits for an answer
            log.exception("an attachment could not be given")
            self._failed(effect.req)

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

    def read(self, effect: ReadHistory | ReadSearch) -> None:
        """Answer from the store, beside everything else; it ends with the socket."""
        self._later(self._from_store(effect))

    # -- what it asks for ---------------------------------------------------------------------------

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
            self._failed(req)

    def _failed(self, req: str | int | None) -> None:
        text = "this could not be done; the log says why"
        self.deliver(events.Error(code="internal", message=text, req=req))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    def _refused(self, name: str, code: str) -> None:
        self.around.meter.commands[name, code] += 1
        self.around.record(self._who(), name, code)

    def _expire(self, now: Instant) -> None:
        """Close a connection whose token has expired."""
        ends = None if self.grant is None else self.grant.expires_ms
        if ends is not None and now.wall_ms >= ends:
            self.close(UNAUTHORIZED, "the token has expired")

    def _report(self) -> None:
        """Say how far the log was handed to it, as one that shows every message."""
        for after, upto in self.outbox.take_report():
            self.around.submit(EventsWritten(self.number, after, upto))

    async def _ended(self) -> None:
        """The connection is over: what is under way ends with it, and the engine is told."""
        for task in self._reads:
            task.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)
        self._report()
        for _, name, _ in self._asked:
            self.around.record(self._who(), name, UNANSWERED)
        if self._started:
            self.around.submit(SessionEnded(self.number))

    async def _from_store(self, effect: ReadHistory | ReadSearch) -> None:
        try:
            bodies, rest = await found(self.around.reader, effect)
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
            whole = {"messages": shown, **rest}
            self.around.submit(ReadAnswered(effect.nonced, whole))
            return
        messages = [self._value(body) for body in bodies]
        self.deliver(events.Ok(req=effect.req, fields={"messages": messages, **rest}))

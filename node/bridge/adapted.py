"""One adapter's connection as a pure machine: it runs the talks, in order, and holds them to scope and rate.

What the frontend says is begun in the order it came: the next call waits until the one before has sent its
last command. What is shown to it is shown in the order it happened: the next event waits until the one before
is told. Neither waits for the other (docs/dialects.md).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import isinf
from typing import Any, Final, TypeAlias, assert_never

import msgspec

from node.bridge.close_codes import SLOW
from node.bridge.dialects.adapter import Adapter, Call, Frame, Last, Part, Talk, Wait
from node.bridge.dialects.base import FrameRefused
from node.bridge.guard import Grant, may, may_see
from node.bridge.ports import BridgeInput, CommandReceived, SessionStarted
from node.bridge.session import BURST, RATE, Allowance
from node.chat import commands, events
from node.clock import Instant
from node.errors import Refused

MAX_TALKS: Final = 64
"""Calls waiting or under way; above it the frontend is not read: as many commands as a `batch` has."""
MAX_SHOWN: Final = 1024
"""Events that wait to be shown, as many as an outbox holds; above it the frontend is too slow."""
FRAME: Final = "frame"
"""What is on record where no command was asked for."""
HELLO: Final = 0
"""The `req` of the greeting that opens the engine's session; commands count on from it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection stands."""


@dataclass(frozen=True, slots=True)
class Said:
    """The frontend said something; `mark` names it to whoever waits for its acknowledgement."""

    call: Call
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class Garbled:
    """The frontend sent what is no call of its dialect; `mark` as in Said."""

    fault: FrameRefused
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The engine delivered an event, or an answer."""

    event: events.Event


@dataclass(frozen=True, slots=True)
class Ticked:
    """About a second has passed."""


@dataclass(frozen=True, slots=True)
class Write:
    """Send this frame after all before it."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Answer the call of this mark."""

    mark: int
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand this to the engine."""

    input: BridgeInput


@dataclass(frozen=True, slots=True)
class Anchor:
    """The frontend stands at this place of the log."""

    seq: int


@dataclass(frozen=True, slots=True)
class Passed:
    """The frontend has been told the logged event of this `seq`, by what was written before."""

    seq: int


@dataclass(frozen=True, slots=True)
class Missed:
    """As Passed, but of a message that it was not told."""

    seq: int


@dataclass(frozen=True, slots=True)
class Denied:
    """A command, or a frame that is none, was refused before it reached the engine."""

    name: str
    code: str


@dataclass(frozen=True, slots=True)
class Unshown:
    """An event could not be shown; the node's owner finds why in the log."""

    name: str
    code: str


@dataclass(frozen=True, slots=True)
class Close:
    """Write what is queued, then close with this code."""

    code: int
    reason: str


Input: TypeAlias = Opened | Said | Garbled | Shown | Ticked
Effect: TypeAlias = Write | Acknowledge | Submit | Anchor | Passed | Missed | Denied | Unshown | Close


@dataclass(slots=True, eq=False)
class _Run:
    """A talk under way, of a call or of an event."""

    talk: Talk[Any]
    said: Said | Garbled | None = None
    event: events.Event | None = None
    failed: bool = False
    answering: bool = False
    """It is answering for something that is no good: a second failure ends it."""


class Adapted:
    """Feed inputs, carry out the effects in order."""

    def __init__(self, number: int, *, adapter: Adapter, client: str, grant: Grant, now: Instant) -> None:
        self.number = number
        self.adapter = adapter
        self.grant = grant
        self.closed = False
        self._client = client
        self._open = False
        self._calls: deque[Said | Garbled] = deque()
        self._events: deque[events.Event] = deque()
        self._speaking: _Run | None = None
        self._showing: _Run | None = None
        self._waiting: dict[int, _Run] = {}
        self._resting: deque[tuple[float, _Run]] = deque()
        self._next = HELLO
        self._effects: list[Effect] = []
        self._token = Allowance(RATE, BURST, now.mono)
        own = Allowance(adapter.RATE, adapter.BURST, now.mono)
        self._frontend = None if isinf(adapter.RATE) else own

    @property
    def full(self) -> bool:
        """Say whether the frontend has said enough for now."""
        return len(self._calls) + len(self._waiting) + len(self._resting) >= MAX_TALKS

    @property
    def resting(self) -> bool:
        """Say whether a call goes on by itself after a while."""
        return bool(self._resting)

    @property
    def idle(self) -> bool:
        """Say whether everything that was said is answered, and everything shown."""
        return not (self._calls or self._events or self._waiting or self._resting)

    def handle(self, event: Input, *, now: Instant) -> list[Effect]:
        """Advance the machine; the only method that changes it."""
        if self.closed:
            return []
        self.adapter.now = now
        match event:
            case Opened():
                self._effects.append(Submit(self._started()))
            case Said() | Garbled():
                self._calls.append(event)
            case Shown():
                self._on_shown(event.event)
            case Ticked():
                self._on_tick(now.mono)
            case _:
                assert_never(event)
        self._go_on()
        effects, self._effects = self._effects, []
        return effects

    def _started(self) -> SessionStarted:
        scope, name = self.grant.scope, self.grant.name
        return SessionStarted(self.number, scope, name, plain=False, client=self._client, req=HELLO)

    # -- what comes -------------------------------------------------------------------------------

    def _on_shown(self, event: events.Event) -> None:
        match event:
            case events.Hello():
                self._effects.append(Anchor(event.seq))
                self._showing = _Run(self.adapter.opened())
                self._resume(self._showing)
            case events.Ok() | events.Error() if event.req is not None:
                run = self._waiting.pop(event.req, None) if isinstance(event.req, int) else None
                if run is not None:
                    self._answered(run, event)
            case _:
                self._events.append(event)
                if len(self._events) > MAX_SHOWN:
                    self._close(SLOW, "too slow")

    def _on_tick(self, now: float) -> None:
        """Go on with what has waited long enough."""
        resting, self._resting = self._resting, deque()
        for due, run in resting:
            if due <= now:
                self._resume(run)
            else:
                self._resting.append((due, run))

    def _answered(self, run: _Run, answer: events.Ok | events.Error) -> None:
        if isinstance(answer, events.Ok):
            self._resume(run, answer.fields)
        else:
            self._resume(run, fault=fault_of(answer))

    def _go_on(self) -> None:
        """Begin what can be begun."""
        while self._open and self._speaking is None and self._calls and not self.closed:
            self._begin(self._calls.popleft())
        while self._open and self._showing is None and self._events and not self.closed:
            self._show(self._events.popleft())

    def _begin(self, said: Said | Garbled) -> None:
        call = said.call if isinstance(said, Said) else None
        wait = self._frontend.wait(self.adapter.now.mono, 1) if self._frontend else 0.0
        fault = too_fast(wait) if wait else said.fault if isinstance(said, Garbled) else None
        if fault is not None:
            self._effects.append(Denied(FRAME, fault.code))
            run = _Run(self.adapter.refused(call, fault), said, answering=True)
        else:
            assert isinstance(said, Said)
            run = _Run(self.adapter.said(said.call), said)
        self._speaking = run
        self._resume(run)

    def _show(self, event: events.Event) -> None:
        if may_see(self.grant.scope, events.name_of(event)):
            self._showing = _Run(self.adapter.happened(event), event=event)
            self._resume(self._showing)
        else:
            self._passed(event)

    # -- talks ------------------------------------------------------------------------------------

    def _resume(self, run: _Run, value: Any = None, *, fault: Refused | None = None) -> None:
        """Go on with a talk until it waits for an answer or ends."""
        while not self.closed:
            try:
                step = run.talk.send(value) if fault is None else run.talk.throw(fault)
            except StopIteration as end:
                self._ended(run, end.value)
                return
            except (Refused, ValueError, OverflowError) as exc:  # a command measures its own values
                refusal = exc if isinstance(exc, Refused) else FrameRefused("invalid", str(exc))
                if run.said is not None and exc is not fault:  # the dialect's own: no command was asked for
                    self._effects.append(Denied(FRAME, refusal.code))
                if not self._failed(run, refusal):
                    return
                value = fault = None
                continue
            value = fault = None
            match step:
                case Frame():
                    self._effects.append(Write(step))
                case Part():
                    self._close(step.code, step.reason)
                case Wait():
                    assert run.said is not None, "what is shown waits for nothing"
                    self._resting.append((self.adapter.now.mono + step.seconds, run))
                    self._leave(run)
                    return
                case _:
                    fault = self._ask(run, step)
                    if fault is None:
                        return

    def _ask(self, run: _Run, step: commands.Command | Last) -> Refused | None:
        """Hand a command to the engine; return why not, if so."""
        command = step.command if isinstance(step, Last) else step
        try:
            command = self._judged(command, counts=run.said is not None)
        except Refused as refusal:
            self._effects.append(Denied(commands.name_of(command), refusal.code))
            return refusal
        self._next += 1
        self._waiting[self._next] = run
        asked = msgspec.structs.replace(command, req=self._next)
        self._effects.append(Submit(CommandReceived(self.number, asked, along=run.event is not None)))
        if isinstance(step, Last):
            self._leave(run)
        return None

    def _judged(self, command: commands.Command, *, counts: bool) -> commands.Command:
        """Hold a command to its struct, the scope and the token's rate; raises Refused.

        What showing an event takes is not the frontend's doing: others would use up its rate, and it would
        not be told of them.
        """
        name = commands.name_of(command)
        checked = checked_of(command)
        if not may(self.grant.scope, name):
            raise Refused("forbidden", f"a token of scope {self.grant.scope} may not use {name}")
        wait = self._token.wait(self.adapter.now.mono, 1) if counts and self.grant.limited else 0.0
        if wait:
            raise too_fast(wait)
        return checked

    def _failed(self, run: _Run, fault: Refused) -> bool:
        """A talk ended with a refusal: let the dialect say so. False if there is nobody to say it to."""
        if not isinstance(run.said, Said) or run.answering:
            name = "its answer" if run.said else events.name_of(run.event) if run.event else "the start"
            run.failed = True
            self._effects.append(Unshown(name, fault.code))
            self._ended(run, None)
            return False
        run.talk, run.answering = self.adapter.refused(run.said.call, fault), True
        return True

    def _ended(self, run: _Run, value: Any) -> None:
        if run.said is not None and run.said.mark is not None:
            self._effects.append(Acknowledge(run.said.mark, value))
        if run.event is not None:
            self._passed(run.event, shown=not run.failed and self.adapter.shows(run.event))
        self._leave(run)

    def _leave(self, run: _Run) -> None:
        if self._speaking is run:
            self._speaking = None
        if self._showing is run:
            self._showing, self._open = None, True

    def _passed(self, event: events.Event, *, shown: bool = True) -> None:
        seq = getattr(event, "seq", None)
        if isinstance(seq, int):
            had = shown or not isinstance(event, events.UserMessage)
            self._effects.append(Passed(seq) if had else Missed(seq))

    def _close(self, code: int, reason: str) -> None:
        self.closed = True
        self._effects.append(Close(code, reason))


def checked_of(command: commands.Command) -> commands.Command:
    """Hold a command to its struct, and its text to what UTF-8 can say: half a surrogate pair is no letter.

    Raises:
        FrameRefused: `invalid`.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(command), type=type(command))
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError, TypeError) as exc:
        raise FrameRefused("invalid", str(exc), command=commands.name_of(command)) from exc


def fault_of(answer: events.Error) -> Refused:
    """Return an `error` of the engine as what a talk is told."""
    field_name = answer.field if isinstance(answer.field, str) else None
    fault = Refused(answer.code, answer.message, field=field_name)
    fault.extra.update(answer.extra)
    fault.retryable = answer.retryable
    fault.retry_after = answer.retry_after if isinstance(answer.retry_after, float) else None
    return fault


def too_fast(wait: float) -> Refused:
    """Return the refusal of what came too soon; `wait` in seconds."""
    fault = Refused("rate_limited", "too many commands at once")
    fault.retryable, fault.retry_after = True, wait
    return fault

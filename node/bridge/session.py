"""One frontend's connection as a pure machine: who it is, what it may ask, how fast (docs/bridge.md 3, 4).

A connection with a good credential in its handshake is a plain session from the start; what is due to it
waits a moment for a `hello`, so that a frontend that says hello at once sees nothing twice. One without
credential is told nothing and can do nothing before `hello{token}`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias, assert_never

from node.bridge.close_codes import BAD_FRAMES, NO_HELLO, UNAUTHORIZED
from node.bridge.dialects.base import Dialect, FrameRefused
from node.bridge.guard import Grant, may, may_see
from node.bridge.ports import BridgeInput, CommandReceived, Resume, SessionStarted, Subscription
from node.chat import commands, events
from node.clock import Instant

HELLO_SECONDS = 10.0
"""Time for `hello{token}` where the handshake had no credential, and where a hello was announced."""
PARK_SECONDS = 0.25
"""How long a plain session's first events wait for a hello that may follow the handshake."""
MALFORMED_SECONDS = 60.0
MAX_MALFORMED = 3
"""Frames that are no frames in that time; the last of them closes the socket."""
RATE, BURST = 100.0, 500.0
"""Commands a second, and at once, of a child token's session."""


class Phase(Enum):
    """Where a connection is: no credential yet, hello announced, plain, or opened by hello."""

    NAMELESS = auto()
    ANNOUNCED = auto()
    PLAIN = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Opened:
    """The websocket stands."""


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One whole text or binary frame."""

    frame: str | bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """It is (about) the time that `deadline` said."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write this event to the frontend, before anything that comes later.

    `about` is the command that it refuses, where that is known.
    """

    event: events.Event
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand this to the engine."""

    input: BridgeInput


@dataclass(frozen=True, slots=True)
class Park:
    """Hold back what the engine delivers, until Release or Discard."""


@dataclass(frozen=True, slots=True)
class Release:
    """Let go what was held back."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Forget what was held back and what still comes, until the answer to the hello."""


@dataclass(frozen=True, slots=True)
class Close:
    """Write what is queued, then close with this code."""

    code: int
    reason: str


Input: TypeAlias = Opened | FrameReceived | DeadlineReached
Effect: TypeAlias = Send | Submit | Park | Release | Discard | Close


class Allowance:
    """How much may be asked at once, and how fast it comes back; `now` in seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._counted = burst, now

    def wait(self, now: float, count: int) -> float:
        """Take so many; return 0, or take nothing and return the seconds until they are there."""
        self._left = min(self._burst, self._left + (now - self._counted) * self._rate)
        self._counted = now
        if self._left < count:
            return round((count - self._left) / self._rate, 3)
        self._left -= count
        return 0.0


class Session:
    """Feed inputs, carry out the effects in order, wake at `deadline`."""

    def __init__(
        self,
        number: int,
        *,
        grant: Grant | None,
        announced: bool,
        dialect: Dialect,
        lookup: Callable[[str, int], Grant | None],
        now: Instant,
    ) -> None:
        self.number = number
        self.grant = grant
        self.dialect = dialect
        self.subscribe: Subscription | None = None
        self.phase = Phase.NAMELESS if grant is None else Phase.ANNOUNCED if announced else Phase.PLAIN
        self.deadline: float | None = None
        self._lookup = lookup
        self._parked = False
        self._malformed: deque[float] = deque(maxlen=MAX_MALFORMED)
        self._allowance = Allowance(RATE, BURST, now.mono)

    def handle(self, event: Input, *, now: Instant) -> list[Effect]:
        """Advance the machine; the only method that changes it."""
        if self.phase is Phase.CLOSED:
            return []
        match event:
            case Opened():
                return self._on_opened(now)
            case FrameReceived():
                return self._on_frame(event.frame, now)
            case DeadlineReached():
                return self._on_deadline(now)
            case _:
                assert_never(event)

    def wants(self, name: str, room: str | None) -> bool:
        """Say whether this session is shown events of this name about this room (None: about no room)."""
        if self.grant is not None and not may_see(self.grant.scope, name):
            return False
        if self.phase is Phase.PLAIN:
            return name in events.SEED
        wanted = self.subscribe
        if wanted is None:
            return True
        if wanted.events is not None and name not in wanted.events:
            return False
        return wanted.rooms is None or room is None or room in wanted.rooms

    def wants_event(self, event: events.Event) -> bool:
        """Say whether an event, or an answer, is written to this session."""
        name = events.name_of(event)
        if name in events.ANSWERS:
            return self.phase is not Phase.PLAIN or _plain_answer(event)
        return self.wants(name, getattr(event, "room", None))

    def _on_opened(self, now: Instant) -> list[Effect]:
        if self.phase is not Phase.PLAIN or self.grant is None:
            self.deadline = now.mono + HELLO_SECONDS
            return []
        self.deadline, self._parked = now.mono + PARK_SECONDS, True
        started = SessionStarted(self.number, self.grant.scope, self.grant.name, plain=True)
        return [Park(), Submit(started)]

    def _on_deadline(self, now: Instant) -> list[Effect]:
        if self.deadline is None or now.mono < self.deadline:
            return []
        self.deadline = None
        if self.phase in {Phase.NAMELESS, Phase.ANNOUNCED}:
            return self._close(NO_HELLO, "no hello in time")
        return self._release()

    def _on_frame(self, frame: str | bytes, now: Instant) -> list[Effect]:
        try:
            command = self.dialect.decode(frame)
        except FrameRefused as fault:
            return self._on_refused(fault, now)
        if isinstance(command, commands.Hello):
            return self._on_hello(command, now)
        if self.grant is None or self.phase in {Phase.NAMELESS, Phase.ANNOUNCED}:
            return self._hello_first(command)
        return [*self._release(), self._judge(command, self.grant, now)]

    def _judge(self, command: commands.Command, grant: Grant, now: Instant) -> Effect:
        inside = len(command.commands) if isinstance(command, commands.Batch) else 1
        wait = self._allowance.wait(now.mono, inside) if grant.limited else 0.0
        if wait:
            return _refuse("rate_limited", "too many commands at once", command, retry_after=wait)
        name = commands.name_of(command)
        if not may(grant.scope, name):
            return _refuse("forbidden", f"a token of scope {grant.scope} may not use {name}", command)
        return Submit(CommandReceived(self.number, command, grant.name))

    def _on_hello(self, hello: commands.Hello, now: Instant) -> list[Effect]:
        if hello.token is not None:
            found = self._lookup(hello.token, now.wall_ms)
            if found is None:
                return self._close(UNAUTHORIZED, "the token is not valid")
            self.grant = self.grant or found
        if self.grant is None:
            return self._close(UNAUTHORIZED, "hello needs a token here")
        if self.phase is Phase.OPEN:
            return [_refuse("invalid", "hello was said already; open another connection", hello)]
        parked, self._parked, self.deadline = self._parked, False, None
        self.phase = Phase.OPEN
        self.subscribe = _subscription(hello.subscribe)
        return [*([Discard()] if parked else []), Submit(self._started(hello, self.grant))]

    def _started(self, hello: commands.Hello, grant: Grant) -> SessionStarted:
        at = hello.resume
        return SessionStarted(
            self.number,
            grant.scope,
            grant.name,
            plain=False,
            client=hello.client,
            subscribe=self.subscribe,
            resume=None if at is None else Resume(at.epoch, at.seq),
            consumer=hello.consumer,
            req=hello.req,
        )

    def _hello_first(self, command: commands.Command) -> list[Effect]:
        if self.phase is Phase.NAMELESS:
            return self._close(UNAUTHORIZED, "hello with a token comes first")
        return [_refuse("invalid", "hello was announced and comes first", command)]

    def _on_refused(self, fault: FrameRefused, now: Instant) -> list[Effect]:
        if self.phase is Phase.NAMELESS:
            return self._close(UNAUTHORIZED, "hello with a token comes first")
        answer: list[Effect] = [*self._release(), Send(events.error_of(fault, fault.req), fault.command)]
        if not fault.malformed:
            return answer
        self._malformed.append(now.mono)
        full = len(self._malformed) == MAX_MALFORMED
        if full and now.mono - self._malformed[0] < MALFORMED_SECONDS:
            return [*answer, *self._close(BAD_FRAMES, "three malformed frames in a minute")]
        return answer

    def _release(self) -> list[Effect]:
        if not self._parked:
            return []
        self._parked, self.deadline = False, None
        return [Release()]

    def _close(self, code: int, reason: str) -> list[Effect]:
        self.phase, self.deadline = Phase.CLOSED, None
        return [Close(code, reason)]


def _plain_answer(event: events.Event) -> bool:
    return isinstance(event, events.Error) or (isinstance(event, events.Ok) and event.req is not None)


def _refuse(code: str, message: str, command: commands.Command, *, retry_after: float | None = None) -> Send:
    fault = FrameRefused(code, message, req=command.req)
    fault.retryable, fault.retry_after = retry_after is not None, retry_after
    return Send(events.error_of(fault, command.req), commands.name_of(command))


def _subscription(asked: commands.Subscribe | None) -> Subscription | None:
    if asked is None:
        return None
    names = None if asked.events is None else frozenset(asked.events)
    rooms = None if asked.rooms is None else frozenset(asked.rooms)
    return Subscription(names, rooms)

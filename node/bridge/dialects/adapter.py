"""What an adapter is: a pure translation between a frontend of another protocol and our commands and events.

An adapter knows no socket, clock or node. Whatever its frontend says, and whatever is shown to it, becomes a
talk: a generator of steps. A command among the steps is answered, by the fields of its `ok`, or by the
Refused that the node gave it; a frame goes to the frontend. `node.bridge.adapted` runs the talks of one
connection, in order (docs/dialects.md).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from math import inf
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from node.bridge.ports import Scope
from node.chat import events
from node.chat.commands import Command
from node.chat.events import Event
from node.clock import Instant
from node.errors import Refused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What an adapter is told of where it is: the owner's choices, and who attaches.

    `rooms`: what the rooms that frontends of this dialect make are. `base`: what is put before the path of a
    URL on this node, as `http://localhost:3000`.
    """

    scope: Scope = "owner"
    rooms: Literal["open", "private"] = "open"
    base: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Something a frontend said: a name and its arguments; `wants_ack`: it waits for an acknowledgement."""

    name: str
    args: tuple[Any, ...] = field(default=(), repr=False)
    wants_ack: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """Something the frontend is told. Of frames with the same `key` only the newest matters."""

    name: str
    args: tuple[Any, ...] = field(default=(), repr=False)
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Last:
    """The last command of a talk: what the frontend said next is begun before this is answered."""

    command: Command


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on in a while, to the second; what the frontend said next is begun meanwhile. For calls alone."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Part:
    """Close the connection, with a websocket close code."""

    code: int
    reason: str


Step: TypeAlias = Command | Last | Frame | Wait | Part
Talk: TypeAlias = Generator[Step, Any, T]
"""Commands are answered by a dict, the fields of their `ok`; the other steps by None."""


class Adapter:
    """One frontend's connection; subclasses translate. All state is this connection's own and bounded.

    `now` is the time of the talk's present step.
    """

    RATE: ClassVar[float] = inf
    """Calls a second of one connection, where the protocol has such a limit; a child token has its own."""
    BURST: ClassVar[float] = inf
    """Calls at once."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.now = Instant(0.0, 0)

    def opened(self) -> Talk[None]:
        """The connection stands; what is told at once. Events are shown when this has ended."""
        yield from ()

    def said(self, call: Call) -> Talk[Any]:
        """Answer a call; what it returns acknowledges it, where that is waited for."""
        raise NotImplementedError

    def happened(self, event: Event) -> Talk[None]:
        """Show an event, in this dialect's words; events come one after the other."""
        raise NotImplementedError

    def shows(self, _event: Event) -> bool:
        """Say whether this connection is told of it; a message that none is told of waits for another."""
        return True

    def refused(self, call: Call | None, fault: Refused) -> Talk[Any]:
        """Say in this dialect that a call failed, or was no call; what it returns acknowledges it."""
        raise NotImplementedError


class Textual(Protocol):
    """The spelling of a dialect whose frames are text over a websocket."""

    def decode(self, frame: str | bytes) -> Call:
        """Read one frame; raises FrameRefused."""
        ...

    def encode(self, frame: Frame) -> str:
        """Write one frame."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """An HTTP request of a dialect: the path as it came, the query's last value of each key, a JSON body."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to it: a status and a JSON body; `body` None: no content."""

    status: int
    body: Any = field(default=None, repr=False)


def message_of(stored: dict[str, Any]) -> events.UserMessage:
    """Return a message of a `history_get` as the struct that a live one is."""
    return msgspec.convert(stored, events.UserMessage)

"""How Socket.IO spells events: its protocol 5 inside Engine.IO's protocol 4, as far as we read and write it.

A frontend's packet is read strictly, because what comes may be anything; what is no packet is a FrameRefused
that is malformed. Binary attachments are no part of any dialect: an event that has some is refused whole
(docs/dialects/socketio.md).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeAlias

import msgspec

from node.bridge.dialects.adapter import Call
from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.native import MAX_DEPTH, too_deep

MAX_PACKETS: Final = 4096
"""Packets of one polling request: far more events than a page says at once."""
MAX_ATTACHMENTS: Final = 64
"""Binary attachments that one event may announce; all of them are thrown away."""
MAIN: Final = "/"
"""The one namespace that there is."""
SEPARATOR: Final = "\x1e"
"""Between the packets of one polling request."""
PROBE, UPGRADE = "2probe", "5"
"""What a websocket says when it is to carry on what polling began."""
LEFT: Final = b"1"
"""Tells a frontend that it was put out: it does not come back by itself."""
RESERVED: Final = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)
"""Names that no event has, by the protocol."""
_PACKET: Final = re.compile(r"([0-6])(?:([0-9]{1,4})-)?(/[^,]{0,255}(?:,|\Z))?([0-9]{1,16})?(.*)", re.DOTALL)
_ENGINE: Final = re.compile(r"[13]|4[0-6].*|b.*", re.DOTALL)
_CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR, _BINARY_EVENT, _BINARY_ACK = "0123456"


@dataclass(frozen=True, slots=True)
class Connect:
    """It wants to be connected to a namespace, and shows what it has."""

    namespace: str
    auth: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """It leaves a namespace."""

    namespace: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """An event; `mark` is the number under which it waits for an acknowledgement."""

    namespace: str
    call: Call
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that is refused; `attachments` binary frames follow it."""

    namespace: str
    fault: FrameRefused
    mark: int | None = None
    attachments: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """It acknowledges something; we never ask for it."""


Packet: TypeAlias = Connect | Disconnect | Spoken | Unreadable | Answered


def is_frame(text: str) -> bool:
    """Say whether this is an Engine.IO packet that a frontend may send once it is connected."""
    return _ENGINE.fullmatch(text) is not None


def read(text: str) -> Packet:
    """Read the packet inside a message of Engine.IO; raises FrameRefused, malformed."""
    found = _PACKET.fullmatch(text)
    if found is None:
        raise _bad("this is no packet of Socket.IO")
    kind, attachments, path, number, body = found.groups()
    namespace = MAIN if path is None else path.removesuffix(",").partition("?")[0]
    mark = None if number is None else int(number)
    binary = kind in {_BINARY_EVENT, _BINARY_ACK}
    if (attachments is None) is binary or kind == _CONNECT_ERROR:
        raise _bad("this is no packet of Socket.IO from a frontend")
    match kind:
        case "0":
            return Connect(namespace, _value(body) if body else None)
        case "1":
            return Disconnect(namespace)
        case "2":
            return _event(namespace, mark, body)
        case "3":
            return Answered()
        case _:
            return _binary(namespace, mark, int(attachments))


def _event(namespace: str, mark: int | None, body: str) -> Packet:
    value = _value(body)
    if not isinstance(value, list) or not value or not isinstance(value[0], str) or value[0] in RESERVED:
        raise _bad("an event is a list that begins with its name")
    return Spoken(namespace, Call(value[0], tuple(value[1:]), mark is not None), mark)


def _binary(namespace: str, mark: int | None, attachments: int) -> Packet:
    if attachments > MAX_ATTACHMENTS:
        raise _bad("too many attachments")
    fault = FrameRefused("invalid", "no event takes binary data here; files go by their own way")
    return Unreadable(namespace, fault, mark, attachments)


def event(name: str, args: tuple[Any, ...]) -> bytes:
    """Write an event as a packet of the main namespace."""
    return b"2" + encoded([name, *args])


def acknowledgement(mark: int, value: Any) -> bytes:
    """Write what answers the event of this mark."""
    return b"3%d" % mark + encoded([] if value is None else [value])


def refusal(code: str, message: str) -> bytes:
    """Write why there is no connection to the main namespace."""
    return b"4" + encoded({"message": message, "data": {"code": code}})


def encoded(value: Any) -> bytes:
    """Write JSON; halves of characters and long numbers, too, as a frontend is told again what it said."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":")).encode()


def _value(body: str) -> Any:
    if too_deep(body):
        raise _bad(f"nested deeper than {MAX_DEPTH}")
    try:
        return json.loads(body, parse_constant=_no_number)
    except ValueError as exc:
        raise _bad("not JSON") from exc


def _no_number(_text: str) -> NoReturn:
    raise ValueError("not a number")


def _bad(message: str) -> FrameRefused:
    return FrameRefused("bad_frame", message, malformed=True)

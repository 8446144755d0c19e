"""The native dialect: the vocabulary's own JSON, or the same objects as msgpack (docs/bridge.md section 2).

The seed's frames are JSON objects with the key `event`. One comma before the closing brace is accepted in a
`user_invite_response`, because the seed's own example has it, and nowhere else.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from node.bridge.dialects.base import FrameRefused
from node.chat import events
from node.chat.commands import BY_NAME, Command
from node.chat.events import Event

MAX_DEPTH = 32
"""Nesting of a frame: far above any command, far below any recursion limit."""
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[\[{\]}]', re.DOTALL)
_LAST_COMMA = re.compile(r",(?=[ \t\n\r]*\}[ \t\n\r]*\Z)")
_PLACE = re.compile(r"`\$\.?([^`]*)`\s*$")
_ID_LENGTH = "36"
_LENGTH = re.compile(r"Expected `str` of length (>=|<=) (\d+) - at `\$\.\w+`$")
_FORGIVEN = "user_invite_response"


class _Head(msgspec.Struct):
    event: Any = None
    req: Any = None


_head: Final = msgspec.json.Decoder(_Head)
_decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(kind) for name, kind in BY_NAME.items()
}


class NativeJson:
    """One JSON object a text frame."""

    binary = False

    def decode(self, frame: str | bytes) -> Command:
        """Read one text frame; raises FrameRefused with bad_frame, unknown_event or invalid."""
        if isinstance(frame, bytes):
            raise _bad("this connection speaks JSON in text frames")
        if too_deep(frame):
            raise _bad(f"nested deeper than {MAX_DEPTH}")
        try:
            head = _head.decode(frame)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            frame, head = _without_last_comma(frame, exc)
        name, req = _judge(head.event, head.req)
        try:
            command: Command = _decoders[name].decode(frame)
        except (msgspec.MsgspecError, UnicodeError) as exc:
            raise _invalid(exc, name, req) from exc
        return command

    def encode(self, event: Event) -> bytes:
        """Write one event as UTF-8 JSON."""
        return events.encode_json(event)

    def encode_stored(self, body: bytes) -> bytes:
        """Return the log's bytes: they are this dialect."""
        return body

    def stored_value(self, body: bytes) -> Any:
        """Return the log's bytes as a raw JSON value."""
        return msgspec.Raw(body)


class NativeMsgpack:
    """The same objects as msgpack in binary frames (subprotocol `gossamer.v1.msgpack`)."""

    binary = True

    def decode(self, frame: str | bytes) -> Command:
        """Read one binary frame; raises FrameRefused."""
        if isinstance(frame, str):
            raise _bad("this connection speaks msgpack in binary frames")
        try:
            value = msgspec.msgpack.decode(frame)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as exc:
            raise _bad("not msgpack") from exc
        if not isinstance(value, dict) or not _is_json(value):
            raise _bad("not one object of JSON's types, or nested too deep")
        name, req = _judge(value.get("event"), value.get("req"))
        try:
            command: Command = msgspec.convert(value, BY_NAME[name])
        except msgspec.MsgspecError as exc:
            raise _invalid(exc, name, req) from exc
        return command

    def encode(self, event: Event) -> bytes:
        """Write one event as msgpack."""
        return msgspec.msgpack.encode(events.builtins(event))

    def encode_stored(self, body: bytes) -> bytes:
        """Turn the log's JSON into msgpack."""
        return msgspec.msgpack.encode(msgspec.json.decode(body))

    def stored_value(self, body: bytes) -> Any:
        """Return the log's JSON as a plain object."""
        return msgspec.json.decode(body)


def too_deep(text: str) -> bool:
    """Say whether JSON text nests deeper than MAX_DEPTH; brackets inside strings do not count."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _TOKENS.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif mark in "]}":
            depth -= 1
    return False


def _without_last_comma(text: str, fault: Exception) -> tuple[str, _Head]:
    mended, found = _LAST_COMMA.subn("", text)
    if found:
        try:
            head = _head.decode(mended)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            head = _Head()
        if head.event == _FORGIVEN:
            return mended, head
    raise _bad("not one JSON object") from fault


def _judge(event: object, req: object) -> tuple[str, str | int | None]:
    echo = req if isinstance(req, str | int) and not isinstance(req, bool) else None
    if not isinstance(event, str):
        raise _bad("a frame is an object with the key event", echo)
    if event not in BY_NAME:
        shown = event[:64].encode("ascii", "backslashreplace").decode()
        raise FrameRefused("unknown_event", f"there is no command {shown!r}", field="event", req=echo)
    return event, echo


def _bad(message: str, req: str | int | None = None) -> FrameRefused:
    return FrameRefused("bad_frame", message, req=req, malformed=True)


def _invalid(fault: Exception, command: str, req: str | int | None) -> FrameRefused:
    text = str(fault)
    place = _PLACE.search(text)
    missing = re.search(r"missing required field `(\w+)`", text)
    field = missing.group(1) if missing else place.group(1) if place else None
    length = _LENGTH.match(text)
    if length and length[2] == _ID_LENGTH:
        text = f"`{field}` has to be a whole id, of {_ID_LENGTH} characters"
    elif length:
        text = f"`{field}` has to have at {'most' if length[1] == '<=' else 'least'} {length[2]} characters"
    return FrameRefused("invalid", text, field=field or None, req=req, command=command)


def _is_json(value: object, depth: int = 1) -> bool:
    if isinstance(value, dict):
        inner = all(isinstance(key, str) and _is_json(item, depth + 1) for key, item in value.items())
        return depth <= MAX_DEPTH and inner
    if isinstance(value, list):
        return depth <= MAX_DEPTH and all(_is_json(item, depth + 1) for item in value)
    return value is None or isinstance(value, str | int | float | bool)

"""What a frontend of the rooms protocol says: an event's name and one object (docs/dialects/rooms_004.md).

Types and sizes are judged here; what depends on rooms and people is the node's to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from node import ids
from node.bridge.dialects.adapter import Call
from node.chat.commands import MAX_INLINE_BYTES, MAX_MESSAGE_BYTES
from node.errors import Refused

MAX_CLAIM = 128
"""Letters of a claimed id: it comes back with every message of the owner's."""
MAX_AVATAR = 4 * 1024
"""Letters of a claimed avatar, as many as a profile's has: it comes back as often."""
_DATA: Final = re.compile(r"data:(image/([a-z0-9]{1,16})[a-z0-9.+-]{0,64});base64,", re.IGNORECASE)
_PLACE: Final = re.compile(r"`\$\.(\w+)")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")

Claim: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_CLAIM)]
RoomId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Called: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]


class _Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`userId` is what the frontend calls the owner; it selects nothing."""

    user_id: Claim


class CreateRoom(_Payload, frozen=True, kw_only=True):
    """Make a room."""

    name: Called


class _InRoom(_Payload, frozen=True, kw_only=True):
    room_id: RoomId


class JoinRoom(_InRoom, frozen=True, kw_only=True):
    """Come into a room on this connection; `username` and `avatar` are what the owner is called here."""

    username: Called
    avatar: Annotated[str, Meta(max_length=MAX_AVATAR)] | None = None


class SendMessage(_InRoom, frozen=True, kw_only=True):
    """Say something, or show a picture."""

    content: Annotated[str, Meta(min_length=1)]
    type: Literal["text", "image"] | None = None


class TypingNow(_InRoom, frozen=True, kw_only=True):
    """Tell a room that one types, or has stopped."""

    is_typing: bool


class LeaveRoom(_InRoom, frozen=True, kw_only=True):
    """Go out of a room."""


Payload: TypeAlias = CreateRoom | JoinRoom | SendMessage | TypingNow | LeaveRoom
KINDS: Final[dict[str, type[Payload]]] = {
    "create_room": CreateRoom,
    "join_room": JoinRoom,
    "send_message": SendMessage,
    "typing": TypingNow,
    "leave_room": LeaveRoom,
}
NAMES: Final = frozenset(KINDS)
"""The events that a frontend of this protocol may say."""


def read(call: Call) -> Payload:
    """Return what a call says.

    Raises:
        Refused: If there is no such event (`unknown_event`), or it does not say what it has to (`invalid`).
    """
    kind = KINDS.get(call.name)
    if kind is None:
        raise Refused("unknown_event", "there is no such event")
    if not call.args or not isinstance(call.args[0], dict):
        raise Refused("invalid", f"{call.name} takes one object")
    try:
        payload: Payload = msgspec.convert(call.args[0], kind)
    except (msgspec.ValidationError, UnicodeError) as exc:
        raise Refused("invalid", str(exc), field=_field(str(exc))) from exc
    for name, key in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        _check_letters(getattr(payload, name), key)
    return payload


def room_named(payload: _InRoom) -> str:
    """Return the id of the room that a payload names, as the node writes it. Refused: `room_not_found`."""
    try:
        return ids.text(ids.parse(payload.room_id))
    except ValueError:
        raise Refused("room_not_found", "there is no room with this id", field="roomId") from None


@dataclass(frozen=True, slots=True)
class Picture:
    """What a message of type `image` shows: base64 `data` of a `type`, an attachment, or an address."""

    data: str | None = field(default=None, repr=False)
    type: str = ""
    name: str = ""
    attachment: str | None = None
    address: str | None = None


def text_of(content: str) -> str:
    """Return the content of a message of type `text`. Refused: `invalid`, if it is too long."""
    if len(content.encode()) > MAX_MESSAGE_BYTES:
        raise Refused("invalid", f"a text has at most {MAX_MESSAGE_BYTES} bytes of UTF-8", field="content")
    return content


def picture_of(content: str) -> Picture:
    """Read the content of a message of type `image`.

    Raises:
        Refused: If it is nothing of the three (`invalid`), or too large (`attachment_too_large`).
    """
    if found := _DATA.match(content):
        data = content[found.end() :]
        if len(data) > (MAX_INLINE_BYTES + 2) // 3 * 4:
            text = f"a picture has at most {MAX_INLINE_BYTES} bytes here"
            raise Refused("attachment_too_large", text, field="content")
        return Picture(data=data, type=found[1].lower(), name=f"image.{found[2].lower()}")
    if is_address(content):
        return Picture(address=text_of(content))
    try:
        return Picture(attachment=ids.text(ids.parse(content)))
    except ValueError:
        text = "the content of an image is a data URL of one (base64), an attachment's id or an address"
        raise Refused("invalid", text, field="content") from None


def is_address(text: str) -> bool:
    """Say whether a text is where a picture would be fetched from, from whoever has it."""
    return text.startswith(("https://", "http://"))


def _field(fault: str) -> str | None:
    found = _MISSING.search(fault) or _PLACE.search(fault)
    return found[1] if found else None


def _check_letters(value: object, name: str) -> None:
    """Refuse what is no text that could be written again: half of a pair."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused("invalid", "this is no text", field=name) from None

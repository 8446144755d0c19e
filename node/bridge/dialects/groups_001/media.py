"""Pictures and sounds that a frontend of the groups protocol sends: by id, in a data URL, or by address."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from node.bridge.dialects.groups_001.reading import TEXT_KEYS, first, is_id, optional, text_of, wrong
from node.chat.commands import MAX_INLINE_BYTES
from node.errors import Refused

Kind: TypeAlias = Literal["image", "audio", "gif"]

KEYS: Final = ("attachment", "attachmentId", "attachment_id", "media", "url", "src", "file", "data")
INSIDE: Final = ("id", "attachment", "attachmentId", "url", "src", "data")
"""Where it is in an object that stands for it."""
TYPE_KEYS: Final = ("mime", "mimeType", "mime_type", "contentType")
FILE_NAME_KEYS: Final = ("fileName", "filename", "file_name")
MAX_ADDRESS: Final = 2_048
"""Characters of an address elsewhere, as browsers take them."""
GROUPS: Final[dict[Kind, tuple[str, ...]]] = {
    "image": ("image/",),
    "audio": ("audio/", "video/webm", "video/mp4", "video/ogg"),
    "gif": ("image/", "video/webm", "video/mp4"),
}
"""Types that are sent as each kind: browsers record sound as `video/webm` too, and many a GIF is a film."""
_OURS: Final = re.compile(
    r"(?:https?://[^/\s]+)?/api/v1/attachments/([0-9a-f-]{36})(?:\?\S*)?", re.IGNORECASE
)
_REMOTE: Final = re.compile(r"(https?)(://[^\s\x00-\x20\x7f]+)", re.IGNORECASE)
_ENDINGS: Final = {"jpeg": "jpg", "mpeg": "mp3", "x-wav": "wav", "svg+xml": "svg", "mp4": "mp4"}


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that the node has."""

    ident: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """A file that came along, `data` in base64."""

    data: str = field(repr=False)
    type: str
    name: str


@dataclass(frozen=True, slots=True)
class Remote:
    """An address elsewhere: it travels as text, and no node fetches it."""

    address: str


Media: TypeAlias = Stored | Fresh | Remote


def sent(data: Any, kind: Kind) -> tuple[Media, str]:
    """Return what is to be shown, and what is said beside it; raises Refused."""
    own = (kind, f"{kind}Url", f"{kind}_url")
    found = first(data, (*KEYS, *own))
    caption = text_of(data) if found else None
    key, value = found or first(data, TEXT_KEYS) or (kind, None)
    about = data
    if isinstance(value, dict):
        about = {**data, **value}
        place = first(_ours_alone(value), (*INSIDE, *own))
        if place is not None and found is None:
            caption = text_of(value)
        key, value = place or first(value, TEXT_KEYS) or (key, None)
    if not isinstance(value, str):
        raise wrong(key, "what is shown is an attachment's id, a data URL, or an http address")
    media = _media(key, value, kind, about)
    return media, caption or optional(data, ("caption",), 16_384) or ""


def _ours_alone(value: dict[str, Any]) -> dict[str, Any]:
    """Leave out an id that is somebody else's: a GIF that was searched for has one beside its address."""
    ident = value.get("id")
    return {**value, "id": None} if isinstance(ident, str) and not is_id(ident) else value


def _media(key: str, value: str, kind: Kind, about: dict[str, Any]) -> Media:
    if is_id(value):
        return Stored(value.lower())
    if value[:5].lower() == "data:":
        return _carried(key, value, kind, about)
    if (ours := _OURS.fullmatch(value)) and is_id(ours[1]):
        return Stored(ours[1].lower())  # a capability is for this frontend alone, and goes to nobody else
    if len(value) <= MAX_ADDRESS and (elsewhere := _REMOTE.fullmatch(value)):
        return Remote(elsewhere[1].lower() + elsewhere[2])
    raise wrong(key, "what is shown is an attachment's id, a data URL, or an http address")


def _carried(key: str, value: str, kind: Kind, about: dict[str, Any]) -> Fresh:
    head, comma, body = value[5:].partition(",")
    if not comma:
        raise wrong(key, "a data URL has a comma before its data")
    given, *params = [part.strip() for part in head.split(";")]
    type_ = (given or optional(about, TYPE_KEYS, 127) or "").split(";")[0].strip().lower()
    if not type_.startswith(GROUPS[kind]):
        raise wrong(key, f"a file of the type {type_[:64] or 'that is not said'} is not sent as {kind}")
    if len(body) > 4 * MAX_INLINE_BYTES:  # written as %41, each byte takes three
        raise _too_large()
    if any(param.lower() == "base64" for param in params):
        data = unquote_to_bytes(body).decode("latin-1") if "%" in body else body
    else:
        data = base64.b64encode(unquote_to_bytes(body)).decode()
    if len(data) > (MAX_INLINE_BYTES + 2) // 3 * 4:
        raise _too_large()
    return Fresh(data, type_, optional(about, FILE_NAME_KEYS, 255) or f"{kind}.{_ending(type_)}")


def _ending(type_: str) -> str:
    sub = type_.partition("/")[2]
    ending = _ENDINGS.get(sub, sub)
    return ending if ending.isalnum() and ending.isascii() and len(ending) <= 8 else "bin"


def _too_large() -> Refused:
    text = f"a file in a frame has at most {MAX_INLINE_BYTES} bytes: store larger ones over HTTP, send the id"
    return Refused("attachment_too_large", text, field="data", limit=MAX_INLINE_BYTES)

"""Links that people hand on: a contact's card, an invite to a room (docs/crypto.md 3.2 and 3.10).

    gossamer:c/ base64url( ver | account 32 | intro 32 | token 16 | exp_day u16 | addresses | check 4 )
    gossamer:i/ base64url( ver | room_id 16 | seed 32 | inviter 32 | addresses | check 4 )

Each address is one length byte and that many ASCII characters. The check is a hash of the prefix and all
bytes before it: it catches a slip of the hand and a link of the other sort, nothing more.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from node.crypto.labels import Label
from node.crypto.primitives import digest
from node.errors import DecodeError

CONTACT_PREFIX = "gossamer:c/"
ROOM_PREFIX = "gossamer:i/"
MAX_ADDRESSES = 8
"""Where to find the owner or its relays; more would not fit a QR code that phones read well."""
MAX_ADDRESS_BYTES = 255
MAX_LINK_CHARS = 3072
"""Eight of the longest addresses in base64, and the rest."""
_VERSION = 1
_CHECK_BYTES = 4
_CONTACT = Struct(">B32s32s16sH")
_ROOM = Struct(">B16s32s32s")


@dataclass(frozen=True, slots=True)
class ContactLink:
    """A card: whoever has it may ask to be a contact, and is answered at once while its token is live.

    `account` and `intro_pub` are 32 bytes, `token` 16, `exp_day` a UTC day number (0: never). The day is a
    courtesy to the reader; the owner's own record of the token decides.
    """

    account: bytes
    intro_pub: bytes
    token: bytes = field(repr=False)
    exp_day: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoomLink:
    """An invite: whoever holds its 32-byte seed may ask to join room `room_id` (16 bytes)."""

    room_id: bytes
    invite_seed: bytes = field(repr=False)
    inviter: bytes
    addresses: tuple[str, ...]


def encode_contact(link: ContactLink) -> str:
    """Return the link as text; at most 8 addresses of 255 characters."""
    fields = _CONTACT.pack(_VERSION, link.account, link.intro_pub, link.token, link.exp_day)
    return _encode(CONTACT_PREFIX, fields, link.addresses)


def decode_contact(text: str) -> ContactLink:
    """Read a contact link as pasted; raises DecodeError that says what is wrong in plain words."""
    (account, intro_pub, token, exp_day), addresses = _decode(CONTACT_PREFIX, text, _CONTACT)
    return ContactLink(account, intro_pub, token, exp_day, addresses)


def encode_room(link: RoomLink) -> str:
    """Return the invite link as text; at most 8 addresses of 255 characters."""
    fields = _ROOM.pack(_VERSION, link.room_id, link.invite_seed, link.inviter)
    return _encode(ROOM_PREFIX, fields, link.addresses)


def decode_room(text: str) -> RoomLink:
    """Read an invite link as pasted; raises DecodeError that says what is wrong in plain words."""
    (room_id, seed, inviter), addresses = _decode(ROOM_PREFIX, text, _ROOM)
    return RoomLink(room_id, seed, inviter, addresses)


def _encode(prefix: str, fields: bytes, addresses: Sequence[str]) -> str:
    assert len(addresses) <= MAX_ADDRESSES and all(_is_address(entry.encode()) for entry in addresses)
    raw = fields + b"".join(bytes([len(entry)]) + entry.encode() for entry in addresses)
    return prefix + _base64(raw + _check(prefix, raw))


def _decode(prefix: str, text: str, layout: Struct) -> tuple[list[Any], tuple[str, ...]]:
    raw = _read_base64(prefix, text.strip())
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(body) < layout.size or check != _check(prefix, body):
        raise DecodeError("the link is damaged or cut short: copy the whole of it again")
    version, *fields = layout.unpack_from(body)
    if version != _VERSION:
        raise DecodeError("the link was made by a newer version of this program")
    return fields, _read_addresses(body[layout.size :])


def _read_base64(prefix: str, text: str) -> bytes:
    if len(text) > MAX_LINK_CHARS:
        raise DecodeError("this is too long to be a link")
    if not text.startswith(prefix):
        raise DecodeError(_wrong_prefix(prefix, text))
    encoded = text[len(prefix) :]
    try:
        raw = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError as exc:
        raise DecodeError("the link is damaged: it has a character that does not belong there") from exc
    if _base64(raw) != encoded:
        raise DecodeError("the link is damaged: it has a character that does not belong there")
    return raw


def _wrong_prefix(prefix: str, text: str) -> str:
    if text.startswith(ROOM_PREFIX):
        return "this is an invite to a room, not a contact link"
    if text.startswith(CONTACT_PREFIX):
        return "this is a contact link, not an invite to a room"
    return f"the link should begin with {prefix}"


def _read_addresses(raw: bytes) -> tuple[str, ...]:
    found: list[str] = []
    while raw:
        size, raw = raw[0], raw[1:]
        if len(found) == MAX_ADDRESSES or not _is_address(raw[:size]) or len(raw) < size:
            raise DecodeError("the link has an address that is none")
        found.append(raw[:size].decode())
        raw = raw[size:]
    return tuple(found)


def _is_address(raw: bytes) -> bool:
    return 1 <= len(raw) <= MAX_ADDRESS_BYTES and all(0x21 <= byte <= 0x7E for byte in raw)


def _check(prefix: str, raw: bytes) -> bytes:
    return digest(Label.LINK, prefix.encode() + raw)[:_CHECK_BYTES]


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")

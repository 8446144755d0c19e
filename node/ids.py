"""Identifiers: their sizes, and how they are printed.

Rooms, messages, invites and people are UUID strings wherever a person or a frontend sees them
(docs/bridge.md); on the wire they are the 16 bytes of the same UUID, accounts 32-byte keys.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import NewType

AccountId = NewType("AccountId", bytes)
"""32 bytes: the Ed25519 public account key itself."""
DeviceId = NewType("DeviceId", bytes)
"""16 bytes: prefix of a labelled hash of the device's two public keys (docs/crypto.md 3.2)."""
RoomId = NewType("RoomId", bytes)
"""16 bytes: UUIDv8 from the hash of the op that created the room."""
MessageId = NewType("MessageId", bytes)
"""16 bytes: random UUIDv4, chosen by the author, kept when a message is sealed again."""
InviteId = NewType("InviteId", bytes)
"""16 bytes: random UUIDv4; of a room link the UUIDv8 of its public key."""
EnvelopeId = NewType("EnvelopeId", bytes)
"""32 bytes: BLAKE2b-256 of the whole envelope."""


REMEMBERED = 1024
"""Spellings kept at hand: a message names its room, its author and itself several times."""


def uuid8(digest: bytes) -> bytes:
    """Return the UUIDv8 (RFC 9562 5.8) made of a digest of 16 bytes or more."""
    raw = bytearray(digest[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return bytes(raw)


def uuid4(entropy16: bytes) -> bytes:
    """Return the UUIDv4 (RFC 9562 5.4) made of 16 random bytes."""
    raw = bytearray(entropy16)
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    return bytes(raw)


@lru_cache(REMEMBERED)
def text(raw16: bytes) -> str:
    """Print 16 bytes as a UUID string, the form frontends see."""
    h = raw16.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


@lru_cache(REMEMBERED)
def parse(value: str) -> bytes:
    """Read a UUID string back to 16 bytes; raises ValueError if it is none."""
    return uuid.UUID(value).bytes

"""What two people's nodes tell each other about how they stand (docs/crypto.md 3.4).

A note is a contact request whose token says what it tells: signed by the device, sealed to its reader, and
posted on the reader's inbox, so that it needs no session. No link's token and no room's id begins with
fifteen zero bytes: those are drawn at random, these carry a version.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Note(IntEnum):
    """The last byte of the token."""

    ASKED = 1
    """Somebody wants to be a contact; the request's `hello` is their message."""
    ACCEPTED = 2
    REJECTED = 3
    CANCELLED = 4
    REMOVED = 5
    BLOCKED = 6
    UNBLOCKED = 7


_HEAD: Final = bytes(15)
_NUMBERS: Final = frozenset(Note)
WITH_ADDRESSES: Final = frozenset({Note.ASKED, Note.ACCEPTED})
"""Notes that say where we can be reached: those to people whom we want to hear from."""


def token_of(note: Note) -> bytes:
    """Return the 16-byte token of the request that is this note."""
    return _HEAD + bytes([note])


def note_of(token: bytes | None) -> Note | None:
    """Return the note that a request with this token is; None if it is a request like any other."""
    if token is None or token[:15] != _HEAD:
        return None
    return Note(token[15]) if token[15] in _NUMBERS else None

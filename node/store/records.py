"""What can be written to the store, and what a start reads back: the vocabulary of every shell that stores.

A commit is a sequence of these records and happens whole or not at all; where two touch the same row, the
later one counts (docs/architecture.md, "Persist comes first"). Row tables are those of `node.tables`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from node.tables import SHREDDED, Table
from node.values import Value

__all__ = [
    "SHREDDED",
    "AppendEvent",
    "Delete",
    "DropEnvelopes",
    "DropMessage",
    "Held",
    "Loaded",
    "Put",
    "PutEnvelope",
    "PutMessage",
    "RewriteMessage",
    "Table",
    "Write",
]

KEEP_EVENTS = 1_000_000
"""Rows of the event log; older ones are compacted away (docs/bridge.md section 3)."""
KEEP_EVENTS_MS = 90 * 86_400_000
"""Age at which a logged event is compacted away, whatever their number."""


class Put(Value, frozen=True):
    """Write one row; `key` is at most 65,535 bytes and is stored only as a keyed hash and inside the seal."""

    table: str
    key: bytes
    value: bytes


class Delete(Value, frozen=True):
    """Delete one row; nothing happens when there is none."""

    table: str
    key: bytes


class PutEnvelope(Value, frozen=True):
    """Hold one sealed envelope, stored as it is; one already held stays as it is.

    `eid` is 32 bytes, `rk` the 32-byte routing key, times are UNIX milliseconds, `own` says that we made it.
    """

    eid: bytes
    rk: bytes
    ts_ms: int
    expires_ms: int
    own: bool
    raw: bytes


class DropEnvelopes(Value, frozen=True):
    """Let go of held envelopes by their 32-byte ids; unknown ones are ignored."""

    eids: tuple[bytes, ...]


class AppendEvent(Value, frozen=True):
    """Append to the event log; `seq` is one higher than the last.

    `body` is the event's JSON. The event of a message has none and points to the `message` ((room, mid), put
    in the same or an earlier commit). One that tells of a message has both: what the message says is stored
    with the message alone, so that what is deleted there is nowhere, and is put in when it is read.
    """

    seq: int
    ts_ms: int
    body: bytes | None = None
    message: tuple[bytes, bytes] | None = None


class PutMessage(Value, frozen=True):
    """Write one message of a room's history; `body` is the JSON of its `user_message` event.

    `room` and `mid` are 16 bytes. `seq` orders the history. A (room, mid) that is there already stays as it
    is, so that nobody who copies an id overwrites what it names; only an `edit` replaces body and place.
    """

    room: bytes
    mid: bytes
    seq: int
    body: bytes
    edit: bool = False


class DropMessage(Value, frozen=True):
    """Take one message out of a room's history, if it is there; no event may point to it."""

    room: bytes
    mid: bytes


class RewriteMessage(Value, frozen=True):
    """Put another body in the place of a message's, if it is there; the old one is overwritten."""

    room: bytes
    mid: bytes
    body: bytes


Write: TypeAlias = (
    Put | Delete | PutEnvelope | DropEnvelopes | AppendEvent | PutMessage | DropMessage | RewriteMessage
)

SAID: Final = ("message", "attachment", "mentions", "mentioned")
"""What an event that tells of a message leaves to the message."""


def shown(body: bytes) -> bytes:
    """Return what frontends see of a stored message: its first line; the rest is ours (`chat/changes.py`)."""
    return body.partition(b"\n")[0]


def unsaid(event: bytes) -> bytes:
    """Return the JSON of an event that tells of a message, without what the message says."""
    told = msgspec.json.decode(event)
    return msgspec.json.encode({key: "" if key in SAID else value for key, value in told.items()})


def retold(event: bytes, message: bytes) -> bytes:
    """Return the JSON of an event that tells of a message, with what the message says now."""
    told, said = msgspec.json.decode(event), msgspec.json.decode(shown(message))
    for key in SAID:
        if key in told and key in said:
            told[key] = said[key]
        elif key != "message":
            told.pop(key, None)
    return msgspec.json.encode(told)


Held: TypeAlias = tuple[bytes, int, int]
"""One held envelope as the mesh indexes it: (eid, ts_ms, expires_ms)."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything a start needs in memory: all rows by table and key, the log's ends, what is held.

    `first_seq` is the oldest event still in the log (`last_seq + 1` when it is empty); `log_epoch` is a UUID
    that changes only with the database. Every table of `node.tables` is present in `rows`.
    """

    rows: dict[str, dict[bytes, bytes]] = field(repr=False)
    last_seq: int
    log_epoch: str
    first_seq: int
    envelopes: list[Held] = field(repr=False)

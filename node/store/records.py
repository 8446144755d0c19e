"""What can be written to the store, and what a start reads back: the vocabulary of every shell that stores.

A commit is a sequence of these records and happens whole or not at all; where two touch the same row, the
later one counts (docs/architecture.md, "Persist comes first"). Row tables are those of `node.tables`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from node.tables import SHREDDED, Table

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
    "Table",
    "Write",
]

KEEP_EVENTS = 1_000_000
"""Rows of the event log; older ones are compacted away (docs/bridge.md section 3)."""
KEEP_EVENTS_MS = 90 * 86_400_000
"""Age at which a logged event is compacted away, whatever their number."""


@dataclass(frozen=True, slots=True)
class Put:
    """Write one row; `key` is at most 65,535 bytes and is stored only as a keyed hash and inside the seal."""

    table: str
    key: bytes = field(repr=False)
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one row; nothing happens when there is none."""

    table: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PutEnvelope:
    """Hold one sealed envelope, stored as it is; one already held stays as it is.

    `eid` is 32 bytes, `rk` the 32-byte routing key, times are UNIX milliseconds, `own` says that we made it.
    """

    eid: bytes
    rk: bytes
    ts_ms: int
    expires_ms: int
    own: bool
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DropEnvelopes:
    """Let go of held envelopes by their 32-byte ids; unknown ones are ignored."""

    eids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AppendEvent:
    """Append to the event log; `seq` is one higher than the last.

    Exactly one of `body` (the event's JSON) and `message` ((room, mid), put in the same or an earlier commit)
    is given: the event of a message points to the message and stores no copy.
    """

    seq: int
    ts_ms: int
    body: bytes | None = field(default=None, repr=False)
    message: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class PutMessage:
    """Write one message of a room's history; `body` is the JSON of its `user_message` event.

    `room` and `mid` are 16 bytes. `seq` orders the history. A (room, mid) that is there already stays as it
    is, so that nobody who copies an id overwrites what it names; only an `edit` replaces body and place.
    """

    room: bytes
    mid: bytes
    seq: int
    body: bytes = field(repr=False)
    edit: bool = False


@dataclass(frozen=True, slots=True)
class DropMessage:
    """Take one message out of a room's history, if it is there; no event may point to it."""

    room: bytes
    mid: bytes


Write: TypeAlias = Put | Delete | PutEnvelope | DropEnvelopes | AppendEvent | PutMessage | DropMessage

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

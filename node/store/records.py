"""What can be written to the store, and what a start reads back: the vocabulary of every shell that stores.

A commit is a sequence of these records and happens whole or not at all; where two touch the same row, the
later one counts (docs/architecture.md, "Persist comes first"). Row tables are those of `node.tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec

from node.tables import SHREDDED, Table
from node.values import Value

__all__ = [
    "SHREDDED",
    "AppendEvent",
    "Claim",
    "Delete",
    "DropEnvelopes",
    "DropMessage",
    "ForgetGone",
    "Gone",
    "Held",
    "LetGo",
    "Loaded",
    "Portion",
    "Put",
    "PutEnvelope",
    "PutMessage",
    "RewriteMessage",
    "Shelf",
    "Table",
    "Write",
]

KEEP_EVENTS = 1_000_000
"""Rows of the event log; older ones are compacted away (docs/bridge.md section 3)."""
KEEP_EVENTS_MS = 90 * 86_400_000
"""Age at which a logged event is compacted away, whatever their number."""


class Shelf(IntEnum):
    """Why an envelope is held, and so how long (`engine/shelving.py`); the numbers are those on disk.

    OWN: of a channel of ours. KNOWN, OTHER: for others, brought by a node that we have a reason to know, or
    by any. GONE: its body was let go; the id is kept, so that the envelope is not taken again.
    """

    OTHER = 0
    OWN = 1
    KNOWN = 2
    GONE = 3


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

    `eid` is 32 bytes, `rk` the 32-byte routing key, times are UNIX milliseconds. `source` names the portion
    of the shelf that it counts to, as `Loaded.source_of` numbers it. Of one that is GONE from the beginning,
    `rk` and `raw` are empty.
    """

    eid: bytes
    rk: bytes
    ts_ms: int
    expires_ms: int
    shelf: int
    raw: bytes
    source: int = 0


class DropEnvelopes(Value, frozen=True):
    """Let go of held envelopes by their 32-byte ids; unknown ones are ignored."""

    eids: tuple[bytes, ...]


class LetGo(Value, frozen=True):
    """Let go of the bodies of a portion's oldest envelopes, until `nbytes` are free; their ids are kept."""

    shelf: int
    source: int
    nbytes: int


class Claim(Value, frozen=True):
    """Put what is held for others with these (day, posting key, source) on our own shelf, to these sources.

    A channel has become ours, of that kind and owner. A slice of it is done at once; from `since_ms` on.
    """

    kind: int
    owner: bytes
    keys: tuple[tuple[int, bytes, int], ...]
    since_ms: int = 0


class ForgetGone(Value, frozen=True):
    """Forget the ids of so many envelopes whose bodies are gone, the oldest first."""

    count: int


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
    Put
    | Delete
    | PutEnvelope
    | DropEnvelopes
    | LetGo
    | ForgetGone
    | Claim
    | AppendEvent
    | PutMessage
    | DropMessage
    | RewriteMessage
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


Portion: TypeAlias = tuple[int, int, int, int]
"""What a part of a shelf comes to: (shelf, source, envelopes, bytes)."""


Claimed: TypeAlias = tuple[Claim, int, int, int, int]
"""What a claim brought to our own shelf: (claim, day, source, envelopes, bytes)."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What a commit, or an expiry, took away: how much of which portions, `kept` ids without their bodies.

    What a commit was to hold and the store had already counts as taken away: it was counted twice. `orders`
    are those that it carried out; `forgotten` are ids of which nothing is left. `claimed` is what came to our
    own shelf, and is among what went from others; `unfinished` is what is left to do.
    """

    orders: tuple[LetGo | ForgetGone, ...] = ()
    portions: tuple[Portion, ...] = ()
    kept: int = 0
    forgotten: tuple[bytes, ...] = field(default=(), repr=False)
    claimed: tuple[Claimed, ...] = ()
    unfinished: tuple[Claim, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.orders or self.portions or self.unfinished)


def portions(sizes: Iterable[tuple[int, int, int]]) -> tuple[Portion, ...]:
    """Add up (shelf, source, size) by shelf and source."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for shelf, source, size in sizes:
        count, nbytes = found.get((shelf, source), (0, 0))
        found[shelf, source] = count + 1, nbytes + size
    return tuple((*key, *value) for key, value in found.items())


def source_number(name: bytes) -> int:
    """Return the number under which a portion is counted, never 0: 63 bits of its 32-byte `name`."""
    return int.from_bytes(name[:8], "big") >> 1 or 1


def plain_source(key: bytes) -> int:
    """Number a portion by its key alone, where there is no disk that could tell of it."""
    return source_number(blake2b(key, digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything a start needs in memory: all rows by table and key, the log's ends, what is held.

    `first_seq` is the oldest event still in the log (`last_seq + 1` when it is empty); `log_epoch` is a UUID
    that changes only with the database. Every table of `node.tables` is present in `rows`. `envelopes` are
    all ids that are known, `portions` says how much is held of what. `source_of` numbers what one node key
    brought, or what came with one posting key; on disk it is keyed, so that the disk names no node.
    """

    rows: dict[str, dict[bytes, bytes]] = field(repr=False)
    last_seq: int
    log_epoch: str
    first_seq: int
    envelopes: list[Held] = field(repr=False)
    portions: tuple[Portion, ...] = ()
    source_of: Callable[[bytes], int] = field(default=plain_source, repr=False, compare=False)

"""What of a home goes into a backup, and what a restored home begins with (docs/crypto.md 3.11).

A backup is no copy of a node: two nodes with one state would seal twice under one key. Nothing of the state
that moves with every message goes in, nor any key of the device. Who restores one is a new device of the same
account: it has what was said, and the secrets of its rooms' channels, on which it can say that it is back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import msgspec

from node import ids
from node.chat import events, expiring
from node.chat.contacts import Asked
from node.chat.epochs import EpochRow
from node.chat.me import CERT_DAYS, SelfRow
from node.chat.people import CONTACT, Person
from node.chat.requests import Ask
from node.chat.turn import pack_row, unpack_row
from node.clock import Instant, day_of
from node.crypto import backup, keys
from node.crypto.keys import MAX_REVOKED, DeviceCert, DeviceList, Identity
from node.crypto.primitives import Entropy, ed25519_keypair
from node.errors import DecodeError
from node.tables import Table
from node.wire import codec

RESTORED: Final = b"restored"
"""The setting that a restored home begins with: the old device's intro key, for the start to act on once."""
MAX_LIST_SEQ = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says of itself: whose it is, when it was made; `sealed` if the home had a passphrase.

    `seq` is the highest number of the event log, from which a restored home counts on.
    """

    made_ms: int
    program: str
    account: bytes
    username: str
    sealed: bool
    seq: int


@dataclass(frozen=True, slots=True)
class Owner:
    """The account key: the person."""

    account_seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One stored row."""

    table: str
    key: bytes
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a room's history: the JSON of its event."""

    room: bytes
    mid: bytes
    seq: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """How many rows and messages came before: the last record."""

    rows: int
    messages: int


Record: TypeAlias = Head | Owner | Row | Message | End

_HEAD = codec.array(
    codec.literal(0),
    codec.uint(63),
    codec.string(64),
    codec.blob(32),
    codec.string(256),
    codec.uint(1),
    codec.uint(63),
)
_ANY = codec.blob_upto(backup.MAX_RECORD)
_SHAPES: Final = (
    _HEAD,
    codec.array(codec.literal(1), codec.blob(32)),
    codec.array(codec.literal(2), codec.string(32, least=1), codec.blob_upto(1 << 16), _ANY),
    codec.array(codec.literal(3), codec.blob(16), codec.blob(16), codec.uint(63), _ANY),
    codec.array(codec.literal(4), codec.uint(63), codec.uint(63)),
)


def encode(record: Record) -> bytes:
    """Write one record: a msgpack array that begins with its kind, 0 to 4."""
    match record:
        case Head():
            sealed = int(record.sealed)
            told = [record.made_ms, record.program, record.account, record.username, sealed, record.seq]
            return codec.pack([0, *told])
        case Owner(seed):
            return codec.pack([1, seed])
        case Row(table, key, value):
            return codec.pack([2, table, key, value])
        case Message(room, mid, seq, body):
            return codec.pack([3, room, mid, seq, body])
        case End(rows, messages):
            return codec.pack([4, rows, messages])


def decode(raw: bytes) -> Record:
    """Read one record; raises DecodeError."""
    values = codec.unpack(raw, max_bytes=backup.MAX_RECORD)
    kind = values[0] if isinstance(values, list) and values else None
    if type(kind) is not int or not 0 <= kind < len(_SHAPES) or not _SHAPES[kind](values):
        raise DecodeError("a record of a backup that is none")
    _, *rest = values
    if kind == 0:
        rest[4] = bool(rest[4])
    made: tuple[Callable[..., Record], ...] = (Head, Owner, Row, Message, End)
    return made[kind](*rest)


class Order:
    """Judges the order of a backup's records: head, owner, rows, messages, end, and as many as it says."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.owner: Owner | None = None
        self.end: End | None = None
        self.rows: dict[str, int] = {}
        self.messages = self.rooms = self.contacts = 0

    def take(self, raw: bytes) -> Record:
        """Read the next record; raises DecodeError if it does not belong here."""
        record = decode(raw)
        begun = self.head is not None and self.owner is not None and self.end is None
        match record:
            case Head() if self.head is None:
                self.head = record
            case Owner() if self.head is not None and self.owner is None:
                self.owner = record
                if ed25519_keypair(record.account_seed)[0] != self.head.account:
                    raise DecodeError("a backup with another account's key")
            case Row() if begun and not self.messages and record.table in KEPT:
                self.rows[record.table] = self.rows.get(record.table, 0) + 1
                self.rooms += record.table == Table.ROOMS
                self.contacts += record.table == Table.PEOPLE and _is_contact(record.value)
            case Message() if begun:
                self.messages += 1
            case End(rows, messages) if begun:
                if (rows, messages) != (sum(self.rows.values()), self.messages):
                    raise DecodeError("a backup that has not what it says")
                self.end = record
            case _:
                raise DecodeError("a record of a backup that is not in its place")
        return record

    def close(self) -> None:
        """Say that no record follows; raises DecodeError if some should."""
        if self.end is None or not self.rows.get(Table.SELF):
            raise DecodeError("a backup that lacks its end, or its owner")


def _is_contact(value: bytes) -> bool:
    return unpack_row(value, Person).state == CONTACT


# -- what goes in ---------------------------------------------------------------------------------

Rule: TypeAlias = Callable[[bytes, bytes], bytes | None]


def _as_it_is(_key: bytes, value: bytes) -> bytes:
    return value


def _channel_alone(_key: bytes, value: bytes) -> bytes:
    """Keep the channel on which the others are, not the key of what they show while they type."""
    return pack_row(replace(unpack_row(value, EpochRow), ephemeral_key=b""))


def _settings(key: bytes, value: bytes) -> bytes | None:
    """Leave out our contact links, which lead to the old device's inbox, and what belongs to a start."""
    gone = (b"token", b"introduce", b"shown", RESTORED)
    return None if key.startswith(gone) else value


def _requests(key: bytes, value: bytes) -> bytes | None:
    """Keep whom we asked, to be asked again at once; the rest was sealed to the old device."""
    if not key.startswith((b"a", b"q")):
        return None
    asked: Asked | Ask = unpack_row(value, Ask) if key.startswith(b"q") else unpack_row(value, Asked)
    return pack_row(replace(asked, posted_ms=0))


def _pending(key: bytes, value: bytes) -> bytes | None:
    """Keep messages that wait to be shown, sent, changed or erased; what waits to be opened never can be."""
    return value if key[:1] in {b"t", b"d", b"m"} or key[:2] == expiring.ROW else None


def _objects(key: bytes, value: bytes) -> bytes | None:
    """Keep the public leaves of members."""
    return value if key.startswith(b"leaf") else None


KEPT: Final[dict[str, Rule]] = {
    Table.SELF: _as_it_is,
    Table.PEOPLE: _as_it_is,
    Table.ROOMS: _as_it_is,
    Table.OPS: _as_it_is,
    Table.EPOCHS: _channel_alone,
    Table.INVITES: _as_it_is,
    Table.ORIGINS: _as_it_is,
    Table.DIALECTS: _as_it_is,
    Table.SETTINGS: _settings,
    Table.REQUESTS: _requests,
    Table.PENDING: _pending,
    Table.OBJECTS: _objects,
    Table.NOTICES: _as_it_is,
    Table.ATTACHMENTS: _as_it_is,
    Table.LEDGER: _as_it_is,
}
"""The tables that go in, and what of each of their rows."""
LEFT_OUT: Final = frozenset(
    {
        Table.CHAINS,
        Table.RATCHETS,
        Table.PREKEYS,
        Table.LEAVES,
        Table.OBJECT_KEYS,
        Table.HISTORY,
        Table.TOKENS,
        Table.NONCES,
        Table.CONSUMERS,
        Table.JOINS,
    }
)
"""Those that do not: forward-secret keys, those kept for newcomers, what frontends are known by, requests by
the old device."""


def kept(table: str, key: bytes, value: bytes) -> Row | None:
    """Return what of a stored row goes into a backup; None for nothing, as of a table that is not known."""
    rule = KEPT.get(table)
    goes = None if rule is None else rule(key, value)
    return None if goes is None else Row(table, key, goes)


class _Place(msgspec.Struct):
    room: str
    id: str


def message_of(seq: int, body: bytes) -> Message:
    """Return the record of a stored message, whose event says where it belongs; raises DecodeError."""
    try:
        place = msgspec.json.decode(body.partition(b"\n")[0], type=_Place)
        return Message(ids.parse(place.room), ids.parse(place.id), seq, body)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise DecodeError("a stored message that is none") from exc


# -- what comes out -------------------------------------------------------------------------------


class Restoring:
    """Turns the rows of a backup into those of a new device of the same account."""

    def __init__(self, owner: Owner, now: Instant, entropy: Entropy) -> None:
        device, dik, intro, node = (entropy(32) for _ in range(4))
        self.identity = Identity(owner.account_seed, device, dik, intro, node, day_of(now.wall_ms))
        self._now, self._entropy = now, entropy

    def rows(self, row: Row) -> list[Row]:
        """Return what to store for one row of the backup."""
        if (row.table, row.key) != (Table.SELF, b"me"):
            return [row]
        old = unpack_row(row.value, SelfRow)
        before = keys.parse_cert(old.cert)
        return [
            Row(Table.SELF, b"me", pack_row(self._myself(old, before))),
            Row(Table.SETTINGS, RESTORED, pack_row(before.intro)),
        ]

    def _myself(self, old: SelfRow, before: DeviceCert) -> SelfRow:
        today = day_of(self._now.wall_ms)
        cert = keys.make_cert(self.identity, today, today + CERT_DAYS)
        devices = self._list(keys.parse_list(old.devices), before.device_id, cert, today)
        profile = replace(
            old.profile,
            presence_cs=self._entropy(32),
            presence_ms=self._now.wall_ms,
            presence_stale=False,
        )
        return replace(
            old,
            cert=cert.raw,
            devices=devices.raw,
            profile=profile,
            created_ms=self._now.wall_ms,
            replaced=None,
        )

    def _list(self, old: DeviceList, gone: bytes, cert: DeviceCert, today: int) -> DeviceList:
        """Sign the list of this device alone.

        Its number is the time in seconds, so that of two homes restored from one backup the later one's
        counts: numbers may jump, and neither knows of the other.
        """
        seq = min(MAX_LIST_SEQ, max(old.seq + 1, self._now.wall_ms // 1000))
        before = [device for device in old.revoked if device != gone][: MAX_REVOKED - 1]
        return keys.make_list(self.identity, seq, old.list_hash, (cert.cert_hash,), (*before, gone), today)

    def told(self, head: Head) -> tuple[int, bytes]:
        """Return (seq, JSON) of the event that a restored home's log begins with."""
        seq = head.seq + 1
        user_id = ids.text(keys.user_uuid(head.account))
        event = events.KeyChanged(username=head.username, user_id=user_id, seq=seq)
        return seq, events.encode_json(event)

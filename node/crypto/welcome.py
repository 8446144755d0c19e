"""What a newcomer is given: the whole log, the epoch it was admitted to, and where to find the others.

    welcome = [1, room_id, ops, certs, announce, slots, node_records, frontier]      (docs/crypto.md 3.10)
    welcome = [2, room_id, shelf, [object_id, ...], ops, certs, announce, slots, node_records, frontier]
    object  = [1, ops, slots]

It is sealed to the newcomer's intro key and carries no signature of its own: the ops, the announce and the
records are signed, and the newcomer's slot proves the epoch. `frontier` are the messages that the adder had
seen and no other message references: what a newcomer, who cannot have them, need not wait for.

In a big room the log and the slots are larger than an envelope, and the same for many newcomers. The second
form leaves them, or the most of them, in Objects on a channel of their own, whose secret is `shelf`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from node.crypto.epoch import MAX_ANNOUNCE_BYTES, MAX_SLOTS_BYTES
from node.crypto.keys import MAX_CERT_BYTES, Identity
from node.crypto.prekeys import MAX_NODE_RECORD_BYTES
from node.crypto.primitives import KEY_BYTES, SEAL_OVERHEAD, Entropy, seal_open, seal_to
from node.errors import DecodeError
from node.wire.codec import MAX_BYTES, array, blob, blob_upto, decode, literal, many, pack
from node.wire.payload import MAX_OP_BYTES

MAX_OPS = 50_000
"""As many as a log holds; what counts is that an Object is at most 4 MiB."""
MAX_CERTS = 1_000
MAX_NODE_RECORDS = 8
"""Enough ways in; the room itself tells of the others."""
MAX_FRONTIER = 64
MAX_OBJECTS = 64
"""Objects of one shelf: 2 KiB of names."""
_VERSION = 1
_SHELVED = 2
_OPS = many(blob_upto(MAX_OP_BYTES, least=1), MAX_OPS)
_SLOTS = blob_upto(MAX_SLOTS_BYTES)
_TAIL = (
    many(blob_upto(MAX_CERT_BYTES, least=1), MAX_CERTS),
    blob_upto(MAX_ANNOUNCE_BYTES, least=1),
    _SLOTS,
    many(blob_upto(MAX_NODE_RECORD_BYTES, least=1), MAX_NODE_RECORDS),
    many(blob(16), MAX_FRONTIER),
)
_WELCOME = array(literal(_VERSION), blob(16), _OPS, *_TAIL)
_WITH_SHELF = array(
    literal(_SHELVED), blob(16), blob(32), many(blob(32), MAX_OBJECTS, least=1), _OPS, *_TAIL
)  # fmt: skip
_OBJECT = array(literal(_VERSION), _OPS, _SLOTS)


@dataclass(frozen=True, slots=True)
class Welcome:
    """One newcomer's way in: raw ops (parents first), certificates, announce, slots, node records, mids.

    `shelf` (32 bytes) is the secret of the join channel on which `objects` (ids of 32 bytes, in order) have
    the ops before `ops`, and the slots where `slots` is empty; both are empty if nothing was left out.
    """

    room_id: bytes
    ops: tuple[bytes, ...] = field(repr=False)
    certs: tuple[bytes, ...] = field(repr=False)
    announce: bytes = field(repr=False)
    slots: bytes = field(repr=False)
    node_records: tuple[bytes, ...] = field(default=(), repr=False)
    frontier: tuple[bytes, ...] = ()
    shelf: bytes = field(default=b"", repr=False)
    objects: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical bytes, unsealed."""
        head: list[Any] = [_VERSION, self.room_id]
        if self.objects:
            head = [_SHELVED, self.room_id, self.shelf, list(self.objects)]
        body: list[Any] = [list(self.ops), list(self.certs), self.announce, self.slots]
        return pack([*head, *body, list(self.node_records), list(self.frontier)])

    def whole(self, objects: Iterable[bytes]) -> Welcome:
        """Return the welcome with what its Objects hold, given in their order; raises DecodeError."""
        raws: list[bytes] = []
        slots = self.slots
        for content in objects:
            _, more, shelved = decode(content, _OBJECT)
            raws += more
            slots = shelved or slots
        return replace(self, ops=(*raws, *self.ops), slots=slots, shelf=b"", objects=())


def shelved(ops: Iterable[bytes], slots: bytes = b"") -> bytes:
    """Return the content of an Object with ops, or with slots."""
    return pack([_VERSION, list(ops), slots])


def parse_welcome(data: bytes) -> Welcome:
    """Read an unsealed welcome; shape only: what is in it is judged where it is used. Raises DecodeError."""
    value = decode(data, lambda value: _WELCOME(value) or _WITH_SHELF(value))
    shelf, objects = (value.pop(2), tuple(value.pop(2))) if value[0] == _SHELVED else (b"", ())
    _, room_id, ops, certs, announce, slots, records, frontier = value
    if (not objects and not (ops and slots)) or len(set(objects)) != len(objects):
        raise DecodeError("a welcome without a log or slots, or that names an Object twice")
    body = (tuple(ops), tuple(certs), announce, slots, tuple(records), tuple(frontier))
    return Welcome(room_id, *body, shelf, objects)


def seal_welcome(welcome: Welcome, intro_pub: bytes, entropy: Entropy) -> bytes:
    """Seal a welcome to the newcomer's intro key: the content of a `[8, content]` inner or of an Object.

    Raises:
        DecodeError: If it is over a limit and no newcomer could read it.
    """
    plain = welcome.encode()
    if len(plain) + SEAL_OVERHEAD > MAX_BYTES:
        raise DecodeError("the room's log is too long to be handed over")
    return seal_to(intro_pub, plain, entropy(KEY_BYTES))


def open_welcome(identity: Identity, content: bytes) -> Welcome:
    """Open what `seal_welcome` made for this device.

    Raises:
        CryptoFault: If it was sealed to another key or changed on the way.
        DecodeError: If what is inside is malformed.
    """
    if len(content) > MAX_BYTES:
        raise DecodeError("a welcome of an impossible size")
    return parse_welcome(seal_open(identity.intro_secret, identity.intro_pub, content))

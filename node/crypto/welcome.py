"""What a newcomer is given: the whole log, the epoch it was admitted to, and where to find the others.

    welcome = [1, room_id, ops, certs, announce, slots, node_records, frontier]      (docs/crypto.md 3.10)

It is sealed to the newcomer's intro key and carries no signature of its own: the ops, the announce and the
records are signed, and the newcomer's slot proves the epoch. `frontier` are the messages that the adder had
seen and no other message references: what a newcomer, who cannot have them, need not wait for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from node.crypto.epoch import MAX_ANNOUNCE_BYTES, MAX_SLOTS_BYTES
from node.crypto.keys import MAX_CERT_BYTES, Identity
from node.crypto.prekeys import MAX_NODE_RECORD_BYTES
from node.crypto.primitives import KEY_BYTES, SEAL_OVERHEAD, Entropy, seal_open, seal_to
from node.errors import DecodeError
from node.wire.codec import MAX_BYTES, array, blob, blob_upto, decode, literal, many, pack
from node.wire.payload import MAX_OP_BYTES

MAX_OPS = 50_000
"""As many as a log holds; what counts is that a Welcome, as an Object, is at most 4 MiB."""
MAX_CERTS = 1_000
MAX_NODE_RECORDS = 8
"""Enough ways in; the room itself tells of the others."""
MAX_FRONTIER = 64
_VERSION = 1
_WELCOME = array(
    literal(_VERSION),
    blob(16),
    many(blob_upto(MAX_OP_BYTES, least=1), MAX_OPS, least=1),
    many(blob_upto(MAX_CERT_BYTES, least=1), MAX_CERTS),
    blob_upto(MAX_ANNOUNCE_BYTES, least=1),
    blob_upto(MAX_SLOTS_BYTES, least=1),
    many(blob_upto(MAX_NODE_RECORD_BYTES, least=1), MAX_NODE_RECORDS),
    many(blob(16), MAX_FRONTIER),
)


@dataclass(frozen=True, slots=True)
class Welcome:
    """One newcomer's way in: raw ops (parents first), certificates, announce, slots, node records, mids."""

    room_id: bytes
    ops: tuple[bytes, ...] = field(repr=False)
    certs: tuple[bytes, ...] = field(repr=False)
    announce: bytes = field(repr=False)
    slots: bytes = field(repr=False)
    node_records: tuple[bytes, ...] = field(default=(), repr=False)
    frontier: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical bytes, unsealed."""
        head: list[Any] = [_VERSION, self.room_id, list(self.ops), list(self.certs)]
        tail: list[Any] = [list(self.node_records), list(self.frontier)]
        return pack([*head, self.announce, self.slots, *tail])


def parse_welcome(data: bytes) -> Welcome:
    """Read an unsealed welcome; shape only: what is in it is judged where it is used. Raises DecodeError."""
    _, room_id, ops, certs, announce, slots, records, frontier = decode(data, _WELCOME)
    return Welcome(room_id, tuple(ops), tuple(certs), announce, slots, tuple(records), tuple(frontier))


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

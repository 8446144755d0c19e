"""What a message's box holds: the plaintext of room and direct messages (docs/protocol.md section 9).

    payload = [1, mid16, ts_ms, lamport, refs, refs_before, leaf | nil, type, body]

`refs` are the newest messages of the same epoch that its author had seen and that no other message
references, its own last always; `refs_before` the same for earlier epochs. They are two lists so that a
newcomer, who can never have seen what came before its first epoch, need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from node.errors import DecodeError
from node.wire import codec
from node.wire.codec import Shape, array, blob, blob_upto, literal, many, optional, string, uint

MAX_REFS = 8
"""Enough to name every branch of a busy moment; older heads are implied by the author's own last."""
MAX_TEXT_BYTES = 16 * 1024
MAX_NAME_BYTES = 64 * 4
"""64 characters of at most four bytes."""
MAX_KIND_BYTES = 16 * 4
MAX_AVATAR_BYTES = 256 * 4
MAX_STATUS_BYTES = 128 * 4
"""What a frontend may give in characters, in bytes."""
MAX_OPTIONS_BYTES = 4 * 1024
MAX_OP_BYTES = 24 * 1024
MAX_ADDRESSES = 8
MAX_ADDRESS_BYTES = 255
MAX_BYTES = 32 * 1024
MAX_SMALL = MAX_BYTES - 2 * 1024
"""A packed body up to this goes in one envelope with all that is around it."""
MAX_ANNOUNCE_BYTES = 1024
MAX_CHAINS = 1_000
"""Devices of an epoch."""
MAX_SEEDS = 2_000
"""Seeds of skipped messages that go along with an epoch: 112 KB."""
MAX_ITEMS = 1_000
"""Messages of a room that a newcomer is given at most."""
MAX_ITEM_BYTES = MAX_BYTES + 64
"""One of them with its key."""
MAX_RANGES = 8
"""Gaps that one NACK names; the rest is asked for when these have come."""
MAX_HAVE = 200
"""Message ids that a NACK says are here: as many as anybody keeps to send again."""

MAX_RECEIPTS = 4
"""Rooms that one RECEIPT speaks of: it then takes the smallest envelope, however many they are."""


class Type(IntEnum):
    """What a payload's body is."""

    TEXT = 1
    OP = 2
    PROFILE = 3
    INVITE = 4
    INVITE_RESULT = 5
    NODE_RECORD = 6
    CONTACT_ANSWER = 7
    NACK = 8
    EPOCH_WANT = 9
    EPOCH_SHARE = 10
    OBJECT = 11
    HISTORY = 12
    HISTORY_WANT = 13
    RECEIPT = 14
    RESENT = 15


MAX_NAMES = 8
"""Messages that one `nack` asks for by name."""


def _either(*shapes: Shape) -> Shape:
    return lambda value: any(shape(value) for shape in shapes)


_TEXT = array(string(MAX_TEXT_BYTES), string(MAX_KIND_BYTES), optional(blob(16)))
_ROOM_NACK = _either(array(blob(16), blob(16), uint(32), uint(32)), array(many(blob(16), MAX_NAMES, least=1)))
_DIRECT_NACK = array(
    blob(16), many(array(blob(32), uint(32), uint(32)), MAX_RANGES), optional(many(blob(16), MAX_HAVE))
)

BODIES: dict[Type, Shape] = {
    Type.TEXT: _TEXT,
    Type.OP: blob_upto(MAX_OP_BYTES, least=64),
    Type.PROFILE: array(
        string(MAX_NAME_BYTES),
        optional(string(MAX_AVATAR_BYTES)),
        optional(string(MAX_STATUS_BYTES)),
        optional(blob(32)),
    ),
    Type.INVITE: array(
        blob(16),
        blob(16),
        blob(32),
        string(MAX_NAME_BYTES),
        string(MAX_KIND_BYTES),
        string(MAX_OPTIONS_BYTES),
        uint(63),
    ),
    Type.INVITE_RESULT: array(blob(16), uint(8), optional(uint(63))),
    Type.NODE_RECORD: blob_upto(4096, least=64),
    Type.CONTACT_ANSWER: array(uint(8)),
    Type.EPOCH_WANT: array(blob(16), blob(16)),
    Type.EPOCH_SHARE: array(
        literal(1),
        blob_upto(MAX_ANNOUNCE_BYTES, least=64),
        blob(32),
        blob(32),
        many(array(blob(16), uint(32), blob(32)), MAX_CHAINS),
        many(array(blob(16), uint(32), blob(32)), MAX_SEEDS),
    ),
    Type.OBJECT: array(blob(32), blob(32), uint(8)),
    Type.HISTORY: array(blob(16), many(blob_upto(MAX_ITEM_BYTES, least=1), MAX_ITEMS)),
    Type.HISTORY_WANT: array(blob(16)),
    Type.RECEIPT: many(array(blob(16), optional(blob(16)), optional(blob(16))), MAX_RECEIPTS, least=1),
    Type.NACK: _either(_ROOM_NACK, _DIRECT_NACK),
    Type.RESENT: array(blob(16), uint(32), optional(_TEXT)),
}
"""TEXT [text, kind, reply_to|nil] · OP op||sig · PROFILE [nickname, avatar|nil, status|nil, presence_cs|nil]
· INVITE [invite_id, room_id, seed, room name, kind, options JSON, expires_ms] · INVITE_RESULT [invite_id,
response, expires_at_ms|nil] · NODE_RECORD record||sig · CONTACT_ANSWER [1 accepted]
· EPOCH_WANT [room_id, epoch16] · EPOCH_SHARE [1, announce||sig, CS, eph key, [[dev16, index, CK], ...],
[[dev16, index, seed], ...]]
· OBJECT [object_id, k, what] · HISTORY [room_id, [item, ...]] · HISTORY_WANT [room_id]
· RECEIPT [[room_id, newest mid shown|nil, newest mid read|nil], ...]: of the messages of whom it is sent to
· NACK, in a room, [epoch16, dev16, from, to] (both included) or [[mid, ...]] · RESENT [epoch16, idx, body of
a TEXT | nil: no message was there] · NACK, in a direct session, [session16, [[dh_pub, first, end], ...],
[mid16 had, ...]|nil]."""

LARGE: frozenset[int] = frozenset({Type.HISTORY, Type.EPOCH_SHARE})
"""Types whose body may come as an Object, named by OBJECT's `what`."""

_LEAF = array(uint(32), blob(32))
_REFS = many(blob(16), MAX_REFS)
_SHAPE = array(
    literal(1), blob(16), uint(63), uint(63), _REFS, _REFS, optional(_LEAF), uint(8), lambda _body: True
)


@dataclass(frozen=True, slots=True)
class Payload:
    """One plaintext; `leaf` renews the author's leaf key as (leaf_id, X25519 public)."""

    mid: bytes
    ts_ms: int
    lamport: int
    type: Type
    body: Any = field(repr=False)
    refs: tuple[bytes, ...] = ()
    refs_before: tuple[bytes, ...] = ()
    leaf: tuple[int, bytes] | None = None

    def encode(self) -> bytes:
        """Return the canonical bytes that go into the box."""
        leaf = None if self.leaf is None else list(self.leaf)
        head: list[Any] = [1, self.mid, self.ts_ms, self.lamport, list(self.refs), list(self.refs_before)]
        return codec.pack([*head, leaf, int(self.type), self.body])


def decode(data: bytes) -> Payload:
    """Parse what came out of a box; raises DecodeError."""
    fields = codec.decode(data, _SHAPE, max_bytes=MAX_BYTES)
    _, mid, ts_ms, lamport, refs, before, leaf, number, body = fields
    try:
        kind = Type(number)
    except ValueError as exc:
        raise DecodeError(f"payload type {number} is not known") from exc
    if not BODIES[kind](body):
        raise DecodeError(f"body of {kind.name} is not of the expected shape")
    pair = None if leaf is None else (int(leaf[0]), bytes(leaf[1]))
    return Payload(mid, ts_ms, lamport, kind, body, tuple(refs), tuple(before), pair)

"""What a message's box holds: the plaintext of room and direct messages (docs/protocol.md section 9).

    payload = [1, mid16, ts_ms, lamport, refs, refs_before, leaf | nil, type, body]

`refs` are the newest messages of the same epoch that its author had seen and that no other message
references, its own last always; `refs_before` the same for earlier epochs. They are two lists so that a
newcomer, who can never have seen what came before its first epoch, need not wait for it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, TypeAlias

from msgspec import Meta
from msgspec.structs import replace

from node.clock import HORIZON_DAYS
from node.errors import DecodeError
from node.values import Value
from node.wire import codec
from node.wire.codec import (
    U32,
    U63,
    Blob16,
    Blob32,
    Layout,
    Record,
    Shape,
    array,
    blob,
    blob_upto,
    literal,
    many,
    optional,
    string,
    uint,
)

MAX_REFS = 8
"""Enough to name every branch of a busy moment; older heads are implied by the author's own last."""
MAX_TEXT_BYTES = 16 * 1024
MAX_TTL_S = 35 * 86_400
"""Seconds for which an expiring message may be there: no envelope is held longer."""
MAX_MENTIONS = 32
"""People that one message mentions: of more, each is told as little as if it were all."""
MAX_ATTACHMENT_BYTES = 4 * 1024
"""The manifest of an attachment: what it is, and where its parts are."""
MAX_EMOJI_BYTES = 64
"""A family with skin tones has 41, a flag of a region 28."""
MAX_NAME_BYTES = 64 * 4
"""64 characters of at most four bytes."""
MAX_KIND_BYTES = 16 * 4
MAX_AVATAR_BYTES = 4 * 1024
MAX_STATUS_BYTES = 128 * 4
"""What a frontend may give in characters, in bytes."""
MAX_OPTIONS_BYTES = 4 * 1024
MAX_ANNOUNCEMENT_BYTES = 4 * 1024
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
MAX_EXPORTED = 2 * MAX_ITEMS
"""Items in all: as many changes of messages as messages."""
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
    EDIT = 16
    DELETE = 17
    REACTION = 18
    ANNOUNCEMENT = 23


CHANGES: frozenset[Type] = frozenset({Type.EDIT, Type.DELETE, Type.REACTION})
"""What changes a message that was sent before."""
SAYING: frozenset[Type] = CHANGES | {Type.TEXT}
"""What people say."""
NAMED: frozenset[Type] = SAYING | {Type.ANNOUNCEMENT}
"""What can be asked for again in a room by its message id."""
MAX_NAMES = 8
"""Messages that one `nack` asks for by name."""


def _either(*shapes: Shape) -> Shape:
    return lambda value: any(shape(value) for shape in shapes)


_SHORT_TEXT = array(string(MAX_TEXT_BYTES), string(MAX_KIND_BYTES), optional(blob(16)))
_LONG_TEXT = array(
    string(MAX_TEXT_BYTES),
    string(MAX_KIND_BYTES),
    optional(blob(16)),
    optional(lambda value: uint(32)(value) and 1 <= value <= MAX_TTL_S),
    many(blob(32), MAX_MENTIONS),
    optional(blob_upto(MAX_ATTACHMENT_BYTES, least=1)),
)


def _text(value: Any) -> bool:
    """Say whether this is the body of a text: the long form only where the short one would not do."""
    return _SHORT_TEXT(value) or (_LONG_TEXT(value) and value[3:] != [None, [], None])


def is_emoji(text: str) -> bool:
    """Say whether this can be a reaction: a sequence of symbols, without letters, spaces and controls.

    It goes by ranges alone, so that no two nodes disagree because their tables of Unicode differ.
    """
    if not 1 <= len(text.encode("utf-8", "replace")) <= MAX_EMOJI_BYTES:
        return False
    codes = [ord(char) for char in text]
    return any(code > 0x7F for code in codes) and all(_in_emoji(code) for code in codes)


def _in_emoji(code: int) -> bool:
    if code < 0x2000:  # digits, `#` and `*` begin keycaps; of Latin-1 two signs are emoji
        return code in _KEYCAPS
    if code == 0x200D:
        return True
    return 0x203C <= code < 0x2066 or 0x2070 <= code < 0x3000 or code in _CJK_SIGNS or _is_high(code)


def _is_high(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0x1F000 <= code < 0x20000 or 0xE0020 <= code <= 0xE007F


_KEYCAPS = frozenset({*b"0123456789#*", 0xA9, 0xAE})
_CJK_SIGNS = frozenset({0x3030, 0x303D, 0x3297, 0x3299})
_EDIT = array(
    blob(16),
    string(MAX_TEXT_BYTES),
    many(blob(32), MAX_MENTIONS),
    optional(lambda value: uint(32)(value) and 1 <= value <= MAX_TTL_S),
)
_DELETE = array(blob(16), blob(32))
_REACTION = array(blob(16), blob(32), lambda value: type(value) is str and is_emoji(value), uint(1))
_CHANGED: dict[int, Shape] = {
    Type.EDIT: _EDIT,
    Type.DELETE: _DELETE,
    Type.REACTION: _REACTION,
}


def _changed(value: Any) -> bool:
    """Say whether this is a change once more: where it was, its type and its body."""
    if not array(blob(16), uint(32), uint(8), lambda _body: True)(value):
        return False
    shape = _CHANGED.get(value[2])
    return shape is not None and shape(value[3])


_ROOM_NACK = _either(array(blob(16), blob(16), uint(32), uint(32)), array(many(blob(16), MAX_NAMES, least=1)))
_DIRECT_NACK = array(
    blob(16), many(array(blob(32), uint(32), uint(32)), MAX_RANGES), optional(many(blob(16), MAX_HAVE))
)

BODIES: dict[Type, Shape] = {
    Type.TEXT: _text,
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
    Type.HISTORY: array(blob(16), many(blob_upto(MAX_ITEM_BYTES, least=1), MAX_EXPORTED)),
    Type.HISTORY_WANT: array(blob(16)),
    Type.RECEIPT: many(array(blob(16), optional(blob(16)), optional(blob(16))), MAX_RECEIPTS, least=1),
    Type.NACK: _either(_ROOM_NACK, _DIRECT_NACK),
    Type.RESENT: _either(array(blob(16), uint(32), optional(_text)), _changed),
    Type.ANNOUNCEMENT: array(string(MAX_ANNOUNCEMENT_BYTES, least=1), uint(8), string(MAX_OPTIONS_BYTES)),
    **{Type(number): shape for number, shape in _CHANGED.items()},
}
"""TEXT [text, kind, reply_to|nil] or, where one of the last three is there, [text, kind, reply_to|nil,
ttl_s|nil, [mentioned account, ...], attachment|nil] · OP op||sig · PROFILE [nickname, avatar|nil, status|nil,
presence_cs|nil]
· INVITE [invite_id, room_id, seed, room name, kind, options JSON, expires_ms] · INVITE_RESULT [invite_id,
response, expires_at_ms|nil] · NODE_RECORD record||sig · CONTACT_ANSWER [1 accepted]
· EPOCH_WANT [room_id, epoch16] · EPOCH_SHARE [1, announce||sig, CS, eph key, [[dev16, index, CK], ...],
[[dev16, index, seed], ...]]
· OBJECT [object_id, k, what] · HISTORY [room_id, [item, ...]] · HISTORY_WANT [room_id]
· RECEIPT [[room_id, newest mid shown|nil, newest mid read|nil], ...]: of the messages of whom it is sent to
· NACK, in a room, [epoch16, dev16, from, to] (both included) or [[mid, ...]] · RESENT [epoch16, idx, body of
a TEXT | nil: no message was there] or [epoch16, idx, type, body] of a change · EDIT [mid, text, [mentioned
account, ...], ttl_s|nil] · DELETE [mid, its author] · REACTION [mid, its author, emoji, 1|0] · NACK, in a
direct session, [session16, [[dh_pub, first, end], ...], [mid16 had, ...]|nil] · ANNOUNCEMENT [text, 1 notice
or 2 tournament, data JSON]."""

LARGE: frozenset[int] = frozenset({Type.HISTORY, Type.EPOCH_SHARE})
"""Types whose body may come as an Object, named by OBJECT's `what`."""

Refs: TypeAlias = Annotated[tuple[Blob16, ...], Meta(max_length=MAX_REFS)]


class _Wire(Record, frozen=True, tag=1):
    """A payload as its box has it; whether the body fits its type, BODIES say."""

    mid: Blob16
    ts_ms: U63
    lamport: U63
    refs: Refs
    refs_before: Refs
    leaf: tuple[U32, Blob32] | None
    kind: Type
    body: Any


_LAYOUT = Layout(_Wire, max_bytes=MAX_BYTES)


class Payload(Value, frozen=True):
    """One plaintext; `leaf` renews the author's leaf key as (leaf_id, X25519 public)."""

    mid: bytes
    ts_ms: int
    lamport: int
    type: Type
    body: Any
    refs: tuple[bytes, ...] = ()
    refs_before: tuple[bytes, ...] = ()
    leaf: tuple[int, bytes] | None = None

    def encode(self) -> bytes:
        """Return the canonical bytes that go into the box."""
        head = self.mid, self.ts_ms, self.lamport, self.refs, self.refs_before, self.leaf
        return codec.pack(_Wire(*head, self.type, self.body))


class Words(Value, frozen=True):
    """The body of a TEXT. `ttl_s`: seconds from sending after which it goes; `mentions`: accounts."""

    text: str
    kind: str = "text"
    reply_to: bytes | None = None
    ttl_s: int | None = None
    mentions: tuple[bytes, ...] = ()
    attachment: bytes | None = None

    @classmethod
    def of(cls, body: Any) -> Words:
        """Return what a body says that has the shape of a text."""
        text, kind, reply_to, *more = body
        ttl_s, mentions, attachment = more or (None, (), None)
        return cls(text, kind, reply_to, ttl_s, tuple(mentions), attachment)

    def body(self) -> list[Any]:
        """Return the body: the short form if it says everything."""
        short: list[Any] = [self.text, self.kind, self.reply_to]
        if self.ttl_s is None and not self.mentions and self.attachment is None:
            return short
        return [*short, self.ttl_s, list(self.mentions), self.attachment]


def decode(data: bytes) -> Payload:
    """Parse what came out of a box; raises DecodeError."""
    read = _LAYOUT.decode(data)
    if not BODIES[read.kind](read.body):
        raise DecodeError(f"body of {read.kind.name} is not of the expected shape")
    body, refs, before = read.body, read.refs, read.refs_before
    return Payload(read.mid, read.ts_ms, read.lamport, read.kind, body, refs, before, read.leaf)


def days_needed(payload: Payload) -> int:
    """Return the days for which the envelope of a payload is of use: fewer for what expires sooner."""
    kind, body = payload.type, payload.body
    if kind is Type.RESENT:
        kind, body = (Type.TEXT, body[2] or ()) if len(body) == 3 else (Type(body[2]), body[3])
    ttl_s: int | None = None
    if (kind is Type.TEXT and len(body) > 3) or kind is Type.EDIT:
        ttl_s = body[3]
    return HORIZON_DAYS if ttl_s is None else max(1, min(HORIZON_DAYS, -(-ttl_s // 86_400)))


def without_words(payload: Payload, mid: bytes) -> Payload | None:
    """Return a payload that says the message `mid`, or edits it, with no words in it; None for any other."""
    body: list[Any]
    if payload.type is Type.TEXT and payload.mid == mid:
        body = replace(Words.of(payload.body), text="", mentions=(), attachment=None).body()
    elif payload.type is Type.EDIT and payload.body[0] == mid:
        body = [mid, "", [], payload.body[3]]
    else:
        return None
    return None if body == payload.body else replace(payload, body=body)

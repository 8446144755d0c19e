"""Frames between peers; the only module that knows their bytes (docs/protocol.md section 4).

A frame is a canonical msgpack array that starts with its number. A number we do not know is no fault: later
versions add frames. Everything else that is not exactly as below is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Any, TypeAlias, assert_never

from node.errors import DecodeError
from node.wire.codec import Shape, array, blob, blob_upto, literal, many, pack, string, uint, unpack
from node.wire.envelope import MAX_BYTES as MAX_ENVELOPE_BYTES, OVERHEAD

PROTOCOL = 1
MAX_FRAME_BYTES = 65_519
"""A frame is one Noise message, which carries no more."""
MAX_HELLO_BYTES = 1024
"""What a peer may send before we know that it speaks our protocol."""
MAX_ADDRESSES = 4
"""Where a node says it listens: two families, and one name for each kind of link."""
MAX_ADDRESS_BYTES = 255
ID_BYTES = 16
"""Control frames carry prefixes of envelope ids: half the bytes, and still nobody finds two alike."""
MAX_IDS = 256
"""Ids in one IHAVE, WANT or GONE: the frame stays under 5 KiB."""
MAX_DAYS = 40
"""The horizon of 35 days, today, two days of early envelopes, and slack for an edge."""
MAX_BATCH_BYTES = 61_440
"""Envelope bytes in one BATCH: fits one frame, and is soon over for what waits behind it."""
BATCH_OVERHEAD = 512
"""What surrounds the envelopes of a BATCH, at most: 3 bytes each, and its other fields."""
MAX_BATCH = MAX_BATCH_BYTES // (OVERHEAD + 512)
MAX_HOP = 127
"""Hops saturate here, so that PUSH has one layout; the longest path of a real mesh is below 30."""
MAX_CREDIT = 1 << 20
"""Bytes one CREDIT can grant: four windows."""

ROLES = ("relay", "hold")
"""Bit 0 and bit 1 of a roles field: forwards for strangers, and keeps for the absent."""


class Number(IntEnum):
    """First field of a frame; those without a dataclass below are reserved and ignored on arrival."""

    HELLO = 0
    PUSH = 1
    IHAVE = 2
    GRAFT = 3
    PRUNE = 4
    WANT = 5
    DAYS = 6
    TAIL = 7
    NEG_OPEN = 8
    NEG_MSG = 9
    NEG_END = 10
    BATCH = 11
    CREDIT = 12
    GONE = 13
    PX = 14
    FETCH = 15
    PART = 16
    PING = 17
    PONG = 18
    GOODBYE = 19


class Leave(IntEnum):
    """Why a link is left: the code of a GOODBYE. Unknown codes read as LEAVING."""

    LEAVING = 1
    DUPLICATE = 2
    FULL = 3
    SELF = 4
    REFUSED = 5
    CLONED = 6
    PROTOCOL = 7
    SLOW = 8


@dataclass(frozen=True, slots=True)
class Hello:
    """First on a link from both sides, once, at most 1 KiB.

    `features` is a bit set (none yet), `boot_nonce` 8 bytes that change with the process, `floor_ms` the
    oldest time this node takes, `now_ms` its clock, `budget` the live envelopes a second that it will take.
    """

    features: int
    boot_nonce: bytes
    listen: tuple[str, ...]
    roles: frozenset[str]
    max_frame: int
    floor_ms: int
    now_ms: int
    budget: int


@dataclass(frozen=True, slots=True)
class Push:
    """A raw envelope, new to the sender, and the links it passed, 0 to 127 (the author adds 0 to 3)."""

    hop: int
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class IHave:
    """1 to 256 envelopes that the sender has: 16-byte id prefixes, and hops."""

    ids: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Want:
    """Ask for 1 to 256 envelopes; answered by GONE and BATCH of session 0, the last with `more` unset."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """What the sender has accepted, a (day, count, 16-byte fingerprint) a day, days ascending, at most 40."""

    session: int
    days: tuple[tuple[int, int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Tail:
    """Ask for a day from `t0_ms` on; `fingerprint` is of all that the sender has of that day before it."""

    session: int
    day: int
    t0_ms: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw envelopes by (ts_ms, eid), at most 61,440 bytes; `more` says that the answer goes on."""

    session: int
    envelopes: tuple[bytes, ...] = field(repr=False)
    more: bool


@dataclass(frozen=True, slots=True)
class Credit:
    """Grant `nbytes` more of BATCH in a session, at most 1 MiB."""

    session: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Gone:
    """1 to 256 wanted envelopes that the sender has not, or no longer."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? Carries the sender's clock in UNIX milliseconds."""

    t_ms: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Yes. Carries the answerer's clock in UNIX milliseconds."""

    t_ms: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The link is about to close; come back after `retry_s` seconds at the earliest."""

    code: Leave
    retry_s: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of a number that we do not know, or do not use yet; to be ignored."""

    number: int


Frame: TypeAlias = (
    Hello | Push | IHave | Want | Days | Tail | Batch | Credit | Gone | Ping | Pong | Goodbye | Unknown
)

_ID = blob(ID_BYTES)
_U32, _U64 = uint(32), uint(64)
_IDS = many(_ID, MAX_IDS, least=1)
_ENVELOPE = blob_upto(MAX_ENVELOPE_BYTES, least=OVERHEAD + 512)
_DAY = array(_U32, _U32, blob(16))
_SHAPES: dict[int, Shape] = {
    Number.HELLO: array(
        literal(Number.HELLO),
        literal(PROTOCOL),
        _U32,
        blob(8),
        many(string(MAX_ADDRESS_BYTES, least=1), MAX_ADDRESSES),
        uint(8),
        lambda size: _U32(size) and size >= MAX_ENVELOPE_BYTES + BATCH_OVERHEAD,
        _U64,
        _U64,
        _U32,
    ),
    Number.PUSH: array(literal(Number.PUSH), uint(7), _ENVELOPE),
    Number.IHAVE: array(literal(Number.IHAVE), many(array(_ID, uint(7)), MAX_IDS, least=1)),
    Number.WANT: array(literal(Number.WANT), _IDS),
    Number.DAYS: array(literal(Number.DAYS), _U32, many(_DAY, MAX_DAYS)),
    Number.TAIL: array(literal(Number.TAIL), _U32, _U32, _U64, blob(16)),
    Number.BATCH: array(literal(Number.BATCH), _U32, many(_ENVELOPE, MAX_BATCH), uint(1)),
    Number.CREDIT: array(literal(Number.CREDIT), _U32, lambda size: _U32(size) and 0 < size <= MAX_CREDIT),
    Number.GONE: array(literal(Number.GONE), _IDS),
    Number.PING: array(literal(Number.PING), _U64),
    Number.PONG: array(literal(Number.PONG), _U64),
    Number.GOODBYE: array(literal(Number.GOODBYE), uint(8), _U32),
}
_LEAVES = frozenset(int(code) for code in Leave)
_PUSH_HEAD = bytes([0x93, Number.PUSH])
_BIN16 = 0xC5
_PUSH_HEAD_BYTES = 6


def encode_push(hop: int, envelope: bytes) -> bytes:
    """Return the frame that passes `envelope` on; every envelope is long enough to be a msgpack bin 16."""
    return _PUSH_HEAD + bytes((min(hop, MAX_HOP), _BIN16)) + len(envelope).to_bytes(2, "big") + envelope


def encode(frame: Frame) -> bytes:
    """Return the canonical wire bytes of `frame`."""
    match frame:
        case Push():
            return encode_push(frame.hop, frame.envelope)
        case Hello():
            front = [Number.HELLO, PROTOCOL, frame.features, frame.boot_nonce]
            tail = [frame.max_frame, frame.floor_ms, frame.now_ms, frame.budget]
            return pack([*front, frame.listen, pack_roles(frame.roles), *tail])
        case IHave():
            return pack([Number.IHAVE, frame.ids])
        case Want():
            return pack([Number.WANT, frame.ids])
        case Days():
            return pack([Number.DAYS, frame.session, frame.days])
        case Tail():
            return pack([Number.TAIL, frame.session, frame.day, frame.t0_ms, frame.fingerprint])
        case Batch():
            return pack([Number.BATCH, frame.session, frame.envelopes, int(frame.more)])
        case Credit():
            return pack([Number.CREDIT, frame.session, frame.nbytes])
        case Gone():
            return pack([Number.GONE, frame.ids])
        case Ping():
            return pack([Number.PING, frame.t_ms])
        case Pong():
            return pack([Number.PONG, frame.t_ms])
        case Goodbye():
            return pack([Number.GOODBYE, frame.code, frame.retry_s])
        case Unknown():
            return pack([frame.number])
        case _:
            assert_never(frame)


def decode(data: bytes) -> Frame:
    """Parse one whole frame from a peer.

    Raises:
        DecodeError: If `data` is over a limit, not canonical msgpack, or not what its number says.
    """
    if data[:2] == _PUSH_HEAD:
        return _decode_push(data)
    fields = unpack(data, max_bytes=MAX_FRAME_BYTES)
    if not isinstance(fields, list) or not fields or not _U32(fields[0]):
        raise DecodeError("a frame that does not begin with its number")
    shape = _SHAPES.get(fields[0])
    if shape is None:
        return Unknown(fields[0])
    if not shape(fields):
        raise DecodeError(f"a frame {Number(fields[0]).name} of the wrong shape")
    return _read(fields, len(data))


def _decode_push(data: bytes) -> Push:
    """PUSH is nearly all of the traffic and has one layout: read it without msgpack."""
    hop, size = data[2:3], len(data) - _PUSH_HEAD_BYTES
    if size < OVERHEAD or hop[0] > MAX_HOP or data[3] != _BIN16 or int.from_bytes(data[4:6], "big") != size:
        raise DecodeError("a frame PUSH of the wrong shape")
    return Push(hop[0], data[_PUSH_HEAD_BYTES:])


def _read(fields: list[Any], size: int) -> Frame:
    match fields:
        case [Number.HELLO, _, features, nonce, [*listen], roles, max_frame, floor_ms, now_ms, budget]:
            if size > MAX_HELLO_BYTES:
                raise DecodeError("a HELLO over 1 KiB")
            return Hello(
                features, nonce, tuple(listen), unpack_roles(roles), max_frame, floor_ms, now_ms, budget
            )
        case [Number.IHAVE, [*ids]]:
            return IHave(tuple((eid, hop) for eid, hop in ids))
        case [Number.WANT, [*ids]]:
            return Want(tuple(ids))
        case [Number.DAYS, session, [*days]]:
            return _read_days(session, [(day, count, fp) for day, count, fp in days])
        case [Number.TAIL, session, day, t0_ms, fingerprint]:
            return Tail(session, day, t0_ms, fingerprint)
        case [Number.BATCH, session, [*envelopes], more]:
            return Batch(session, tuple(envelopes), bool(more))
        case [Number.CREDIT, session, nbytes]:
            return Credit(session, nbytes)
        case [Number.GONE, [*ids]]:
            return Gone(tuple(ids))
        case [Number.PING, t_ms]:
            return Ping(t_ms)
        case [Number.PONG, t_ms]:
            return Pong(t_ms)
        case [Number.GOODBYE, int(code), retry_s]:
            return Goodbye(Leave(code) if code in _LEAVES else Leave.LEAVING, retry_s)
        case _:
            raise DecodeError("a frame of the wrong shape")


def _read_days(session: int, days: list[tuple[int, int, bytes]]) -> Days:
    if any(later[0] <= earlier[0] for earlier, later in pairwise(days)):
        raise DecodeError("days that do not ascend")
    if any(count == 0 for _, count, _ in days):
        raise DecodeError("a day of nothing")
    return Days(session, tuple(days))


def pack_roles(roles: frozenset[str]) -> int:
    """Return the bit set of roles."""
    return sum(1 << bit for bit, name in enumerate(ROLES) if name in roles)


def unpack_roles(bits: int) -> frozenset[str]:
    """Return the roles of a bit set; bits that we do not know are left out."""
    return frozenset(name for bit, name in enumerate(ROLES) if bits >> bit & 1)

"""The bytes of frames between peers; the only module that knows them (docs/protocol.md section 4).

A frame is a canonical msgpack array that starts with its number. A number we do not know is no fault: later
versions add frames. Everything else that is not exactly as here is one.
"""

from __future__ import annotations

from itertools import pairwise
from struct import Struct
from typing import Any, assert_never

from node.errors import DecodeError
from node.wire.codec import Shape, array, blob, blob_upto, literal, many, pack, string, uint, unpack
from node.wire.envelope import MAX_BYTES as MAX_ENVELOPE_BYTES, OVERHEAD
from node.wire.frames import (
    BATCH_OVERHEAD,
    BEACON_BYTES,
    ID_BYTES,
    MAX_ADDRESS_BYTES,
    MAX_ADDRESSES,
    MAX_BACKOFF_S,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_BLOCK_BYTES,
    MAX_BLOCK_PARTS,
    MAX_CREDIT,
    MAX_DAYS,
    MAX_FRAME_BYTES,
    MAX_HELLO_BYTES,
    MAX_HOP,
    MAX_IDS,
    MAX_NEG_BYTES,
    MAX_OFFERED,
    MAX_PART_BYTES,
    MAX_RECORD_BYTES,
    MAX_RECORDS,
    OBJECT_BYTES,
    PROTOCOL,
    Batch,
    Beacon,
    Credit,
    Days,
    Fetch,
    Frame,
    Gone,
    Goodbye,
    Graft,
    Hello,
    IHave,
    Leave,
    NegEnd,
    NegMsg,
    NegOpen,
    Number,
    Offer,
    Part,
    PeerExchange,
    Ping,
    Pong,
    Prune,
    Push,
    Tail,
    Unknown,
    Want,
    pack_roles,
    unpack_roles,
)

MAX_ITEMS = 1024
"""Entries of any array in a frame, also one that we do not know: room is made for what a head claims before
it is there, and a thousand such heads within each other, of 64 Ki entries each, took a fifth of a second."""

_ID = blob(ID_BYTES)
_U32, _U64 = uint(32), uint(64)
_IDS = many(_ID, MAX_IDS, least=1)
_ENVELOPE = blob_upto(MAX_ENVELOPE_BYTES, least=OVERHEAD + 512)
_RECORDS = many(blob_upto(MAX_RECORD_BYTES, least=1), MAX_RECORDS)
_DAY = array(_U32, _U32, blob(16))
_BLOCK = array(blob(OBJECT_BYTES), lambda size: _U32(size) and 0 < size <= MAX_BLOCK_BYTES)
_INDEX: Shape = lambda index: _U32(index) and index < MAX_BLOCK_PARTS  # noqa: E731 - one of the shapes
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
    Number.GRAFT: array(literal(Number.GRAFT), lambda eid: eid is None or _ID(eid)),
    Number.PRUNE: array(literal(Number.PRUNE), lambda wait: _U32(wait) and wait <= MAX_BACKOFF_S),
    Number.WANT: array(literal(Number.WANT), _IDS),
    Number.DAYS: array(literal(Number.DAYS), _U32, many(_DAY, MAX_DAYS)),
    Number.TAIL: array(literal(Number.TAIL), _U32, _U32, _U64, blob(16)),
    Number.NEG_OPEN: array(literal(Number.NEG_OPEN), _U32, _U32, blob_upto(MAX_NEG_BYTES, least=1)),
    Number.NEG_MSG: array(literal(Number.NEG_MSG), _U32, _U32, blob_upto(MAX_NEG_BYTES, least=1)),
    Number.NEG_END: array(literal(Number.NEG_END), _U32, _U32, blob_upto(MAX_NEG_BYTES)),
    Number.BATCH: array(literal(Number.BATCH), _U32, many(_ENVELOPE, MAX_BATCH), uint(1)),
    Number.CREDIT: array(literal(Number.CREDIT), _U32, lambda size: _U32(size) and 0 < size <= MAX_CREDIT),
    Number.GONE: array(literal(Number.GONE), _IDS),
    Number.PX: array(literal(Number.PX), lambda records: records is None or _RECORDS(records)),
    Number.FETCH: array(literal(Number.FETCH), blob(OBJECT_BYTES), _INDEX),
    Number.PART: array(literal(Number.PART), blob(OBJECT_BYTES), _INDEX, blob_upto(MAX_PART_BYTES)),
    Number.OFFER: array(literal(Number.OFFER), many(_BLOCK, MAX_OFFERED, least=1)),
    Number.BEACON: array(literal(Number.BEACON), uint(16), blob(BEACON_BYTES)),
    Number.PING: array(literal(Number.PING), _U64),
    Number.PONG: array(literal(Number.PONG), _U64),
    Number.GOODBYE: array(literal(Number.GOODBYE), uint(8), _U32),
}
_COMPARING: dict[type[NegOpen | NegMsg | NegEnd], Number] = {
    NegOpen: Number.NEG_OPEN,
    NegMsg: Number.NEG_MSG,
    NegEnd: Number.NEG_END,
}
_COMPARED = {int(number): kind for kind, number in _COMPARING.items()}
_LEAVES = frozenset(int(code) for code in Leave)
_PUSH_HEAD = bytes([0x93, Number.PUSH])
_BIN16 = 0xC5
_PUSH_HEAD_BYTES = 6
_IHAVE_HEAD = bytes([0x92, Number.IHAVE])
_ENTRY, _ENTRY_HEAD = Struct("3s16sB"), bytes([0x92, 0xC4, ID_BYTES])
_ARRAY, _ARRAY16 = 0x90, 0xDC


def encode_push(hop: int, envelope: bytes) -> bytes:
    """Return the frame that passes `envelope` on; every envelope is long enough to be a msgpack bin 16."""
    return _PUSH_HEAD + bytes((min(hop, MAX_HOP), _BIN16)) + len(envelope).to_bytes(2, "big") + envelope


def pushed_ms(push: bytes) -> int:
    """Return the time of the envelope that a PUSH of ours passes on."""
    return int.from_bytes(push[_PUSH_HEAD_BYTES + 2 : _PUSH_HEAD_BYTES + 10], "big")


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
        case Graft():
            return pack([Number.GRAFT, frame.prefix])
        case Prune():
            return pack([Number.PRUNE, frame.backoff_s])
        case Want():
            return pack([Number.WANT, frame.ids])
        case Days():
            return pack([Number.DAYS, frame.session, frame.days])
        case Tail():
            return pack([Number.TAIL, frame.session, frame.day, frame.t0_ms, frame.fingerprint])
        case NegOpen() | NegMsg() | NegEnd():
            return pack([_COMPARING[type(frame)], frame.session, frame.day, frame.message])
        case Batch():
            return pack([Number.BATCH, frame.session, frame.envelopes, int(frame.more)])
        case Credit():
            return pack([Number.CREDIT, frame.session, frame.nbytes])
        case Gone():
            return pack([Number.GONE, frame.ids])
        case PeerExchange():
            return pack([Number.PX, frame.records])
        case Fetch():
            return pack([Number.FETCH, frame.object, frame.index])
        case Part():
            return pack([Number.PART, frame.object, frame.index, frame.data])
        case Offer():
            return pack([Number.OFFER, frame.blocks])
        case Beacon():
            return pack([Number.BEACON, frame.rank, frame.id])
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
    if data[:2] == _IHAVE_HEAD and (ids := _entries(data)) is not None:
        return IHave(ids)
    fields = unpack(data, max_bytes=MAX_FRAME_BYTES, max_items=MAX_ITEMS)
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


def _entries(data: bytes) -> tuple[tuple[bytes, int], ...] | None:
    """Return what an IHAVE announces, or None for msgpack to say what is wrong; most frames are IHAVE."""
    count, start = data[2] - _ARRAY if len(data) > 2 else 0, 3
    if data[2:3] == bytes([_ARRAY16]):
        count, start = int.from_bytes(data[3:5], "big"), 5
    fits = 16 <= count <= MAX_IDS if start == 5 else 0 < count < 16
    if not fits or len(data) != start + count * _ENTRY.size:
        return None
    entries = list(_ENTRY.iter_unpack(data[start:]))
    if any(head != _ENTRY_HEAD or hop > MAX_HOP for head, _, hop in entries):
        return None
    return tuple((eid, hop) for _, eid, hop in entries)


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
        case [Number.GRAFT, prefix]:
            return Graft(prefix)
        case [Number.PRUNE, backoff_s]:
            return Prune(backoff_s)
        case [Number.WANT, [*ids]]:
            return Want(tuple(ids))
        case [Number.DAYS, session, [*days]]:
            return _read_days(session, [(day, count, fp) for day, count, fp in days])
        case [Number.TAIL, session, day, t0_ms, fingerprint]:
            return Tail(session, day, t0_ms, fingerprint)
        case [Number.NEG_OPEN | Number.NEG_MSG | Number.NEG_END as number, session, day, message]:
            return _COMPARED[number](session, day, message)
        case [Number.BATCH, session, [*envelopes], more]:
            if sum(map(len, envelopes)) > MAX_BATCH_BYTES:
                raise DecodeError("a BATCH of too many bytes")
            return Batch(session, tuple(envelopes), bool(more))
        case [Number.CREDIT, session, nbytes]:
            return Credit(session, nbytes)
        case [Number.GONE, [*ids]]:
            return Gone(tuple(ids))
        case [Number.PX, records]:
            return PeerExchange(None if records is None else tuple(records))
        case [Number.FETCH, name, index]:
            return Fetch(name, index)
        case [Number.PART, name, index, data]:
            return Part(name, index, data)
        case [Number.OFFER, [*blocks]]:
            return Offer(tuple((name, size) for name, size in blocks))
        case [Number.BEACON, rank, name]:
            return Beacon(rank, name)
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
    return Days(session, tuple(days))

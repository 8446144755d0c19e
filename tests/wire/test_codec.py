"""Canonical msgpack: one value, one spelling."""

from __future__ import annotations

from typing import Annotated

import msgpack
import pytest
from hypothesis import given, strategies as st
from msgspec import Meta

from node.errors import DecodeError
from node.wire import codec

VALUES = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_packed_comes_back(value: object) -> None:
    try:
        data = codec.pack(value)  # type: ignore[arg-type]
        depth = str(value).count("[")
    except UnicodeEncodeError:
        return
    if depth <= codec.MAX_DEPTH:
        assert codec.unpack(data) == value


@given(st.binary(max_size=64))
def test_any_bytes_are_read_as_their_only_spelling_or_refused(data: bytes) -> None:
    try:
        value = codec.unpack(data)
    except DecodeError:
        return
    assert codec.pack(value) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\xcc\x01",  # 1 in two bytes
        b"\xdc\x00\x01\x01",  # a short array with a long header
        msgpack.packb({"a": 1}),
        msgpack.packb(1.5),
        msgpack.packb(True),
        msgpack.packb(msgpack.ExtType(1, b"x")),
        msgpack.packb(msgpack.Timestamp(1)),
        b"\x91" * 100 + b"\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xa1\xff",
        b"\x01\x01",
        b"",
    ],
)
def test_other_spellings_types_and_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.unpack(data)


def test_limits_hold_before_anything_is_read() -> None:
    with pytest.raises(DecodeError):
        codec.unpack(codec.pack(bytes(100)), max_bytes=50)


class Parcel(codec.Record, frozen=True, tag=1):
    """A record with a field of each kind."""

    name: codec.Blob16
    number: codec.U32
    large: codec.U63
    names: Annotated[tuple[codec.Blob16, ...], Meta(max_length=2)]
    pair: tuple[codec.U32, codec.Blob32] | None


LAYOUT = codec.Layout(Parcel, max_bytes=200)
SHAPE = codec.array(
    codec.literal(1),
    codec.blob(16),
    codec.uint(32),
    codec.uint(63),
    codec.many(codec.blob(16), 2),
    codec.optional(codec.array(codec.uint(32), codec.blob(32))),
)
NUMBERS: list[object] = [True, 1.0, -1, 0, 1, 2, 2**32, 2**63 - 1, 2**63]
STRINGS: list[object] = [b"", bytes(15), bytes(16), bytes(17), "a" * 16]
ARRAYS: list[object] = [[], [b""], [bytes(16)] * 3, [1, bytes(32)], [1, bytes(32), 1], [2**32, bytes(32)]]
ODD = st.sampled_from([*NUMBERS, *STRINGS, *ARRAYS, None, {}, {b"": 1}])


@given(st.lists(st.tuples(st.integers(0, 6), ODD), max_size=2), st.booleans())
def test_a_record_is_read_exactly_where_its_shape_is(changes: list[tuple[int, object]], long: bool) -> None:
    fields: list[object] = [1, bytes(16), 7, 8, [bytes(16)], [9, bytes(32)]]
    for place, value in changes:
        fields[place : place + 1] = [value]
    data = msgpack.packb(fields)
    if long:
        data = data.replace(b"\xc4\x10", b"\xc5\x00\x10", 1)  # another spelling of the same
    try:
        expected: object = codec.decode(data, SHAPE, max_bytes=200)
    except DecodeError:
        expected = None
    try:
        record: Parcel | None = LAYOUT.decode(data)
    except DecodeError:
        record = None
    assert (record is None) == (expected is None)
    if record is not None:
        assert codec.pack(record) == data
        assert [1, record.name, record.number, record.large] == fields[:4]


@pytest.mark.parametrize(
    "data", [b"\xdd\xff\xff\xff\xff", b"\x91" * 20_000, b"\x96\x01\xc4\x10", b"", bytes(201)]
)
def test_a_bomb_or_a_piece_is_no_record(data: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.Layout(Parcel, max_bytes=32_768 if len(data) > 201 else 200).decode(data)

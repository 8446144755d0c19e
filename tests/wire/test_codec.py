"""Canonical msgpack: one value, one spelling."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, strategies as st

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

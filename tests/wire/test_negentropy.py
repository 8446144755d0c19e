"""The bytes of negentropy V1: what is written is read again, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from node.errors import DecodeError
from node.wire.negentropy import END, INFINITY, Range, read, varint, write
from tests.independent import reconciling

IDS = st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple)
BOUNDS = st.lists(
    st.tuples(st.integers(0, INFINITY - 1), st.binary(max_size=32)) | st.just(END), max_size=6, unique=True
)


@st.composite
def messages(draw: st.DrawFn) -> list[Range]:
    kinds = st.one_of(
        st.just((None, None)),
        st.tuples(st.binary(min_size=16, max_size=16), st.none()),
        st.tuples(st.none(), IDS),
    )
    return [Range(bound, *draw(kinds)) for bound in sorted(draw(BOUNDS))]


@settings(max_examples=200)
@given(messages())
def test_what_is_written_is_read(ranges: list[Range]) -> None:
    data = write(ranges)
    assert read(data) == ranges
    told = [
        ((ts, prefix.hex()), kind, what)
        for (ts, prefix), kind, what in (
            (one.bound, "mark", one.fingerprint.hex())
            if one.fingerprint is not None
            else (one.bound, "ids", [eid.hex() for eid in one.ids])
            if one.ids is not None
            else (one.bound, "skip", None)
            for one in ranges
        )
    ]
    assert reconciling.Side.read(data.hex()) == told


@settings(max_examples=300)
@given(messages(), st.data())
def test_damage_is_refused_or_means_something_else(ranges: list[Range], data: st.DataObject) -> None:
    whole = write(ranges)
    spot = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:spot] + bytes([whole[spot] ^ data.draw(st.integers(1, 255))]) + whole[spot + 1 :]
    try:
        found = read(damaged)
    except DecodeError:
        return
    assert write(found) == damaged, "one value has one spelling"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x62",
        b"\x61\x00",
        b"\x61\x00\x00",
        b"\x61\x00\x00\x03",
        b"\x61\x00\x01a\x00",
        b"\x61\x00\x00\x00\x00\x00\x00",
        b"\x61\x80\x01\x00\x00",
        b"\x61" + b"\xff" * 9 + b"\x7f\x00\x00",
        b"\x61\x02\x21" + bytes(33) + b"\x00",
        b"\x61\x00\x00\x01" + bytes(15),
        b"\x61\x00\x00\x02\x02" + bytes(63),
        b"\x61\x00\x00\x02" + varint(INFINITY),
        b"\x61\x05\x01b\x00\x01\x01a\x00",
        b"\x61" + varint(INFINITY) + b"\x00\x00\x02\x00\x00",
    ],
)
def test_what_is_malformed_is_refused(message: bytes) -> None:
    with pytest.raises(DecodeError):
        read(message)


@given(st.integers(0, INFINITY))
def test_a_varint_is_that_of_the_specification(value: int) -> None:
    assert varint(value).hex() == reconciling.number(value)

"""The manifest of an attachment: one spelling, and numbers that belong together."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from node.errors import DecodeError
from node.wire import codec
from node.wire.manifest import (
    MAX_BLOCKS,
    MAX_BYTES,
    MAX_SEALED,
    MAX_SIZE,
    PART_BYTES,
    Manifest,
    block_bytes,
    parse,
)


def manifest(size: int = 100_000, **more: Any) -> Manifest:
    sealed = size + 700
    count = -(-sealed // block_bytes(sealed))
    fields: dict[str, Any] = {
        "name": "tea.png", "type": "image/png", "size": size, "chunks": -(-size // 65_536),
        "hash": b"h" * 32, "key": b"k" * 32, "channel": b"c" * 32, "sealed": sealed,
        "blocks": tuple(bytes([n]) * 32 for n in range(count)),
    }  # fmt: skip
    return Manifest(**{**fields, **more})


@given(st.integers(0, MAX_SIZE))
def test_any_size_up_to_the_largest_has_a_manifest_that_fits_a_message(size: int) -> None:
    made = manifest(size, name="n" * 255, type="t" * 127)
    assert parse(made.encode()) == made
    assert len(made.encode()) <= MAX_BYTES and len(made.blocks) <= MAX_BLOCKS
    assert made.block % PART_BYTES == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": MAX_SIZE + 1},
        {"sealed": MAX_SEALED + 1},
        {"sealed": 99_999},
        {"chunks": 1},
        {"chunks": 3},
        {"blocks": ()},
        {"blocks": (b"x" * 32,) * 4},
        {"blocks": (b"x" * 32,) * 6},
        {"blocks": (b"x" * 31,) * 5},
        {"name": ""},
        {"name": "n" * 256},
        {"type": "t" * 128},
        {"type": ""},
        {"hash": b""},
        {"key": b"k" * 31},
    ],
    ids=str,
)
def test_numbers_that_contradict_each_other_are_refused(wrong: dict[str, Any]) -> None:
    parse(manifest().encode())
    with pytest.raises(DecodeError):
        parse(manifest(**wrong).encode())


@given(st.binary(max_size=300))
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        parse(raw)


@given(st.integers(0, 10), st.one_of(st.none(), st.integers(), st.binary(max_size=40), st.text(max_size=9)))
def test_a_field_of_another_kind_is_refused(place: int, value: Any) -> None:
    fields = codec.unpack(manifest().encode())
    if fields[place] == value:
        return
    fields[place] = value
    try:
        raw = codec.pack(fields)
    except (OverflowError, UnicodeError):
        return
    with suppress(DecodeError):
        assert parse(raw).encode() == raw


RECORDS = st.lists(st.binary(min_size=1, max_size=1_536), max_size=3).map(tuple)
RELAYS = st.lists(st.text(min_size=1, max_size=60), max_size=6).map(tuple)


@given(st.integers(0, MAX_SIZE), RECORDS, RELAYS)
def test_who_has_a_large_one_is_told_as_far_as_it_fits_and_is_no_part_of_what_it_is(
    size: int, records: tuple[bytes, ...], relays: tuple[str, ...]
) -> None:
    made = manifest(size, name="n" * 255, type="t" * 127)
    told = made.held_by(records, relays)
    assert parse(told.encode()) == told and len(told.encode()) <= MAX_BYTES
    assert told.core() == made.core()
    assert told.relays == relays[: len(told.relays)] and told.holders == records[: len(told.holders)]
    if made.gossiped:
        assert told == made


@pytest.mark.parametrize(
    ("size", "holders", "relays"),
    [
        (100_000, [b"r"], []),
        (2_000_000, [], []),
        (2_000_000, [b"r"] * 3, []),
        (2_000_000, [b""], []),
        (2_000_000, [], ["ws://a"] * 5),
        (2_000_000, [], [""]),
        (2_000_000, [], ["x" * 256]),
    ],
)
def test_a_second_form_that_is_not_needed_or_too_large_is_refused(
    size: int, holders: list[bytes], relays: list[str]
) -> None:
    _, *rest = codec.unpack(manifest(size).encode())
    with pytest.raises(DecodeError):
        parse(codec.pack([2, *rest, holders, relays]))
    with pytest.raises(DecodeError):
        parse(codec.pack([1, *rest, [b"r"], []]))

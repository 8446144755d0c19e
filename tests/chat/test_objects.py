"""Objects in parts: any order, any repeats, nothing but the whole."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from node.chat.objects import MAX_PARTS, MAX_UNFINISHED, PART_BYTES, Assembly, split
from node.errors import CryptoFault, DecodeError
from node.wire import codec


@given(st.integers(1, 5 * PART_BYTES), st.randoms())
def test_parts_in_any_order_give_the_content_back_once(size: int, rng: object) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    parts = split(content)
    rng.shuffle(parts)  # type: ignore[attr-defined]
    assembly = Assembly()
    results = [assembly.take(part) for part in parts]
    assert [r for r in results if r is not None] == [content]


def test_a_part_that_was_changed_spoils_the_object_and_nothing_is_given_out() -> None:
    first, second = split(bytes(PART_BYTES + 1))
    fields = codec.unpack(second)
    fields[4] = b"\1"
    assembly = Assembly()
    assert assembly.take(first) is None
    with pytest.raises(CryptoFault):
        assembly.take(codec.pack(fields))


@pytest.mark.parametrize(("index", "count"), [(0, 0), (1, 1), (0, MAX_PARTS + 1)])
def test_impossible_numbers_are_refused(index: int, count: int) -> None:
    with pytest.raises(DecodeError):
        Assembly().take(codec.pack([7, bytes(32), index, count, b"x"]))


def test_unfinished_objects_are_bounded() -> None:
    assembly = Assembly()
    for number in range(400):
        assembly.take(codec.pack([7, number.to_bytes(32, "big"), 0, 2, bytes(PART_BYTES)]))
    held = sum(len(c) for parts in assembly._parts.values() for c in parts.values())
    assert held <= 4 * 1024 * 1024


def test_an_object_that_is_finished_as_the_oldest_of_too_many_is_given_out() -> None:
    assembly = Assembly()
    objects = [split(bytes([n]) * (MAX_PARTS * PART_BYTES)) for n in range(3)]
    for parts in objects:
        for part in parts[:-10]:
            assert assembly.take(part) is None
    for part in objects[2][-10:-1]:
        assembly.take(part)
    for part in objects[0][-10:-1]:
        assembly.take(part)
    for part in objects[0][-1:]:
        assembly.take(part)


def test_objects_of_tiny_parts_are_bounded_in_number() -> None:
    assembly = Assembly()
    for number in range(MAX_UNFINISHED * 3):
        assembly.take(codec.pack([7, number.to_bytes(32, "big"), 0, 2, b"x"]))
    assert len(assembly._parts) == len(assembly._counts) == MAX_UNFINISHED


def test_what_is_counted_is_what_is_held() -> None:
    assembly = Assembly()
    parts = split(bytes(3 * PART_BYTES))
    for part in (parts[0], parts[0], parts[1]):
        assembly.take(part)
    assert assembly.size == 2 * PART_BYTES
    assembly.take(parts[2])
    assert assembly.size == 0

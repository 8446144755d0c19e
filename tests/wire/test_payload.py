"""Plaintexts of messages: what is written comes back, what is not a payload is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from node.errors import DecodeError
from node.wire import codec, payload
from node.wire.payload import Payload, Type

MID = bytes(range(16))


@given(st.text(max_size=400), st.lists(st.binary(min_size=16, max_size=16), max_size=8))
def test_a_text_comes_back_as_it_was(text: str, refs: list[bytes]) -> None:
    sent = Payload(MID, 1, 2, Type.TEXT, [text, "text", None], tuple(refs), (), (7, bytes(32)))
    assert payload.decode(sent.encode()) == sent


@pytest.mark.parametrize(
    "fields",
    [
        [2, MID, 1, 1, [], [], None, 1, ["x", "text", None]],
        [1, MID[:15], 1, 1, [], [], None, 1, ["x", "text", None]],
        [1, MID, -1, 1, [], [], None, 1, ["x", "text", None]],
        [1, MID, 1, 1, [MID] * 9, [], None, 1, ["x", "text", None]],
        [1, MID, 1, 1, [], [], None, 200, ["x", "text", None]],
        [1, MID, 1, 1, [], [], None, 1, ["x", "text"]],
        [1, MID, 1, 1, [], [], None, 1, ["x" * 20_000, "text", None]],
        [1, MID, 1, 1, [], [], [1, bytes(31)], 1, ["x", "text", None]],
    ],
)
def test_what_is_not_a_payload_is_refused(fields: list[object]) -> None:
    with pytest.raises(DecodeError):
        payload.decode(codec.pack(fields))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_never_crash(data: bytes) -> None:
    with pytest.raises(DecodeError):
        payload.decode(data)

"""Plaintexts of messages: what is written comes back, what is not a payload is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from node.errors import DecodeError
from node.wire import codec, payload
from node.wire.payload import MAX_TTL_S, Payload, Type, Words

MID = bytes(range(16))


@given(st.text(max_size=400), st.lists(st.binary(min_size=16, max_size=16), max_size=8))
def test_a_text_comes_back_as_it_was(text: str, refs: list[bytes]) -> None:
    sent = Payload(MID, 1, 2, Type.TEXT, [text, "text", None], tuple(refs), (), (7, bytes(32)))
    assert payload.decode(sent.encode()) == sent


@given(
    st.none() | st.integers(1, MAX_TTL_S),
    st.lists(st.binary(min_size=32, max_size=32), max_size=32),
    st.none() | st.binary(min_size=1, max_size=4096),
)
def test_what_a_text_says_beside_its_words_comes_back(
    ttl_s: int | None, mentions: list[bytes], attachment: bytes | None
) -> None:
    words = Words("hello", "image", MID, ttl_s, tuple(mentions), attachment)
    sent = Payload(MID, 1, 2, Type.TEXT, words.body())
    assert Words.of(payload.decode(sent.encode()).body) == words
    assert len(sent.body) == (3 if ttl_s is attachment is None and not mentions else 6)


@pytest.mark.parametrize(
    "more",
    [
        (None, [], None),
        (0, [], None),
        (MAX_TTL_S + 1, [], None),
        (None, [MID], None),
        (None, [bytes(32)] * 33, None),
        (None, [], b""),
        (None, [], bytes(4097)),
        (60, []),
    ],
)
def test_a_text_says_no_more_than_it_may_and_one_form_says_each(more: tuple[object, ...]) -> None:
    for kind, body in (
        (Type.TEXT, ["x", "text", None, *more]),
        (Type.RESENT, [MID, 1, ["x", "text", None, *more]]),
    ):
        with pytest.raises(DecodeError):
            payload.decode(Payload(MID, 1, 1, kind, body).encode())


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

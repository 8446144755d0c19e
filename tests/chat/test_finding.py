from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from node.chat.finding import Needle, fold


def body(text: str) -> bytes:
    return msgspec.json.encode({"event": "user_message", "username": "samovar", "message": text})


@pytest.mark.parametrize(
    ("sought", "said"),
    [
        ("TEA", "some tea"),
        ("eclair", "Éclair"),
        ("ÉCLAIR", "e\u0301clair"),
        ("strasse", "STRAẞE"),
        ("straße", "strasse"),
        ("ＴＥＡ", "tea"),
        ("İ", "istanbul"),
        ("日本", "日本語"),
        ("привет", "ПРИВЕТ"),
        ('"a\\b"', 'x "A\\B" y'),
        ("a\tb", "a\tb"),
    ],
)
def test_neither_case_nor_accents_nor_width_count(sought: str, said: str) -> None:
    assert Needle.of(sought).found(body(said))


@pytest.mark.parametrize(
    ("sought", "said"), [("samovar", "tea"), ("n", "\n"), ("\u0301", "é"), ("u00", "\x01")]
)
def test_only_what_was_said_is_looked_at(sought: str, said: str) -> None:
    assert not Needle.of(sought).found(body(said))


def test_what_is_no_message_is_not_found() -> None:
    healed = msgspec.json.encode({"event": "message_healed", "message": "tea"})
    assert not Needle.of("tea").found(healed)


@given(st.text(), st.text(min_size=1), st.text())
def test_whatever_stands_in_a_message_is_found_in_it(before: str, sought: str, after: str) -> None:
    if fold(sought) and fold(sought) in fold(before + sought + after):
        assert Needle.of(sought).found(body(before + sought + after))


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)

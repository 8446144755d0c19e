"""What may stand for a picture: nothing that a frontend would fetch from elsewhere."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.chat import avatars


@given(st.text(max_size=80))
def test_what_is_shown_of_a_peer_leads_nowhere_and_is_one_line(text: str) -> None:
    shown = avatars.of_peer(text)
    if shown is not None:
        assert shown == text and not avatars.is_remote(text) and len(text) <= avatars.MAX_LETTERS
        assert all(char.isprintable() or char not in "\r\n\t\0\x1b" for char in text)


@given(st.from_regex(r"[a-z][a-z0-9+.-]{0,8}:.{0,40}", fullmatch=True))
def test_every_scheme_but_a_pictures_data_is_an_address_or_wrong(text: str) -> None:
    assert avatars.of_peer(text) is None


def test_the_directory_gets_letters_and_no_pictures() -> None:
    assert avatars.as_letters("data:image/png;base64,AAAA") is None
    assert avatars.as_letters("🦊" * 65) is None
    assert avatars.as_letters("🦊") == "🦊" and avatars.as_letters(None) is None

from __future__ import annotations

from hypothesis import given, strategies as st

from node.chat.notes import Note, note_of, token_of


def test_every_note_has_a_token_of_its_own() -> None:
    tokens = {token_of(note): note for note in Note}
    assert len(tokens) == len(Note) and all(len(token) == 16 for token in tokens)
    assert all(note_of(token) is note for token, note in tokens.items())


@given(st.binary(min_size=16, max_size=16))
def test_a_token_that_is_no_note_is_none(token: bytes) -> None:
    note = note_of(token)
    assert (note is None) == (token not in {token_of(one) for one in Note})


def test_numbers_that_are_not_given_out_are_no_notes() -> None:
    assert note_of(None) is None
    assert [n for n in range(256) if note_of(bytes(15) + bytes([n])) is not None] == [1, 2, 3, 4, 5, 6, 7]

"""What people are called on this node."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.chat.names import MAX_USERNAME, assign, clean
from node.crypto.keys import fingerprint

ANN = b"a" * 32


def test_a_free_name_is_taken_as_it_is() -> None:
    assert assign("ann", ANN, {}) == "ann"


def test_a_taken_name_gets_letters_of_the_fingerprint() -> None:
    assert assign("ann", ANN, {"ann"}) == f"ann~{fingerprint(ANN)[:4]}"
    first = f"ann~{fingerprint(ANN)[:4]}"
    assert assign("ann", ANN, {"ann", first}) == f"ann~{fingerprint(ANN)[:5]}"


def test_nobody_is_called_nothing() -> None:
    assert assign("", ANN, {}).startswith("new~")


@given(st.text(max_size=80))
def test_a_name_holds_letters_digits_and_three_signs_only(name: str) -> None:
    cleaned = clean(name)
    assert len(cleaned) <= MAX_USERNAME
    assert all(c.isalnum() or c in "_.-" for c in cleaned)
    assert clean(cleaned) == cleaned or len(cleaned) == MAX_USERNAME

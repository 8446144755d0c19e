"""What is made by the thousand: it cannot be changed, and shows nobody's words or keys."""

from __future__ import annotations

import copy
import gc

import pytest
from msgspec import structs

from node.values import Value


class Sealed(Value, frozen=True):
    """A thing with something to hide."""

    key: bytes
    number: int
    words: str = "hello"


def test_it_shows_its_numbers_alone() -> None:
    assert repr(Sealed(b"secret", 7)) == "Sealed(number=7)"


def test_it_cannot_be_changed_only_copied() -> None:
    sealed = Sealed(b"secret", 7)
    with pytest.raises(AttributeError):
        sealed.number = 8  # type: ignore[misc]  # that it cannot be assigned is the point
    assert structs.replace(sealed, number=8) == Sealed(b"secret", 8)
    assert copy.copy(sealed) == sealed


def test_the_collector_of_cycles_passes_over_it() -> None:
    assert not gc.is_tracked(Sealed(b"secret", 7))

"""Numbers people compare."""

from __future__ import annotations

from hashlib import sha512

import pytest

from node.crypto import safety
from node.crypto.labels import Label

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def test_both_sides_see_the_same_sixty_digits() -> None:
    number = safety.safety_number(A, B)
    assert number == safety.safety_number(B, A)
    groups = number.split(" ")
    assert len(groups) == 12 and all(len(group) == 5 and group.isdigit() for group in groups)


@pytest.mark.attack("A06")
def test_another_key_on_either_side_changes_the_number() -> None:
    assert len({safety.safety_number(A, B), safety.safety_number(A, C), safety.safety_number(B, C)}) == 3


def test_a_side_is_5200_rounds_over_the_key() -> None:
    value = sha512(Label.SAFETY + b"\x01" + A + A).digest()
    for _ in range(5199):
        value = sha512(value + A).digest()
    digits = "".join(f"{int.from_bytes(value[i : i + 5]) % 100_000:05d}" for i in range(0, 30, 5))
    assert safety.side_digits(A) == digits


def test_a_scanned_code_matches_only_the_same_pair_of_keys() -> None:
    shown_by_b = safety.verification_code(B, A)
    assert safety.matches(shown_by_b, A, B)
    assert safety.matches(f" {shown_by_b}\n", A, B)
    assert not safety.matches(shown_by_b, A, C)
    assert not safety.matches(shown_by_b, B, A)  # our own screen scanned back
    assert not safety.matches("gossamer:s/é", A, B)


def test_a_room_fingerprint_covers_members_and_roles_in_any_order() -> None:
    number = safety.room_fingerprint([(A, 4), (B, 1)])
    assert number == safety.room_fingerprint([(B, 1), (A, 4)])
    assert len(number.replace(" ", "")) == 30
    others = {safety.room_fingerprint(m) for m in ([(A, 4)], [(A, 4), (B, 2)], [(A, 4), (C, 1)])}
    assert number not in others and len(others) == 3

from __future__ import annotations

from hashlib import blake2b

import pytest

from node.chat.people import CONTACT, People, Person, check_wanted
from node.crypto.keys import fingerprint
from node.errors import Refused


def same_mark() -> tuple[bytes, bytes, str]:
    """Return two accounts whose fingerprints begin alike."""
    seen: dict[str, bytes] = {}
    for number in range(20_000):
        account = blake2b(number.to_bytes(4, "big"), digest_size=32).digest()
        mark = fingerprint(account)[:4]
        if mark in seen:
            return seen[mark], account, mark
        seen[mark] = account
    raise AssertionError("no two alike")


def test_a_mark_that_several_have_is_ambiguous_unless_one_of_them_is_called_so() -> None:
    one, other, mark = same_mark()
    people = People(bytes(32), "me")
    for account, name in ((one, "bob"), (other, "carol")):
        people.restore(Person(account, name, nickname=name))
    with pytest.raises(Refused) as caught:
        people.find(f"somebody~{mark}")
    assert caught.value.code == "ambiguous_user"
    assert sorted(caught.value.extra["candidates"]) == ["bob", "carol"]
    assert people.find(f"bob~{mark}") == one and people.find(f"carol~{mark}") == other
    assert people.find(f"whoever~{fingerprint(one)[:12]}") == one
    assert people.find(people.user_id(other)) == other


def test_who_is_blocked_is_refused_with_who_did_it() -> None:
    people = People(bytes(32), "me")
    rows = {
        "you": Person(b"a" * 32, "ann", state=CONTACT, blocked="silent", blocked_ms=1, blocked_by=True),
        "them": Person(b"b" * 32, "bob", blocked_by=True),
    }
    for by, person in rows.items():
        people.restore(person)
        with pytest.raises(Refused) as caught:
            check_wanted(person, "room")
        assert (caught.value.code, caught.value.field, caught.value.extra["by"]) == ("blocked", "room", by)
    check_wanted(Person(b"c" * 32, "cat"), "room")
    assert people.hides(b"a" * 32) and not people.hides(b"b" * 32) and not people.hides(bytes(32))
    assert people.is_blocked_by(b"b" * 32) and not people.is_blocked_by(bytes(32))

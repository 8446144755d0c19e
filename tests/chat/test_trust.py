"""What a device list is to somebody who pinned one, and what the policies make of another device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import events, trust
from node.chat.people import CONTACT, People, Person
from node.chat.trust import Standing, TrustPolicy
from node.chat.turn import Logged, Told, Turn
from node.clock import Instant
from node.crypto.keys import DeviceCert, DeviceList, Identity, make_cert, make_list
from node.errors import CryptoFault
from node.sim import stream
from node.tables import Table

DAY = 20_000
ENTROPY = stream("trust")
Card = tuple[DeviceCert, DeviceList]


def card(who: Identity, seq: int = 1, after: Card | None = None) -> Card:
    cert = make_cert(who, DAY, DAY + 365)
    return cert, make_list(
        who, seq, bytes(32) if after is None else after[1].list_hash, [cert.cert_hash], [], DAY
    )


def device(of: Identity) -> Identity:
    """Another device of the same account."""
    return replace(Identity.generate(ENTROPY, DAY), account_seed=of.account_seed)


def turn(day: int = DAY) -> Turn:
    wall = day * 86_400_000
    return Turn(Instant(0.0, wall), wall, ENTROPY, 0)


def world(policy: TrustPolicy, *, verified: bool) -> tuple[People, Identity, Card]:
    who = Identity.generate(ENTROPY, DAY)
    people, first = People(bytes(32), "me"), card(who)
    person = Person(who.account, "bob", state=CONTACT, policy=policy)
    people.take(turn(), person, *first)
    if verified:
        people.save(turn(), replace(people.by_account[who.account], trust=trust.VERIFIED))
    return people, who, first


def told(done: Turn) -> list[str]:
    return [events.name_of(out.event) for out in done.out if isinstance(out, Logged | Told)]


def test_a_list_stands_by_its_number_its_hash_and_its_device() -> None:
    people, who, first = world("warn", verified=False)
    person = people.by_account[who.account]
    second = card(who, 2, first)
    assert trust.judge(Person(who.account, "bob"), *first) is Standing.FIRST
    assert trust.judge(person, *first) is Standing.SAME
    assert trust.judge(person, *second) is Standing.RENEWED
    assert trust.judge(person, *card(device(who), 2, first)) is Standing.MOVED
    assert trust.judge(person, *card(device(who), 1)) is Standing.REFUSED
    assert trust.judge(person, *card(device(who), 2, card(device(who)))) is Standing.REFUSED
    later = people.pin(turn(), person, *second)
    assert trust.judge(later, *first) is Standing.PAST
    assert trust.judge(later, *card(device(who), 1)) is Standing.REFUSED


@pytest.mark.attack("A02")
def test_an_older_or_contradicting_list_is_told_once_a_day_and_keeps_the_old() -> None:
    people, who, first = world("tofu", verified=True)
    before = people.by_account[who.account]
    for bad in (card(device(who)), card(device(who))):
        done = turn()
        assert people.stops(done, *bad)
        after = people.by_account[who.account]
        assert (after.cert, after.list_hash, after.trust) == (before.cert, before.list_hash, "verified")
    assert told(done) == []
    done = turn(DAY + 1)
    assert people.stops(done, *card(device(who)))
    assert told(done) == ["key_changed"]
    assert not people.stops(turn(), *first)


@pytest.mark.parametrize(
    ("policy", "verified", "state", "said", "taken"),
    [
        ("tofu", False, "unverified", ["key_changed"], True),
        ("tofu", True, "changed", ["key_changed"], True),
        ("warn", False, "unverified", ["key_changed", "warning"], True),
        ("warn", True, "changed", ["key_changed", "warning"], True),
        ("strict", False, "changed", ["key_changed"], False),
        ("strict", True, "changed", ["key_changed"], False),
    ],
)
def test_a_newer_list_with_another_device_goes_by_the_policy(
    policy: TrustPolicy, verified: bool, state: str, said: list[str], taken: bool
) -> None:
    people, who, first = world(policy, verified=verified)
    moved: list[tuple[bytes, bool]] = []
    people.moved = lambda _turn, account, revoked: moved.append((account, revoked))
    other = card(device(who), 2, first)
    done = turn()
    assert people.stops(done, *other) is not taken
    people.pin(done, people.by_account[who.account], *other)
    person = people.by_account[who.account]
    assert person.trust == state
    assert told(done) == said
    assert (person.cert == other[0].raw) is taken
    assert (person.withheld is not None) is trust.blocked(person) is not taken
    assert moved == ([(who.account, False)] if taken else [])
    assert (Table.PEOPLE, who.account) in done.rows


def test_a_newer_list_of_the_same_device_changes_no_trust() -> None:
    people, who, first = world("strict", verified=True)
    done = turn()
    second = card(who, 2, first)
    assert not people.stops(done, *second)
    people.pin(done, people.by_account[who.account], *second)
    person = people.by_account[who.account]
    assert (person.list_seq, person.trust, told(done)) == (2, "verified", [])


def test_what_is_kept_back_gives_way_to_a_newer_device_only() -> None:
    people, who, first = world("strict", verified=True)
    second = card(device(who), 2, first)
    third = card(device(who), 3, second)
    assert people.stops(turn(), *second)
    assert people.stops(turn(), *third)
    assert people.stops(turn(), *second)
    assert people.stops(turn(), *first), "nothing is done for who is blocked"
    person = people.take_withheld(turn(), people.by_account[who.account])
    assert (person.cert, person.withheld) == (third[0].raw, None)


def test_a_rooms_log_may_hold_the_list_before_without_alarm() -> None:
    people, who, first = world("warn", verified=False)
    people.pin(turn(), people.by_account[who.account], *card(who, 2, first))
    done = turn()
    people.pin_member(done, who.account, *first)
    assert told(done) == []
    people.pin_member(done, who.account, *card(device(who)))
    assert told(done) == ["key_changed"]


def test_a_card_that_is_not_theirs_changes_nothing() -> None:
    people, who, first = world("strict", verified=True)
    stranger = Identity.generate(ENTROPY, DAY)
    done = turn()
    with pytest.raises(CryptoFault):
        people.stops(done, first[0], card(stranger)[1])
    with pytest.raises(CryptoFault):
        people.stops(done, card(device(who))[0], first[1])
    assert (done.rows, done.out) == ({}, [])

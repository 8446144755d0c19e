"""What a relay holds of others' attachments: bounded by quota, share and time."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from node.mesh.depot import HELD_MS, LEAST as PART, SHARE, Depot, Held


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_who_offers_has_at_most_its_share() -> None:
    depot = Depot(SHARE * 10 * PART)
    offered = tuple((name(n), PART) for n in range(12))
    assert depot.willing(offered, b"a") == offered[:10]
    for block, size in depot.willing(offered, b"a"):
        assert depot.keep(block, Held(size, 0, b"a")) == []
    assert depot.willing(offered, b"a") == ()
    assert depot.keep(name(99), Held(1, 0, b"a")) is None
    assert depot.willing(((name(50), PART), (name(1), PART)), b"b") == ((name(50), PART),)


def test_an_ordinary_node_holds_nothing() -> None:
    depot = Depot(0)
    assert depot.willing(((name(1), 1),), b"a") == () and depot.keep(name(1), Held(1, 0, b"a")) is None


def test_what_is_full_loses_the_oldest_of_whoever_has_most() -> None:
    depot = Depot(16 * PART)
    for n in range(16):
        assert depot.keep(name(n), Held(PART, n, bytes([n // 2]))) == []
    assert depot.keep(name(100), Held(PART, 50, b"new")) == [name(0)]
    assert depot.keep(name(101), Held(PART, 51, b"new")) is None  # nobody has more than it would have
    assert depot.used == 16 * PART


def test_a_day_later_it_is_gone_and_small_ones_count_as_more_than_they_are() -> None:
    depot = Depot(SHARE * 2 * PART)
    depot.keep(name(1), Held(1, 1_000, b"a"))
    assert depot.used == PART
    assert depot.expired(1_000 + HELD_MS) == [] and depot.expired(1_001 + HELD_MS) == [name(1)]
    depot.drop(name(1))
    assert depot.used == 0 and depot.held == {}


@pytest.mark.mesh_attack("N20")
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5 * PART), st.integers(0, 5)), max_size=80))
def test_no_order_of_offers_exceeds_the_quota_or_a_share(offers: list[tuple[int, int, int]]) -> None:
    depot = Depot(24 * PART)
    for number, size, giver in offers:
        depot.keep(name(number), Held(size, 0, bytes([giver])))
        charges = [(held.giver, held.charge) for held in depot.held.values()]
        assert depot.used == sum(charge for _, charge in charges) <= depot.quota
        for key in {giver for giver, _ in charges}:
            assert sum(charge for giver, charge in charges if giver == key) <= depot.quota // SHARE

"""Which links are eager: duplicates, elections, exchanges, beacons, and what a peer asks for."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.mesh.beacons import Root
from node.mesh.election import APART, CLEAR, SETTLE, Candidate
from node.mesh.missing import Awaited
from node.mesh.plumtree import (
    ASKED_WITHIN,
    BACKOFF,
    BREAK_AFTER,
    LEAD_SAMPLES,
    QUIET,
    REST,
    SLOW_BACKOFF,
    Plumtree,
)
from node.mesh.recent import Copy
from node.wire.frames import Beacon, Graft, Prune


def tree(links: int) -> Plumtree:
    made = Plumtree()
    for link in range(1, links + 1):
        made.opened(link)
    return made


def copy(link: int | None, at: float = 0.0, hop: int = 1) -> Copy:
    return Copy(b"raw", hop, link, at)


def settle(made: Plumtree, link: int | None, now: float) -> None:
    candidate = made.chosen(now=now)
    if candidate is not None:
        made.settle(candidate, copy(link), now=now)


def test_a_new_link_is_eager() -> None:
    assert tree(3).eager == [1, 2, 3]


def test_a_duplicate_makes_a_link_lazy_when_its_envelope_is_chosen() -> None:
    made = tree(2)
    made.took(b"m", 1, 1, None, now=0.0)
    made.again(b"m", 2, now=0.01)
    assert made.eager == [1, 2] and made.deadline == SETTLE
    settle(made, 1, SETTLE)
    assert made.eager == [1] and made.orders == [(2, Prune(BACKOFF))]


def chosen(*comings: tuple[bytes, float]) -> list[bytes]:
    """Return which of some envelopes are chosen."""
    made, won = tree(2), []
    for prefix, at in (*comings, (b"", 60.0)):
        found = made.chosen(now=at)
        won += [] if found is None else [found.prefix]
        if prefix:
            made.took(prefix, 1, 1, None, now=at)
            made.again(prefix, 2, now=at)
    return won


def test_of_envelopes_close_together_that_of_the_lowest_id_prunes() -> None:
    assert chosen((b"b", 0.0), (b"a", CLEAR - 0.01)) == [b"a"]
    assert chosen((b"a", 0.0), (b"b", 0.1), (b"c", APART - 0.01)) == [b"a"]
    assert chosen((b"a", 0.0), (b"b", APART)) == [b"a", b"b"]
    assert chosen((b"c", 0.0), (b"b", 0.2), (b"a", 0.4)) == [b"a"]


def test_a_lower_id_that_comes_later_puts_the_choice_in_doubt_and_then_nothing_is_done() -> None:
    assert chosen((b"b", 0.0), (b"a", CLEAR)) == []
    assert chosen((b"b", 0.0), (b"a", SETTLE - 0.01)) == []
    assert chosen((b"b", 0.0), (b"a", SETTLE)) == [b"b"]
    assert chosen((b"c", 0.0), (b"b", 0.4), (b"a", 0.5)) == []
    assert chosen((b"b", 0.0), (b"a", APART)) == [b"b", b"a"]


def test_in_doubt_a_flood_is_pruned_all_the_same_and_no_link_exchanged() -> None:
    made = tree(4)
    made.on_prune(4, 0, now=0.0)
    made.took(b"b", 1, 1, None, now=5.0)
    made.took(b"a", 1, 11, Awaited(5.3, [(4, 5.3, 1)]), now=5.4)
    made.again(b"a", 2, now=5.4)
    made.again(b"a", 3, now=5.4)
    settle(made, 1, 5.4 + SETTLE)
    assert made.orders == [(2, Prune(BACKOFF)), (3, Prune(BACKOFF))]


@given(st.floats(0, 2.0), st.floats(0, SETTLE - CLEAR - 0.01), st.booleans())
def test_of_two_envelopes_in_any_order_no_two_nodes_choose_one_each(
    gap: float, late: float, first_is_lower: bool
) -> None:
    first, second = (b"a", b"b") if first_is_lower else (b"b", b"a")
    here, there = chosen((first, 0.0), (second, gap)), chosen((first, 0.0), (second, gap + late))
    assert not here or not there or set(here) & set(there)


def test_a_link_is_not_pruned_when_the_envelope_came_over_one_that_is_gone_or_that_is_barred() -> None:
    made = tree(3)
    candidate = Candidate(b"m", 0.0, {}, again={2})
    made.settle(candidate, copy(9), now=1.0)
    made.on_prune(1, 60, now=1.0)
    made.settle(candidate, copy(1), now=1.0)
    made.settle(candidate, None, now=1.0)
    made.settle(candidate, copy(None), now=1.0)
    assert made.eager == [2, 3] and made.orders == []


def test_the_link_that_brought_the_chosen_envelope_is_made_eager_again() -> None:
    made = tree(3)
    made.settle(Candidate(b"m", 0.0, {}, again={2}), copy(1), now=0.0)
    made.orders.clear()
    made.settle(Candidate(b"n", 2.0, {}, again={3}), copy(2), now=2.0)
    assert made.eager == [1, 2] and made.orders == [(2, Graft(None)), (3, Prune(BACKOFF))]


def test_payloads_under_way_when_a_link_was_pruned_change_nothing() -> None:
    made = tree(2)
    made.settle(Candidate(b"m", 0.0, {}, again={2}), copy(1), now=0.0)
    made.took(b"n", 2, 1, None, now=QUIET - 0.1)
    made.again(b"n", 2, now=QUIET - 0.1)
    assert made.eager == [1]
    made.took(b"o", 2, 1, None, now=QUIET)
    assert made.eager == [1, 2], "the peer takes it for eager"


def test_a_lazy_link_that_is_ahead_on_average_takes_the_place_of_the_eager_one() -> None:
    made = tree(2)
    made.on_prune(2, 0, now=0.0)
    now = 10.0
    for number in range(LEAD_SAMPLES):
        now += 2.0
        known = Awaited(now - 0.03, [(2, now - 0.03, 1)])
        made.took(b"m%d" % number, 1, 1, known, now=now)
    settle(made, 1, now + SETTLE)
    assert made.orders == [(2, Graft(None))] and made.eager == [1, 2]
    settle(made, 1, now + SETTLE + BREAK_AFTER)
    assert made.orders[1:] == [(1, Prune(BACKOFF))] and made.eager == [2]


def test_a_lazy_link_that_is_ahead_once_and_behind_at_other_times_does_not() -> None:
    made = tree(2)
    made.on_prune(2, 0, now=0.0)
    now = 10.0
    for number in range(20):
        now += 2.0
        prefix = b"m%02d" % number
        if number % 2:
            made.took(prefix, 1, 1, Awaited(now - 0.03, [(2, now - 0.03, 1)]), now=now)
        else:
            made.took(prefix, 1, 1, None, now=now)
            made.heard(copy(1, now), 2, now=now + 0.1)
        settle(made, 1, now + SETTLE)
    assert made.orders == []


def test_a_lazy_link_that_is_five_hops_nearer_takes_the_place_of_the_eager_one_at_once() -> None:
    for nearer, orders in ((7, []), (6, [(2, Graft(None))])):
        made = tree(2)
        made.on_prune(2, 0, now=0.0)
        made.took(b"m", 1, 11, Awaited(4.99, [(2, 4.99, nearer)]), now=5.0)
        settle(made, 1, 5.0 + SETTLE)
        assert made.orders == orders


def test_the_old_link_stays_if_the_new_one_did_not_come_about() -> None:
    made = tree(2)
    made.on_prune(2, 0, now=0.0)
    made.took(b"m", 1, 11, Awaited(4.99, [(2, 4.99, 1)]), now=5.0)
    settle(made, 1, 5.0 + SETTLE)
    made.on_prune(2, 2, now=5.7)
    settle(made, 1, 6.0)
    assert made.eager == [1] and made.orders == [(2, Graft(None))]


BEST = Beacon(200, b"a" * 8)


def test_the_link_of_a_beacon_is_made_eager_at_once_and_those_that_brought_it_again_lazy_later() -> None:
    made = tree(4)
    made.on_prune(1, 0, now=0.0)
    made.sprout(1, now=5.0)
    assert made.orders == [(1, Graft(None))] and made.eager == [1, 2, 3, 4]
    made.grow(Root(BEST, 1, 5.0, {2, 3}), now=5.6)
    assert made.orders[1:] == [(2, Prune(BACKOFF)), (3, Prune(BACKOFF))] and made.eager == [1, 4]


def test_the_root_prunes_as_well_and_grafts_nobody() -> None:
    made = tree(3)
    made.on_prune(1, 0, now=0.0)
    made.sprout(None, now=5.0)
    made.grow(Root(BEST, None, 5.0, {1, 3}), now=5.6)
    assert made.orders == [(3, Prune(BACKOFF))] and made.eager == [2]


def test_the_old_tree_stays_where_the_new_one_did_not_come_about() -> None:
    for happens in ("barred", "pruned", "closed"):
        made = tree(3)
        if happens == "barred":
            made.on_prune(1, 60, now=4.9)
        made.sprout(1, now=5.0)
        if happens == "pruned":
            made.on_prune(1, 2, now=5.1)
        if happens == "closed":
            made.closed(1, now=5.1)
        made.grow(Root(BEST, 1, 5.0, {2, 3}), now=5.6)
        assert made.eager == [2, 3] and made.orders == [], happens


def test_while_a_tree_grows_no_duplicate_prunes_and_nothing_is_exchanged() -> None:
    for after, orders in ((REST - 0.01, []), (REST, [(2, Prune(BACKOFF))])):
        made = tree(2)
        made.sprout(None, now=0.0)
        made.took(b"m", 1, 1, None, now=after - SETTLE)
        made.again(b"m", 2, now=after - SETTLE)
        settle(made, 1, after)
        assert made.orders == orders
    made = tree(2)
    made.on_prune(2, 0, now=0.0)
    made.took(b"m", 1, 11, Awaited(4.99, [(2, 4.99, 1)]), now=5.0)
    settle(made, 1, 5.0 + SETTLE)
    made.sprout(None, now=5.7)
    settle(made, 1, 5.7 + BREAK_AFTER)
    assert made.eager == [1, 2], "the one that is being exchanged may be of the new tree"


def test_when_an_eager_link_breaks_one_lazy_link_takes_its_place() -> None:
    made = tree(4)
    made.settle(Candidate(b"m", 0.0, {}, again={3, 4}), copy(1), now=0.0)
    made.orders.clear()
    assert not made.closed(4, now=1.0)
    assert made.orders == []
    assert made.closed(2, now=1.0)
    assert made.orders == [(3, Graft(None))] and made.eager == [1, 3]


def test_who_is_pruned_on_its_last_eager_link_takes_another_that_did_not_prune_it() -> None:
    made = tree(3)
    made.on_prune(1, 60, now=0.0)
    made.on_prune(2, 60, now=0.0)
    assert made.orders == []
    made.on_prune(3, 60, now=0.0)
    assert made.orders == [] and made.eager == [], "all three asked for peace"
    made = tree(2)
    made.settle(Candidate(b"m", 0.0, {}, again={2}), copy(1), now=0.0)
    made.orders.clear()
    made.on_prune(1, 60, now=1.0)
    assert made.orders == [(2, Graft(None))]


def test_a_graft_soon_after_our_prune_is_right_only_for_what_came_since() -> None:
    made = tree(2)
    made.settle(Candidate(b"m", 0.0, {}, again={2}), copy(1), now=10.0)
    assert not made.may_graft(2, None, now=10.5)
    assert not made.may_graft(2, copy(1, 9.9 - ASKED_WITHIN), now=10.5)
    assert made.may_graft(2, copy(1, 10.1), now=10.5)
    assert made.may_graft(2, copy(1, 9.5), now=10.5), "announced before the PRUNE, and asked for late"
    assert made.may_graft(2, None, now=10.0 + BACKOFF)
    assert made.may_graft(1, None, now=10.5)


def test_a_slow_peer_is_made_lazy_unless_it_is_the_last() -> None:
    made = tree(2)
    made.demote(1, now=0.0)
    assert made.orders == [(1, Prune(SLOW_BACKOFF))]
    made.demote(2, now=0.0)
    assert made.eager == [2]


def test_rising_ids_cost_bounded_memory() -> None:
    made = tree(2)
    for number in range(10_000):
        made.took(number.to_bytes(16, "big"), 1, 1, None, now=number / 100_000)
    assert len(made._election._rising) <= 256

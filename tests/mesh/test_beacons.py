"""From where the tree grows: who speaks when, whose beacon wins, and what all make of it together."""

from __future__ import annotations

import heapq
from itertools import count, pairwise

import pytest
from hypothesis import given, settings, strategies as st

from node.mesh.beacons import (
    EVERY,
    FAR_MS,
    FIRST,
    HASTE,
    MAX_TAKEN,
    MAX_WAIT,
    MEND_AFTER,
    OPEN_FOR,
    REIGNS,
    SETTLE,
    SOON,
    Beacons,
    rank,
    wait,
)
from node.wire.frames import MAX_RANK, Beacon

GOOD, FAIR, POOR = Beacon(200, b"g" * 8), Beacon(300, b"f" * 8), Beacon(900, b"p" * 8)


def made(secret: bytes = b"s") -> Beacons:
    beacons = Beacons(secret * 16)
    beacons.opened(now=0.0)
    return beacons


def test_a_rank_is_the_mean_of_the_three_shortest_round_trips() -> None:
    assert rank([40.0, 10.0, None, 20.0, 30.0]) == 200
    assert rank([10.0, 20.0]) == round((30 + FAR_MS) * 10 / 3)
    assert rank([]) == rank([None]) == FAR_MS * 10
    assert rank([0.02] * 3) == 0 and rank([1e9] * 3) == MAX_RANK


def test_who_is_near_speaks_first() -> None:
    assert wait(200) < wait(300) < wait(MAX_RANK) == MAX_WAIT
    for own in (200, 300):
        beacons = made()
        assert beacons.deadline == FIRST
        assert not beacons.may_speak(now=FIRST - 0.01) and beacons.may_speak(now=FIRST)
        assert beacons.ours(own, now=FIRST) is None
        assert beacons.deadline == FIRST + wait(own)
        spoken = beacons.ours(own, now=FIRST + wait(own))
        assert spoken is not None and spoken.rank == own
        assert beacons.deadline == FIRST + wait(own) + SETTLE


def test_a_node_without_links_says_nothing() -> None:
    beacons = Beacons(b"s" * 16)
    assert beacons.deadline is None and not beacons.may_speak(now=1e6)


def test_who_lost_its_last_link_is_not_woken_and_begins_anew_with_the_next() -> None:
    beacons = made()
    beacons.came(GOOD, 1, now=5.0)
    beacons.alone()
    assert beacons.deadline is None and beacons.decided(now=9.0) is None
    beacons.damaged(now=9.0)
    assert beacons.deadline is None and not beacons.may_speak(now=1e6)
    beacons.opened(now=20.0)
    assert beacons.deadline == 20.0 + FIRST
    assert beacons.ours(200, now=20.0 + FIRST) is None
    assert beacons.deadline == 5.0 + EVERY + wait(200), "others may have gone on"


def test_two_nodes_and_two_growths_have_beacons_of_their_own() -> None:
    spoken = []
    for beacons in (made(b"a"), made(b"b")):
        for now in (10.0, 10.0 + EVERY + wait(200)):
            spoken.append(beacons.ours(200, now=now))
            assert beacons.decided(now=now + SETTLE) is not None
    assert None not in spoken and len({one.id for one in spoken if one}) == 4


def test_the_best_of_a_growth_goes_on_and_wins() -> None:
    beacons = made()
    assert beacons.came(FAIR, 1, now=5.0)
    assert not beacons.came(POOR, 2, now=5.1)
    assert not beacons.came(Beacon(300, b"h" * 8), 2, now=5.1), "of equal ranks the lower id"
    assert beacons.came(Beacon(300, b"e" * 8), 3, now=5.1)
    assert beacons.came(GOOD, 2, now=5.2)
    assert not beacons.came(GOOD, 3, now=5.3) and not beacons.came(FAIR, 3, now=5.3)
    assert not beacons.came(GOOD, 2, now=5.3)
    assert beacons.deadline == 5.2 + SETTLE and beacons.decided(now=5.1 + SETTLE) is None
    root = beacons.decided(now=5.2 + SETTLE)
    assert root is not None and (root.beacon, root.link, root.again) == (GOOD, 2, {3})
    assert beacons.decided(now=9.0) is None


def test_whoever_is_better_than_what_it_hears_answers_once() -> None:
    for own, answers in ((301, False), (300, False), (299, True)):
        beacons = made()
        beacons.came(FAIR, 1, now=5.0)
        assert beacons.may_speak(now=5.0)
        assert (beacons.ours(own, now=5.0) is not None) == answers
    assert beacons.came(GOOD, 1, now=5.1)
    assert not beacons.may_speak(now=5.1)


def test_the_root_of_the_last_growth_stays_unless_another_is_much_nearer() -> None:
    for rank_of_other, comes in ((160, False), (140, True)):
        beacons = made()
        assert beacons.ours(200, now=10.0) is not None
        assert beacons.decided(now=11.0) is not None
        own = beacons.ours(200, now=80.0)
        assert own is not None and own.rank == 200 * REIGNS
        assert beacons.came(Beacon(rank_of_other, b"another."), 1, now=80.1) == comes
    assert beacons.decided(now=90.0) is not None
    other = beacons.ours(200, now=200.0)
    assert other is not None and other.rank == 200, "it was root no more"


def test_a_growth_is_open_to_better_ones_for_a_moment_and_to_few() -> None:
    beacons = made()
    beacons.came(FAIR, 1, now=5.0)
    assert not beacons.came(GOOD, 1, now=5.0 + OPEN_FOR)
    beacons = made()
    taken = [beacons.came(Beacon(1_000 - n, b"n" * 8), 1, now=5.0) for n in range(100)]
    assert sum(taken) == MAX_TAKEN


def test_a_minute_lies_between_two_growths_where_nothing_happens() -> None:
    beacons = made()
    beacons.came(FAIR, 1, now=5.0)
    assert beacons.decided(now=5.0 + SETTLE) is not None
    assert beacons.deadline == 5.0 + EVERY
    assert beacons.ours(200, now=5.0 + EVERY) is None
    assert beacons.deadline == 5.0 + EVERY + wait(200)
    assert beacons.ours(200, now=5.0 + EVERY + wait(200)) is not None


def test_where_the_tree_is_damaged_a_growth_begins_at_once() -> None:
    beacons = made()
    beacons.came(FAIR, 1, now=5.0)
    assert beacons.decided(now=5.0 + SETTLE) is not None
    beacons.damaged(now=30.0)
    beacons.damaged(now=30.1)
    assert beacons.deadline == 30.0 + MEND_AFTER
    assert beacons.ours(300, now=30.0 + MEND_AFTER) is None
    assert beacons.deadline == 30.0 + MEND_AFTER + wait(300) / HASTE
    assert beacons.ours(300, now=31.0) is not None
    assert beacons.decided(now=32.0) is not None and beacons.deadline == 31.0 + EVERY, "mended"


def test_links_that_go_while_the_first_come_up_are_no_damage() -> None:
    beacons = made()
    beacons.damaged(now=FIRST - 0.1)
    assert beacons.deadline == FIRST and beacons.ours(300, now=FIRST) is None
    assert beacons.deadline == FIRST + wait(300)


def test_of_a_damage_that_others_have_seen_first_nothing_is_said_again() -> None:
    beacons = made()
    beacons.damaged(now=30.0)
    assert beacons.came(GOOD, 1, now=30.1)
    assert beacons.decided(now=31.0) is not None and beacons.deadline == 30.1 + EVERY


@pytest.mark.mesh_attack("N22")
def test_where_nodes_come_and_go_all_the_time_growths_are_seldom() -> None:
    """Whoever speaks, too: nobody can make us take part in more."""
    beacons, begun = made(), []
    for step in range(3_000):
        now = 10 + step / 10
        beacons.damaged(now=now)
        mine = beacons.ours(200, now=now) if beacons.may_speak(now=now) else None
        if mine or beacons.came(Beacon(0, step.to_bytes(8, "big")), 1, now=now):
            begun.append(now)
        beacons.decided(now=now)
    begun = [now for earlier, now in pairwise([0.0, *begun]) if now - earlier > OPEN_FOR]
    pauses = [later - earlier for earlier, later in pairwise(begun)]
    assert all(pause >= SOON - OPEN_FOR for pause in pauses)
    assert 2 <= len(pauses) <= 15, "of 300 seconds"
    assert max(pauses) >= EVERY / 2


@st.composite
def meshes(draw: st.DrawFn) -> tuple[list[int], dict[tuple[int, int], float]]:
    """Ranks, and the seconds between some pairs of nodes, by which all are connected."""
    ranks = draw(st.lists(st.integers(100, 400), min_size=2, max_size=9))
    seconds = st.floats(0.005, 0.03)
    wires = {(draw(st.integers(0, node - 1)), node): draw(seconds) for node in range(1, len(ranks))}
    for pair in draw(st.lists(st.tuples(st.integers(0, len(ranks) - 1), st.integers(0, len(ranks) - 1)))):
        if pair[0] < pair[1]:
            wires.setdefault(pair, draw(seconds))
    return ranks, wires


@given(meshes())
@settings(max_examples=200, deadline=None)
def test_all_choose_the_same_root_and_the_links_of_its_beacon_are_one_tree(
    mesh: tuple[list[int], dict[tuple[int, int], float]],
) -> None:
    ranks, wires = mesh
    ends = wires | {(b, a): seconds for (a, b), seconds in wires.items()}
    nodes = [made(bytes([number])) for number in range(len(ranks))]
    events: list[tuple[float, int, int, int, Beacon | None]] = []
    for number, of in enumerate(ranks):
        events += [(at, -number, number, number, None) for at in (FIRST, FIRST + wait(of))]
    heapq.heapify(events)
    order = count(1)
    while events:
        now, _, node, link, beacon = heapq.heappop(events)
        goes = beacon if beacon is not None and nodes[node].came(beacon, link, now=now) else None
        if (beacon is None or goes) and nodes[node].may_speak(now=now):
            own = nodes[node].ours(ranks[node], now=now)
            goes, link = (own, node) if own is not None else (goes, link)
        for (here, there), seconds in ends.items():
            if goes is not None and here == node and there != link:
                heapq.heappush(events, (now + seconds, next(order), there, here, goes))
    roots = [beacons.decided(now=99.0) for beacons in nodes]
    chosen = {None if root is None else root.beacon for root in roots}
    assert len(chosen) == 1 and None not in chosen
    best = min(ranks)
    assert {beacon.rank for beacon in chosen if beacon} == {best}
    tree = {frozenset((n, root.link)) for n, root in enumerate(roots) if root and root.link is not None}
    cut = {frozenset((n, link)) for n, root in enumerate(roots) if root for link in root.again}
    assert len(tree) == len(ranks) - 1 and tree | cut == {frozenset(pair) for pair in wires}
    assert not tree & cut

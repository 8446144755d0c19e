"""Who is asked for what several peers have announced, and who next."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from node.mesh import wants as module
from node.mesh.wants import ANSWER_WITHIN, MAX_FLIGHTS, MAX_HOLDERS, MAX_OWED, MAX_WANTED_OF_LINK, Wants
from node.wire.frames import MAX_IDS

X, Y = b"x" * 16, b"y" * 16


def linked(*links: int) -> Wants:
    wants = Wants()
    for link in links:
        wants.opened(link)
    return wants


def asked(wants: Wants, link: int, now: float = 0.0) -> list[tuple[bytes, ...]]:
    return list(wants.to_ask(link, now=now))


def ids(count: int, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(16) for _ in range(count)]


def test_one_peer_at_a_time_is_asked_in_the_order_in_which_they_announced() -> None:
    wants = linked(1, 2, 3)
    assert all(wants.announced(link, X) for link in (1, 2, 3, 2))
    assert asked(wants, 2) == asked(wants, 3) == [] and asked(wants, 1) == [(X,)]
    assert wants.expects(1) and not wants.idle(1) and asked(wants, 1) == [], "once"
    assert wants.gone(1, (X,)) == {2} and asked(wants, 2) == [(X,)]
    assert wants.gone(1, (X,)) == set(), "it is asked of another by now"
    assert wants.closed(2) == {3} and asked(wants, 3) == [(X,)]
    assert wants.answered(3) == set() and len(wants) == 0, "nobody is left to be asked"


def test_who_announces_twice_or_after_three_others_is_not_asked_again() -> None:
    wants = linked(1, 2, 3, 4)
    for link in (1, 1, 2, 3, 4):
        assert wants.announced(link, X)
    assert MAX_HOLDERS == 3
    assert [wants.gone(link, (X,)) for link in (1, 2, 3)] == [{2}, {3}, set()]
    assert len(wants) == 0


def test_what_is_here_is_asked_of_nobody() -> None:
    wants = linked(1, 2)
    wants.announced(1, X)
    wants.announced(1, Y)
    wants.arrived(X)
    assert asked(wants, 1) == [(Y,)] and len(wants) == 1
    wants.arrived(Y)
    assert wants.answered(1) == set() and wants.idle(1) and not wants.expects(1)


def test_a_peer_is_asked_for_a_frame_of_ids_at_a_time_and_two_frames_at_once() -> None:
    wants = linked(1)
    many = ids(3 * MAX_IDS)
    for prefix in many:
        wants.announced(1, prefix)
    flights = asked(wants, 1)
    assert [len(flight) for flight in flights] == [MAX_IDS] * MAX_FLIGHTS
    wants.answered(1)
    assert asked(wants, 1) == [tuple(many[2 * MAX_IDS :])]


def test_a_peer_that_stops_answering_keeps_what_it_was_not_asked_until_it_owes_too_much() -> None:
    wants = linked(1, 2)
    many = ids(9 * MAX_IDS)
    for prefix in many:
        wants.announced(1, prefix)
        wants.announced(2, prefix)
    now = 0.0
    for late in range(MAX_FLIGHTS, MAX_OWED, MAX_FLIGHTS):
        assert len(asked(wants, 1, now)) == MAX_FLIGHTS and wants.deadline == now + ANSWER_WITHIN
        assert wants.overdue(now=now + ANSWER_WITHIN - 0.1) == set()
        now += ANSWER_WITHIN
        assert wants.overdue(now=now) == {1, 2}
        assert len(wants._lines[2].waiting) == late * MAX_IDS, "what it was asked, and nothing else"
    asked(wants, 1, now)
    wants.overdue(now=now + ANSWER_WITHIN)
    assert asked(wants, 1, now) == [] and not wants.announced(1, X)
    assert len(wants._lines[2].waiting) == len(many), "all of it"


def test_a_late_answer_is_counted_for_what_is_owed_longest() -> None:
    wants = linked(1, 2)
    wants.announced(1, X)
    asked(wants, 1)
    assert wants.overdue(now=ANSWER_WITHIN) == {1}
    wants.announced(1, Y)
    wants.announced(2, Y)
    assert asked(wants, 1, ANSWER_WITHIN) == [(Y,)]
    assert wants.answered(1) == set() and wants.expects(1), "that was for the first"
    assert wants.answered(1) == {2}


def test_what_peers_announce_is_bounded_for_each_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    wants = linked(1, 2)
    taken = [wants.announced(1, prefix) for prefix in ids(MAX_WANTED_OF_LINK + 5)]
    assert taken == [True] * MAX_WANTED_OF_LINK + [False] * 5
    assert wants.announced(2, X), "one takes nothing from another"
    monkeypatch.setattr(module, "MAX_WANTED", len(wants))
    assert not wants.announced(2, Y) and wants.announced(1, X)
    assert not wants.announced(9, bytes(16)), "a link that is gone"


@given(st.integers(0, 10_000))
def test_whatever_peers_do_nothing_is_asked_of_two_or_of_who_did_not_announce_it(seed: int) -> None:
    rng = random.Random(seed)
    wants, links, prefixes = linked(1, 2, 3), [1, 2, 3], ids(6)
    said: set[tuple[int, bytes]] = set()
    under_way: dict[int, list[tuple[bytes, ...]]] = {link: [] for link in links}
    now = 0.0
    for _ in range(60):
        now += rng.choice((0.1, 3.0, ANSWER_WITHIN))
        link, prefix = rng.choice(links), rng.choice(prefixes)
        match rng.randrange(5):
            case 0 | 1:
                wants.announced(link, prefix)
                said.add((link, prefix))
            case 2:
                for flight in wants.to_ask(link, now=now):
                    assert all((link, one) in said for one in flight)
                    held = [one for other in links if other != link for one in sum(under_way[other], ())]
                    assert not set(flight) & set(held)
                    under_way[link].append(flight)
            case 3 if under_way[link]:
                wants.answered(link)
                under_way[link].pop(0)
            case _:
                if wants.overdue(now=now):
                    under_way = {link: list(wants._lines[link].flights) for link in links}
    for link in links:
        wants.closed(link)
    assert len(wants) == 0 and wants.deadline is None

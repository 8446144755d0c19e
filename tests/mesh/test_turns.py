"""Who is asked for which day, and what was asked in vain."""

from __future__ import annotations

from node.mesh.tried import AGAIN_AFTER, MAX_TRIED, Tried
from node.mesh.turns import HELD_FOR, MAX_CLAIMS, MAX_PEERS, QUIET_FOR, Turns

ONE, OTHER = (1, 1), (2, 1)


def test_a_day_is_asked_of_another_when_the_first_is_done_quiet_or_too_long() -> None:
    turns = Turns()
    assert turns.is_free(5, ONE, now=0.0)
    turns.claim(5, ONE, begun=True, now=0.0)
    assert turns.is_free(5, ONE, now=0.0) and not turns.is_free(5, OTHER, now=0.0)
    assert turns.is_free(6, OTHER, now=0.0), "another day"
    assert turns.free_at(5) == QUIET_FOR and turns.is_free(5, OTHER, now=QUIET_FOR)
    for second in range(1, 40):
        turns.moved(5, ONE, now=float(second))
    assert turns.free_at(5) == HELD_FOR
    turns.done(5, OTHER)
    assert not turns.is_free(5, OTHER, now=10.0), "somebody else's"
    turns.done(5, ONE)
    assert turns.is_free(5, OTHER, now=10.0)


def test_what_a_link_or_a_round_was_asked_for_is_free_when_it_is_over() -> None:
    turns = Turns()
    turns.claim(5, (1, 1), begun=True, now=0.0)
    turns.claim(6, (1, 2), begun=True, now=0.0)
    turns.over((1, 1))
    assert turns.is_free(5, OTHER, now=0.0) and not turns.is_free(6, OTHER, now=0.0)
    turns.closed(1)
    assert turns.is_free(6, OTHER, now=0.0)


def test_days_that_nobody_else_has_do_not_fill_the_memory() -> None:
    turns = Turns()
    for day in range(10 * MAX_CLAIMS):
        turns.claim(day, ONE, begun=True, now=0.0)
    assert len(turns._claims) == MAX_CLAIMS
    turns.claim(1 << 31, OTHER, begun=True, now=HELD_FOR)
    assert not turns.is_free(1 << 31, ONE, now=HELD_FOR)
    for number in range(1_000):
        turns.tried(number.to_bytes(32, "big"))
    assert len(turns._tried) == MAX_PEERS


def test_of_two_days_asked_for_at_once_the_second_has_its_time_when_the_first_is_answered() -> None:
    turns = Turns()
    turns.claim(5, ONE, begun=False, now=0.0)
    turns.begin(5, OTHER, now=1.0)
    turns.begin(6, ONE, now=1.0)
    assert turns.free_at(5) == QUIET_FOR and turns.free_at(6) == float("-inf")
    turns.begin(5, ONE, now=2.0)
    assert turns.free_at(5) == 2.0 + QUIET_FOR
    turns.begin(5, ONE, now=4.0)
    assert turns.free_at(5) == 2.0 + QUIET_FOR, "once"


def test_the_peers_that_were_asked_last_are_remembered() -> None:
    turns = Turns()
    kept = turns.tried(b"kept")
    for number in range(1_000):
        turns.tried(number.to_bytes(32, "big"))
        assert turns.tried(b"kept") is kept


def test_where_the_gap_begins_moves_with_what_comes_until_a_round_is_finished() -> None:
    turns = Turns()
    turns.reached(50)
    assert turns.before_ms is None
    turns.alone(100)
    turns.alone(900)
    assert turns.before_ms == 100, "a second link that comes and goes changes nothing"
    turns.reached(300)
    turns.reached(200)
    assert turns.before_ms == 300
    turns.claim(5, ONE, begun=True, now=0.0)
    turns.finished(now=1.0)
    assert turns.before_ms == 300, "another peer is still answering"
    turns.done(5, ONE)
    turns.finished(now=2.0)
    assert turns.before_ms is None


def test_what_was_answered_is_asked_again_when_something_has_changed_or_after_ten_minutes() -> None:
    tried = Tried()
    assert tried.ask(5, b"state", now=0.0)
    assert tried.ask(5, b"state", now=1.0), "it was not answered yet"
    tried.answered(5, now=2.0)
    assert not tried.ask(5, b"state", now=3.0)
    assert tried.ask(6, b"state", now=3.0)
    assert tried.ask(5, b"other", now=3.0)
    assert not tried.ask(5, b"state", now=2.0 + AGAIN_AFTER - 0.1)
    assert tried.ask(5, b"state", now=2.0 + AGAIN_AFTER)
    tried.failed()
    assert tried.ask(5, b"state", now=3.0)


def test_what_was_tried_is_bounded() -> None:
    tried = Tried()
    for day in range(1_000):
        assert tried.ask(day, b"s", now=0.0)
        tried.answered(day, now=0.0)
    for day in range(2_000, 4_000):
        assert tried.ask(day, b"s", now=0.0)
    assert len(tried._answered) == len(tried._asked) == MAX_TRIED

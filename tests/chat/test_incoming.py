"""Requests that wait for the owner: how often they are told of, and when they are over."""

from __future__ import annotations

from random import Random

import pytest

from node.chat import events, incoming
from node.chat.incoming import KEEP_MS, TELLS, TELLS_MS, Incoming
from node.chat.people import People, Person
from node.chat.turn import Logged, Turn
from node.clock import Instant
from tests.chat.room_samples import ADA, BEN, NOW

ANN = Person(ADA.account, "ann")


def turn(after_ms: int = 0) -> Turn:
    return Turn(Instant(0.0, NOW + after_ms), NOW + after_ms, Random(1).randbytes, 0)


def told(at: Turn) -> list[type]:
    return [type(one.event) for one in at.out if isinstance(one, Logged)]


def empty() -> Incoming:
    people = People(BEN.account, "ben")
    people.restore(ANN)
    return Incoming(people)


def test_frontends_hear_of_a_request_once_and_of_one_that_is_made_again_some_times_a_week() -> None:
    waits, at = empty(), turn()
    waits.keep(at, ANN, "hello")
    waits.keep(at, ANN, "hello again")
    assert told(at) == [events.ContactRequested]
    assert (kept := waits.of(ANN)) is not None and kept.message == "hello again"
    for _ in range(2 * TELLS):
        waits.taken_back(at, ANN)
        assert waits.of(ANN) is None
        waits.keep(at, ANN, "")
    assert told(at).count(events.ContactRequested) == TELLS
    waits.taken_back(at, ANN)
    later = turn(TELLS_MS)
    waits.keep(later, ANN, "")
    assert told(later) == [events.ContactRequested]


def test_one_that_was_taken_back_counts_for_a_week_and_one_that_is_not_repeated_ends() -> None:
    waits, at = empty(), turn()
    waits.keep(at, ANN, "")
    waits.taken_back(at, ANN)
    waits.expire(turn(TELLS_MS - 1))
    assert waits.waiting
    over = turn(TELLS_MS)
    waits.expire(over)
    assert not waits.waiting and told(over) == []
    waits.keep(at, ANN, "")
    waits.expire(turn(KEEP_MS - 1))
    assert waits.of(ANN) is not None
    over = turn(KEEP_MS)
    waits.expire(over)
    assert not waits.waiting and told(over) == [events.ContactRequestCancelled]
    assert over.rows == {("requests", b"w" + ANN.account): None}


def test_no_more_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MAX_REQUESTS", 1)
    waits = empty()
    waits.keep(turn(), ANN, "")
    assert waits.fits(ANN.account) and not waits.fits(bytes(32))

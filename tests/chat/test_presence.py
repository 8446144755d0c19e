"""Beats: two lost ones are forgiven, the third makes somebody gone."""

from __future__ import annotations

import pytest

from node.chat.presence import (
    ALIVE,
    AWAY,
    BEAT_EVERY,
    BUSY,
    GONE_AFTER,
    STOPPED,
    Presence,
    Seen,
    State,
    read,
)

ANN = b"a" * 32


def test_somebody_silent_for_150_seconds_is_gone_once_and_back_with_the_next_beat() -> None:
    presence = Presence()
    presence.watch(ANN, 0)
    assert presence.deadline == GONE_AFTER
    assert presence.expire(GONE_AFTER - 1) == []
    assert presence.expire(GONE_AFTER) == [ANN]
    assert presence.expire(GONE_AFTER + 1) == []
    assert not presence.here(ANN)
    assert presence.beat(ANN, ALIVE, 200) == "reconnect"
    assert presence.beat(ANN, ALIVE, 260) is None


def test_a_clean_stop_says_so_at_once() -> None:
    presence = Presence()
    presence.watch(ANN, 0)
    assert presence.beat(ANN, STOPPED, 1) == "disconnect"
    assert presence.beat(ANN, STOPPED, 2) is None


def test_beats_of_strangers_mean_nothing() -> None:
    assert Presence().beat(ANN, ALIVE, 0) is None


def test_our_own_beat_is_due_every_minute() -> None:
    presence = Presence()
    assert presence.beat_due(0)
    assert not presence.beat_due(BEAT_EVERY - 1)
    assert presence.beat_due(BEAT_EVERY)


@pytest.mark.parametrize("seen", [Seen(state, busy) for state in State for busy in (False, True)])
def test_what_a_beat_says_is_read_as_it_was_meant(seen: Seen) -> None:
    said, last = read(seen.body)
    assert said.state is seen.state and not last
    assert said.busy is (seen.busy and seen.state is not State.OFFLINE)


def test_the_last_beat_is_the_last_and_what_nobody_knows_yet_means_online() -> None:
    assert read(STOPPED) == (Seen(State.OFFLINE), True)
    for body in (9, 15, None, "x", -3, True):
        assert read(body) == (Seen(State.ONLINE), False)


def test_nobody_is_seen_before_they_are_heard_nor_once_they_are_gone() -> None:
    presence = Presence()
    presence.watch(ANN, 0)
    assert presence.here(ANN) and presence.seen(ANN) == Seen(State.OFFLINE)
    presence.beat(ANN, AWAY + BUSY, 1)
    assert presence.seen(ANN) == Seen(State.AWAY, busy=True)
    presence.expire(1 + GONE_AFTER)
    assert presence.seen(ANN) == Seen(State.OFFLINE)


def test_a_beat_can_be_brought_forward_and_not_put_off() -> None:
    presence = Presence()
    assert presence.beat_due(0)
    presence.beat_by(BEAT_EVERY + 9)
    assert presence.next_beat == BEAT_EVERY
    presence.beat_by(5)
    assert not presence.beat_due(4) and presence.beat_due(5)

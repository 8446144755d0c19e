"""Beats: two lost ones are forgiven, the third makes somebody gone."""

from __future__ import annotations

from node.chat.presence import ALIVE, BEAT_EVERY, GONE_AFTER, STOPPED, Presence

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

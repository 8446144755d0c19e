"""Channels with messages left unopened: when they are read again, and when for good."""

from __future__ import annotations

from node.chat.behind import MAX_BEHIND, Behind, Reading
from node.chat.timeline import GAP_AFTER_LINK

ROOM = (1, b"r" * 16, b"e" * 16)


def test_each_finished_sync_reads_again_and_the_second_one_for_good() -> None:
    behind = Behind()
    assert behind.note(ROOM, 500, 0.0)
    assert behind.peer_finished(7, linked=3, now=1.0) == [Reading(ROOM, 500, final=False)]
    behind.note(ROOM, 600, 1.5)
    assert not behind.done(ROOM)
    assert behind.peer_finished(8, linked=3, now=2.0) == [Reading(ROOM, 500, final=True)]
    assert behind.done(ROOM)
    assert ROOM not in behind
    assert behind.peer_finished(9, linked=3, now=3.0) == []


def test_with_one_peer_its_word_is_enough() -> None:
    behind = Behind()
    behind.note(ROOM, 500, 0.0)
    assert behind.peer_finished(7, linked=1, now=1.0) == [Reading(ROOM, 500, final=True)]


def test_a_channel_is_not_read_twice_at_once() -> None:
    behind = Behind()
    behind.note(ROOM, 500, 0.0)
    assert behind.peer_finished(7, linked=1, now=1.0)
    assert behind.peer_finished(7, linked=1, now=2.0) == []
    assert behind.deadline is None


def test_reading_goes_back_to_the_oldest_message_left() -> None:
    behind = Behind()
    assert behind.note(ROOM, 500, 0.0)
    assert not behind.note(ROOM, 600, 1.0)
    assert behind.note(ROOM, 400, 2.0)
    assert behind.peer_finished(7, linked=1, now=3.0) == [Reading(ROOM, 400, final=True)]


def test_after_a_minute_it_is_read_whatever_the_peers_say() -> None:
    behind = Behind()
    behind.note(ROOM, 500, 5.0)
    assert behind.deadline == 5.0 + GAP_AFTER_LINK
    assert behind.due(5.0 + GAP_AFTER_LINK - 1) == []
    assert behind.due(5.0 + GAP_AFTER_LINK) == [Reading(ROOM, 500, final=True)]
    assert behind.done(ROOM) and behind.deadline is None


def test_what_is_noted_is_bounded() -> None:
    behind = Behind()
    for number in range(MAX_BEHIND):
        assert behind.note((1, number.to_bytes(16, "big"), b""), 1, 0.0)
    assert not behind.note(ROOM, 1, 0.0)

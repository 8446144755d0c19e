"""When messages go: the next first, after a start too, and never more of them than are kept."""

from __future__ import annotations

import pytest

from node.chat import expiring
from node.chat.expiring import LOOK_AGAIN, ROW, Expiring
from node.chat.turn import Turn, unpack_row
from node.clock import Instant
from node.sim import stream
from node.tables import Table

ROOM = b"r" * 16


def turn(mono: float = 0.0, mesh_ms: int = 0) -> Turn:
    return Turn(Instant(mono, mesh_ms), mesh_ms, stream("expiring"), 0)


def mid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_what_is_due_first_goes_first_and_is_looked_for_each_minute_at_least() -> None:
    waiting, at = Expiring(), turn()
    waiting.note(at, ROOM, mid(2), 300_000)
    assert waiting.deadline == LOOK_AGAIN
    waiting.note(at, ROOM, mid(1), 30_000)
    waiting.note(at, ROOM, mid(1), 30_000)
    assert waiting.deadline == 30 and len(at.rows) == 2
    assert waiting.due(turn(10, 40_000)) == []
    assert waiting.due(turn(30, 30_000)) == [(ROOM, mid(1))]
    assert waiting.deadline == 30 + LOOK_AGAIN


def test_a_stored_end_is_looked_at_right_after_a_start_and_its_row_goes_when_it_is_done() -> None:
    waiting, at = Expiring(), turn()
    waiting.note(at, ROOM, mid(1), 1000)
    ((_, key),) = at.rows
    again, later = Expiring(), turn(5, 2000)
    again.restore(key[len(ROW) :], unpack_row(at.rows[Table.PENDING, key] or b"", int), 5.0)
    assert again.deadline == 5
    assert again.due(later) == [(ROOM, mid(1))] and later.rows == {}
    again.done(later, ROOM, mid(1))
    assert later.rows == {(Table.PENDING, key): None} and again.deadline is None


def test_of_too_many_that_which_is_due_next_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "MAX_EXPIRING", 3)
    waiting, at = Expiring(), turn()
    for number in range(5):
        waiting.note(at, ROOM, mid(number), 10_000 - number)
    assert waiting.deadline == 0
    assert waiting.due(at) == [(ROOM, mid(4)), (ROOM, mid(3))]


def test_messages_that_were_deleted_do_not_count_among_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "MAX_EXPIRING", 3)
    waiting, at = Expiring(), turn()
    waiting.note(at, ROOM, mid(0), 10_000)
    for number in range(1, 50):
        waiting.note(at, ROOM, mid(number), 20_000 + number)
        waiting.done(at, ROOM, mid(number))
    assert waiting.due(turn()) == [] and waiting.deadline == 10
    assert len(waiting._heap) <= 2 * 3 + 1
    assert waiting.due(turn(10, 10_000)) == [(ROOM, mid(0))]

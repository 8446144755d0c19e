"""Which of our messages stands at which index."""

from __future__ import annotations

import pytest

from node.chat.sent import BLOCK, NOTHING, Sent, SentRow
from node.chat.turn import Turn, unpack_row
from node.clock import DAY_MS, HORIZON_DAYS, Instant
from node.sim import stream
from node.tables import Table

ROOM, EPOCH = b"r" * 16, b"e" * 16


def turn(day: int = 0) -> Turn:
    return Turn(Instant(0.0, day * DAY_MS), day * DAY_MS, stream("sent"), 0)


def mid(number: int) -> bytes:
    return (number + 1).to_bytes(16, "big")


def filled(count: int, ledger: Turn, *, start: int = 0) -> Sent:
    sent = Sent()
    for number in range(start, start + count):
        sent.note(ledger, ROOM, EPOCH, number, mid(number))
    return sent


def test_every_index_is_found_again_after_a_start_and_none_that_was_not_sent() -> None:
    ledger, again = turn(), Sent()
    sent = filled(3 * BLOCK - 6, ledger)
    tail = sent.note(ledger, ROOM, EPOCH, 3 * BLOCK - 6, mid(3 * BLOCK - 6))
    assert tail is not None and len(ledger.rows) == 2
    again.restore(tail)
    for (table, key), data in ledger.rows.items():
        assert table == Table.OBJECTS and key.startswith(b"sent") and data is not None
        again.restore(unpack_row(data, SentRow))
    assert [again.at(EPOCH, n) for n in range(3 * BLOCK - 5)] == [mid(n) for n in range(3 * BLOCK - 5)]
    assert again.at(EPOCH, 3 * BLOCK - 5) is None and again.at(b"o" * 16, 0) is None
    assert again.find(mid(70)) == (EPOCH, 70)
    assert again.find(mid(999)) is None


def test_an_id_is_found_only_where_it_begins() -> None:
    sent, ledger = Sent(), turn()
    sent.note(ledger, ROOM, EPOCH, 0, b"a" * 8 + b"b" * 8)
    sent.note(ledger, ROOM, EPOCH, 1, b"c" * 8 + b"d" * 8)
    assert ledger.rows == {}, "it is stored with the chain"
    assert sent.find(b"b" * 8 + b"c" * 8) is None
    assert sent.find(b"c" * 8 + b"d" * 8) == (EPOCH, 1)


def test_a_home_that_began_to_take_note_in_the_middle_says_nothing_of_before() -> None:
    sent = filled(3, turn(), start=BLOCK + 10)
    assert sent.at(EPOCH, BLOCK + 9) is None
    assert sent.at(EPOCH, BLOCK + 10) == mid(BLOCK + 10)


def test_what_is_beyond_the_horizon_or_too_much_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = turn()
    sent = filled(2 * BLOCK, ledger)
    sent.note(turn(HORIZON_DAYS), ROOM, b"f" * 16, 0, NOTHING)
    later = turn(HORIZON_DAYS + 1)
    sent.expire(later)
    assert sent.at(EPOCH, 0) is None and sent.at(b"f" * 16, 0) == NOTHING
    assert list(later.rows.values()) == [None, None]
    monkeypatch.setattr("node.chat.sent.MAX_BLOCKS", 2)
    sent = filled(4 * BLOCK, ledger)
    assert sent.at(EPOCH, 2 * BLOCK - 1) is None and sent.at(EPOCH, 2 * BLOCK) is not None

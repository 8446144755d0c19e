"""First contact counts once, and is remembered as long as it could be told again."""

from __future__ import annotations

from random import Random

import pytest

from node.chat import replays
from node.chat.replays import REMEMBER_DAYS, Replays
from node.chat.turn import Turn
from node.clock import DAY_MS, Instant
from node.errors import CryptoFault
from tests.chat.room_samples import NOW


def turn(days: int = 0) -> Turn:
    at_ms = NOW + days * DAY_MS
    return Turn(Instant(0.0, at_ms), at_ms, Random(1).randbytes, 0)


def test_what_was_taken_is_refused_until_it_is_too_old_to_come_again() -> None:
    seen, at = Replays(), turn()
    mark = seen.mark(b"a request")
    assert seen.mark(b"a request") == mark, "only what was taken is refused"
    seen.remember(at, mark)
    with pytest.raises(CryptoFault, match="replayed"):
        seen.mark(b"a request")
    assert seen.mark(b"another") != mark
    seen.expire(turn(REMEMBER_DAYS))
    assert mark in seen.taken
    later = turn(REMEMBER_DAYS + 1)
    seen.expire(later)
    assert seen.mark(b"a request") == mark and later.rows == {("requests", b"r" + mark): None}


def test_of_more_than_can_be_told_twice_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "MAX_REPLAYED", 3)
    seen, at = Replays(), turn()
    marks = [seen.mark(bytes([number])) for number in range(5)]
    for mark in marks:
        seen.remember(at, mark)
    assert list(seen.taken) == marks[2:]
    assert [key[1:] for (_, key), row in at.rows.items() if row is None] == marks[:2]

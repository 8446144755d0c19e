"""Who was in a room when, for history: right, and cheap however often somebody came and went."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat.history import Past
from node.chat.membership import RoomLog
from node.crypto.ops import Leave
from tests.chat.room_samples import add_of, does, new_room, person

ANN, BEN = person(1), person(2)
TIMES = 120


def often() -> tuple[RoomLog, list[bytes], list[bytes]]:
    """Return a log in which ben came and went, with the ops by which he did."""
    log = new_room(ANN)
    came, went = [], []
    for _ in range(TIMES):
        came.append(does(log, ANN, add_of(BEN)).op_id)
        went.append(does(log, BEN, Leave(())).op_id)
    return log, came, went


@pytest.mark.attack("A36")
@pytest.mark.attack("A38")
def test_who_came_and_went_often_is_found_where_it_was_with_little_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, came, went = often()
    past = Past(log)
    asked: list[object] = []
    real = RoomLog.is_strict_ancestor

    def counted(self: RoomLog, *ids: Any) -> bool:
        asked.append(ids)
        return real(self, *ids)

    monkeypatch.setattr(RoomLog, "is_strict_ancestor", counted)
    assert [past.had(view, BEN.account) for view in came] == [True] * TIMES
    assert [past.had(view, BEN.account) for view in went] == [False] * TIMES
    assert not past.had(log.create.op_id, BEN.account)
    assert len(asked) < 2 * TIMES * 4 * TIMES
    assert not any(past.replaced(view, BEN.account, BEN.device) for view in came)


def test_a_device_is_replaced_for_who_knew_the_next_one_until_it_comes_again() -> None:
    log = new_room(ANN)
    first = does(log, ANN, add_of(BEN)).op_id
    away = does(log, BEN, Leave(())).op_id
    past = Past(log)
    assert not past.replaced(away, BEN.account, BEN.device)
    assert past.had(first, BEN.account) and not past.had(away, BEN.account)

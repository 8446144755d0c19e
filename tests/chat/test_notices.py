"""Notices: one a cause, bounded by number, age and person, told whenever they change."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat import events
from node.chat.notices import KEEP_READ_MS, MAX_NOTICES, MAX_OF_ONE, NOTICE, Notices
from node.chat.people import People
from node.chat.turn import Logged, Turn
from node.clock import Instant
from node.errors import Refused
from node.tables import Table

ANN, BOB = b"a" * 32, b"b" * 32


class Desk:
    """A book of notices, its stored rows, and a clock."""

    def __init__(self) -> None:
        self.notices = Notices(People(b"o" * 32, "olga"))
        self.rows: dict[bytes, bytes] = {}
        self.seq, self.now_ms, self.random = 0, 1_790_000_000_000, 0
        self.told: list[Any] = []

    def _entropy(self, size: int) -> bytes:
        self.random += 1
        return self.random.to_bytes(size, "big")

    def turn(self) -> Turn:
        return Turn(Instant(0.0, self.now_ms), self.now_ms, self._entropy, self.seq)

    def commit(self, turn: Turn) -> None:
        for (table, key), value in turn.rows.items():
            assert table == Table.NOTICES
            self.rows.pop(key, None) if value is None else self.rows.update({key: value})
        self.seq = turn.seq
        self.told += [out.event for out in turn.out if isinstance(out, Logged)]

    def add(self, cause: str, account: bytes = ANN, **data: Any) -> None:
        turn = self.turn()
        self.notices.add(turn, "mention", cause, account, data)
        self.commit(turn)

    def change(self, cause: str, **keys: Any) -> None:
        turn = self.turn()
        self.notices.change(turn, cause, **keys)
        self.commit(turn)

    def back(self, cause: str, **data: Any) -> None:
        turn = self.turn()
        self.notices.back(turn, cause, **data)
        self.commit(turn)

    def read(self, cause: str) -> None:
        turn, notice = self.turn(), self.notices.about(cause)
        assert notice is not None
        self.notices.read(turn, notice.notice_id)
        self.commit(turn)

    def listed(self, **keys: Any) -> list[str]:
        asked = {"limit": 1_000, "before": None, "is_read": None, "kind": None, **keys}
        return [row["data"].get("n") for row in self.notices.listing(**asked)[0]]

    def again(self) -> Notices:
        after = Notices(self.notices.people)
        after.restore(dict(reversed(self.rows.items())))
        return after


def test_a_cause_is_notified_once_and_comes_back_after_a_start_in_order() -> None:
    desk = Desk()
    for n in range(5):
        desk.add(f"cause {n}", n=n)
        desk.add(f"cause {n}", n="again")
    assert desk.listed() == [4, 3, 2, 1, 0]
    assert len(desk.told) == 5 and desk.notices.unread == 5
    after = desk.again()
    assert list(after.all.values()) == list(desk.notices.all.values())
    turn = desk.turn()
    after.add(turn, "mention", "cause 3", ANN, {})
    assert turn.out == [] and turn.rows == {}


def test_reading_is_told_once_and_reading_all_in_one_event() -> None:
    desk = Desk()
    for n in range(4):
        desk.add(f"cause {n}", n=n)
    desk.read("cause 1")
    desk.read("cause 1")
    assert [(e.is_read, e.unread) for e in desk.told[4:]] == [(True, 3)]
    turn = desk.turn()
    assert desk.notices.read_all(turn) == 3
    desk.commit(turn)
    assert desk.told[-1] == events.NotificationsRead(count=3, unread=0, seq=6)
    assert desk.notices.read_all(desk.turn()) == 0
    assert desk.again().unread == 0
    with pytest.raises(Refused, match="no notification"):
        desk.notices.read(desk.turn(), b"?" * 16)


def test_what_is_withdrawn_stays_marked_and_read_and_may_come_again_only_if_it_is_said_so() -> None:
    desk = Desk()
    desk.add("one", text="secret words")
    desk.change("one", withdrawn=True, text="")
    told = desk.told[-1]
    assert (told.withdrawn, told.is_read, told.data, told.unread) == (True, True, {}, 0)
    assert not any(b"secret" in row for row in desk.rows.values())
    assert not any(b"secret" in events.encode_json(event) for event in desk.told)
    desk.change("one", withdrawn=True, text="")
    desk.add("one")
    assert len(desk.told) == 2
    desk.change("one", withdrawn=True, again=True)
    desk.add("one", n=2)
    assert desk.told[-1].data == {"n": 2} and len(desk.notices.all) == 2
    assert list(desk.again().all) == list(desk.notices.all)


def test_what_was_withdrawn_and_is_there_again_is_unread_under_its_own_id() -> None:
    desk = Desk()
    desk.add("one", n=1)
    desk.back("one", n=2)
    desk.change("one", withdrawn=True)
    desk.back("one", n=3)
    desk.back("none")
    shown = [(told.withdrawn, told.is_read) for told in desk.told]
    assert shown == [(False, False), (True, True), (False, False)]
    assert desk.listed() == [3] and len({told.id for told in desk.told}) == 1


def test_of_one_person_only_so_many_are_kept_and_nobody_pushes_out_what_others_caused() -> None:
    desk = Desk()
    desk.add("of bob", BOB, n="bob")
    for n in range(MAX_OF_ONE + 10):
        desk.add(f"flood {n}", n=n)
    listed = desk.listed()
    assert len(listed) == MAX_OF_ONE + 1 and listed[-1] == "bob"
    assert listed[0] == MAX_OF_ONE + 9 and 9 not in listed


def test_beyond_the_most_the_oldest_read_one_goes_first_and_then_one_of_the_loudest() -> None:
    desk = Desk()
    people = MAX_NOTICES // MAX_OF_ONE
    for n in range(MAX_NOTICES):
        desk.add(f"cause {n}", bytes([n % people]) * 32, n=n)
    assert len(desk.notices.all) == MAX_NOTICES
    desk.read("cause 7")
    desk.add("one more", BOB, n="more")
    assert len(desk.notices.all) == MAX_NOTICES and desk.notices.about("cause 7") is None
    desk.add("another", BOB, n="another")
    assert len(desk.notices.all) == MAX_NOTICES and len(desk.rows) == MAX_NOTICES
    assert desk.listed()[:2] == ["another", "more"]
    assert desk.notices.about("cause 0") is None
    assert list(desk.again().all) == list(desk.notices.all)


def test_what_was_read_goes_after_its_time_and_what_was_not_stays() -> None:
    desk = Desk()
    desk.add("read")
    desk.add("unread")
    desk.read("read")
    desk.now_ms += KEEP_READ_MS + 1
    turn = desk.turn()
    desk.notices.expire(turn)
    desk.commit(turn)
    assert [notice.cause for notice in desk.notices.all.values()] == ["unread"]
    assert len(desk.rows) == 1 and all(key.startswith(NOTICE) for key in desk.rows)


def test_a_list_goes_on_where_it_ended_and_shows_only_what_is_asked_for() -> None:
    desk = Desk()
    for n in range(5):
        desk.add(f"cause {n}", n=n)
    desk.read("cause 4")
    rows, more = desk.notices.listing(limit=2, before=None, is_read=False, kind="mention")
    assert ([row["data"]["n"] for row in rows], more) == ([3, 2], True)
    third = desk.notices.about("cause 2")
    assert third is not None
    rows, more = desk.notices.listing(limit=2, before=third.notice_id, is_read=False, kind="mention")
    assert ([row["data"]["n"] for row in rows], more) == ([1, 0], False)
    assert desk.listed(is_read=True) == [4] and desk.listed(kind="invite") == []
    with pytest.raises(Refused, match="no notification"):
        desk.notices.listing(limit=2, before=b"?" * 16, is_read=None, kind=None)

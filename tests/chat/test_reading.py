from __future__ import annotations

from dataclasses import replace

import msgspec

from node.chat.direct import DirectRow
from node.chat.ledger import STEPS, since
from node.chat.people import ASKED, CONTACT, People, Person
from node.chat.reading import FOREVER, MAX_MEMBERS, Mark, Marks, Reading, Readings
from node.chat.receipting import Receipting
from node.chat.room import RoomRow
from node.chat.timeline import Item
from node.chat.turn import Turn, pack_row, unpack_row
from node.clock import Instant

ROOM, BOB, CAT = bytes(16), bytes([1]) * 32, bytes([2]) * 32


def a_turn(ms: int = 0) -> Turn:
    return Turn(Instant(ms / 1000, ms), ms, bytes, 0)


def an_item(number: int, account: bytes = BOB) -> Item:
    return Item(bytes([number]) * 16, bytes(16), account, 0, 0, "", "text", None, ())


def some_marks() -> Marks:
    people = People(bytes(32), "me")
    people.restore(Person(BOB, "bob", state=CONTACT))
    people.restore(Person(CAT, "cat", state=ASKED))
    return Marks(ROOM, people)


def test_one_mark_an_author_whatever_comes() -> None:
    marks, turn = some_marks(), a_turn()
    for number in range(1, 100):
        marks.shown(turn, an_item(number))
    assert marks.of == {BOB: Mark(bytes([99]) * 16)}
    assert turn.owed == {(ROOM, BOB)}


def test_strangers_and_large_rooms_leave_no_mark() -> None:
    marks, turn = some_marks(), a_turn()
    marks.shown(turn, an_item(1, CAT))
    marks.shown(turn, an_item(1), members=MAX_MEMBERS + 1)
    assert marks.of == {} and turn.owed == set()
    marks.shown(turn, an_item(1), members=MAX_MEMBERS)
    marks._people.receipting = Receipting(strangers=True)
    marks.shown(turn, an_item(2, CAT))
    assert marks.of.keys() == {BOB, CAT}


def test_a_mark_goes_when_its_author_knows_that_all_was_read() -> None:
    marks, turn = some_marks(), a_turn()
    marks.shown(turn, an_item(1))
    marks.told(BOB)
    assert marks.of == {BOB: Mark(bytes([1]) * 16, owed=False)}
    marks.read_all(turn)
    assert marks.of[BOB].due
    marks.told(BOB)
    assert marks.of == {}


def test_without_read_receipts_a_mark_goes_when_it_is_told_that_it_came() -> None:
    marks, turn = some_marks(), a_turn()
    marks._people.receipting = Receipting(read=False)
    marks.shown(turn, an_item(1))
    marks.read_all(turn)
    assert marks.of == {BOB: Mark(bytes([1]) * 16)}
    marks.told(BOB)
    assert marks.of == {}


def test_reading_in_part_says_of_others_only_what_is_sure() -> None:
    marks, turn = some_marks(), a_turn()
    marks._people.receipting = Receipting(strangers=True)
    marks.shown(turn, an_item(1, CAT))
    for number in (2, 3):
        marks.shown(turn, an_item(number))
    marks.read_up_to(turn, BOB, bytes([2]) * 16, {BOB})
    assert marks.of[BOB] == replace(Mark(bytes([3]) * 16), read=bytes([2]) * 16)
    assert marks.of[CAT].read == bytes([1]) * 16
    marks.shown(turn, an_item(4))
    assert marks.of[BOB].read == bytes([2]) * 16


def test_a_mute_ends_when_it_was_said_to_also_over_a_start() -> None:
    readings, turn = Readings(), a_turn(ms=10_000)
    readings.save(turn, Reading(ROOM, muted=70))
    assert readings.deadline == 70.0 and readings.over(69.9) == []
    assert readings.mute_of(ROOM) == {"muted": True, "muted_until": 70}
    again = Readings()
    again.restore(Reading(ROOM, muted=70), Instant(5.0, 60_000))
    assert again.deadline == 15.0
    assert [again.is_muted(ROOM, Instant(20.0, ms)) for ms in (69_999, 70_000)] == [True, False]
    again.save(turn, Reading(ROOM, muted=FOREVER))
    assert again.deadline is None and again.is_muted(ROOM, turn.now)
    assert again.mute_of(ROOM) == {"muted": True, "muted_until": None}


def test_the_moments_of_old_moves_are_given_up() -> None:
    steps = tuple((10 * n, n) for n in range(1, STEPS + 1))
    assert since(steps, 11) == 2 and since(steps, 10) == 1 and since(steps, 1_000) == 0


def test_rows_from_before_there_were_marks_are_read() -> None:
    old = msgspec.msgpack.decode(pack_row(RoomRow(ROOM, "member", (), None, 3, 2, "hi", 1)))
    assert old.pop("marks") == {}
    row = unpack_row(msgspec.msgpack.encode(old), RoomRow)
    assert row.marks == {} and row.unread == 2
    old = msgspec.msgpack.decode(pack_row(DirectRow(ROOM, BOB, (), None, 3, 2, None)))
    assert old.pop("marks") == {}
    assert unpack_row(msgspec.msgpack.encode(old), DirectRow).marks == {}
    kept = RoomRow(ROOM, "member", (), None, 3, 2, "hi", 1, {BOB: Mark(bytes(16), read=bytes(16))})
    assert unpack_row(pack_row(kept), RoomRow) == kept

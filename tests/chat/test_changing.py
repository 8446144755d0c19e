"""Changes on their way: one reading at a time, so that none is lost under another."""

from __future__ import annotations

from node import ids
from node.chat import changes, events
from node.chat.changes import Message
from node.chat.changing import READ_AT_ONCE, Changing
from node.chat.people import People, Person
from node.chat.timeline import copy_of
from node.chat.turn import Logged, Turn
from node.clock import Instant
from node.sim import stream
from node.wire.payload import Payload, Type

ANN, BOB = bytes([1]) * 32, bytes([2]) * 32
ROOM, MID = b"r" * 16, b"m" * 16


class NoRooms:
    """No conversation has anything to save."""

    def by_id(self, _room_id: bytes) -> None:
        return None


def fresh() -> Changing:
    people = People(ANN, "ann")
    people.restore(Person(BOB, "bob"))
    return Changing(NoRooms(), people)  # type: ignore[arg-type]  # it has the one method that is used


def turn() -> Turn:
    return Turn(Instant(0.0, 0), 0, stream("changing"), 0)


def edit(number: int, text: str, mid: bytes = MID) -> Payload:
    return Payload(number.to_bytes(16, "big"), number, number, Type.EDIT, [mid, text, [], None])


def said(changing: Changing, text: str = "one") -> bytes:
    user_id = changing.people.user_id(BOB)
    event = events.UserMessage(
        username="bob",
        timestamp=1,
        message=text,
        room=ids.text(ROOM),
        id=ids.text(MID),
        user_id=user_id,
        ts_ms=1,
    )
    return changes.write(Message(event))


def test_while_one_reading_is_under_way_no_other_begins_and_both_changes_count() -> None:
    changing, at, copy = fresh(), turn(), copy_of(MID, BOB)
    changing.take(at, ROOM, BOB, edit(1, "two"))
    changing.take(at, ROOM, BOB, edit(2, "three"))
    changing.want(at, ROOM, (b"x" * 16,))
    assert at.reads == [(ROOM, (MID, copy))]
    at = turn()
    changing.fetched(at, ROOM, [(MID, said(changing)), (copy, None)])
    changing.close(at, ROOM)
    ((room, mid, body),) = at.rewrites
    message = changes.read(body)
    assert (room, mid) == (ROOM, MID) and message is not None and message.event.message == "three"
    assert [out.event.message for out in at.out if isinstance(out.event, events.MessageEdited)] == [
        "two",
        "three",
    ]
    assert set(at.rows.values()) == {None}
    assert at.reads == [(ROOM, (b"x" * 16,))]
    at = turn()
    changing.fetched(at, ROOM, [(b"x" * 16, None)])
    changing.close(at, ROOM)
    assert (at.reads, at.rewrites) == ([], [])


def test_a_change_that_comes_while_its_message_is_read_is_applied_to_what_the_first_made_of_it() -> None:
    changing, at = fresh(), turn()
    changing.take(at, ROOM, BOB, edit(1, "two"))
    at = turn()
    changing.fetched(at, ROOM, [(MID, said(changing))])
    changing.close(at, ROOM)
    first = at.rewrites[0][2]
    reaction = Payload(b"z" * 16, 9, 9, Type.REACTION, [MID, BOB, "\N{CAT}", 1])
    at = turn()
    changing.take(at, ROOM, ANN, reaction)
    assert len(at.reads) == 1
    changing.fetched(at, ROOM, [(MID, first)])
    changing.close(at, ROOM)
    message = changes.read(at.rewrites[0][2])
    assert message is not None and message.event.message == "two"
    assert isinstance(message.event.reactions, list)


def test_readings_are_of_bounded_size_and_go_on_until_all_are_done() -> None:
    changing, at = fresh(), turn()
    wanted = [number.to_bytes(16, "big") for number in range(600)]
    changing.want(at, ROOM, wanted[:1])
    changing.want(at, ROOM, wanted)
    seen = [at.reads[0][1]]
    while True:
        at = turn()
        changing.close(at, ROOM)
        if not at.reads:
            break
        seen.append(at.reads[0][1])
    assert [len(mids) for mids in seen] == [1, READ_AT_ONCE, READ_AT_ONCE, 600 - 2 * READ_AT_ONCE]


def test_a_change_names_a_message_by_its_author_so_a_copied_id_takes_no_edit_of_another() -> None:
    changing, at, copy = fresh(), turn(), copy_of(MID, ANN)
    changing.take(at, ROOM, ANN, edit(1, "by ann"))
    theirs = said(changing)
    changing.fetched(at, ROOM, [(MID, theirs), (copy, None)])
    changing.close(at, ROOM)
    assert at.rewrites == []
    changing.take(at, ROOM, BOB, edit(2, "by bob"))
    changing.fetched(at, ROOM, [(MID, theirs)])
    changing.close(at, ROOM)
    assert b"by bob" in at.rewrites[0][2]


def test_what_waits_is_applied_before_its_message_is_first_shown() -> None:
    changing, at = fresh(), turn()
    changing.take(at, ROOM, BOB, edit(1, "two"))
    message = changes.read(said(changing))
    assert message is not None
    at = turn()
    at.log(message.event, message=(ROOM, MID))
    changing.shown(at)
    (out,) = at.out
    assert isinstance(out, Logged) and isinstance(out.event, events.UserMessage)
    assert (out.event.message, out.event.edited) == ("two", True) and out.line
    assert list(at.rows.values()) == [None]

"""The rooms protocol: what stands between a joining and its history is told once."""

from __future__ import annotations

import msgspec

from node.bridge.dialects.rooms_004.errors import payload_of
from node.bridge.dialects.rooms_004.telling import HISTORY
from node.chat import events
from node.errors import Refused
from tests.bridge.dialects.test_rooms_004 import ANN, BOB, FACTS, JOIN, ROOM, Bench, message

FILE = {"id": "f", "name": "a.png", "type": "image/png", "size": 9, "state": "ready", "url": "/f"}


def changes(text: str) -> list[events.Event]:
    by_bob = {"room": ROOM, "username": "bob", "user_id": BOB}
    return [
        events.MessageEdited(**by_bob, id="m1", message=text, edited_ms=8_000, seq=11),
        events.MessageDeleted(**by_bob, id="m2", reason="deleted", seq=12),
        events.MessageHealed(
            **by_bob, placeholder="p", missing=0, id="m3", message="late", timestamp=1, ts_ms=1, seq=13
        ),
    ]


def test_a_change_that_the_history_has_already_is_not_told_after_it() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.answer(**FACTS)
    bench.show(*changes("newer"))
    bench.show(*changes("new"))
    edited = message("newest", 1, edited=True, edited_ms=8_001)
    deleted = msgspec.structs.replace(message("", 2), deleted=True)
    bench.give([edited, deleted, message("late", 3)])
    assert bench.order() == ["history", "user_joined"]


def test_of_two_edits_in_one_millisecond_the_last_is_told_last() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.answer(**FACTS)
    bench.show(changes("first")[0], changes("second")[0])
    bench.give([message("second", 1, edited=True, edited_ms=8_000)])
    assert [line["content"] for line in bench.told()][-1] == "[edited] second"


def test_a_message_that_is_deleted_in_the_history_gets_no_words_again() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.answer(**FACTS)
    bench.show(changes("new")[0])
    bench.give([msgspec.structs.replace(message("", 1), deleted=True)])
    assert bench.order() == ["history", "user_joined"]


def test_a_change_that_the_history_was_read_before_is_told_after_it() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.answer(**FACTS)
    bench.show(*changes("new"))
    bench.give([message("old", 1), message("still there", 2)])
    assert [line["content"] for line in bench.told()] == ["[edited] new", "[deleted]", "late"]


def test_a_history_has_fifty_lines_also_if_pictures_have_words_beside_them() -> None:
    bench = Bench(joined=False)
    bench.join([message("look", seq, kind="image", attachment=FILE) for seq in range(HISTORY)])
    (lines,) = bench.told("history")
    assert len(lines) == HISTORY and lines[-1]["id"] == f"m{HISTORY - 1}:text"


def test_one_is_called_the_same_among_the_members_as_everywhere() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", {**JOIN, "userId": "user-uuid", "username": "JohnDoe"}, mark=3)
    bench.answer(**FACTS)
    bench.give([])
    (done,) = [effect.value for effect in bench.done if hasattr(effect, "value")]
    assert done["members"] == [
        {"userId": "user-uuid", "username": "JohnDoe"}, {"userId": BOB, "username": "bob"},
    ]  # fmt: skip
    assert ANN not in str(done)


def test_a_refusal_names_the_key_that_the_frontend_sent() -> None:
    named = {"room": "roomId", "message": "content", "attachment": "content", "typing": "isTyping"}
    for ours, theirs in {**named, "name": "name"}.items():
        assert payload_of(None, Refused("invalid", "no", field=ours))["field"] == theirs

"""Our own changes, kept to be given again: the newest, and none that another made void."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.chat import sent_changes
from node.chat.dms import Dms
from node.chat.sent_changes import SentChanges
from node.chat.turn import Turn, unpack_row
from node.clock import HORIZON_DAYS, Instant
from node.sim import stream
from node.wire.payload import Payload, Type, decode, without_words

ROOM, MID, ANN = b"r" * 16, b"m" * 16, b"a" * 32


def turn(mesh_ms: int = 0) -> Turn:
    return Turn(Instant(0.0, mesh_ms), mesh_ms, stream("sent changes"), 0)


def change(number: int, kind: Type = Type.EDIT, *more: object, target: bytes = MID) -> Payload:
    body = {Type.EDIT: [target, f"words {number}", [], None], Type.DELETE: [target, ANN]}
    return Payload(number.to_bytes(16, "big"), number, number, kind, body.get(kind, [target, ANN, *more]))


def kept(made: SentChanges, count: int = 20) -> list[int]:
    return [number for number in range(count) if made.find(number.to_bytes(16, "big"))]


def test_what_another_change_makes_void_is_forgotten() -> None:
    made, at = SentChanges(ROOM), turn()
    for one in (
        change(1),
        change(2),
        change(3, Type.REACTION, "\N{CAT}", 1),
        change(4, Type.REACTION, "\N{DOG}", 1),
        change(5, Type.REACTION, "\N{CAT}", 0),
        change(6, target=b"o" * 16),
    ):
        made.note(at, one)
    assert kept(made) == [2, 4, 5, 6]
    made.note(at, change(7, Type.DELETE))
    assert kept(made) == [4, 5, 6, 7]
    rows = [row for row in at.rows.values() if row is not None]
    assert len(rows) == 4 and not any(b"words 2" in row for row in rows)
    again = SentChanges(ROOM)
    again.restore([unpack_row(row, bytes) for row in rows])
    assert kept(again) == [4, 5, 6, 7]


def test_there_is_a_bound_and_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_changes, "MAX_KEPT", 3)
    made, at = SentChanges(ROOM), turn()
    for number in range(6):
        made.note(at, change(number, target=number.to_bytes(16, "big")))
    assert kept(made) == [3, 4, 5]
    made.expire(turn(HORIZON_DAYS * 86_400_000 + 5))
    assert kept(made) == [5]


def test_words_that_wait_for_somebodys_first_answer_are_taken_back_too() -> None:
    dms, at = Dms(ANN), turn()
    text = Payload(MID, 1, 1, Type.TEXT, ["secret", "image", None, 60, [ANN], b"manifest"])
    for payload in (text, change(1), change(2, target=b"o" * 16)):
        assert not dms.send(at, b"b" * 32, payload)
    dms.unsay(at, b"b" * 32, MID)
    rows = b"".join(row for row in at.rows.values() if row is not None)
    assert b"secret" not in rows and b"manifest" not in rows and b"words 1" not in rows
    assert b"words 2" in rows
    assert len(dms.queue[b"b" * 32]) == 3


def test_what_is_given_up_takes_its_changes_along_and_leaves_room_for_more() -> None:
    dms, at = Dms(ANN), turn()
    text = Payload(MID, 1, 1, Type.TEXT, ["words", "text", None])
    later = replace(change(2), ts_ms=99)
    for payload in (text, change(1), later):
        dms.send(at, b"b" * 32, payload)
    assert dms.expire_queue(at, 50) == [(b"b" * 32, MID)]
    assert [decode(one.payload).ts_ms for one in dms.queue[b"b" * 32]] == [99]


def test_only_the_message_and_its_edits_lose_their_words() -> None:
    text = Payload(MID, 1, 1, Type.TEXT, ["", "image", None, 60, [], b"manifest"])
    wordless = without_words(text, MID)
    assert wordless is not None and wordless.body == ["", "image", None, 60, [], None]
    assert without_words(wordless, MID) is None
    assert without_words(text, b"o" * 16) is None
    assert without_words(change(1, Type.DELETE), MID) is None

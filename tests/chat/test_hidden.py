from __future__ import annotations

import json
from dataclasses import replace

from node import ids
from node.chat import backup, hidden
from node.chat.people import People, Person
from node.chat.timeline import Item
from node.chat.turn import Turn
from node.clock import Instant

ROOM = bytes(range(16))


def people() -> People:
    folk = People(bytes(32), "me")
    folk.restore(Person(b"b" * 32, "bob"))
    return folk


def turn() -> Turn:
    return Turn(Instant(0.0, 0), 0, bytes, 7)


def test_a_hidden_message_is_kept_by_its_id_alone_in_a_place_that_is_no_room() -> None:
    now = turn()
    said = Item(b"m" * 16, bytes(16), b"b" * 32, 5, 1, "the words", "text", b"r" * 16, ())
    hidden.keep(now, people(), ROOM, said)
    (placed,) = now.placed
    assert (placed.room, placed.mid, placed.seq) == (hidden.beside(ROOM), said.mid, 7)
    assert placed.room != ROOM and hidden.beside(placed.room) == ROOM
    assert "the words" not in repr(placed.event) and now.out == []


def test_a_backup_takes_it_along() -> None:
    from node.chat.events import encode_json

    now = turn()
    hidden.keep(now, people(), ROOM, Item(b"m" * 16, bytes(16), b"b" * 32, 5, 1, "x", "text", None, ()))
    event = now.placed[0].event
    assert event is not None
    kept = backup.message_of(7, encode_json(event))
    assert (kept.room, kept.mid) == (hidden.beside(ROOM), b"m" * 16)
    assert json.loads(kept.body)["room"] == ids.text(kept.room)


def test_references_are_looked_up_there_too_only_where_somebody_was_ever_blocked() -> None:
    folk, asked = people(), [(ROOM, (b"m" * 16,))]
    assert hidden.also(folk, asked) == asked
    folk.restore(replace(folk.by_account[b"b" * 32], blocked="told", blocked_ms=1))
    assert hidden.also(folk, asked) == [*asked, (hidden.beside(ROOM), (b"m" * 16,))]
    folk.restore(replace(folk.by_account[b"b" * 32], blocked=""))
    assert len(hidden.also(folk, asked)) == 2, "what was hidden stays so"
    assert not folk.hides(b"b" * 32)

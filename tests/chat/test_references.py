"""References to what is not here: explained by a hole, a hole of their own, or nothing to show."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from node.chat import references
from node.chat.holes import Hole, Holes, run_of
from node.chat.references import DOUBT_AFTER, LOOK_AFTER, References
from node.chat.room import Room
from node.chat.timeline import Item
from node.chat.turn import Turn, unpack_row
from node.wire.payload import Payload, Type, Words
from tests.engine.hostile import room_of, sending, turn_of
from tests.engine.worlds import trio


class Told:
    """The references of Ann's room, and what they had shown and asked for."""

    def __init__(self, seed: str, missing: int = 0) -> None:
        _, ann, bob, _, _ = trio(seed)
        self.room: Room = room_of(ann)
        self.turn: Turn = turn_of(ann)
        self.epoch16, self.bob = sending(ann).epoch16, bob.setup.identity
        self.holes = Holes(self.room.room_id)
        self.shown: list[Hole] = []
        self.asked: list[Hole] = []
        self.references = References(
            self.room,
            self.holes,
            lambda _, hole: self.shown.append(hole),
            lambda _, hole: self.asked.append(hole),
        )
        if missing:
            lacks = run_of(0, missing)
            device, account, now = self.bob.device_id, self.bob.account, self.turn.now.wall_ms
            self.hole = Hole(self.room.room_id, self.epoch16, device, account, 0, lacks, (), now)
            self.holes.save(self.turn, self.hole)

    def note(self, *refs: bytes, earlier: int = 0, account: bytes = b"") -> None:
        """Bob's message is shown, which refers to these; the last few of them to earlier epochs."""
        words = Words("x")
        payload = Payload(b"p" * 16, 1, 1, Type.TEXT, words.body())
        author = account or self.bob.account
        item = Item.of(b"p" * 16, self.epoch16, author, payload, refs, words=words, ts_ms=1, earlier=earlier)
        self.references.note(self.turn, structs.replace(item, gap=True))

    def later(self, seconds: float) -> None:
        self.turn = structs.replace(self.turn, now=self.turn.now.after(seconds), rows={})
        self.references.due(self.turn)


A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def test_what_nothing_explains_is_shown_as_missing_all_of_one_author_together() -> None:
    told = Told("named")
    told.note(A, B)
    [hole] = told.shown
    assert hole.names == (A, B) and hole.device_id == told.bob.account[:16] and not hole.quiet
    assert told.asked == []


def test_no_more_is_explained_than_a_hole_lacks_and_it_is_counted_again_when_it_lacks_less() -> None:
    told = Told("explained", missing=2)
    told.note(A, B, C)
    assert [hole.names for hole in told.shown] == [(C,)]
    told.holes.save(told.turn, told.hole.without(0))
    told.references.filled(told.turn.now.mono)
    told.later(LOOK_AFTER)
    assert [hole.names for hole in told.shown] == [(C,), (B,)]
    stored = told.turn.rows["pending", b"x" + told.room.room_id]
    assert stored is not None and list(unpack_row(stored, dict[bytes, bool])) == [A]


def test_what_a_hole_explains_too_long_is_asked_for_all_the_same() -> None:
    told = Told("doubt", missing=2)
    told.note(A, B)
    told.later(DOUBT_AFTER - 1.0)
    assert told.asked == []
    told.later(1.0)
    [hole] = told.asked
    assert hole.names == (A, B) and hole.quiet and told.shown == []


def test_what_may_be_from_before_we_came_is_asked_for_and_not_shown() -> None:
    told = Told("joined")
    held = told.room.epochs.held[told.epoch16]
    told.room.epochs.held[told.epoch16].row = replace(held.row, first=True)
    told.note(A, B, earlier=1)
    assert [hole.names for hole in told.shown] == [(A,)]
    assert [(hole.names, hole.quiet) for hole in told.asked] == [((B,), True)]


def test_references_of_somebody_who_is_gone_prove_nothing() -> None:
    told = Told("gone")
    told.note(A, account=b"g" * 32)
    assert told.shown == told.asked == []


@pytest.mark.attack("A36")
def test_who_refers_to_any_number_makes_us_remember_only_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(references, "MAX_EXPLAINED", 3)
    told = Told("many", missing=100)
    told.note(*(bytes([number]) * 16 for number in range(50)))
    stored = told.turn.rows["pending", b"x" + told.room.room_id]
    assert stored is not None and len(unpack_row(stored, dict[bytes, bool])) == 3

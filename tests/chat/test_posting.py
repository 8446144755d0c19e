"""Our attachments are posted part by part, at a pace, from where a stop left off."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from msgspec import structs

from node.chat.attachment_record import READY, Record
from node.chat.filing import PartRead, ReadPart
from node.chat.posting import PART_SECONDS, POSTED_AGAIN_MS, Posting
from node.chat.turn import Turn
from node.crypto import attachment as sealed
from node.sim import SimNode
from node.wire.manifest import Manifest
from tests.engine.hostile import turn_of
from tests.engine.test_attachments import content
from tests.engine.worlds import trio

PART = 32 * 1024


@dataclass
class Book:
    """What posting needs of the attachments."""

    records: dict[bytes, Record] = field(default_factory=dict)

    def save(self, turn: Turn, ident: bytes, record: Record) -> None:
        self.records[ident] = record


class Sent:
    """One attachment of three parts that Ann has sent, and its book."""

    def __init__(self, node: SimNode) -> None:
        self.book: Any = Book()
        self.posting = Posting(self.book)
        manifest: Manifest = node.files.seal("a.bin", "application/pdf", content(3 * PART - 2_000))
        self.ident, self.parts = sealed.id_of(manifest), len(manifest.blocks)
        self.record = Record(sealed.object_of(manifest), manifest.encode(), READY, 0)
        self.book.records[self.ident] = self.record
        self.turn = turn_of(node)

    def after(self, seconds: float) -> Turn:
        self.turn = structs.replace(self.turn, now=self.turn.now.after(seconds), posts=[], files=[], rows={})
        return self.turn

    def step(self, data: bytes | None = b"a part") -> int | None:
        """Let the part be read that is due; returns which that was."""
        self.posting.due(self.turn)
        order = next((one for one in self.turn.files if isinstance(one, ReadPart)), None)
        if order is not None:
            self.posting.read(self.turn, PartRead(order.name, order.index, data))
        return None if order is None else order.index


@pytest.fixture(scope="module")
def ann() -> SimNode:
    return trio("posting")[1]


def test_parts_go_out_one_by_one_and_the_attachment_is_then_known_as_posted(ann: SimNode) -> None:
    sent = Sent(ann)
    sent.posting.begin(sent.turn.now.mono)
    sent.posting.post(sent.turn, sent.ident, sent.record)
    for number in range(sent.parts):
        assert sent.step() == number and len(sent.turn.posts) == 1
        sent.after(PART_SECONDS / 2)
        assert sent.step() is None, "the next one has to wait"
        sent.after(PART_SECONDS / 2)
    assert sent.posting.deadline is None and sent.posting.left == {}
    posted = sent.book.records[sent.ident]
    assert posted.posted_ms > 0
    sent.posting.post(sent.turn, sent.ident, posted)
    assert sent.posting.left == {}, "not again for another message"
    sent.posting.post(sent.turn, sent.ident, replace(posted, posted_ms=posted.posted_ms - POSTED_AGAIN_MS))
    assert sent.posting.left == {sent.ident: 0}


def test_nothing_is_read_before_the_folder_is_known_and_then_from_the_part_that_is_next(ann: SimNode) -> None:
    sent = Sent(ann)
    sent.posting.left[sent.ident] = sent.parts - 1
    assert sent.posting.deadline is None and sent.step() is None
    sent.posting.begin(sent.turn.now.mono)
    assert sent.step() == sent.parts - 1
    assert sent.turn.rows["pending", b"A" + sent.ident] is None


def test_a_part_that_cannot_be_read_ends_it_and_one_that_is_gone_lets_the_next_go_on(ann: SimNode) -> None:
    sent = Sent(ann)
    sent.posting.begin(sent.turn.now.mono)
    sent.posting.post(sent.turn, sent.ident, sent.record)
    assert sent.step(data=None) == 0
    assert sent.posting.left == {} and sent.turn.posts == []
    sent.after(PART_SECONDS)
    sent.posting.left = {b"g" * 16: 0, sent.ident: 1}
    sent.posting.begin(sent.turn.now.mono)
    assert sent.step() is None and list(sent.posting.left) == [sent.ident]
    assert sent.step() == 1

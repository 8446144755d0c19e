"""Posting our small attachments part by part, so slowly that no mesh notices (docs/crypto.md 3.14)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from node.chat.attachment_record import Record
from node.chat.filing import PartRead, ReadPart
from node.chat.turn import Turn
from node.clock import DAY_MS
from node.crypto import attachment as sealed
from node.tables import Table

if TYPE_CHECKING:
    from node.chat.attachments import Attachments

PART_SECONDS = 0.5
"""Between two parts of 32 KiB that we post: 64 KiB/s an author (docs/crypto.md 3.14)."""
POSTED_AGAIN_MS = 7 * DAY_MS
"""Parts posted longer ago are posted again for another message that names them."""


class Posting:
    """What of `book` is still to be posted, one after the other; `left` says from which part on."""

    def __init__(self, book: Attachments) -> None:
        self.left: dict[bytes, int] = {}
        self.deadline: float | None = None
        """When the next part is read."""
        self._book = book
        self._begun = False

    def begin(self, now: float) -> None:
        """The folder is known: go on with what a stop has left."""
        self._begun = True
        self.deadline = now if self.left else None

    def post(self, turn: Turn, ident: bytes, record: Record) -> None:
        """Post one, unless it was not long ago."""
        if ident in self.left or turn.now.wall_ms - record.posted_ms < POSTED_AGAIN_MS:
            return
        self._save(turn, ident, 0)
        if self.deadline is None and self._begun:
            self.deadline = turn.now.mono

    def due(self, turn: Turn) -> None:
        """Have the next part read, if it is time."""
        if self.deadline is None or turn.now.mono < self.deadline:
            return
        self.deadline = None
        ident, index = next(iter(self.left.items()), (b"", 0))
        record = self._book.records.get(ident)
        if record is None:
            self.end(turn, ident)
            self.deadline = turn.now.mono if self.left else None
        else:
            turn.files.append(ReadPart(record.name, index, *record.parsed.span(index)))

    def read(self, turn: Turn, read: PartRead) -> None:
        """A part of ours was read: post it, and the next one when it is time."""
        ident = next(iter(self.left), b"")
        record = self._book.records.get(ident)
        if record is not None and record.name == read.name:
            manifest = record.parsed
            if read.data is not None:
                inner = sealed.part(manifest, read.index, read.data)
                turn.post(sealed.channel_of(manifest), inner)
            if read.data is None or read.index + 1 == len(manifest.blocks):
                self.end(turn, ident)
                self._book.save(turn, ident, replace(record, posted_ms=turn.now.wall_ms))
            else:
                self._save(turn, ident, read.index + 1)
        self.deadline = turn.now.mono + PART_SECONDS if self.left else None

    def end(self, turn: Turn, ident: bytes) -> None:
        """One is posted whole, or is gone."""
        if self.left.pop(ident, None) is not None:
            turn.delete(Table.PENDING, b"A" + ident)

    def _save(self, turn: Turn, ident: bytes, index: int) -> None:
        self.left[ident] = index
        turn.put(Table.PENDING, b"A" + ident, index)

"""Which of our own messages stands at which index of our chains: what a `nack` is answered from.

The text itself is in the room's history and nowhere else; here is only its id. Kept for the horizon
(docs/crypto.md 3.8).
"""

from __future__ import annotations

from typing import Final

from node.chat.turn import Turn
from node.clock import HORIZON_DAYS, day_of
from node.tables import Table
from node.values import Value

BLOCK = 64
"""Indexes in one stored row: what every message writes anew, in its chain's row, stays near 1 KB."""
MAX_BLOCKS = 1_600
"""Rows kept a room, about 100,000 messages and 1.7 MB; the oldest go first, and are answered no more."""
ID_BYTES = 16
NOTHING: Final = bytes(ID_BYTES)
"""What stands at the index of something that is no message: an op, a profile."""


class SentRow(Value, frozen=True):
    """The ids of our messages from index `first` of an epoch on, 16 bytes each; `day`: of the newest."""

    room_id: bytes
    epoch16: bytes
    first: int
    day: int
    mids: bytes

    @property
    def end(self) -> int:
        """The index after the last one here."""
        return self.first + len(self.mids) // ID_BYTES


class Sent:
    """Index to message of what we sent in one room."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[bytes, int], SentRow] = {}

    def restore(self, row: SentRow) -> None:
        """Take a stored row back."""
        self._blocks[row.epoch16, row.first // BLOCK] = row

    def note(self, turn: Turn, room_id: bytes, epoch16: bytes, index: int, mid: bytes) -> SentRow | None:
        """Record what was sealed at an index, the one after the last; NOTHING for what is no message.

        A full row is stored here. Returns one that is not full yet, to be stored with the chain that moved.
        """
        key = epoch16, index // BLOCK
        row = self._blocks.get(key)
        known = b"" if row is None or row.end != index else row.mids
        first = index if row is None or not known else row.first
        row = SentRow(room_id, epoch16, first, day_of(turn.now.wall_ms), known + mid)
        self._blocks[key] = row
        if row.end % BLOCK:
            return row
        turn.put(Table.OBJECTS, _key(row), row)
        while len(self._blocks) > MAX_BLOCKS:
            self._forget(turn, min(self._blocks.values(), key=lambda old: (old.day, old.first)))
        return None

    def at(self, epoch16: bytes, index: int) -> bytes | None:
        """Return the id of what was sent at an index: NOTHING if it was no message, None if unknown."""
        row = self._blocks.get((epoch16, index // BLOCK))
        if row is None or not row.first <= index < row.end:
            return None
        start = (index - row.first) * ID_BYTES
        return row.mids[start : start + ID_BYTES]

    def find(self, mid: bytes) -> tuple[bytes, int] | None:
        """Return (epoch16, index) of the message with this id."""
        for row in self._blocks.values():
            at = row.mids.find(mid)
            while at >= 0 and at % ID_BYTES:
                at = row.mids.find(mid, at + 1)
            if at >= 0:
                return row.epoch16, row.first + at // ID_BYTES
        return None

    def expire(self, turn: Turn) -> None:
        """Forget what is beyond the horizon."""
        limit = day_of(turn.now.wall_ms) - HORIZON_DAYS
        for row in [row for row in self._blocks.values() if row.day < limit]:
            self._forget(turn, row)

    def _forget(self, turn: Turn, row: SentRow) -> None:
        del self._blocks[row.epoch16, row.first // BLOCK]
        turn.delete(Table.OBJECTS, _key(row))


def _key(row: SentRow) -> bytes:
    return b"sent" + row.room_id + row.epoch16 + (row.first // BLOCK).to_bytes(4, "big")

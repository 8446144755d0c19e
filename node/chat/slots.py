"""The slots of a room's epochs, kept so that an announce can be posted again (docs/crypto.md 3.7).

Of our own use they are none once our slot is open. They lie sealed under the shred key, and go with the
epoch: together with our leaf they would open it again, as the envelope of the announce does while it is held.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.chat.turn import Turn
from node.tables import Table

MAX_BYTES = 4 * 1024 * 1024
"""Of one room: all of its epochs up to 180 members, the newest 75 of a thousand; the oldest go first."""


@dataclass(frozen=True)
class SlotsRow:
    """The packed slots of one epoch, as its announce signs them."""

    room_id: bytes
    epoch16: bytes
    slots: bytes = field(repr=False)


class Slots:
    """Slots by epoch, in the order in which they came."""

    def __init__(self, room_id: bytes) -> None:
        self.room_id = room_id
        self.kept: dict[bytes, bytes] = {}
        self._size = 0

    def restore(self, row: SlotsRow) -> None:
        """Take stored slots back."""
        self.kept[row.epoch16] = row.slots
        self._size += len(row.slots)

    def keep(self, turn: Turn, epoch16: bytes, slots: bytes) -> None:
        """Store an epoch's slots; the oldest of too many go."""
        self.forget(turn, epoch16)
        self.restore(SlotsRow(self.room_id, epoch16, slots))
        turn.put(Table.CHAINS, b"slots" + epoch16, SlotsRow(self.room_id, epoch16, slots))
        while self._size > MAX_BYTES:
            self.forget(turn, next(iter(self.kept)))

    def forget(self, turn: Turn, epoch16: bytes) -> None:
        """Erase an epoch's slots."""
        gone = self.kept.pop(epoch16, None)
        if gone is not None:
            self._size -= len(gone)
            turn.delete(Table.CHAINS, b"slots" + epoch16)

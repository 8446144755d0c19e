"""What a room with history keeps: its newest messages with their keys, for newcomers (docs/crypto.md 3.10).

The room's policy says how many. For these, forward secrecy is given up: whoever takes this node's store can
open their envelopes again. With none nothing is kept; what falls out of the newest N is erased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.chat.large import MAX_CONTENT
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import roommsg
from node.crypto.chain import RecvChain
from node.crypto.roomitem import make_item, parse_item
from node.crypto.roommsg import Core, RoomInner
from node.tables import Table

MAX_KEPT_BYTES = MAX_CONTENT - 8 * 1024
"""Of one room: what one Object carries, the items' own lengths included."""
_FIRST = 1 << 32
"""Number of the first message that is kept as it comes; what was there before goes below."""


@dataclass(frozen=True)
class Kept:
    """One stored item; `number` orders those of a room, oldest first."""

    room_id: bytes
    number: int
    item: bytes = field(repr=False)

    @property
    def key(self) -> bytes:
        """What the row is stored by."""
        return b"k" + self.room_id + self.number.to_bytes(8, "big")


class Keeper:
    """The kept messages of one room."""

    def __init__(self, room_id: bytes) -> None:
        self.room_id = room_id
        self._rows: dict[int, Kept] = {}
        self._cores: dict[int, Core] = {}
        self._size = 0

    def restore(self, rows: Sequence[Kept]) -> None:
        """Take the stored rows back."""
        self._cores = {}
        self._rows = {row.number: row for row in sorted(rows, key=lambda row: row.number)}
        self._size = sum(len(row.item) for row in rows)

    def items(self) -> list[bytes]:
        """Return what is kept, oldest first."""
        return [row.item for row in self._rows.values()]

    def of(self, epoch16: bytes, device_id: bytes, first: int, last: int) -> list[bytes]:
        """Return what is kept of one device's messages `first` to `last` of an epoch."""
        found = []
        for number, row in self._rows.items():
            core = self._cores.get(number)
            if core is None:  # any member can ask as often as it likes: each is read once
                core = self._cores[number] = parse_item(row.item).msg.core
            if (core.epoch16, core.device16) == (epoch16, device_id) and first <= core.index <= last:
                found.append(row.item)
        return found

    def keep(self, turn: Turn, limit: int, chain: RecvChain, msg: RoomInner | bytes) -> None:
        """Keep a message that opened, or is ours, with the key that the chain before it gives."""
        if not limit:
            return
        if isinstance(msg, bytes):
            msg = roommsg.parse(msg)
        item = make_item(msg, roommsg.key_of(chain, msg, day=day_of(turn.now.wall_ms)))
        self._put(turn, Kept(self.room_id, 1 + next(reversed(self._rows), _FIRST), item))
        self.bound(turn, limit)

    def put_before(self, turn: Turn, limit: int, items: Sequence[bytes]) -> None:
        """Keep what was sent before everything that is here, oldest first, as far as the limit goes."""
        first = next(iter(self._rows), _FIRST) - len(items)
        for at, item in enumerate(items):
            self._put(turn, Kept(self.room_id, first + at, item))
        self._rows = dict(sorted(self._rows.items()))
        self.bound(turn, limit)

    def _put(self, turn: Turn, row: Kept) -> None:
        self._rows[row.number] = row
        self._size += len(row.item)
        turn.put(Table.HISTORY, row.key, row)

    def bound(self, turn: Turn, limit: int) -> None:
        """Erase what is not among the newest `limit`, or more than goes into one Object."""
        while self._rows and (len(self._rows) > limit or self._held > MAX_KEPT_BYTES):
            row = self._rows.pop(next(iter(self._rows)))
            self._cores.pop(row.number, None)
            self._size -= len(row.item)
            turn.delete(Table.HISTORY, row.key)

    @property
    def _held(self) -> int:
        return self._size + 5 * len(self._rows)

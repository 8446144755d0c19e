"""Epochs of a room that this node knows of and cannot open: asked for, one member after another.

An announce left our slot out or gave it another secret, its leaf is gone here, or another announce follows
one that never came. `epoch_want` goes as a direct payload, to the maker of the epoch last if it is to blame
(docs/crypto.md 3.7). Stored, for an announce is not read twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.chat.membership import RoomLog
from node.chat.turn import Turn
from node.clock import earliest
from node.crypto.ops import MAX_PARENTS
from node.tables import Table

NEWEST = bytes(16)
"""Asks for the newest epoch that names the asker: who holds none at all knows no id."""
MAX_WANTS = 16
"""Epochs a room asks for at a time."""
MAX_OF_ONE = 4
"""Of these by one device: who makes many broken epochs crowds nobody out."""
ASK_AFTER = 2.0
"""Seconds: an announce that comes on two channels may still open on the other."""
ASK_NEXT = 20.0
"""Seconds after which the next member is asked; doubled each time up to MAX_WAIT."""
MAX_WAIT = 6 * 3600.0
MAX_TRIES = 12
"""Questions for one epoch, over two days; then it is given up."""
HEARSAY_TRIES = 2
"""Of an epoch that only another names: mostly it is from before our time, and nobody answers."""


@dataclass(frozen=True)
class WantRow:
    """One epoch to be asked for; `maker` is the device that made it, empty if that is not known."""

    room_id: bytes
    epoch16: bytes
    maker: bytes
    hearsay: bool = False
    tries: int = 0


class EpochWants:
    """What one room asks for."""

    def __init__(self, room_id: bytes) -> None:
        self.room_id = room_id
        self.open: dict[bytes, WantRow] = {}
        self._due: dict[bytes, float] = {}
        self._heads: dict[bytes, None] = {}

    @property
    def deadline(self) -> float | None:
        """When the next question is due."""
        return earliest(*self._due.values())

    def restore(self, row: WantRow, now: float) -> None:
        """Take a stored question back."""
        self.open[row.epoch16] = row
        self._due[row.epoch16] = now + ASK_NEXT

    def note(self, turn: Turn, epoch16: bytes, maker: bytes, *, hearsay: bool = False) -> None:
        """Ask for an epoch, unless that is being done or too much is."""
        known = self.open.get(epoch16)
        if known is not None and (hearsay or not known.hearsay):
            return
        mine = [one for one in self.open.values() if one.maker == maker]
        if known is None and epoch16 != NEWEST and (len(self.open) >= MAX_WANTS or len(mine) >= MAX_OF_ONE):
            return
        self._save(turn, WantRow(self.room_id, epoch16, maker, hearsay))
        self._due[epoch16] = turn.now.mono + ASK_AFTER + int.from_bytes(turn.entropy(2), "big") / 65_536

    def take_due(self, turn: Turn) -> list[WantRow]:
        """Return the questions it is time for, each as it was before; the last of one is given up after."""
        asked = []
        for epoch16 in [one for one, moment in self._due.items() if moment <= turn.now.mono]:
            row = self.open[epoch16]
            if row.tries >= (HEARSAY_TRIES if row.hearsay else MAX_TRIES):
                self.done(turn, epoch16)
                continue
            asked.append(row)
            self._save(turn, replace(row, tries=row.tries + 1))
            self._due[epoch16] = turn.now.mono + min(MAX_WAIT, ASK_NEXT * 2.0**row.tries)
        return asked

    def done(self, turn: Turn, epoch16: bytes) -> None:
        """An epoch is here, or given up."""
        if self.open.pop(epoch16, None) is not None:
            self._due.pop(epoch16, None)
            turn.delete(Table.PENDING, b"e" + self.room_id + epoch16)

    def lack(self, heads: tuple[bytes, ...]) -> None:
        """A signed share names ops that are not here: it can be judged once they are."""
        self._heads = dict.fromkeys([*self._heads, *heads][-MAX_PARENTS:])

    def lacking(self, log: RoomLog) -> dict[bytes, bytes]:
        """Return those ops by op16; no epoch that we hold has named them."""
        return {head[:16]: b"" for head in self._heads if self.open and not log.knows(head)}

    def clear(self, turn: Turn) -> None:
        """We are out of the room."""
        for epoch16 in list(self.open):
            self.done(turn, epoch16)

    def _save(self, turn: Turn, row: WantRow) -> None:
        self.open[row.epoch16] = row
        turn.put(Table.PENDING, b"e" + self.room_id + row.epoch16, row)

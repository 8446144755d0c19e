"""Adds in large rooms are gathered: one epoch for all who came, not one each (docs/crypto.md 3.7).

In a room of up to 64 the adder makes the new epoch with the add. Above, its first add starts a clock, and
when that ends it makes one epoch and welcomes everybody whom it added. Whoever makes an epoch meanwhile, by a
message or a batch of its own, ends the wait for all whom that epoch names. Each newcomer is welcomed by who
added it, and is `joining` until then. Stored, so that a kill leaves nobody waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.chat.epochs import Epoch
from node.chat.room import SMALL, Room
from node.chat.turn import Turn
from node.clock import earliest
from node.tables import Table

MIDDLE = 256
"""Members up to which newcomers wait the shorter time."""
WAIT_MIDDLE = 30.0
WAIT_LARGE = 120.0
"""Seconds: a renewal costs each member an agreement and a slot, and the mesh 56 bytes a member."""
MAX_NEWCOMERS = 256
"""Newcomers that wait for us in a room: beyond that the epoch is made at once."""


@dataclass(frozen=True)
class NewcomerRow:
    """Somebody whom we added and have not welcomed yet; `due_ms`: when its batch ends, by our wall clock."""

    room_id: bytes
    account: bytes
    device_id: bytes
    invite_id: bytes
    intro_pub: bytes
    due_ms: int


class Batch:
    """Whom we have added to one room and not welcomed yet."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.waiting: dict[bytes, NewcomerRow] = {}
        self._end: float | None = None
        self._looked: tuple[int, int] | None = None
        self._ready = False

    def restore(self, row: NewcomerRow, now: float, wall_ms: int) -> None:
        """Take a stored newcomer back."""
        self.waiting[row.account] = row
        self._end = earliest(self._end, now + max(0, min(row.due_ms - wall_ms, 1000 * WAIT_LARGE)) / 1000)

    def wait(self) -> float:
        """Return how many seconds an add to the room as it is waits for others; none in a small one."""
        members = len(self.room.log.roster.members)
        if members <= SMALL or len(self.waiting) >= MAX_NEWCOMERS:
            return 0.0
        return WAIT_MIDDLE if members <= MIDDLE else WAIT_LARGE

    def add(self, turn: Turn, account: bytes, device_id: bytes, invite_id: bytes, intro_pub: bytes) -> None:
        """Somebody was added and waits for an epoch that names it; the first starts the clock."""
        if self._end is None:
            self._end = turn.now.mono + self.wait()
        due_ms = turn.now.wall_ms + round(1000 * (self._end - turn.now.mono))
        row = NewcomerRow(self.room.room_id, account, device_id, invite_id, intro_pub, due_ms)
        self.waiting[account] = row
        turn.put(Table.PENDING, b"n" + self.room.room_id + account, row)

    def under(self, turn: Turn) -> Epoch | None:
        """Return the epoch that an add to a large room goes under: one from before the batch will do."""
        here = self.room.log.roster.devices.keys()
        tips = self.room.epochs.tips() if self.waiting or self.wait() else []
        usable = [h for h in tips if h.send and h.devices <= here and turn.mesh_ms < h.announce.expires_ms]
        return usable[0] if usable else None

    @property
    def deadline(self) -> float | None:
        """When the batch ends: at once if an epoch names somebody in it; looked up if one is new."""
        now = (self.room.epochs.made, len(self.waiting))
        if self._looked != now:
            self._looked = now
            self._ready = any(self.named(row) for row in self.waiting.values())
        return 0.0 if self._ready or (self.waiting and not self.room.open) else self._end

    def frontier(self, row: NewcomerRow) -> tuple[bytes, ...]:
        """Return the newest messages that a newcomer can never read."""
        held = self.room.epochs.held
        before = [e for e, one in held.items() if row.device_id not in one.devices]
        newest = self.room.timeline.frontier.items()
        return tuple(mid for mid, epoch16 in newest if epoch16 in before or epoch16 not in held)

    def named(self, row: NewcomerRow) -> Epoch | None:
        """Return the newest epoch that names a newcomer and that can be handed on."""
        epochs = self.room.epochs
        named = [h for h in epochs.held.values() if row.device_id in h.devices and h.send]
        named = [h for h in named if h.epoch16 in epochs.slots.kept and self._since(h, row)]
        return max(named, key=lambda h: (h.announce.gen, h.row.epoch_id), default=None)

    def _since(self, held: Epoch, row: NewcomerRow) -> bool:
        """Say whether an epoch was made knowing of this very add: who came back was in older ones."""
        member = self.room.log.roster.members.get(row.account)
        return member is not None and self.room.log.includes(held.announce.heads, member.added_by)

    def is_over(self, now: float) -> bool:
        """Say whether the clock has run out."""
        return self._end is not None and self._end <= now

    def again(self, now: float) -> None:
        """Nothing could be done at the end of the batch: look again later."""
        if self.waiting and self.is_over(now):
            self._end = now + WAIT_MIDDLE

    def done(self, turn: Turn, account: bytes) -> None:
        """A newcomer was welcomed, or is gone again."""
        del self.waiting[account]
        turn.delete(Table.PENDING, b"n" + self.room.room_id + account)
        self._looked = None
        if not self.waiting:
            self._end = None

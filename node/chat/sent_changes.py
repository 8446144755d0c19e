"""The changes of messages that we made in a room, whole: what a `nack` for their places is answered from.

What another takes the place of is forgotten, and with a deletion every edit of that message: our store keeps
no words that were deleted (docs/crypto.md 3.8, "Changes").
"""

from __future__ import annotations

from collections import OrderedDict

from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS
from node.tables import Table
from node.wire.payload import Payload, Type, decode

MAX_KEPT = 256
"""Changes kept a room, the newest: 4 MB of the longest edits."""
ROW = b"Ms"
"""Rows begin so: then the room's id and the change's."""


class SentChanges:
    """What we changed in one room, by the change's own id."""

    def __init__(self, room_id: bytes) -> None:
        self.room_id = room_id
        self._made: OrderedDict[bytes, Payload] = OrderedDict()

    def restore(self, rows: list[bytes]) -> None:
        """Take the stored changes back."""
        made = sorted((decode(raw) for raw in rows), key=lambda one: (one.lamport, one.ts_ms))
        self._made = OrderedDict((one.mid, one) for one in made)

    def note(self, turn: Turn, change: Payload) -> None:
        """A change of ours was sealed: it takes the place of what it makes void."""
        for old in [one for one in self._made.values() if _voids(change, one)]:
            self._forget(turn, old.mid)
        self._made[change.mid] = change
        turn.put(Table.PENDING, ROW + self.room_id + change.mid, change.encode())
        while len(self._made) > MAX_KEPT:
            self._forget(turn, next(iter(self._made)))

    def find(self, mid: bytes) -> Payload | None:
        """Return a change by its id."""
        return self._made.get(mid)

    def erase(self, turn: Turn, target: bytes) -> None:
        """The words of a message are gone: forget those that we gave it."""
        for old in [one for one in self._made.values() if one.type is Type.EDIT and one.body[0] == target]:
            self._forget(turn, old.mid)

    def expire(self, turn: Turn) -> None:
        """Forget what is beyond the horizon."""
        limit = turn.mesh_ms - HORIZON_DAYS * DAY_MS
        for old in [one for one in self._made.values() if one.ts_ms < limit]:
            self._forget(turn, old.mid)

    def _forget(self, turn: Turn, mid: bytes) -> None:
        del self._made[mid]
        turn.delete(Table.PENDING, ROW + self.room_id + mid)


def _voids(new: Payload, old: Payload) -> bool:
    """Say whether nobody needs an older change of ours any more who has this one."""
    if new.body[0] != old.body[0] or new.type is Type.REACTION is not old.type:
        return False
    if new.type is Type.REACTION:
        return bool(new.body[:3] == old.body[:3])
    return old.type is Type.EDIT

"""When conversations want to be looked at: kept for each, looked up again where something may have changed.

Every input asks for the deadline. In hundreds of rooms, and with a thousand contacts, asking all of them
would cost more than the input, which mostly touches one or none.
"""

from __future__ import annotations

from node.clock import earliest
from node.engine.state import State


class Deadlines:
    """The least of the deadlines of all rooms and direct rooms."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._due: dict[bytes, float] = {}
        """By room id; of those that wait for something."""
        self._stale: set[bytes] | None = None
        """Whose deadlines are to be looked up; None: everybody's."""

    def touched(self, conversation: bytes | None) -> None:
        """Something happened in a room or direct room, or in any of them; an unknown id is none of them."""
        if conversation is None:
            self._stale = None
        elif self._stale is not None:
            self._stale.add(conversation)

    @property
    def deadline(self) -> float | None:
        """When the first of them wants to be looked at."""
        rooms = self.state.rooms
        if self._stale is None:
            self._due.clear()
            stale = {*rooms.inboxes, *rooms.direct}
        else:
            stale = self._stale
        for room_id in stale:
            moment = self._look(room_id)
            if moment is None:
                self._due.pop(room_id, None)
            else:
                self._due[room_id] = moment
        self._stale = set()
        return min(self._due.values(), default=None)

    def _look(self, room_id: bytes) -> float | None:
        rooms = self.state.rooms
        direct = rooms.direct.get(room_id)
        if direct is not None:
            return direct.deadline
        inbox = rooms.inboxes.get(room_id)
        if inbox is None:
            return None
        room, batch = inbox.room, self.state.joins.batches.get(room_id)
        return earliest(
            room.timeline.deadline,
            room.renewal.deadline,
            inbox.branches.deadline,
            inbox.exchange.deadline,
            inbox.healing.deadline,
            inbox.reposts.deadline,
            inbox.wants.deadline,
            None if batch is None else batch.deadline,
        )

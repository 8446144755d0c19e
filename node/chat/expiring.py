"""Messages with a time to live: when each goes, by the mesh's clock, which is the same everywhere.

What was due while the node did not run goes when it starts. The wait is looked at anew each minute: clocks
are set, and the mesh's is what the others' say (docs/bridge.md 2, `ttl`).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from node.chat.turn import Turn
from node.tables import Table

MAX_EXPIRING = 10_000
"""Messages that wait for their end; of more, that which is due next goes at once."""
LOOK_AGAIN = 60.0
"""Seconds after which a wait is reckoned anew."""
ROW = b"Mx"
"""Rows begin so: then the room's id and the message's."""

Place = tuple[bytes, bytes]
"""(room, message id)."""


class Expiring:
    """When messages go, the next one first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes, bytes]] = []
        self._known: set[Place] = set()
        self._ended: dict[Place, int] = {}
        self.deadline: float | None = None

    def restore(self, key: bytes, expires_ms: int, now: float) -> None:
        """Take a stored end back; `key` is that of its row without ROW."""
        self._known.add((key[:16], key[16:]))
        heappush(self._heap, (expires_ms, key[:16], key[16:]))
        self.deadline = now

    def note(self, turn: Turn, room_id: bytes, mid: bytes, expires_ms: int) -> None:
        """A message came that will go at a moment of mesh time."""
        if (room_id, mid) not in self._known:
            self._known.add((room_id, mid))
            heappush(self._heap, (expires_ms, room_id, mid))
            if len(self._heap) > 2 * MAX_EXPIRING:  # most of them were deleted before their time
                self._heap = [one for one in self._heap if one[1:] in self._known]
                heapify(self._heap)
            turn.put(Table.PENDING, ROW + room_id + mid, expires_ms)
            self._arm(turn)

    def due(self, turn: Turn) -> list[Place]:
        """Return what is to go now; `done` says that it has."""
        if self.deadline is None or self.deadline > turn.now.mono:
            return []
        came: list[tuple[Place, int]] = []
        while self._heap and (self._heap[0][0] <= turn.mesh_ms or self._crowd > len(came)):
            expires_ms, room_id, mid = heappop(self._heap)
            if (room_id, mid) in self._known:
                came.append(((room_id, mid), expires_ms))
        self._ended.update(came)
        self._arm(turn)
        return [place for place, _ in came]

    @property
    def _crowd(self) -> int:
        """How many wait beyond what is kept."""
        return len(self._known) - len(self._ended) - MAX_EXPIRING

    def ended(self, room_id: bytes, mid: bytes) -> int | None:
        """Return the end of a message that `due` gave out and that is not gone yet."""
        return self._ended.get((room_id, mid))

    def done(self, turn: Turn, room_id: bytes, mid: bytes) -> None:
        """A message is gone, or never was."""
        if (room_id, mid) in self._known:
            self._known.discard((room_id, mid))
            self._ended.pop((room_id, mid), None)
            turn.delete(Table.PENDING, ROW + room_id + mid)

    def _arm(self, turn: Turn) -> None:
        self.deadline = None
        if self._heap:
            wait = 0.0 if self._crowd > 0 else (self._heap[0][0] - turn.mesh_ms) / 1000
            self.deadline = turn.now.mono + min(LOOK_AGAIN, max(0.0, wait))

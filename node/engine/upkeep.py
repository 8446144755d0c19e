"""What a node does by itself so that everybody in its rooms holds the keys they are named for.

Announces are posted again for who was away, epochs asked for and given, made for
those who were added together and when they are worn (docs/crypto.md 3.7).
"""

from __future__ import annotations

from node.chat.turn import Turn
from node.clock import DAY_MS
from node.engine.sharing import Sharing
from node.engine.state import State
from node.tables import Table

SILENCE_MS = DAY_MS
"""Who was not heard of for so long may have missed what nobody holds any more."""
HEARD_EVERY_MS = 6 * 3_600_000
"""How coarsely it is stored when somebody was last heard of."""


class Upkeep:
    """The upkeep of every room's keys."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.sharing = Sharing(state)
        self._heard: dict[bytes, int] = {}

    def due(self, turn: Turn) -> None:
        """Do what it is time for."""
        for inbox in self.state.rooms.inboxes.values():
            inbox.reposts.due(turn)
            inbox.room.renewal.due(turn)
            inbox.branches.due(turn)
        self.sharing.due(turn)
        self.state.joins.end_batches(turn)

    def heard_of(self, account: bytes) -> int:
        """Return when somebody last gave a sign of life, in UNIX milliseconds; 0: never."""
        return max(self.state.heard.get(account, 0), self._heard.get(account, 0))

    def met(self, turn: Turn, account: bytes) -> bool:
        """Somebody gave a sign of life; says if they may lack announces: after a silence, or at first."""
        now, stored = turn.now.wall_ms, self.state.heard.get(account, 0)
        last = max(stored, self._heard.get(account, 0))
        self._heard[account] = now
        if not 0 <= now - stored < HEARD_EVERY_MS:
            self.state.heard[account] = now
            turn.put(Table.SETTINGS, b"heard" + account, now)
        back = now - last > SILENCE_MS
        for room in self.state.rooms.shared(account) if back else ():
            self.state.rooms.inboxes[room.room_id].reposts.returned(turn, account, last)
        return back

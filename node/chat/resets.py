"""How often a direct session is begun anew: once an hour and person (docs/crypto.md 3.5)."""

from __future__ import annotations

from node.chat.turn import Turn
from node.tables import Table

RESET_EVERY_MS = 3_600_000
"""One reset an hour and person: whoever makes our sessions fail makes us send no more than that."""


class Resets:
    """When the session with somebody was last reset, by account, and whether that is to be done again."""

    def __init__(self) -> None:
        self.last: dict[bytes, tuple[int, bool]] = {}

    def hold(self, turn: Turn, account: bytes) -> bool | None:
        """Return None if it may be done, which counts from now; else it is later: True if only now noted."""
        at_ms, wanted = self.last.get(account, (None, False))
        if at_ms is None or not _recent(turn, at_ms):
            self._save(turn, account, turn.now.wall_ms, wanted=False)
            return None
        if not wanted:
            self._save(turn, account, at_ms, wanted=True)
        return not wanted

    def take_due(self, turn: Turn) -> list[bytes]:
        """Forget those of more than an hour ago; returns with whom it is to be done again."""
        over = {account: again for account, (at_ms, again) in self.last.items() if not _recent(turn, at_ms)}
        for account in over:
            del self.last[account]
            turn.delete(Table.REQUESTS, b"z" + account)
        return [account for account, again in over.items() if again]

    def _save(self, turn: Turn, account: bytes, at_ms: int, *, wanted: bool) -> None:
        self.last[account] = (at_ms, wanted)
        turn.put(Table.REQUESTS, b"z" + account, self.last[account])


def _recent(turn: Turn, at_ms: int) -> bool:
    return 0 <= turn.now.wall_ms - at_ms < RESET_EVERY_MS

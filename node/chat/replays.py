"""First contact that was taken before: a request or an intro counts once (docs/crypto.md 3.4)."""

from __future__ import annotations

from node.chat.turn import Turn
from node.clock import day_of
from node.crypto.labels import Label
from node.crypto.primitives import digest
from node.errors import CryptoFault
from node.tables import Table

REMEMBER_DAYS = 42
"""Requests and intros are remembered past every horizon and prekey, so a replay makes nothing new."""
MAX_REPLAYED = 20_000
"""Requests and intros remembered; a bundle is good for a week, so far fewer could be told twice at all."""


class Replays:
    """Requests and intros that were taken, by hash, each with the day on which that was."""

    def __init__(self) -> None:
        self.taken: dict[bytes, int] = {}

    def mark(self, inner: bytes) -> bytes:
        """Return what tells an inner from all others; raises CryptoFault if it was taken before."""
        mark = digest(Label.INNER, inner)
        if mark in self.taken:
            raise CryptoFault("first contact replayed")
        return mark

    def remember(self, turn: Turn, mark: bytes) -> None:
        """One was taken."""
        today = day_of(turn.now.wall_ms)
        self.taken[mark] = today
        turn.put(Table.REQUESTS, b"r" + mark, today)
        if len(self.taken) > MAX_REPLAYED:
            self._forget(turn, next(iter(self.taken)))

    def expire(self, turn: Turn) -> None:
        """Forget requests and intros that could not be told twice any more."""
        today = day_of(turn.now.wall_ms)
        for old in [mark for mark, day in self.taken.items() if day + REMEMBER_DAYS < today]:
            self._forget(turn, old)

    def _forget(self, turn: Turn, mark: bytes) -> None:
        del self.taken[mark]
        turn.delete(Table.REQUESTS, b"r" + mark)

"""Who is there: one beat an account each 60 s on its presence channel (docs/crypto.md 3.9).

150 s without a beat, or a last one that says so: gone. The next beat brings them back. Nothing of this is
stored; after a start everybody known is given 150 s before being called gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.clock import earliest

BEAT_EVERY = 60.0
"""Seconds between beats."""
GONE_AFTER = 150.0
"""Seconds without a beat: two lost beats are forgiven."""
ALIVE, STOPPED = 1, 2
"""Bodies of a beat on the wire."""


@dataclass(slots=True)
class _Watched:
    last: float
    here: bool = True


class Presence:
    """Tracks the beats of others and says when ours is due."""

    def __init__(self) -> None:
        self._watched: dict[bytes, _Watched] = {}
        self._look_at: float | None = None
        """When somebody may have been silent for too long; a beat since then only costs a look."""
        self.next_beat: float | None = None

    @property
    def deadline(self) -> float | None:
        """When to look for somebody to give up, or our own beat is due; kept, for every step asks."""
        return earliest(self.next_beat, self._look_at)

    def watch(self, account: bytes, now: float) -> None:
        """Start to expect beats of an account."""
        if account not in self._watched:
            self._watched[account] = _Watched(now)
            self._look_at = earliest(self._look_at, now + GONE_AFTER)

    def forget(self, account: bytes) -> None:
        """Stop to expect beats of an account."""
        self._watched.pop(account, None)

    def here(self, account: bytes) -> bool:
        """Say whether an account is thought to be connected."""
        watched = self._watched.get(account)
        return watched is not None and watched.here

    def beat(self, account: bytes, body: int, now: float) -> str | None:
        """Take a beat; return `reconnect` or `disconnect` when that changes what is shown."""
        watched = self._watched.get(account)
        if watched is None:
            return None
        if body == STOPPED:
            was, watched.here = watched.here, False
            return "disconnect" if was else None
        watched.last = now
        was, watched.here = watched.here, True
        self._look_at = earliest(self._look_at, now + GONE_AFTER)
        return None if was else "reconnect"

    def expire(self, now: float) -> list[bytes]:
        """Return the accounts that have just gone silent for too long."""
        if self._look_at is None or now < self._look_at:
            return []
        gone = [a for a, w in self._watched.items() if w.here and now >= w.last + GONE_AFTER]
        for account in gone:
            self._watched[account].here = False
        left = (w.last + GONE_AFTER for w in self._watched.values() if w.here)
        self._look_at = min(left, default=None)
        return gone

    def beat_due(self, now: float) -> bool:
        """Say whether our own beat is due, and set the next one."""
        if self.next_beat is not None and now < self.next_beat:
            return False
        self.next_beat = now + BEAT_EVERY
        return True

"""Who is there: one beat an account each 60 s on its presence channel (docs/crypto.md 3.9).

150 s without a beat, or a last one that says so: gone. The next beat brings them back. Nothing of this is
stored; after a start everybody known is given 150 s before being called gone, and is shown as offline until
they are heard of.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from node.clock import earliest

BEAT_EVERY = 60.0
"""Seconds between beats."""
GONE_AFTER = 150.0
"""Seconds without a beat: two lost beats are forgiven."""
CALM = 5.0
"""Seconds at least between two beats of ours, however often what they say changes."""
SOON = 2.0
"""Seconds after which somebody who has just come hears our next beat: they have our channel by then."""
ANSWER_CALM = 30.0
"""Seconds between our last beat and one for who has just come: coming and going doubles ours at most."""


class State(StrEnum):
    """How somebody is seen."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


ALIVE, STOPPED, AWAY, ABSENT = 1, 2, 3, 4
"""Bodies of a beat on the wire: at a frontend, stopping, at none for 30 minutes, no frontend there."""
BUSY = 16
"""Added to a body: no games now."""
_SAYS = {ALIVE: State.ONLINE, STOPPED: State.OFFLINE, AWAY: State.AWAY, ABSENT: State.OFFLINE}
_BODIES = {State.ONLINE: ALIVE, State.AWAY: AWAY, State.OFFLINE: ABSENT}


@dataclass(frozen=True, slots=True)
class Seen:
    """What is shown of somebody."""

    state: State = State.OFFLINE
    busy: bool = False

    @property
    def body(self) -> int:
        """The beat that says so, while the node is up."""
        return _BODIES[self.state] + (BUSY if self.busy else 0)


NOT_SEEN = Seen()


def read(body: Any) -> tuple[Seen, bool]:
    """Return what a beat says, and whether it is the last one; what a newer node says more is `online`."""
    number = body if type(body) is int and body >= 0 else ALIVE
    state = _SAYS.get(number % BUSY, State.ONLINE)
    return Seen(state, bool(number & BUSY) and state is not State.OFFLINE), number == STOPPED


@dataclass(slots=True)
class _Watched:
    last: float
    here: bool = True
    seen: Seen = NOT_SEEN


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

    def watches(self, account: bytes) -> bool:
        """Say whether beats of an account are expected."""
        return account in self._watched

    def here(self, account: bytes) -> bool:
        """Say whether an account is thought to be connected."""
        watched = self._watched.get(account)
        return watched is not None and watched.here

    def seen(self, account: bytes) -> Seen:
        """Return what is to be shown of an account."""
        watched = self._watched.get(account)
        return NOT_SEEN if watched is None else watched.seen

    def beat(self, account: bytes, body: Any, now: float) -> str | None:
        """Take a beat; return `reconnect` or `disconnect` when that changes who is connected."""
        watched = self._watched.get(account)
        if watched is None:
            return None
        watched.seen, last = read(body)
        was, watched.here = watched.here, not last
        if last:
            return "disconnect" if was else None
        watched.last = now
        self._look_at = earliest(self._look_at, now + GONE_AFTER)
        return None if was else "reconnect"

    def expire(self, now: float) -> list[bytes]:
        """Return the accounts that have just gone silent for too long."""
        if self._look_at is None or now < self._look_at:
            return []
        gone = [a for a, w in self._watched.items() if w.here and now >= w.last + GONE_AFTER]
        for account in gone:
            self._watched[account].here, self._watched[account].seen = False, NOT_SEEN
        left = (w.last + GONE_AFTER for w in self._watched.values() if w.here)
        self._look_at = min(left, default=None)
        return gone

    def beat_due(self, now: float) -> bool:
        """Say whether our own beat is due, and set the next one."""
        if self.next_beat is not None and now < self.next_beat:
            return False
        self.next_beat = now + BEAT_EVERY
        return True

    def beat_by(self, moment: float) -> None:
        """Beat at this moment, if not before."""
        self.next_beat = earliest(self.next_beat, moment)

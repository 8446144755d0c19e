"""Messages far ahead of what is here stay in the store, unopened, until what comes before them has come.

A chain keeps the seeds of its newest 2,000 skipped messages (docs/crypto.md 3.8): opening a message beyond
that would give up older ones for good. After a restart live messages overtake catch-up easily. So whoever is
more than PATIENCE ahead is left where it is, and its channel is read again from there when a sync has
finished, with every peer that should know or, in any case, after a minute; only then a jump is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.chat.timeline import ENOUGH_PEERS, GAP_AFTER_LINK
from node.clock import earliest

PATIENCE = 256
"""Messages a chain may run ahead before the rest waits: an eighth of the seeds it could keep."""
MAX_BEHIND = 4_096
"""Channels noted; one more is not, and jumps."""

Key = tuple[int, bytes, bytes]
"""A channel by kind, owner and part, as in the routing table."""


@dataclass(frozen=True)
class Reading:
    """Read a channel from `since_ms` on; `final`: jump over what is still missing."""

    key: Key
    since_ms: int
    final: bool


@dataclass
class _Lag:
    since_ms: int
    until: float
    synced: set[int] = field(default_factory=set)
    reading: bool = False
    again: bool = False


class Behind:
    """The channels that have unopened messages in the store, each until a reading left none.

    A reading is noted before it is ordered and forgotten with the commit of what it brought, so that a crash
    in between repeats it.
    """

    def __init__(self) -> None:
        self._lags: dict[Key, _Lag] = {}

    @property
    def deadline(self) -> float | None:
        """When the first channel is read again whatever the peers say."""
        return earliest(*(lag.until for lag in self._lags.values() if not lag.reading))

    def __contains__(self, key: Key) -> bool:
        return key in self._lags

    def note(self, key: Key, since_ms: int, now: float) -> bool:
        """A message of `since_ms` was left unopened; says whether that is news worth storing."""
        lag = self._lags.get(key)
        if lag is None:
            if len(self._lags) >= MAX_BEHIND:
                return False
            self._lags[key] = _Lag(since_ms, now + GAP_AFTER_LINK)
            return True
        lag.again = lag.again or lag.reading
        if lag.since_ms <= since_ms:
            return False
        lag.since_ms = since_ms
        return True

    def peer_finished(self, link: int, *, linked: int, now: float) -> list[Reading]:
        """A sync ended: return what to read again, for good where enough peers have said what they have."""
        readings = []
        for key, lag in self._lags.items():
            lag.synced.add(link)
            if not lag.reading:
                readings.append(
                    self._read(key, now, final=len(lag.synced) >= min(ENOUGH_PEERS, max(1, linked)))
                )
        return readings

    def due(self, now: float) -> list[Reading]:
        """Return what has waited long enough, to be read again for good."""
        late = [key for key, lag in self._lags.items() if not lag.reading and now >= lag.until]
        return [self._read(key, now, final=True) for key in late]

    def all(self, now: float) -> list[Reading]:
        """Return everything, to be read again after a start."""
        return [self._read(key, now, final=False) for key in self._lags]

    def _read(self, key: Key, now: float, *, final: bool) -> Reading:
        lag = self._lags[key]
        lag.reading, lag.again, lag.until = True, False, now + GAP_AFTER_LINK
        return Reading(key, lag.since_ms, final)

    def begin(self, key: Key) -> None:
        """A reading of a channel that has just become known was ordered."""
        lag = self._lags.get(key)
        if lag is not None:
            lag.reading, lag.again = True, False

    def done(self, key: Key) -> bool:
        """A reading has ended; says whether it left nothing unopened, so that the note can go."""
        lag = self._lags.get(key)
        if lag is None:
            return False
        lag.reading = False
        if lag.again:
            return False
        del self._lags[key]
        return True

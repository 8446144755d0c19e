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


@dataclass
class _Lag:
    since_ms: int
    until: float
    synced: set[int] = field(default_factory=set)


class Behind:
    """The channels that have unopened messages in the store."""

    def __init__(self) -> None:
        self._lags: dict[Key, _Lag] = {}

    @property
    def deadline(self) -> float | None:
        """When the first channel is read again whatever the peers say."""
        return earliest(*(lag.until for lag in self._lags.values()))

    def __contains__(self, key: Key) -> bool:
        return key in self._lags

    def owners(self) -> set[bytes]:
        """Return the rooms and sessions' accounts that wait for something."""
        return {owner for _, owner, _ in self._lags}

    def note(self, key: Key, since_ms: int, now: float) -> bool:
        """A message of `since_ms` was left unopened; says whether that is news worth storing."""
        lag = self._lags.get(key)
        if lag is not None and lag.since_ms <= since_ms:
            return False
        if lag is None and len(self._lags) >= MAX_BEHIND:
            return False
        if lag is None:
            self._lags[key] = _Lag(since_ms, now + GAP_AFTER_LINK)
        else:
            lag.since_ms = since_ms
        return True

    def peer_finished(self, link: int, *, linked: int) -> list[tuple[Key, int, bool]]:
        """A sync ended: return (channel, since_ms, final) of what to read again."""
        reads = []
        for key, lag in list(self._lags.items()):
            lag.synced.add(link)
            final = len(lag.synced) >= min(ENOUGH_PEERS, max(1, linked))
            reads.append((key, lag.since_ms, final))
            if final:
                del self._lags[key]
        return reads

    def due(self, now: float) -> list[tuple[Key, int, bool]]:
        """Return what has waited long enough, to be read again for good."""
        reads = [(key, lag.since_ms, True) for key, lag in self._lags.items() if now >= lag.until]
        for key, _, _ in reads:
            del self._lags[key]
        return reads

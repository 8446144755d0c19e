"""When rounds of sync are begun, and with whom (docs/protocol.md section 6).

Now and then one peer is asked what it has; all are when something is known to be missing. Gossip brings
most of that by itself: what overtook it was said later, and came over another link or past a full queue. So a
round waits until nothing is announced or asked for any more; one that is begun in the middle of a flood has
both sides send again what is on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from node.clock import Instant, earliest
from node.mesh.exchange import SETTLE_MS, Exchange
from node.mesh.gossip import EARLY_WINDOW_MS
from node.mesh.meshclock import MeshClock
from node.mesh.neighbour import Neighbour

SYNC_EVERY = 300.0
"""Seconds between two rounds with some peer, give or take a fifth."""
LOOK_AFTER = 0.5
"""Seconds from the sign that something is missing to a look whether gossip brings it, and to the next. What a
break has kept back is announced by then: beside a tree that changes announcements leave soon."""
LOOK_UNTIL = 5.0
"""Seconds after which a round is begun whatever gossip waits for: that may be what nobody has."""
AGAIN_AFTER = SETTLE_MS / 1000 + 1.0
"""Seconds after such a round to another: in the first, peers leave out what may be on its way."""


class Rounds:
    """Wishes rounds of the links in `near`; `spread` returns a random number from 0 to 1."""

    def __init__(
        self,
        near: Mapping[int, Neighbour],
        clock: MeshClock,
        exchange: Exchange,
        *,
        spread: Callable[[], float],
        now: Instant,
    ) -> None:
        self._near = near
        self._clock = clock
        self._exchange = exchange
        self._spread = spread
        self._next_at = now.mono + SYNC_EVERY
        self._lacking: tuple[float, float] | None = None
        self._again_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """When a round is to be begun, or put off."""
        look_at = None if self._lacking is None else self._lacking[0]
        return earliest(self._next_at, look_at, self._again_at)

    def lacking(self, now: Instant) -> None:
        """Something is missing: ask every peer what it has, unless gossip brings it soon."""
        if self._lacking is None:
            self._lacking = now.mono + LOOK_AFTER, now.mono + LOOK_UNTIL

    def compare(self, now: Instant) -> None:
        """Ask every peer about what is not under way any more, to learn who has it."""
        self._wish(self._clock.mesh_ms(now) - SETTLE_MS)

    def on_deadline(self, now: Instant) -> None:
        """Begin what is due."""
        if self._lacking is not None and now.mono >= self._lacking[0]:
            self._look(self._lacking[1], now)
        if self._again_at is not None and now.mono >= self._again_at:
            self._again_at = None
            self.compare(now)
            self._begin(now)
        if now.mono >= self._next_at:
            self._next_at = now.mono + SYNC_EVERY * (0.8 + 0.4 * self._spread())
            self._ask_someone(now)

    def _look(self, until: float, now: Instant) -> None:
        if self._exchange.waits and now.mono < until:
            self._lacking = min(now.mono + LOOK_AFTER, until), until
            return
        self._lacking = None
        self._again_at = self._again_at or now.mono + AGAIN_AFTER
        self._wish(self._clock.mesh_ms(now) + EARLY_WINDOW_MS)
        self._begin(now)

    def _wish(self, until_ms: int) -> None:
        for near in self._near.values():
            if near.sync is not None:
                near.sync.wish(until_ms=until_ms)

    def _begin(self, now: Instant) -> None:
        for near in self._near.values():
            if near.sync is not None:
                near.sync.poll(now=now.mono)

    def _ask_someone(self, now: Instant) -> None:
        live = [near.sync for near in self._near.values() if near.sync is not None]
        if live:
            chosen = live[int(self._spread() * len(live))]
            chosen.wish(until_ms=self._clock.mesh_ms(now) - SETTLE_MS)
            chosen.poll(now=now.mono)

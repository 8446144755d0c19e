"""What time the mesh thinks it is: our clock, and what the peers' say (docs/protocol.md section 7).

Our own clock has one vote among those of the linked peers. With a single link there is no majority: a relay,
which has many, is followed; between equals both go half way and so agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from node.clock import Instant

MAX_CORRECTION_MS = 36 * 3_600_000
"""Peers that claim more are not believed: the two days that early envelopes may have are not used up."""
WARN_MS = 60_000
WARN_EVERY = 3600.0
"""Seconds between two warnings."""


@dataclass(frozen=True, slots=True)
class _Vote:
    offset_ms: int
    relay: bool


class MeshClock:
    """The correction of our clock; a vote a live link."""

    def __init__(self, *, relay: bool) -> None:
        self._relay = relay
        self._votes: dict[int, _Vote] = {}
        self._warn_at = float("-inf")
        self.correction_ms = 0
        self.offset_ms = 0

    def mesh_ms(self, now: Instant) -> int:
        """Return the mesh time in UNIX milliseconds."""
        return now.wall_ms + self.correction_ms

    def mesh_now(self, now: Instant) -> Instant:
        """Return the mesh time beside our monotonic clock."""
        return Instant(now.mono, self.mesh_ms(now))

    def heard(self, link: int, *, theirs_ms: int, ours_ms: int, relay: bool) -> None:
        """Count what a peer's clock showed when ours showed `ours_ms`."""
        self._votes[link] = _Vote(theirs_ms - ours_ms, relay)
        self._settle()

    def lost(self, link: int) -> None:
        """Forget the vote of a link."""
        if self._votes.pop(link, None) is not None and self._votes:
            self._settle()  # without any link the last correction stays: our clock is as wrong as before

    def skew_to_report(self, *, now: float) -> float | None:
        """Return our offset in seconds if it is time to warn of it."""
        skew = self.skew_s
        if skew is None or now < self._warn_at:
            return None
        self._warn_at = now + WARN_EVERY
        return skew

    @property
    def skew_s(self) -> float | None:
        """Our offset in seconds while it is one to warn of: positive if the others are ahead."""
        return self.offset_ms / 1000 if self._votes and abs(self.offset_ms) > WARN_MS else None

    def _settle(self) -> None:
        votes = list(self._votes.values())
        if len(votes) > 1:
            self.offset_ms = round(median([0, *(vote.offset_ms for vote in votes)]))
        elif votes[0].relay != self._relay:
            self.offset_ms = votes[0].offset_ms if votes[0].relay else 0
        else:
            self.offset_ms = votes[0].offset_ms // 2
        believed = abs(self.offset_ms) <= MAX_CORRECTION_MS
        self.correction_ms = self.offset_ms if believed else 0

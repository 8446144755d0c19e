"""What came for others and has been passed on: it is put on a shelf a little later, many at once.

A turn of the engine for each would cost a relay as much as passing it on did, and stand in the way of what
comes behind it. It is written about a second later anyway (`Hold`), and a crash before is repaired by sync.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.mesh.ports import Arrived, MeshEffect, SendBytes

ASIDE_SECONDS = 0.8
"""Seconds that the first waits at most; whatever else the engine is given comes after all of them. Longer
than announcements are gathered: the turn that sends these takes it along."""
MAX_ASIDE = 64
"""Envelopes that wait, at most: of a flood a turn takes so many. Their bytes are those kept for GRAFTs."""


class Aside:
    """Envelopes of no channel of ours, as the mesh has let them through; `deadline`: when they are due."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._waiting: list[MeshEffect] = []

    def put(self, arrived: Sequence[Arrived], *, now: float) -> bool:
        """Set these aside; False if there is no room for all of them."""
        if len(self._waiting) + len(arrived) > MAX_ASIDE:
            return False
        self._waiting += arrived
        if self.deadline is None and arrived:
            self.deadline = now + ASIDE_SECONDS
        return True

    def empty(self) -> list[MeshEffect]:
        """Return what was set aside, in the order in which it came; none of it is left."""
        waiting, self._waiting, self.deadline = self._waiting, [], None
        return waiting


def parted(effects: Sequence[MeshEffect]) -> tuple[list[SendBytes], list[Arrived]] | None:
    """Return frames and envelopes apart, if there is nothing else; neither of them waits for the other."""
    frames = [effect for effect in effects if isinstance(effect, SendBytes)]
    arrived = [effect for effect in effects if isinstance(effect, Arrived)]
    return (frames, arrived) if len(frames) + len(arrived) == len(effects) else None

"""A bad network: live frames are dropped, doubled, kept back or overtake each other, on every link.

It acts where a frame is about to be queued on a link and is still a frame: what is sealed leaves in order, as
on a TCP stream. What is lost so is found again only by a sync, as with a peer that was too slow.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from node.mesh.link import Link
from node.sim import Simulation


@dataclass(frozen=True)
class Weather:
    """How often, of 1, a live frame is dropped, doubled, or kept back until others have gone before it."""

    drop: float = 0.0
    double: float = 0.0
    keep: float = 0.0


FAIR = Weather()
FOUL = {
    "fair": FAIR,
    "lossy": Weather(drop=0.4),
    "doubling": Weather(double=0.5),
    "shuffled": Weather(keep=0.6),
    "foul": Weather(0.2, 0.2, 0.3),
}


class Network:
    """The weather over one simulated mesh."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.weather = FAIR
        self._kept: dict[Link, list[tuple[bytes, bool]]] = defaultdict(list)
        self._patch = pytest.MonkeyPatch()

    def install(self) -> None:
        """Let the weather reach every link."""
        real = Link.send_live

        def send_live(link: Link, frame: bytes, *, ephemeral: bool, now: float, origin: bytes = b"") -> bool:
            return self._send(partial(real, origin=origin), link, frame, ephemeral, now)

        self._patch.setattr(Link, "send_live", send_live)

    def remove(self) -> None:
        """Take it away again."""
        self._patch.undo()

    def _send(self, real: Any, link: Link, frame: bytes, ephemeral: bool, now: float) -> bool:
        weather = self.weather
        if weather is FAIR and not self._kept:
            return bool(real(link, frame, ephemeral=ephemeral, now=now))
        if self.world.random() < weather.drop:
            return True
        if self.world.random() < weather.keep:
            self._kept[link].append((frame, ephemeral))
            return True
        taken = bool(real(link, frame, ephemeral=ephemeral, now=now))
        if self.world.random() < weather.double:
            real(link, frame, ephemeral=ephemeral, now=now)
        for late, kind in reversed(self._kept.pop(link, [])):
            real(link, late, ephemeral=kind, now=now)
        return taken

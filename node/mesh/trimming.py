"""Which link to let go of when there are more than we look for (docs/protocol.md section 7).

Gently, one after the other, and only links to strangers: those that we chose ourselves when enough others
dial us, and those that strangers dialled before there is no room for anybody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from node.mesh.limits import MAX_LINKS, MAX_LINKS_RELAY

SLACK = 2
"""Links above the target that are no reason to act: who dialled us has a reason of its own."""
ROOM_LEFT = 4
"""One part in so many of the places is kept for newcomers."""
SETTLED = 30.0
"""Seconds that a link is left alone at first."""
TRIM_EVERY = 10.0
"""Seconds between two links that are let go of."""
TRIM_RETRY_S = 300
"""Seconds that the other is asked to stay away."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One live link, as this decision sees it; `kept` is never let go of, `eager` only after the others."""

    number: int
    outbound: bool
    age: float
    kept: bool
    eager: bool = False


def most_links(*, relay: bool) -> int:
    """Return how many live links a node takes."""
    return MAX_LINKS_RELAY if relay else MAX_LINKS


def surplus(links: Iterable[Standing], *, target: int, relay: bool) -> list[int]:
    """Return the links of which one, at random, is to go now; none while all are welcome."""
    every = list(links)
    loose = [one for one in every if not one.kept and one.age >= SETTLED]
    most = most_links(relay=relay)
    if len(every) > most - most // ROOM_LEFT:
        loose = [one for one in loose if not one.outbound] or loose
    elif len(every) > target + SLACK and sum(one.outbound for one in every) > (target + 1) // 2:
        loose = [one for one in loose if one.outbound]
    else:
        return []
    return [one.number for one in loose if not one.eager] or [one.number for one in loose]

"""Whose duplicates may prune: those of one envelope at a time (docs/protocol.md section 5).

The links over which one envelope came twice are those that its tree has no use for; pruned for one envelope
alone they leave a tree. Two envelopes that are on their way at once have two trees, and pruning for both cuts
the mesh into pieces. So duplicates are noted, and acted upon a little later, if no envelope with a lower id
came shortly before or after: all nodes choose the same envelope, without a word between them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SETTLE = 0.6
"""Seconds from an envelope to the decision: longer than it takes through the mesh, duplicates included."""
APART = 1.2
"""Seconds since the last envelope of a lower id: its decision, and what that changed, are over everywhere."""
MAX_CANDIDATES = 256
"""Candidates at once: of 1,000 ids at random some 7 are lower than all that came later."""


@dataclass(slots=True)
class Candidate:
    """An envelope that may be chosen, with the links that brought it `again`.

    And those that announced it `ahead` of its payload, or from much `nearer` the author.
    """

    prefix: bytes
    at: float
    lowest: bool
    ahead: tuple[int, ...]
    nearer: set[int] = field(default_factory=set)
    again: set[int] = field(default_factory=set)


class Election:
    """The envelopes of the last moments whose ids are lower than those of all later ones, ids rising."""

    __slots__ = ("_rising",)

    def __init__(self) -> None:
        self._rising: deque[Candidate] = deque()

    def came(self, prefix: bytes, ahead: tuple[int, ...], *, now: float) -> None:
        """A new envelope is here."""
        rising = self._rising
        while rising and rising[-1].prefix > prefix:
            rising.pop()
        while rising and rising[0].at < now - APART - SETTLE:
            rising.popleft()
        if len(rising) < MAX_CANDIDATES:
            lowest = not rising or rising[-1].at <= now - APART
            rising.append(Candidate(prefix, now, lowest, ahead))

    def find(self, prefix: bytes) -> Candidate | None:
        """Return the candidate of an id that may still be chosen."""
        for one in self._rising:
            if one.prefix == prefix:
                return one if one.lowest else None
        return None

    @property
    def deadline(self) -> float | None:
        """When the next decision is due."""
        for one in self._rising:
            if one.lowest and (one.again or one.ahead or one.nearer):
                return one.at + SETTLE
        return None

    def decided(self, *, now: float) -> list[Candidate]:
        """Return the envelopes that have won, each once."""
        won = [one for one in self._rising if one.lowest and now >= one.at + SETTLE]
        for one in won:
            one.lowest = False
        return won

"""Whose duplicates may prune: those of one envelope at a time (docs/protocol.md section 5).

The links over which one envelope came twice are those that its tree has no use for; pruned for one envelope
alone they leave a tree. Two envelopes that are on their way at once have two trees, and pruning for both cuts
the mesh into pieces. So duplicates are noted, and acted upon a little later, if no envelope with a lower id
came shortly before or after: all nodes choose the same envelope, without a word between them.

Two envelopes are not equally far apart at all nodes. What is lower takes the place of a candidate that has
just come. If it comes later, the choice is in doubt, for elsewhere the first may have been chosen: then
nothing is done, unless there is no tree yet.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SETTLE = 0.6
"""Seconds from an envelope to the decision: longer than it takes through the mesh, duplicates included."""
CLEAR = 0.3
"""Seconds within which a lower one takes its place: `SETTLE` less what the order of arrival differs by."""
APART = 1.2
"""Seconds since a candidate, or a lower id, until its decision and what that changed are over everywhere."""
FLOOD = 2
"""Links that bring one envelope again: no exchange of one link does that, but a mesh without a tree."""
MAX_RISING = 256
"""Ids remembered: of 1,000 at random some 7 are lower than all that came later."""


@dataclass(slots=True)
class Candidate:
    """An envelope that may be chosen, with the links that brought it `again`.

    And those that announced it `ahead` of its payload: whether they are much nearer its author.
    """

    prefix: bytes
    at: float
    ahead: dict[int, bool]
    again: set[int] = field(default_factory=set)
    doubtful: bool = False
    open: bool = True

    @property
    def counts(self) -> bool:
        """Whether to act upon it; when in doubt, only where payloads come in floods."""
        return not self.doubtful or len(self.again) >= FLOOD


class Election:
    """The ids of the last moments that are lower than all later ones, and the candidate among them."""

    __slots__ = ("_candidate", "_rising")

    def __init__(self) -> None:
        self._rising: deque[tuple[bytes, float]] = deque()
        self._candidate: Candidate | None = None

    def came(self, prefix: bytes, ahead: dict[int, bool], *, now: float) -> None:
        """A new envelope is here."""
        rising = self._rising
        while rising and rising[-1][0] > prefix:
            rising.pop()
        while rising and rising[0][1] <= now - APART:
            rising.popleft()
        lowest = not rising
        if len(rising) < MAX_RISING:
            rising.append((prefix, now))
        if lowest:
            self._stand(Candidate(prefix, now, ahead))

    def _stand(self, new: Candidate) -> None:
        old, self._candidate = self._candidate, new
        if old is not None and new.at < old.at + APART:
            new.doubtful = old.doubtful or new.at >= old.at + CLEAR

    def find(self, prefix: bytes) -> Candidate | None:
        """Return the candidate if it has this id and may still be chosen."""
        found = self._candidate
        return found if found is not None and found.open and found.prefix == prefix else None

    @property
    def deadline(self) -> float | None:
        """When the next decision is due."""
        found = self._candidate
        if found is None or not found.open or not (found.again or found.ahead) or not found.counts:
            return None
        return found.at + SETTLE

    def decided(self, *, now: float) -> Candidate | None:
        """Return the envelope that has won, once."""
        found = self._candidate
        if found is None or not found.open or now < found.at + SETTLE:
            return None
        found.open = False
        return found if found.counts else None

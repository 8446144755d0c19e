"""How many links a node wants, from how many nodes it has heard of (docs/protocol.md section 7)."""

from __future__ import annotations

from math import ceil, log

LEAST_LINKS = 3
MOST_LINKS = 8
"""Links that are looked for: with this many a message reaches thousands of nodes in a few steps."""
FULL_MESH = 6
"""Up to so many nodes everybody is linked to everybody."""
MAX_HEARD = 256
"""Node keys that are counted: 8 bytes each. From 149 nodes on the answer is the same."""
FORGET_AFTER = 3600.0
"""Seconds after which a node that nobody names any more is counted no longer, at most twice that."""


def target_degree(nodes: int) -> int:
    """Return the links that a node wants in a mesh of about `nodes`, itself included."""
    if nodes <= FULL_MESH:
        return max(LEAST_LINKS, nodes - 1)
    return min(max(ceil(log(nodes)) + 2, LEAST_LINKS), MOST_LINKS)


class Census:
    """Estimates the number of nodes: the keys in records that hold, and those that were linked, lately."""

    __slots__ = ("_new", "_old", "_turn_at")

    def __init__(self, *, now: float) -> None:
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turn_at = now + FORGET_AFTER

    def heard(self, node_key: bytes, *, now: float) -> None:
        """Count a node of which there is some proof that it exists."""
        if now >= self._turn_at:
            self._old, self._new, self._turn_at = self._new, set(), now + FORGET_AFTER
        if len(self._new) < MAX_HEARD:
            self._new.add(node_key[:8])

    def nodes(self, also: int = 0) -> int:
        """Return the estimate: ourselves, those heard of, and `also` addresses of which no key is known."""
        return 1 + len(self._new | self._old) + also

"""What came in the last minute, so that a GRAFT can be answered at once (docs/protocol.md section 5).

An envelope is kept as the bytes it came in, not copied: all links, and the store, share them.
"""

from __future__ import annotations

from collections import OrderedDict

from node.mesh.index import ID_BYTES
from node.wire.envelope import Envelope

KEEP_FOR = 60.0
"""Seconds: past the longest wait for a payload that was announced, with all the questions for it."""
MAX_BYTES = 1 << 24
"""Of envelopes in all; what a flood pushes out is answered from the store."""
MAX_GRAFTED = 3
"""PUSHes of one envelope to one peer that asks for it again and again."""
MAX_COUNTED = 1024
"""Envelopes of which that is counted for one peer, the last that it asked for."""


class Copy:
    """One envelope, and what we say of its hops.

    Its `link` is the one whose PUSH brought it, None if it is ours or came otherwise.
    """

    __slots__ = ("at", "hop", "link", "raw")

    def __init__(self, raw: bytes, hop: int, link: int | None, at: float) -> None:
        self.raw = raw
        self.hop = hop
        self.link = link
        self.at = at


class Recent:
    """The envelopes of the last minute, by the first 16 bytes of their ids."""

    __slots__ = ("_bytes", "_copies", "_grafted")

    def __init__(self) -> None:
        self._copies: OrderedDict[bytes, Copy] = OrderedDict()
        self._bytes = 0
        self._grafted: dict[int, dict[bytes, int]] = {}

    def __len__(self) -> int:
        return len(self._copies)

    def get(self, prefix: bytes) -> Copy | None:
        """Return the copy of an id, if it is that recent."""
        return self._copies.get(prefix)

    def graft(self, prefix: bytes, link: int) -> bool:
        """Count an answer to a GRAFT of `link`; False if it had its share."""
        counts = self._grafted.setdefault(link, {})
        count = counts[prefix] = counts.pop(prefix, 0) + 1
        if len(counts) > MAX_COUNTED:
            del counts[next(iter(counts))]
        return count <= MAX_GRAFTED

    def closed(self, link: int) -> None:
        """A link is gone, and what was counted of it."""
        self._grafted.pop(link, None)

    def add(self, env: Envelope, hop: int, link: int | None, *, now: float) -> None:
        """Keep an envelope that was just accepted, and let go of what is old or too much."""
        copies, prefix = self._copies, env.eid[:ID_BYTES]
        if prefix in copies:
            return
        copies[prefix] = Copy(env.raw, hop, link, now)
        self._bytes += len(env.raw)
        while copies:
            oldest = next(iter(copies.values()))
            if now < oldest.at + KEEP_FOR and self._bytes <= MAX_BYTES:
                break
            copies.popitem(last=False)
            self._bytes -= len(oldest.raw)

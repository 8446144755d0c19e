"""The hops that we say of an envelope, and that do not say that we wrote it (docs/protocol.md section 5).

Who writes starts with some hops, and who passes something on that has come few hops sometimes adds none: no
number is an author's alone. Both are the same for all envelopes of one posting key, so that a peer learns
nothing by comparing many of them.
"""

from __future__ import annotations

from hashlib import blake2b

from node.wire.envelope import Envelope

AUTHOR_HOPS = 4
"""Our own envelopes start with 0 to 3 hops."""
STAYS = 4
"""With one posting key in so many, an envelope that came fewer hops than that is passed on with as many."""


class Hops:
    """The choices of one process; nobody else knows its `secret`."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def first(self, env: Envelope) -> int:
        """Return how many hops we say of an envelope of our own."""
        return self._draw(env, b"first") % AUTHOR_HOPS

    def onward(self, env: Envelope, hop: int) -> int:
        """Return how many hops we say of an envelope that came at `hop`."""
        if hop < AUTHOR_HOPS and self._draw(env, b"on") % STAYS == 0:
            return hop
        return hop + 1

    def _draw(self, env: Envelope, of: bytes) -> int:
        return blake2b(env.rk, key=self.secret, person=of, digest_size=1).digest()[0]

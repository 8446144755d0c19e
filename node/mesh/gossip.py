"""Whether an envelope that arrives is new, in time and genuine (docs/protocol.md section 5).

The order of the questions is that of their cost: seen, time, signature. Only what passes all three is stored,
passed on and shown to the engine, and it passes once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from node.clock import DAY_MS
from node.errors import PeerFault
from node.mesh.index import ID_BYTES, Index
from node.wire.envelope import EPHEMERAL, Envelope

EPHEMERAL_WINDOW_MS = 120_000
"""How far the time of an ephemeral may be off, either way."""
EARLY_WINDOW_MS = 2 * DAY_MS
"""How far ahead a kept envelope may be: a clock that is a day off loses nothing."""
PUSH_WINDOW_MS = 3_600_000
"""Age at which a kept envelope is no news: it is then asked for by id, so replaying old ones is useless."""
FRESH_MS = 60_000
"""Age up to which what a sync brought is pushed on instead of announced."""
SEEN_FOR = 300.0
"""Seconds that ids outside the index are remembered, at least: past the window of any ephemeral."""
MAX_SEEN = 1 << 17
"""Ids in one of the two sets, about 10 MiB; a flood that turns them faster only replays ephemerals."""


class Verdict(Enum):
    """What becomes of an envelope; nobody is blamed for the last three."""

    NEW = "new"
    KNOWN = "known"
    OLD = "old"
    LATE = "late"
    EARLY = "early"


class Seen:
    """Id prefixes in two sets that take turns: old ones are forgotten a set at a time."""

    __slots__ = ("_new", "_old", "_turn_at")

    def __init__(self, *, now: float) -> None:
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turn_at = now + SEEN_FOR

    def __contains__(self, prefix: bytes) -> bool:
        return prefix in self._new or prefix in self._old

    def add(self, prefix: bytes, *, now: float) -> None:
        """Remember an id for 5 to 10 minutes."""
        if now >= self._turn_at or len(self._new) >= MAX_SEEN:
            self._old, self._new = self._new, set()
            self._turn_at = now + SEEN_FOR
        self._new.add(prefix)


class Gossip:
    """What was accepted; `verify` raises PeerFault for an envelope whose signature does not hold."""

    def __init__(self, index: Index, verify: Callable[[Envelope], None], *, now: float) -> None:
        self.index = index
        self._verify = verify
        self._seen = Seen(now=now)

    def knows(self, prefix: bytes) -> bool:
        """Whether this id was accepted, or refused for good, before."""
        return prefix in self.index or prefix in self._seen

    def judge(self, env: Envelope, *, mesh_ms: int, pushed: bool, now: float) -> Verdict:
        """Decide, and count the envelope as accepted if it is NEW.

        Raises:
            PeerFault: If the signature does not hold; the id is remembered and never checked again.
        """
        prefix = env.eid[:ID_BYTES]
        if prefix in self.index or prefix in self._seen:
            return Verdict.KNOWN
        verdict = _timely(env, mesh_ms, pushed)
        if verdict is not Verdict.NEW:
            return verdict
        try:
            self._verify(env)
        except PeerFault:
            self._seen.add(prefix, now=now)
            raise
        self.accept(env, now=now)
        return Verdict.NEW

    def accept(self, env: Envelope, *, now: float) -> None:
        """Count an envelope as accepted: one that passed, or one of our own."""
        if env.kind == EPHEMERAL:
            self._seen.add(env.eid[:ID_BYTES], now=now)
        else:
            self.index.add(env.eid, env.ts_ms, env.expires_ms)


def _timely(env: Envelope, mesh_ms: int, pushed: bool) -> Verdict:
    age = mesh_ms - env.ts_ms
    if env.kind == EPHEMERAL:
        if not pushed or age > EPHEMERAL_WINDOW_MS:
            return Verdict.LATE
        return Verdict.EARLY if age < -EPHEMERAL_WINDOW_MS else Verdict.NEW
    if age < -EARLY_WINDOW_MS:
        return Verdict.EARLY
    if env.expires_ms <= mesh_ms:
        return Verdict.LATE
    return Verdict.OLD if pushed and age > PUSH_WINDOW_MS else Verdict.NEW

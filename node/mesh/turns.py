"""What the syncs of all links share, so that nothing is fetched twice (docs/protocol.md section 6).

A node that comes back has several peers, and all of them have what it missed: each day is asked of one at a
time. And what gossip brings meanwhile is newer than what is missing, so the newest id at hand says nothing of
where the gap begins; the newest from before the first link does.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from node.mesh.tried import Tried

Asker: TypeAlias = tuple[int, int]
"""A link and a session."""

QUIET_FOR = 3.0
"""Seconds without a new envelope before another peer is asked for the same day as well."""
HELD_FOR = 30.0
"""Seconds before that anyway: a peer that gives one now and then does not keep a day from us."""
MAX_PEERS = 128
"""Peers of whom it is remembered what they were asked: all that are linked, and as many that were."""
REPLACED = -1
"""Stands for a session that its beginner has given up for another: what it was asked for stays asked."""
MAX_CLAIMS = 256
"""Days that are asked for, of all links: peers can name days that nobody else has."""


@dataclass(slots=True)
class _Claim:
    """`begun` says whether the peer was free to answer: two days may be asked for, one after the other."""

    asker: Asker
    since: float
    moved: float
    begun: bool

    @property
    def until(self) -> float:
        return min(self.moved + QUIET_FOR, self.since + HELD_FOR)


class Turns:
    """Who is asked for which day, from where on we lack something, and what was asked in vain."""

    def __init__(self) -> None:
        self.before_ms: int | None = None
        """The newest time up to which nothing is known to be missing; None when a sync has finished since."""
        self._claims: dict[int, _Claim] = {}
        self._tried: OrderedDict[bytes, Tried] = OrderedDict()
        self._asked_at: dict[int, float] = {}
        self._finished_at: float | None = None

    def tried(self, node_key: bytes) -> Tried:
        """Return what was asked of a node, over this link or those before it."""
        known = self._tried.setdefault(node_key, Tried())
        self._tried.move_to_end(node_key)
        if len(self._tried) > MAX_PEERS:
            self._tried.popitem(last=False)
        return known

    def alone(self, newest_ms: int | None) -> None:
        """The first link is up; `newest_ms` is what we have from before it."""
        if self.before_ms is None:
            self.before_ms = newest_ms

    def reached(self, ts_ms: int) -> None:
        """What is missing came in order up to `ts_ms`."""
        if self.before_ms is not None:
            self.before_ms = max(self.before_ms, ts_ms)

    def finished(self, *, now: float) -> None:
        """A round was answered; if none is under way with another, nothing is known to be missing.

        Nor is it some time later, whatever others are still asked for: they may make that up.
        """
        if self._finished_at is None:
            self._finished_at = now
        late = now >= self._finished_at + HELD_FOR
        if late or not any(now < claim.until for claim in self._claims.values()):
            self.before_ms = self._finished_at = None

    def is_free(self, day: int, asker: Asker, *, now: float) -> bool:
        """Whether `asker` may ask for a day: nobody else is being asked for it, or in vain."""
        claim = self._claims.get(day)
        return claim is None or claim.asker in (asker, (asker[0], REPLACED)) or now >= claim.until

    def free_at(self, day: int) -> float:
        """Return when a day can be asked for by another."""
        claim = self._claims.get(day)
        return claim.until if claim is not None else float("-inf")

    def claim(self, day: int, asker: Asker, *, begun: bool, now: float) -> None:
        """`asker` asks for a day; over a link that was asked for it before, on the time that it had."""
        known = self._claims.get(day)
        if known is not None and known.asker[0] == asker[0]:
            known.asker = asker
            return
        self._asked_at[asker[0]] = now
        if len(self._claims) >= MAX_CLAIMS:
            self._claims = {day: claim for day, claim in self._claims.items() if now < claim.until}
        if len(self._claims) < MAX_CLAIMS:
            self._claims[day] = _Claim(asker, now, now, begun)

    def begin(self, day: int, asker: Asker, *, now: float) -> None:
        """A peer has answered what it was asked before this day: the time for it begins, once."""
        claim = self._claims.get(day)
        if claim is not None and claim.asker == asker and not claim.begun:
            claim.since, claim.moved, claim.begun = now, now, True

    def asked_at(self, link: int) -> float:
        """Return when a link last got a turn: who waits for one longest gets the next."""
        return self._asked_at.get(link, float("-inf"))

    def moved(self, day: int, asker: Asker, *, now: float) -> None:
        """A peer has sent something of a day that was not here."""
        claim = self._claims.get(day)
        if claim is not None and claim.asker == asker:
            claim.moved = now

    def done(self, day: int, asker: Asker) -> None:
        """A peer has given all that it has of a day."""
        claim = self._claims.get(day)
        if claim is not None and claim.asker == asker:
            del self._claims[day]

    def replaced(self, asker: Asker) -> None:
        """Another round has taken the place of one: days that were asked for stay so for no longer."""
        for claim in self._claims.values():
            if claim.asker == asker:
                claim.asker = (asker[0], REPLACED)

    def over(self, asker: Asker) -> None:
        """A round has ended."""
        self._claims = {day: claim for day, claim in self._claims.items() if claim.asker != asker}

    def closed(self, link: int) -> None:
        """A link is gone."""
        self._asked_at.pop(link, None)
        self._claims = {day: claim for day, claim in self._claims.items() if claim.asker[0] != link}

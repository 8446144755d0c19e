"""Which links carry payloads and which only announcements: Plumtree (docs/protocol.md section 5).

Eager links make up one tree over the whole mesh. A payload that comes twice shows a cycle, and the later
link is made lazy; an announcement that no payload follows shows a gap, and its announcer is made eager. Both
ends of a link agree on what it is, by PRUNE and GRAFT.

Any link of a cycle may go, and those that go first leave the tree of the shortest ways from whoever wrote
what was on its way then. So now and then a tree is grown from a better root (`node.mesh.beacons`). And a lazy
link whose announcements were, over some envelopes, ahead of the payloads of an eager one takes its place: the
tree comes to suit those who write, and a mended one has no long detours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from node.clock import earliest
from node.mesh.beacons import Root
from node.mesh.election import Candidate, Election
from node.mesh.missing import Awaited
from node.mesh.recent import Copy
from node.wire.frames import Graft, Prune

BACKOFF = 2
"""Seconds that a peer we pruned leaves the link lazy, but for what we announce to it: it could not get that
otherwise. Long enough that no link is made eager and lazy by turns, short enough to mend the tree."""
ASKED_WITHIN = 5.0
"""Seconds from an announcement to the last GRAFT for it: it may have been made before our PRUNE."""
SLOW_BACKOFF = 60
"""The same for a peer that was pruned because it is slow."""
QUIET = 1.0
"""Seconds in which payloads on a link that we pruned mean nothing: they were under way."""
GATHERED = 0.02
"""Seconds that an announcement is later than the payload would have been: it waits to be gathered. Where the
tree stands it waits longer, and is taken for less ahead than it was: no link goes that should stay."""
LEAD = 0.01
"""Seconds that a lazy link has to be ahead of an eager one, on average, to take its place."""
LEAD_SAMPLES, MAX_SAMPLES = 6, 24
"""Envelopes of which that average is made, at least, and as how many the past counts at most."""
MAX_LEAD = 0.2
"""Seconds that one envelope counts for: a stalled link is no better link."""
HOPS_AHEAD = 5
"""Hops by which a lazy link is nearer to the author, so that one envelope is proof enough of its lead."""
BREAK_AFTER = 0.15
"""Seconds that the old link stays beside the new one: the GRAFT is there before the PRUNE is."""
REST = 1.6
"""Seconds from a beacon in which no duplicate prunes, for those of two trees cut both: until its tree stands
alone, and one that came before that has been decided upon."""
_NEVER = float("-inf")

Order: TypeAlias = tuple[int, Graft | Prune]
"""A frame and the link to send it on."""


@dataclass(slots=True)
class Way:
    """One live link: how it is used, and how far it was ahead of each eager link while it is lazy."""

    eager: bool = True
    pruned_at: float = _NEVER
    closed_until: float = _NEVER  # we pruned it: it asks for no more than we announce until then
    barred_until: float = _NEVER  # it pruned us
    leads: dict[int, tuple[int, float]] = field(default_factory=dict)


class Plumtree:
    """The live links of one node; GRAFTs and PRUNEs to be sent gather in `orders`."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self._election = Election()
        self._ways: dict[int, Way] = {}
        self._breaking: tuple[float, int, int] | None = None  # when, the old link, the new one
        self._rests_until = _NEVER

    @property
    def deadline(self) -> float | None:
        """When a decision is due."""
        return earliest(self._election.deadline, self._breaking[0] if self._breaking else None)

    def is_eager(self, link: int) -> bool:
        """Whether payloads go over a link."""
        way = self._ways.get(link)
        return way is not None and way.eager

    @property
    def bare(self) -> bool:
        """Whether there are no links."""
        return not self._ways

    @property
    def eager(self) -> list[int]:
        """The eager links."""
        return [link for link, way in self._ways.items() if way.eager]

    def opened(self, link: int) -> None:
        """A link is live; it is eager until a duplicate shows that it is not needed."""
        self._ways[link] = Way()

    def closed(self, link: int, *, now: float) -> bool:
        """A link is gone; if the tree went over it (True), another takes its place."""
        gone = self._ways.pop(link, None)
        for way in self._ways.values():
            way.leads.pop(link, None)
        if gone is None or not gone.eager:
            return False
        self._mend(now)
        return True

    # what comes over a link

    def sent(self, prefix: bytes, *, now: float) -> None:
        """An envelope of our own is on its way."""
        self._election.came(prefix, {}, now=now)

    def took(self, prefix: bytes, link: int, hop: int, known: Awaited | None, *, now: float) -> None:
        """A PUSH has brought something new at `hop` hops; `known` is what had been announced of it."""
        way = self._ways[link]
        if not way.eager and now >= way.pruned_at + QUIET:
            way.eager = True  # the peer takes it for eager: agree
        ahead: dict[int, bool] = {}
        if known is not None and link not in known.asked:
            for one, at, its_hop in known.announcers:
                self._led(one, link, now - at + GATHERED)
                if one != link:
                    ahead[one] = its_hop + HOPS_AHEAD <= hop
        self._election.came(prefix, ahead, now=now)

    def again(self, prefix: bytes, link: int, *, now: float) -> None:
        """A PUSH has brought what was here: note it, until it is clear whose duplicates count."""
        if now < self._ways[link].pruned_at + QUIET:
            return
        candidate = self._election.find(prefix)
        if candidate is not None:
            candidate.again.add(link)

    def heard(self, copy: Copy, link: int, *, now: float) -> None:
        """A link has announced what was here."""
        if copy.link is not None:
            self._led(link, copy.link, copy.at - now + GATHERED)

    def on_prune(self, link: int, backoff: float, *, now: float) -> None:
        """The peer wants announcements instead of payloads."""
        way = self._ways[link]
        was_eager, way.eager = way.eager, False
        way.barred_until = now + backoff
        if was_eager and not self.eager:
            self._mend(now)

    def on_graft(self, link: int) -> None:
        """The peer wants payloads."""
        self._open(link)

    def may_graft(self, link: int, copy: Copy | None, *, now: float) -> bool:
        """Whether a peer may ask for payloads now: not soon after our PRUNE, but for what is new."""
        way = self._ways[link]
        return now >= way.closed_until or (copy is not None and copy.at >= way.pruned_at - ASKED_WITHIN)

    def may_lead(self, link: int, *, now: float) -> bool:
        """Whether a tree can grow over a link: it is eager or may be made so."""
        return self.is_eager(link) or self._usable(link, now)

    # what we do about it

    def graft(self, link: int, prefix: bytes | None) -> None:
        """Make a link eager, and ask on it for an envelope if one is named."""
        self._open(link)
        self.orders.append((link, Graft(prefix)))

    def demote(self, link: int, *, now: float) -> None:
        """Make the link to a slow peer lazy, unless no other is eager."""
        if self.is_eager(link) and len(self.eager) > 1:
            self._prune(link, SLOW_BACKOFF, now)

    def sprout(self, link: int | None, *, now: float) -> None:
        """A beacon came first over a link, or is ours: its tree is to grow beside the one that there is."""
        self._rests_until = now + REST
        self._breaking = None
        if link is not None and self._usable(link, now):
            self.graft(link, None)

    def grow(self, root: Root, *, now: float) -> None:
        """The tree of a beacon stands: let go of the links that it has no use for."""
        if root.link is None or self.is_eager(root.link):
            for link in sorted(filter(self.is_eager, root.again)):
                self._prune(link, BACKOFF, now)

    def chosen(self, *, now: float) -> Candidate | None:
        """End what is overdue, and return the envelope whose tree is to be the tree, for `settle`."""
        if self._breaking is not None and now >= self._breaking[0]:
            _, old, new = self._breaking
            self._breaking = None
            if self.is_eager(old) and self.is_eager(new):
                self._prune(old, BACKOFF, now)
        chosen = self._election.decided(now=now)
        return chosen if now >= self._rests_until else None

    def settle(self, candidate: Candidate, copy: Copy | None, *, now: float) -> None:
        """Let the tree of one envelope be ours: its own link eager, those of its duplicates lazy."""
        if copy is None or copy.link is None:
            return
        way = self._ways.get(copy.link)
        if way is None or (not way.eager and now < way.barred_until):
            return
        if not way.eager:
            self.graft(copy.link, None)
        for link in sorted(candidate.again):
            if link != copy.link and link in self._ways and now >= self._ways[link].pruned_at + QUIET:
                self._prune(link, BACKOFF, now)
        if not candidate.doubtful:
            self._swap(candidate, copy.link, now)

    def _swap(self, candidate: Candidate, old: int, now: float) -> None:
        """Put a lazy link that is surely better in the place of an eager one.

        All who do so for the same envelope take a link to somebody who had it earlier, so that what they
        make together is a tree again.
        """
        new = self._best(candidate.ahead, old, now)
        if new is None or self._breaking is not None:
            return
        self.graft(new, None)
        self._breaking = (now + BREAK_AFTER, old, new)
        for way in self._ways.values():
            way.leads.clear()

    def _best(self, ahead: dict[int, bool], old: int, now: float) -> int | None:
        best, best_lead = None, LEAD
        for link, much_nearer in ahead.items():
            if self._usable(link, now):
                samples, lead = self._ways[link].leads.get(old, (0, 0.0))
                if (samples >= LEAD_SAMPLES or much_nearer) and lead > best_lead:
                    best, best_lead = link, lead
        return best

    def _usable(self, link: int, now: float) -> bool:
        """Whether a link is lazy and may be made eager."""
        way = self._ways.get(link)
        return way is not None and not way.eager and now >= way.barred_until

    def _led(self, lazy: int, eager: int, seconds: float) -> None:
        """A lazy link was ahead of an eager one with one envelope, or behind it."""
        way = self._ways.get(lazy)
        if way is None or way.eager or lazy == eager:
            return
        samples, lead = way.leads.get(eager, (0, 0.0))
        samples = min(samples + 1, MAX_SAMPLES)
        step = max(-MAX_LEAD, min(MAX_LEAD, seconds)) - lead
        way.leads[eager] = (samples, lead + step / samples)

    def _mend(self, now: float) -> None:
        """A branch of the tree is gone: take the first lazy link that may be made eager."""
        for link in self._ways:
            if self._usable(link, now):
                self.graft(link, None)
                return

    def _open(self, link: int) -> None:
        way = self._ways[link]
        way.eager = True
        way.pruned_at = way.closed_until = _NEVER
        way.leads.clear()

    def _prune(self, link: int, backoff: int, now: float) -> None:
        way = self._ways[link]
        way.eager = False
        way.pruned_at, way.closed_until = now, now + backoff
        self.orders.append((link, Prune(backoff)))

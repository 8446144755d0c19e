"""From where the tree grows: who is near all others says so now and then (docs/protocol.md section 5).

A beacon goes over every link, and the link that brings it first is on the shortest way to its author, the
root. Together these links are a tree, and the nearer to all nodes its root is, the shorter are its ways. How
near a node is, nobody can tell; but who has short links is near, and knows it from its PINGs. Their mean is
its rank, and the lowest wins: the best speak first, and whoever is better than what it hears answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from node.wire.frames import BEACON_BYTES, MAX_RANK, Beacon

EVERY = 60.0
"""Seconds from one growth to the next where nothing happens: links grow slow and others fast."""
SOON = 5.0
"""Seconds to the next growth at least, where the tree is damaged. Twice as many after each early one, at most
`EVERY`: where nodes come and go all the time the mesh would do nothing else."""
MEND_AFTER = 0.2
"""Seconds from a link of the tree that broke to a beacon: others that broke with it are reported by then."""
HASTE = 20
"""How many times less one then waits for others to speak first: there are gaps to be closed."""
FIRST = 1.0
"""Seconds from the first link to the first beacon: by then the others are up, and their PINGs answered."""
WAIT_PER_MS = 0.1
"""Seconds that one waits for each ms of its rank, so that few speak before they hear of somebody better."""
MAX_WAIT = 30.0
NEAREST = 3
"""Links whose round trips make up the rank: those over which most of the shortest ways go."""
FAR_MS = 1000.0
"""Round trip of a link that is not there or was not measured: who has fewer than three makes no good root."""
TENTHS = 10
"""Of a ms in a rank are counted: in a LAN all links take less than one."""
REIGNS = 0.75
"""What the last root multiplies its rank by: round trips vary, and another tree costs copies."""
OPEN_FOR = 0.6
"""Seconds from its first beacon that a growth is open to better ones: twice through the mesh."""
SETTLE = 0.6
"""Seconds from the best beacon to the decision: longer than it takes through the mesh, over all links."""
MAX_TAKEN = 16
"""Beacons taken in a growth: of 1,000 in a random order some 7 are better than all before them."""


@dataclass(slots=True)
class Root:
    """The best beacon of a growth: the `link` that brought it first, None if it is ours; those `again`."""

    beacon: Beacon
    link: int | None
    at: float
    again: set[int] = field(default_factory=set)


def rank(round_trips_ms: Iterable[float | None]) -> int:
    """Return the mean of the three shortest round trips, in tenths of a ms."""
    known = sorted(one for one in round_trips_ms if one is not None)[:NEAREST]
    known += [FAR_MS] * (NEAREST - len(known))
    return min(MAX_RANK, round(sum(known) * TENTHS / NEAREST))


def wait(of: int) -> float:
    """Return for how long one of this rank lets others speak first."""
    return min(MAX_WAIT, of / TENTHS * WAIT_PER_MS)


class Beacons:
    """The growths of one node; its `secret` makes its beacons like no others'."""

    __slots__ = (
        "_begun", "_look_at", "_made", "_mend_at", "_pause",
        "_reigns", "_root", "_secret", "_since", "_spoken", "_taken", "early",
    )  # fmt: skip

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.early = False
        """Whether the last growth was begun before its time, because the tree was damaged somewhere."""
        self._since: float | None = None
        self._begun = float("-inf")
        self._mend_at: float | None = None
        self._pause = SOON
        self._look_at: float | None = None
        self._root: Root | None = None
        self._reigns = self._spoken = False
        self._made = self._taken = 0

    def opened(self, *, now: float) -> None:
        """A link is live."""
        if self._since is None:
            self._since = now
            self._look_at = now + FIRST

    def alone(self) -> None:
        """The last link is gone: there is nothing to wake for."""
        self._since = self._look_at = self._mend_at = self._root = None

    def damaged(self, *, now: float) -> None:
        """A link of the tree is gone: let it grow anew soon; not while the first links come up."""
        if self._mend_at is None and self._since is not None and now >= self._since + FIRST:
            self._look_at = self._mend_at = max(now + MEND_AFTER, self._begun + self._pause)

    def _due(self, own_rank: int) -> float:
        """When one of our rank is to speak, if nobody else has."""
        assert self._since is not None
        due = max(self._since + FIRST, self._begun + EVERY) + wait(own_rank)
        return due if self._mend_at is None else min(due, self._mend_at + wait(own_rank) / HASTE)

    @property
    def deadline(self) -> float | None:
        """When a growth is to be decided, or may have to be begun."""
        return self._look_at if self._root is None else self._root.at + SETTLE

    def came(self, beacon: Beacon, link: int, *, now: float) -> bool:
        """Take a beacon; True if it is the best of its growth and is to be passed on."""
        root = self._root
        if root is not None and root.beacon == beacon:
            if link != root.link:
                root.again.add(link)
            return False
        if now >= self._begun + self._pause - OPEN_FOR:  # the others' last growth began a little earlier
            self._begin(now)
        elif not self._betters(beacon, now):
            return False
        self._take(beacon, link, now)
        return True

    def may_speak(self, *, now: float) -> bool:
        """Whether `ours` is worth asking: others are to be bettered, or it is time for a growth."""
        if self._root is not None:
            return not self._spoken
        return self._look_at is not None and now >= self._look_at

    def ours(self, own_rank: int, *, now: float) -> Beacon | None:
        """Return a beacon of our own, if it is time for one or ours is better than what came."""
        if self._reigns:
            own_rank = int(REIGNS * own_rank)
        beacon = Beacon(own_rank, self._draw())
        if self._root is not None:
            equal = own_rank == self._root.beacon.rank
            if self._spoken or equal or not self._betters(beacon, now):
                return None
        else:
            self._look_at = self._due(own_rank)
            if now < self._look_at:
                return None
            self._begin(now)
        self._spoken = True
        self._take(beacon, None, now)
        return beacon

    def decided(self, *, now: float) -> Root | None:
        """Return the root of a growth that is over, once."""
        root = self._root
        if root is None or now < root.at + SETTLE:
            return None
        self._root, self._reigns = None, root.link is None
        return root

    def _begin(self, now: float) -> None:
        self.early = now < self._begun + EVERY - OPEN_FOR  # the others' last growth began a little earlier
        self._pause = min(EVERY, 2 * self._pause) if self.early else SOON
        self._begun, self._look_at, self._mend_at = now, now + EVERY, None
        self._root, self._spoken, self._taken = None, False, 0

    def _betters(self, beacon: Beacon, now: float) -> bool:
        root = self._root
        return (
            root is not None
            and now < self._begun + OPEN_FOR
            and self._taken < MAX_TAKEN
            and (beacon.rank, beacon.id) < (root.beacon.rank, root.beacon.id)
        )

    def _take(self, beacon: Beacon, link: int | None, now: float) -> None:
        self._taken += 1
        self._root = Root(beacon, link, now)

    def _draw(self) -> bytes:
        self._made += 1
        made = self._made.to_bytes(8, "big")
        return blake2b(made, key=self._secret, person=b"beacon", digest_size=BEACON_BYTES).digest()

"""The passive view: nodes that strangers told us of, and that can be dialled (docs/protocol.md section 7).

It holds node records alone, each signed by the node that it speaks of, and nothing about who is linked to
whom. Nobody can fill it: what one peer tells, and what lies in one network, is limited, and of what is
full a random record goes that was never of any use to us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from node.clock import Instant, day_of
from node.crypto import noderec
from node.crypto.noderec import NodeRecord
from node.errors import PeerFault
from node.mesh.limits import authority_of, is_public, network_of

MAX_KNOWN = 60
"""Records kept: dozens of other ways into the mesh, 40 KB at most, 15 as a rule."""
MAX_A_NETWORK = 2
"""Of these in one public /24 (IPv6: /48), or under one domain: addresses there cost next to nothing."""
MAX_A_TELLER = 4
"""Of these learned from one peer: it takes many peers to fill the view."""
MAX_FAILURES = 3
"""Dials in a row that lead nowhere, after which a record that never led to a link is let go."""


@dataclass(slots=True)
class Known:
    """A record and what we know of its node; times are seconds on the monotonic clock, maybe before start."""

    record: NodeRecord
    told_by: bytes
    first: float
    linked: float | None = None
    failures: int = 0
    networks: tuple[str, ...] = field(default=())

    @property
    def node_key(self) -> bytes:
        """The 32-byte key of the node."""
        return self.record.node_key


class PassiveView:
    """At most 60 records; `spread` gives a number in [0, 1)."""

    def __init__(self, own_key: bytes, own_addresses: Iterable[str], spread: Callable[[], float]) -> None:
        self._own_key = own_key
        self._own = frozenset(own_addresses)
        self._spread = spread
        self._known: dict[bytes, Known] = {}
        self._gone: list[Known] = []

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Known]:
        return iter(list(self._known.values()))

    def get(self, node_key: bytes) -> Known | None:
        """Return what is known of a node."""
        return self._known.get(node_key)

    def check(self, raw: bytes, now: Instant) -> NodeRecord | None:
        """Return a record that holds; None if it is our own, or no newer than what is known.

        Raises:
            PeerFault: If it is malformed or its signature does not hold.
        """
        claimed = noderec.read_record(raw)
        known = self._known.get(claimed.node_key)
        if claimed.node_key == self._own_key or (known is not None and claimed.seq <= known.record.seq):
            return None
        noderec.check_record(claimed)
        return claimed if noderec.in_time(claimed, now) else None

    def take(self, record: NodeRecord, told_by: bytes, *, now: float) -> Known | None:
        """Keep a checked record if there is a place for it; return what is known of its node then."""
        usable = tuple(a for a in record.addresses if a not in self._own and is_public(a))
        networks = tuple(dict.fromkeys(network_of(authority_of(a)) for a in usable))
        known = self._known.get(record.node_key)
        if not usable or not self._has_place(record.node_key, networks):
            return None
        slim = NodeRecord(
            record.node_key, usable, record.roles, record.seq, record.expires_day, bytes(record.raw)
        )
        if known is not None:
            known.record, known.networks, known.failures = slim, networks, 0
            return known
        told = [one for one in self._known.values() if one.told_by == told_by]
        crowd = told if len(told) >= MAX_A_TELLER else list(self._known.values())
        if (crowd is told or len(crowd) >= MAX_KNOWN) and not self._make_room(crowd):
            return None
        known = self._known[record.node_key] = Known(slim, told_by, now, networks=networks)
        return known

    def _has_place(self, node_key: bytes, networks: tuple[str, ...]) -> bool:
        there = Counter(network for known in self if known.node_key != node_key for network in known.networks)
        return all(there[network] < MAX_A_NETWORK for network in networks)

    def _make_room(self, crowd: list[Known]) -> bool:
        """Let one of a crowd go that never led to a link: a newcomer takes no proven node's place."""
        unproven = [known for known in crowd if known.linked is None]
        if not unproven:
            return False
        known = unproven[int(self._spread() * len(unproven))]
        del self._known[known.node_key]
        self._gone.append(known)
        return True

    def take_gone(self) -> list[Known]:
        """Return what has made room since the last time."""
        gone, self._gone = self._gone, []
        return gone

    def was_linked(self, node_key: bytes, *, now: float) -> None:
        """There is, or was until now, a link to a node."""
        known = self._known.get(node_key)
        if known is not None:
            known.linked, known.failures = now, 0

    def failed(self, node_key: bytes) -> bool:
        """A dial led nowhere; True if the record is let go for that."""
        known = self._known.get(node_key)
        if known is None:
            return False
        known.failures += 1
        if known.failures < MAX_FAILURES * len(known.record.addresses) or known.linked is not None:
            return False
        del self._known[node_key]
        return True

    def expire(self, now: Instant) -> list[Known]:
        """Let go of what has expired, and return it."""
        today = day_of(now.wall_ms)
        gone = [known for known in self._known.values() if known.record.expires_day < today]
        for known in gone:
            del self._known[known.node_key]
        return gone

    def sample(self, count: int, *, leave_out: bytes) -> list[bytes]:
        """Return up to `count` raw records at random, none of the node that asks.

        It does not look at which nodes are linked, so that an answer says nothing about it.
        """
        pool = [known.record.raw for known in self._known.values() if known.node_key != leave_out]
        for spot in range(min(count, len(pool))):
            other = spot + int(self._spread() * (len(pool) - spot))
            pool[spot], pool[other] = pool[other], pool[spot]
        return pool[:count]

    def rows(self, now: Instant) -> list[tuple[bytes, bytes, int, int]]:
        """Return what is worth remembering: record, who told it, first known, last linked (UNIX s, or 0)."""
        return [
            (
                known.record.raw,
                known.told_by,
                _wall_s(known.first, now),
                0 if known.linked is None else _wall_s(known.linked, now),
            )
            for known in self._known.values()
        ]

    def restore(self, rows: Iterable[tuple[bytes, bytes, int, int]], now: Instant) -> None:
        """Take back what `rows` gave before a restart; what does not hold any more is left out."""
        for raw, told_by, first_s, linked_s in rows:
            try:
                record = noderec.parse_record(raw, now)
            except PeerFault:
                continue
            if record.node_key == self._own_key:
                continue
            known = self.take(record, told_by, now=min(now.mono, _mono(first_s, now)))
            if known is not None and linked_s:
                known.linked = min(now.mono, _mono(linked_s, now))


def _wall_s(mono: float, now: Instant) -> int:
    return max(1, round(now.wall_ms / 1000 - (now.mono - mono)))


def _mono(wall_s: int, now: Instant) -> float:
    return now.mono - (now.wall_ms / 1000 - wall_s)

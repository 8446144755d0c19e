"""Who we are linked to, and where else we could be: active and passive view (docs/protocol.md section 7).

The active view are the live links. This decides how many are looked for, asks peers for records of other
nodes, answers such questions, and says which link may go when there are too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from node.clock import Instant, earliest
from node.crypto.noderec import NodeRecord
from node.mesh.degree import Census, target_degree
from node.mesh.limits import TokenBucket, is_near
from node.mesh.neighbour import Neighbour
from node.mesh.passive import Known, PassiveView
from node.mesh.peers import FRIENDS, Book, rank_of
from node.mesh.spreading import Unasked
from node.mesh.trimming import TRIM_EVERY, Standing, surplus
from node.wire import frame_bytes
from node.wire.frames import MAX_RECORDS, PeerExchange

PX_EVERY = 60.0
"""Seconds between two questions, to a random peer, give or take a fifth."""
PX_HUNGRY = 15.0
"""The same while links are missing."""
PX_FIRST = 1.0
"""A new peer is asked within so many seconds: it tells its own record, and learns ours when it asks."""
PX_PAUSE = 12.0
"""Seconds between two questions to one peer, at least."""
MAX_AWAITED = 3
"""Answers that may still come from one peer: a slow link has one under way when the next question leaves."""
PX_RATE = 0.1
"""Answers a second that one peer gets, PX_BURST at once: an answer is at most 25 KB, and mostly 5."""
PX_BURST = 3
SCOUT_EVERY = 600.0
"""Seconds, give or take a fifth, between two dials beside what is lacking: each part of a mesh that fell
apart has all the links it wants, and would never look for the others again."""
RELAYS_KEPT = 2
"""Links to relays that are not let go of by a node that cannot be dialled."""
Remembered: TypeAlias = Iterable[tuple[bytes, bytes, int, int]]


@dataclass(slots=True)
class _Talk:
    """PX on one link: when it was last asked, how many answers are due, and what answers it may have."""

    allowance: TokenBucket
    first_at: float | None
    asked_at: float = float("-inf")
    awaited: int = 0


class Overlay:
    """Looks after both views; `own_record` gives our signed record, or None if nobody could dial it."""

    def __init__(
        self,
        own_key: bytes,
        *,
        listen: tuple[str, ...],
        relay: bool,
        own_record: Callable[[Instant], bytes | None],
        near: dict[int, Neighbour],
        book: Book,
        spread: Callable[[], float],
        is_eager: Callable[[int], bool],
        remembered: Remembered,
        now: Instant,
    ) -> None:
        self.passive = PassiveView(own_key, listen, spread)
        self.reached = False
        """Whether somebody outside of our own network has ever dialled us since the start."""
        self._relay = relay
        self._is_eager = is_eager
        self._own_record = own_record
        self._near, self._book, self._spread = near, book, spread
        self._census = Census(now=now.mono)
        self._talks: dict[int, _Talk] = {}
        self._px_at = now.mono + PX_EVERY * (0.8 + 0.4 * spread())
        self._trim_at = now.mono + TRIM_EVERY
        self._scout_at = self._px_at + SCOUT_EVERY
        self.passive.restore(remembered, now)
        for known in self.passive:
            self._census.heard(known.node_key, now=now.mono)
            self._write_down(known, now.mono)
        self.settle()

    @property
    def nodes(self) -> int:
        """How many nodes there are, as far as we know."""
        return self._census.nodes(self._book.keyless())

    @property
    def deadline(self) -> float | None:
        """When to ask a peer, or to look whether there are too many links."""
        if not self._talks:
            return None
        firsts = [talk.first_at for talk in self._talks.values() if talk.first_at is not None]
        return earliest(self._px_at, self._trim_at, *firsts)

    # links

    def linked(self, near: Neighbour, now: float) -> None:
        """A link is live: soon its node is asked whom it knows."""
        link = near.link
        assert link.hello is not None
        self.reached = self.reached or (not link.outbound and not is_near(link.remote))
        self._census.heard(link.node_key, now=now)
        self.passive.was_linked(link.node_key, now=now)
        if not self._talks:
            self._px_at = min(self._px_at, now + PX_EVERY)
            self._trim_at = now + TRIM_EVERY
        first_at = now + PX_FIRST * self._spread() if link.hello.listen or self._book.lacking > 0 else None
        self._talks[link.number] = _Talk(TokenBucket(PX_RATE, now=now, burst=PX_BURST), first_at)
        self.settle()

    def unlinked(self, near: Neighbour, now: float) -> None:
        """A live link is gone."""
        self._talks.pop(near.link.number, None)
        self.passive.was_linked(near.link.node_key, now=now)
        self._hurry(now)
        self.settle()

    def failed(self, address: str) -> None:
        """A dial led nowhere: what strangers told us is not believed for ever."""
        if not address or self._book.source_of(address) in FRIENDS:
            return
        key = self._book.key_of(address)
        known = None if key is None else self.passive.get(key)
        if known is None or address not in known.record.addresses:
            self._book.forget_stranger(address)
        elif self.passive.failed(known.node_key):
            self._cross_out(known.record)
        self.settle()

    def is_friend(self, near: Neighbour) -> bool:
        """Whether a link leads to a node of the owner's, of a contact or of a co-member."""
        return self._book.trust(near.link.address, near.link.node_key) in FRIENDS

    def rank(self, near: Neighbour) -> int:
        """Return how little reason there is to trust a node: 0 for one that the owner named."""
        return rank_of(self._book.trust(near.link.address, near.link.node_key))

    def _hurry(self, now: float) -> None:
        if self._book.lacking > 0:
            self._px_at = min(self._px_at, now + PX_HUNGRY * (0.8 + 0.4 * self._spread()))

    def settle(self) -> None:
        """Look again at how many links are wanted, and whether one to a relay."""
        self._book.target = target_degree(self.nodes)
        here = (near for near in self._near.values() if near.link.live and near.link.hello is not None)
        has_relay = any(near.link.hello is not None and "relay" in near.link.hello.roles for near in here)
        if self._relay or self.reached or has_relay:
            self._book.sought = frozenset()
        else:
            relays = [known.record for known in self.passive if "relay" in known.record.roles]
            self._book.sought = frozenset(address for record in relays for address in record.addresses)

    # peer exchange

    def on_px(self, near: Neighbour, frame: PeerExchange, now: Instant) -> None:
        """Answer a question, or learn from an answer; raises Unasked, or PeerFault for a forged record."""
        talk = self._talks[near.link.number]
        if frame.records is not None:
            if not talk.awaited:
                raise Unasked("node records that nobody asked for")
            talk.awaited -= 1
            self._learn(near, frame.records, now)
        elif talk.allowance.take(1, now=now.mono):
            own = self._own_record(now)
            told = [own] if own is not None else []
            told += self.passive.sample(MAX_RECORDS - len(told), leave_out=near.link.node_key)
            near.link.send_control(frame_bytes.encode(PeerExchange(tuple(told))))
        else:
            raise Unasked("too many questions for node records")

    def _learn(self, near: Neighbour, records: tuple[bytes, ...], now: Instant) -> None:
        try:
            for raw in records:
                record = self.passive.check(raw, now)
                if record is not None:
                    self._census.heard(record.node_key, now=now.mono)
                    self._keep(record, near.link.node_key, now.mono)
        finally:
            self.settle()

    def _keep(self, record: NodeRecord, told_by: bytes, now: float) -> None:
        before = self.passive.get(record.node_key)
        old = None if before is None else before.record
        known = self.passive.take(record, told_by, now=now)
        for gone in self.passive.take_gone():
            self._cross_out(gone.record)
        if known is not None:
            if old is not None:
                self._cross_out(old)
            if any(n.link.live and n.link.node_key == known.node_key for n in self._near.values()):
                known.linked = now
            self._write_down(known, now)

    def _write_down(self, known: Known, now: float) -> None:
        for address in known.record.addresses:
            self._book.add(address, "px", now=now, key=known.node_key, first=known.first, seen=known.linked)

    def _cross_out(self, record: NodeRecord) -> None:
        for address in record.addresses:
            self._book.forget_stranger(address)

    def _ask(self, near: Neighbour, now: float) -> None:
        talk = self._talks[near.link.number]
        talk.first_at = None
        if now >= talk.asked_at + PX_PAUSE:
            talk.asked_at, talk.awaited = now, min(talk.awaited + 1, MAX_AWAITED)
            near.link.send_control(frame_bytes.encode(PeerExchange(None)))

    # timers

    def on_deadline(self, now: Instant) -> list[int]:
        """Ask whom it is time to ask; return the links of which one may go, at random."""
        for number, talk in self._talks.items():
            if talk.first_at is not None and now.mono >= talk.first_at:
                self._ask(self._near[number], now.mono)
        if now.mono >= self._px_at and self._talks:
            self._px_round(now)
        if now.mono < self._trim_at:
            return []
        self._trim_at = now.mono + TRIM_EVERY * (0.8 + 0.4 * self._spread())
        return self.surplus(now.mono)

    def _px_round(self, now: Instant) -> None:
        for known in self.passive.expire(now):
            self._cross_out(known.record)
        for number in self._talks:
            self._census.heard(self._near[number].link.node_key, now=now.mono)
        self.settle()
        numbers = list(self._talks)
        self._ask(self._near[numbers[int(self._spread() * len(numbers))]], now.mono)
        if now.mono >= self._scout_at:
            self._scout_at = now.mono + SCOUT_EVERY * (0.8 + 0.4 * self._spread())
            self._book.scout(now=now.mono)
        every = PX_HUNGRY if self._book.lacking > 0 else PX_EVERY
        self._px_at = now.mono + every * (0.8 + 0.4 * self._spread())

    def surplus(self, now: float) -> list[int]:
        """Return the links of which one may go."""
        live = [near for near in self._near.values() if near.link.live]
        if len(live) <= self._book.target:
            return []
        elders = self._book.elders()
        standing = [
            Standing(
                near.link.number,
                near.link.outbound,
                now - near.link.opened,
                self.is_friend(near) or near.link.node_key in elders or self._keeps_us_reachable(near),
                self._is_eager(near.link.number),
            )
            for near in live
        ]
        return surplus(standing, target=self._book.target, relay=self._relay)

    def _keeps_us_reachable(self, near: Neighbour) -> bool:
        """Whether this is one of few relays that a node leans on that nobody can dial."""
        if self.reached or near.link.hello is None or "relay" not in near.link.hello.roles:
            return False
        relays = [
            n for n in self._near.values() if n.link.hello is not None and "relay" in n.link.hello.roles
        ]
        return near in relays[:RELAYS_KEPT]

    def relays(self) -> tuple[str, ...]:
        """Return the addresses of relays that we dialled and are linked to, the longest first."""
        live = [near.link for near in self._near.values() if near.link.live and near.link.outbound]
        found = [link.address for link in live if link.hello is not None and "relay" in link.hello.roles]
        return tuple(found[:RELAYS_KEPT])

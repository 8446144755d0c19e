"""How new envelopes spread: payloads over eager links, announcements over lazy ones (docs/protocol.md 5).

Somebody else's envelope goes on to the other links in the same step in which it came. A link that cannot take
it is told of it instead, and asks when it can.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.clock import Instant, earliest
from node.errors import PeerFault
from node.mesh.beacons import Beacons, rank
from node.mesh.gossip import Gossip, Verdict
from node.mesh.holding import Holding
from node.mesh.hops import Hops
from node.mesh.index import ID_BYTES
from node.mesh.meshclock import MeshClock
from node.mesh.missing import MAX_RETRY, MIN_RETRY, Ask, Missing
from node.mesh.neighbour import Neighbour
from node.mesh.plumtree import Plumtree
from node.mesh.ports import Arrived, MeshEffect
from node.mesh.promises import Promises
from node.mesh.recent import Copy, Recent
from node.mesh.wants import Wants
from node.wire.envelope import EPHEMERAL, Envelope, parse
from node.wire.frame_bytes import encode, encode_push
from node.wire.frames import MAX_HOP, Beacon, Graft, Prune, Push

NOT_COMING = MAX_HOP
"""Hops in an announcement of what will not come by the tree: it is to be asked for by WANT, at once."""
CALM = 10.0
"""Seconds from the last link here that the tree took or left until it counts as standing: while it grows,
announcements tell in time where it has gaps and which links are ahead of it."""
MAX_OWN = 4096
"""Own envelopes of which we want to know who has them, remembered for what others announce."""


class Unasked(PeerFault):
    """A peer answered what nobody asked, or asked for more than its share."""

    code = "unasked"


@dataclass(slots=True)
class Overdue:
    """What a deadline brought to light: links to `ask`, those that were `slow` and that `broke` a promise."""

    ask: set[int] = field(default_factory=set)
    slow: set[int] = field(default_factory=set)
    broke: set[int] = field(default_factory=set)


class Spreading:
    """Pushes, announces and asks over the live links in `near`; `salt` is 0 to 255, other for each node."""

    def __init__(
        self,
        gossip: Gossip,
        near: dict[int, Neighbour],
        clock: MeshClock,
        effects: list[MeshEffect],
        *,
        wants: Wants,
        holding: Holding,
        salt: int,
        hops: Hops,
    ) -> None:
        self.tree = Plumtree()
        self._missing = Missing(salt)
        self._beacons = Beacons(hops.secret)
        self._hops = hops
        self._recent = Recent()
        self._promises = Promises()
        self._own: dict[bytes, None] = {}
        self._calm_at, self._share = float("-inf"), salt / 255
        self._gossip = gossip
        self._near = near
        self._clock = clock
        self._effects = effects
        self._wants = wants
        self._holding = holding

    @property
    def deadline(self) -> float | None:
        """When something is overdue or to be decided."""
        shaping = self.tree.deadline, self._beacons.deadline
        return earliest(self._missing.deadline, self._promises.deadline, *shaping)

    @property
    def awaits(self) -> bool:
        """Whether a PUSH is to bring what was announced, or a GRAFT."""
        return len(self._missing) > 0

    def opened(self, number: int, now: Instant) -> None:
        """A link is in use from now on."""
        self.tree.opened(number)
        self._beacons.opened(now=now.mono)

    def closed(self, number: int, now: Instant) -> None:
        """A link is gone."""
        damaged = self.tree.closed(number, now=now.mono)
        if self.tree.bare:
            self._beacons.alone()
        elif damaged:
            self._stirred(now)
            self._beacons.damaged(now=now.mono)
        self._missing.closed(number)
        self._recent.closed(number)
        self._send_orders(now)

    def publish(self, env: Envelope, now: Instant, *, watched: bool) -> None:
        """Send an envelope of our own, and ask for a `watched` one who has it."""
        prefix, hop = env.eid[:ID_BYTES], self._hops.first(env)
        self._gossip.accept(env, now=now.mono)
        self._recent.add(env, hop, None, now=now.mono)
        self.tree.sent(prefix, now=now.mono)
        if watched:
            self._own[prefix] = None
            if len(self._own) > MAX_OWN:
                del self._own[next(iter(self._own))]
        self.spread(env, hop, b"", now)

    def on_push(self, near: Neighbour, frame: Push, now: Instant) -> bool:
        """Take a PUSH; True if it is too old to be taken so and is to be asked for.

        Raises:
            PeerFault: If the envelope is malformed or not genuine.
        """
        env, number = parse(frame.envelope), near.link.number
        near.link.copies += 1
        prefix = env.eid[:ID_BYTES]
        verdict = self._gossip.judge(env, mesh_ms=self._clock.mesh_ms(now), pushed=True, now=now.mono)
        if verdict is Verdict.KNOWN:
            self._has(number, prefix, now)
            self.tree.again(prefix, number, now=now.mono)
            return False
        known = self._missing.arrived(prefix, number, now=now.mono)
        if verdict is not Verdict.NEW:
            return verdict is Verdict.OLD and self._wants.announced(number, prefix)
        onward = self._hops.onward(env, frame.hop)
        self._arrived(env, number, onward, number, now)
        self.tree.took(prefix, number, frame.hop, known, now=now.mono)
        self.spread(env, onward, near.link.node_key, now)
        return False

    def on_held(self, near: Neighbour, env: Envelope, *, fresh: bool, now: Instant) -> None:
        """Pass on what a BATCH has brought: push it if it is `fresh`, announce it otherwise."""
        prefix = env.eid[:ID_BYTES]
        self._missing.arrived(prefix, None, now=now.mono)
        if fresh:
            self._arrived(env, near.link.number, 1, None, now)
            self.spread(env, 1, near.link.node_key, now)
            return
        self._promises.kept(prefix)
        self._effects.append(Arrived(env, near.link.number))
        for other in self._near.values():
            if other.link.live and other.link.node_key != near.link.node_key:
                other.announce(prefix, NOT_COMING, now=now.mono)

    def _arrived(self, env: Envelope, number: int, hop: int, by: int | None, now: Instant) -> None:
        prefix = env.eid[:ID_BYTES]
        self._wants.arrived(prefix)
        self._promises.kept(prefix)
        self._recent.add(env, hop, by, now=now.mono)
        self._effects.append(Arrived(env, number))

    def spread(self, env: Envelope, hop: int, origin: bytes, now: Instant) -> None:
        """Push an envelope over the eager links, announce it on the lazy ones; not to where it came from."""
        frame, prefix = encode_push(hop, env.raw), env.eid[:ID_BYTES]
        ephemeral, announced = env.kind == EPHEMERAL, min(hop, NOT_COMING - 1)
        calm = self._share if now.mono >= self._calm_at else None
        for number, near in self._near.items():
            link = near.link
            if not link.live or link.node_key == origin:
                continue
            if not self.tree.is_eager(number):
                if not ephemeral or link.may_tell_ephemeral(len(frame), now=now.mono):
                    near.announce(prefix, announced, now=now.mono, calm=calm)
            elif link.send_live(frame, ephemeral=ephemeral, now=now.mono, origin=origin):
                self._has(number, prefix, now)
            elif not ephemeral:
                near.announce(prefix, NOT_COMING, now=now.mono)

    def _has(self, number: int, prefix: bytes, now: Instant) -> None:
        """A peer has an envelope, or will have read it before it answers the next PING.

        It is asked whoever wrote it: nobody is to see by our PINGs what is ours.
        """
        if prefix in self._own:
            self._holding.pushed(number, prefix, now=now.mono)
        else:
            self._holding.passed(number, now=now.mono)

    def on_ihave(self, near: Neighbour, ids: tuple[tuple[bytes, int], ...], now: Instant) -> list[bytes]:
        """Take announcements; return what of them is to be asked for at once."""
        number, wanted = near.link.number, []
        for prefix, hop in ids:
            copy = self._recent.get(prefix)
            if copy is not None:
                self._has(number, prefix, now)
                if hop < NOT_COMING:
                    self.tree.heard(copy, number, now=now.mono)
            elif self._gossip.knows(prefix):
                self._has(number, prefix, now)
            elif hop >= NOT_COMING or not self._missing.announced(number, prefix, hop, now=now.mono):
                wanted.append(prefix)
        return wanted

    def on_prune(self, near: Neighbour, frame: Prune, now: Instant) -> None:
        """Take a PRUNE: announce from now on."""
        self.tree.on_prune(near.link.number, frame.backoff_s, now=now.mono)
        self._stirred(now)
        self._send_orders(now)

    def on_graft(self, near: Neighbour, frame: Graft, now: Instant) -> None:
        """Take a GRAFT: push from now on, and what it names at once.

        Raises:
            Unasked: If the peer was told to wait, or asks too often for the same, or for what was never here.
        """
        number, named = near.link.number, frame.prefix
        copy = self._recent.get(named) if named is not None else None
        if not self.tree.may_graft(number, copy, now=now.mono):
            raise Unasked("a GRAFT in the time of a PRUNE")
        if copy is not None and named is not None and not self._recent.graft(named, number):
            raise Unasked("a GRAFT for the same again")
        if copy is None and named is not None and not self._gossip.knows(named):
            raise Unasked("a GRAFT for what was never here")
        self.tree.on_graft(number)
        self._stirred(now)
        if named is None:
            return
        if copy is not None:
            push = encode_push(copy.hop, copy.raw)
            if copy.raw[1] == EPHEMERAL:
                near.link.send_promised(push)  # no store has it, and it was announced
            elif near.link.send_live(push, ephemeral=False, now=now.mono):
                self._has(number, named, now)
            else:
                near.announce(named, NOT_COMING, now=now.mono)  # a busy link is no fault of the peer's
            return
        assert near.sync is not None
        if not near.sync.answers.on_want((named,)):
            raise Unasked("too many GRAFTs")

    def on_beacon(self, near: Neighbour, frame: Beacon, now: Instant) -> None:
        """Take a beacon: pass on the best of a growth, or our own if that is better.

        One of a peer that pruned us just now counts for nothing: whoever brings it later can be the way to
        the root, and would let go of us if it heard of it from here.
        """
        number = near.link.number
        if not self.tree.may_lead(number, now=now.mono):
            return
        if self._beacons.came(frame, number, now=now.mono) and not self._speak(now):
            self.tree.sprout(number, now=now.mono)
            self._show(frame, near.link.node_key, now)
            self._send_orders(now)

    def _speak(self, now: Instant) -> bool:
        """Send a beacon of our own, if there is reason to."""
        if not self._beacons.may_speak(now=now.mono):
            return False
        trips = (near.link.rtt_ms for near in self._near.values() if near.link.live)
        own = self._beacons.ours(rank(trips), now=now.mono)
        if own is not None:
            self.tree.sprout(None, now=now.mono)
            self._show(own, b"", now)
        return own is not None

    def _show(self, beacon: Beacon, origin: bytes, now: Instant) -> None:
        if self._beacons.early:
            self._stirred(now)  # somewhere the tree is damaged: there are gaps behind that
        frame = encode(beacon)
        for near in self._near.values():
            link = near.link
            if link.live and link.node_key != origin and link.control_room:
                link.send_control(frame)

    def on_want(self, near: Neighbour, ids: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Push the ephemerals that a peer wants, which nobody holds; return the rest."""
        rest = []
        for prefix in ids:
            copy = self._recent.get(prefix)
            fleeting = copy if copy is not None and copy.raw[1] == EPHEMERAL else None
            if fleeting is None or not self._give(near, prefix, fleeting):
                rest.append(prefix)
        return tuple(rest)

    def _give(self, near: Neighbour, prefix: bytes, copy: Copy) -> bool:
        may = self._recent.graft(prefix, near.link.number)
        return may and near.link.send_promised(encode_push(copy.hop, copy.raw))

    def at_hand(self, prefix: bytes) -> bytes | None:
        """Return an envelope of the last minute that a BATCH may carry."""
        copy = self._recent.get(prefix)
        return None if copy is None or copy.raw[1] == EPHEMERAL else copy.raw

    def on_deadline(self, now: Instant) -> Overdue:
        """Ask for what is overdue, and let the tree settle."""
        found = Overdue()
        by_link: dict[int, list[bytes]] = {}
        for ask in self._missing.due(self._retry, self._near.__contains__, now=now.mono):
            if ask.slow is not None and ask.slow in self._near:
                found.slow.add(ask.slow)
            if ask.link is not None:
                by_link.setdefault(ask.link, []).append(ask.prefix)
            else:
                self._give_up(ask, found, now)
        for number, prefixes in by_link.items():
            self._graft(number, prefixes, found)
        candidate = self.tree.chosen(now=now.mono)
        if candidate is not None:
            self.tree.settle(candidate, self._recent.get(candidate.prefix), now=now.mono)
        root = self._beacons.decided(now=now.mono)
        if root is not None:
            self.tree.grow(root, now=now.mono)
        self._speak(now)
        found.broke = {number for number in self._promises.broken(now=now.mono) if number in self._near}
        self._send_orders(now)
        return found

    def _graft(self, number: int, prefixes: list[bytes], found: Overdue) -> None:
        """Ask a link for what is overdue: the first by GRAFT, which brings what comes later as well."""
        self.tree.graft(number, prefixes[0])
        for prefix in prefixes[1:]:
            if self._wants.announced(number, prefix):
                found.ask.add(number)

    def _give_up(self, ask: Ask, found: Overdue, now: Instant) -> None:
        self._promises.doubt(ask.prefix, ask.asked, now=now.mono)
        for holder in ask.holders:
            if self._wants.announced(holder, ask.prefix):
                found.ask.add(holder)

    def demote(self, number: int, now: Instant) -> None:
        """A peer is slow: announce to it, and let others send."""
        self.tree.demote(number, now=now.mono)
        self._send_orders(now)

    def _retry(self, number: int) -> float:
        rtt_ms = self._near[number].link.rtt_ms
        return MAX_RETRY / 2 if rtt_ms is None else min(MAX_RETRY, max(MIN_RETRY, rtt_ms / 500))

    def _stirred(self, now: Instant) -> None:
        """The tree changes: what is new is announced soon for a while, and what waits to be is, too."""
        if now.mono >= self._calm_at:
            for near in self._near.values():
                near.hurry(now=now.mono)
        self._calm_at = now.mono + CALM

    def _send_orders(self, now: Instant) -> None:
        orders, self.tree.orders = self.tree.orders, []
        if orders:
            self._stirred(now)
        for number, frame in orders:
            near = self._near.get(number)
            if near is not None:
                near.link.send_control(encode(frame))

"""How links come and go: opened, proven, greeted, left (docs/protocol.md sections 3 and 7)."""

from __future__ import annotations

from node.clock import DAY_MS, HORIZON_DAYS, Instant, earliest
from node.mesh import greeting
from node.mesh.clones import CLONED_RETRY_S, Clones
from node.mesh.exchange import Exchange
from node.mesh.greeting import MAX_TWINS
from node.mesh.index import Index
from node.mesh.limits import Scores
from node.mesh.link import Link
from node.mesh.meshclock import MeshClock
from node.mesh.neighbour import Neighbour
from node.mesh.overlay import Overlay
from node.mesh.peers import Book
from node.mesh.ports import (
    ClockSkew,
    CloseLink,
    LinkClosed,
    LinkOpened,
    MeshEffect,
    PeerDown,
    PeerUp,
    RemoveAddress,
    SendBytes,
)
from node.mesh.records import Ourselves
from node.mesh.sync import EVERYTHING
from node.mesh.trimming import TRIM_RETRY_S, most_links
from node.wire import frame_bytes, frames
from node.wire.frames import Goodbye, Hello, Leave, Ping

_FULL_RETRY_S = 60
REFUSED_RETRY_S = 3600
FLOOR_SLACK_MS = 2 * DAY_MS
"""The floor holds as long as the link, and a clock may be a day ahead when that comes up: expiry counts."""
DOUBTED_RETRY_S = 5
"""For a third start of one key, until it is known which of two it is."""


class Linking:
    """Takes links in and takes leave of them; shares `near` and `effects` with the mesh."""

    def __init__(
        self,
        own: Ourselves,
        *,
        near: dict[int, Neighbour],
        book: Book,
        scores: Scores,
        clock: MeshClock,
        index: Index,
        exchange: Exchange,
        overlay: Overlay,
        effects: list[MeshEffect],
    ) -> None:
        self._own = own
        self._near = near
        self._book = book
        self._scores = scores
        self._clock = clock
        self._index = index
        self._exchange = exchange
        self._overlay = overlay
        self._clones = Clones()
        self.came_in = 0
        """Live links that others dialled, since the start."""
        self._effects = effects

    def on_opened(self, event: LinkOpened, now: Instant) -> None:
        """A websocket is open: from here on we shake hands on it."""
        link = Link(
            event.link,
            outbound=event.outbound,
            address=event.address,
            remote=event.remote,
            keys=self._own.keys,
            entropy=self._own.entropy,
            now=now.mono,
        )
        self._near[event.link] = Neighbour(link)
        if event.outbound:
            self._book.opened(event.address)
            visited = self._exchange.parts.visiting(event.address)
            if self._book.source_of(event.address) is None and not visited:
                self.leave(self._near[event.link], Leave.LEAVING, "address removed", now)
            return
        going = greeting.crowded_out((near.link for near in self._near.values()), link)
        if going is not None:
            self.leave(self._near[going.number], Leave.FULL, "too many half-open links", now)

    def on_closed(self, event: LinkClosed, now: Instant) -> None:
        """A websocket is gone."""
        near = self._near.get(event.link)
        if near is not None:
            self.drop(near, event.reason, now)

    def on_removed(self, event: RemoveAddress, now: Instant) -> None:
        """The owner wants no link there any more."""
        self._book.remove(event.address)
        for near in list(self._near.values()):
            if event.address in (near.link.address, near.link.remote):
                self.leave(near, Leave.LEAVING, "address removed", now)

    def leave(self, near: Neighbour, code: Leave, reason: str, now: Instant, *, retry_s: int = 0) -> None:
        """Say goodbye if the peer can hear it, and close."""
        if near.link.node_key:
            near.link.send_control(frame_bytes.encode(Goodbye(code, retry_s)))
            number = near.link.number
            self._effects += [SendBytes(number, data) for data in near.link.flush(now=now.mono)]
        self._effects.append(CloseLink(near.link.number, reason))
        self.drop(near, reason, now)

    def drop(self, near: Neighbour, reason: str, now: Instant) -> None:
        """Forget a link that is closed or being closed."""
        link = near.link
        if self._near.pop(link.number, None) is None:
            return
        self._clock.lost(link.number)
        self._clones.closed(link.number)
        self._exchange.closed(link.number, now)
        if not link.live:
            self.dial_failed(link.address, now, why=reason)
            return
        self._book.link_down(link.address, link.node_key, now=now.mono, why=reason)
        self._overlay.unlinked(near, now.mono)
        if not any(other.live and other.node_key == link.node_key for other in self._links()):
            self._effects.append(PeerDown(link.number, link.node_key, reason))

    def dial_failed(self, address: str, now: Instant, *, why: str) -> None:
        """A dial, or the handshake after it, came to nothing."""
        self._book.failed(address, now=now.mono, why=why)
        self._exchange.parts.dial_failed(address, now)
        self._overlay.failed(address)

    def trim(self, numbers: list[int], now: Instant) -> None:
        """Let go of one of these links, at random: there are more than we look for."""
        if numbers:
            number = numbers[int.from_bytes(self._own.entropy(2), "big") % len(numbers)]
            self.leave(self._near[number], Leave.FULL, "enough links", now, retry_s=TRIM_RETRY_S)

    def _links(self) -> list[Link]:
        return [near.link for near in self._near.values()]

    def on_proven(self, near: Neighbour, now: Instant) -> None:
        """The peer's key is known: greet it, unless it is our own or refused."""
        link = near.link
        if link.node_key == self._own.keys.node_pub:
            self._book.is_ourselves(link.address)
            self.leave(near, Leave.SELF, "this is ourselves", now)
        elif self._scores.refuses(link.node_key, now=now.mono):
            self.leave(near, Leave.REFUSED, "refused for its faults", now, retry_s=REFUSED_RETRY_S)
        else:
            link.send_control(frame_bytes.encode(near.make_hello(self._hello(link, now))))

    def _hello(self, link: Link, now: Instant) -> Hello:
        source = self._book.trust(link.address, link.node_key)
        return Hello(
            features=0,
            boot_nonce=self._own.boot_nonce,
            listen=self._own.listen,
            roles=self._own.roles,
            max_frame=frames.MAX_FRAME_BYTES,
            floor_ms=max(0, self._clock.mesh_ms(now) - HORIZON_DAYS * DAY_MS - FLOOR_SLACK_MS),
            now_ms=now.wall_ms,
            budget=greeting.budget_for(link, source, relay="relay" in self._own.roles),
        )

    def on_hello(self, near: Neighbour, hello: Hello, now: Instant) -> None:
        """Both sides have greeted: the link is live, unless there are too many."""
        link = near.link
        others = [other for other in self._links() if other.live and other.node_key == link.node_key]
        if not others and not self._has_room(near, now):
            self.leave(near, Leave.FULL, "too many links", now, retry_s=_FULL_RETRY_S)
            return
        if sum(self._clones.doubts(other.number) for other in others) >= MAX_TWINS:
            self.leave(near, Leave.DUPLICATE, "one start too many", now, retry_s=DOUBTED_RETRY_S)
            return
        near.go_live(hello, self._index, now=now.mono)
        self._exchange.opened(near, now)
        self._book.link_up(link.address, link.node_key, now=now.mono)
        self._overlay.linked(near, now.mono)
        self.came_in += not link.outbound
        self.hear_clock(near, hello.now_ms, now)
        if not others:
            self._effects.append(
                PeerUp(link.number, link.node_key, link.address or link.remote, link.outbound, hello.roles)
            )
        sure = [other for other in others if not self._doubtful(link, other, now)]
        for going in greeting.redundant(link, sure, own_key=self._own.keys.node_pub, now=now.mono):
            self.leave(self._near[going.number], Leave.DUPLICATE, "another link to this node", now)
        if link.outbound and link.number in self._near and near.sync is not None:
            near.sync.wish(until_ms=EVERYTHING)
            near.sync.poll(now=now.mono)

    def _has_room(self, near: Neighbour, now: Instant) -> bool:
        """Whether another node can be linked; whom we have less reason to trust makes way for a friend.

        Co-members make way for contacts: of a room that anybody may enter, anybody is one.
        """
        live = [other for other in self._near.values() if other.link.live]
        if len(live) < most_links(relay="relay" in self._own.roles):
            return True
        ours = self._overlay.rank(near)
        ranks = {other.link.number: self._overlay.rank(other) for other in live}
        least = max(ranks.values())
        if not self._overlay.is_friend(near) or least <= ours:
            return False
        self.trim([number for number, rank in ranks.items() if rank == least], now)
        return True

    # one key, two boot nonces

    def _doubtful(self, new: Link, old: Link, now: Instant) -> bool:
        """Whether it is open if an older link is that of a process that ended, or of a clone."""
        assert new.hello is not None and old.hello is not None
        if old.hello.boot_nonce == new.hello.boot_nonce or old.stale(now=now.mono):
            return False
        pings = (old.ping_sent is not None, new.ping_sent is not None)
        if not self._clones.doubt(old.number, new.number, pings=pings, now=now.mono):
            return False
        for link in (old, new):
            if link.ping_sent is None:
                self.ping(self._near[link.number], now)
        return True

    def ping(self, near: Neighbour, now: Instant) -> None:
        """Ask a peer whether it is there, and with that whether it has what was pushed before."""
        if not near.link.pushing:
            self._exchange.holding.asked(near.link.number, now=now.mono)
        near.link.ping_sent = now.mono
        near.link.send_control(frame_bytes.encode(Ping(now.wall_ms)))

    def ponged(self, number: int, now: Instant) -> None:
        """Take an answer to a PING: it may show that two processes have one key."""
        again, cloned = self._clones.answered(number, now=now.mono)
        for other in again:
            if self._near[other].link.ping_sent is None:
                self.ping(self._near[other], now)
        for newer in cloned:
            self.leave(self._near[newer], Leave.CLONED, "two nodes with one key", now, retry_s=CLONED_RETRY_S)

    def on_deadline(self, now: Instant) -> None:
        """Let go of the links whose process has ended, and of what is too much."""
        for number in self._clones.due(now=now.mono):
            self.leave(self._near[number], Leave.DUPLICATE, "another link to this node", now)
        self.trim(self._overlay.on_deadline(self._clock.mesh_now(now)), now)

    @property
    def deadline(self) -> float | None:
        """When links are to be looked at together."""
        return earliest(self._clones.deadline, self._overlay.deadline)

    def hear_clock(self, near: Neighbour, theirs_ms: int, now: Instant) -> None:
        """Count what a peer's clock shows, and warn of ours if it is off."""
        relay = near.link.hello is not None and "relay" in near.link.hello.roles
        self._clock.heard(near.link.number, theirs_ms=theirs_ms, ours_ms=now.wall_ms, relay=relay)
        skew = self._clock.skew_to_report(now=now.mono)
        if skew is not None:
            self._effects.append(ClockSkew(skew))

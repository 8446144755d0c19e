"""The mesh as one machine: links, gossip, sync and dialling behind one door (docs/protocol.md).

Every live link gets every new envelope at once; what it cannot take is announced to it, and what both missed
is found by sync. Our own envelopes come in by `Publish` when they are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from node.clock import DAY_MS, HORIZON_DAYS, Instant, earliest
from node.crypto.handshake import make_link_keys
from node.crypto.primitives import Entropy
from node.crypto.securing import Secure
from node.errors import DecodeError, PeerFault
from node.mesh import greeting
from node.mesh.attention import Attention
from node.mesh.exchange import SETTLE_MS, Exchange
from node.mesh.gossip import EARLY_WINDOW_MS
from node.mesh.index import Index
from node.mesh.limits import MAX_LINKS, Scores
from node.mesh.link import MAX_MALFORMED, Link
from node.mesh.meshclock import MeshClock
from node.mesh.neighbour import Neighbour
from node.mesh.peers import Book
from node.mesh.ports import (
    AddAddress,
    AddressGone,
    AddressInfo,
    BlockInput,
    ClockSkew,
    CloseLink,
    Connectivity,
    DeadlineReached,
    Dial,
    DialFailed,
    HeldRead,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    LinkOpened,
    MeshEffect,
    MeshInput,
    PeerDown,
    PeerInfo,
    PeerUp,
    Publish,
    RemoveAddress,
    SendBytes,
    Taken,
)
from node.mesh.spreading import Overdue, Unasked
from node.mesh.sync import EVERYTHING
from node.mesh.tickets import Tickets
from node.mesh.troubles import reason_of
from node.wire import frame_bytes, frames
from node.wire.envelope import Envelope
from node.wire.frames import (
    Goodbye,
    Graft,
    Hello,
    IHave,
    Leave,
    NegEnd,
    NegMsg,
    NegOpen,
    PeerExchange,
    Ping,
    Pong,
    Prune,
    Push,
    Unknown,
)

SYNC_EVERY = 300.0
"""Seconds between two rounds with some peer, give or take a fifth."""
AUTHOR_HOPS = 4
"""Our own envelopes start with 0 to 3 hops, so that the first peer cannot tell who wrote them."""
_FULL_RETRY_S = 60
_REFUSED_RETRY_S = 3600


class Mesh:
    """All between the engine and the websockets: feed inputs, carry out effects, wake at `deadline`.

    `node_seed` and `network_id` are 32 bytes, `psk` the network secret or None, `listen` the addresses that
    peers are told, `boot_nonce` 8 bytes new with every start, `known` the held envelopes as (eid, ts_ms,
    expires_ms). `verify` raises PeerFault for an envelope whose signature does not hold. `secure` begins
    handshakes in simulations.
    """

    def __init__(
        self,
        *,
        node_seed: bytes,
        network_id: bytes,
        psk: bytes | None,
        roles: frozenset[str],
        listen: tuple[str, ...],
        boot_nonce: bytes,
        entropy: Entropy,
        verify: Callable[[Envelope], None],
        known: Iterable[tuple[bytes, int, int]],
        now: Instant,
        secure: Secure | None = None,
    ) -> None:
        self._entropy = entropy
        self._keys = make_link_keys(node_seed, network_id=network_id, psk=psk, entropy=entropy, secure=secure)
        self._roles = roles
        self._listen = listen[: frames.MAX_ADDRESSES]
        self._boot_nonce = boot_nonce
        self._clock = MeshClock(relay="relay" in roles)
        self._book = Book(self._spread)
        self._scores = Scores()
        self.came_in = 0
        self._near = Attention()
        self._tickets = Tickets()
        self._sync_at = now.mono + SYNC_EVERY
        self._effects: list[MeshEffect] = []
        self._index = Index(known)
        self._exchange = Exchange(
            self._index, verify, self._near, self._clock, self._effects, salt=boot_nonce[0], now=now
        )

    @property
    def node_key(self) -> bytes:
        """The 32-byte public key that peers know this node by."""
        return self._keys.node_pub

    @property
    def deadline(self) -> float | None:
        """When to be woken, on the monotonic clock."""
        return earliest(self._book.deadline, self._exchange.deadline, self._sync_at, self._near.deadline)

    @property
    def connectivity(self) -> Connectivity:
        """How connected this node is."""
        live = [near for near in self._near.values() if near.link.live]
        if any(near.sync is not None and near.sync.finished_once for near in live):
            return "synced"
        if live:
            return "meshed"
        return "connecting" if self._near or self._book.addresses() else "alone"

    def mesh_time_ms(self, now: Instant) -> int:
        """Our clock and the correction that the peers suggest, in UNIX milliseconds."""
        return self._clock.mesh_ms(now)

    @property
    def skew_s(self) -> float | None:
        """How far the others' clocks are ahead of ours, while that is worth a warning."""
        return self._clock.skew_s

    def peers(self, now: Instant) -> list[PeerInfo]:
        """The live links."""
        live = [near for near in self._near.values() if near.link.live]
        return [near.info(now.mono, self._book.source_of(near.link.address)) for near in live]

    def dialled(self, now: Instant) -> list[AddressInfo]:
        """How dialling each address goes, the owner's first."""
        return self._book.dialled(now=now.mono)

    def addresses(self) -> list[str]:
        """The addresses that are dialled, the owner's first."""
        return self._book.addresses()

    def request_sync(self, now: Instant) -> None:
        """Sync with every linked peer at the next deadline, within 2 s: something is missing."""
        until_ms = self.mesh_time_ms(now) + EARLY_WINDOW_MS
        for near in self._near.values():
            if near.sync is not None:
                near.sync.wish(until_ms=until_ms)

    def compare(self, now: Instant) -> None:
        """Sync with every linked peer about what is not under way any more, to learn who has it."""
        for near in self._near.values():
            if near.sync is not None:
                near.sync.wish(until_ms=self.mesh_time_ms(now) - SETTLE_MS)

    def forget(self, eids: Iterable[bytes]) -> None:
        """Take envelopes that have expired out of what was accepted; not those that were evicted early."""
        for eid in eids:
            self._index.discard(eid)

    def handle(self, event: MeshInput, *, now: Instant) -> list[MeshEffect]:
        """Advance the machine; with request_sync and forget the only way to change it."""
        match event:
            case LinkBytes():
                self._on_bytes(event, now)
            case LinkDrained():
                self._on_drained(event, now)
            case Publish():
                hop = self._entropy(1)[0] % AUTHOR_HOPS
                self._exchange.publish(event.envelope, hop, now, watched=event.watched)
            case HeldRead():
                self._on_held(event)
            case LinkOpened():
                self._on_opened(event, now)
            case LinkClosed():
                self._on_closed(event, now)
            case DialFailed():
                self._book.failed(event.address, now=now.mono, why=event.reason)
                self._exchange.parts.dial_failed(event.address, now)
            case BlockInput(order):
                self._exchange.parts.order(order, now)
            case AddAddress():
                self._book.add(event.address, event.source, now=now.mono)
                self._dial(now)
            case RemoveAddress():
                self._on_removed(event, now)
            case AddressGone():
                self._book.gone(event.address)
            case DeadlineReached():
                self._on_deadline(now)
            case _:
                assert_never(event)
        self._flush(now)
        effects = list(self._effects)
        self._effects.clear()
        return effects

    # links come and go

    def _on_opened(self, event: LinkOpened, now: Instant) -> None:
        link = Link(
            event.link,
            outbound=event.outbound,
            address=event.address,
            remote=event.remote,
            keys=self._keys,
            entropy=self._entropy,
            now=now.mono,
        )
        self._near[event.link] = Neighbour(link)
        if event.outbound:
            self._book.opened(event.address)
            if self._book.source_of(event.address) is None and not self._exchange.parts.visiting(
                event.address
            ):
                self._leave(self._near[event.link], Leave.LEAVING, "address removed", now)
            return
        going = greeting.crowded_out((near.link for near in self._near.values()), link)
        if going is not None:
            self._leave(self._near[going.number], Leave.FULL, "too many half-open links", now)

    def _on_closed(self, event: LinkClosed, now: Instant) -> None:
        near = self._near.get(event.link)
        if near is not None:
            self._drop(near, event.reason, now)

    def _on_removed(self, event: RemoveAddress, now: Instant) -> None:
        self._book.remove(event.address)
        for near in list(self._near.values()):
            if event.address in (near.link.address, near.link.remote):
                self._leave(near, Leave.LEAVING, "address removed", now)

    def _leave(self, near: Neighbour, code: Leave, reason: str, now: Instant, *, retry_s: int = 0) -> None:
        """Say goodbye if the peer can hear it, and close."""
        if near.link.node_key:
            near.link.send_control(frame_bytes.encode(Goodbye(code, retry_s)))
            self._flush_one(near, now)
        self._effects.append(CloseLink(near.link.number, reason))
        self._drop(near, reason, now)

    def _drop(self, near: Neighbour, reason: str, now: Instant) -> None:
        link = near.link
        if self._near.pop(link.number, None) is None:
            return
        self._clock.lost(link.number)
        self._exchange.closed(link.number, now)
        if not link.live:
            self._book.failed(link.address, now=now.mono, why=reason)
            return
        self._book.link_down(link.address, link.node_key, now=now.mono, why=reason)
        if not any(other.live and other.node_key == link.node_key for other in self._links()):
            self._effects.append(PeerDown(link.number, link.node_key, reason))

    def _links(self) -> list[Link]:
        return [near.link for near in self._near.values()]

    def _on_proven(self, near: Neighbour, now: Instant) -> None:
        """The peer's key is known: greet it, unless it is our own or refused."""
        link = near.link
        if link.node_key == self._keys.node_pub:
            self._book.is_ourselves(link.address)
            self._leave(near, Leave.SELF, "this is ourselves", now)
        elif self._scores.refuses(link.node_key, now=now.mono):
            self._leave(near, Leave.REFUSED, "refused for its faults", now, retry_s=_REFUSED_RETRY_S)
        else:
            link.send_control(frame_bytes.encode(near.make_hello(self._hello(link, now))))

    def _hello(self, link: Link, now: Instant) -> Hello:
        source = self._book.source_of(link.address)
        return Hello(
            features=0,
            boot_nonce=self._boot_nonce,
            listen=self._listen,
            roles=self._roles,
            max_frame=frames.MAX_FRAME_BYTES,
            floor_ms=max(0, self.mesh_time_ms(now) - HORIZON_DAYS * DAY_MS),
            now_ms=now.wall_ms,
            budget=greeting.budget_for(link, source, relay="relay" in self._roles),
        )

    def _on_hello(self, near: Neighbour, hello: Hello, now: Instant) -> None:
        link = near.link
        others = [other for other in self._links() if other.live and other.node_key == link.node_key]
        if not others and sum(other.live for other in self._links()) >= MAX_LINKS:
            self._leave(near, Leave.FULL, "too many links", now, retry_s=_FULL_RETRY_S)
            return
        near.go_live(hello, self._index, now=now.mono)
        self._exchange.opened(near, now)
        self._book.link_up(link.address, link.node_key, now=now.mono)
        self.came_in += not link.outbound
        self._hear_clock(near, hello.now_ms, now)
        if not others:
            self._effects.append(
                PeerUp(link.number, link.node_key, link.address or link.remote, link.outbound, hello.roles)
            )
        for going in greeting.redundant(link, others, own_key=self._keys.node_pub, now=now.mono):
            self._leave(self._near[going.number], Leave.DUPLICATE, "another link to this node", now)
        if link.outbound and link.number in self._near and near.sync is not None:
            near.sync.wish(until_ms=EVERYTHING)
            near.sync.poll(now=now.mono)

    # frames

    def _on_bytes(self, event: LinkBytes, now: Instant) -> None:
        near = self._near.get(event.link)
        if near is None:
            return
        try:
            for data in near.link.receive(event.data, now=now.mono):
                if data:
                    self._on_frame(near, data, now)
                else:
                    self._on_proven(near, now)
                if event.link not in self._near:
                    return
        except PeerFault as fault:
            self._leave(near, Leave.PROTOCOL, reason_of(near.link, fault), now)

    def _on_frame(self, near: Neighbour, data: bytes, now: Instant) -> None:
        try:
            frame = frame_bytes.decode(data)
            match frame:
                case Hello() if not near.link.live:
                    self._on_hello(near, frame, now)
                case Goodbye():
                    self._on_goodbye(near, frame, now)
                case _ if not near.link.live:
                    self._leave(near, Leave.PROTOCOL, "no HELLO", now)
                case Push() | IHave() | Graft() | Prune():
                    self._exchange.on_gossip(near, frame, now)
                case Ping():
                    near.link.send_control(frame_bytes.encode(Pong(now.wall_ms)))
                case Pong():
                    self._on_pong(near, frame, now)
                case Hello():
                    raise DecodeError("a second HELLO")
                case NegOpen() | NegMsg() | NegEnd() | PeerExchange():
                    pass  # not in use yet
                case Unknown():
                    pass
                case _:
                    self._exchange.on_catch_up(near, frame, now)
        except PeerFault as fault:
            self._blame(near, fault, now)

    def _blame(self, near: Neighbour, fault: PeerFault, now: Instant) -> None:
        """Count what a peer did wrong on a proven link, and part from it when it is too much."""
        key = near.link.node_key
        if isinstance(fault, Unasked):
            refused = self._scores.violation(key, now=now.mono)
        else:
            refused = self._scores.invalid(key, now=now.mono)
            near.link.malformed += isinstance(fault, DecodeError)
        if refused:
            self._leave(near, Leave.REFUSED, str(fault), now, retry_s=_REFUSED_RETRY_S)
        elif near.link.malformed >= MAX_MALFORMED or not near.link.live:
            self._leave(near, Leave.PROTOCOL, "malformed frames", now)

    def _hold_against(self, overdue: Overdue, now: Instant) -> None:
        for number in sorted(overdue.slow):
            near = self._near.get(number)
            if near is not None and self._scores.slow(near.link.node_key, now=now.mono):
                self._exchange.spreading.demote(number, now)
        for number in sorted(overdue.broke):
            near = self._near.get(number)
            if near is not None:
                self._blame(near, Unasked("announced what it did not send"), now)

    def _on_goodbye(self, near: Neighbour, frame: Goodbye, now: Instant) -> None:
        self._effects.append(CloseLink(near.link.number, f"the peer left: {frame.code.name.lower()}"))
        self._drop(near, f"the peer left: {frame.code.name.lower()}", now)
        self._book.put_off(near.link.address, frame.retry_s, now=now.mono)

    def _on_pong(self, near: Neighbour, frame: Pong, now: Instant) -> None:
        trip_ms = near.link.ponged(now=now.mono)
        taken = self._exchange.holding.answered(near.link.number, now=now.mono)
        if taken:
            self._effects.append(Taken(near.link.node_key, near.holds, tuple(taken)))
        if trip_ms is not None:
            self._hear_clock(near, frame.t_ms + round(trip_ms / 2), now)

    def _hear_clock(self, near: Neighbour, theirs_ms: int, now: Instant) -> None:
        relay = near.link.hello is not None and "relay" in near.link.hello.roles
        self._clock.heard(near.link.number, theirs_ms=theirs_ms, ours_ms=now.wall_ms, relay=relay)
        skew = self._clock.skew_to_report(now=now.mono)
        if skew is not None:
            self._effects.append(ClockSkew(skew))

    # sending

    def _on_held(self, event: HeldRead) -> None:
        number, session = self._tickets.take(event.ticket)
        near = self._near.get(number)
        if near is not None and near.sync is not None:
            near.sync.answers.on_held(session, event.envelopes, event.more)

    def _on_drained(self, event: LinkDrained, now: Instant) -> None:
        near = self._near.get(event.link)
        if near is not None:
            near.link.drained(event.nbytes, now=now.mono)

    def _flush(self, now: Instant) -> None:
        for near in self._near.touched():
            self._flush_one(near, now)
            if near.link.deaf:
                self._effects.append(CloseLink(near.link.number, "reads nothing"))
                self._drop(near, "reads nothing", now)

    def _flush_one(self, near: Neighbour, now: Instant) -> None:
        number = near.link.number
        while self._exchange.parts.pump(near, now) or near.has_work:
            messages = near.link.flush(now=now.mono)
            self._effects += [SendBytes(number, data) for data in messages]
            for session, spec in near.take_reads():
                self._effects.append(self._tickets.order(number, session, spec))
            if not messages:
                return
            near.pump()

    # timers

    def _on_deadline(self, now: Instant) -> None:
        self._near.touch_all()
        for near in list(self._near.values()):
            self._look_at(near, now)
        self._hold_against(self._exchange.on_deadline(now), now)
        self._ask_who_has(now)
        if now.mono >= self._sync_at:
            self._sync_at = now.mono + SYNC_EVERY * (0.8 + 0.4 * self._spread())
            self._sync_with_someone(now)
        self._book.give_up_stuck(now=now.mono)
        self._dial(now)

    def _look_at(self, near: Neighbour, now: Instant) -> None:
        link = near.link
        if link.silent_too_long(now=now.mono):
            self._leave(near, Leave.SLOW, "silent for too long", now)
        elif link.blocked(now=now.mono):
            self._leave(near, Leave.SLOW, "reads nothing", now)
        else:
            if link.ping_due(now=now.mono):
                self._ping(near, now)
            near.send_announcements(now=now.mono)
            if near.sync is not None:
                self._index.expire(self.mesh_time_ms(now))
                near.sync.poll(now=now.mono)
                self._exchange.finish(near, now)

    def _ping(self, near: Neighbour, now: Instant) -> None:
        if not near.link.pushing:
            self._exchange.holding.asked(near.link.number, now=now.mono)
        near.link.ping_sent = now.mono
        near.link.send_control(frame_bytes.encode(Ping(now.wall_ms)))

    def _ask_who_has(self, now: Instant) -> None:
        for number in self._exchange.holding.due(now=now.mono):
            near = self._near[number]
            if near.link.ping_sent is None and not near.link.pushing:
                self._ping(near, now)
            else:
                self._exchange.holding.later(number, now=now.mono)

    def _sync_with_someone(self, now: Instant) -> None:
        live = [near for near in self._near.values() if near.sync is not None]
        if live:
            chosen = live[int(self._spread() * len(live))]
            assert chosen.sync is not None
            chosen.sync.wish(until_ms=self.mesh_time_ms(now) - SETTLE_MS)
            chosen.sync.poll(now=now.mono)

    def _dial(self, now: Instant) -> None:
        self._effects += [Dial(address) for address in self._book.due(now=now.mono)]

    def _spread(self) -> float:
        return int.from_bytes(self._entropy(4), "big") / (1 << 32)

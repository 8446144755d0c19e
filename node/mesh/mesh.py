"""The mesh as one machine: links, gossip, sync and dialling behind one door (docs/protocol.md).

Every live link gets every new envelope at once; what it cannot take is announced to it, and what both missed
is found by sync. Our own envelopes come in by `Publish` when they are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import assert_never

from node.clock import Instant, earliest
from node.crypto.handshake import make_link_keys
from node.crypto.primitives import Entropy
from node.crypto.securing import Secure
from node.errors import DecodeError, PeerFault
from node.mesh.attention import Attention
from node.mesh.exchange import Exchange
from node.mesh.hops import Hops
from node.mesh.index import Index
from node.mesh.limits import Scores, asks_more
from node.mesh.link import MAX_MALFORMED
from node.mesh.linking import REFUSED_RETRY_S, Linking
from node.mesh.meshclock import MeshClock
from node.mesh.neighbour import Neighbour
from node.mesh.overlay import Overlay, Remembered
from node.mesh.peers import Book
from node.mesh.ports import (
    AddAddress,
    AddressGone,
    AddressInfo,
    BlockInput,
    Cloned,
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
    ListensAt,
    MeshEffect,
    MeshInput,
    Outdated,
    PeerInfo,
    Publish,
    ReadHeld,
    RemoveAddress,
    Resumed,
    SendBytes,
    Taken,
)
from node.mesh.records import Ourselves, OwnRecord
from node.mesh.rounds import Rounds
from node.mesh.spreading import Overdue, Unasked
from node.mesh.troubles import reason_of
from node.mesh.waking import Waking
from node.wire import frame_bytes, frames
from node.wire.envelope import Envelope
from node.wire.frames import (
    Beacon,
    Goodbye,
    Graft,
    Hello,
    IHave,
    Leave,
    PeerExchange,
    Ping,
    Pong,
    Prune,
    Push,
    Unknown,
)

CLONED_EVERY = 3600.0
"""Seconds between two warnings that a peer speaks of a clone."""
CLONED_FOR = 900.0
"""Seconds for which that is shown to whoever attaches: a clone that is still there is told of each 300 s."""

_SPREADING = (Push, IHave, Graft, Prune, Beacon, Ping)
"""Frames that concern envelopes and links as they are: not whom to dial, ask or look for."""


class Mesh:
    """All between the engine and the websockets: feed inputs, carry out effects, wake at `deadline`.

    `node_seed` and `network_id` are 32 bytes, `psk` the network secret or None, `listen` the addresses that
    peers are told, `boot_nonce` 8 bytes new with every start, `known` the held envelopes as (eid, ts_ms,
    expires_ms). `verify` raises PeerFault for an envelope whose signature does not hold. `secure` begins
    handshakes in simulations. `remembered` is what `remember` gave before the last end.
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
        remembered: Remembered = (),
        secure: Secure | None = None,
    ) -> None:
        self._entropy = entropy
        keys = make_link_keys(node_seed, network_id=network_id, psk=psk, entropy=entropy, secure=secure)
        self._own = Ourselves(keys, entropy, roles, listen[: frames.MAX_ADDRESSES], boot_nonce)
        self._clock = MeshClock(relay="relay" in roles)
        self._book = Book(self._spread)
        self._scores = Scores()
        self._near = Attention()
        self._tickets: dict[int, tuple[int, int]] = {}
        self._last_ticket = 0
        self._cloned_at = self._cloned_heard = float("-inf")
        self._soon: float | None = None
        self._soon_beside: float | None = None
        self._known = self._known_beside = False
        self._effects: list[MeshEffect] = []
        self._index = Index(known)
        self._exchange = Exchange(
            self._index,
            verify,
            self._near,
            self._clock,
            self._effects,
            salt=boot_nonce[0],
            now=now,
            hops=Hops(blake2b(boot_nonce, key=node_seed, person=b"hops").digest()[:32]),
        )
        self._rounds = Rounds(self._near, self._clock, self._exchange, spread=self._spread, now=now)
        self._waking = Waking(now)
        self._overlay = self._make_overlay(node_seed, remembered, now)
        self._exchange.parts.is_friend = self._overlay.is_friend
        self._linking = self._make_linking()

    def _make_overlay(self, node_seed: bytes, remembered: Remembered, now: Instant) -> Overlay:
        return Overlay(
            self._own.keys.node_pub,
            listen=self._own.listen,
            relay="relay" in self._own.roles,
            own_record=OwnRecord(node_seed, self._own),
            near=self._near,
            book=self._book,
            spread=self._spread,
            is_eager=self._exchange.spreading.tree.is_eager,
            remembered=remembered,
            now=now,
        )

    def _make_linking(self) -> Linking:
        return Linking(
            self._own,
            near=self._near,
            book=self._book,
            scores=self._scores,
            clock=self._clock,
            index=self._index,
            exchange=self._exchange,
            overlay=self._overlay,
            effects=self._effects,
        )

    @property
    def node_key(self) -> bytes:
        """The 32-byte public key that peers know this node by."""
        return self._own.keys.node_pub

    @property
    def deadline(self) -> float | None:
        """When to be woken, on the monotonic clock; worked out once after each input."""
        if not self._known:
            self._soon, self._known = self._least(), True
        return self._soon

    def _least(self) -> float | None:
        if not self._known_beside:  # what no envelope and no announcement changes
            timers = self._book.deadline, self._linking.deadline, self._rounds.deadline
            self._soon_beside, self._known_beside = earliest(*timers), True
        return earliest(self._exchange.deadline, self._near.deadline, self._soon_beside)

    @property
    def connectivity(self) -> Connectivity:
        """How connected this node is."""
        live = [near for near in self._near.values() if near.link.live]
        if any(near.sync is not None and near.sync.finished_once for near in live):
            return "synced"
        if live:
            return "meshed"
        hopes = self._near or self._book.addresses() or len(self._overlay.passive)
        return "connecting" if hopes else "alone"

    def mesh_time_ms(self, now: Instant) -> int:
        """Our clock and the correction that the peers suggest, in UNIX milliseconds."""
        return self._clock.mesh_ms(now)

    @property
    def skew_s(self) -> float | None:
        """How far the others' clocks are ahead of ours, while that is worth a warning."""
        return self._clock.skew_s

    def cloned(self, now: Instant) -> bool:
        """Whether a peer has lately said that another process has our node key."""
        return now.mono < self._cloned_heard + CLONED_FOR

    def peers(self, now: Instant) -> list[PeerInfo]:
        """The live links."""
        live = [near for near in self._near.values() if near.link.live]
        return [near.info(now.mono, self._book.source_of(near.link.address)) for near in live]

    @property
    def congested(self) -> bool:
        """Whether there are links, and none takes more at once than it has."""
        live = [near.link for near in self._near.values() if near.link.live]
        return bool(live) and all(link.congested for link in live)

    @property
    def came_in(self) -> int:
        """Live links that others dialled, since the start."""
        return self._linking.came_in

    def dialled(self, now: Instant) -> list[AddressInfo]:
        """How dialling each address goes, the owner's first."""
        return self._book.dialled(now=now.mono)

    def addresses(self) -> list[str]:
        """The addresses that are dialled, the owner's first."""
        return self._book.addresses()

    def relays(self) -> tuple[str, ...]:
        """Addresses of relays that others find us through; none if we can be dialled ourselves."""
        return () if self._overlay.reached else self._overlay.relays()

    def remember(self, now: Instant) -> list[tuple[bytes, bytes, int, int]]:
        """Return what of the passive view is worth keeping over a restart, at most 60 records."""
        return self._overlay.passive.rows(now)

    def brought_by(self, number: int | None) -> tuple[bytes, bool]:
        """Return the node key behind a link, and whether it is a friend's; empty if the link is gone."""
        near = None if number is None else self._near.get(number)
        return (b"", False) if near is None else (near.link.node_key, self._overlay.is_friend(near))

    def request_sync(self, now: Instant) -> None:
        """Sync with every linked peer in a moment: something is missing, and gossip may not bring it."""
        self._known = self._known_beside = False
        self._rounds.lacking(now)

    def compare(self, now: Instant) -> None:
        """Sync with every linked peer about what is not under way any more, to learn who has it."""
        self._known = self._known_beside = False
        self._rounds.compare(now)

    def forget(self, eids: Iterable[bytes]) -> None:
        """Take envelopes of which nothing is left out of what was accepted; not those whose ids are kept."""
        self._index.forget(eids)

    def handle(self, event: MeshInput, *, now: Instant) -> list[MeshEffect]:
        """Advance the machine; with request_sync and forget the only way to change it."""
        self._known = False
        self._known_beside = self._known_beside and isinstance(event, LinkBytes | LinkDrained)
        if self._waking.slept(now):
            self._on_resumed(now)
        match event:
            case LinkBytes():
                self._on_bytes(event, now)
            case LinkDrained():
                self._on_drained(event, now)
            case Publish():
                for sealed in event.envelopes:
                    self._exchange.publish(sealed, now, watched=sealed.eid in event.watched)
            case HeldRead():
                self._on_held(event)
            case LinkOpened():
                self._linking.on_opened(event, now)
            case LinkClosed():
                self._linking.on_closed(event, now)
            case DialFailed():
                self._linking.dial_failed(event.address, now, why=event.reason)
            case BlockInput(order):
                self._exchange.parts.order(order, now)
            case AddAddress():
                self._book.add(event.address, event.source, now=now.mono, key=event.node_key)
                self._overlay.settle()
                self._dial(now)
            case RemoveAddress():
                self._linking.on_removed(event, now)
            case Outdated():
                self._book.retire(event.addresses, event.node_keys)
                self._overlay.settle()
            case ListensAt():
                self._own.listen = event.addresses[: frames.MAX_ADDRESSES]
            case Resumed():
                self._on_resumed(now)
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
                    self._known_beside = False
                    self._linking.on_proven(near, now)
                if event.link not in self._near:
                    return
            self._effects += near.pauses(now=now.mono)
        except PeerFault as fault:
            self._known_beside = False
            self._linking.leave(near, Leave.PROTOCOL, reason_of(near.link, fault), now)

    def _on_frame(self, near: Neighbour, data: bytes, now: Instant) -> None:
        try:
            frame = frame_bytes.decode(data)
            self._known_beside = self._known_beside and near.link.live and isinstance(frame, _SPREADING)
            match frame:
                case Hello() if not near.link.live:
                    self._linking.on_hello(near, frame, now)
                case Goodbye():
                    self._on_goodbye(near, frame, now)
                case _ if not near.link.live:
                    self._linking.leave(near, Leave.PROTOCOL, "no HELLO", now)
                case Push() | IHave() | Graft() | Prune() | Beacon():
                    self._exchange.on_gossip(near, frame, now)
                case Ping():
                    near.link.send_control(frame_bytes.encode(Pong(now.wall_ms)))
                case Pong():
                    self._on_pong(near, frame, now)
                case Hello():
                    raise DecodeError("a second HELLO")
                case PeerExchange():
                    self._overlay.on_px(near, frame, self._clock.mesh_now(now))
                case Unknown():
                    pass
                case _:
                    self._exchange.on_catch_up(near, frame, now)
        except PeerFault as fault:
            self._blame(near, fault, now)

    def _blame(self, near: Neighbour, fault: PeerFault, now: Instant) -> None:
        """Count what a peer did wrong on a proven link, and part from it when it is too much."""
        self._known_beside = False
        key = near.link.node_key
        if isinstance(fault, Unasked):
            refused = self._scores.violation(key, now=now.mono)
        else:
            refused = self._scores.invalid(key, now=now.mono)
            near.link.malformed += isinstance(fault, DecodeError)
        if refused:
            self._linking.leave(near, Leave.REFUSED, str(fault), now, retry_s=REFUSED_RETRY_S)
        elif near.link.malformed >= MAX_MALFORMED or not near.link.live:
            self._linking.leave(near, Leave.PROTOCOL, "malformed frames", now)

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
        self._linking.drop(near, f"the peer left: {frame.code.name.lower()}", now)
        self._book.put_off(near.link.address, frame.retry_s, now=now.mono)
        if frame.code is Leave.CLONED:
            self._cloned_heard = now.mono
            if now.mono >= self._cloned_at + CLONED_EVERY:
                self._cloned_at = now.mono
                self._effects.append(Cloned(near.link.address or near.link.remote))

    def _on_pong(self, near: Neighbour, frame: Pong, now: Instant) -> None:
        trip_ms = near.link.ponged(now=now.mono)
        taken = self._exchange.holding.answered(near.link.number, now=now.mono)
        if taken:
            self._effects.append(Taken(near.link.node_key, near.holds, tuple(taken)))
        if trip_ms is not None:
            self._linking.hear_clock(near, frame.t_ms + round(trip_ms / 2), now)
        self._linking.ponged(near.link.number, now)

    # sending

    def _on_held(self, event: HeldRead) -> None:
        number, session = self._tickets.pop(event.ticket, (-1, 0))
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
                self._known_beside = False
                self._effects.append(CloseLink(near.link.number, "reads nothing"))
                self._linking.drop(near, "reads nothing", now)

    def _flush_one(self, near: Neighbour, now: Instant) -> None:
        number = near.link.number
        while self._exchange.parts.pump(near, now) or near.has_work:
            messages = near.link.flush(now=now.mono)
            pushes = near.link.pushes_left
            self._effects += [SendBytes(number, data, pushes) for data in messages]
            for session, spec in near.take_reads():
                self._last_ticket += 1
                self._tickets[self._last_ticket] = (number, session)
                self._effects.append(ReadHeld(self._last_ticket, spec))
            if not messages:
                return
            near.pump(now=now.mono)

    # timers

    def _on_deadline(self, now: Instant) -> None:
        due = self._due(now.mono)
        self._index.expire(self.mesh_time_ms(now))
        self._exchange.end_rounds(due, now)
        for near in due:
            self._look_at(near, now)
        self._hold_against(self._exchange.on_deadline(now), now)
        self._ask_who_has(now)
        self._linking.on_deadline(now)
        self._rounds.on_deadline(now)
        self._book.give_up_stuck(now=now.mono)
        self._dial(now)

    def _due(self, now: float) -> list[Neighbour]:
        """Return the links to look at; all of them may have room again when what they read may go on."""
        deadline = self._exchange.parts.deadline
        if deadline is not None and now >= deadline:
            self._near.touch_all()
        return self._near.due(now=now)

    def _look_at(self, near: Neighbour, now: Instant) -> None:
        link = near.link
        if link.silent_too_long(now=now.mono):
            self._linking.leave(near, Leave.SLOW, "silent for too long", now)
        elif link.blocked(now=now.mono):
            self._linking.leave(near, Leave.SLOW, "reads nothing", now)
        else:
            if link.ping_due(now=now.mono):
                self._linking.ping(near, now)
            near.send_announcements(now=now.mono)
            if near.sync is not None:
                near.sync.poll(now=now.mono)

    def _ask_who_has(self, now: Instant) -> None:
        for number in self._exchange.holding.due(now=now.mono):
            near = self._near[number]
            if near.link.ping_sent is None and not near.link.pushing:
                self._linking.ping(near, now)
            else:
                self._exchange.holding.later(number, now=now.mono)

    def _dial(self, now: Instant) -> None:
        for address in self._book.due(now=now.mono):
            source = self._book.source_of(address)
            strange = source == "px" or (source in {"room", "contact"} and asks_more(address))
            self._effects.append(Dial(address, strange))

    def _on_resumed(self, now: Instant) -> None:
        """This machine slept: ask every peer whether it is there, and dial what was put off."""
        self._known_beside = False
        self._near.touch_all()
        for near in self._near.values():
            if near.link.live:
                near.link.hurry(now=now.mono)
                self._linking.ping(near, now)
        self._book.afresh(now=now.mono)
        self._dial(now)

    def _spread(self) -> float:
        return int.from_bytes(self._entropy(4), "big") / (1 << 32)

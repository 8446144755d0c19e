"""Joining a room: the request of the invited, the add and the welcome of the inviter (docs/crypto.md 3.10).

Both watch the invite's join channel. One join request makes one add; the welcome carries the log, the
newest epoch and its slots, so that the newcomer reads from that epoch on and nothing earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace

from node import ids
from node.chat import events, returning
from node.chat.batches import Batch, NewcomerRow
from node.chat.channels import Route
from node.chat.epochs import MAX_GENERATION, Epoch
from node.chat.me import Me
from node.chat.membership import InviteState, RoomLog
from node.chat.objects import INNER_MOST, Assembly, split
from node.chat.people import People
from node.chat.records import take_record
from node.chat.room import MEMBER, Room
from node.chat.room_inbox import RoomInbox
from node.chat.shelves import MAX_LOG_BYTES, Arrivals, Shelves
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS, day_of
from node.crypto import epoch as epochs, joining, ops, welcome as welcomes
from node.crypto.channel import ChannelKind, Inner, join_channel, join_channel_secret
from node.crypto.epoch import REASON_ROSTER, EpochSecrets
from node.crypto.joining import JoinRequest
from node.crypto.labels import Label
from node.crypto.ops import Add, Op
from node.crypto.primitives import digest
from node.crypto.welcome import Welcome
from node.errors import CryptoFault
from node.tables import Table
from node.wire import codec

_WELCOME = codec.array(codec.literal(8), codec.blob_upto(32 * 1024))
_WELCOME_TO = codec.array(codec.literal(8), codec.blob_upto(32 * 1024), codec.blob(16))
MAX_ASKED = 4
"""Requests of one join that an answer may name, the newest."""
MAX_RECORDS = 8
ASK_AGAIN_MS = 20 * 3_600_000
"""Before a request's day is over, the hourly look included."""
JOIN_END_MS = HORIZON_DAYS * DAY_MS
"""A join that nobody has answered for so long, because its link or its room is over, is given up."""
KEEP_ANSWERED_MS = 7 * 86_400_000
"""A request is good for a day: a second welcome was made by then, and is seldom under way for a week."""
MAX_REACH = 16
"""Addresses kept a room: a few of its nodes that are up are enough to find the others by."""


@dataclass(frozen=True)
class Joining:
    """A join of ours; once answered it is kept a while, for a second greeter may answer it too."""

    room_id: bytes
    invite_id: bytes
    inviter: bytes
    room_name: str
    since_ms: int
    asked_ms: int
    seed: bytes = field(repr=False)
    leaf_id: int | None = None
    addresses: tuple[str, ...] = ()
    answered_ms: int | None = None
    asked16: tuple[bytes, ...] = ()
    """The first 16 bytes of each request's hash: what a welcome to us names."""

    @property
    def key(self) -> bytes:
        """What the join is stored by."""
        return self.room_id + self.invite_id


class Joins:
    """Join requests, ours and those we answer."""

    def __init__(self, me: Me, people: People) -> None:
        self.me, self.people = me, people
        self.open: dict[bytes, Joining] = {}
        self.reach: dict[bytes, tuple[str, ...]] = {}
        self.batches: dict[bytes, Batch] = {}
        self.node_record: Callable[[], bytes] = lambda: b""
        self.admitted: Callable[[Turn, Room, bytes], None] = lambda _turn, _room, _account: None
        self.entered: Callable[[Turn, Room], None] = lambda _turn, _room: None
        self._objects: dict[bytes, Assembly] = {}
        """By invite, of open joins alone."""
        self.arrivals = Arrivals()
        self._shelves = Shelves()

    # -- the invited ------------------------------------------------------------------------------

    def route(self, joining_: Joining) -> Route:
        """Return the join channel to watch for an answer."""
        channel = join_channel(join_channel_secret(joining_.seed))
        return Route(channel, joining_.room_id, joining_.invite_id)

    def door(self, room_id: bytes, invite_id: bytes, join_cs: bytes) -> Route:
        """Return the join channel of an invite of ours, to watch for requests."""
        return Route(join_channel(join_cs), room_id, invite_id)

    def ask(self, turn: Turn, wish: Joining) -> None:
        """Post our join request on the invite's channel and wait for the welcome there."""
        leaf = self.me.new_leaf(turn)
        if wish.leaf_id is not None:
            self.me.retire_leaf(turn, wish.leaf_id)
        inner = joining.make_join_request(
            self.me.identity,
            room_id=wish.room_id,
            invite_seed=wish.seed,
            invite_id=wish.invite_id,
            cert=self.me.cert,
            devices=self.me.devices,
            bundle=self.me.bundle(turn),
            node_record=self.node_record(),
            leaf=leaf,
            name=self.me.profile.nickname,
            ts_ms=turn.mesh_ms,
        )
        asked16 = (*wish.asked16, digest(Label.INNER, inner)[:16])[-MAX_ASKED:]
        wish = replace(wish, asked_ms=turn.mesh_ms, leaf_id=leaf.leaf_id, asked16=asked16)
        self._save(turn, wish)
        route = self.route(wish)
        turn.watch.append((route, day_of(turn.mesh_ms)))
        turn.post(route.channel, inner)

    def ask_again(self, turn: Turn) -> None:
        """Ask again where nobody has answered for a day: a request is good for a day only."""
        for wish in list(self.open.values()):
            if wish.answered_ms is not None:
                if turn.mesh_ms - wish.answered_ms >= KEEP_ANSWERED_MS:
                    self.drop(turn, wish)
            elif turn.mesh_ms - wish.since_ms >= JOIN_END_MS:
                self.give_up(turn, wish, "expired")
            elif turn.mesh_ms - wish.asked_ms >= ASK_AGAIN_MS:
                self.ask(turn, wish)

    def find(self, room_id: bytes, invite_id: bytes) -> Joining | None:
        """Return the join of a room by an invite, answered or not."""
        return self.open.get(room_id + invite_id)

    def waiting(self, room_id: bytes) -> list[Joining]:
        """Return the joins of a room that nobody has answered yet."""
        return [w for w in self.open.values() if w.room_id == room_id and w.answered_ms is None]

    def _save(self, turn: Turn, wish: Joining) -> None:
        self.open[wish.key] = wish
        turn.put(Table.JOINS, wish.key, wish)

    def drop(self, turn: Turn, wish: Joining) -> None:
        """Forget a join that was cancelled, or that no greeter will answer again."""
        del self.open[wish.key]
        self._objects.pop(wish.invite_id, None)
        self.arrivals.forget(turn, wish.key)
        turn.delete(Table.JOINS, wish.key)
        turn.unwatch.append((int(ChannelKind.JOIN), wish.room_id, wish.invite_id))

    def give_up(self, turn: Turn, wish: Joining, how: str) -> None:
        """A join has come to its end without an answer: `expired`, or `cancelled` by those it asks."""
        self.drop(turn, wish)
        turn.log(
            events.InviteResult(
                invite=ids.text(wish.invite_id),
                room=ids.text(wish.room_id),
                target=self.people.username(self.me.account),
                response=how,
            )
        )

    def leave(self, turn: Turn, room_id: bytes) -> None:
        """We are out of a room: nothing that answers an old request brings us back."""
        for wish in [w for w in self.open.values() if w.room_id == room_id]:
            self.drop(turn, wish)
        if self.reach.pop(room_id, None) is not None:
            turn.delete(Table.SETTINGS, b"reach" + room_id)

    def addresses(self) -> list[str]:
        """Return what to dial after a start: rooms' nodes, and those of links that wait for an answer."""
        known = [address for addresses in self.reach.values() for address in addresses]
        return known + [a for w in self.open.values() if w.answered_ms is None for a in w.addresses]

    def learn_addresses(self, turn: Turn, room_id: bytes, addresses: Iterable[str]) -> None:
        """Keep where nodes of a room can be reached, the newest: no contact may lead to them."""
        known = self.reach.get(room_id, ())
        newest = tuple(dict.fromkeys([*reversed(list(addresses)), *known]))[:MAX_REACH]
        if newest != known:
            self.reach[room_id] = newest
            turn.put(Table.SETTINGS, b"reach" + room_id, newest)

    def unlearn_addresses(self, turn: Turn, addresses: Container[str]) -> None:
        """Forget where nobody of a room is any more."""
        for room_id, known in list(self.reach.items()):
            left = tuple(address for address in known if address not in addresses)
            if left != known:
                self.reach[room_id] = left
                turn.put(Table.SETTINGS, b"reach" + room_id, left)

    def welcome_of(self, wish: Joining, inner: bytes) -> Welcome | None:
        """Return the opened welcome when `inner` is or completes one that may be to us.

        Raises:
            PeerFault: If it is not for us, malformed, or to another room.
        """
        content = None
        if inner[1] == Inner.WELCOME:
            _, content, *to = codec.decode(inner, lambda v: _WELCOME(v) or _WELCOME_TO(v))
            if to and wish.asked16 and to[0] not in wish.asked16:
                return None
        elif inner[1] == Inner.OBJECT_PART:
            content = self._objects.setdefault(wish.invite_id, Assembly()).take(inner)
        if content is None:
            return None
        welcome = welcomes.open_welcome(self.me.identity, content)
        if welcome.room_id != wish.room_id:
            raise CryptoFault("welcome to another room")
        return welcome

    def enter(self, turn: Turn, wish: Joining, welcome: Welcome, old: Room | None) -> Room:
        """Enter the room that a welcome opens.

        Raises:
            PeerFault: If its log does not hold, or it does not make us a member.
        """
        room = Room(wish.room_id, self.me, self.people)
        if old is not None:
            for op in old.log.ops_in_order():
                room.log.add(op)
            room.epochs, room.timeline, room.unread = old.epochs, old.timeline, old.unread
            room.leaves.newer, room.kept = old.leaves.newer, old.kept
        for raw in welcome.ops:
            room.log.add(ops.parse_op(raw))
        if not room.is_member(self.me.account):
            raise CryptoFault("welcome does not make us a member")
        secrets = self._open_epoch(room, room.log, welcome)
        room.epochs.add(turn, welcome.announce, welcome.slots, secrets, first=True)
        self._settle(turn, room, welcome)
        for other in [w for w in self.waiting(wish.room_id) if w.key != wish.key]:
            self.drop(turn, other)
        self._save(turn, replace(wish, answered_ms=turn.mesh_ms))
        self.entered(turn, room)
        return room

    def enter_again(self, turn: Turn, inbox: RoomInbox, welcome: Welcome) -> None:
        """Take what a second greeter's welcome adds: its epoch, and the ops which it knew.

        Two greeters that did not see each other may both answer; others then speak in either epoch.

        Raises:
            PeerFault: If it does not hold; nothing was changed.
        """
        room = inbox.room
        if welcome.room_id != room.room_id or not room.open:
            raise CryptoFault("welcome to another room, or to one we are not in")
        theirs = RoomLog(room.room_id)
        told = [ops.parse_op(raw) for raw in welcome.ops]
        for op in told:
            theirs.add(op)
        secrets = self._open_epoch(room, theirs, welcome)
        inbox.learn_ops(turn, told)
        room.epochs.add(turn, welcome.announce, welcome.slots, secrets, first=True)

    def _open_epoch(self, room: Room, log: RoomLog, welcome: Welcome) -> EpochSecrets:
        """Return the keys of a welcome's epoch, judged by `log`; changes nothing."""
        announce = epochs.parse_announce(welcome.announce)
        if announce.room_id != room.room_id or not all(log.knows(head) for head in announce.heads):
            raise CryptoFault("welcome's epoch does not fit its log")
        if announce.epoch16 in room.epochs.held or announce.gen > MAX_GENERATION:
            raise CryptoFault("welcome's epoch was here before, or leaves no room for another")
        roster = log.roster_at(announce.heads)
        creator = next((m for m in roster.members.values() if m.device_id == announce.creator_device), None)
        if creator is None:
            raise CryptoFault("welcome's epoch is not by a member")
        epochs.verify_announce(announce, creator.dsk)
        return epochs.open_epoch(
            announce,
            welcome.slots,
            device_id=self.me.device_id,
            leaf_secrets=self.me.leaf_secrets(),
            device_ids=sorted(m.device_id for m in roster.members.values()),
        )

    def _settle(self, turn: Turn, room: Room, welcome: Welcome) -> None:
        for op in room.log.ops_in_order():
            room.store_op(turn, op)
        room.timeline.assume(welcome.frontier)
        room.state = MEMBER
        room.save(turn)
        before = len(turn.addresses)
        for record in welcome.node_records:
            take_record(turn, record, "room")
        self.learn_addresses(turn, room.room_id, [address for address, *_ in turn.addresses[before:]])
        for account, member in room.log.roster.members.items():
            if account != self.me.account:
                self.people.meet(turn, account, member.name)
                self.people.pin_member(turn, account, member.certificate, member.device_list)

    # -- the inviter ------------------------------------------------------------------------------

    def on_request(
        self, turn: Turn, room: Room, invite_id: bytes, inner: bytes, target: bytes | None
    ) -> bytes | None:
        """Answer a join request: add, rekey, welcome; returns the new member's account.

        `target` is whom the invite was for, None if it is for whoever has it. Nothing changes before all is
        checked. None: the device that asks is not one that the owner trusts, or an op beside voids the add.

        Raises:
            PeerFault: If the request is not the invite's, or the invite admits nobody any more.
        """
        request, invite = self.judge(turn, room, invite_id, inner)
        if target is not None and request.account != target:
            raise CryptoFault("join request by somebody else than the invited")
        account = request.account
        if self.people.stops(turn, request.cert, request.devices):
            return None
        op = room.signed(turn, self._add_of(request, invite.role))
        if room.log.size + len(op.raw) > MAX_LOG_BYTES:
            raise CryptoFault("the room's log is too long to be handed over")
        self._admit(turn, room, request, op)
        return account if room.is_member(account) else None

    def judge(
        self, turn: Turn, room: Room, invite_id: bytes, inner: bytes
    ) -> tuple[JoinRequest, InviteState]:
        """Return a join request and its invite, which admits it now; raises PeerFault if it does not."""
        invite = room.log.invites.get(invite_id)
        if invite is None or not room.open or not room.epochs.held:
            raise CryptoFault("join request for an invite that is not here")
        if room.log.granted(digest(Label.INNER, inner)):  # of a thousand that a newcomer reads, most were
            raise CryptoFault("a join request that was granted before")
        request = joining.parse_join_request(inner, invite.invite_pk)
        if request.invite_id != invite_id:
            raise CryptoFault("join request that names another invite")
        return request, room.log.judge_join(request, now_ms=turn.mesh_ms)

    def _add_of(self, request: JoinRequest, role: ops.Role) -> Add:
        return Add(
            request.account,
            role,
            request.cert.raw,
            request.devices.raw,
            request.leaf,
            request.name,
            invite_id=request.invite_id,
            join_req_hash=request.req_hash,
        )

    def _admit(self, turn: Turn, room: Room, request: JoinRequest, op: Op) -> None:
        person = self.people.meet(turn, request.account, request.name)
        self.people.pin(turn, person, request.cert, request.devices)
        before = len(turn.addresses)
        take_record(turn, request.node_record, "room")
        self.learn_addresses(turn, room.room_id, [address for address, *_ in turn.addresses[before:]])
        batch = self.batch(room)
        room.author(turn, op, batch.under(turn) or room.sending(turn))
        if not batch.wait():
            room.rekey(turn, REASON_ROSTER)
        room.save(turn)
        batch.add(turn, request.account, request.cert.device_id, request.invite_id, request.cert.intro)
        self.welcome_named(turn, batch)

    def batch(self, room: Room) -> Batch:
        """Return whom we have added to a room and not welcomed yet."""
        known = self.batches.get(room.room_id)
        if known is None or known.room is not room:
            self.batches[room.room_id] = known = Batch(room)
        return known

    def end_batches(self, turn: Turn) -> None:
        """Make the epoch of each batch whose time is over, and welcome whom there is one for."""
        for batch in self.batches.values():
            if batch.deadline is not None and batch.deadline <= turn.now.mono:
                room = batch.room
                unnamed = any(batch.named(row) is None for row in batch.waiting.values())
                here = room.open and not returning.away(room) and room.epochs.held
                if here and batch.is_over(turn.now.mono) and unnamed:
                    room.rekey(turn, REASON_ROSTER)
                    room.save(turn)
                self.welcome_named(turn, batch)
                batch.again(turn.now.mono)

    def welcome_named(self, turn: Turn, batch: Batch) -> None:
        """Welcome everybody in a batch for whom there is an epoch; let go who is not to come any more."""
        room = batch.room
        for row in list(batch.waiting.values()):
            held = batch.named(row) if room.open else None
            if held is not None and row.invite_id in room.log.invites:
                self._welcome(turn, batch, row, held)
                self.admitted(turn, room, row.account)
            if held is not None or not room.open or row.device_id not in room.log.roster.devices:
                batch.done(turn, row.account)

    def _welcome(self, turn: Turn, batch: Batch, row: NewcomerRow, held: Epoch) -> None:
        room = batch.room
        records = [self.node_record()]
        records += [
            p.node_record
            for p in self.people.by_account.values()
            if p.node_record and room.is_member(p.account)
        ]
        welcome = Welcome(
            room_id=room.room_id,
            ops=(),
            certs=(),
            announce=held.row.announce,
            slots=b"",
            node_records=tuple(r for r in records if r)[:MAX_RECORDS],
            frontier=batch.frontier(row),
        )
        op = room.log.op(room.log.roster.members[row.account].added_by)
        asked16 = (op.body.join_req_hash or b"")[:16] if op and isinstance(op.body, Add) else b""
        slots = room.epochs.slots.kept[held.epoch16]
        welcome = self._shelves.lay_out(turn, row.invite_id, welcome, room.log.ops_in_order(), slots)
        content = welcomes.seal_welcome(welcome, row.intro_pub, turn.entropy)
        invite = room.log.invites[row.invite_id]
        channel = join_channel(invite.join_cs)
        small = len(content) + 32 <= INNER_MOST
        inner = codec.pack([8, content, asked16] if asked16 else [8, content]) if small else b""
        for part in [inner] if inner else split(content):
            turn.post(channel, part)

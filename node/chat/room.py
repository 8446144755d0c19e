"""One room as this node holds it: its log, its keys, its order of messages; what we ourselves do in it.

Authority comes from the signed log, reading from the epochs; nothing is sealed under an epoch whose roster
is not the current one (docs/crypto.md 3.6 to 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from node import ids
from node.chat import hidden, returning
from node.chat.epochs import Epoch, Epochs
from node.chat.keeping import Keeper, shown_as
from node.chat.leaves import Leaves
from node.chat.me import Me
from node.chat.membership import Member, RoomLog
from node.chat.messages import message_event
from node.chat.objects import inners
from node.chat.people import People
from node.chat.reading import Mark, Marks
from node.chat.renewal import Renewal
from node.chat.sent import NOTHING, Sent
from node.chat.sent_changes import SentChanges
from node.chat.timeline import Item, Timeline
from node.chat.turn import Turn, check_body
from node.crypto import epoch as epochs, ops, roommsg
from node.crypto.chain import RecvChain
from node.crypto.epoch import REASON_CREATE, REASON_RENEWAL, REASON_ROSTER, NewEpoch
from node.crypto.ops import Leaf, Leave, Op, OpBody, Policy, Remove, Role
from node.crypto.roommsg import Kind
from node.errors import PeerFault, Refused
from node.tables import Table
from node.values import Value
from node.wire.payload import MAX_ITEMS, NAMED, Payload, Type, Words, days_needed

MEMBER, LEFT, REMOVED = "member", "left", "removed"
SMALL = 64
"""Rooms up to this size rekey at once on an add and carry presence (docs/crypto.md 3.7)."""


class RoomRow(Value, frozen=True):
    """The stored state of a room beside its log, epochs and messages."""

    room_id: bytes
    state: str
    frontier: tuple[tuple[bytes, bytes], ...]
    own_last: tuple[bytes, bytes] | None
    lamport: int
    unread: int
    last_message: str | None
    ops_applied: int
    marks: dict[bytes, Mark] = {}  # noqa: RUF012 - each row gets its own
    last_ms: int = 0


class Room:
    """A private or open room; direct rooms are in `direct.py`."""

    def __init__(self, room_id: bytes, me: Me, people: People) -> None:
        self.room_id = room_id
        self.me, self.people = me, people
        self.log = RoomLog(room_id)
        self.leaves = Leaves(room_id, me, self.log)
        self.epochs = Epochs(room_id, me.device_id)
        self.renewal = Renewal(self)
        self.timeline = Timeline()
        self.kept = Keeper(room_id)
        self.sent = Sent()
        self.marks = Marks(room_id, people)
        self.sent_changes = SentChanges(room_id)
        self.state = MEMBER
        self.unread = 0
        self.last_message: str | None = None
        self.last_ms = 0
        self.applied: set[bytes] = set()
        self.heard: dict[bytes, bytes] = {}
        self.parted_then: tuple[returning.Seen, bool] = ((-1, b"", 0), False)

    # -- facts ------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Say whether we can still say anything here: in it, and it was not deleted."""
        member = self.state == MEMBER and self.is_member(self.me.account)
        return member and not self.log.deleted and not returning.replaced(self)

    @property
    def uuid(self) -> str:
        """The room's id as frontends see it."""
        return ids.text(self.room_id)

    @property
    def name(self) -> str:
        """The room's name, from its log."""
        return self.log.name

    @property
    def history(self) -> int:
        """How many of the newest messages are kept for newcomers, as the policy says now."""
        return min(self.log.policy.history, MAX_ITEMS) if self.state == MEMBER else 0

    def members(self) -> list[Member]:
        """Return the members, the creator first, then by username."""
        return sorted(
            self.log.roster.members.values(),
            key=lambda m: (-int(m.role), self.people.username(m.account)),
        )

    def is_member(self, account: bytes) -> bool:
        """Say whether an account is in the roster."""
        return account in self.log.roster.members

    def roster_hash(self) -> bytes:
        """Return the hash an epoch for today's roster must carry."""
        return self.log.roster.roster_hash

    def row(self) -> RoomRow:
        """Return the stored form of what changes with every message."""
        line = self.timeline
        return RoomRow(
            self.room_id,
            self.state,
            tuple(line.frontier.items()),
            line.own_last,
            line.lamport,
            self.unread,
            self.last_message,
            len(self.applied),
            self.marks.of,
            self.last_ms,
        )

    def save(self, turn: Turn) -> None:
        """Store what changes with every message."""
        turn.put(Table.ROOMS, self.room_id, self.row())

    def restore(self, row: RoomRow) -> None:
        """Take the stored state back."""
        line = self.timeline
        line.frontier.update(row.frontier)
        line.known.update((mid, b"") for mid, _ in row.frontier)
        line.own_last, line.lamport, self.marks.of = row.own_last, row.lamport, row.marks
        self.state, self.unread = row.state, row.unread
        self.last_message, self.last_ms = row.last_message, row.last_ms

    # -- our own acts -----------------------------------------------------------------------------

    @classmethod
    def create(
        cls, turn: Turn, me: Me, people: People, name: str, policy: Policy, *, salt16: bytes | None = None
    ) -> Room:
        """Make a new room with ourselves as creator and its first epoch.

        `salt16` is random, of an open room the id of its standing invite.
        """
        leaf = me.new_leaf(turn)
        op = ops.make_create(
            me.identity,
            policy=policy,
            salt16=turn.entropy(16) if salt16 is None else salt16,
            cert=me.cert,
            devices=me.devices,
            leaf=leaf,
            name=name,
            creator_name=me.profile.nickname,
            ts_ms=turn.mesh_ms,
        )
        room = cls(op.room_id, me, people)
        room.log.add(op)
        room.store_op(turn, op)
        room.rekey(turn, REASON_CREATE)
        room.save(turn)
        return room

    def signed(self, turn: Turn, body: OpBody) -> Op:
        """Sign an op of ours on top of everything known; nothing changes yet.

        Raises:
            PeerFault: If the log would not take it: we have no right to it, or it is over a limit.
        """
        op = self.log.next_op(self.me.identity, body, ts_ms=turn.mesh_ms)
        self.log.judge(op)
        return op

    def author(self, turn: Turn, op: Op, under: Epoch) -> None:
        """Apply an op that we signed, and send it as a room message.

        It goes under the epoch that was the sending one before it, with the view that was before it: those
        who read it cannot know it yet.
        """
        view16 = self.log.view16
        self.log.add(op)
        self.store_op(turn, op)
        self.carry(turn, op, under, view16)

    def carry(self, turn: Turn, op: Op, under: Epoch, view16: bytes) -> None:
        """Send an op as a room message, with a view that those who can read it know."""
        carrier = Payload(turn.new_id(), turn.mesh_ms, 0, Type.OP, op.raw)
        self._seal(turn, under, Kind.OP, carrier, view16=view16)

    def store_op(self, turn: Turn, op: Op) -> None:
        """Store one op of the log."""
        turn.put(Table.OPS, self.room_id + op.op_id, op.raw)

    def drop_op(self, turn: Turn, op_id: bytes) -> None:
        """Forget a stored op that is not in the log and will not be."""
        turn.delete(Table.OPS, self.room_id + op_id)

    def act(self, turn: Turn, body: OpBody, *, rekey: bool) -> Op:
        """Author an op, post it, and make the new epoch in the same turn if it takes one.

        Raises:
            Refused: If we have no right to it or are out of the room; nothing was changed in its log.
        """
        self.check_in()
        if returning.away(self):
            returning.come_back(turn, self)
        try:
            op = self.signed(turn, body)
        except PeerFault as fault:
            raise Refused("forbidden", f"the room does not allow this: {fault}", field="room") from fault
        self.author(turn, op, self.sending(turn))
        if rekey:
            self.rekey(turn, REASON_ROSTER)
        self.kept.bound(turn, self.history)
        self.save(turn)
        return op

    def remove(self, turn: Turn, account: bytes, reason: str) -> Op:
        """Remove a member, with the cut at what we have accepted from it, and rekey."""
        target = self.log.roster.members[account]
        cut = tuple(self.epochs.cut_of(target.device_id))
        return self.act(turn, Remove(account, reason, cut), rekey=True)

    def leave(self, turn: Turn) -> None:
        """Leave: the cut includes the message that carries the leave itself; without keys there is none."""
        if not self.epochs.held:
            self.put_away(turn)
            return
        under = self.sending(turn)
        cut = tuple(self.epochs.cut_of(self.me.device_id, more={under.epoch16: 1}))
        self.author(turn, self.signed(turn, Leave(cut)), under)
        self.out(turn, LEFT)
        self.save(turn)

    def put_away(self, turn: Turn) -> None:
        """Leave a deleted room, in which nothing is sent any more: nobody else needs to know."""
        self.out(turn, LEFT)
        self.save(turn)

    def out(self, turn: Turn, state: str) -> None:
        """We are out, as `state` says: keep nothing for newcomers, and retire our leaf."""
        self.state = state
        self.kept.bound(turn, 0)
        self.leaves.retire(turn)

    def say(self, turn: Turn, words: Words) -> Item:
        """Seal and post one message; returns it as the timeline has it."""
        body = words.body()
        check_body(Type.TEXT, body, field_name="kind")
        under = self.sending(turn)
        refs, before, lamport = self.timeline.compose(under.epoch16)
        leaf = self.leaves.fresh(turn)
        payload = Payload(turn.new_id(), turn.mesh_ms, lamport, Type.TEXT, body, refs, before, leaf)
        self._seal(turn, under, Kind.MESSAGE, payload)
        item = Item.of(payload.mid, under.epoch16, self.me.account, payload, refs + before, words=words)
        self.timeline.sent(item)
        return item

    def change(self, turn: Turn, kind: Type, body: list[Any]) -> Payload:
        """Seal and post a change of a message; the caller has judged that we may."""
        under, line = self.sending(turn), self.timeline
        line.lamport += 1
        payload = Payload(turn.new_id(), turn.mesh_ms, line.lamport, kind, body)
        self._seal(turn, under, Kind.MESSAGE, payload)
        self.sent_changes.note(turn, payload)
        self.save(turn)
        return payload

    def unsay(self, turn: Turn, mid: bytes, user_id: str) -> None:
        """The message that is shown as `mid`, by this person, is gone: give it to nobody any more."""
        self.sent_changes.erase(turn, mid)
        self.kept.erase(turn, mid, partial(shown_as, self, mid, user_id))

    def whisper(self, turn: Turn, kind: Type, body: object, *, ts_ms: int | None = None) -> None:
        """Post a payload that is not shown, as a profile; nothing while the room's keys are lost."""
        if not self.epochs.held:
            return
        under = self.sending(turn)
        leaf = self.leaves.for_newcomers() if kind is Type.PROFILE else None
        at_ms = turn.mesh_ms if ts_ms is None else ts_ms
        self._seal(turn, under, Kind.MESSAGE, Payload(turn.new_id(), at_ms, 0, kind, body, leaf=leaf))

    def resend(self, turn: Turn, under: Epoch, payload: Payload) -> None:
        """Seal again, under an epoch that fits those who may read it, what somebody could not open."""
        self._seal(turn, under, Kind.MESSAGE, payload)

    # -- sealing ----------------------------------------------------------------------------------

    def _seal(
        self, turn: Turn, under: Epoch, kind: Kind, payload: Payload, *, view16: bytes | None = None
    ) -> None:
        assert under.send is not None
        before = RecvChain(under.send.key, under.send.index)
        mid = payload.mid if payload.type in NAMED else NOTHING
        sent = self.sent.note(turn, self.room_id, under.epoch16, under.send.index, mid)
        under.send, inner = roommsg.seal(
            under.send,
            kind=kind,
            room_id=self.room_id,
            epoch16=under.epoch16,
            device_id=self.me.device_id,
            view16=self.log.view16 if view16 is None else view16,
            payload=payload.encode(),
            dsk_sk=self.me.identity.dsk_sk,
            entropy=turn.entropy,
        )
        self.epochs.save_send(turn, under, sent)
        self.epochs.count(turn, under, len(inner))
        self.kept.keep(turn, self.history, before, inner, payload)
        sealed = turn.post(under.channel, inner, ttl_days=days_needed(payload))
        if payload.type is Type.TEXT:
            turn.carried[payload.mid] = (self.room_id, sealed.eid)

    # -- epochs -----------------------------------------------------------------------------------

    def sending(self, turn: Turn) -> Epoch:
        """Return the epoch to seal under, made now if there is none for today's roster."""
        self.check_in()
        if returning.away(self):
            return returning.come_back(turn, self)
        held = self.epochs.sending(self.roster_hash(), turn.mesh_ms)
        if held is not None and not returning.apart(self):
            self.renewal.sent(turn, held)
            return held
        current = any(h.announce.roster_hash == self.roster_hash() for h in self.epochs.held.values())
        return self.rekey(turn, REASON_RENEWAL if current else REASON_ROSTER)[1]

    def check_in(self) -> None:
        """Refuse what only members of a room that goes on may do."""
        if self.state != MEMBER or not self.is_member(self.me.account):
            raise Refused("not_a_member", "you are not in this room any more", field="room")
        if returning.replaced(self):
            raise Refused("device_revoked", "this account goes on at another device", field="room")
        if self.log.deleted:
            raise Refused("room_deleted", "this room was deleted", field="room")
        if not self.epochs.held:
            lost = "the keys of this room were lost here; others are being asked for them"
            raise Refused("room_keys_lost", lost, field="room", retryable=True)

    def rekey(self, turn: Turn, reason: int, *, first: bool = False) -> tuple[NewEpoch, Epoch]:
        """Make a new epoch for today's roster and announce it on every epoch it descends from.

        `first`: it is the first that we can read, as for a newcomer.
        """
        tips = returning.parents(self, back=first)
        new = epochs.create_epoch(
            self.me.identity,
            room_id=self.room_id,
            gen=1 + max((tip.announce.gen for tip in tips), default=0),
            parents=tuple(sorted(tip.epoch16 for tip in tips)),
            heads=self.log.heads,
            members=self._slots(),
            now_ms=turn.mesh_ms,
            reason=reason,
            entropy=turn.entropy,
        )
        held = self.epochs.add(turn, new.announce, new.slots, new.epoch, first=first)
        for tip in tips:
            for inner in inners(new.inner):
                turn.post(tip.channel, inner)
        return new, held

    def _slots(self) -> Sequence[tuple[bytes, Leaf]]:
        members = self.log.roster.members.values()
        return [(m.device_id, self.leaves.of(m)) for m in members]

    # -- what members' frontends see --------------------------------------------------------------

    def show(self, turn: Turn, items: Sequence[Item], *, nonce: str | None = None) -> None:
        """Log messages as `user_message` events, in the order given; `nonce` is that of our own command."""
        for item in items:
            if self.people.hides(item.account):
                hidden.hide(turn, self, item)
                continue
            mine = item.account == self.me.account
            if not mine:
                self.unread += 1
                self.marks.shown(turn, item, members=len(self.log.roster.members))
            self.last_message, self.last_ms = item.text[:200], item.ts_ms
            event = message_event(self.people, self.room_id, item, mine=mine, nonce=nonce)
            turn.log(event, message=(self.room_id, item.mid))
        if items:
            self.save(turn)

    def role_of(self, account: bytes) -> Role | None:
        """Return an account's role, None if it is no member."""
        member = self.log.roster.members.get(account)
        return None if member is None else member.role

"""What comes into a room: messages, ops and epochs of others, judged before anything changes.

The order of checks is docs/crypto.md 3.8: parse, device in the epoch, cut, view known, signature, key
commitment, box; only then do chain, log and timeline move. What needs an op or epoch that is not here yet is
parked and tried again when the room has learnt something.
"""

from __future__ import annotations

from dataclasses import dataclass

from node import ids
from node.chat import events
from node.chat.epochs import Epoch
from node.chat.membership import Member
from node.chat.objects import Assembly
from node.chat.room import MEMBER, REMOVED, Room
from node.chat.timeline import Item
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import epoch as epochs
from node.crypto import ops, roommsg
from node.crypto.channel import Inner
from node.crypto.labels import Label
from node.crypto.ops import Leave, Op, OpType
from node.crypto.primitives import digest
from node.crypto.roommsg import Kind, RoomInner
from node.errors import CryptoFault, PeerFault
from node.tables import Table
from node.wire import codec
from node.wire.payload import Payload, Type, decode

MAX_PARKED = 1_000
"""Inners a room keeps that need something it has not got yet."""
_ANNOUNCE = codec.array(codec.literal(2), codec.blob_upto(8192, least=64), codec.blob_upto(2 * 1024 * 1024))


@dataclass(frozen=True)
class Parked:
    """One inner that waits for an op or an epoch."""

    room_id: bytes
    epoch16: bytes
    inner: bytes


class RoomInbox:
    """Receives for one room; what its messages say about people waits in `take_profiles`."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._profiles: list[tuple[bytes, Payload]] = []
        self.parked: dict[bytes, Parked] = {}
        self.pending_ops: dict[bytes, Op] = {}
        self._objects = Assembly()

    def receive(self, turn: Turn, epoch16: bytes, inner: bytes) -> None:
        """Take one inner of an epoch's channel; raises PeerFault with nothing changed."""
        held = self.room.epochs.held[epoch16]
        if not self._try(turn, held, inner):
            self._park(turn, Parked(self.room.room_id, epoch16, inner))

    def _try(self, turn: Turn, held: Epoch, inner: bytes) -> bool:
        """Take an inner; False if it needs something that is not here yet."""
        match inner[1]:
            case Inner.ROOM_MESSAGE:
                return self._message(turn, held, inner)
            case Inner.ANNOUNCE:
                return self._announce(turn, inner)
            case Inner.OBJECT_PART:
                content = self._objects.take(inner)
                return content is None or content[1] != Inner.ANNOUNCE or self._announce(turn, content)
            case _:
                raise CryptoFault("kind of inner that a room does not take")

    # -- parking ----------------------------------------------------------------------------------

    def _park(self, turn: Turn, parked: Parked) -> None:
        mark = digest(Label.INNER, parked.inner)
        self.parked[mark] = parked
        turn.put(Table.PENDING, b"p" + mark, parked)
        turn.sync_wanted = True
        if len(self.parked) > MAX_PARKED:
            oldest = next(iter(self.parked))
            del self.parked[oldest]
            turn.delete(Table.PENDING, b"p" + oldest)

    def retry(self, turn: Turn) -> None:
        """Try what was parked again, until nothing more comes of it."""
        moved = True
        while moved and self.parked:
            moved = False
            for mark, parked in list(self.parked.items()):
                held = self.room.epochs.held.get(parked.epoch16)
                try:
                    done = held is None or self._try(turn, held, parked.inner)
                except PeerFault:
                    done = True
                if done:
                    self.parked.pop(mark, None)
                    turn.delete(Table.PENDING, b"p" + mark)
                    moved = True

    # -- messages ---------------------------------------------------------------------------------

    def _message(self, turn: Turn, held: Epoch, inner: bytes) -> bool:
        msg = roommsg.parse(inner)
        core = msg.core
        room = self.room
        if core.room != room.room_id or core.epoch16 != held.epoch16:
            raise CryptoFault("message of another room or epoch")
        if core.device16 == room.me.device_id:
            raise CryptoFault("own message came back")
        chain = held.chain_of(core.device16)
        if chain is None:
            raise CryptoFault("device is not in the epoch")
        if not room.log.knows16(core.view16):
            return False
        author = self._author(held, core.device16, core.index)
        roommsg.verify(msg, author.dsk)
        today = day_of(turn.now.wall_ms)
        chain, plain = roommsg.open_message(chain, msg, day=today)
        payload = decode(plain)
        op = self._carried_op(msg, payload)
        if payload.leaf is not None:
            ops.check_leaf(ops.Leaf(*payload.leaf))
        room.epochs.save_recv(turn, held, core.device16, chain)
        if payload.leaf is not None:
            self._renew_leaf(turn, core.device16, payload.leaf)
        if op is not None:
            self._take_op(turn, op)
        elif payload.type is Type.TEXT:
            self._text(turn, held, author, payload)
        else:
            self._profiles.append((author.account, payload))
        return True

    def _author(self, held: Epoch, device_id: bytes, index: int) -> Member:
        """Return whose device it is, or refuse what comes after its removal."""
        member = self.room.log.device(device_id)
        if member is None:
            raise CryptoFault("device was never in the room")
        if not self.room.log.allows(device_id, held.epoch16, index, held.announce.heads):
            raise CryptoFault("sent after its author was removed or left")
        return member

    def _carried_op(self, msg: RoomInner, payload: Payload) -> Op | None:
        if (msg.core.kind == Kind.OP) != (payload.type is Type.OP):
            raise CryptoFault("kind of core and type of payload disagree")
        return ops.parse_op(payload.body) if payload.type is Type.OP else None

    def _renew_leaf(self, turn: Turn, device_id: bytes, leaf: tuple[int, bytes]) -> None:
        self.room.leaves[device_id] = ops.Leaf(*leaf)
        turn.put(Table.OBJECTS, b"leaf" + self.room.room_id + device_id, list(leaf))

    def _text(self, turn: Turn, held: Epoch, author: Member, payload: Payload) -> None:
        room = self.room
        mid = room.timeline.rename(payload.mid, author.account)
        if mid is None:
            return
        text, kind, reply_to = payload.body
        refs = payload.refs if held.row.first else payload.refs + payload.refs_before
        item = Item(
            mid,
            held.epoch16,
            author.account,
            payload.ts_ms,
            payload.lamport,
            text,
            kind,
            reply_to,
            refs,
        )
        self.offer(turn, item)

    def offer(self, turn: Turn, item: Item, *, linked: int = 1) -> None:
        """Show a message, or hold it back until what it refers to is here."""
        room = self.room
        shown = room.timeline.offer(item, now=turn.now.mono, linked=linked)
        if item not in shown and item.mid in room.timeline.waiting:
            turn.put(Table.PENDING, b"t" + room.room_id + item.mid, item)
            unknown = room.timeline.unknown(item)
            if unknown:
                turn.lookups.append((room.room_id, unknown))
                turn.sync_wanted = True
        self.show(turn, shown)

    def show(self, turn: Turn, shown: list[Item]) -> None:
        """Log what may now be shown; what was held back leaves its waiting row."""
        for item in shown:
            key = (Table.PENDING, b"t" + self.room.room_id + item.mid)
            turn.rows[key] = None
        self.room.show(turn, shown)

    def learn(self, turn: Turn, mids: tuple[bytes, ...]) -> None:
        """References turned out to be in the store."""
        self.show(turn, self.room.timeline.learn(mids))

    # -- ops --------------------------------------------------------------------------------------

    def _take_op(self, turn: Turn, op: Op) -> None:
        self.pending_ops[op.op_id] = op
        moved = True
        while moved:
            moved = False
            for op_id, pending in list(self.pending_ops.items()):
                if self._apply(turn, pending):
                    del self.pending_ops[op_id]
                    moved = True
        self.room.save(turn)
        self.retry(turn)

    def _apply(self, turn: Turn, op: Op) -> bool:
        log = self.room.log
        before = dict(log.roster.members)
        try:
            result = log.add(op)
        except PeerFault:
            return True
        self.room.store_op(turn, op)
        if result.missing:
            return False
        if result.new:
            self._tell(turn, op, before)
        return True

    def _tell(self, turn: Turn, op: Op, before: dict[bytes, Member]) -> None:
        """Log what an op changed for the people in the room."""
        after = self.room.log.roster.members
        for account in after.keys() - before.keys():
            self.joined(turn, account)
        for account in before.keys() - after.keys():
            left = isinstance(op.body, Leave) and op.author == account
            self.gone(turn, account, "leave" if left else "removed")
        if op.type is OpType.META:
            turn.log(events.RoomUpdated(room=ids.text(self.room.room_id), name=self.room.name))

    def joined(self, turn: Turn, account: bytes) -> None:
        """Tell everybody's frontend that an account is in the room now."""
        people = self.room.people
        if account != self.room.me.account:
            member = self.room.log.roster.members[account]
            people.meet(turn, account, member.name)
            people.pin_member(turn, account, member.certificate, member.device_list)
        turn.log(
            events.UserJoin(
                username=people.username(account),
                room=ids.text(self.room.room_id),
                user_id=people.user_id(account),
                reason="join",
            )
        )

    def gone(self, turn: Turn, account: bytes, reason: str) -> None:
        """Tell everybody's frontend that an account is not in the room any more."""
        if account == self.room.me.account and self.room.state == MEMBER:
            self.room.state = REMOVED
        people = self.room.people
        turn.log(
            events.UserLeave(
                username=people.username(account),
                room=ids.text(self.room.room_id),
                user_id=people.user_id(account),
                reason=reason,
            )
        )

    # -- epochs -----------------------------------------------------------------------------------

    def _announce(self, turn: Turn, inner: bytes) -> bool:
        _, raw, slots = codec.decode(inner, _ANNOUNCE)
        room = self.room
        announce = epochs.parse_announce(raw)
        if announce.epoch16 in room.epochs.held:
            return True
        if announce.room_id != room.room_id:
            raise CryptoFault("announce of another room")
        if not all(room.log.knows(head) for head in announce.heads):
            return False
        roster = room.log.roster_at(announce.heads)
        creator = next((m for m in roster.members.values() if m.device_id == announce.creator_device), None)
        if creator is None:
            raise CryptoFault("epoch by somebody who was not a member")
        epochs.verify_announce(announce, creator.dsk)
        epochs.check_generation(announce, {e: held.announce.gen for e, held in room.epochs.held.items()})
        if not room.log.allows(announce.creator_device, announce.epoch16, -1, announce.heads):
            raise CryptoFault("epoch made after its author was removed or left")
        devices = sorted(m.device_id for m in roster.members.values())
        if room.me.device_id not in devices:
            return True
        secrets = epochs.open_epoch(
            announce,
            slots,
            device_id=room.me.device_id,
            leaf_secrets=room.me.leaf_secrets(),
            device_ids=devices,
        )
        room.epochs.add(turn, raw, secrets, first=False)
        room.save(turn)
        return True

    def take_profiles(self) -> list[tuple[bytes, Payload]]:
        """Return (account, payload) of what members said of themselves since the last call."""
        profiles, self._profiles = self._profiles, []
        return profiles

    def restore_op(self, op: Op) -> None:
        """Take a stored op back after a start."""
        if self.room.log.add(op).missing:
            self.pending_ops[op.op_id] = op

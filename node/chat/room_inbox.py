"""What comes into a room: messages here, ops and announces handed to `op_inbox.py` and `epoch_inbox.py`.

The order of checks is docs/crypto.md 3.8: parse, device in the epoch, cut, view known, signature, key
commitment, box; only then do chain, log and timeline move. What needs an op or epoch that is not here yet is
parked and tried again when the room has learnt something.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from node.chat import events, put_back, returning, rights
from node.chat.behind import PATIENCE
from node.chat.branches import Branches
from node.chat.epoch_inbox import EpochInbox
from node.chat.epoch_wants import EpochWants
from node.chat.epochs import Epoch
from node.chat.healing import TYPES, Healing
from node.chat.holes import Hole
from node.chat.membership import Member
from node.chat.objects import Assembly
from node.chat.op_exchange import OpExchange
from node.chat.op_inbox import OpInbox
from node.chat.parked import HERE, Parked, needed, signer_of
from node.chat.people import Person
from node.chat.reposts import Reposts
from node.chat.room import Room
from node.chat.timeline import MAX_WAITING, Item, shown_ms
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import chain as chains, ops, roommsg
from node.crypto.chain import RecvChain
from node.crypto.channel import ChannelKind, Inner, inner_type
from node.crypto.labels import Label
from node.crypto.ops import Op
from node.crypto.primitives import digest
from node.crypto.roommsg import Kind, RoomInner
from node.errors import CryptoFault, DecodeError, PeerFault
from node.tables import Table
from node.wire.payload import CHANGES, SAYING, Payload, Type, decode

MAX_PARKED = 1_000
"""Inners a room keeps that need something it has not got yet."""


class RoomInbox:
    """Receives for one room; what its messages say about people waits in `take_profiles`."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._profiles: list[tuple[bytes, Payload]] = []
        self.parked: dict[bytes, Parked] = {}
        self.exchange = OpExchange(room)
        self.reposts = Reposts(room)
        self.branches = Branches(room)
        self.wants = EpochWants(room.room_id)
        self.ops = OpInbox(room, self.exchange, self.branches)
        self.announces = EpochInbox(room, self.branches, self.reposts, self.wants, self._accuse)
        self.healing = Healing(room, self.offer, self.show)
        self._objects = Assembly()
        self._accused: set[bytes] = set()
        self._retrying = self._again = False

    def receive(self, turn: Turn, epoch16: bytes, inner: bytes) -> None:
        """Take one inner of an epoch's channel; raises PeerFault with nothing changed."""
        held = self.room.epochs.held[epoch16]
        needs = self._try(turn, held, inner)
        if needs:
            self._park(turn, Parked(self.room.room_id, epoch16, inner, needs, signer_of(inner)))

    def _try(self, turn: Turn, held: Epoch, inner: bytes) -> bytes:
        """Take an inner; returns the first 16 bytes of an op that it needs and that is not here, or HERE."""
        match inner[1]:
            case Inner.ROOM_MESSAGE:
                return self._message(turn, held, inner)
            case Inner.ANNOUNCE:
                return self.announces.take(turn, held, inner)
            case Inner.OBJECT_PART:
                content = self._objects.take(inner)
                if content is None:
                    return HERE
                if inner_type(content) != Inner.ANNOUNCE:
                    raise DecodeError("an Object that a room does not take yet")
                needs = self.announces.take(turn, held, content)
                if needs:
                    self._park_whole(turn, held, content, needs)
                return HERE
            case Inner.OP_WANT:
                self.exchange.wanted(turn, held, inner)
                return HERE
            case Inner.OPS:
                self._take_given(turn, held, self.exchange.read(turn, held, inner))
                return HERE
            case _:
                raise CryptoFault("kind of inner that a room does not take")

    # -- parking ----------------------------------------------------------------------------------

    def _park(self, turn: Turn, parked: Parked) -> None:
        mark = digest(Label.INNER, parked.inner)
        self.parked[mark] = parked
        turn.put(Table.PENDING, b"p" + mark, parked)
        turn.sync_wanted = True
        self.exchange.lacking(turn)
        if len(self.parked) > MAX_PARKED:
            oldest = next(iter(self.parked))
            del self.parked[oldest]
            turn.delete(Table.PENDING, b"p" + oldest)

    def _park_whole(self, turn: Turn, held: Epoch, announce: bytes, needs: bytes) -> None:
        self._park(turn, Parked(self.room.room_id, held.epoch16, announce, needs, signer_of(announce)))

    def retry(self, turn: Turn) -> None:
        """Try what was parked again, until nothing more comes of it.

        What is freed may be an op that frees more: it only asks for another round, for peers choose how long
        such a chain is.
        """
        self._again = True
        if self._retrying:
            return
        self._retrying = True
        while self._again and self.parked:
            self._again = False
            for mark, parked in list(self.parked.items()):
                if not parked.needs or self.room.log.knows16(parked.needs):
                    self._free(turn, mark, parked)
        self._retrying = False

    def _free(self, turn: Turn, mark: bytes, parked: Parked) -> None:
        del self.parked[mark]
        turn.delete(Table.PENDING, b"p" + mark)
        held = self.room.epochs.held.get(parked.epoch16)
        if held is None:
            return
        try:
            if inner_type(parked.inner) == Inner.ANNOUNCE:
                needs = self.announces.take(turn, held, parked.inner)
            else:
                needs = self._try(turn, held, parked.inner)
        except PeerFault:
            return
        if needs:
            self._park(turn, replace(parked, needs=needs))

    # -- messages ---------------------------------------------------------------------------------

    def _message(self, turn: Turn, held: Epoch, inner: bytes) -> bytes:
        msg = roommsg.parse(inner)
        if msg.core.device16 == self.room.me.device_id:
            return self._own(turn, held, msg)
        author, chain = self._checked(turn, held, msg)
        if not self.room.log.knows16(msg.core.view16):
            return msg.core.view16
        if self.room.log.deleted_at(msg.core.view16):
            raise CryptoFault("sent by somebody who knew that the room was deleted")
        if turn.patient and msg.core.index - chain.next_index > self._patience():
            turn.behind.append((int(ChannelKind.ROOM), self.room.room_id, held.epoch16))
            return HERE
        self._check_view(held, msg)
        after, plain = roommsg.open_message(chain, msg, day=day_of(turn.now.wall_ms))
        payload = decode(plain)
        op = self._carried_op(msg, payload)
        rights.check(self.room, author.account, payload, msg.core.view16)
        if payload.leaf is not None:
            ops.check_leaf(ops.Leaf(*payload.leaf))
        if msg.core.index == chain.next_index and self._contradicts(held, msg):
            self._equivocated(turn, author)
        self.room.epochs.save_recv(turn, held, author.device_id, after, (msg.hash16, msg.core.view16))
        self.room.epochs.count(turn, held, len(inner))
        self.reposts.spoke(turn, held, author.device_id, payload.ts_ms)
        late = self.healing.moved(turn, held, author, chain.next_index, msg.core.index)
        if payload.leaf is not None:
            self.room.leaves.renewed(turn, author.device_id, ops.Leaf(*payload.leaf))
        if payload.type in SAYING and self.room.log.kept_at(msg.core.view16):
            self.room.kept.keep(turn, self.room.history, chain, msg, payload)
        if payload.type is Type.TEXT:
            self._known(turn, author)
            self._said(turn, held, author, payload, late)
            return HERE
        self.healing.closed(turn, late)
        if op is not None:
            self._take_ops(turn, (op,))
        elif payload.type in TYPES:
            self.healing.take(turn, author, payload)
        elif payload.type not in CHANGES:
            self._profiles.append((author.account, payload))
        self.changed(turn, author, payload)
        return HERE

    def changed(self, turn: Turn, author: Member, payload: Payload) -> None:
        """Take a change that its author may make; one that is given again, only where it was missing."""
        change = rights.change_in(payload)
        if change is None or (
            change is not payload and not self.healing.came(turn, author, *payload.body[:2])
        ):
            return
        self._known(turn, author)
        turn.changed.append((self.room.room_id, author.account, change))

    def take_profiles(self) -> list[tuple[bytes, Payload]]:
        """Return (account, payload) of what members said of themselves since the last call."""
        profiles, self._profiles = self._profiles, []
        return profiles

    def _own(self, turn: Turn, held: Epoch, msg: RoomInner) -> bytes:
        """Take a message of ours that is not known here any more: go on after it, and show it."""
        after, payload = put_back.opened(turn, self.room, held, msg)
        op = self._carried_op(msg, payload)
        put_back.go_on(turn, self.room, held, after, payload=payload, hash16=msg.hash16)
        author = self.room.log.device(msg.core.device16)
        if op is not None:
            self._take_ops(turn, (op,))
        elif payload.type is Type.TEXT and author is not None:
            self._said(turn, held, author, payload, None)
        elif payload.type in CHANGES and author is not None:
            self.room.timeline.lamport = max(self.room.timeline.lamport, payload.lamport)
            turn.changed.append((self.room.room_id, author.account, payload))
        return HERE

    def _checked(self, turn: Turn, held: Epoch, msg: RoomInner) -> tuple[Member, RecvChain]:
        """Return who wrote a message, and where its device's chain is, once the signature holds."""
        core, room = msg.core, self.room
        if core.room != room.room_id or core.epoch16 != held.epoch16:
            raise CryptoFault("message of another room or epoch")
        chain = held.chain_of(core.device16)
        if chain is None:
            raise CryptoFault("device is not in the epoch")
        author = self._author(held, core.device16, core.index)
        last = held.last.get(core.device16)
        if core.index == chain.next_index - 1 and last and last[0] not in {b"", msg.hash16}:
            roommsg.verify(msg, author.dsk)
            self._equivocated(turn, author)
        chains.check(chain, core.index)
        roommsg.verify(msg, author.dsk)
        return author, chain

    def _check_view(self, held: Epoch, msg: RoomInner) -> None:
        """Refuse who says to know less than it knew before: a removal cannot be unseen."""
        core = msg.core
        last = held.last.get(core.device16)
        if last is None or last[1] in {b"", core.view16}:
            return
        later = core.index > held.highest(core.device16)
        old, new = (last[1], core.view16) if later else (core.view16, last[1])
        if self.room.log.is_strict_ancestor(new, old):
            raise CryptoFault("a view that goes back")

    def _contradicts(self, held: Epoch, msg: RoomInner) -> bool:
        """Say whether a message follows another one than that which we have under the index before."""
        last = held.last.get(msg.core.device16)
        return last is not None and bool(last[0]) and last[0] != msg.core.prev16

    def _equivocated(self, turn: Turn, author: Member) -> None:
        person = self.room.people.get(author.account)
        name = author.name if person is None else person.username
        text = f"{name} showed different messages to different members of {self.room.name}"
        self._accuse(turn, author.device_id, "equivocation", text)

    def _accuse(self, turn: Turn, device_id: bytes, code: str, text: str) -> None:
        """Tell the owner, once a start, of a device that does what no honest one does."""
        if device_id not in self._accused:
            self._accused.add(device_id)
            turn.accuse(events.Warning(code=code, message=text))

    def _known(self, turn: Turn, author: Member) -> Person:
        """Return an author as a person; whoever came and went in one step of the log is met only now."""
        return self.room.people.meet(turn, author.account, author.name)

    def _patience(self) -> int:
        """Return how far ahead a chain may run: not at all while much is being held back already."""
        return 0 if len(self.room.timeline.waiting) >= MAX_WAITING // 2 else PATIENCE

    def _author(self, held: Epoch, device_id: bytes, index: int) -> Member:
        """Return whose device it is, or refuse what comes after its removal."""
        member = self.room.log.device(device_id)
        if member is None:
            raise CryptoFault("device was never in the room")
        returning.check_current(self.room.log, device_id, member.account)
        if not self.room.log.allows(device_id, held.epoch16, index, held.announce.heads):
            raise CryptoFault("sent after its author was removed or left")
        return member

    def _carried_op(self, msg: RoomInner, payload: Payload) -> Op | None:
        if (msg.core.kind == Kind.OP) != (payload.type is Type.OP):
            raise CryptoFault("kind of core and type of payload disagree")
        return ops.parse_op(payload.body) if payload.type is Type.OP else None

    def _said(self, turn: Turn, held: Epoch, author: Member, payload: Payload, late: Hole | None) -> None:
        room = self.room
        mid = room.timeline.rename(payload.mid, author.account)
        if mid is None:
            self.healing.closed(turn, late)
            return
        refs = payload.refs if held.row.first else payload.refs + payload.refs_before
        ts_ms, earlier = shown_ms(payload.ts_ms, turn.mesh_ms), len(refs) - len(payload.refs)
        item = Item.of(mid, held.epoch16, author.account, payload, refs, ts_ms=ts_ms, earlier=earlier)
        if not self.healing.said(turn, late, item):
            self.offer(turn, item)

    def offer(self, turn: Turn, item: Item, *, linked: int = 1) -> None:
        """Show a message, or hold it back until what it refers to is here."""
        room = self.room
        new = None if item.mid in room.timeline.waiting else item.mid
        shown = room.timeline.offer(item, now=turn.now.mono, linked=linked)
        if item not in shown and item.mid in room.timeline.waiting:
            turn.put(Table.PENDING, b"t" + room.room_id + item.mid, item)
            unknown = room.timeline.unknown(item)
            if unknown:
                turn.lookups.append((room.room_id, unknown))
                turn.sync_wanted = True
        self.show(turn, shown, new=new)

    def show(self, turn: Turn, shown: list[Item], *, new: bytes | None = None) -> None:
        """Log what may now be shown; what was held back leaves its waiting row, which a `new` one has not."""
        for item in shown:
            if item.mid != new:
                turn.rows[(Table.PENDING, b"t" + self.room.room_id + item.mid)] = None
        self.room.show(turn, shown)

    def learn(self, turn: Turn, mids: tuple[bytes, ...]) -> None:
        """References turned out to be in the store."""
        self.show(turn, self.room.timeline.learn(mids))

    # -- ops --------------------------------------------------------------------------------------

    def needed(self) -> dict[bytes, bytes]:
        """Return the ops that something here waits for, by op16, each with the epoch that named it."""
        waiting = needed(self.room.log, self.parked.values(), self.ops.pending.values())
        return waiting | self.wants.lacking(self.room.log)

    def exchange_due(self, turn: Turn) -> None:
        """Ask for ops and answer who asked, as far as it is time."""
        if self.exchange.is_due(turn.now.mono):
            self.exchange.ask(turn, self.needed())
        self.exchange.answer(turn)

    def _take_given(self, turn: Turn, held: Epoch, given: list[Op]) -> None:
        """Take the ops that are needed here or bring a newer device, what these need, and no others."""
        news = [op for op in returning.news(self.room.log, given) if op.op_id not in self.ops.pending]
        taken = self.ops.needed_of(given, self.needed().keys() | {op.op16 for op in news})
        if taken:
            self._take_ops(turn, taken)
        for op in (op for op in news if self.ops.has(op)):
            returning.hear(turn, self.room, op.device_id, held)

    def learn_ops(self, turn: Turn, told: Iterable[Op]) -> None:
        """Take ops that came otherwise than in a message; each is judged as if it had."""
        self._take_ops(turn, [op for op in told if not self.room.log.knows(op.op_id)])

    def _take_ops(self, turn: Turn, come: Iterable[Op]) -> None:
        self.ops.take(turn, come)
        self.retry(turn)

"""Coming back to a room at another device, and letting somebody who did back in (docs/crypto.md 3.6, 3.7).

Who restored a backup holds the channels of old epochs and no key of any. It signs a `device` op, which brings
its new certificate, list and leaf, and gives it out on the newest of those channels as `ops`, for an op needs
no carrier; then it makes an epoch on top of them. The others take both, because the account could read there:
it has the same authority at another device. Where the room had moved on meanwhile, that epoch stands beside
the newest one, and somebody of those who hold both makes one for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from node.chat import events
from node.chat.epochs import LIFE_DAYS
from node.clock import DAY_MS, HORIZON_DAYS, earliest
from node.crypto import ops
from node.crypto.channel import ChannelKind, Inner
from node.crypto.epoch import REASON_ROSTER
from node.crypto.ops import Device, Op, OpType
from node.errors import CryptoFault
from node.tables import Table
from node.wire import codec

if TYPE_CHECKING:
    from node.chat.epochs import Epoch, Epochs
    from node.chat.me import Me
    from node.chat.membership import RoomLog
    from node.chat.room import Room
    from node.chat.turn import Turn
    from node.crypto.primitives import Entropy

Seen: TypeAlias = tuple[int, bytes, int]
"""What `apart` was worked out from."""
HEARD: Final = b"heard"
"""Rows of Table.OBJECTS: where a device was heard."""
MAX_PARENTS = 4
MAX_BESIDE = 2
"""Of an epoch's four parents, those that are there for somebody who came back alone."""
RETURN_AFTER = 10.0
"""Seconds after a start, or after our op turned out void: a sync may tell how far the room has got."""
RETURN_AGAIN = 60.0
MAX_WAIT = 3600.0
"""An op of ours that was voided by another is signed again, each time after twice as long."""
OLD_DAYS = HORIZON_DAYS + LIFE_DAYS
"""How long an epoch is held at least, from when it came: a horizon after nobody seals under it any more."""
MAX_NEWS = 4
"""Of one answer: anybody who knows the channel can post it, and each costs four verifications."""
JOIN_AGAIN = 60.0
"""Seconds between two epochs that we make by ourselves in a room for somebody who came back."""
JOIN_AFTER = 0.5
JOIN_SPREAD = 4.0
"""Seconds in which mostly one of those who hold two branches joins them."""


def away(room: Room) -> bool:
    """Say whether we are in a room at another device than this, with a list that this one's list follows."""
    own = room.log.roster.members.get(room.me.account)
    return (
        own is not None
        and own.device_id != room.me.device_id
        and own.device_list.seq < room.me.devices.seq
        and not room.me.replaced
    )


def replaced(room: Room) -> bool:
    """Say whether our account is in a room at another device, and for good."""
    devices = room.log.roster.devices
    return room.me.replaced or not (room.me.device_id in devices or away(room))


def come_back(turn: Turn, room: Room) -> Epoch:
    """Say in a room that we are at this device now, and make an epoch; nothing else goes before."""
    leaf = room.me.new_leaf(turn)
    op = room.signed(turn, Device(room.me.cert.raw, room.me.devices.raw, leaf))
    room.log.add(op)
    room.store_op(turn, op)
    for tip in parents(room, back=True):
        turn.post(tip.channel, codec.pack([int(Inner.OPS), [op.raw]]))
    held = room.rekey(turn, REASON_ROSTER, first=True)[1]
    room.save(turn)
    return held


def news(log: RoomLog, given: Iterable[Op]) -> list[Op]:
    """Return the ops that bring a newer device of a member: nobody asked, they are taken all the same.

    Raises:
        PeerFault: If the certificate, list or signature of one does not hold.
    """
    likely = [op for op in given if op.type is OpType.DEVICE and not log.knows(op.op_id)]
    return [op for op in likely[:MAX_NEWS] if _is_news(log, op)]


def _is_news(log: RoomLog, op: Op) -> bool:
    member = log.roster.members.get(op.author)
    if member is None:
        return False
    card = ops.card_of(op)
    assert card is not None
    if card.cert.device_id != op.device_id or card.devices.seq <= member.device_list.seq:
        return False
    ops.verify_op(op, card.cert.dsk)
    return True


def could_read(log: RoomLog, held: Epoch, device_id: bytes, account: bytes) -> bool:
    """Say whether an epoch was made for this device, or for another of the same account before it."""
    if device_id in held.devices:
        return True
    return any((was := log.device(one)) is not None and was.account == account for one in held.devices)


def check_current(log: RoomLog, device_id: bytes, account: bytes) -> None:
    """Raise CryptoFault for a message by a device in whose place its account has put another."""
    now = log.roster.members.get(account)
    if now is not None and now.device_id != device_id:
        raise CryptoFault("sent by a device that its account has replaced")


def came_back(held: Epochs, one: Epoch) -> bool:
    """Say whether an epoch is by somebody who could not read its parents at that device."""
    parents = (held.held.get(parent) for parent in one.announce.parents)
    return any(p is not None and one.announce.creator_device not in p.devices for p in parents)


def hear(turn: Turn, room: Room, device_id: bytes, held: Epoch) -> None:
    """Remember on which channel a device of a member said that it is there: it may know of no newer one.

    Its epoch may have overtaken its op, and was refused then: the channel is read again.
    """
    turn.behind.append((int(ChannelKind.ROOM), room.room_id, held.epoch16))
    _forget(turn, room)
    if device_id in room.log.roster.devices:
        room.heard[device_id] = held.epoch16
        turn.put(Table.OBJECTS, _heard(room, device_id), held.epoch16)


def _heard(room: Room, device_id: bytes) -> bytes:
    return HEARD + room.room_id + device_id


def _forget(turn: Turn, room: Room) -> None:
    for device_id in [one for one in room.heard if not _stranded(room, one)]:
        del room.heard[device_id]
        turn.delete(Table.OBJECTS, _heard(room, device_id))


def _stranded(room: Room, device_id: bytes) -> bool:
    """Say whether a member's device can read none of the newest epochs."""
    tips = room.epochs.tips()
    return device_id in room.log.roster.devices and all(device_id not in tip.devices for tip in tips)


def parents(room: Room, *, back: bool = False) -> list[Epoch]:
    """Return what a new epoch descends from: the tips, and where those were heard who can read none.

    `back`: and the newest that the backup kept, for what was made on them since may have been void.
    """
    tips = room.epochs.tips(room.log.roster.devices)
    where = dict.fromkeys(room.heard[one] for one in room.heard if _stranded(room, one))
    beside = [room.epochs.held[one] for one in where if one in room.epochs.held]
    if back:
        kept = [held for held in room.epochs.held.values() if held.send is None]
        beside += sorted(kept, key=lambda held: -held.announce.gen)
    beside = [one for one in beside if one not in tips][:MAX_BESIDE]
    return tips[: MAX_PARENTS - len(beside)] + beside


def apart(room: Room) -> bool:
    """Say whether somebody came back whom not everybody can read, or the other way round.

    Worked out again only when an epoch or op came or went.
    """
    seen = (room.epochs.version, room.log.view16, len(room.heard))
    if room.parted_then[0] != seen:
        stranded = any(_stranded(room, one) for one in room.heard)
        room.parted_then = (seen, stranded or _apart(room.epochs))
    return room.parted_then[1]


def _apart(held: Epochs) -> bool:
    back = [one.epoch16 for one in held.held.values() if came_back(held, one)]
    if not back:
        return False
    lines = [_line(held, tip) for tip in held.tips()]
    return len(lines) > 1 and any(one not in line for one in back for line in lines)


def _line(held: Epochs, tip: Epoch) -> set[bytes]:
    """Return an epoch and all that it descends from."""
    line, queue = set[bytes](), [tip.epoch16]
    while queue:
        epoch16 = queue.pop()
        if epoch16 not in line and epoch16 in held.held:
            line.add(epoch16)
            queue += held.held[epoch16].announce.parents
    return line


@dataclass
class Returning:
    """In which rooms we have something to do about a device that came back, and when."""

    me: Me
    _due: dict[bytes, float] = field(default_factory=dict)
    _tries: dict[bytes, int] = field(default_factory=dict)
    _joined: dict[bytes, float] = field(default_factory=dict)

    @property
    def deadline(self) -> float | None:
        """When there is next something to do."""
        return earliest(*self._due.values())

    def look(self, room: Room, now: float, entropy: Entropy | None = None) -> None:
        """A room changed, or was read back: note what is to be done there, and when."""
        if not (away(room) or apart(room)) or not room.open:  # the last is asked of nearly no room
            self._due.pop(room.room_id, None)
        elif room.room_id not in self._due:
            tries = self._tries.get(room.room_id, 0)
            spread = b"" if entropy is None else entropy(2)
            wait = JOIN_AFTER + JOIN_SPREAD * int.from_bytes(spread, "big") / 65_536
            wait = max(wait, self._joined.get(room.room_id, now - JOIN_AGAIN) + JOIN_AGAIN - now)
            if away(room):
                wait = min(MAX_WAIT, RETURN_AGAIN * 2.0**tries) if tries else RETURN_AFTER
            self._due[room.room_id] = now + wait

    def due(self, turn: Turn, rooms: Iterable[Room]) -> list[Room]:
        """Do what is due; returns the rooms that we came back to."""
        back = []
        now = {room_id for room_id, due in self._due.items() if due <= turn.now.mono}
        for room_id in now:
            del self._due[room_id]
        for room in [room for room in rooms if room.room_id in now and room.open]:
            if away(room):
                _doubt(turn, room)
                self._tries[room.room_id] = self._tries.get(room.room_id, 0) + 1
                come_back(turn, room)
                back.append(room)
            elif apart(room):
                self._joined[room.room_id] = turn.now.mono
                room.rekey(turn, REASON_ROSTER)
                _forget(turn, room)
                room.save(turn)
        return back


def _doubt(turn: Turn, room: Room) -> None:
    """Say so if nobody need watch any more the channels that we have: others forget them after so long."""
    newest = max((held.row.received_ms for held in room.epochs.held.values()), default=0)
    if newest < turn.now.wall_ms - OLD_DAYS * DAY_MS:
        text = f"the keys kept of {room.name} are old: if nobody answers, be removed there and invited again"
        turn.tell(events.Warning(code="room_unreachable", message=text))

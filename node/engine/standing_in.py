"""Members who answer a `nack` for an author that does not: with the items they keep (docs/crypto.md 3.10).

Only in rooms with history, only what is among the newest N, only to a member whose device was in the epoch,
and only after the author has had time to seal it again. Who asked takes an item where it lacks that very
index of that device, by the author's signature and the room's log as if it had come as a message.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import structs

from node.chat import rights
from node.chat.membership import Member
from node.chat.returning import check_current
from node.chat.room import Room
from node.chat.room_inbox import RoomInbox
from node.chat.turn import Turn
from node.clock import earliest
from node.crypto.roomitem import RoomItem, open_item, parse_item
from node.crypto.roommsg import Core, Kind
from node.engine.state import State
from node.errors import CryptoFault, PeerFault
from node.wire.payload import CHANGES, Payload, Type, decode

AFTER, SPREAD = 20.0, 20.0
"""Seconds that the author has to answer, and over which the others spread."""
MAX_WAITING = 64
"""Answers that wait; what is asked beyond that is asked again."""
MAX_ASKED = 16
"""Of these, those of one member."""
HUSH = 900.0
MAX_HUSHED = 64
"""A member is answered the same once in that many seconds, and all together so often: under 100 MB."""
MAX_EACH = 1024 * 1024
"""Bytes after which one member is given no more in that time: every member may be asked the same."""

Wish = tuple[bytes, bytes, bytes, bytes, int, int]
"""Room, asker's account, epoch16, device, first and last index."""


class StandingIn:
    """Both sides of giving items for what a chain lacks."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._waiting: dict[Wish, float] = {}
        self._hushed: OrderedDict[Wish, tuple[float, int]] = OrderedDict()

    @property
    def deadline(self) -> float | None:
        """When there is next something to answer."""
        return earliest(*self._waiting.values())

    def overheard(self, turn: Turn, room: Room, member: Member, payload: Payload) -> None:
        """A member asks, or an author answers: then nobody needs to in its place."""
        if payload.type is Type.NACK:
            self.asked(turn, room, member, payload.body)
            return
        epoch16, index = payload.body[:2]
        for wish in list(self._waiting):
            if wish[2:4] == (epoch16, member.device_id) and wish[4] <= index <= wish[5]:
                del self._waiting[wish]

    def asked(self, turn: Turn, room: Room, asker: Member, body: list[Any]) -> None:
        """Somebody lacks what a third member sent: note to answer if that member does not."""
        if len(body) == 1 or not room.history or body[1] == room.me.device_id:
            return
        epoch16, device_id, first, last = body
        held = room.epochs.held.get(epoch16)
        wish = (room.room_id, asker.account, epoch16, device_id, first, last)
        if held is None or asker.device_id not in held.devices or self._quiet(wish, turn.now.mono):
            return
        asked = sum(other[1] == asker.account for other in self._waiting)
        if asked < MAX_ASKED and len(self._waiting) < MAX_WAITING and _items(room, wish):
            jitter = int.from_bytes(turn.entropy(2), "big") / 65_536 * SPREAD
            self._waiting.setdefault(wish, turn.now.mono + AFTER + jitter)

    def _quiet(self, wish: Wish, now: float) -> bool:
        while self._hushed and next(iter(self._hushed.values()))[0] <= now:
            self._hushed.popitem(last=False)
        given = sum(size for other, (_, size) in self._hushed.items() if other[1] == wish[1])
        return wish in self._hushed or len(self._hushed) >= MAX_HUSHED or given >= MAX_EACH

    def due(self, turn: Turn) -> None:
        """Answer what it is time for, whom we have a session with."""
        for wish, moment in list(self._waiting.items()):
            if moment > turn.now.mono:
                continue
            del self._waiting[wish]
            inbox = self.state.rooms.inboxes.get(wish[0])
            if inbox is None or not inbox.room.open or not inbox.room.is_member(wish[1]):
                continue
            items = _items(inbox.room, wish)
            if not items or self._quiet(wish, turn.now.mono):
                continue
            if self.state.dms.send_large(turn, wish[1], Type.HISTORY, [wish[0], items]):
                self._hushed[wish] = turn.now.mono + HUSH, sum(map(len, items))

    # -- being given ------------------------------------------------------------------------------

    def given(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Take what a member gives of that which a room lacks; everything else is passed over."""
        room_id, items = payload.body
        inbox = self.state.rooms.inboxes.get(room_id)
        if inbox is None or not inbox.room.open or not inbox.room.is_member(account):
            return
        for data in items if inbox.healing.holes.all else ():
            try:
                self._take(turn, inbox, parse_item(data))
            except PeerFault:
                continue

    def _take(self, turn: Turn, inbox: RoomInbox, item: RoomItem) -> None:
        core, room = item.msg.core, inbox.room
        if inbox.healing.holes.at(core.epoch16, core.device16, core.index) is None:
            return
        author = _author(room, core)
        told = decode(open_item(item, author.dsk))
        if told.type is Type.TEXT:
            again = [core.epoch16, core.index, told.body]
            inbox.healing.take(turn, author, structs.replace(told, type=Type.RESENT, body=again))
            inbox.healing.take_overheard()
        elif told.type in CHANGES:
            again = [core.epoch16, core.index, int(told.type), told.body]
            rights.check(room, author.account, told, core.view16)
            inbox.changed(turn, author, structs.replace(told, type=Type.RESENT, body=again))


def _author(room: Room, core: Core) -> Member:
    """Return who wrote a message, by the rules for one that comes in its epoch; raises PeerFault."""
    held, author = room.epochs.held.get(core.epoch16), room.log.device(core.device16)
    if core.room != room.room_id or core.kind is not Kind.MESSAGE or held is None or author is None:
        raise CryptoFault("an item of another room, kind or epoch, or by nobody of this room")
    check_current(room.log, core.device16, author.account)
    if core.device16 not in held.devices or not room.log.knows16(core.view16):
        raise CryptoFault("an item by a device that is not in its epoch, or of an unknown view")
    if room.log.deleted_at(core.view16):
        raise CryptoFault("sent by somebody who knew that the room was deleted")
    return author


def _items(room: Room, wish: Wish) -> list[bytes]:
    return room.kept.of(*wish[2:])

"""What a room with history keeps: its newest messages with their keys, for newcomers (docs/crypto.md 3.10).

The room's policy says how many. For these, forward secrecy is given up: whoever takes this node's store can
open their envelopes again. With none nothing is kept; what falls out of the newest N is erased.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from node.chat.large import MAX_CONTENT
from node.chat.timeline import copy_of
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import roommsg
from node.crypto.chain import RecvChain
from node.crypto.primitives import box_open
from node.crypto.roomitem import make_item, parse_item
from node.crypto.roommsg import Core, RoomInner
from node.tables import Table
from node.wire.payload import Payload, Type, decode

if TYPE_CHECKING:
    from node.chat.room import Room

MAX_KEPT_BYTES = MAX_CONTENT - 8 * 1024
"""Of one room: what one Object carries, the items' own lengths included."""
_FIRST = 1 << 32
"""Number of the first message that is kept as it comes; what was there before goes below."""


@dataclass(frozen=True)
class Kept:
    """One stored item; `number` orders those of a room, oldest first.

    `mid`: the message it is, or that it changes; empty where an earlier release wrote it. `name`, of a change
    alone: what it sets, so that of two that set the same the later one stays.
    """

    room_id: bytes
    number: int
    item: bytes = field(repr=False)
    mid: bytes = b""
    name: bytes = b""

    @property
    def key(self) -> bytes:
        """What the row is stored by."""
        return b"k" + self.room_id + self.number.to_bytes(8, "big")


class Keeper:
    """The kept messages of one room, and the newest changes of them."""

    def __init__(self, room_id: bytes) -> None:
        self.room_id = room_id
        self._rows: dict[int, Kept] = {}
        self._changes: dict[int, Kept] = {}
        self._names: dict[bytes, int] = {}
        self._about: dict[bytes, dict[int, None]] = {}
        """Numbers of messages and changes by the message's id."""
        self._cores: dict[int, Core] = {}
        self._size = 0

    def restore(self, rows: Sequence[Kept]) -> None:
        """Take the stored rows back."""
        self.__init__(self.room_id)  # type: ignore[misc]  # as it was before anything was kept
        for row in sorted(rows, key=lambda row: row.number):
            self._index(row)

    def _index(self, row: Kept) -> None:
        (self._changes if row.name else self._rows)[row.number] = row
        if row.name:
            self._names[row.name] = row.number
        if row.mid:
            self._about.setdefault(row.mid, {})[row.number] = None
        self._size += len(row.item)

    def items(self) -> list[bytes]:
        """Return the messages that are kept, oldest first."""
        return [row.item for row in self._rows.values()]

    def changes(self) -> list[bytes]:
        """Return the kept changes of messages that are kept, oldest first."""
        here = {row.mid for row in self._rows.values()}
        return [row.item for row in self._changes.values() if row.mid in here]

    def of(self, epoch16: bytes, device_id: bytes, first: int, last: int) -> list[bytes]:
        """Return what is kept of one device's messages `first` to `last` of an epoch."""
        found = []
        for number, row in (*self._rows.items(), *self._changes.items()):
            core = self._core(number, row)
            if (core.epoch16, core.device16) == (epoch16, device_id) and first <= core.index <= last:
                found.append(row.item)
        return found

    def _core(self, number: int, row: Kept) -> Core:
        """Return an item's core; any member can ask as often as it likes: each is read once."""
        core = self._cores.get(number)
        if core is None:
            core = self._cores[number] = parse_item(row.item).msg.core
        return core

    def keep(
        self, turn: Turn, limit: int, chain: RecvChain, msg: RoomInner | bytes, payload: Payload
    ) -> None:
        """Keep a message or change that opened, or is ours, with the key that the chain before it gives."""
        if not limit or payload.type not in {Type.TEXT, Type.EDIT, Type.REACTION}:
            return
        if isinstance(msg, bytes):
            msg = roommsg.parse(msg)
        item = make_item(msg, roommsg.key_of(chain, msg, day=day_of(turn.now.wall_ms)))
        number = 1 + max(next(reversed(self._rows), _FIRST), next(reversed(self._changes), _FIRST))
        self._put(turn, _kept(self.room_id, number, item, msg.core, payload))
        self.bound(turn, limit)

    def put_before(self, turn: Turn, limit: int, items: Sequence[tuple[bytes, Core, Payload]]) -> None:
        """Keep what was sent before everything that is here, oldest first, as far as the limit goes."""
        first = min(next(iter(self._rows), _FIRST), next(iter(self._changes), _FIRST)) - len(items)
        for at, (item, core, payload) in enumerate(items):
            self._put(turn, _kept(self.room_id, first + at, item, core, payload))
        self._rows = dict(sorted(self._rows.items()))
        self._changes = dict(sorted(self._changes.items()))
        self.bound(turn, limit)

    def _put(self, turn: Turn, row: Kept) -> None:
        old = self._names.get(row.name, -1)
        if old > row.number:
            return
        if old >= 0:
            self._drop(turn, old)
        self._index(row)
        turn.put(Table.HISTORY, row.key, row)

    def _drop(self, turn: Turn, number: int) -> None:
        row = self._rows.pop(number, None) or self._changes.pop(number)
        self._cores.pop(number, None)
        self._names.pop(row.name, None)
        if row.mid:
            self._about[row.mid].pop(number, None)
            if not self._about[row.mid]:
                del self._about[row.mid]
        self._size -= len(row.item)
        turn.delete(Table.HISTORY, row.key)

    def erase(self, turn: Turn, mid: bytes, is_it: Callable[[bytes, Core], bool]) -> None:
        """Erase the message that is shown as `mid`, which `is_it` knows by its own id, and its changes."""
        for number, row in [one for one in self._rows.items() if not one[1].mid]:
            item = parse_item(row.item)
            known = decode(box_open(item.msg.ct, item.msg.nonce, item.mk)).mid
            self._rows[number] = replace(row, mid=known)
            self._about.setdefault(known, {})[number] = None
        names = [mid] if mid in self._about else list(self._about)
        for name in names:
            numbers = list(self._about[name])
            texts = [one for one in numbers if one in self._rows]
            if any(is_it(name, self._core(one, self._rows[one])) for one in texts):
                for number in numbers:
                    self._drop(turn, number)

    def bound(self, turn: Turn, limit: int) -> None:
        """Erase what is not among the newest `limit`, or more than goes into one Object."""
        while len(self._changes) > limit:
            self._drop(turn, next(iter(self._changes)))
        while self._rows and (len(self._rows) > limit or self._held > MAX_KEPT_BYTES):
            number, row = next(iter(self._rows.items()))
            for one in list(self._about.get(row.mid, ())):
                if one != number and one in self._changes:
                    self._drop(turn, one)
            self._drop(turn, number)

    @property
    def _held(self) -> int:
        return self._size + 5 * (len(self._rows) + len(self._changes))


def _kept(room_id: bytes, number: int, item: bytes, core: Core, payload: Payload) -> Kept:
    if payload.type is Type.TEXT:
        return Kept(room_id, number, item, payload.mid)
    target = payload.body[0]
    name = bytes([payload.type]) + target + core.device16
    if payload.type is Type.REACTION:
        name += payload.body[1] + payload.body[2].encode()
    return Kept(room_id, number, item, target, name)


def shown_as(room: Room, mid: bytes, user_id: str, name: bytes, core: Core) -> bool:
    """Say whether a kept message, named `name` by its author, is what is shown as `mid` of this person."""
    author = room.log.device(core.device16)
    if author is None or room.people.user_id(author.account) != user_id:
        return False
    return mid in {name, copy_of(name, author.account)}

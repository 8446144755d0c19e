"""What many newcomers are handed alike: a room's log and slots, posted once on a shelf (docs/crypto.md 3.10).

A welcome to a room of a thousand would be 0.7 MB, and a thousand of them the whole mesh's to carry. So what
does not fit beside the rest of a welcome goes into Objects on a channel of its own, the shelf, and each
welcome names them. Later welcomes name the same ones and bring only what has been added since. The shelf's
secret stands in welcomes alone: who uses a link sees that somebody was let in, and nothing of the log.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from node.chat.channels import Route
from node.chat.objects import MAX_REASSEMBLY, PART_BYTES, Assembly, object_id_of, split
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import welcome as welcomes
from node.crypto.channel import Channel, ChannelKind, Inner, join_channel
from node.crypto.labels import Label
from node.crypto.ops import Op
from node.crypto.primitives import digest
from node.crypto.welcome import MAX_OBJECTS, Welcome
from node.errors import CryptoFault, DecodeError

INLINE_OPS = 16 * 1024
"""Bytes of ops that a welcome brings itself: with all else it still fits one envelope."""
INLINE_SLOTS = 4 * 1024
"""Slots of 75 members."""
OBJECT_BYTES = 40 * PART_BYTES
"""Ops of one Object, of the 64 parts that it may have: the last op may be a large one."""
MAX_LOG_BYTES = MAX_REASSEMBLY - 512 * 1024
"""What a newcomer can put together at a time, slots aside: about 5,000 ops."""
MAX_SHELVES = 64
"""Invites whose shelf is remembered; what another would add is posted anew."""
MAX_WAITING = 4
"""Welcomes of one join that wait for their Objects, the newest: each greeter may send one."""
MAX_WAITING_ALL = 16
"""Those of all joins: each can hold twice what a channel has in reassembly."""


@dataclass
class _Shelf:
    secret: bytes = field(repr=False)
    day: int
    log: list[bytes] = field(default_factory=list)
    ops: set[bytes] = field(default_factory=set)
    slots: tuple[bytes, bytes] = (b"", b"")


class Shelves:
    """What this node has laid out for newcomers, by invite; forgotten with a stop, and then laid out anew."""

    def __init__(self) -> None:
        self._shelves: OrderedDict[bytes, _Shelf] = OrderedDict()

    def lay_out(
        self, turn: Turn, invite_id: bytes, welcome: Welcome, log: Sequence[Op], slots: bytes
    ) -> Welcome:
        """Return the welcome with log and slots, or with the names of the Objects that have them.

        A newcomer reads a shelf from the day on which it asked, so a shelf is in use for a day.
        """
        size = sum(len(op.raw) for op in log)
        if size <= INLINE_OPS and len(slots) <= INLINE_SLOTS:
            return replace(welcome, ops=tuple(op.raw for op in log), slots=slots)
        shelf = self._shelf(turn, invite_id)
        channel = join_channel(shelf.secret)
        rest = [op for op in log if op.op_id not in shelf.ops]
        if sum(len(op.raw) for op in rest) > INLINE_OPS:
            for chunk in _chunks(rest):
                shelf.log.append(_post(turn, channel, welcomes.shelved(op.raw for op in chunk)))
            shelf.ops.update(op.op_id for op in rest)
            rest = []
        names = list(shelf.log)
        if len(slots) > INLINE_SLOTS:
            if shelf.slots[0] != slots:
                shelf.slots = (slots, _post(turn, channel, welcomes.shelved((), slots)))
            names, slots = [*names, shelf.slots[1]], b""
        raws = tuple(op.raw for op in rest)
        if not names:
            return replace(welcome, ops=raws, slots=slots)
        return replace(welcome, ops=raws, slots=slots, shelf=shelf.secret, objects=tuple(names))

    def _shelf(self, turn: Turn, invite_id: bytes) -> _Shelf:
        today = day_of(turn.mesh_ms)
        shelf = self._shelves.pop(invite_id, None)
        if shelf is None or shelf.day != today or len(shelf.log) >= MAX_OBJECTS - 8:
            shelf = _Shelf(turn.entropy(32), today)
        self._shelves[invite_id] = shelf
        while len(self._shelves) > MAX_SHELVES:
            self._shelves.popitem(last=False)
        return shelf


def _chunks(ops: Sequence[Op]) -> list[list[Op]]:
    chunks: list[list[Op]] = [[]]
    size = 0
    for op in ops:
        if size + len(op.raw) > OBJECT_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(op)
        size += len(op.raw) + 5
    return chunks


def _post(turn: Turn, channel: Channel, content: bytes) -> bytes:
    """Post an Object on a shelf; returns its id."""
    for part in split(content):
        turn.post(channel, part)
    return object_id_of(content)


@dataclass
class _Waiting:
    """A welcome that waits for its Objects; `join` is the key of the join that it answers."""

    join: bytes
    welcome: Welcome
    parts: Assembly = field(default_factory=Assembly)
    held: dict[bytes, bytes] = field(default_factory=dict)


class Arrivals:
    """Welcomes that came and whose Objects have not all come yet, by the shelf's part of the route.

    Nothing of this is stored: after a start the join channels are read again, and the shelves with them.
    """

    def __init__(self) -> None:
        self._waiting: dict[bytes, _Waiting] = {}

    def take(self, turn: Turn, join: bytes, welcome: Welcome, *, asked_ms: int) -> Welcome | None:
        """Return a welcome that has everything; watch the shelf of one that has not."""
        if not welcome.objects:
            return welcome
        part = _part(join, welcome)
        if part in self._waiting:
            return None
        same = [other for other, one in self._waiting.items() if one.join == join]
        if len(same) >= MAX_WAITING or len(self._waiting) >= MAX_WAITING_ALL:
            self._drop(turn, next(iter(same or self._waiting)))
        self._waiting[part] = _Waiting(join, welcome)
        route = Route(join_channel(welcome.shelf), welcome.room_id, part)
        turn.watch.append((route, day_of(min(asked_ms, turn.mesh_ms)) - 1))
        return None

    def read(self, turn: Turn, part: bytes, inner: bytes) -> tuple[bytes, Welcome] | None:
        """Take what comes on a shelf; returns (join, welcome) if it is the last that one waited for.

        Raises:
            PeerFault: If it is no part of an Object, or nobody waits for it.
        """
        one = self._waiting.get(part)
        if one is None or inner[1] != Inner.OBJECT_PART:
            raise CryptoFault("a shelf that nobody waits for, or what does not belong on one")
        content = one.parts.take(inner)
        if content is None or object_id_of(content) not in one.welcome.objects:
            return None
        one.held[object_id_of(content)] = content
        if sum(map(len, one.held.values())) > MAX_REASSEMBLY:
            self._drop(turn, part)
            return None
        if len(one.held) < len(one.welcome.objects):
            return None
        self._drop(turn, part)
        try:
            return one.join, one.welcome.whole(one.held[name] for name in one.welcome.objects)
        except DecodeError:
            return None

    def forget(self, turn: Turn, join: bytes) -> None:
        """Wait no more for what one join was answered with."""
        for part in [part for part, one in self._waiting.items() if one.join == join]:
            self._drop(turn, part)

    def _drop(self, turn: Turn, part: bytes) -> None:
        one = self._waiting.pop(part)
        turn.unwatch.append((int(ChannelKind.JOIN), one.welcome.room_id, part))


def _part(join: bytes, welcome: Welcome) -> bytes:
    return digest(Label.INNER, join + welcome.encode())[:16]

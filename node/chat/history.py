"""What newcomers are given of a room, and what they believe of it (docs/crypto.md 3.10).

Who gives decides what to withhold and nothing else. Each item is judged by the room's log as it was when the
item's author wrote it: was that device's account a member then, and is the message within the cut of a later
going; then by the device's signature, and by the key that the signature commits to. The order too is the
authors': what a message refers to and what its device sent before come first, then the authors' clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise

from node.chat.membership import Member, RoomLog
from node.chat.room import Room
from node.crypto.ops import Add, Create, Device, Leave, Op, Remove
from node.crypto.roomitem import RoomItem, open_item, parse_item
from node.crypto.roommsg import Core, Kind
from node.errors import CryptoFault, PeerFault
from node.wire.payload import Payload, Type, decode


@dataclass(frozen=True)
class Wanted:
    """History that we, as a newcomer, may be given; `place` is the event log's number at our coming in.

    `asked` are the accounts asked so far, `heard` those who gave something of which not all held, `shown` the
    (author, mid) that did: another may have more.
    """

    room_id: bytes
    adder: bytes
    place: int
    since_ms: int
    asked: tuple[bytes, ...] = ()
    heard: tuple[bytes, ...] = ()
    shown: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def key(self) -> bytes:
        """What the row is stored by."""
        return b"w" + self.room_id

    def may_give(self, account: bytes) -> bool:
        """Say whether an export of this account is one that we wait for."""
        return account in {self.adder, *self.asked} and account not in self.heard


@dataclass(frozen=True, slots=True)
class Told:
    """One item that is what its author signed."""

    author: Member
    core: Core
    payload: Payload
    item: bytes = field(repr=False)

    @property
    def name(self) -> tuple[bytes, bytes]:
        """What names a message for everyone: (author, mid)."""
        return self.author.account, self.payload.mid


class Past:
    """Who was in a room at which point of its log."""

    def __init__(self, log: RoomLog) -> None:
        self.log = log
        self._came: dict[bytes, list[bytes]] = {}
        self._went: dict[bytes, list[bytes]] = {}
        self._brought: dict[bytes, list[tuple[bytes, bytes]]] = {}
        for op in log.ops_in_order():
            if log.applied(op.op_id):
                self._note(op)

    def _note(self, op: Op) -> None:
        match op.body:
            case Create():
                self._came.setdefault(op.author, []).append(op.op_id)
                self._bring(op.author, op)
            case Add(account=account):
                self._came.setdefault(account, []).append(op.op_id)
                self._bring(account, op)
            case Device():
                self._bring(op.author, op)
            case Leave():
                self._went.setdefault(op.author, []).append(op.op_id)
            case Remove(account=account):
                self._went.setdefault(account, []).append(op.op_id)
            case _:
                pass

    def _bring(self, account: bytes, op: Op) -> None:
        device_id = self.log.device_of(op.op_id)
        assert device_id is not None
        self._brought.setdefault(account, []).append((op.op_id, device_id))

    def replaced(self, view: bytes, account: bytes, device_id: bytes) -> bool:
        """Say whether who had seen `view` had seen another device take this one's place."""
        brought = self._brought.get(account, ())
        own = [op_id for op_id, device in brought if device == device_id][-1:]
        others = [op_id for op_id, device in brought if device != device_id and self.knew(view, op_id)]
        return any(self.log.is_strict_ancestor(one, other) for one in own for other in others)

    def knew(self, view: bytes, op_id: bytes) -> bool:
        """Say whether who had seen `view` had seen an op."""
        return op_id == view or self.log.is_strict_ancestor(op_id, view)

    def had(self, view: bytes, account: bytes) -> bool:
        """Say whether an account was a member for who had seen `view` and all before it."""
        went = [op_id for op_id in reversed(self._went.get(account, [])) if self.knew(view, op_id)]
        came = [op_id for op_id in reversed(self._came.get(account, [])) if self.knew(view, op_id)]
        return any(not any(self.log.is_strict_ancestor(c, w) for w in went) for c in came)  # newest first


def granted_to(room: Room, account: bytes) -> int:
    """Return how many messages from before its add the room's policy grants a member, then and now."""
    add = _added(room, account) if room.history else None  # looking back in a long log is dear
    if add is None or not isinstance(add.body, Add):
        return 0
    return min(room.history, room.log.policy_at(add.parents).history)


def _added(room: Room, account: bytes) -> Op | None:
    member = room.log.roster.members.get(account)
    return None if member is None else room.log.op(member.added_by)


def adder_of(room: Room, account: bytes) -> bytes:
    """Return who added a member."""
    add = _added(room, account)
    assert add is not None
    return add.author


def export(room: Room, account: bytes) -> list[bytes]:
    """Return the items that a member is to be given: the newest from before its add, oldest first."""
    limit, add = granted_to(room, account), _added(room, account)
    if not limit or add is None:
        return []
    past = Past(room.log)
    items = [item for item in room.kept.items() if not _knew(past, item, add.op_id)]
    changes = [item for item in room.kept.changes() if not _knew(past, item, add.op_id)]
    return items[-limit:] + changes[-limit:]


def _knew(past: Past, item: bytes, op_id: bytes) -> bool:
    view = past.log.op(parse_item(item).msg.core.view16)
    return view is None or past.knew(view.op_id, op_id)


class Judge:
    """Judges what somebody gives to us as a newcomer of a room."""

    def __init__(self, room: Room) -> None:
        self.room, self.past = room, Past(room.log)
        add = _added(room, room.me.account)
        assert add is not None
        self._add = add.op_id

    def judge_all(self, items: Sequence[bytes]) -> tuple[list[Told], int]:
        """Return (the items that hold, each once, in their order; how many do not hold)."""
        told: dict[tuple[bytes, bytes, int], Told] = {}
        names: set[tuple[bytes, bytes]] = set()
        bad = 0
        for data in items:
            try:
                one = self.judge(data)
            except PeerFault:
                bad += 1
                continue
            if one is None or one.name in names:
                continue
            names.add(one.name)
            told.setdefault((one.core.device16, one.core.epoch16, one.core.index), one)
        return arrange(list(told.values())), bad

    def judge(self, data: bytes) -> Told | None:
        """Return an item that holds; None if we were here at its time, or the room granted nothing then.

        Raises:
            PeerFault: If it is not what its author signed, or the author was not in the room.
        """
        room, log = self.room, self.room.log
        item = parse_item(data)
        core = item.msg.core
        view = log.op(core.view16)
        author = log.device(core.device16)
        if core.room != room.room_id or core.kind is not Kind.MESSAGE or view is None or author is None:
            raise CryptoFault("an item of another room or kind, or by nobody of this one")
        if self.past.knew(view.op_id, self._add):
            raise CryptoFault("an item by somebody who knew that we were there")
        if not self.past.had(view.op_id, author.account):
            raise CryptoFault("an item by somebody who was not in the room")
        if self.past.replaced(view.op_id, author.account, core.device16):
            raise CryptoFault("an item by a device that its account had replaced")
        if not log.allows(core.device16, core.epoch16, core.index, (view.op_id,)):
            raise CryptoFault("an item from after its author's going")
        payload = _opened(item, author)
        passed_over = not log.kept_at(core.view16) or self.past.had(view.op_id, room.me.account)
        return None if passed_over else Told(author, core, payload, data)


def _opened(item: RoomItem, author: Member) -> Payload:
    payload = decode(open_item(item, author.dsk))
    if payload.type not in {Type.TEXT, Type.EDIT, Type.REACTION}:
        raise CryptoFault("an item that is no message, nor a change of one")
    return payload


def arrange(told: Sequence[Told]) -> list[Told]:
    """Order items: after what they refer to and what their device sent before, else by their clocks."""
    by_mid = {one.payload.mid: at for at, one in enumerate(told)}
    after: list[set[int]] = [set() for _ in told]
    for at, one in enumerate(told):
        refs = (*one.payload.refs, *one.payload.refs_before)
        after[at].update(by_mid[ref] for ref in refs if by_mid.get(ref, at) != at)
    chains: dict[tuple[bytes, bytes], list[int]] = {}
    for at, one in sorted(enumerate(told), key=lambda pair: pair[1].core.index):
        chains.setdefault((one.core.device16, one.core.epoch16), []).append(at)
    for chain in chains.values():
        for before, at in pairwise(chain):
            after[at].add(before)
    return [told[at] for at in _walk(after, [_clock(one) for one in told])]


def _clock(one: Told) -> tuple[int, int, bytes]:
    return one.payload.ts_ms, one.payload.lamport, one.payload.mid


def _walk(after: Sequence[set[int]], clocks: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """Go through a graph causes first; what members who conspire made circular comes last, by its clocks."""
    ready: list[tuple[tuple[int, int, bytes], int]] = []
    follows: list[list[int]] = [[] for _ in after]
    for at, causes in enumerate(after):
        for cause in causes:
            follows[cause].append(at)
        if not causes:
            heappush(ready, (clocks[at], at))
    left = [len(causes) for causes in after]
    order: list[int] = []
    while ready:
        at = heappop(ready)[1]
        order.append(at)
        for other in follows[at]:
            left[other] -= 1
            if not left[other]:
                heappush(ready, (clocks[other], other))
    rest = set(range(len(after))) - set(order)
    return order + sorted(rest, key=lambda at: clocks[at])

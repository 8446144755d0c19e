"""Direct rooms: a conversation of two, shown to frontends as a room (docs/crypto.md 3.6, docs/bridge.md 2).

It has no log and no epochs: its id is `UUIDv8(H(dm, sorted account keys))`, its messages travel in the double
ratchet, its order is the same causal one as a room's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from node import ids
from node.chat.direct_gaps import Gap, Gaps
from node.chat.dms import Dms
from node.chat.me import Me
from node.chat.messages import message_event
from node.chat.people import People
from node.chat.reading import Mark, Marks
from node.chat.timeline import Item, Timeline, shown_ms
from node.chat.turn import Turn, check_body
from node.clock import earliest
from node.crypto.labels import Label
from node.crypto.primitives import digest
from node.tables import Table
from node.wire.payload import Payload, Type, Words

NO_EPOCH = bytes(16)


@dataclass(frozen=True)
class DirectRow:
    """The stored state of a direct room beside its messages."""

    room_id: bytes
    peer: bytes
    frontier: tuple[bytes, ...]
    own_last: bytes | None
    lamport: int
    unread: int
    last_message: str | None
    marks: dict[bytes, Mark] = field(default_factory=dict)
    last_ms: int = 0


def direct_id(a: bytes, b: bytes) -> bytes:
    """Return the 16-byte id of the direct room of two accounts."""
    return ids.uuid8(digest(Label.DM, b"".join(sorted((a, b)))))


class Direct:
    """One conversation of two."""

    def __init__(self, me: Me, people: People, dms: Dms, peer: bytes) -> None:
        self.me, self.people, self.dms, self.peer = me, people, dms, peer
        self.room_id = direct_id(me.account, peer)
        self.timeline = Timeline()
        self.gaps = Gaps(self.room_id, peer, dms, self.timeline)
        self.marks = Marks(self.room_id, people)
        self.unread = 0
        self.last_message: str | None = None
        self.last_ms = 0
        """When it was sent, 0 if nothing was said; UNIX milliseconds."""

    @property
    def name(self) -> str:
        """The other one's name."""
        return self.people.username(self.peer)

    @property
    def deadline(self) -> float | None:
        """When there is next something to show or to ask."""
        return earliest(self.timeline.deadline, self.gaps.deadline)

    def save(self, turn: Turn) -> None:
        """Store what changes with every message."""
        line = self.timeline
        own = None if line.own_last is None else line.own_last[0]
        row = DirectRow(
            self.room_id,
            self.peer,
            tuple(line.frontier),
            own,
            line.lamport,
            self.unread,
            self.last_message,
            self.marks.of,
            self.last_ms,
        )
        turn.put(Table.ROOMS, b"direct" + self.room_id, row)

    def restore(self, row: DirectRow) -> None:
        """Take the stored state back."""
        line = self.timeline
        for mid in row.frontier:
            line.frontier[mid] = NO_EPOCH
            line.known[mid] = b""
        line.own_last = None if row.own_last is None else (row.own_last, NO_EPOCH)
        line.lamport = row.lamport
        self.unread, self.last_message, self.last_ms = row.unread, row.last_message, row.last_ms
        self.marks.of = row.marks

    def say(self, turn: Turn, words: Words) -> Item:
        """Send one message to the other, or queue it until there is a session."""
        body = words.body()
        check_body(Type.TEXT, body, field_name="kind")
        self.dms.check_room(self.peer)
        refs, _, lamport = self.timeline.compose(NO_EPOCH)
        payload = Payload(turn.new_id(), turn.mesh_ms, lamport, Type.TEXT, body, refs)
        self.dms.send(turn, self.peer, payload)
        item = self._item(self.me.account, payload)
        self.timeline.sent(item)
        return item

    def change(self, turn: Turn, kind: Type, body: list[Any]) -> Payload:
        """Send a change of a message to the other, or queue it."""
        self.dms.check_room(self.peer)
        self.timeline.lamport += 1
        payload = Payload(turn.new_id(), turn.mesh_ms, self.timeline.lamport, kind, body)
        self.dms.send(turn, self.peer, payload)
        self.save(turn)
        return payload

    def unsay(self, turn: Turn, mid: bytes, _user_id: str) -> None:
        """A message is gone: nothing that waits or is kept to be sent again has its words."""
        self.dms.unsay(turn, self.peer, mid)

    def _item(self, account: bytes, payload: Payload) -> Item:
        return Item.of(payload.mid, NO_EPOCH, account, payload, payload.refs)

    def receive(self, turn: Turn, payload: Payload) -> None:
        """Take a text of the other one: show it, or hold it back until what it refers to is here."""
        if self.timeline.seen(payload.mid):
            return
        item = self._item(self.peer, structs.replace(payload, ts_ms=shown_ms(payload.ts_ms, turn.mesh_ms)))
        gap = self.gaps.named(item.mid)
        if gap is not None:
            self._heal(turn, gap, item)
            return
        shown = self.timeline.offer(item, now=turn.now.mono, linked=1)
        if item.mid in self.timeline.waiting:
            turn.put(Table.PENDING, b"t" + self.room_id + item.mid, item)
            unknown = self.timeline.unknown(item)
            if unknown:
                turn.lookups.append((self.room_id, unknown))
                turn.sync_wanted = True
        self.show(turn, shown)

    def _heal(self, turn: Turn, gap: Gap, item: Item) -> None:
        """Put a message where a placeholder stood for it."""
        freed = self.timeline.healed(item)
        plain = message_event(self.people, self.room_id, item, mine=False)
        self.gaps.healed(turn, gap, item.mid, plain)
        self.unread += 1
        self.marks.came_late(turn, item)
        self.show(turn, freed)
        self.save(turn)

    def learn(self, turn: Turn, mids: tuple[bytes, ...]) -> None:
        """References turned out to be in the store, or to be to words of ours that were lost here."""
        for mid in mids:
            gap = self.gaps.named(mid)
            if gap is not None:
                self.gaps.healed(turn, gap, mid, None)
        self.show(turn, self.timeline.learn(mids))

    def expire(self, turn: Turn) -> None:
        """Show what was held back long enough, after what it shows to be missing; ask for what is."""
        shown = self.timeline.expire(turn.now.mono)
        for item in shown:
            if item.gap and not self.people.hides(item.account):
                self.gaps.name(turn, item)
        self.show(turn, shown)
        self.gaps.ask(turn)

    def show(self, turn: Turn, items: list[Item], *, nonce: str | None = None) -> None:
        """Log messages as `user_message` events, in the order given; `nonce` is that of our own command."""
        for item in items:
            turn.rows[(Table.PENDING, b"t" + self.room_id + item.mid)] = None
            if self.people.hides(item.account):
                continue
            mine = item.account == self.me.account
            self.unread += 0 if mine else 1
            if not mine:
                self.marks.shown(turn, item)
            self.last_message, self.last_ms = item.text[:200], item.ts_ms
            event = message_event(self.people, self.room_id, item, mine=mine, nonce=nonce)
            turn.log(event, message=(self.room_id, item.mid))
        if items:
            self.save(turn)

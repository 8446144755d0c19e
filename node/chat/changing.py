"""Changes of messages on their way to what they change, in every room and direct room.

A change is stored with the chain that brought it, then its message is read, and what becomes of both goes in
one commit: a crash in between repeats it. One whose message is not here yet waits, and is applied before the
message is first shown. Reading and applying are one at a time for each message, so that no change is lost
under another (docs/crypto.md 3.8, "Changes").
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from msgspec import structs

from node import ids
from node.chat import changes, events, hidden
from node.chat.changes import Change, Message
from node.chat.expiring import Expiring
from node.chat.messages import UNREADABLE, healed_event
from node.chat.people import People
from node.chat.rooms import Rooms
from node.chat.timeline import copy_of
from node.chat.turn import Logged, Turn
from node.clock import DAY_MS, HORIZON_DAYS
from node.tables import Table
from node.wire.payload import Payload, Type, decode

MAX_WAITING = 512
"""Changes that wait in one conversation for what they change, 8 MB of the longest; the oldest of whoever has
the most goes first."""
READ_AT_ONCE = 256
"""Messages read in one go."""
KEEP_MS = HORIZON_DAYS * DAY_MS
"""After the horizon what a change waits for does not come any more."""
ROW = b"m"
"""Rows begin so: then the room's id and the change's name."""


@dataclass(frozen=True)
class Waiting:
    """A change by `account` that waits for its message; `payload` has its canonical bytes."""

    room_id: bytes
    account: bytes
    payload: bytes = field(repr=False)
    since_ms: int


@dataclass(slots=True)
class _Room:
    """What waits in one conversation, by the changes' names in the order they came, and by message."""

    changes: OrderedDict[bytes, Change] = field(default_factory=OrderedDict)
    since: dict[bytes, int] = field(default_factory=dict)
    of: dict[bytes, dict[bytes, None]] = field(default_factory=dict)


class Changing:
    """Applies changes; `gone(turn, room_id, event)` is told of each message whose words were erased."""

    def __init__(self, rooms: Rooms, people: People) -> None:
        self.rooms, self.people = rooms, people
        self.expiring = Expiring()
        self.gone: list[Callable[[Turn, bytes, events.UserMessage], None]] = []
        self._rooms: dict[bytes, _Room] = {}
        self._given: dict[tuple[bytes, bytes], None] = {}
        self._busy: set[bytes] = set()
        self._next: dict[bytes, dict[bytes, None]] = {}
        self._fresh: dict[bytes, dict[bytes, None]] = {}
        """Messages to be read next: for commands and the clock, and for changes that came."""
        self._read: dict[tuple[bytes, bytes], Message | None] = {}
        self._dirty: set[tuple[bytes, bytes]] = set()

    # -- what waits -------------------------------------------------------------------------------

    def restore(self, row: Waiting) -> None:
        """Take a stored change back; `starting` looks again for what it changes."""
        change = Change.of(row.account, decode(row.payload))
        self._add(row.room_id, change, row.since_ms)

    def starting(self, turn: Turn) -> None:
        """Read what changes were waiting for when we stopped."""
        for room_id, waiting in self._rooms.items():
            self._look(turn, room_id, waiting.of)

    def _add(self, room_id: bytes, change: Change, since_ms: int) -> None:
        waiting, name = self._rooms.setdefault(room_id, _Room()), change.name
        waiting.changes[name] = change
        waiting.since[name] = since_ms
        for place in _places(change):
            waiting.of.setdefault(place, {})[name] = None

    def take(self, turn: Turn, room_id: bytes, account: bytes, payload: Payload) -> None:
        """Take a change that its author had a right to, and look for what it changes."""
        change = self._keep(turn, room_id, account, payload)
        if change is not None:
            self._look(turn, room_id, _places(change))
            self._bound(turn, room_id)

    def given(self, turn: Turn, room_id: bytes, given: Iterable[tuple[bytes, Payload]]) -> None:
        """Take changes of messages that are about to be shown in this turn."""
        for account, payload in given:
            change = self._keep(turn, room_id, account, payload)
            if change is not None:
                self._given[room_id, change.name] = None

    def _keep(self, turn: Turn, room_id: bytes, account: bytes, payload: Payload) -> Change | None:
        if payload.type is not Type.DELETE and self.people.hides(account):
            return None  # words of somebody blocked; what they take back is taken back
        change, waiting = Change.of(account, payload), self._rooms.get(room_id)
        if waiting is not None and change.name in waiting.changes:
            return None
        self._add(room_id, change, turn.now.wall_ms)
        if change.type is Type.DELETE and self.people.hid and room_id in self.rooms.inboxes:
            hidden.withhold(turn, self.rooms.inboxes[room_id].room, change.target, change.author)
        bare = Payload(payload.mid, payload.ts_ms, payload.lamport, payload.type, payload.body)
        row = Waiting(room_id, account, bare.encode(), turn.now.wall_ms)
        turn.put(Table.PENDING, ROW + room_id + change.name, row)
        return change

    def want(self, turn: Turn, room_id: bytes, mids: Iterable[bytes]) -> None:
        """Have messages read, to change them: one reading at a time for each conversation."""
        self._next.setdefault(room_id, {}).update(dict.fromkeys(mids))
        if room_id not in self._busy:
            self._read_next(turn, room_id)

    def _look(self, turn: Turn, room_id: bytes, mids: Iterable[bytes]) -> None:
        """Have messages read that changes wait for."""
        self._fresh.setdefault(room_id, {}).update(dict.fromkeys(mids))
        if room_id not in self._busy:
            self._read_next(turn, room_id)

    def _read_next(self, turn: Turn, room_id: bytes) -> None:
        some: tuple[bytes, ...] = ()
        for wanted in (self._next, self._fresh):
            mids = wanted.get(room_id, {})
            taken = tuple(islice(mids, READ_AT_ONCE - len(some)))
            some += taken
            for mid in taken:
                del mids[mid]
            if not mids:
                wanted.pop(room_id, None)
        if some:
            self._busy.add(room_id)
            turn.reads.append((room_id, some))

    def _forget(self, turn: Turn, room_id: bytes, name: bytes) -> None:
        waiting = self._rooms[room_id]
        change = waiting.changes.pop(name)
        del waiting.since[name]
        for place in _places(change):
            waiting.of[place].pop(name)
            if not waiting.of[place]:
                del waiting.of[place]
                self._fresh.get(room_id, {}).pop(place, None)
        if not waiting.changes:
            del self._rooms[room_id]
        turn.delete(Table.PENDING, ROW + room_id + name)

    def _bound(self, turn: Turn, room_id: bytes) -> None:
        waiting = self._rooms.get(room_id)
        while waiting is not None and len(waiting.changes) > MAX_WAITING:
            made = Counter(change.by for change in waiting.changes.values())
            most = max(made, key=lambda account: made[account])
            self._forget(turn, room_id, next(m for m, c in waiting.changes.items() if c.by == most))

    def expire(self, turn: Turn) -> None:
        """Forget what has waited for a horizon."""
        limit = turn.now.wall_ms - KEEP_MS
        for room_id, waiting in list(self._rooms.items()):
            for name in [name for name, since_ms in waiting.since.items() if since_ms < limit]:
                self._forget(turn, room_id, name)

    # -- messages that are shown now --------------------------------------------------------------

    def shown(self, turn: Turn) -> None:
        """Take what changes came, apply what waits to what a turn shows first, and note when that goes."""
        for room_id, account, payload in turn.changed:
            self.take(turn, room_id, account, payload)
        for at, out in enumerate(turn.out):
            if isinstance(out, Logged) and out.message and isinstance(out.event, events.UserMessage):
                now = self._first(turn, *out.message, out.event)
                line = changes.line(now)
                if line or now.event is not out.event:
                    turn.out[at] = structs.replace(out, event=now.event, line=line)
        for at, placed in enumerate(turn.placed):
            if isinstance(placed.event, events.UserMessage) and not placed.edit:
                self._hidden(turn, hidden.beside(placed.room), placed.mid, placed.event)
                now = self._first(turn, placed.room, placed.mid, placed.event)
                turn.placed[at] = replace(placed, event=now.event, line=changes.line(now))
                self._healed(turn, placed.room, placed.mid, now.event)
        for room_id, name in self._given:
            change = self._rooms[room_id].changes.get(name) if room_id in self._rooms else None
            if change is not None:
                self._look(turn, room_id, _places(change))
                self._bound(turn, room_id)
        self._given.clear()

    def _hidden(self, turn: Turn, room_id: bytes, mid: bytes, event: events.UserMessage) -> None:
        """What waits for a message that is not shown has come to its end, and so has one that was deleted."""
        inbox = self.rooms.inboxes.get(room_id)
        for change in () if inbox is None else self._of(room_id, mid):
            if inbox is not None and event.user_id == self.people.user_id(change.author):
                self._forget(turn, room_id, change.name)
                if change.type is Type.DELETE:
                    hidden.withhold(turn, inbox.room, mid, change.author)

    def _healed(self, turn: Turn, room_id: bytes, mid: bytes, event: events.UserMessage) -> None:
        """Have the event that tells of a message's coming late say what the message says by now."""
        for at, out in enumerate(turn.out):
            told = out.event
            if (
                isinstance(out, Logged)
                and out.about == (room_id, mid)
                and isinstance(told, events.MessageHealed)
            ):
                turn.out[at] = structs.replace(out, event=healed_event(told, event))

    def _first(self, turn: Turn, room_id: bytes, mid: bytes, event: events.UserMessage) -> Message:
        before = message = Message(event)
        for change in self._of(room_id, mid):
            if event.user_id == self.people.user_id(change.author):
                message = changes.applied(self.people, message, change)
                self._forget(turn, room_id, change.name)
        if _is_over(message.event, turn.mesh_ms):
            message = changes.applied(self.people, message, _expiry(mid))
        if message is not before:
            self._after(turn, room_id, mid, before.event, message.event)
        if isinstance(message.event.expires_ms, int):
            self.expiring.note(turn, room_id, mid, message.event.expires_ms)
        return message

    def _of(self, room_id: bytes, mid: bytes) -> list[Change]:
        waiting = self._rooms.get(room_id)
        found = [] if waiting is None else [waiting.changes[one] for one in waiting.of.get(mid, ())]
        return [one for one in found if one.type is Type.DELETE or not self.people.hides(one.by)]

    def due(self, turn: Turn) -> None:
        """Have those messages read whose time to live is over."""
        for room_id, mid in self.expiring.due(turn):
            self.want(turn, room_id, (mid,))

    # -- messages that were read ------------------------------------------------------------------

    def fetched(self, turn: Turn, room_id: bytes, found: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Messages came that changes were waiting for, or that commands ask for: `message` has them now."""
        for mid, body in found:
            message = changes.read(body)
            if message is not None and message.event.kind == UNREADABLE:
                message = None
            self._read[room_id, mid] = message
            if message is not None and _is_over(message.event, turn.mesh_ms):
                self.apply(turn, room_id, mid, _expiry(mid))
            end = self.expiring.ended(room_id, mid)  # of one that came since it was looked for, none
            if end is not None:
                if message is not None and message.event.expires_ms == end:  # and not of a copy of its id
                    self.apply(turn, room_id, mid, _expiry(mid))
                self.expiring.done(turn, room_id, mid)
        for mid, _ in found:
            for change in self._of(room_id, mid):
                self._apply_waiting(turn, room_id, mid, change)

    def _apply_waiting(self, turn: Turn, room_id: bytes, mid: bytes, change: Change) -> None:
        message = self._read.get((room_id, mid))
        if message is not None and message.event.user_id == self.people.user_id(change.author):
            self._forget(turn, room_id, change.name)
            self.apply(turn, room_id, mid, change)

    def message(self, room_id: bytes, mid: bytes) -> Message | None:
        """Return a message that was read in this turn; raises KeyError if it was not."""
        return self._read[room_id, mid]

    def apply(self, turn: Turn, room_id: bytes, mid: bytes, change: Change) -> None:
        """Change a message that was read in this turn, and tell of it."""
        before = self._read[room_id, mid]
        assert before is not None
        after = changes.applied(self.people, before, change)
        if after is before:
            return
        self._read[room_id, mid] = after
        self._dirty.add((room_id, mid))
        self._after(turn, room_id, mid, before.event, after.event)
        self._tell(turn, room_id, mid, change, after.event)

    def close(self, turn: Turn, room_id: bytes) -> None:
        """Write what became of the messages that were read, and go on to those wanted meanwhile."""
        self._busy.discard(room_id)
        self._read_next(turn, room_id)
        self._write(turn)

    def _write(self, turn: Turn) -> None:
        for room_id, mid in sorted(self._dirty):
            message = self._read[room_id, mid]
            assert message is not None
            turn.rewrites.append((room_id, mid, changes.write(message)))
        self._read.clear()
        self._dirty.clear()

    # -- what follows from a change ---------------------------------------------------------------

    def _after(
        self, turn: Turn, room_id: bytes, mid: bytes, old: events.UserMessage, new: events.UserMessage
    ) -> None:
        """Let nothing else show, keep or give away words that are not there any more."""
        room = self.rooms.by_id(room_id)
        if room is None:
            return
        if old.message != new.message and room.last_message == old.message[:200]:
            room.last_message = new.message[:200]
            room.save(turn)
        if new.deleted is True:
            room.unsay(turn, mid, new.user_id)
            self.expiring.done(turn, room_id, mid)
            for tell in self.gone:
                tell(turn, room_id, old)

    def _tell(
        self, turn: Turn, room_id: bytes, mid: bytes, change: Change, event: events.UserMessage
    ) -> None:
        room, name = ids.text(room_id), ids.text(mid)
        if change.type is None:
            turn.log(events.MessageDeleted(room=room, id=name, reason="expired"))
            return
        by, user_id = self.people.known_as(change.by) or "", self.people.user_id(change.by)
        mine = change.by == self.people.own
        match change.type:
            case Type.EDIT:
                told = events.MessageEdited(
                    room=room,
                    id=name,
                    username=by,
                    user_id=user_id,
                    message=event.message,
                    edited_ms=change.stamp[1],
                    mentions=event.mentions,
                    mentioned=event.mentioned,
                    mine=mine,
                )
                turn.log(told, about=(room_id, mid))
            case Type.DELETE:
                gone = events.MessageDeleted(
                    room=room,
                    id=name,
                    reason="deleted" if change.by == change.author else "moderated",
                    username=by,
                    user_id=user_id,
                    mine=mine,
                )
                turn.log(gone)
            case _:
                reaction = events.Reaction(
                    room=room,
                    id=name,
                    username=by,
                    user_id=user_id,
                    emoji=change.emoji,
                    on=change.on,
                    ts_ms=change.stamp[1],
                    mine=mine,
                )
                turn.log(reaction)


def _is_over(event: events.UserMessage, mesh_ms: int) -> bool:
    return isinstance(event.expires_ms, int) and event.expires_ms <= mesh_ms


def _expiry(mid: bytes) -> Change:
    return Change(b"", b"", mid, (0, 0, b""), None)


def _places(change: Change) -> tuple[bytes, ...]:
    """Return the ids under which a message may be shown that names its author and id."""
    return change.target, copy_of(change.target, change.author)

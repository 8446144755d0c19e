"""Receipts out and in: who is told that their messages are here or were read, and what others tell us.

A receipt goes to the author alone, in the direct session with them, for a room's messages too: nobody else
in the room learns who reads what, and one who is offline finds the newest when they are back. It is
cumulative, so what waits is a position and never a queue (docs/crypto.md 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from node import ids
from node.chat.direct import Direct, direct_id
from node.chat.events import UserLeave, UserMessage
from node.chat.ledger import LIFE_MS, Ledger, Named
from node.chat.messages import stored_message
from node.chat.reading import MAX_MEMBERS, Mark, may_know
from node.chat.room import Room
from node.chat.turn import Logged, Turn
from node.clock import earliest
from node.engine.state import State
from node.mesh.ports import InStep, Taken
from node.tables import Table
from node.wire.payload import MAX_RECEIPTS, Payload, Type, decode

SOON = 0.5
"""Seconds that a receipt waits for more to tell."""
EVERY = 5.0
"""Seconds between two receipts to one person, whatever the rooms."""
LATER = 60.0
"""Seconds after which somebody is tried again to whom nothing can be sent now."""
AFTER_START = 5.0
"""Seconds after a start: a sync may have brought more to tell by then."""
HOLE_MS = 3_600_000
"""How long a missing message of somebody holds back what their receipts say: they would say that it came."""
COMPARE_EVERY, MAX_COMPARED = 10.0, 6
"""Seconds between syncs that only ask who has what we sent before this link, and how many after a link."""

Found: TypeAlias = Callable[[Turn, UserMessage | None], None]
"""What to do with an own message that the store was asked for; None: it has none of ours under this id."""


Key: TypeAlias = tuple[bytes, bytes]
"""(room, account)."""


class Receipts:
    """What we owe others and what they tell us; `linked` says whether anything can leave now."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.ledger: Ledger = state.ledger
        self.linked: Callable[[], bool] = lambda: True
        self._owing: dict[bytes, set[bytes]] = {}
        self._due: dict[bytes, float] = {}
        self._last: dict[bytes, float] = {}
        self._named: dict[Key, Named] = {}
        self._numbers: dict[Key, dict[bytes, int | None]] = {}
        self._asked: dict[tuple[bytes, bytes], list[Found]] = {}
        self._compare_at: float | None = None
        self._compared = 0

    # -- out --------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When a receipt is next due; none while there is no link that it could leave by."""
        return earliest(self._compare_at, *self._due.values()) if self.linked() else None

    def owed(self, turn: Turn) -> None:
        """Note whom there is something to tell, by what was shown or read in this turn."""
        for room_id, account in turn.owed:
            self._owe(account, room_id, turn.now.mono + SOON)

    def _owe(self, account: bytes, room_id: bytes, moment: float) -> None:
        self._owing.setdefault(account, set()).add(room_id)
        last = self._last.get(account)
        self._due.setdefault(account, moment if last is None else max(moment, last + EVERY))

    def resume(self, now: float) -> list[tuple[bytes, bytes]]:
        """Take up what was owed when we stopped; return (room, message id) of what the store is to tell."""
        lookups: list[tuple[bytes, bytes]] = []
        for room in self._conversations():
            for account in [a for a, mark in room.marks.of.items() if mark.due]:
                self._owe(account, room.room_id, now + AFTER_START)
            last = _own_last(room)
            row = self.ledger.held.get(room.room_id)
            if row is None or last is None or last == row.mid or self.waits(room, last):
                continue
            self.ledger.follow(room.room_id, last, None, 0)
            self.wait_for(room.room_id, last, self._followed(room.room_id, last))
            lookups.append((room.room_id, last))
        self._named = {named.key: named for named in self.ledger.named}
        for key, named in self._named.items():
            mids = {mid for mid in (named.delivered, named.read) if mid is not None}
            for mid in mids:
                if self.wait_for(key[0], mid, self._answered(key, mid, len(mids))):
                    lookups.append((key[0], mid))
        return lookups

    def _conversations(self) -> list[Room | Direct]:
        rooms = self.state.rooms
        return [*(inbox.room for inbox in rooms.inboxes.values()), *rooms.direct.values()]

    def due(self, turn: Turn) -> None:
        """Send what it is time for."""
        if not self.linked():
            return
        now = turn.now.mono
        for account in [account for account, moment in self._due.items() if moment <= now]:
            del self._due[account]
            self._send(turn, account)

    def _send(self, turn: Turn, account: bytes) -> None:
        owing, dms = self._owing.pop(account, set()), self.state.dms
        rooms = [room for room in map(self._conversation, sorted(owing)) if room is not None]
        mine = [(room, mark) for room in rooms if (mark := room.marks.of.get(account)) and mark.due]
        allowed = may_know(self.state.people, account)
        for room, _ in [] if allowed else mine:
            room.marks.drop(account)
            room.save(turn)
        if not allowed or not mine:
            return
        if dms.sending(account) is None or dms.kept_from(account):
            self._wait(account, mine, turn.now.mono + LATER)
            return
        ready = [(room, mark) for room, mark in mine if not self._lacking(turn, room, account)]
        now, rest = ready[:MAX_RECEIPTS], [one for one in mine if one not in ready]
        if now:
            self._last[account] = turn.now.mono
            body = [self._entry(turn, room, account, mark) for room, mark in now]
            dms.send(turn, account, Payload(turn.new_id(), turn.mesh_ms, 0, Type.RECEIPT, body))
        if rest:
            self._wait(account, rest, turn.now.mono + LATER)
        if ready[MAX_RECEIPTS:]:
            self._wait(account, ready[MAX_RECEIPTS:], turn.now.mono + EVERY)

    def _wait(self, account: bytes, those: Sequence[tuple[Room | Direct, Mark]], moment: float) -> None:
        self._owing.setdefault(account, set()).update(room.room_id for room, _ in those)
        self._due[account] = min(moment, self._due.get(account, moment))

    def _entry(self, turn: Turn, room: Room | Direct, account: bytes, mark: Mark) -> list[bytes | None]:
        room.marks.told(account)
        room.save(turn)
        read = mark.read if self.state.people.receipting.read else None
        return [room.room_id, mark.mid if mark.owed else None, read]

    def _lacking(self, turn: Turn, room: Room | Direct, account: bytes) -> bool:
        """Say whether something of theirs is missing here: a receipt for what follows would cover it."""
        young = turn.now.wall_ms - HOLE_MS
        if isinstance(room, Direct):
            return any(gap.since_ms > young for gap in room.gaps.all.values())
        holes = self.state.rooms.inboxes[room.room_id].healing.holes.all.values()
        return any(h.author == account and h.placeholder and h.since_ms > young for h in holes)

    def _conversation(self, room_id: bytes) -> Room | Direct | None:
        """Return a conversation that has receipts."""
        rooms = self.state.rooms
        if room_id in rooms.direct:
            return rooms.direct[room_id]
        inbox = rooms.inboxes.get(room_id)
        if inbox is None or not inbox.room.open or len(inbox.room.log.roster.members) > MAX_MEMBERS:
            return None
        return inbox.room

    # -- in ---------------------------------------------------------------------------------------

    def take(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Take a receipt: it speaks for its sender alone, of rooms that they share with us."""
        if self.state.people.hides(account):
            return
        for room_id, delivered, read in payload.body:
            room = self._conversation(room_id)
            if room is None or not self._is_in(room, account):
                continue
            if self.state.people.receipting.read:
                self._name(turn, (room_id, account), delivered, read)
            else:
                self._name(turn, (room_id, account), delivered or read, None)

    def _is_in(self, room: Room | Direct, account: bytes) -> bool:
        return room.peer == account if isinstance(room, Direct) else room.is_member(account)

    def _name(self, turn: Turn, key: Key, delivered: bytes | None, read: bytes | None) -> None:
        """Find which messages of ours are meant: one question to the store at a time for each recipient.

        It is stored until it is answered, for the receipt itself does not come again.
        """
        known = self._named.get(key)
        if known is not None:
            later = known.later or (None, None)
            self._keep(turn, replace(known, later=(delivered or later[0], read or later[1])))
            return
        unknown = [m for m in {delivered, read} if m is not None and self.ledger.number(key[0], m) is None]
        if not unknown:
            self._count(turn, key, delivered, read, {})
            return
        self._keep(turn, Named(*key, delivered, read))
        for mid in unknown:
            self.ask(turn, key[0], mid, self._answered(key, mid, len(unknown)))

    def _keep(self, turn: Turn, named: Named) -> None:
        self._named[named.key] = named
        turn.put(Table.LEDGER, b"n" + named.room_id + named.account, named)

    def _answered(self, key: Key, mid: bytes, asked: int) -> Found:
        def found(turn: Turn, event: UserMessage | None) -> None:
            numbers = self._numbers.setdefault(key, {})
            numbers[mid] = None if event is None else number_of(event)
            if len(numbers) == asked:
                self._numbered(turn, key)

        return found

    def _numbered(self, turn: Turn, key: Key) -> None:
        named, numbers = self._named.pop(key), self._numbers.pop(key)
        turn.delete(Table.LEDGER, b"n" + named.room_id + named.account)
        self._count(turn, key, named.delivered, named.read, numbers)
        if named.later is not None:
            self._name(turn, key, *named.later)

    def _count(
        self,
        turn: Turn,
        key: Key,
        delivered: bytes | None,
        read: bytes | None,
        numbers: dict[bytes, int | None],
    ) -> None:
        """Move what is known of a recipient on; what is no message of ours moves nothing."""
        room_id, account = key

        def place(mid: bytes | None) -> tuple[int, bytes] | None:
            seq = None if mid is None else self.ledger.number(room_id, mid) or numbers.get(mid)
            return None if seq is None or mid is None else (seq, mid)

        self.ledger.receipt(turn, room_id, account, place(delivered), place(read))

    # -- what the store knows ---------------------------------------------------------------------

    def ask(self, turn: Turn, room_id: bytes, mid: bytes, then: Found) -> None:
        """Ask the store for an own message."""
        if self.wait_for(room_id, mid, then):
            turn.fetches.append((room_id, (mid,)))

    def wait_for(self, room_id: bytes, mid: bytes, then: Found) -> bool:
        """Note what is to be done with an own message; says whether the store is still to be asked."""
        waiting = self._asked.setdefault((room_id, mid), [])
        waiting.append(then)
        return len(waiting) == 1

    def fetched(self, turn: Turn, room_id: bytes, found: Sequence[tuple[bytes, bytes | None]]) -> None:
        """The store has answered; what others asked it for is passed over."""
        for mid, body in found:
            waiting = self._asked.pop((room_id, mid), None)
            if waiting is None:
                continue
            event = stored_message(body)
            for then in waiting:
                then(turn, event if event is not None and event.mine else None)

    def _followed(self, room_id: bytes, mid: bytes) -> Found:
        def found(turn: Turn, event: UserMessage | None) -> None:
            if event is None:
                self.ledger.gone(room_id, mid)
            else:
                self.ledger.numbered(turn, room_id, mid, number_of(event), event.ts_ms)

        return found

    # -- ours -------------------------------------------------------------------------------------

    def look(self, turn: Turn) -> None:
        """Note what a turn has said, sent and ended; called once, before its rows are written."""
        if turn.owed:
            self.owed(turn)
        said: dict[bytes, int] = {}
        for out in list(turn.out):
            if not isinstance(out, Logged):
                continue
            event = out.event
            if isinstance(event, UserMessage) and event.mine and out.message is not None:
                room_id, mid = out.message
                said[mid] = number_of(event)
                self.ledger.said(turn, room_id, mid, said[mid])
            elif isinstance(event, UserLeave) and event.reason in {"leave", "removed"}:
                self._left(turn, event)
        for mid, (whose, eid) in turn.carried.items():
            self._carried(turn, mid, whose, eid, said.get(mid))

    def sent(self, turn: Turn, room_id: bytes, mid: bytes) -> str:
        """Return the status of what was said just now: on its way, or waiting for a session or a link."""
        if mid in turn.carried:
            return "sent" if self.linked() else "queued"
        self.ledger.status(turn, room_id, mid, "queued")
        return "queued"

    def _carried(self, turn: Turn, mid: bytes, whose: bytes, eid: bytes, number: int | None) -> None:
        room_id = whose if whose in self.state.rooms.inboxes else direct_id(self.state.me.account, whose)
        if number is None:
            number = self.ledger.number(room_id, mid)
        if mid in turn.freed:
            self.ledger.status(turn, room_id, mid, "sent")
        elif number is None:
            return  # said again: it was followed the first time
        self.ledger.carried(turn, room_id, mid, eid, number)
        if number is None:
            self.ask(turn, room_id, mid, self._followed(room_id, mid))

    def _left(self, turn: Turn, event: UserLeave) -> None:
        room_id = ids.parse(event.room)
        account = self.state.people.account_of(event.user_id)
        if account is not None and account != self.state.me.account:
            self.ledger.left(turn, room_id, account, "left" if event.reason == "leave" else "removed")

    def waits(self, room: Room | Direct, mid: bytes) -> bool:
        """Say whether a message of ours still waits for a session."""
        if not isinstance(room, Direct):
            return False
        return any(decode(one.payload).mid == mid for one in self.state.dms.queue.get(room.peer, ()))

    def expire(self, turn: Turn) -> None:
        """Give up what no node holds any more and nobody is known to have."""
        limit = turn.mesh_ms - LIFE_MS
        for room in self._conversations():
            for mid, ts_ms in self.ledger.unheld_since(room.room_id):
                if 0 < ts_ms < limit:
                    self.ledger.failed(turn, room.room_id, mid, "expired")
        for account, mid in self.state.dms.expire_queue(turn, limit):
            self.ledger.failed(turn, direct_id(self.state.me.account, account), mid, "no_session", account)

    # -- peers ------------------------------------------------------------------------------------

    def link_up(self, now: float) -> None:
        """There is a link: what was sent without one is compared with its node, a few times."""
        self._compared = 0
        self._compare_at = now + COMPARE_EVERY if self.ledger.following else None

    def synced(self, now: float) -> None:
        """A sync ended, of a link that may have taken another's place: compare once more what is left."""
        if not self.ledger.following:
            self._compared = 0
        elif self._compare_at is None and self._compared < MAX_COMPARED:
            self._compare_at = now + COMPARE_EVERY

    def compare_due(self, now: float) -> bool:
        """Say whether it is time to compare, and set the next time."""
        if self._compare_at is None or now < self._compare_at:
            return False
        self._compared += 1
        again = self.ledger.following and self._compared < MAX_COMPARED
        self._compare_at = now + COMPARE_EVERY if again else None
        return self.ledger.following

    def peer_has(self, turn: Turn, news: Taken | InStep) -> None:
        """A peer has what we sent; one that keeps nothing for others may be where it goes, and counts not."""
        match news:
            case Taken(holds=True):
                self.ledger.taken(turn, news.prefixes)
            case InStep(holds=True):
                self.ledger.in_step(turn, news.until_ms)
            case _:
                pass


def number_of(event: UserMessage) -> int:
    """Return the number that a stored message has in the log."""
    return event.seq if isinstance(event.seq, int) else 0


def _own_last(room: Room | Direct) -> bytes | None:
    last = room.timeline.own_last
    return None if last is None else last[0]

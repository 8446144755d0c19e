"""History for newcomers: who is given it, who is asked for it, what is shown of it (docs/crypto.md 3.10).

Whoever adds somebody gives at once, if the two have a direct session. Who came in and got nothing asks: the
adder first, then other members, one at a time. Nothing is taken from anybody who was not asked, and nothing
twice; an answer costs up to 1.5 MiB, so a member is given it once an hour at most, and all together 32 times.
"""

from __future__ import annotations

from dataclasses import replace

from node.chat import events
from node.chat.history import Judge, Told, Wanted, adder_of, export, granted_to
from node.chat.messages import message_event
from node.chat.room import Room
from node.chat.timeline import Item, copy_of, shown_ms
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS, Instant, earliest
from node.crypto.channel import ChannelKind
from node.engine.state import State
from node.tables import Table
from node.wire.payload import Payload, Type, Words

GIVE_AGAIN = 3600.0
MAX_GIVEN = 32
"""Answers in GIVE_AGAIN seconds, to all whom we add and who ask: about 50 MB."""
MAX_EACH = 4
"""Answers in that time to one account, which may come and go: one for each of its adds."""
ASK_AFTER = 60.0
"""Seconds that the adder has to give by itself; also the first wait for an answer, which then doubles."""
MAX_ASKED = 8
"""Members asked: the adder and seven others."""


class Newcomers:
    """Both sides of giving history."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._due: dict[bytes, float] = {}
        self._given: dict[tuple[bytes, bytes], float] = {}
        state.joins.admitted = self.admitted
        state.joins.entered = self.entered
        state.dms.large.early = self._early

    @property
    def deadline(self) -> float | None:
        """When somebody is to be asked next."""
        return earliest(*self._due.values())

    def resume(self, now: Instant) -> None:
        """Wait a moment after a start, then ask on."""
        self._due = dict.fromkeys(self.state.wanted_history, now.mono + ASK_AFTER)

    # -- giving -----------------------------------------------------------------------------------

    def admitted(self, turn: Turn, room: Room, account: bytes) -> None:
        """We have added somebody: give what they may read; whom we have no session with asks for it."""
        if granted_to(room, account) and self._may_give(turn, room, account):
            self._give(turn, room, account)

    def wanted(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """A member asks: give, if the room's policy grants it and it was not given a moment ago."""
        inbox = self.state.rooms.inboxes.get(payload.body[0])
        if inbox is None or not inbox.room.open or not granted_to(inbox.room, account):
            return
        if self._may_give(turn, inbox.room, account):
            self._give(turn, inbox.room, account)

    def _may_give(self, turn: Turn, room: Room, account: bytes) -> bool:
        since = turn.now.mono - GIVE_AGAIN
        self._given = {key: moment for key, moment in self._given.items() if moment > since}
        often = sum(given == account for given, _ in self._given) >= MAX_EACH
        return not often and self._mark(room, account) not in self._given and len(self._given) < MAX_GIVEN

    def _mark(self, room: Room, account: bytes) -> tuple[bytes, bytes]:
        return account, room.log.roster.members[account].added_by

    def _give(self, turn: Turn, room: Room, account: bytes) -> None:
        body = [room.room_id, export(room, account)]
        if self.state.dms.send_large(turn, account, Type.HISTORY, body):
            self._given[self._mark(room, account)] = turn.now.mono

    # -- asking -----------------------------------------------------------------------------------

    def entered(self, turn: Turn, room: Room) -> None:
        """We came into a room: note what its policy grants us, and read again what came before we were in."""
        account = self.state.me.account
        if not granted_to(room, account):
            return
        adder = adder_of(room, account)
        self._save(turn, Wanted(room.room_id, adder, turn.seq, turn.mesh_ms))
        gives = self.state.dms.sending(adder) is not None
        self._due[room.room_id] = turn.now.mono + (ASK_AFTER if gives else 0.0)
        for early in self.state.dms.large.expected.values():
            if early.what == Type.HISTORY:
                turn.behind.append((int(ChannelKind.DM), early.account, early.session_id))

    def due(self, turn: Turn) -> None:
        """Ask where it is time, and stop to wait for what will not come."""
        for room_id, moment in list(self._due.items()):
            if moment <= turn.now.mono:
                self._ask(turn, self.state.wanted_history[room_id])

    def _ask(self, turn: Turn, want: Wanted) -> None:
        inbox = self.state.rooms.inboxes.get(want.room_id)
        late = turn.mesh_ms - want.since_ms > HORIZON_DAYS * DAY_MS
        if inbox is None or not inbox.room.open or late:
            self._drop(turn, want)
            return
        self._due[want.room_id] = turn.now.mono + DAY_MS / 1000
        account = self._next(inbox.room, want)
        if account is None:
            return
        self._due[want.room_id] = turn.now.mono + ASK_AFTER * 2.0 ** len(want.asked)
        self._save(turn, replace(want, asked=(*want.asked, account)))
        asking = Payload(turn.new_id(), turn.mesh_ms, 0, Type.HISTORY_WANT, [want.room_id])
        if not self.state.dms.send(turn, account, asking):
            self.state.reach(turn, account)

    def _next(self, room: Room, want: Wanted) -> bytes | None:
        """Return whom to ask now: the adder, then who can be asked at once, then by role; each once."""
        if len(want.asked) >= MAX_ASKED:
            return None
        others = [m for m in room.members() if m.account not in {room.me.account, *want.asked}]
        dms = self.state.dms

        def rank(account: bytes) -> tuple[bool, bool]:
            return account != want.adder, dms.sending(account) is None

        return min((member.account for member in others), key=rank, default=None)

    def _save(self, turn: Turn, want: Wanted) -> None:
        self.state.wanted_history[want.room_id] = want
        turn.put(Table.HISTORY, want.key, want)

    def _drop(self, turn: Turn, want: Wanted) -> None:
        del self.state.wanted_history[want.room_id]
        self._due.pop(want.room_id, None)
        turn.delete(Table.HISTORY, want.key)

    # -- being given ------------------------------------------------------------------------------

    def _early(self, payload: Payload) -> bool:
        """Say whether an export is for a room that we have asked to come into, and are not in yet."""
        return payload.type is Type.HISTORY and bool(self.state.joins.waiting(payload.body[0]))

    def given(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Show what a member gives who may: our adder, or whom we asked. Everything else is ignored."""
        room_id, items = payload.body
        want = self.state.wanted_history.get(room_id)
        inbox = self.state.rooms.inboxes.get(room_id)
        if want is None or inbox is None or not inbox.room.open:
            return
        room = inbox.room
        limit = granted_to(room, room.me.account)
        if not want.may_give(account) or not room.is_member(account) or not limit:
            return
        judged, bad = Judge(room).judge_all(items)
        told = [one for one in judged if one.payload.type is Type.TEXT]
        changed = [one for one in judged if one.payload.type is not Type.TEXT]
        line = room.timeline
        fresh = [one for one in told if one.name not in want.shown]
        fresh = [one for one in fresh if line.author_of(one.payload.mid) != one.author.account]
        fresh = fresh[max(0, len(want.shown) + len(fresh) - limit) :]
        for one in changed:
            room.people.meet(turn, one.author.account, one.author.name)
        self.state.changing.given(
            turn, room_id, [(one.author.account, one.payload) for one in changed[-limit:]]
        )
        self._show(turn, room, fresh, want.place)
        self._keep(turn, room, fresh + changed[-limit:])
        if bad:
            names = tuple(one.name for one in fresh)
            heard = (*want.heard, account)
            self._save(turn, replace(want, heard=heard, shown=want.shown + names))
            self._warn(turn, room, account, bad)
        else:
            self._drop(turn, want)

    def _show(self, turn: Turn, room: Room, told: list[Told], place: int) -> None:
        for one in told:
            item = self._item(turn, room, one)
            event = message_event(room.people, room.room_id, item, mine=False, history=True)
            turn.log(event, message=(room.room_id, item.mid), place=place)
            room.timeline.note(item.mid, item.account)
        if told:
            room.last_message = room.last_message or told[-1].payload.body[0][:200]
            room.save(turn)

    def _keep(self, turn: Turn, room: Room, told: list[Told]) -> None:
        """Keep for those who come after us what is not gone already."""
        live = [one for one in told if not _over(one.payload, turn.mesh_ms)]
        room.kept.put_before(turn, room.history, [(one.item, one.core, one.payload) for one in live])

    def _item(self, turn: Turn, room: Room, one: Told) -> Item:
        account, payload = one.author.account, one.payload
        room.people.meet(turn, account, one.author.name)
        mid = payload.mid
        if room.timeline.author_of(mid) not in {None, b"", account}:  # a copy of another's id
            mid = copy_of(mid, account)
        ts_ms = shown_ms(payload.ts_ms, turn.mesh_ms)
        return Item.of(mid, one.core.epoch16, account, payload, (), ts_ms=ts_ms)

    def _warn(self, turn: Turn, room: Room, account: bytes, bad: int) -> None:
        name = self.state.people.username(account)
        text = f"{bad} of the earlier messages of {room.name} that {name} gave are not by members: not shown"
        turn.tell(events.Warning(code="bad_history", message=text))


def _over(payload: Payload, mesh_ms: int) -> bool:
    """Say whether the time to live of a message is over."""
    ttl_s = Words.of(payload.body).ttl_s if payload.type is Type.TEXT else None
    return ttl_s is not None and payload.ts_ms + ttl_s * 1000 <= mesh_ms

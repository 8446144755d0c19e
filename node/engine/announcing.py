"""Announcements, out to a room or to every contact, and in (docs/bridge.md 2, "Announcements").

In a room they are for admins and the creator, at both ends: who has no right to it says nothing by it.
Contacts are sent theirs one by one in their direct sessions, a handful at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgspec import structs

from node import ids
from node.chat import commands as c, events, options, trust
from node.chat.announcements import CONTACTS, KINDS, Own
from node.chat.dms import MAX_QUEUED
from node.chat.room import Room
from node.chat.timeline import shown_ms
from node.chat.turn import Turn
from node.crypto.ops import Role
from node.engine.state import State
from node.errors import Refused
from node.wire.payload import Payload, Type

AT_ONCE = 32
BETWEEN = 0.25
"""Contacts that are sent an announcement in one turn, and seconds to the next: others go on meanwhile."""


class Announcing:
    """Sends our announcements and takes those of others."""

    def __init__(self, state: State) -> None:
        self.state, self.book = state, state.announcements
        self._next = 0.0
        state.mending.whole = self.book.whole

    # -- out --------------------------------------------------------------------------------------

    def send(self, turn: Turn, command: c.AnnouncementSend) -> dict[str, Any]:
        """Announce something; returns what stands in `ok`."""
        if (command.room is not None) == bool(command.contacts):
            raise Refused("invalid", "give either `room` or `contacts`: true", field="room")
        data = options.write(command.data, field="data")
        number = next(number for number, kind in KINDS.items() if kind == (command.kind or "notice"))
        room = None if command.room is None else self._room(command.room)
        place = CONTACTS if room is None else room.room_id
        self.book.check(place, turn.mesh_ms)
        left = self._contacts() if room is None else ()
        under = None if room is None else room.sending(turn)
        own = Own(turn.new_id(), place, turn.mesh_ms, command.text, number, data, left)
        self.book.save(turn, own)
        self._log(turn, self.state.me.account, own.payload(), room)
        told = len(left)
        if room is not None and under is not None:
            told = len(room.log.roster.members) - 1
            room.resend(turn, under, own.payload())
        else:
            self._spread(turn, own)
        return {"id": ids.text(own.mid), "ts_ms": own.ts_ms, "recipients": told}

    def _room(self, name: str) -> Room:
        """Return a room that we may announce in; raises Refused."""
        room = self.state.rooms.find_group(name)
        room.check_in()
        if (room.role_of(self.state.me.account) or Role.MEMBER) < Role.ADMIN:
            raise Refused("forbidden", "only admins and the creator announce in a room", field="room")
        person = self.state.people.kept_from(room.log.roster.members)
        if person is not None:
            raise trust.refusal(person, "room")
        return room

    def _contacts(self) -> tuple[bytes, ...]:
        every = (person.account for person in self.state.people.contacts())
        return tuple(account for account in every if self._wants(account))

    def _wants(self, account: bytes) -> bool:
        """Say whether a contact is told what we announce: neither of the two has blocked the other."""
        return self.state.hears(account) and not self.state.people.by_account[account].blocked_by

    @property
    def deadline(self) -> float | None:
        """When the next contacts are sent what is announced."""
        return self._next if self.book.unsent else None

    def due(self, turn: Turn) -> None:
        """Send on to the next contacts what not all have been sent."""
        if self.book.unsent and turn.now.mono >= self._next:
            self._spread(turn, self.book.own[next(iter(self.book.unsent))])

    def _spread(self, turn: Turn, own: Own) -> None:
        dms = self.state.dms
        for account in own.left[:AT_ONCE]:
            waiting = 0 if dms.sending(account) else len(dms.queue.get(account, ()))
            if self._wants(account) and waiting < MAX_QUEUED and not dms.send(turn, account, own.payload()):
                self.state.reach(turn, account)
        self.book.save(turn, replace(own, left=own.left[AT_ONCE:]))
        self._next = turn.now.mono + BETWEEN

    # -- in ---------------------------------------------------------------------------------------

    def in_room(self, turn: Turn, room: Room, account: bytes, payload: Payload) -> None:
        """A member announces something: nothing unless it is an admin as far as we know."""
        if (room.role_of(account) or Role.MEMBER) >= Role.ADMIN and not self.state.is_hidden(account):
            self.state.people.meet(turn, account, room.log.roster.members[account].name)
            self._take(turn, account, payload, room)

    def in_direct(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Somebody announces something to their contacts: nothing unless they are one of ours."""
        if self.state.hears(account):
            self._take(turn, account, payload, None)

    def _take(self, turn: Turn, account: bytes, payload: Payload, room: Room | None) -> None:
        if payload.type is not Type.ANNOUNCEMENT or options.read(payload.body[2]) is None:
            return
        place = CONTACTS if room is None else room.room_id
        shown = structs.replace(payload, ts_ms=shown_ms(payload.ts_ms, turn.mesh_ms))
        if self.book.take(turn, place, account, payload.mid, shown.ts_ms):
            self._log(turn, account, shown, room)

    def _log(self, turn: Turn, account: bytes, payload: Payload, room: Room | None) -> None:
        text, number, data = payload.body
        people = self.state.people
        turn.log(
            events.Announcement(
                id=ids.text(payload.mid),
                room=None if room is None else room.uuid,
                username=people.username(account),
                user_id=people.user_id(account),
                kind=KINDS.get(number, "notice"),
                text=text,
                data=options.read(data) or {},
                timestamp=payload.ts_ms // 1000,
                ts_ms=payload.ts_ms,
                mine=account == self.state.me.account,
            )
        )

"""How far the owner has read, and what is muted: moved here, shown to all frontends (docs/bridge.md 2).

A read position is a number of the event log and never moves back. What stands after it is counted in the
store, for the messages themselves are there and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from msgspec import UNSET

from node import ids
from node.bridge.ports import CommandReceived
from node.chat import commands as c, events
from node.chat.direct import Direct
from node.chat.messages import UNREADABLE, stored_message
from node.chat.room import Room
from node.chat.turn import Turn
from node.engine.effects import AfterFetched
from node.engine.receipts import number_of
from node.engine.state import State
from node.errors import Refused

MAX_AFTER = 1_000
"""Messages after a read position that are counted; where there are more, the count waits for the next."""
MAX_WAITING = 256
"""Commands that wait for the store; a frontend that asks faster than it answers is refused."""


@dataclass(frozen=True)
class _Waiting:
    """A `message_read`, or `room_read` up to a message, that the store is asked for."""

    session: int
    command: c.MessageRead | c.RoomRead


class ReadingDesk:
    """Moves read positions and mutes."""

    def __init__(self, state: State) -> None:
        self.state = state
        state.changing.gone.append(self.gone)
        self._waiting: dict[tuple[bytes, bytes], list[_Waiting]] = {}

    def read_all(self, turn: Turn, room: Room | Direct) -> None:
        """Everything in a conversation was read."""
        last = list(room.timeline.known)[-1:]
        self._move(turn, room, turn.seq, 0, last[0] if last else None)
        room.marks.read_all(turn)
        room.save(turn)

    def read_to(
        self, session: int, room: Room | Direct, mid: bytes, command: c.MessageRead | c.RoomRead
    ) -> bool:
        """Note a command that goes up to a message; says whether the store is to be asked now."""
        if sum(map(len, self._waiting.values())) >= MAX_WAITING:
            raise Refused("too_many", "too much is being read at once", retryable=True)
        waiting = self._waiting.setdefault((room.room_id, mid), [])
        waiting.append(_Waiting(session, command))
        return len(waiting) == 1

    def all(self) -> list[CommandReceived]:
        """Return the commands that wait."""
        return [
            CommandReceived(one.session, one.command) for waiting in self._waiting.values() for one in waiting
        ]

    def fetched(self, turn: Turn, found: AfterFetched) -> None:
        """The store has said where a message stands and what comes after it."""
        waiting = self._waiting.pop((found.room, found.mid), [])
        where = self.state.rooms.by_id(found.room)
        event = stored_message(found.body)
        if where is None or event is None:
            for one in waiting:
                fault = Refused("message_not_found", "this room has no such message", field="id")
                turn.reply(one.session, events.error_of(fault, one.command.req))
            return
        self._read(turn, where, event, found)
        for one in waiting:
            fields: dict[str, object] = {"room": one.command.room, "unread": where.unread}
            if isinstance(one.command, c.MessageRead):
                fields["id"] = one.command.id
            turn.reply(one.session, events.Ok(req=one.command.req, fields=fields))

    def _read(self, turn: Turn, room: Room | Direct, event: events.UserMessage, found: AfterFetched) -> None:
        seq = number_of(event)
        if seq <= self.state.readings.of(room.room_id).seq:
            return
        later = [message for body in found.after if (message := stored_message(body)) is not None]
        theirs = [one for one in later if counts(one)]
        unread = room.unread if found.more else min(room.unread, len(theirs))
        self._move(turn, room, seq, unread, found.mid)
        writers = {one.user_id for one in theirs}
        ids_of = {account: self.state.people.user_id(account) for account in room.marks.of}
        after = {account for account, user_id in ids_of.items() if user_id in writers or found.more}
        author = next((account for account, user_id in ids_of.items() if user_id == event.user_id), b"")
        room.marks.read_up_to(turn, author, found.mid, after)
        room.save(turn)

    def _move(self, turn: Turn, room: Room | Direct, seq: int, unread: int, mid: bytes | None) -> None:
        moved = unread != room.unread
        room.unread = unread
        reading = self.state.readings.of(room.room_id)
        if seq <= reading.seq or not (moved or unread):
            return
        self.state.readings.save(turn, replace(reading, seq=seq))
        read_to = UNSET if mid is None else ids.text(mid)
        name = ids.text(room.room_id)
        turn.log(events.RoomUpdated(room=name, name=room.name, unread=unread, read_to=read_to))

    def gone(self, turn: Turn, room_id: bytes, message: events.UserMessage) -> None:
        """A message's words were erased: if it had not been read it is unread no more."""
        room = self.state.rooms.by_id(room_id)
        unread = counts(message) and number_of(message) > self.state.readings.of(room_id).seq
        if room is not None and unread and room.unread:
            room.unread -= 1
            room.save(turn)

    # -- mutes ------------------------------------------------------------------------------------

    def mute(self, turn: Turn, room_id: bytes, until: int | None) -> None:
        """Mute a conversation until then, or hear of it again if None; shown if that is a change."""
        reading = self.state.readings.of(room_id)
        if reading.muted == until:
            return
        self.state.readings.save(turn, replace(reading, muted=until))
        told = self.state.readings.mute_of(room_id)
        turn.log(
            events.RoomUpdated(
                room=ids.text(room_id),
                muted=bool(told["muted"]),
                muted_until=told["muted_until"],
            )
        )

    def due(self, turn: Turn) -> None:
        """End the mutes whose time is over."""
        for reading in self.state.readings.over(turn.now.mono):
            self.mute(turn, reading.room_id, None)


def counts(message: events.UserMessage) -> bool:
    """Say whether a message counts as unread: somebody else's, and not from before we came in."""
    shown = message.kind != UNREADABLE and message.deleted is not True
    return shown and not message.mine and message.history is not True

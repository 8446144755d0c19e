"""How far the owner has read, and what is muted: moved here, shown to all frontends (docs/bridge.md 2).

A read position is a number of the event log and never moves back. What stands after it is counted in the
store, for the messages themselves are there and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, takewhile

from msgspec import UNSET

from node import ids
from node.bridge.ports import CommandReceived
from node.chat import commands as c, events
from node.chat.direct import Direct
from node.chat.messages import UNREADABLE, stored_message
from node.chat.room import Room
from node.chat.timeline import PAST, Timeline
from node.chat.turn import Turn
from node.engine.effects import AfterFetched
from node.engine.receipts import number_of
from node.engine.state import State
from node.errors import Refused

MAX_AFTER = 1_000
"""Messages after a read position that are counted; where there are more, the count waits for the next."""
MAX_WAITING = 256
"""Commands that wait for the store; a frontend that asks faster than it answers is refused."""


class ReadingDesk:
    """Moves read positions and mutes."""

    def __init__(self, state: State) -> None:
        self.state = state
        state.changing.gone.append(self.gone)
        self._waiting: dict[tuple[bytes, bytes], list[CommandReceived]] = {}
        """`message_read`, and `room_read` up to a message, that the store is asked for."""
        self._asked_at: dict[tuple[bytes, bytes], bytes | None] = {}
        """The newest message that was known when the store was asked."""

    def read_all(self, turn: Turn, room: Room | Direct) -> None:
        """Everything in a conversation was read."""
        self._move(turn, room, turn.seq, 0, self._newest(room.timeline))
        room.marks.read_all(turn)
        room.save(turn)

    def _newest(self, line: Timeline) -> bytes | None:
        """Return the newest message that was shown, if it is known."""
        hides = self.state.people.hides
        heads = (mid for mid in reversed(line.frontier) if not hides(line.known.get(mid, b"")))
        others = (mid for mid, by in reversed(line.known.items()) if by not in {b"", PAST} and not hides(by))
        return next(chain(heads, others), None)

    def read_to(self, room: Room | Direct, mid: bytes, received: CommandReceived) -> bool:
        """Note a command that goes up to a message; says whether the store is to be asked now."""
        if len(self.waiting()) >= MAX_WAITING:
            raise Refused("too_many", "too much is being read at once", retryable=True)
        waiting = self._waiting.setdefault((room.room_id, mid), [])
        waiting.append(received)
        if len(waiting) == 1:
            self._asked_at[room.room_id, mid] = next(reversed(room.timeline.known), None)
        return len(waiting) == 1

    def waiting(self) -> list[CommandReceived]:
        """Return every command that waits for the store."""
        return [one for those in self._waiting.values() for one in those]

    def fetched(
        self, turn: Turn, found: AfterFetched
    ) -> list[tuple[CommandReceived, dict[str, object] | Refused]]:
        """The store has said where a message stands and what comes after it; returns what to answer whom."""
        waiting = self._waiting.pop((found.room, found.mid), [])
        last = self._asked_at.pop((found.room, found.mid), None)
        where = self.state.rooms.by_id(found.room)
        event = stored_message(found.body)
        if where is None or event is None:
            fault = Refused("message_not_found", "this room has no such message", field="id")
            return [(one, fault) for one in waiting]
        self._read(turn, where, event, found, self._since(where, last))
        return [(one, self._answer(one.command, where)) for one in waiting]

    def _answer(self, command: c.Command, room: Room | Direct) -> dict[str, object]:
        assert isinstance(command, c.MessageRead | c.RoomRead)
        fields: dict[str, object] = {"room": command.room, "unread": room.unread}
        return {**fields, "id": command.id} if isinstance(command, c.MessageRead) else fields

    def _since(self, room: Room | Direct, last: bytes | None) -> list[bytes]:
        """Return who else has said something that was shown since the store was asked, once a message."""
        came = takewhile(lambda known: known[0] != last, reversed(room.timeline.known.items()))
        nobody, hides = {b"", PAST, self.state.me.account}, self.state.people.hides
        return [account for _, account in came if account not in nobody and not hides(account)]

    def _read(
        self,
        turn: Turn,
        room: Room | Direct,
        event: events.UserMessage,
        found: AfterFetched,
        came: list[bytes],
    ) -> None:
        later = [message for body in found.after if (message := stored_message(body)) is not None]
        seq = _place(event, later)
        if seq <= self.state.readings.of(room.room_id).seq:
            return
        theirs = [one for one in later if counts(one)]
        unread = room.unread if found.more else min(room.unread, len(theirs) + len(came))
        self._move(turn, room, seq, unread, found.mid)
        writers = {one.user_id for one in theirs}
        ids_of = {account: self.state.people.user_id(account) for account in room.marks.of}
        after = {account for account, user_id in ids_of.items() if user_id in writers or found.more}
        after.update(came)
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


def _place(event: events.UserMessage, later: list[events.UserMessage]) -> int:
    """Return up to which event everything was read: what came late stands before some with lower numbers."""
    numbers = [number for message in later if (number := number_of(message))]
    return min([number_of(event), *(number - 1 for number in numbers)])


def counts(message: events.UserMessage) -> bool:
    """Say whether a message counts as unread: somebody else's, and not from before we came in."""
    shown = message.kind != UNREADABLE and message.deleted is not True
    return shown and not message.mine and message.history is not True

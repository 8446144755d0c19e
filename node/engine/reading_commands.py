"""Commands about reading: read positions, mutes, which receipts are sent (docs/bridge.md section 2)."""

from __future__ import annotations

from dataclasses import replace

from node import ids
from node.chat import commands as c
from node.chat.reading import FOREVER
from node.chat.turn import Turn
from node.engine.desk import LATER, Answer, Desk
from node.engine.effects import FetchAfter
from node.engine.reading import MAX_AFTER
from node.errors import Refused
from node.tables import Table


def room_read(desk: Desk, turn: Turn, _session: int, command: c.RoomRead) -> Answer:
    """Mark a conversation as read, up to a message or whole."""
    if command.id is not None:
        return _up_to(desk, command.room, command.id)
    room = desk.state.rooms.find(command.room)
    desk.inbox.reading.read_all(turn, room)
    return {"room": command.room, "unread": 0}


def message_read(desk: Desk, _turn: Turn, _session: int, command: c.MessageRead) -> Answer:
    """Mark a conversation as read up to a message; the position never moves back."""
    return _up_to(desk, command.room, command.id)


def _up_to(desk: Desk, name: str, message: str) -> Answer:
    room = desk.state.rooms.find(name)
    mid = message_id(message)
    desk.answer_later()
    if desk.inbox.reading.read_to(room, mid, desk.doing):
        desk.after.append(FetchAfter(room.room_id, mid, MAX_AFTER))
    return LATER


def message_id(text: str) -> bytes:
    """Return the 16 bytes of a message's id; raises Refused `invalid`."""
    try:
        return ids.parse(text)
    except ValueError:
        raise Refused("invalid", "a message is named by its UUID", field="id") from None


def room_mute(desk: Desk, turn: Turn, _session: int, command: c.RoomMute) -> Answer:
    """Mute a conversation, or hear of it again."""
    room = desk.state.rooms.find(command.room)
    if command.muted is False:
        if command.until is not None:
            raise Refused("invalid", "what is not muted has no `until`", field="until")
        until = None
    elif command.until is not None and command.until * 1000 <= turn.now.wall_ms:
        raise Refused("invalid", "`until` is in the past, in UNIX seconds", field="until")
    else:
        until = FOREVER if command.until is None else command.until
    desk.inbox.reading.mute(turn, room.room_id, until)
    return {"room": command.room, **desk.state.readings.mute_of(room.room_id)}


def receipts_get(desk: Desk, _turn: Turn, _session: int, _command: c.ReceiptsGet) -> Answer:
    """Say which receipts are sent."""
    return _receipting(desk)


def receipts_set(desk: Desk, turn: Turn, _session: int, command: c.ReceiptsSet) -> Answer:
    """Choose which receipts are sent from now on."""
    people = desk.state.people
    chosen = people.receipting
    if command.read is not None:
        chosen = replace(chosen, read=command.read)
    if command.strangers is not None:
        chosen = replace(chosen, strangers=command.strangers)
    people.receipting = chosen
    turn.put(Table.SETTINGS, b"receipts", chosen)
    return _receipting(desk)


def _receipting(desk: Desk) -> dict[str, bool]:
    chosen = desk.state.people.receipting
    return {"read": chosen.read, "strangers": chosen.strangers}

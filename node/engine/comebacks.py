"""After a restore: telling everybody that we are at this device, and taking note that somebody else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.chat.backup import RESTORED
from node.chat.room import SMALL, Room
from node.chat.turn import Turn, unpack_row
from node.engine.state import State
from node.tables import Table

if TYPE_CHECKING:
    from node.engine.desk import Desk


def start(state: State, turn: Turn, restored: bytes | None) -> None:
    """Tell contacts, and the device of before, once: the row that says so goes with the same commit."""
    if restored is not None:
        state.contacts.come_back(turn, unpack_row(restored, bytes))
        turn.delete(Table.SETTINGS, RESTORED)


def look(state: State, turn: Turn, room: Room) -> None:
    """A room changed: see whether it has us at another device, or somebody came back to it."""
    own = room.log.roster.members.get(state.me.account)
    if own is not None and own.device_id != state.me.device_id:
        state.me.judge(turn, own.device_list)
    state.returning.look(room, turn.now.mono, turn.entropy)


def due(desk: Desk, turn: Turn) -> None:
    """Come back to the rooms where it is time, and introduce ourselves there; join the branches of others."""
    state = desk.state
    for room in state.returning.due(turn, state.rooms.rooms()):
        if len(room.log.roster.members) <= SMALL:
            desk.inbox.introduce_later(turn, room.room_id)

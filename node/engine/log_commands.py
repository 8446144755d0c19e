"""Commands about the event log and what lies behind it: consumers, search (docs/bridge.md 2 and 3)."""

from __future__ import annotations

from node import ids
from node.bridge.ports import ReadSearch
from node.chat import commands as c
from node.chat.finding import fold
from node.chat.turn import Turn
from node.engine import sessions
from node.engine.desk import LATER, Answer, Desk
from node.errors import Refused
from node.tables import Table

DEFAULT_FOUND = 50


def ack(desk: Desk, turn: Turn, session: int, command: c.Ack) -> Answer:
    """Move the cursor of this session's consumer."""
    started = desk.state.sessions.get(session)
    consumer = None if started is None else started.consumer
    if consumer is None:
        raise Refused("invalid", "say hello with `consumer` first", field="seq")
    if consumer not in desk.state.consumers:
        raise Refused("consumer_not_found", "this consumer was removed meanwhile", field="seq")
    if command.seq > turn.seq:
        raise Refused("invalid", "this seq has not been given out yet", field="seq")
    return {"seq": sessions.move(desk, turn, consumer, command.seq)}


def consumer_list(desk: Desk, turn: Turn, _session: int, _command: c.ConsumerList) -> Answer:
    """List the consumers, how many events each is behind, and when it was last here."""
    state = desk.state
    here = {started.consumer for started in state.sessions.values()}
    rows = [
        {
            "name": name,
            "seq": consumer.seq,
            "behind": turn.seq - consumer.seq,
            "last_seen": (turn.now.wall_ms if name in here else consumer.seen_ms) // 1000,
        }
        for name, consumer in state.consumers.items()
    ]
    return {"consumers": rows}


def consumer_remove(desk: Desk, turn: Turn, _session: int, command: c.ConsumerRemove) -> Answer:
    """Forget a consumer; one that is attached goes on, and its next `ack` is refused."""
    if desk.state.consumers.pop(command.name, None) is None:
        raise Refused("consumer_not_found", "no consumer is called so", field="name")
    turn.delete(Table.CONSUMERS, command.name.encode())
    return {"name": command.name}


def search(desk: Desk, _turn: Turn, session: int, command: c.Search) -> Answer:
    """Let the store look for a text, in one conversation or in all."""
    if not fold(command.text).strip():
        raise Refused("invalid", "there is nothing in this text to be found", field="text")
    rooms = desk.state.rooms
    everywhere = (*rooms.inboxes, *rooms.direct)
    room = None if command.room is None else _id(command.room, "room")
    if room is not None and room not in everywhere:
        raise Refused("room_not_found", "you are in no room with this id", field="room")
    before = None
    if command.before is not None:
        before = _id(command.before, "before"), (everywhere if room is None else (room,))
    limit = command.limit or DEFAULT_FOUND
    order = ReadSearch(session, command.req, command.text, room, before, limit, desk.nonced(command))
    desk.after.append(order)
    return LATER


def _id(text: str, field: str) -> bytes:
    try:
        return ids.parse(text)
    except ValueError as exc:
        raise Refused("invalid", "this is no id", field=field) from exc

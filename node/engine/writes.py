"""What a turn writes: rows, messages and the event log, as the store takes them."""

from __future__ import annotations

from typing import Any

from node.chat import events
from node.chat.turn import Logged, Placed, Turn
from node.store.records import (
    AppendEvent,
    Delete,
    DropMessage,
    Put,
    PutMessage,
    Write,
    unsaid,
)


def logged(out: Logged, turn: Turn) -> list[Write]:
    """Return what puts an event into the log: its JSON, or the message that it is and a pointer to it."""
    event: Any = out.event
    body = events.encode_json(event)
    if out.message is None:
        said = body if out.about is None else unsaid(body)
        return [AppendEvent(event.seq, turn.now.wall_ms, said, out.about)]
    place = event.seq if out.place is None else out.place
    return [
        PutMessage(*out.message, place, body + out.line),
        AppendEvent(event.seq, turn.now.wall_ms, None, out.message),
    ]


def rows(turn: Turn) -> list[Write]:
    """Return the rows that a turn puts and deletes."""
    return [
        Delete(table, key) if value is None else Put(table, key, value)
        for (table, key), value in turn.rows.items()
    ]


def placed(what: Placed) -> Write:
    """Return what puts a message into its place in a history, or takes it out."""
    if what.event is None:
        return DropMessage(what.room, what.mid)
    body = events.encode_json(what.event) + what.line
    return PutMessage(what.room, what.mid, what.seq, body, what.edit)


def is_going(out: Any) -> bool:
    """Say whether somebody left a room or was removed: time for a shred round."""
    return isinstance(out, Logged) and isinstance(out.event, events.UserLeave)

"""What a turn writes, as the store takes it: rows, messages, the event log; and who is shown its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from node.bridge.ports import Deliver
from node.chat import events
from node.chat.turn import Logged, Placed, Reply, Told, Turn
from node.engine.effects import Effect
from node.store.records import (
    AppendEvent,
    Delete,
    DropMessage,
    Put,
    PutMessage,
    Write,
    unsaid,
)


def logged(out: Logged, turn: Turn, body: bytes) -> list[Write]:
    """Return what puts an event into the log: its JSON, or the message that it is and a pointer to it."""
    event: Any = out.event
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


def outputs(turn: Turn, sessions: Iterable[int], writes: list[Write]) -> list[Effect]:
    """Write the events that are logged, and address every event to its sessions."""
    delivered: list[Effect] = []
    for out in turn.out + turn.accusations:
        match out:
            case Logged(event):
                body = events.encode_json(event)
                writes += logged(out, turn, body)
                delivered += [Deliver(session, event, body) for session in sessions]
            case Told(event):
                delivered += [Deliver(session, event) for session in sessions]
            case Reply(session, event):
                delivered.append(Deliver(session, event))
    return delivered


def is_going(out: Any) -> bool:
    """Say whether somebody left a room or was removed: time for a shred round."""
    return isinstance(out, Logged) and isinstance(out.event, events.UserLeave)

"""How one shown message is told to frontends: seed 000's keys and what we add (docs/bridge.md section 2)."""

from __future__ import annotations

from typing import Final

import msgspec

from node import ids
from node.chat import events
from node.chat.people import People
from node.chat.timeline import Item

UNREADABLE: Final = "unreadable"
"""The kind of a placeholder: ours to give, so that nobody's words pass for something that is missing."""


def stored_message(body: bytes | None) -> events.UserMessage | None:
    """Return a message as a room's history has it, None if it is none."""
    try:
        event = None if body is None else events.decode_json(body)
    except msgspec.DecodeError:
        return None
    return event if isinstance(event, events.UserMessage) else None


def message_event(
    people: People, room_id: bytes, item: Item, *, mine: bool, nonce: str | None = None, history: bool = False
) -> events.UserMessage:
    """Return the event of one message; `timestamp` is whole UNIX seconds, as the seed has it."""
    return events.UserMessage(
        username=people.username(item.account),
        timestamp=item.ts_ms // 1000,
        message=item.text,
        room=ids.text(room_id),
        id=ids.text(item.mid),
        user_id=people.user_id(item.account),
        kind="text" if item.kind == UNREADABLE else item.kind,
        reply_to=None if item.reply_to is None else ids.text(item.reply_to),
        nonce=nonce,
        mine=mine,
        ts_ms=item.ts_ms,
        gap=item.gap,
        history=True if history else msgspec.UNSET,
    )


def placeholder_event(
    room_id: bytes,
    placeholder: bytes,
    since_ms: int,
    *,
    why: str,
    missing: int,
    author: tuple[str, str] = ("", ""),
) -> events.UserMessage:
    """Return the event of a placeholder for `missing` messages; `author` is (username, user_id), if known."""
    return events.UserMessage(
        username=author[0],
        timestamp=since_ms // 1000,
        message="",
        room=ids.text(room_id),
        id=ids.text(placeholder),
        user_id=author[1],
        kind=UNREADABLE,
        ts_ms=since_ms,
        gap=True,
        why=why,
        missing=missing,
    )


def healed_event(event: events.MessageHealed, plain: events.UserMessage) -> events.MessageHealed:
    """Return the event of a placeholder filled, with what the message's own event says of it."""
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
    kept = {name: value for name, value in fields.items() if name in event.__struct_fields__}
    del kept["seq"], kept["missing"]
    healed: events.MessageHealed = msgspec.structs.replace(event, **kept)
    return healed

"""How one shown message is told to frontends: seed 000's keys and what we add (docs/bridge.md section 2)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec
from msgspec import UNSET

from node import ids
from node.chat import changes, events, file_names
from node.chat.people import People
from node.chat.timeline import Item
from node.errors import Refused
from node.wire.payload import Words

UNREADABLE: Final = "unreadable"
"""The kind of a placeholder: ours to give, so that nobody's words pass for something that is missing."""
MEDIA: Final = frozenset({"gif", "image", "audio"})
"""Kinds of messages that may be the address of what is to be shown."""


def stored_message(body: bytes | None) -> events.UserMessage | None:
    """Return a message as a room's history has it, None if it is none."""
    message = changes.read(body)
    return None if message is None else message.event


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
        attachment=None if item.attachment is None else attachment_shown(item.attachment),
        reply_to=None if item.reply_to is None else ids.text(item.reply_to),
        nonce=nonce,
        mine=mine,
        ts_ms=item.ts_ms,
        gap=item.gap,
        history=True if history else UNSET,
        mentions=changes.shown_mentions(people, item.mentions),
        mentioned=True if people.own in item.mentions else UNSET,
        ttl=UNSET if item.ttl_s is None else item.ttl_s,
        remote=True if _is_remote(item) else UNSET,
        expires_ms=UNSET if item.ttl_s is None else item.ts_ms + item.ttl_s * 1000,
    )


def _is_remote(item: Item) -> bool:
    """Say whether a picture or sound is elsewhere: its address is text, and nobody's node fetches it."""
    return item.kind in MEDIA and item.attachment is None and item.text.startswith(("https://", "http://"))


def attachment_shown(packed: bytes) -> Any:
    """Return what a frontend, and the store, have of an attachment; `attachment_packed` undoes it."""
    return file_names.shown(packed)


def attachment_packed(shown: Any) -> bytes | None:
    """Return the manifest of an attachment as it was shown, None if there is none."""
    if not isinstance(shown, dict):
        return None
    try:
        return base64.b64decode(shown["manifest"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        return None


def words_of(people: People, event: events.UserMessage) -> Words:
    """Return what a message of the history says, as it is sent again."""
    accounts = []
    for mention in event.mentions or ():
        try:
            accounts.append(people.find(mention.user_id))
        except Refused:
            continue
    return Words(
        event.message,
        event.kind,
        None if event.reply_to is None else ids.parse(event.reply_to),
        event.ttl or None,
        tuple(accounts),
        attachment_packed(event.attachment),
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

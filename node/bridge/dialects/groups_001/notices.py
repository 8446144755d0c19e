"""What the groups protocol has no word for: a line in the group, with a prefix that does not change.

Presence, receipts, read positions and notifications become no lines: nobody would want them there.
"""

from __future__ import annotations

from typing import Any, Final

from node.bridge.dialects.adapter import Frame, Talk
from node.bridge.dialects.groups_001 import shapes
from node.bridge.dialects.groups_001.memory import Memory
from node.chat import events
from node.chat.events import Event

CONTACTS: Final[dict[type[Event], tuple[str, str]]] = {
    events.ContactRequested: ("contact request", "asks to be a contact"),
    events.ContactRequestCancelled: ("contact request", "asks to be a contact no more"),
    events.ContactAdded: ("contact", "is a contact now"),
    events.ContactRejected: ("contact", "does not want to be a contact"),
    events.ContactRemoved: ("contact", "is no contact any more"),
    events.KeyChanged: ("key changed", "has other keys: verify them before you go on"),
}
"""The prefix, and what is said of whom."""


def line(
    memory: Memory,
    prefix: str,
    text: str,
    *,
    room: str | None = None,
    who: tuple[str, str] = ("", ""),
    about: str | None = None,
    ident: str | None = None,
    **more: Any,
) -> Frame:
    """Return a line that says what happened; `who` is a user_id and a name, `about` the message it is of."""
    words = f"[{prefix}] {text}".rstrip()
    now = memory.now_ms
    data = {
        "id": ident or f"notice-{memory.count()}-{now}",
        "messageId": about,
        **shapes.place(room),
        "kind": shapes.NOTICE,
        "notice": prefix,
        **shapes.said(words),
        **shapes.author(memory, *who),
        **shapes.moment(now),
        **more,
    }
    return Frame(shapes.RETURN + "TEXT", (data,))


def of(memory: Memory, event: Event) -> Talk[None]:
    """Tell of an event that has no frame of its own, if it becomes a line."""
    match event:
        case events.Reaction():
            text = event.emoji if event.on else f"{event.emoji} taken back"
            yield _by(memory, event, "reaction", text, emoji=event.emoji, on=event.on)
        case events.MessageStatus(status="failed"):
            why = f": {event.why}" if event.why else ""
            to = f" to {event.by}" if event.by else ""
            room = event.room if isinstance(event.room, str) else None
            yield line(memory, "failed", f"not delivered{to}{why}", room=room, about=event.id)
        case events.Announcement():
            prefix = "tournament" if event.kind == "tournament" else "announcement"
            who = (event.user_id, event.username)
            yield line(memory, prefix, event.text, room=event.room, who=who, ident=event.id, data=event.data)
        case events.Warning():
            yield line(memory, "warning", event.message, code=event.code)
        case _ if (told := CONTACTS.get(type(event))) is not None:
            yield _contact(memory, event, *told)
        case _:
            pass


def room_updated(memory: Memory, event: events.RoomUpdated, renamed: bool) -> Talk[None]:
    """Tell of a group's new name or topic, and of who may do what now."""
    if renamed:
        yield line(memory, "renamed", str(event.name), room=event.room, name=event.name)
    if isinstance(event.topic, str):
        yield line(memory, "topic", event.topic, room=event.room, topic=event.topic)
    if isinstance(event.role, str):
        who = (str(event.user_id), str(event.username))
        yield line(memory, "role", f"{event.username} is {event.role}", room=event.room, who=who)


def edited(memory: Memory, event: events.MessageEdited) -> Frame:
    """Return the message once more, with other words."""
    data = {
        "id": event.id,
        "messageId": event.id,
        **shapes.place(event.room),
        "kind": "text",
        **shapes.said(shapes.EDITED + event.message),
        **shapes.author(memory, event.user_id, event.username),
        **shapes.moment(event.edited_ms),
        "edited": True,
        "deleted": False,
    }
    return Frame(shapes.RETURN + "TEXT", (data,))


def deleted(memory: Memory, event: events.MessageDeleted) -> Frame:
    """Return the message once more, without its words; whose it was is not said, but who took it away."""
    who = (event.user_id or "", event.username or "")
    data = {
        "id": event.id,
        "messageId": event.id,
        **shapes.place(event.room),
        "kind": "text",
        **shapes.said(shapes.DELETED),
        **shapes.author(memory, *who),
        **shapes.moment(memory.now_ms),
        "edited": False,
        "deleted": True,
        "reason": event.reason,
    }
    return Frame(shapes.RETURN + "TEXT", (data,))


def _by(memory: Memory, event: events.Reaction, prefix: str, text: str, **more: Any) -> Frame:
    who = (event.user_id, event.username)
    return line(memory, prefix, text, room=event.room, who=who, about=event.id, **more)


def _contact(memory: Memory, event: Any, prefix: str, what: str) -> Frame:
    said = getattr(event, "message", None)
    text = f"{event.username} {what}" + (f": {said}" if said else "")
    return line(memory, prefix, text, who=(event.user_id, event.username))

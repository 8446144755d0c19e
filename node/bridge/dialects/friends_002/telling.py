"""How the friends protocol is told things: a message's object, and words for what it has no event for.

A frontend is told in the form in which it speaks: positional arguments, or one object with their names.
What has no event of its own is a message that begins with a word in brackets (docs/dialects/friends_002.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from node.chat import events

TOLD: Final[dict[str, tuple[str, ...]]] = {
    "user connect": ("username",),
    "join room": ("chat_id", "username", "name"),
    "set status": ("status", "friends"),
    "new friend request": ("other_username", "message"),
    "cancel friend request": ("other_username",),
    "accept friend request": ("other_username",),
    "reject friend request": ("other_username",),
    "unfriend": ("other_username",),
    "delete message": ("message_id", "chat_id"),
    "read message": ("message_id", "username", "chat_id"),
}
"""The arguments of what is told, in their places; what a frontend does not know comes after what it does."""
NODE: Final = "[node]"
"""Who says what nobody says, and where: no username has a bracket."""
LAST_MS: Final = 253_402_300_799_999
"""The last moment of the year 9999."""
FILES: Final = {"image", "audio", "gif"}


def arguments(name: str, fields: dict[str, Any], *, one: bool) -> tuple[Any, ...]:
    """Return what an event is told with: one object, or the values in their places."""
    if one:
        return ({key: value for key, value in fields.items() if value is not None},)
    values = [fields.get(key) for key in TOLD[name]]
    while values and values[-1] is None:
        values.pop()
    return tuple(values)


def iso(ts_ms: int | None) -> str | None:
    """Return a time as ISO 8601 writes it, in UTC with milliseconds."""
    if ts_ms is None or not 0 <= ts_ms <= LAST_MS:
        return None
    second = datetime.fromtimestamp(ts_ms // 1000, UTC).isoformat()[:19]
    return f"{second}.{ts_ms % 1000:03}Z"


def message(
    ident: str,
    content: str,
    *,
    chat: str,
    room: str | None,
    sender: str,
    ts_ms: int | None,
    mine: bool,
    status: str,
    kind: str = "text",
    edited: bool = False,
    deleted: bool = False,
) -> dict[str, Any]:
    """Return a message as the protocol's object; the last five keys are ours."""
    return {
        "id": ident,
        "_id": ident,
        "message_id": ident,
        "chat_id": chat,
        "content": content,
        "text": content,
        "sender": sender,
        "username": sender,
        "created_at": iso(ts_ms),
        "edited": edited,
        "deleted": deleted,
        "status": status,
        "room": room,
        "kind": kind,
        "self": mine,
    }


def marks(event: events.UserMessage) -> dict[str, Any]:
    """Return what is to be known besides of some messages."""
    told: dict[str, Any] = {"history": True} if event.history is True else {}
    if event.mentioned is True:
        told["mentioned"] = True
    if isinstance(event.expires_ms, int):
        told["expires_at"] = iso(event.expires_ms)
    return told


def words(event: events.UserMessage, base: str) -> str:
    """Return all that a message says as a text."""
    if event.kind == "unreadable":
        return unreadable(event.missing if isinstance(event.missing, int) else 1)
    if not isinstance(event.attachment, dict):
        return event.message
    line = file(event.attachment, event.kind, base)
    return f"{event.message}\n{line}" if event.message else line


def unreadable(missing: int) -> str:
    """Say that messages are missing."""
    return f"[unreadable] {missing} message{'' if missing == 1 else 's'} cannot be read here yet"


def file(attachment: dict[str, Any], kind: str, base: str) -> str:
    """Say which file a message carries, and where it is."""
    url = attachment.get("url")
    where = f" {base}{url}" if isinstance(url, str) else ""
    return f"[{kind if kind in FILES else 'file'}] {attachment.get('name')}{where}"


def without_file(text: str, event: events.UserMessage) -> str:
    """Return what somebody says in a message, of words that were told of it: without the line of its file."""
    if not isinstance(event.attachment, dict):
        return text
    line = file({**event.attachment, "url": None}, event.kind, "")
    rest, _, last = text.rpartition("\n")
    return rest if last == line or last.startswith(f"{line} http") else text


def shown(presence: str, status: str | None) -> str:
    """Return how somebody is: `offline`, else their own words, else `online` or `away`."""
    return "offline" if presence == "offline" else status or presence

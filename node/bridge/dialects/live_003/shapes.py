"""How people, chats, messages and notices look in the dialect 003, over the socket and over HTTP alike.

What it has no word for is put into words that it has, with a prefix that stays the same: the list of them is
in docs/dialects/live_003.md. A chat is of two people there. A group stands in for a person: its `username` is
the room's UUID, its `nickname` the room's name, and what others say in it begins with who says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from node.chat import events

LIKE: Final = "👍"
"""The reaction that is a like there; the core's name for it is `like`."""
MAX_WORD = 200
"""Letters of a peer's own data (a tournament's name, its id) that are passed on."""
NEW_FRIEND: Final = "new_friend"
GAME_INVITE: Final = "game_invite"
NEW_TOURNAMENT: Final = "new_tournament"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_9999_MS: Final = 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation as this dialect needs it: `name` is the room's, or the other one's username."""

    chat_id: str
    name: str
    direct: bool

    @property
    def username(self) -> str:
        """The `username` that the chat has there."""
        return self.name if self.direct else self.chat_id


def chat_of(row: Mapping[str, Any]) -> Chat:
    """Return a chat by a row of `room_list`, or by what `room_get` and `dm_open` answer."""
    return Chat(row["room"], row["name"], row["visibility"] == "direct")


def iso(ms: int) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond; a time that no calendar has is the nearest."""
    moment = _EPOCH + timedelta(milliseconds=min(max(ms, 0), _YEAR_9999_MS))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def avatar_url(avatar: str | None, base: str) -> str:
    """Return the URL of a picture, empty if there is none: letters are no picture, remote ones not ours."""
    if avatar is None or avatar[:11].lower() == "data:image/":
        return avatar or ""
    is_id = len(avatar) == 36 and avatar.count("-") == 4 and avatar.isascii()
    return f"{base}/api/v1/attachments/{avatar}" if is_id else ""


def nickname_of(person: Mapping[str, Any]) -> str:
    """Return what a person calls themselves, else what they are called here."""
    return str(person.get("nickname") or person["username"])


def person(profile: Mapping[str, Any], base: str) -> dict[str, Any]:
    """Return the keys that name and show somebody: of `profile_get`, or of a row of a search."""
    return {
        "username": profile["username"],
        "nickname": nickname_of(profile),
        "avatar": avatar_url(profile.get("avatar"), base),
    }


def is_online(profile: Mapping[str, Any]) -> bool:
    """Say whether somebody is shown as online: `away` is offline there."""
    return bool(profile.get("presence") == "online")


# -- messages -------------------------------------------------------------------------------------


def content_of(message: events.UserMessage, chat: Chat, base: str) -> str:
    """Return the words of a message, and what the dialect cannot say of it before them."""
    author = "" if chat.direct or message.mine else f"{message.username}: "
    return author + _words(message, base)


def _words(message: events.UserMessage, base: str) -> str:
    if message.kind == "unreadable":
        count = message.missing if isinstance(message.missing, int) else 1
        return f"[unreadable] {count}"
    if message.deleted is True:
        return "[deleted]"
    flags = [
        ("[gap] ", message.gap),
        ("[edited] ", message.edited is True),
        ("[reply] ", message.reply_to is not None),
        ("[disappears] ", isinstance(message.ttl, int)),
    ]
    begin = "".join(prefix for prefix, on in flags if on)
    if isinstance(message.attachment, dict):
        return begin + " ".join(
            filter(None, (file_of(message.kind, message.attachment, base), message.message))
        )
    return begin + (f"[{message.kind}] " if message.kind != "text" else "") + message.message


def file_of(kind: str, attachment: Mapping[str, Any], base: str) -> str:
    """Return the line that stands for an attachment: its kind, its name, and where it is by now."""
    state, url = attachment.get("state"), attachment.get("url")
    where = f"{base}{url}" if isinstance(url, str) and url.startswith("/") else f"({state})"
    return f"[{'file' if kind == 'text' else kind}] {attachment.get('name')} {where}"


def message_item(
    message: events.UserMessage, chat: Chat, base: str, *, is_read: bool, liked: bool | None = None
) -> dict[str, Any]:
    """Return a message of a list; `liked` overrides what its reactions say."""
    return {
        "id": message.id,
        "content": content_of(message, chat, base),
        "date": iso(message.ts_ms),
        "sender": message.username,
        "is_read": is_read,
        "is_liked": is_liked(message) if liked is None else liked,
    }


def is_liked(message: events.UserMessage) -> bool:
    """Say whether anybody but its author likes a message."""
    for one in message.reactions if isinstance(message.reactions, list) else ():
        if one.emoji == LIKE:
            own = any(user.user_id == message.user_id for user in one.users)
            return one.count > int(own)
    return False


# -- notices --------------------------------------------------------------------------------------


def notice_of(kind: str, data: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the action that a notification is, and its data without `avatar`.

    It knows three: what is none of them is the nearest, with a prefix before the nickname or the name.
    """
    username, nickname = str(data.get("username") or ""), nickname_of({"username": "", **data})
    who = {"username": username, "nickname": nickname}
    match kind:
        case "invite":
            return GAME_INVITE, {
                **invite_data(data, username, nickname),
                "status": status_of(data.get("state")),
                "game_id": data.get("game_id"),
            }
        case "tournament":
            return NEW_TOURNAMENT, tournament(data, nickname)
        case "announcement":
            return NEW_TOURNAMENT, {**tournament({**data, "data": {}}, nickname, prefix="[announcement] ")}
        case "mention":
            return NEW_FRIEND, {**who, "nickname": f"[mention] {nickname}: {data.get('text') or ''}"}
        case _:
            asked = data.get("state") == "requested"
            return NEW_FRIEND, {**who, "nickname": ("[friend request] " if asked else "") + nickname}


def tournament(data: Mapping[str, Any], nickname: str, *, prefix: str = "") -> dict[str, Any]:
    """Return the data of `new_tournament`, of what its creator's frontend gave along, as far as it did."""
    given = data.get("data")
    given = given if isinstance(given, dict) else {}
    alias = _word(given, "alias") or _word(given, "creator") or nickname
    return {
        "tournament_id": _word(given, "tournament_id") or _word(given, "id") or str(data.get("announcement")),
        "tournament_name": prefix + (_word(given, "tournament_name") or str(data.get("text") or "")),
        "creator": alias,
        "alias": alias,
        "status": _word(given, "status") or "pending",
    }


def _word(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key)
    value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return value[:MAX_WORD] if isinstance(value, str) else ""


def invite_data(invite: Mapping[str, Any], username: str, nickname: str) -> dict[str, Any]:
    """Return who invites: to a game a person, to a room the room, as a group stands for a person there."""
    if invite.get("kind") == "game":
        return {"username": username, "nickname": nickname}
    name = f"[room {invite.get('room_name') or ''}] {nickname}"
    return {"username": str(invite.get("room") or ""), "nickname": name}


def status_of(state: object) -> str:
    """Return how an invite stands, in this dialect's four words."""
    match state:
        case "open" | "offered":
            return "pending"
        case "accept":
            return "accepted"
        case "decline":
            return "declined"
        case _:
            return "cancelled"


def notification_item(row: Mapping[str, Any], avatar: str = "") -> dict[str, Any]:
    """Return a notification of a list, by a row of `notification_list` and the picture of who caused it."""
    action, data = notice_of(row["kind"], row["data"])
    if action != NEW_TOURNAMENT:
        data = {**data, "avatar": avatar}
    return {
        "id": row["id"],
        "action": action,
        "data": data,
        "date": iso(row["date"] * 1000),
        "is_read": row["is_read"],
    }

"""The dialect 003 over HTTP: lists, profiles, and what is done to them (docs/dialects/live_003.md, "HTTP").

Each request is a talk of its own and nothing is kept between two. A path stands with and without a slash at
its end. Where a `username` is part of it a group's UUID does as well, as everywhere in this dialect.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from node import ids
from node.bridge.dialects.adapter import Ask, Reply, Setting, Talk, message_of
from node.bridge.dialects.live_003.http_pages import failed, flag, given, page, together, unknown, window
from node.bridge.dialects.live_003.shapes import (
    Chat,
    avatar_url,
    chat_of,
    is_online,
    message_item,
    notification_item,
    person,
)
from node.chat import commands as c, events
from node.chat.commands.base import MAX_HISTORY
from node.errors import Refused

Fields: TypeAlias = dict[str, Any]
Endpoint: TypeAlias = Callable[[Ask, Setting, str], Talk[Reply]]
_ESCAPED: Final = re.compile(rb"%([0-9a-fA-F]{2})")
ASKED: Final = frozenset({"requested", "pending"})
"""How somebody stands to us whom we have asked to be a contact."""


def answer(ask: Ask, setting: Setting) -> Talk[Reply]:
    """Answer one request."""
    try:
        endpoint, name = _found(ask)
        if isinstance(endpoint, Reply):
            return endpoint
        return (yield from endpoint(ask, setting, name))
    except Refused as fault:
        return failed(fault)


def _found(ask: Ask) -> tuple[Endpoint | Reply, str]:
    """Return what answers a method at a path, or the refusal, and the name that is part of the path."""
    parts = tuple(_decoded(part) for part in ask.path.strip("/").split("/"))
    for pattern, methods in ENDPOINTS.items():
        name = _name_in(parts, pattern)
        if name is None:
            continue
        endpoint = methods.get("GET" if ask.method == "HEAD" else ask.method)
        if endpoint is None:
            refused = failed(Refused("http_error", f"here there is {', '.join(methods)}"))
            return Reply(405, refused.body), name
        return endpoint, name
    refused = failed(Refused("http_error", "there is no such path"))
    return Reply(404, refused.body), ""


def _decoded(part: str) -> str:
    """Return one part of a path without the spelling that URLs have."""
    plain = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), part.encode("utf-8", "replace"))
    return plain.decode("utf-8", "replace")


def _name_in(parts: tuple[str, ...], pattern: tuple[str, ...]) -> str | None:
    """Return what stands in a path where the pattern has a name, empty if it has none; None: another path."""
    if len(parts) != len(pattern):
        return None
    pairs = list(zip(pattern, parts, strict=True))
    if any(one not in {"{}", part} for one, part in pairs):
        return None
    return next((part for one, part in pairs if one == "{}"), "")


# -- chats ----------------------------------------------------------------------------------------


def _chats(ask: Ask, setting: Setting, _name: str) -> Talk[Reply]:
    limit, offset = window(ask)
    rows = (yield c.RoomList(joined=True))["rooms"]
    rows.sort(key=lambda row: -(row["last_ms"] or 0))
    items = yield from _chat_items(rows[offset : offset + limit], setting)
    return page(items, len(rows))


def _chat_items(rows: list[Fields], setting: Setting) -> Talk[list[Fields]]:
    """Return the items of some rows of `room_list`, each with its newest message."""
    asked: list[c.Command] = []
    for row in rows:
        asked.append(c.LedgerGet(room=row["room"]))
        asked.append(c.ProfileGet(username=row["name"] if row["direct"] else None))
    found = yield from together(asked)
    items = []
    for row, ledger, profile in zip(rows, found[::2], found[1::2], strict=True):
        chat, last = chat_of(row), None
        if row["last_ms"] is not None:
            stored = (yield c.HistoryGet(room=chat.chat_id, limit=1))["messages"]
            last = _message(stored[0], chat, ledger, setting) if stored else None
        items.append(_chat_item(chat, profile, row["unread"], last, setting))
    return items


def _chat_item(
    chat: Chat, profile: Fields | None, unread: int, last: Fields | None, setting: Setting
) -> Fields:
    shown = {"username": chat.username, "nickname": chat.name, "avatar": ""}
    direct = profile if chat.direct else None
    return {
        "chat_id": chat.chat_id,
        **(shown if direct is None else {**person(direct, setting.base), "username": chat.username}),
        "is_online": direct is not None and is_online(direct),
        "is_blocked_user": direct is not None and direct["blocked"],
        "is_blocked_by_user": direct is not None and direct["blocked_by"],
        "unread_messages_count": unread,
        "last_message": last,
    }


def _message(stored: Fields, chat: Chat, ledger: Fields | None, setting: Setting) -> Fields:
    message = message_of(stored)
    return message_item(message, chat, setting.base, is_read=_is_read(message, ledger))


def _is_read(message: events.UserMessage, ledger: Fields | None) -> bool:
    """Say whether a message was read: another's by the owner, an own one by everybody it went to."""
    if ledger is None or not isinstance(message.seq, int):
        return False
    if message.mine:
        return bool(ledger["recipients"]) and all(one["read"] >= message.seq for one in ledger["recipients"])
    return bool(ledger["unread"] == 0 or message.seq <= ledger["read_seq"])


def _open_chat(ask: Ask, setting: Setting, name: str) -> Talk[Reply]:
    given(ask, "username")
    room = yield from _named(name)
    status = 200
    if room is None:
        room = (yield c.DmOpen(username=name))["room"]
        status = 201
    rows = (yield c.RoomList(joined=True))["rooms"]
    row = next((row for row in rows if row["room"] == room), None)
    if row is None:
        raise unknown("there is no such chat any more")
    return Reply(status, (yield from _chat_items([row], setting))[0])


def _messages(ask: Ask, setting: Setting, name: str) -> Talk[Reply]:
    limit, offset = window(ask)
    room = yield from _named(name)
    if room is None:
        raise unknown("there is no chat with them yet")
    facts, ledger = yield from together([c.RoomGet(room=room), c.LedgerGet(room=room)])
    if facts is None:
        raise unknown("there is no such chat any more")
    found = yield c.HistoryGet(room=room, limit=limit, skip=offset, count=True)
    chat = chat_of(facts)
    items = [_message(stored, chat, ledger, setting) for stored in reversed(found["messages"])]
    return page(items, found["count"])


def _named(name: str) -> Talk[str | None]:
    """Return the room that a username or a room's UUID means, if there is one; raises Refused."""
    if _is_uuid(name):
        try:
            return str((yield c.RoomGet(room=name))["room"])
        except Refused as fault:
            if fault.code != "room_not_found":
                raise
    room: str | None = (yield from _profile(name))["room"]
    return room


def _is_uuid(name: str) -> bool:
    try:
        return len(ids.parse(name)) == 16
    except ValueError:
        return False


def _profile(name: str) -> Talk[Fields]:
    """Describe somebody; whatever nobody can be called is nobody."""
    if not 1 <= len(name) <= 64:
        raise unknown("nobody here is called so")
    found: Fields = yield c.ProfileGet(username=name)
    return found


# -- oneself and notifications --------------------------------------------------------------------


def _self(_ask: Ask, setting: Setting, _name: str) -> Talk[Reply]:
    me, rooms, notices = yield from together(
        [c.ProfileGet(), c.RoomList(joined=True), c.NotificationList(limit=1)]
    )
    if me is None or rooms is None or notices is None:
        raise Refused("internal", "this could not be found out now", retryable=True)
    counted = {
        "unread_messages_count": sum(row["unread"] for row in rooms["rooms"]),
        "unread_notifications_count": notices["unread"],
    }
    return Reply(200, {**person(me, setting.base), **counted})


def _notifications(ask: Ask, setting: Setting, _name: str) -> Talk[Reply]:
    limit, offset = window(ask)
    found = yield c.NotificationList(limit=limit, skip=offset, is_read=flag(ask, "is_read"))
    rows = found["notifications"]
    causes = sorted({row["data"]["user_id"] for row in rows if "user_id" in row["data"]})
    profiles = yield from together([c.ProfileGet(username=one) for one in causes])
    pictures = {
        one["user_id"]: avatar_url(one["avatar"], setting.base) for one in profiles if one is not None
    }
    items = [notification_item(row, pictures.get(row["data"].get("user_id", ""), "")) for row in rows]
    return page(items, found["count"])


def _read_all(_ask: Ask, _setting: Setting, _name: str) -> Talk[Reply]:
    found = yield c.NotificationReadAll()
    return Reply(200, {"msg": "all notifications are read", "count": found["count"]})


# -- people ---------------------------------------------------------------------------------------


def _user(profile: Fields, setting: Setting) -> Fields:
    return {
        **person(profile, setting.base),
        "is_online": is_online(profile),
        "is_friend": profile["state"] == "contact",
        "friendship": profile["state"],
        "is_blocked_user": profile["blocked"],
        "is_blocked_by_user": profile["blocked_by"],
        "status": profile["status"] or "",
    }


def _users(ask: Ask, setting: Setting, _name: str) -> Talk[Reply]:
    limit, offset = window(ask)
    sought = ask.query.get("search", "").strip()
    if sought:
        rows = (yield c.UserSearch(text=sought, limit=MAX_HISTORY))["users"]
    else:
        rows = [row for row in (yield c.ContactList())["contacts"] if row["state"] == "contact"]
    some = rows[offset : offset + limit]
    found = yield from together([c.ProfileGet(username=row["user_id"]) for row in some])
    return page([_user(one, setting) for one in found if one is not None], len(rows))


def _one_user(_ask: Ask, setting: Setting, name: str) -> Talk[Reply]:
    return Reply(200, _user((yield from _profile(name)), setting))


def _whom(ask: Ask, name: str) -> Talk[Fields]:
    """Return who is meant: who is named in the path, or, in one's own path, in the body."""
    named, profile = given(ask, "username"), (yield from _profile(name))
    if named is not None and named != name:
        me = yield c.ProfileGet()
        if me["user_id"] != profile["user_id"]:
            raise Refused("invalid", "the path and the body name two people", field="username")
        profile = yield from _profile(named)
    return profile


def _befriend(ask: Ask, setting: Setting, name: str) -> Talk[Reply]:
    before = yield from _whom(ask, name)
    asked = yield c.ContactRequest(username=before["user_id"])
    after = yield from _profile(asked["user_id"])
    return Reply(200 if before["state"] == after["state"] else 201, _user(after, setting))


def _unfriend(ask: Ask, _setting: Setting, name: str) -> Talk[Reply]:
    them = yield from _whom(ask, name)
    who, state = them["user_id"], them["state"]
    if state == "contact":
        yield c.ContactRemove(username=who)
    elif state in ASKED:
        yield c.ContactCancel(username=who)
    elif state == "incoming":
        yield c.ContactReject(username=who)
    else:
        raise unknown("they are no friend, and nobody has asked")
    return Reply(204)


def _block(ask: Ask, setting: Setting, name: str) -> Talk[Reply]:
    before = yield from _whom(ask, name)
    yield c.ContactBlock(username=before["user_id"])
    after = yield from _profile(before["user_id"])
    return Reply(200 if before["blocked"] else 201, _user(after, setting))


def _unblock(ask: Ask, _setting: Setting, name: str) -> Talk[Reply]:
    them = yield from _whom(ask, name)
    if not them["blocked"]:
        raise unknown("they are not blocked")
    yield c.ContactUnblock(username=them["user_id"])
    return Reply(204)


# -- presence -------------------------------------------------------------------------------------


def _logout(_ask: Ask, _setting: Setting, _name: str) -> Talk[Reply]:
    yield c.PresenceSet(state="offline", leaving=True)
    return Reply(204)


def _sweep(_ask: Ask, _setting: Setting, _name: str) -> Talk[Reply]:
    found = yield c.PresenceSweep()
    gone = len(found["gone"])
    return Reply(200, {"msg": f"{gone} found to be offline", "users": found["gone"]})


SWEEP: Final = "/api/cronjob/cron/check-inactive-users"
"""The one path that has a credential of its own, and whose callers are nobody's frontend."""
LOGOUT: Final = "/api/logout"
PATHS: Final[dict[str, dict[str, Endpoint]]] = {
    "/api/chats": {"GET": _chats},
    "/api/chats/{}": {"PUT": _open_chat},
    "/api/chats/{}/messages": {"GET": _messages},
    "/api/self": {"GET": _self},
    "/api/notifications": {"GET": _notifications},
    "/api/notifications/mark_all_as_read": {"POST": _read_all},
    "/notifications/mark_all_as_read": {"POST": _read_all},
    "/api/users": {"GET": _users},
    "/api/users/{}": {"GET": _one_user},
    "/api/users/{}/friends": {"POST": _befriend, "DELETE": _unfriend},
    "/api/users/{}/blocked_users": {"POST": _block, "DELETE": _unblock},
    LOGOUT: {"POST": _logout},
    SWEEP: {"DELETE": _sweep},
}
"""Every path, without the slash at its end, and what answers which method there."""
ENDPOINTS: Final = {tuple(path.strip("/").split("/")): methods for path, methods in PATHS.items()}

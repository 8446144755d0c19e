"""What a frontend of the groups protocol asks for (docs/dialects/groups_001.md has the table)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from node.bridge.dialects.adapter import Frame, Last, Talk
from node.bridge.dialects.groups_001 import media, notices, pages, reading, shapes, showing
from node.bridge.dialects.groups_001.memory import MAX_ADDRESSES, MAX_JOINING, Group, Memory, remember
from node.chat import commands as c
from node.errors import Refused

MAX_NONCE: Final = 128


def init_data(memory: Memory, data: Any) -> Talk[None]:
    """Give a group's members and messages; of one that we are not in yet, again when we are."""
    room = reading.group_id(data)
    try:
        yield from pages.everything(memory, room)
    except Refused as fault:
        known = memory.groups.get(room) or (Group("", joined=False) if room in memory.joining else None)
        if fault.code != "room_not_found" or known is None or known.joined:
            raise
        remember(memory.wanted, room, None, MAX_JOINING)
        yield Frame("GROUP:RETURN_INIT_DATA", ({**shapes.group(room, known), "more": False},))


def all_groups(memory: Memory, _data: Any) -> Talk[None]:
    """List the groups that we are in, open ones, and those that somebody invites us to."""
    rows = (yield c.RoomList())["rooms"]
    memory.listed(rows)
    listed = []
    for row in rows:
        if row["deleted"] or row["direct"]:
            continue
        known = memory.groups.get(row["room"]) or Group(
            row["name"], row["visibility"], row["joined"], row["members"]
        )
        more = {"unread": row["unread"], "lastMessage": row["last_message"]}
        listed.append({**shapes.group(row["room"], known), **more})
    there = {row["room"] for row in rows}
    listed += [
        shapes.group(room, known)
        for room, known in memory.groups.items()
        if room not in there and known.invited
    ]
    yield Frame("GROUP:RETURN_ALL_GROUPS", ({"groups": listed, "count": len(listed)},))


def add_group(memory: Memory, data: Any) -> Talk[None]:
    """Make a group; GROUP_ADDED tells of it, here too."""
    name = reading.group_name(data)
    answer = yield Last(c.RoomCreate(name=name, visibility=memory.setting.rooms, nonce=nonce(data)))
    yield from _open_to_all(memory, answer)


def _open_to_all(memory: Memory, answer: dict[str, Any]) -> Talk[None]:
    """Say of an open group that it is confidential to nobody, as every surface does."""
    if isinstance(answer.get("notice"), str):
        yield notices.line(memory, "notice", answer["notice"], room=answer["room"])


def delete_group(_memory: Memory, data: Any) -> Talk[None]:
    """End a group for everybody."""
    yield Last(c.RoomDelete(room=reading.group_id(data)))


def join_group(memory: Memory, data: Any) -> Talk[None]:
    """Come into an open group, or one that we are invited to; USER_JOINED says when we are in."""
    answer = yield Last(c.UserJoin(room=reading.meant(data)))
    room = answer["room"]
    yield from _open_to_all(memory, answer)
    if answer["state"] != "joined":
        remember(memory.joining, room, None, MAX_JOINING)
        return
    who = {"id": room, **shapes.place(room), "name": answer["name"]}
    who |= shapes.author(memory, memory.user_id, memory.username)
    yield Frame(showing.JOINED, ({**who, "reason": "join", "already": True},))


def leave_group(memory: Memory, data: Any) -> Talk[None]:
    """Leave a group, or decline to come into it."""
    room = reading.group_id(data)
    known = memory.groups.get(room)
    if known is not None and known.invited:
        yield Last(c.UserInviteResponse(response="decline", invite=known.invite))
    else:
        yield Last(c.UserLeave(room=room))


def init_messages(memory: Memory, data: Any) -> Talk[None]:
    """Give messages of a group or a conversation of two, the newest or those before one."""
    room = reading.group_id(data)
    before = reading.message_id(data, ("before",))
    page, changes = yield from pages.messages(memory, room, reading.page_size(data), before)
    yield Frame("CHAT:RETURN_INIT_MESSAGES", ({"id": room, **shapes.place(room), **page},))
    yield from changes


def start_typing(_memory: Memory, data: Any) -> Talk[None]:
    """Tell a group that we type."""
    yield Last(c.TypingSet(room=reading.group_id(data)))


def stop_typing(_memory: Memory, data: Any) -> Talk[None]:
    """Tell a group that we have stopped."""
    yield Last(c.TypingSet(room=reading.group_id(data), typing=False))


def send_text(_memory: Memory, data: Any) -> Talk[None]:
    """Say something; MESSAGE_RETURN_TEXT tells everybody, us too."""
    room, text = reading.group_id(data), reading.text_of(data)
    if not text:
        raise reading.wrong("text", "a message has a text")
    reply_to = reading.message_id(data, reading.REPLY_KEYS)
    yield Last(c.UserMessage(room=room, message=text, reply_to=reply_to, nonce=nonce(data)))


def sender(kind: media.Kind) -> Callable[[Memory, Any], Talk[None]]:
    """Return what sends pictures or sounds."""

    def send(memory: Memory, data: Any) -> Talk[None]:
        room = reading.group_id(data)
        shown, caption = media.sent(data, kind)
        reply_to, again = reading.message_id(data, reading.REPLY_KEYS), nonce(data)
        ident: str | None = None
        beside: str | None = None
        match shown:
            case media.Remote(address):
                remember(memory.addresses, address, None, MAX_ADDRESSES)
                caption, beside = address, caption  # the address is the message's own words
            case media.Stored(ident):
                pass
            case media.Fresh(content, type_, name):
                ident = (yield c.AttachmentPut(data=content, name=name, type=type_))["attachment"]
        message = c.UserMessage(
            room=room, message=caption, kind=kind, attachment=ident, reply_to=reply_to, nonce=again
        )
        if beside:
            yield message
            message = c.UserMessage(
                room=room, message=beside, nonce=again and f"{again[: MAX_NONCE - 6]} words"
            )
        yield Last(message)

    return send


def refresh_profile(memory: Memory, _data: Any) -> Talk[None]:
    """Say who we are."""
    yield from showing.refreshed(memory)


def nonce(data: Any) -> str | None:
    """Return the key under which a frontend may send a frame again, and knows its message."""
    return reading.optional(data, ("nonce",), MAX_NONCE)


ASKED: Final[dict[str, Callable[[Memory, Any], Talk[None]]]] = {
    "GROUP:GET_INIT_DATA": init_data,
    "GROUP:GET_ALL_GROUPS": all_groups,
    "GROUP:ADD_GROUP": add_group,
    "GROUP:DELETE_GROUP": delete_group,
    "GROUP:JOIN_GROUP": join_group,
    "GROUP:LEAVE_GROUP": leave_group,
    "CHAT:GET_INIT_MESSAGES": init_messages,
    "CHAT:START_TYPING": start_typing,
    "CHAT:STOP_TYPING": stop_typing,
    "CHAT:SEND_MESSAGE_TEXT": send_text,
    "CHAT:SEND_MESSAGE_IMAGE": sender("image"),
    "CHAT:SEND_MESSAGE_AUDIO": sender("audio"),
    "CHAT:SEND_MESSAGE_GIF": sender("gif"),
    "USER:REFRESH_PROFILE": refresh_profile,
}
"""What each frame of a frontend does, by its `type`."""

"""How the groups protocol shows groups, people and messages: every usual key, as none is given there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET

from node.bridge.dialects.adapter import Frame
from node.bridge.dialects.groups_001.memory import Group, Memory
from node.chat import events

NOTICE: Final = "notice"
"""The kind of a line of ours, which nobody's words pass for."""
RETURN: Final = "CHAT:MESSAGE_RETURN_"
INVITE: Final = "[invite] "
EDITED: Final = "[edited] "
DELETED: Final = "[deleted]"
UNREADABLE: Final = "[unreadable] "
FILE: Final = "[file] "
MISSING: Final = {"image": "[image]", "audio": "[audio]", "gif": "[gif]"}
"""What is shown of a picture or sound that the node does not know where to find."""


def place(room: str | None) -> dict[str, Any]:
    """Return the keys by which a group is named."""
    return {"groupId": room, "group_id": room, "chatId": room, "chat_id": room}


def group(room: str, known: Group) -> dict[str, Any]:
    """Return a group as it stands in a list: who is in it and what was said there is another answer's."""
    shown = {
        "id": room,
        **place(room),
        "name": (INVITE if known.invited else "") + known.name,
        "visibility": known.visibility,
        "private": known.visibility != "open",
        "direct": known.direct,
        "joined": known.joined,
        "memberCount": known.members,
        "members": [],
        "messages": [],
    }
    return {**shown, "invited": True, "invitedBy": known.sender} if known.invited else shown


def person(memory: Memory, user_id: str, username: str) -> dict[str, Any]:
    """Return a person; who they claim to be on this connection, if it is ourselves."""
    mine = bool(user_id) and user_id == memory.user_id
    known = memory.people.get(user_id)
    alias = memory.alias if mine else None
    ident = memory.alias_id if mine and memory.alias_id is not None else user_id
    nickname = known.nickname if known else None
    return {
        "id": ident,
        "userId": ident,
        "user_id": ident,
        "username": alias or username,
        "name": alias or nickname or username,
        "avatar": known.avatar if known else None,
        "self": mine,
    }


def author(memory: Memory, user_id: str, username: str) -> dict[str, Any]:
    """Return the keys by which frames say whose they are."""
    who = person(memory, user_id, username)
    ident, name = who["id"], who["username"]
    return {
        "username": name,
        "sender": name,
        "userId": ident,
        "user_id": ident,
        "senderId": ident,
        "user": who,
        "self": who["self"],
    }


def moment(ts_ms: int) -> dict[str, Any]:
    """Return when something was."""
    try:
        iso = datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    except (OverflowError, ValueError, OSError):
        iso = None
    return {"timestamp": ts_ms // 1000, "ts_ms": ts_ms, "createdAt": iso}


def said(text: str) -> dict[str, Any]:
    """Return words, by every key they may be looked for."""
    return {"text": text, "message": text, "content": text}


def message(memory: Memory, event: events.UserMessage, *, direct: bool) -> Frame:
    """Return a message, in a list or as it comes."""
    word, media = _media(memory, event)
    data = {
        "id": event.id,
        "messageId": event.id,
        **place(event.room),
        "kind": "text" if event.kind == NOTICE else event.kind,
        **said(_words(event)),
        **author(memory, event.user_id, event.username),
        **moment(event.ts_ms),
        **media,
        "replyTo": event.reply_to,
        "nonce": event.nonce,
        "direct": direct,
        "edited": event.edited is True,
        "deleted": event.deleted is True,
    }
    if event.history is True:
        data["history"] = True
    if event.gap:
        data["gap"] = True
    if event.mentioned is True:
        data["mentioned"] = True
    if event.reactions is not UNSET:
        data["reactions"] = msgspec.to_builtins(event.reactions)
    if isinstance(event.expires_ms, int):
        data["expires_ms"] = event.expires_ms
    return Frame(RETURN + word, (data,))


def _words(event: events.UserMessage) -> str:
    if event.deleted is True:
        return DELETED
    if event.kind == "unreadable":
        many = event.missing if isinstance(event.missing, int) else 1
        return f"{UNREADABLE}{many} message{'s'[: many != 1]} ({event.why or 'unknown'})"
    return event.message


def _media(memory: Memory, event: events.UserMessage) -> tuple[str, dict[str, Any]]:
    """Return the last word of the frame's name, and what is said of its picture, sound or file."""
    file = event.attachment if isinstance(event.attachment, dict) else None
    if event.deleted is True:
        return "TEXT", {}
    if file is not None:
        return _of_file(memory, event, file)
    if event.remote is True:
        return _elsewhere(memory, event)
    if event.kind in MISSING:
        return "TEXT", said(event.message or MISSING[event.kind])
    return "TEXT", {}


def _elsewhere(memory: Memory, event: events.UserMessage) -> tuple[str, dict[str, Any]]:
    """An address is a picture for the frontend that sent it; who else fetched it would tell its server so."""
    if not event.mine or event.message not in memory.addresses:
        return "TEXT", {"remote": True}
    word = event.kind
    shown = {"url": event.message, word: event.message, "remote": True, "mime": None, "size": None}
    return word.upper(), shown


def _of_file(memory: Memory, event: events.UserMessage, file: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    url, type_ = file.get("url"), file.get("type")
    address = memory.setting.base + url if isinstance(url, str) else None
    facts = {
        "url": address,
        "mime": type_,
        "mimeType": type_,
        "size": file.get("size"),
        "fileName": file.get("name"),
        "attachmentId": file.get("id"),
        "state": file.get("state"),
        "remote": False,
    }
    word = event.kind if event.kind in MISSING else _word_of(type_)
    if word is not None:
        return word.upper(), {**facts, "content": address, word: address}
    told = f"{FILE}{file.get('name')} ({file.get('size')} bytes)"
    return "TEXT", {**facts, **said(f"{told} {event.message}".rstrip())}


def _word_of(type_: Any) -> str | None:
    """Return what a file is shown as, by its type."""
    if not isinstance(type_, str):
        return None
    if type_ == "image/gif":
        return "gif"
    kind = type_.partition("/")[0]
    return kind if kind in MISSING else None

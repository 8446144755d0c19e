"""Commands about what is said: saying it, saying it otherwise, taking it back, reacting (docs/bridge.md 2).

What a command is about is read from the store first, if it is not known: then it is done when that has come.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final, TypeAlias

from node import ids
from node.chat import changes, commands as c, rights, trust
from node.chat.changes import LIKE, Change, Message
from node.chat.direct import Direct
from node.chat.mentions import mentioned
from node.chat.room import Room
from node.chat.turn import Turn, check_body
from node.engine import attaching
from node.engine.desk import LATER, Answer, Desk
from node.errors import Refused
from node.wire.payload import MAX_TTL_S, Payload, Type, Words, is_emoji

Found: TypeAlias = tuple[Room | Direct, bytes, Message]
"""A conversation, the id of a message there, and the message."""
ALIASES: Final = {"like": LIKE}
"""Reactions that a frontend may name by a word."""


def user_message(desk: Desk, turn: Turn, _session: int, command: c.UserMessage) -> Answer:
    """Send a message: sealed, stored, and on its way when `ok` says so."""
    room = desk.state.rooms.find(command.room)
    check_heard(desk, room)
    reply_to = None if command.reply_to is None else _id(command.reply_to, "reply_to")
    if reply_to is not None and room.timeline.author_of(reply_to) is None:
        found = desk.asked.look(turn, desk.doing, room.room_id, reply_to)
        if found is False:
            return LATER
        if found is None:
            raise _unknown("reply_to")
    mentions = mentioned(desk.state.people, command.message, command.mentions or (), _here(room))
    file = attaching.manifest_for(desk, command.attachment)
    words = Words(command.message, command.kind or "text", reply_to, _ttl(command.ttl), mentions, file)
    item = room.say(turn, words)
    room.show(turn, [item], nonce=command.nonce)
    _reach(desk, turn, room)
    status = desk.inbox.receipts.sent(turn, room.room_id, item.mid)
    return {"id": ids.text(item.mid), "ts_ms": item.ts_ms, "status": status}


def message_edit(desk: Desk, turn: Turn, _session: int, command: c.MessageEdit) -> Answer:
    """Say something else in an own message; the same words again send nothing."""
    found = _found(desk, turn, command)
    if found is None:
        return LATER
    room, mid, message = found
    event = message.event
    if not event.mine:
        raise Refused("forbidden", "only its author changes a message", field="id")
    check_heard(desk, room)
    mentions = mentioned(desk.state.people, command.message, command.mentions or (), _here(room))
    left = event.expires_ms - turn.mesh_ms if isinstance(event.expires_ms, int) else None
    ttl_s = None if left is None else min(MAX_TTL_S, max(1, -(-left // 1000)))
    body = [mid, command.message, list(mentions), ttl_s]
    check_body(Type.EDIT, body, field_name="message")
    same = changes.shown_mentions(desk.state.people, mentions) == event.mentions
    if command.message == event.message and same:
        known_ms = event.edited_ms if isinstance(event.edited_ms, int) else event.ts_ms
        return {"room": command.room, "id": command.id, "edited_ms": known_ms}
    made = _make(desk, turn, found, Type.EDIT, body)
    return {"room": command.room, "id": command.id, "edited_ms": made.ts_ms}


def message_delete(desk: Desk, turn: Turn, _session: int, command: c.MessageDelete) -> Answer:
    """Erase a message here, and ask every other node to; one that is gone already stays so."""
    found = _found(desk, turn, command, gone=True)
    if found is None:
        return LATER
    room, mid, message = found
    check_trust(desk, room)
    if not message.event.mine and not _may_moderate(room):
        raise Refused("forbidden", "only its author, or an admin of the room, deletes a message", field="id")
    if message.event.deleted is not True:
        author = desk.state.people.find(message.event.user_id)
        _make(desk, turn, found, Type.DELETE, [mid, author])
    return {"room": command.room, "id": command.id}


def reaction_set(desk: Desk, turn: Turn, _session: int, command: c.ReactionSet) -> Answer:
    """React to a message, or no more; what is so already sends nothing."""
    emoji = ALIASES.get(command.emoji, command.emoji)
    if not is_emoji(emoji):
        raise Refused("invalid", "a reaction is one emoji", field="emoji")
    found = _found(desk, turn, command)
    if found is None:
        return LATER
    room, mid, message = found
    check_heard(desk, room)
    if changes.reacts(message, desk.state.me.account, emoji) != command.on:
        author = desk.state.people.find(message.event.user_id)
        _make(desk, turn, found, Type.REACTION, [mid, author, emoji, int(command.on)])
    return {"room": command.room, "id": command.id, "emoji": emoji, "on": command.on}


# -- what they share ------------------------------------------------------------------------------


def _found(
    desk: Desk,
    turn: Turn,
    command: c.MessageEdit | c.MessageDelete | c.ReactionSet,
    *,
    gone: bool = False,
) -> Found | None:
    """Return the room, the id and the message that a command is about; None: it is being read.

    Raises:
        Refused: If there is none (`message_not_found`), or, unless it may be `gone`, it was deleted.
    """
    room, mid = desk.state.rooms.find(command.room), _id(command.id, "id")
    if isinstance(room, Room):
        room.check_in()
    message = desk.asked.look(turn, desk.doing, room.room_id, mid)
    if message is False:
        return None
    if not isinstance(message, Message):
        raise _unknown("id")
    if message.event.deleted is True and not gone:
        raise Refused("message_deleted", "this message was deleted", field="id")
    return room, mid, message


def _make(desk: Desk, turn: Turn, found: Found, kind: Type, body: list[Any]) -> Payload:
    """Send a change, and make it here."""
    room, mid, _ = found
    made = room.change(turn, kind, body)
    desk.state.changing.apply(turn, room.room_id, mid, Change.of(desk.state.me.account, made))
    _reach(desk, turn, room)
    return made


def _may_moderate(room: Room | Direct) -> bool:
    return isinstance(room, Room) and rights.may_moderate(room, room.me.account, room.log.view16)


def _here(room: Room | Direct) -> Container[bytes]:
    return {room.peer, room.me.account} if isinstance(room, Direct) else room.log.roster.members


def _reach(desk: Desk, turn: Turn, room: Room | Direct) -> None:
    if isinstance(room, Direct) and desk.state.dms.sending(room.peer) is None:
        desk.state.reach(turn, room.peer)


def check_heard(desk: Desk, room: Room | Direct) -> None:
    """Refuse to say anything to who is blocked, or no contact and in no room with us, or not trusted."""
    check_trust(desk, room)
    if isinstance(room, Direct):
        desk.state.check_direct(desk.state.people.by_account[room.peer], "room")


def check_trust(desk: Desk, room: Room | Direct) -> None:
    """Refuse to say anything that somebody would read whose keys changed under the policy `strict`."""
    person = desk.state.people.kept_from(_here(room))
    if person is not None:
        raise trust.refusal(person, "room")


def _ttl(ttl: int | None) -> int | None:
    if ttl is not None and not 1 <= ttl <= MAX_TTL_S:
        raise Refused(
            "invalid", f"a time to live is 1 to {MAX_TTL_S} seconds, which are 35 days", field="ttl"
        )
    return ttl


def _unknown(field: str) -> Refused:
    return Refused("message_not_found", "this room has no such message", field=field)


def _id(text: str, field: str) -> bytes:
    try:
        return ids.parse(text)
    except ValueError:
        raise Refused("invalid", "a message is named by its UUID", field=field) from None

"""What happens, in the words of the groups protocol (docs/dialects/groups_001.md has the table)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from node.bridge.dialects.adapter import Frame, Talk
from node.bridge.dialects.groups_001 import notices, pages, shapes
from node.bridge.dialects.groups_001.memory import Group, Memory
from node.chat import events
from node.chat.events import Event

JOINED: Final = "GROUP:USER_JOINED"
LEFT: Final = "GROUP:USER_LEFT"
ADDED: Final = "GROUP:GROUP_ADDED"
GONE: Final = "GROUP:GROUP_DELETED"
STARTED: Final = "CHAT:USER_STARTED_TYPING"
STOPPED: Final = "CHAT:USER_STOPPED_TYPING"
REFRESHED: Final = "USER:PROFILE_REFRESHED"


def happened(memory: Memory, event: Event) -> Talk[None]:
    """Show an event."""
    match event:
        case events.UserMessage():
            yield from _message(memory, event)
        case events.MessageHealed():
            yield from _healed(memory, event)
        case events.MessageEdited():
            yield memory.changed(event.room, notices.edited(memory, event))
        case events.MessageDeleted():
            memory.given.pop(event.id, None)
            yield memory.changed(event.room, notices.deleted(memory, event))
        case events.Typing():
            yield from _typing(memory, event)
        case events.Attachment(state="ready" | "failed"):
            yield from _arrived(memory, event)
        case events.Profile():
            yield from _profile(memory, event)
        case events.Connectivity(state="locked"):
            yield error(None, "locked", "the vault is locked")
        case events.Error():
            yield error(None, event.code, event.message, **event.extra)
        case _:
            yield from _in_groups(memory, event)


def _in_groups(memory: Memory, event: Event) -> Talk[None]:
    match event:
        case events.UserJoin(reason="join"):
            yield from _joined(memory, event)
        case events.UserLeave(reason="leave" | "removed"):
            yield from _left(memory, event)
        case events.RoomCreated():
            visibility = event.visibility if isinstance(event.visibility, str) else "private"
            yield added(memory, event.room, Group(event.name, visibility, True, 1))
        case events.RoomListed():
            yield from _listed(memory, event)
        case events.RoomUpdated():
            yield from _updated(memory, event)
        case events.RoomDeleted():
            known = memory.groups.pop(event.room, None)
            yield gone(event.room, known.name if known else event.name or "")
        case events.UserInvite():
            yield from _invited(memory, event)
        case events.InviteResult():
            yield from _decided(memory, event)
        case _:
            yield from notices.of(memory, event)


def error(request: str | None, code: str, message: str, /, **more: Any) -> Frame:
    """Return an ERROR; `request` is the type of the frame that it answers."""
    return Frame("ERROR", ({**more, "code": code, "message": message, "request_type": request},))


def added(memory: Memory, room: str, group: Group) -> Frame:
    """A group is in the list now."""
    memory.keep(room, group)
    return Frame(ADDED, (shapes.group(room, group),))


def gone(room: str, name: str) -> Frame:
    """A group is in the list no more."""
    return Frame(GONE, ({"id": room, **shapes.place(room), "name": name},))


# -- messages -------------------------------------------------------------------------------------


def _message(memory: Memory, event: events.UserMessage) -> Talk[None]:
    if event.user_id not in memory.people:
        yield from memory.person(event.user_id)
    group = memory.groups.get(event.room)
    if group is None:
        group = yield from memory.group(event.room)
    if event.id in memory.given:  # it came with an answer in the meantime
        del memory.given[event.id]
        return
    frame = shapes.message(memory, event, direct=group is not None and group.direct)
    memory.await_file(event)
    memory.show(event.room, frame.args[0])
    yield frame


def _healed(memory: Memory, event: events.MessageHealed) -> Talk[None]:
    told = {key: value for key, value in msgspec.to_builtins(event).items() if value is not None}
    if "id" not in told:
        return
    try:
        message = msgspec.convert({**told, "event": "user_message"}, events.UserMessage)
    except msgspec.ValidationError:
        return
    group = yield from memory.group(message.room)
    frame = shapes.message(memory, message, direct=group is not None and group.direct)
    data = {**frame.args[0], "healed": True, "replaces": event.placeholder}
    yield memory.changed(message.room, Frame(frame.name, (data,)))


def _arrived(memory: Memory, event: events.Attachment) -> Talk[None]:
    """The file of a message is here, or will not come: the message once more, so that it can be shown."""
    message = memory.pending.pop(event.id, None)
    if message is None:
        return
    url = event.url or message.attachment.get("url")
    file = {**message.attachment, "state": event.state, "url": url}
    group = yield from memory.group(message.room)
    direct = group is not None and group.direct
    frame = shapes.message(memory, msgspec.structs.replace(message, attachment=file), direct=direct)
    yield Frame(frame.name, ({**frame.args[0], "updated": True},))


def _typing(memory: Memory, event: events.Typing) -> Talk[None]:
    data = {"id": event.room, **shapes.place(event.room)}
    data |= shapes.author(memory, event.user_id, event.username)
    data["typing"] = event.typing
    yield Frame(STARTED if event.typing else STOPPED, (data,), key=f"typing {event.room} {event.user_id}")


def _profile(memory: Memory, event: events.Profile) -> Talk[None]:
    memory.know(event.user_id, event.nickname, event.avatar)
    if event.user_id == memory.user_id:
        yield from refreshed(memory)


def refreshed(memory: Memory) -> Talk[None]:
    """Say who we are."""
    facts = yield pages.PROFILE
    memory.user_id, memory.username = facts["user_id"], facts["username"]
    memory.know(memory.user_id, facts["nickname"], facts["avatar"])
    kept = {key: facts[key] for key in ("nickname", "status", "presence", "busy", "listed")}
    who = shapes.person(memory, memory.user_id, memory.username)
    yield Frame(REFRESHED, ({**who, **kept, "user": who},))


# -- groups ---------------------------------------------------------------------------------------


def _joined(memory: Memory, event: events.UserJoin) -> Talk[None]:
    mine = event.user_id == memory.user_id
    yield from memory.person(event.user_id)
    group = memory.groups.get(event.room)
    if group is None or (mine and not group.joined):
        group = yield from _entered(memory, event.room, group)
    elif not mine:
        group.members += 1
    if group is not None and group.direct:
        return
    yield Frame(JOINED, (who_where(memory, event),))
    if mine and event.room in memory.wanted:
        del memory.wanted[event.room]
        yield from pages.everything(memory, event.room)


def _entered(memory: Memory, room: str, known: Group | None) -> Talk[Group | None]:
    """We are in a group: put it in the list, unless it is there already under the same name."""
    memory.groups.pop(room, None)
    memory.joining.pop(room, None)
    group = yield from memory.group(room)
    if group is None and known is not None:  # by now we are out again: what follows says so
        group = Group(known.name, known.visibility, True, known.members)
        memory.keep(room, group)
    if group is None or group.direct:
        return group
    if known is not None and known.invite is not None:
        yield gone(room, shapes.INVITE + known.name)
    if known is None or known.invite is not None:
        yield Frame(ADDED, (shapes.group(room, group),))
    return group


def who_where(memory: Memory, event: events.UserJoin | events.UserLeave) -> dict[str, Any]:
    """Return who came or left, and where."""
    known = memory.groups.get(event.room)
    data = {"id": event.room, **shapes.place(event.room), "name": known.name if known else None}
    return {**data, **shapes.author(memory, event.user_id, event.username), "reason": event.reason}


def _left(memory: Memory, event: events.UserLeave) -> Talk[None]:
    group, data = memory.groups.get(event.room), who_where(memory, event)
    if group is not None and event.user_id == memory.user_id:
        if group.visibility == "open":
            group.joined = False
        else:
            del memory.groups[event.room]
    elif group is not None:
        group.members = max(0, group.members - 1)
    yield Frame(LEFT, (data,))


def _listed(memory: Memory, event: events.RoomListed) -> Talk[None]:
    known = memory.groups.get(event.room)
    if known is not None and known.joined:
        return
    if known is not None and known.invited:  # the invite stands in the list for it
        known.visibility, known.members = "open" if event.listed else "private", event.members
        return
    if known is not None and (not event.listed or known.name != event.name):
        del memory.groups[event.room]
        yield gone(event.room, known.name)
        known = None
    if event.listed and known is None:
        yield added(memory, event.room, Group(event.name, "open", False, event.members))


def _updated(memory: Memory, event: events.RoomUpdated) -> Talk[None]:
    known = memory.groups.get(event.room)
    if known is None:  # its end was void, or we have forgotten it
        quiet = event.unread is not msgspec.UNSET or event.muted is not msgspec.UNSET
        group = None if quiet else (yield from memory.group(event.room))
        if group is not None and not group.direct:
            yield Frame(ADDED, (shapes.group(event.room, group),))
        return
    if known.direct:
        return
    renamed = isinstance(event.name, str) and event.name != known.name
    if renamed:
        known.name = str(event.name)
    yield from notices.room_updated(memory, event, renamed)


def _invited(memory: Memory, event: events.UserInvite) -> Talk[None]:
    known = memory.groups.get(event.room)
    if event.kind != "room":
        text = f"{event.sender} asks for a game"
        yield notices.line(memory, "game", text, room=event.room, options=event.options)
    elif known is None:
        name = event.room_name
        yield added(memory, event.room, Group(name, "private", False, 0, event.invite, event.sender))
    elif known.invited:
        known.invite, known.sender = event.invite, event.sender
    elif not known.joined:
        text = f"{event.sender} invites you to {event.room_name}"
        yield notices.line(memory, "invite", text, room=event.room, who=("", event.sender))


def _decided(memory: Memory, event: events.InviteResult) -> Talk[None]:
    """An invite of others has ended, or a group could not be joined; of our own nothing is told."""
    known = memory.groups.get(event.room)
    if event.response in {"delivered", "accept"} or event.kind != "room" or (known and known.joined):
        return
    if event.room in memory.joining:
        del memory.joining[event.room]
        memory.wanted.pop(event.room, None)
        text = f"the group was not joined: {event.response}"
        yield error("GROUP:JOIN_GROUP", "room_not_found", text, groupId=event.room)
    if known is not None and known.invite == event.invite:
        del memory.groups[event.room]
        yield gone(event.room, shapes.INVITE + known.name)
        if known.visibility == "open":  # whoever likes may come in all the same
            yield added(memory, event.room, Group(known.name, "open", False, known.members))

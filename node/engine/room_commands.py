"""Commands about rooms, messages and invites (docs/bridge.md section 2)."""

from __future__ import annotations

from typing import Any

from node import ids
from node.bridge.ports import ReadHistory
from node.chat import commands as c, events
from node.chat.invites import GAME
from node.chat.room import Room
from node.chat.room_facts import tell_gone, tell_joined
from node.chat.room_inbox import RoomInbox
from node.chat.rooms import visibility_of
from node.chat.turn import Turn
from node.crypto.ops import Inviting, Policy, Visibility
from node.engine import open_rooms
from node.engine.desk import LATER, Answer, Desk
from node.engine.ruling_commands import history_count, inviting_of
from node.errors import Refused

DEFAULT_HISTORY = 50


def room_create(desk: Desk, turn: Turn, _session: int, command: c.RoomCreate) -> Answer:
    """Make a room, private or open."""
    is_open = command.visibility == "open"
    inviting = Inviting.ANYONE if command.invite is None else inviting_of(command.invite)
    state = desk.state
    if is_open:
        room = open_rooms.make(desk, turn, command.name, inviting, command.history)
    else:
        policy = Policy(Visibility.PRIVATE, history_count(command.history), inviting)
        room = Room.create(turn, state.me, state.people, command.name, policy)
    inbox = RoomInbox(room)
    state.rooms.inboxes[room.room_id] = inbox
    turn.log(events.RoomCreated(room=room.uuid, name=room.name, visibility=visibility_of(room)))
    tell_joined(turn, inbox.room, state.me.account)
    desk.inbox.greeting.refresh(turn, room)
    answer = state.rooms.describe(room)
    return {**answer, "notice": open_rooms.notice(desk)} if is_open else answer


def room_list(desk: Desk, turn: Turn, _session: int, command: c.RoomList) -> Answer:
    """List every conversation, and the open rooms of others."""
    return {"rooms": open_rooms.rows(desk, turn, command)}


def room_get(desk: Desk, _turn: Turn, _session: int, command: c.RoomGet) -> Answer:
    """Describe one conversation."""
    return desk.state.rooms.describe(desk.state.rooms.find(command.room))


def user_join(desk: Desk, turn: Turn, _session: int, command: c.UserJoin) -> Answer:
    """Accept the open invite to a room, or join an open one; being in already is fine."""
    try:
        return {**desk.state.rooms.describe(desk.state.rooms.find(command.room)), "state": "joined"}
    except Refused as missing:
        invite = desk.state.invites.open_for_room(_any_id(command.room))
        if invite is None:
            joined = open_rooms.join(desk, turn, command.room)
            if joined is None:
                missing.message = "you are in no room of this id, and neither an invite nor an open room fits"
                raise missing
            return joined
        desk.inviting.deliver(turn, invite.invite_id)
        answer = desk.inviting.accept(turn, desk.state.invites.all[invite.invite_id])
        is_open = invite.room_id in desk.state.directory.rooms
        return {**open_rooms.joining(invite.room_name, is_open=is_open), **answer}


def _any_id(room: str) -> bytes:
    """Return the id that a room may be named by; empty for a name."""
    try:
        return ids.parse(room)
    except ValueError:
        return b""


def _room_id(room: str) -> bytes:
    try:
        return ids.parse(room)
    except ValueError:
        raise Refused("invalid", "a room is named by its UUID", field="room") from None


def user_leave(desk: Desk, turn: Turn, _session: int, command: c.UserLeave) -> Answer:
    """Leave a room; the others learn it, and seal nothing more for us."""
    room = desk.state.rooms.find_group(command.room)
    inbox, members = desk.state.rooms.inboxes[room.room_id], list(room.log.roster.members)
    if room.log.deleted:
        room.put_away(turn)
    else:
        room.leave(turn)
    tell_gone(turn, inbox.room, desk.state.me.account, "leave")
    desk.inbox.somebody_left(turn, members)
    desk.state.joins.leave(turn, room.room_id)
    desk.inbox.greeting.refresh(turn, room)
    return {"room": command.room}


def member_remove(desk: Desk, turn: Turn, _session: int, command: c.MemberRemove) -> Answer:
    """Remove somebody of lower rank; everybody else goes on under new keys in the same moment."""
    room = desk.state.rooms.find_group(command.room)
    account = desk.state.people.find(command.username)
    own, theirs = room.role_of(desk.state.me.account), room.role_of(account)
    if theirs is None:
        raise Refused("unknown_user", f"{command.username} is not in this room", field="username")
    if own is None or own <= theirs:
        raise Refused("forbidden", "you may only remove members of a lower role", field="username")
    inbox = desk.state.rooms.inboxes[room.room_id]
    room.remove(turn, account, command.reason or "")
    tell_gone(turn, inbox.room, account, "removed")
    desk.inbox.somebody_left(turn, (account,))
    desk.inbox.greeting.refresh(turn, room)
    return {"room": command.room, "username": desk.state.people.username(account)}


def room_rekey(desk: Desk, turn: Turn, _session: int, command: c.RoomRekey) -> Answer:
    """Renew a room's keys now: what was stolen of the old ones opens nothing that follows."""
    room = desk.state.rooms.find_group(command.room)
    return {"room": command.room, "epoch": room.renewal.command(turn).epoch16.hex()}


def _message_id(text: str) -> bytes:
    try:
        return ids.parse(text)
    except ValueError:
        raise Refused("invalid", "a message is named by its UUID", field="reply_to") from None


def typing_set(desk: Desk, turn: Turn, _session: int, command: c.TypingSet) -> Answer:
    """Tell a conversation that we type, or have stopped; `told` says whether anything was sent."""
    return {"room": command.room, "told": desk.inbox.signals.tell(turn, command.room, typing=command.typing)}


def history_get(desk: Desk, _turn: Turn, session: int, command: c.HistoryGet) -> Answer:
    """Read a conversation's messages from the store."""
    if command.before is not None and command.after is not None:
        raise Refused("invalid", "give `before` or `after`, not both", field="after")
    room_id = _known_room(desk, command.room)
    before = None if command.before is None else _message_id(command.before)
    after = None if command.after is None else _message_id(command.after)
    limit = command.limit or DEFAULT_HISTORY
    nonced = desk.nonced(command)
    skip, count = command.skip or 0, bool(command.count)
    desk.after.append(
        ReadHistory(session, command.req, room_id, before, after, limit, nonced, skip=skip, count=count)
    )
    return LATER


def _known_room(desk: Desk, room: str) -> bytes:
    room_id = _room_id(room)
    rooms = desk.state.rooms
    if room_id not in rooms.inboxes and room_id not in rooms.direct:
        raise Refused("room_not_found", "you are in no room with this id", field="room")
    return room_id


def user_invite(desk: Desk, turn: Turn, _session: int, command: c.UserInvite) -> Answer:
    """Invite a contact or co-member to a room, or somebody who is there to a game."""
    rooms = desk.state.rooms
    try:
        account = desk.state.people.find(command.target)
    except Refused as fault:
        fault.field = "target"
        raise
    what, within = (account, command.options, command.client_id), command.expires_in
    if command.kind == GAME:
        place = rooms.find(command.room)
        invite = desk.inviting.games.invite(turn, place, *what, expires_in=within)
    else:
        invite = desk.inviting.invite(turn, rooms.find_group(command.room), *what, expires_in=within)
    return {"invite": ids.text(invite.invite_id), "expires_at": invite.ends_ms // 1000}


def user_invite_response(desk: Desk, turn: Turn, session: int, command: c.UserInviteResponse) -> Answer:
    """Answer an invite."""
    return desk.inviting.respond(turn, session, command.response, command.invite)


def invite_cancel(desk: Desk, turn: Turn, _session: int, command: c.InviteCancel) -> Answer:
    """Take an own invite back."""
    try:
        invite_id = ids.parse(command.invite)
    except ValueError:
        raise Refused("invite_unknown", "there is no invite with this id", field="invite") from None
    desk.inviting.cancel(turn, invite_id)
    return {"invite": command.invite}


def invite_list(desk: Desk, _turn: Turn, _session: int, _command: c.InviteList) -> Answer:
    """List invites sent and received."""
    rows: list[dict[str, Any]] = desk.inviting.rows()
    return {"invites": rows}

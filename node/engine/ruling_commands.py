"""Commands by which those above others rule a room: roles, name and topic, its end (docs/bridge.md 2)."""

from __future__ import annotations

from dataclasses import replace

from node.chat import commands as c
from node.chat.room import Room
from node.chat.room_facts import Facts, history_of, tell_changes
from node.chat.turn import Turn
from node.crypto.ops import Delete, Inviting, Meta, OpBody, PolicyChange, Role, RoleChange
from node.engine.desk import Answer, Desk
from node.errors import Refused
from node.wire.payload import MAX_ITEMS

INVITING = {"anyone": Inviting.ANYONE, "members": Inviting.ANYONE, "admins": Inviting.ADMINS}


def inviting_of(text: str) -> Inviting:
    """Return who may invite, by the word for it; raises Refused `invalid`."""
    if text not in INVITING:
        raise Refused("invalid", "invite is `anyone` or `admins`", field="invite")
    return INVITING[text]


def history_count(asked: int | str | None) -> int:
    """Return how many messages newcomers may read, `all` being the most; raises Refused `invalid`."""
    if asked in {None, "none"}:
        return 0
    count = MAX_ITEMS if asked == "all" else int(asked or 0)
    if count > MAX_ITEMS:
        raise Refused("invalid", f"history is none, or at most {MAX_ITEMS} messages", field="history")
    return count


def member_role(desk: Desk, turn: Turn, _session: int, command: c.MemberRole) -> Answer:
    """Give somebody below us another role, which is below ours too."""
    room = _ruled(desk, command.room)
    account = desk.state.people.find(command.username)
    own, theirs = room.role_of(desk.state.me.account), room.role_of(account)
    role = Role[command.role.upper()]
    if theirs is None:
        raise Refused("unknown_user", f"{command.username} is not in this room", field="username")
    if own is None or own <= theirs:
        raise Refused("forbidden", "you may only change the role of members below you", field="username")
    if own <= role:
        raise Refused("forbidden", "you may only give roles below your own", field="role")
    if role is not theirs:
        _act(turn, room, RoleChange(account, role))
    username = desk.state.people.username(account)
    return {"room": command.room, "username": username, "role": command.role}


def room_update(desk: Desk, turn: Turn, _session: int, command: c.RoomUpdate) -> Answer:
    """Change a room's name, topic, who may invite or history; what is so already makes no record."""
    room = _ruled(desk, command.room)
    if command.name is command.topic is command.invite is command.history is None:
        raise Refused("invalid", "say what to change: name, topic, invite or history", field="name")
    log = room.log
    policy = log.policy
    if command.invite is not None:
        policy = replace(policy, invite=inviting_of(command.invite))
    if command.history is not None:
        policy = replace(policy, history=history_count(command.history))
    _check_admin(desk, room)
    name = None if command.name == log.name else command.name
    topic = None if command.topic == log.topic else command.topic
    bodies: list[OpBody] = []
    if name is not None or topic is not None:
        bodies.append(Meta(name, topic))
    if policy != log.policy:
        bodies.append(PolicyChange(policy))
    _act(turn, room, *bodies)
    desk.inbox.greeting.refresh(turn, room)
    return {
        "room": command.room,
        "name": log.name,
        "topic": log.topic,
        "invite": log.policy.invite.name.lower(),
        "history": history_of(log.policy),
    }


def room_delete(desk: Desk, turn: Turn, _session: int, command: c.RoomDelete) -> Answer:
    """End a room for everybody; our open invites to it end too."""
    room = _ruled(desk, command.room)
    _check_admin(desk, room)
    _act(turn, room, Delete())
    desk.inbox.greeting.refresh(turn, room)
    desk.inviting.room_ended(turn, room.room_id)
    return {"room": command.room}


def _ruled(desk: Desk, room: str) -> Room:
    """Return a room that has rules and is not over."""
    found = desk.state.rooms.find_group(room)
    if found.log.deleted:
        raise Refused("room_deleted", "this room was deleted", field="room")
    return found


def _check_admin(desk: Desk, room: Room) -> None:
    own = room.role_of(desk.state.me.account)
    if own is None or own < Role.ADMIN:
        raise Refused("forbidden", "only the creator and admins of the room may do this", field="room")


def _act(turn: Turn, room: Room, *bodies: OpBody) -> None:
    """Author these ops, all or none, and tell every frontend of this node what changed."""
    if not room.log.has_room_for(len(bodies)):
        raise Refused("too_many", "the room's log is full", field="room")
    before = Facts.of(room.log)
    for body in bodies:
        room.act(turn, body, rekey=False)
    tell_changes(turn, room, before)

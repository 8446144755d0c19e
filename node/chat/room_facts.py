"""What a room's log says about the room itself, and what of it frontends are told when it changes.

Changes are found by comparing, not by the kind of op that came: an op that counts before others can undo
what they did (docs/crypto.md 3.6, docs/bridge.md section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import UNSET

from node import ids
from node.chat import events
from node.chat.membership import Member, RoomLog
from node.chat.room import MEMBER, REMOVED, Room
from node.chat.turn import Turn
from node.crypto.ops import Policy
from node.wire.payload import MAX_ITEMS


@dataclass(frozen=True, slots=True)
class Facts:
    """A room at one point of its log."""

    members: Mapping[bytes, Member]
    name: str
    topic: str
    policy: Policy
    deleted: bool

    @classmethod
    def of(cls, log: RoomLog) -> Facts:
        """Return what a log comes to now."""
        return cls(log.roster.members, log.name, log.topic, log.policy, log.deleted)


def history_of(policy: Policy) -> str:
    """Return `none`, or how many of a room's newest messages are kept for newcomers."""
    return history_text(policy.history)


def history_text(count: int) -> str:
    """Return `none`, or as many messages as can be kept."""
    return str(min(count, MAX_ITEMS)) if count else "none"


def tell_changes(turn: Turn, room: Room, before: Facts) -> None:
    """Log what changed about a room since `before`: name, topic, who invites, history, roles, its end."""
    after = Facts.of(room.log)
    topic = UNSET if after.topic == before.topic else after.topic
    invite = after.policy.invite.name.lower() if after.policy.invite != before.policy.invite else UNSET
    history = history_of(after.policy) if after.policy.history != before.policy.history else UNSET
    changed = after.name != before.name or (topic, invite, history) != (UNSET, UNSET, UNSET)
    revived = before.deleted and not after.deleted
    if before.members and (changed or revived):
        turn.log(
            events.RoomUpdated(room=room.uuid, name=room.name, topic=topic, invite=invite, history=history)
        )
    for account in sorted(after.members.keys() & before.members.keys()):
        if after.members[account].role is not before.members[account].role:
            turn.log(_role_event(room, after.members[account]))
    if after.deleted and not before.deleted:
        turn.log(events.RoomDeleted(room=room.uuid, name=room.name))


def _role_event(room: Room, member: Member) -> events.RoomUpdated:
    return events.RoomUpdated(
        room=ids.text(room.room_id),
        name=room.name,
        user_id=room.people.user_id(member.account),
        username=room.people.username(member.account),
        role=member.role.name.lower(),
    )


def tell_joined(turn: Turn, room: Room, account: bytes) -> None:
    """Log that an account is in the room now; who is new is met and pinned."""
    people = room.people
    if account != room.me.account:
        member = room.log.roster.members[account]
        people.meet(turn, account, member.name)
        people.pin_member(turn, account, member.certificate, member.device_list)
    username, user_id = people.username(account), people.user_id(account)
    turn.log(events.UserJoin(username=username, room=room.uuid, user_id=user_id, reason="join"))


def tell_gone(turn: Turn, room: Room, account: bytes, reason: str) -> None:
    """Log that an account is not in the room any more; `reason` is `leave` or `removed`."""
    if account == room.me.account and room.state == MEMBER:
        room.out(turn, REMOVED)
    username, user_id = room.people.username(account), room.people.user_id(account)
    turn.log(events.UserLeave(username=username, room=room.uuid, user_id=user_id, reason=reason))

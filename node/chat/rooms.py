"""Every conversation of this node, private rooms and direct ones, and how frontends see them in lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node import ids
from node.chat.direct import Direct
from node.chat.me import Me
from node.chat.people import People
from node.chat.reading import Readings
from node.chat.room import MEMBER, SMALL, Room
from node.chat.room_facts import history_of
from node.chat.room_inbox import RoomInbox
from node.crypto.ops import Visibility
from node.errors import Refused

GIVEN_UP = (
    "the keys of the newest {} messages are kept, so that newcomers can read them: "
    "these messages have no forward secrecy"
)


class Rooms:
    """Rooms by id; `presence(account)` says how a member is shown."""

    def __init__(self, me: Me, people: People, readings: Readings, presence: Callable[[bytes], str]) -> None:
        self.me, self.people, self.readings = me, people, readings
        self._presence = presence
        self.inboxes: dict[bytes, RoomInbox] = {}
        self.direct: dict[bytes, Direct] = {}

    def rooms(self) -> list[Room]:
        """Return the rooms we are in."""
        return [inbox.room for inbox in self.inboxes.values() if inbox.room.state == MEMBER]

    def find(self, room: str) -> Room | Direct:
        """Return the room with this id; raises Refused `room_not_found`."""
        try:
            room_id = ids.parse(room)
        except ValueError:
            room_id = b""
        if room_id in self.direct:
            return self.direct[room_id]
        inbox = self.inboxes.get(room_id)
        if inbox is None or inbox.room.state != MEMBER:
            raise Refused("room_not_found", "you are in no room with this id", field="room")
        return inbox.room

    def by_id(self, room_id: bytes) -> Room | Direct | None:
        """Return a conversation by its id, one that we have left too."""
        inbox = self.inboxes.get(room_id)
        return self.direct.get(room_id) if inbox is None else inbox.room

    def find_group(self, room: str) -> Room:
        """Return the room with this id, refusing a direct one."""
        found = self.find(room)
        if isinstance(found, Direct):
            raise Refused(
                "direct_room", "this is a conversation of two; it has no members to change", field="room"
            )
        return found

    def shared(self, account: bytes, *, small: bool = False) -> list[Room]:
        """Return the rooms that an account is in with us, only small ones if told."""
        return [
            room
            for room in self.rooms()
            if room.is_member(account) and not (small and len(room.log.roster.members) > SMALL)
        ]

    def co_member(self, account: bytes, room16: bytes | None) -> bool:
        """Say whether an account shares a room with us, or that very room."""
        return any(room16 is None or room.room_id == room16 for room in self.shared(account))

    # -- what frontends see -----------------------------------------------------------------------

    def describe(self, room: Room | Direct) -> dict[str, Any]:
        """Return what `room_get` answers: the room's facts, and its `members`."""
        if isinstance(room, Direct):
            accounts = [(self.me.account, "member"), (room.peer, "member")]
            visibility, history = "direct", "all"
            topic, inviting, deleted = "", None, False
            note = ""
        else:
            accounts = [(m.account, m.role.name.lower()) for m in room.members()]
            visibility = visibility_of(room)
            history = history_of(room.log.policy)
            note = GIVEN_UP.format(history) if room.log.policy.history else ""
            topic, inviting = room.log.topic, room.log.policy.invite.name.lower()
            deleted = room.log.deleted
        members = [
            {
                "user_id": self.people.user_id(account),
                "username": self.people.username(account),
                "role": role,
                "presence": self._presence(account),
                "blocked": self.people.hides(account),
                "blocked_by": self.people.is_blocked_by(account),
            }
            for account, role in accounts
        ]
        return {
            "room": ids.text(room.room_id),
            "name": room.name,
            "visibility": visibility,
            "history": history,
            "history_note": note,
            "topic": topic,
            "invite": inviting,
            "deleted": deleted,
            "members": members,
            "unread": room.unread,
            **self.readings.mute_of(room.room_id),
        }

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of `room_list`, by name."""
        every: list[Room | Direct] = [*self.rooms(), *self.direct.values()]
        rows = [self._row(room) for room in every]
        return sorted(rows, key=lambda row: (str(row["name"]).casefold(), row["room"]))

    def _row(self, room: Room | Direct) -> dict[str, Any]:
        direct = isinstance(room, Direct)
        return {
            "room": ids.text(room.room_id),
            "name": room.name,
            "visibility": "direct" if isinstance(room, Direct) else visibility_of(room),
            "members": 2 if isinstance(room, Direct) else len(room.log.roster.members),
            "history": "all" if isinstance(room, Direct) else history_of(room.log.policy),
            "unread": room.unread,
            **self.readings.mute_of(room.room_id),
            "last_message": room.last_message,
            "last_ms": room.last_ms or None,
            "direct": direct,
            "deleted": not isinstance(room, Direct) and room.log.deleted,
            "joined": True,
        }


def visibility_of(room: Room) -> str:
    """Return `private` or `open`."""
    return "open" if room.log.policy.visibility is Visibility.OPEN else "private"

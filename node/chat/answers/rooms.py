"""Answers about rooms, their members and their links."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import UNSET, UnsetType

from node.chat.answers.base import Answer, Row
from node.chat.answers.people import Presence


class MemberRow(Row):
    """One member of a room."""

    user_id: str
    username: str
    role: Literal["creator", "admin", "greeter", "member"]
    presence: Presence
    blocked: bool
    blocked_by: bool


class RoomFacts(Answer):
    """A room as it is; `history_note` is a sentence for people, `muted_until` null where it is for good.

    `invite` is `anyone`, `admins`, or null in a direct room; while joining, the id of the invite.
    """

    room: str
    name: str
    topic: str
    visibility: Literal["private", "open", "direct"]
    history: str
    history_note: str
    invite: str | None
    deleted: bool
    members: list[MemberRow]
    unread: int
    muted: bool
    muted_until: int | None


class RoomMade(RoomFacts, kw_only=True):
    """A room that is new here; `notice`, where it is open, is a sentence for people."""

    notice: str | UnsetType = UNSET


class RoomJoined(RoomMade, kw_only=True):
    """A room that we are in, or are about to come into by the `invite` that was accepted."""

    state: Literal["joined", "joining"]


class RoomRow(Row):
    """One room of a list; `members` is their number, `last_ms` when `last_message` was sent."""

    room: str
    name: str
    visibility: Literal["private", "open", "direct"]
    members: int
    history: str
    unread: int
    muted: bool
    muted_until: int | None
    last_message: Any
    last_ms: int | None
    direct: bool
    deleted: bool
    joined: bool


class RoomRows(Answer):
    """Rooms."""

    rooms: list[RoomRow]


class RoomReadUpto(Answer):
    """How many messages of the room are still unread."""

    room: str
    unread: int


class RoomNamed(Answer):
    """Which room it was."""

    room: str


class RoomLink(Answer):
    """A link to a room, and the addresses that it carries."""

    room: str
    invite: str
    link: str
    addresses: list[str]
    uses: int | None
    expires_at: int


class RoomLinkUsed(Answer):
    """The room that a link leads to."""

    room: str
    invite: str
    state: Literal["joined", "joining"]


class RoomLinksClosed(Answer):
    """The ids of the links that were closed."""

    room: str
    revoked: list[str]


class MemberGone(Answer):
    """Who was removed."""

    room: str
    username: str


class MemberRoleGiven(Answer):
    """Who has which role now."""

    room: str
    username: str
    role: Literal["member", "greeter", "admin"]


class RoomChanged(Answer):
    """What can be changed of a room, as it is now."""

    room: str
    name: str
    topic: str
    invite: Literal["anyone", "admins"] | None
    history: str


class RoomRekeyed(Answer):
    """The new keys' id, 32 hexadecimal digits."""

    room: str
    epoch: str


ANSWERS: Final[dict[str, type[Answer]]] = {
    "room_create": RoomMade,
    "room_get": RoomFacts,
    "dm_open": RoomFacts,
    "user_join": RoomJoined,
    "room_list": RoomRows,
    "room_read": RoomReadUpto,
    "user_leave": RoomNamed,
    "room_delete": RoomNamed,
    "room_link_create": RoomLink,
    "room_link_use": RoomLinkUsed,
    "room_link_revoke": RoomLinksClosed,
    "member_remove": MemberGone,
    "member_role": MemberRoleGiven,
    "room_update": RoomChanged,
    "room_rekey": RoomRekeyed,
}

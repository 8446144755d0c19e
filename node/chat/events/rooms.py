"""What happens to rooms and who is in them (docs/bridge.md 2)."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class UserJoin(Base, frozen=True, kw_only=True):
    """Somebody is in a room now (reason `join`), or back (`reconnect`)."""

    username: str
    room: str
    user_id: str
    reason: str
    seq: int | UnsetType = UNSET


class UserLeave(Base, frozen=True, kw_only=True):
    """Somebody is no longer in a room (reason `leave`, `removed`), or away (`disconnect`)."""

    username: str
    room: str
    user_id: str
    reason: str
    seq: int | UnsetType = UNSET


class RoomCreated(Base, frozen=True, kw_only=True):
    """There is a new room that we are in."""

    room: str
    name: str
    visibility: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class RoomUpdated(Base, frozen=True, kw_only=True):
    """A room's name, topic, who may invite (`invite`), its `history`, or somebody's `role` changed.

    Or what the owner has read of it, or whether it is muted. Beside `room` and its `name` only what
    changed is there.
    """

    room: str
    name: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    invite: str | UnsetType = UNSET
    history: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    unread: int | UnsetType = UNSET
    read_to: str | UnsetType | None = UNSET
    muted: bool | UnsetType = UNSET
    muted_until: int | UnsetType | None = UNSET
    seq: int | UnsetType = UNSET


class RoomDeleted(Base, frozen=True, kw_only=True):
    """A room was ended for everybody: nobody sends any more, what was said stays readable."""

    room: str
    name: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class RoomListed(Base, frozen=True, kw_only=True):
    """An open room that we are not in has come onto the network's list, or is called otherwise there now.

    With `listed` false it is no longer there. Not logged: `room_list` has the whole list.
    """

    room: str
    name: str
    members: int
    listed: bool


RoomEvent: TypeAlias = UserJoin | UserLeave | RoomCreated | RoomUpdated | RoomDeleted | RoomListed

"""Rooms: making, entering, leaving and ruling them (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from node.chat.commands.base import Base, Id, Link, Name, Topic, Who


class RoomCreate(Base, frozen=True, kw_only=True):
    """Make a room; `history` is `none`, `all` or how many messages a newcomer may read."""

    name: Name
    visibility: Literal["private", "open"] | None = None
    history: Annotated[int, Meta(ge=0, le=10_000)] | Literal["none", "all"] | None = None
    invite: Annotated[str, Meta(max_length=16)] | None = None


class RoomList(Base, frozen=True, kw_only=True):
    """List the rooms this node is in, and the open rooms of others; the keys ask for some of them only."""

    visibility: Literal["private", "open", "direct"] | None = None
    joined: bool | None = None


class RoomGet(Base, frozen=True, kw_only=True):
    """Describe one room and its members."""

    room: Id


class RoomLinkCreate(Base, frozen=True, kw_only=True):
    """Make a link to a room, for `uses` people at most; `expires_in` in seconds, a week if left out."""

    room: Id
    uses: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    expires_in: Annotated[int, Meta(ge=1, le=366 * 86_400)] | None = None


class RoomLinkUse(Base, frozen=True, kw_only=True):
    """Join the room that a link leads to."""

    link: Link

    def __repr__(self) -> str:
        """Show everything but the link: who has it comes in."""
        return "RoomLinkUse()"


class RoomLinkRevoke(Base, frozen=True, kw_only=True):
    """Close a room's link, by the `invite` it was made as; without one, all that one may close."""

    room: Id
    invite: Id | None = None


class UserJoin(Base, frozen=True, kw_only=True):
    """Accept the open invite to a room, or enter an open one, by its id, name or first 8 characters."""

    room: Who


class UserLeave(Base, frozen=True, kw_only=True):
    """Leave a room."""

    room: Id


class MemberRemove(Base, frozen=True, kw_only=True):
    """Remove somebody from a room."""

    room: Id
    username: Who
    reason: Annotated[str, Meta(max_length=256)] | None = None


class MemberRole(Base, frozen=True, kw_only=True):
    """Give somebody another role in a room; there is one creator, and it stays."""

    room: Id
    username: Who
    role: Literal["member", "greeter", "admin"]


class RoomUpdate(Base, frozen=True, kw_only=True):
    """Change a room's name, topic, who may invite or `history`; an absent key stays as it is."""

    room: Id
    name: Name | None = None
    topic: Topic | None = None
    invite: Annotated[str, Meta(max_length=16)] | None = None
    history: Annotated[int, Meta(ge=0, le=10_000)] | Literal["none", "all"] | None = None


class RoomDelete(Base, frozen=True, kw_only=True):
    """End a room for everybody: nobody sends any more, members keep what they have."""

    room: Id


class RoomRekey(Base, frozen=True, kw_only=True):
    """Renew a room's keys now."""

    room: Id


class DmOpen(Base, frozen=True, kw_only=True):
    """Open the direct room with somebody."""

    username: Who


RoomCommand: TypeAlias = (
    RoomCreate
    | RoomList
    | RoomGet
    | RoomLinkCreate
    | RoomLinkUse
    | RoomLinkRevoke
    | UserJoin
    | UserLeave
    | MemberRemove
    | MemberRole
    | RoomUpdate
    | RoomDelete
    | RoomRekey
    | DmOpen
)

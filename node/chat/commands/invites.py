"""Invites and their answers (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from node.chat.commands.base import MAX_OPTIONS_BYTES, Base, Id, Who


class UserInvite(Base, frozen=True, kw_only=True):
    """Invite a contact or co-member to a room; the offer has `expires_in` seconds to reach somebody."""

    target: Who
    room: Id
    kind: Literal["room", "game"] | None = None
    options: dict[str, Any] | None = None
    client_id: Annotated[str, Meta(max_length=128)] | None = None
    expires_in: Annotated[int, Meta(ge=1, le=86_400)] | None = None

    def __post_init__(self) -> None:
        """Measure the options as they will travel."""
        if self.options is not None and len(msgspec.json.encode(self.options)) > MAX_OPTIONS_BYTES:
            raise ValueError(f"options have at most {MAX_OPTIONS_BYTES} bytes")


class UserInviteResponse(Base, frozen=True, kw_only=True):
    """Answer an invite; without `invite` the latest open one delivered on this connection."""

    response: Literal["accept", "decline", "ignore"]
    invite: Id | None = None


class InviteCancel(Base, frozen=True, kw_only=True):
    """Take an own invite back."""

    invite: Id


class InviteList(Base, frozen=True, kw_only=True):
    """List invites sent and received."""


InviteCommand: TypeAlias = UserInvite | UserInviteResponse | InviteCancel | InviteList

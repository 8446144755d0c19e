"""Invites and how they end (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class UserInvite(Base, frozen=True, kw_only=True):
    """Somebody invites us; `expires_at` is the end of the 120 seconds."""

    sender: str
    room: str
    invite: str
    target: str
    room_name: str
    kind: str
    options: dict[str, Any] | None = None
    expires_at: int
    seq: int | UnsetType = UNSET


class InviteResult(Base, frozen=True, kw_only=True):
    """What became of an invite: `delivered` (with `expires_at`), or how it ended.

    `client_id` is what the inviter's frontend gave; `game_id` that of the game that was accepted; `why` is
    `busy` where a game was cancelled because one of the two plays already.
    """

    invite: str
    room: str
    target: str
    response: str
    kind: str = "room"
    expires_at: int | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    game_id: str | UnsetType = UNSET
    why: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


InviteEvent: TypeAlias = UserInvite | InviteResult

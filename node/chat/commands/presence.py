"""How one is seen, and finding others who want to be found (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from node.chat.commands.base import Base, Limit

MAX_AVATAR_BYTES = 4 * 1024
"""A picture of 64 by 64 as a data URL, an attachment's id, or a few letters."""
Status: TypeAlias = Annotated[str, Meta(max_length=128)]
Sought: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]


class PresenceSet(Base, frozen=True, kw_only=True):
    """Say how to be seen: `online` is as it is, `offline` is invisible; an absent key stays as it is.

    `offline` with `leaving` is a logout: it lasts until a frontend comes or asks for something.
    """

    state: Literal["online", "away", "offline"] | None = None
    status: Status | None = None
    busy: bool | None = None
    leaving: bool | None = None


class PresenceSweep(Base, frozen=True, kw_only=True):
    """Look at once who has been silent for too long, and how we are seen, and tell it."""


class UserSearch(Base, frozen=True, kw_only=True):
    """Look for people by the beginning, or a part, of a name; case and accents do not matter."""

    text: Sought
    limit: Limit | None = None


PresenceCommand: TypeAlias = PresenceSet | PresenceSweep | UserSearch

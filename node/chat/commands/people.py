"""People: contacts, and what one shows of oneself (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from node.chat.commands.base import Base, Link, Name, Secret, Who
from node.chat.commands.presence import MAX_AVATAR_BYTES, Status


class ContactAdd(Base, frozen=True, kw_only=True):
    """Add the person whose contact link this is."""

    link: Link

    def __repr__(self) -> str:
        """Show everything but the link: who has it is answered."""
        return "ContactAdd()"


class ContactList(Base, frozen=True, kw_only=True):
    """List contacts."""


class ContactRename(Base, frozen=True, kw_only=True):
    """Give a person another username on this node."""

    username: Who
    name: Name


class ContactVerify(Base, frozen=True, kw_only=True):
    """Show the safety number of a person; `verified` or the `code` of their screen marks them."""

    username: Who
    verified: bool | None = None
    code: Secret | None = None


class ContactPolicy(Base, frozen=True, kw_only=True):
    """Say what another device of a person does: taken silently, taken and told, or kept back."""

    username: Who
    policy: Literal["tofu", "warn", "strict"]


class ContactLinkCreate(Base, frozen=True, kw_only=True):
    """Make a contact link; `expires_in` in seconds."""

    once: bool | None = None
    expires_in: Annotated[int, Meta(ge=1, le=366 * 86_400)] | None = None


class ContactLinkReset(Base, frozen=True, kw_only=True):
    """Close every contact link given out so far, and make another."""


class ProfileGet(Base, frozen=True, kw_only=True):
    """Describe a person, or oneself."""

    username: Who | None = None


class ProfileSet(Base, frozen=True, kw_only=True):
    """Change what one is called and shows; an absent key stays as it is."""

    name: Name | None = None
    avatar: Annotated[str, Meta(max_length=MAX_AVATAR_BYTES)] | None = None
    status: Status | None = None
    listed: bool | None = None


PeopleCommand: TypeAlias = (
    ContactAdd
    | ContactList
    | ContactRename
    | ContactVerify
    | ContactPolicy
    | ContactLinkCreate
    | ContactLinkReset
    | ProfileGet
    | ProfileSet
)

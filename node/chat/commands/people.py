"""People: contacts, and what one shows of oneself (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from node.chat.commands.base import Base, Link, Name, Secret, Who
from node.chat.commands.presence import MAX_AVATAR_BYTES, Status

MAX_HELLO_BYTES = 256
"""UTF-8 bytes of what is said beside a request: as many as one carries."""


class ContactAdd(Base, frozen=True, kw_only=True):
    """Add the person whose contact link this is."""

    link: Link

    def __repr__(self) -> str:
        """Show everything but the link: who has it is answered."""
        return "ContactAdd()"


class ContactList(Base, frozen=True, kw_only=True):
    """List contacts."""


class ContactRequest(Base, frozen=True, kw_only=True):
    """Ask a co-member, or somebody found, to be a contact; `message` at most 256 bytes of UTF-8."""

    username: Who
    message: Annotated[str, Meta(max_length=MAX_HELLO_BYTES)] | None = None

    def __post_init__(self) -> None:
        """Measure the message in bytes."""
        if self.message is not None and len(self.message.encode()) > MAX_HELLO_BYTES:
            raise ValueError(f"a message beside a request has at most {MAX_HELLO_BYTES} bytes of UTF-8")


class ContactAccept(Base, frozen=True, kw_only=True):
    """Be a contact of somebody who asks."""

    username: Who


class ContactReject(Base, frozen=True, kw_only=True):
    """Do not be a contact of somebody who asks."""

    username: Who


class ContactCancel(Base, frozen=True, kw_only=True):
    """Take an own request back."""

    username: Who


class ContactRemove(Base, frozen=True, kw_only=True):
    """Be no contact of somebody any more."""

    username: Who


class ContactBlock(Base, frozen=True, kw_only=True):
    """Hear nothing of a person any more; `silent`: without telling their node."""

    username: Who
    silent: bool | None = None


class ContactUnblock(Base, frozen=True, kw_only=True):
    """Hear a person again."""

    username: Who


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
    | ContactRequest
    | ContactAccept
    | ContactReject
    | ContactCancel
    | ContactRemove
    | ContactBlock
    | ContactUnblock
    | ContactRename
    | ContactVerify
    | ContactPolicy
    | ContactLinkCreate
    | ContactLinkReset
    | ProfileGet
    | ProfileSet
)

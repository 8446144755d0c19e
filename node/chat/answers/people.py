"""Answers about people."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from node.chat.answers.base import Answer, Row

Presence: TypeAlias = Literal["online", "away", "offline"]
Standing: TypeAlias = Literal["contact", "requested", "pending", "incoming", "none"]


class ContactAsked(Answer):
    """Whose link it was; their name follows as `contact_added`."""

    user_id: str
    state: Standing


class ContactRow(Row):
    """One contact, or somebody who asks, was asked or is blocked; `message` is that of their request."""

    user_id: str
    username: str
    nickname: str | None
    state: Standing
    verified: Literal["unverified", "verified", "changed"]
    blocked: bool
    blocked_by: bool
    message: str
    presence: Presence
    status: str | None
    busy: bool


class ContactRows(Answer):
    """Contacts."""

    contacts: list[ContactRow]


class ContactStands(Answer):
    """How somebody stands to us now."""

    user_id: str
    username: str
    state: Standing


class ContactShut(ContactStands):
    """The same, and who blocks whom."""

    blocked: bool
    blocked_by: bool


class ContactNamed(Answer):
    """What a person is called on this node now."""

    user_id: str
    username: str


class ContactTrust(Answer):
    """What is held of a person's keys."""

    user_id: str
    username: str
    verified: Literal["unverified", "verified", "changed"]
    policy: Literal["tofu", "warn", "strict"]


class ContactNumber(ContactTrust):
    """The same, with the safety number that both ends show, and the code for a QR code."""

    number: str
    code: str


class ContactLink(Answer):
    """A contact link, and the addresses that it carries."""

    link: str
    addresses: list[str]
    once: bool


class ContactLinkAgain(ContactLink):
    """A contact link, and how many that were given out before are closed now."""

    revoked: int


class ProfileFacts(Answer):
    """What a person shows; `link` is one's own, and not for the scope `read`; `room`: the direct one, if any.

    `state` is how they stand to us, `none` of oneself.
    """

    user_id: str
    username: str
    nickname: str | None
    avatar: str | None
    status: str | None
    presence: Presence
    busy: bool
    listed: bool
    blocked: bool
    blocked_by: bool
    room: str | None
    state: Standing
    link: str | UnsetType | None = UNSET


class PresenceFacts(Answer):
    """How we are seen now."""

    state: Presence
    status: str | None
    busy: bool


class PresenceSwept(Answer):
    """How we are seen now, and who was found to be gone."""

    state: Presence
    gone: list[str]


class FoundRow(Row):
    """Somebody who was found."""

    user_id: str
    username: str
    nickname: str | None
    avatar: str | None
    status: str | None
    presence: Presence
    state: Standing


class FoundRows(Answer):
    """People, those whose name begins with the text first."""

    users: list[FoundRow]


ANSWERS: Final[dict[str, type[Answer]]] = {
    "contact_add": ContactAsked,
    "contact_list": ContactRows,
    "contact_request": ContactStands,
    "contact_accept": ContactStands,
    "contact_reject": ContactStands,
    "contact_cancel": ContactStands,
    "contact_remove": ContactStands,
    "contact_block": ContactShut,
    "contact_unblock": ContactShut,
    "contact_rename": ContactNamed,
    "contact_verify": ContactNumber,
    "contact_policy": ContactTrust,
    "contact_link_create": ContactLink,
    "contact_link_reset": ContactLinkAgain,
    "profile_get": ProfileFacts,
    "profile_set": ProfileFacts,
    "presence_set": PresenceFacts,
    "presence_sweep": PresenceSwept,
    "user_search": FoundRows,
}

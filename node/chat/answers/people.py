"""Answers about people."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET, UnsetType

from node.chat.answers.base import Answer, Row


class ContactAsked(Answer):
    """Whose link it was; their name follows as `contact_added`."""

    user_id: str
    state: str


class ContactRow(Row):
    """One contact."""

    user_id: str
    username: str
    nickname: str | None
    state: str
    verified: Literal["unverified", "verified", "changed"]
    blocked: bool
    presence: str


class ContactRows(Answer):
    """Contacts."""

    contacts: list[ContactRow]


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
    """What a person shows; `link` is one's own, and not for the scope `read`."""

    user_id: str
    username: str
    nickname: str | None
    avatar: str | None
    status: str | None
    link: str | UnsetType | None = UNSET


ANSWERS: Final[dict[str, type[Answer]]] = {
    "contact_add": ContactAsked,
    "contact_list": ContactRows,
    "contact_rename": ContactNamed,
    "contact_verify": ContactNumber,
    "contact_policy": ContactTrust,
    "contact_link_create": ContactLink,
    "contact_link_reset": ContactLinkAgain,
    "profile_get": ProfileFacts,
    "profile_set": ProfileFacts,
}

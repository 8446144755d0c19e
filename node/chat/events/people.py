"""Contacts, profiles, keys and presence (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class ContactAdded(Base, frozen=True, kw_only=True):
    """Somebody is a contact now."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class ContactRequested(Base, frozen=True, kw_only=True):
    """Somebody asks to be a contact."""

    username: str
    user_id: str
    message: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class ContactRequestCancelled(Base, frozen=True, kw_only=True):
    """Somebody asks to be a contact no more."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class ContactRejected(Base, frozen=True, kw_only=True):
    """Somebody whom we asked does not want to be a contact."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class ContactRemoved(Base, frozen=True, kw_only=True):
    """Somebody is no contact any more: they, or we, ended it."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class ContactUpdated(Base, frozen=True, kw_only=True):
    """A contact is called otherwise on this node, or their state changed; if so, it is what they are now."""

    username: str
    user_id: str
    state: str | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET
    blocked_by: bool | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class KeyChanged(Base, frozen=True, kw_only=True):
    """A person's keys are not the ones this node knew."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class Profile(Base, frozen=True, kw_only=True):
    """What a person shows of themselves changed."""

    username: str
    user_id: str
    nickname: str | UnsetType | None = UNSET
    avatar: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    seq: int | UnsetType = UNSET


class Presence(Base, frozen=True, kw_only=True):
    """Somebody is online, away or offline now; `presence` and `state` are the same, `busy`: no games now."""

    username: str
    user_id: str
    presence: Literal["online", "away", "offline"]
    state: Literal["online", "away", "offline"] | UnsetType = UNSET
    status: str | UnsetType | None = UNSET
    busy: bool | UnsetType = UNSET


PeopleEvent: TypeAlias = (
    ContactAdded
    | ContactRequested
    | ContactRequestCancelled
    | ContactRejected
    | ContactRemoved
    | ContactUpdated
    | KeyChanged
    | Profile
    | Presence
)

"""What is said, and what becomes of it (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom a message mentions; without `username` nobody whom this node knows."""

    user_id: str
    username: str | UnsetType = UNSET


class Reacted(msgspec.Struct, frozen=True, kw_only=True):
    """How many react to a message with an emoji; `users` are the first of them, `self`: the owner does."""

    emoji: str
    count: int
    users: list[Mention] = []
    mine: bool = msgspec.field(name="self", default=False)


class UserMessage(Base, frozen=True, kw_only=True):
    """A message; `timestamp` is UNIX seconds, `gap` says that something before it is missing.

    Of kind `unreadable`, and empty, it stands for `missing` messages that cannot be opened; `why` says why.
    `nonce` is that of the command which sent it from this node: how a frontend knows its own words again.
    `history` is there, and true, for what was said before we came in: nothing to notify anybody of.
    `mentioned`: it mentions the owner. `ttl`: it is gone so many seconds after it was sent, at `expires_ms`.
    `remote`: it is the address of a picture. `deleted`: its words were erased, by whomever.
    """

    username: str
    timestamp: int
    message: str
    room: str
    id: str
    user_id: str
    kind: str = "text"
    attachment: Any = None
    reply_to: str | None = None
    nonce: str | None = None
    mine: bool = msgspec.field(name="self", default=False)
    ts_ms: int
    gap: bool = False
    history: bool | UnsetType = UNSET
    why: str | UnsetType = UNSET
    missing: int | UnsetType = UNSET
    mentions: list[Mention] | UnsetType = UNSET
    mentioned: bool | UnsetType = UNSET
    ttl: int | UnsetType = UNSET
    expires_ms: int | UnsetType = UNSET
    remote: bool | UnsetType = UNSET
    edited: bool | UnsetType = UNSET
    edited_ms: int | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    reactions: list[Reacted] | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class MessageHealed(Base, frozen=True, kw_only=True):
    """What `placeholder` stood for came after all; `missing` says for how many it still stands, 0: it goes.

    The other keys are those of the `user_message` that belongs there; without `id` none does.
    """

    room: str
    placeholder: str
    missing: int
    username: str | UnsetType = UNSET
    timestamp: int | UnsetType = UNSET
    message: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    attachment: Any = UNSET
    reply_to: str | UnsetType | None = UNSET
    nonce: str | UnsetType | None = UNSET
    mine: bool | UnsetType = msgspec.field(name="self", default=UNSET)
    ts_ms: int | UnsetType = UNSET
    gap: bool | UnsetType = UNSET
    mentions: list[Mention] | UnsetType = UNSET
    mentioned: bool | UnsetType = UNSET
    ttl: int | UnsetType = UNSET
    expires_ms: int | UnsetType = UNSET
    remote: bool | UnsetType = UNSET
    edited: bool | UnsetType = UNSET
    edited_ms: int | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    reactions: list[Reacted] | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class MessageEdited(Base, frozen=True, kw_only=True):
    """The words of a message are others now; only its author changes them."""

    room: str
    id: str
    username: str
    user_id: str
    message: str
    edited_ms: int
    mentions: list[Mention] | UnsetType = UNSET
    mentioned: bool | UnsetType = UNSET
    mine: bool = msgspec.field(name="self", default=False)
    seq: int | UnsetType = UNSET


class MessageDeleted(Base, frozen=True, kw_only=True):
    """The words of a message are gone: `deleted` by its author, `moderated` by an admin, or `expired`.

    `username` and `user_id` are whose deed it was, `self` the owner's; nobody's where it has expired.
    """

    room: str
    id: str
    reason: Literal["deleted", "moderated", "expired"]
    username: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    mine: bool = msgspec.field(name="self", default=False)
    seq: int | UnsetType = UNSET


class Reaction(Base, frozen=True, kw_only=True):
    """Somebody reacts to a message with an emoji (`on`), or does no more."""

    room: str
    id: str
    username: str
    user_id: str
    emoji: str
    on: bool
    ts_ms: int
    mine: bool = msgspec.field(name="self", default=False)
    seq: int | UnsetType = UNSET


class MessageStatus(Base, frozen=True, kw_only=True):
    """Where an own message is, and all that we said before it in this room.

    Queued, sent, held, delivered, read or failed; `by` and `user_id`: for whom, `why`: for `failed` alone.
    """

    id: str
    status: Literal["queued", "sent", "held", "delivered", "read", "failed"]
    by: str | UnsetType = UNSET
    why: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class Typing(Base, frozen=True, kw_only=True):
    """Somebody types in a room, or has stopped."""

    username: str
    room: str
    user_id: str
    typing: bool


MessageEvent: TypeAlias = (
    UserMessage | MessageHealed | MessageEdited | MessageDeleted | Reaction | MessageStatus | Typing
)

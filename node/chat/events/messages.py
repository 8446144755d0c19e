"""What is said, and what becomes of it (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class UserMessage(Base, frozen=True, kw_only=True):
    """A message; `timestamp` is UNIX seconds, `gap` says that something before it is missing.

    Of kind `unreadable`, and empty, it stands for `missing` messages that cannot be opened; `why` says why.
    `nonce` is that of the command which sent it from this node: how a frontend knows its own words again.
    `history` is there, and true, for what was said before we came in: nothing to notify anybody of.
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


MessageEvent: TypeAlias = UserMessage | MessageHealed | MessageStatus | Typing

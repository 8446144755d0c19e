"""What the owner should look at, and what others announce (docs/bridge.md 2, "Notifications")."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class Notification(Base, frozen=True, kw_only=True):
    """Something to look at; the same `id` again says that it was read, or that its cause is `withdrawn`.

    `unread` counts all that are unread after it.
    """

    id: str
    kind: Literal["mention", "invite", "contact", "announcement", "tournament"]
    data: dict[str, Any]
    date: int
    is_read: bool
    withdrawn: bool = False
    unread: int = 0
    seq: int | UnsetType = UNSET


class NotificationsRead(Base, frozen=True, kw_only=True):
    """All notifications up to here are read: `count` of them were not before."""

    count: int
    unread: int
    seq: int | UnsetType = UNSET


class Announcement(Base, frozen=True, kw_only=True):
    """Somebody announces something, in a room or to all contacts (`room` is then null)."""

    id: str
    room: str | None
    username: str
    user_id: str
    kind: Literal["notice", "tournament"]
    text: str
    data: dict[str, Any]
    timestamp: int
    ts_ms: int
    mine: bool = msgspec.field(name="self", default=False)
    seq: int | UnsetType = UNSET


NoticeEvent: TypeAlias = Notification | NotificationsRead | Announcement

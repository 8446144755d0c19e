"""Notifications, and announcing something to many (docs/bridge.md 2, "Notifications")."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from node.chat.commands.base import MAX_OPTIONS_BYTES, Base, Count, Id, Limit

MAX_ANNOUNCEMENT_BYTES = 4 * 1024
"""UTF-8 bytes of one announcement."""


class NotificationList(Base, frozen=True, kw_only=True):
    """List notifications, the newest first; `before` goes on after the one with this id.

    `skip` passes over so many first.
    """

    limit: Limit | None = None
    before: Id | None = None
    skip: Count | None = None
    is_read: bool | None = None
    kind: Literal["mention", "invite", "contact", "announcement", "tournament"] | None = None


class NotificationRead(Base, frozen=True, kw_only=True):
    """Mark one notification as read."""

    id: Id


class NotificationReadAll(Base, frozen=True, kw_only=True):
    """Mark every notification as read."""


class AnnouncementSend(Base, frozen=True, kw_only=True):
    """Announce something in a `room`, or to all `contacts`."""

    room: Id | None = None
    contacts: bool | None = None
    text: Annotated[str, Meta(min_length=1, max_length=MAX_ANNOUNCEMENT_BYTES)]
    kind: Literal["notice", "tournament"] | None = None
    data: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Measure text and data as they will travel."""
        if len(self.text.encode()) > MAX_ANNOUNCEMENT_BYTES:
            raise ValueError(f"an announcement has at most {MAX_ANNOUNCEMENT_BYTES} bytes of UTF-8")
        if self.data is not None and len(msgspec.json.encode(self.data)) > MAX_OPTIONS_BYTES:
            raise ValueError(f"data has at most {MAX_OPTIONS_BYTES} bytes")


NoticeCommand: TypeAlias = NotificationList | NotificationRead | NotificationReadAll | AnnouncementSend

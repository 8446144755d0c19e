"""Answers about notifications and announcements."""

from __future__ import annotations

from typing import Any, Final, Literal

from node.chat.answers.base import Answer, Row


class NoticeRow(Row):
    """One notification; `date` is in UNIX seconds."""

    id: str
    kind: Literal["mention", "invite", "contact", "announcement", "tournament"]
    data: dict[str, Any]
    date: int
    is_read: bool
    withdrawn: bool


class NoticeRows(Answer):
    """Notifications, newest first, how many are unread in all, and whether there are more.

    `count`: how many there are of those that were asked for, on whatever page.
    """

    notifications: list[NoticeRow]
    unread: int
    more: bool
    count: int


class NoticeRead(Answer):
    """Which notification it was, and how many are unread now."""

    id: str
    unread: int


class NoticesRead(Answer):
    """How many were unread, and how many are now: none."""

    count: int
    unread: int


class Announced(Answer):
    """The announcement's id, its time in UNIX milliseconds, and for how many it is meant."""

    id: str
    ts_ms: int
    recipients: int


ANSWERS: Final[dict[str, type[Answer]]] = {
    "notification_list": NoticeRows,
    "notification_read": NoticeRead,
    "notification_read_all": NoticesRead,
    "announcement_send": Announced,
}

"""Commands about notifications and announcements (docs/bridge.md section 2)."""

from __future__ import annotations

from node import ids
from node.chat import commands as c
from node.chat.notices import MAX_NOTICES, missing
from node.chat.turn import Turn
from node.engine.desk import Answer, Desk

DEFAULT_NOTICES = 50


def notification_list(desk: Desk, _turn: Turn, _session: int, command: c.NotificationList) -> Answer:
    """List notifications, the newest first."""
    notices = desk.state.notices
    rows, more = notices.listing(
        limit=command.limit or DEFAULT_NOTICES,
        before=None if command.before is None else _notice_id(command.before, "before"),
        is_read=command.is_read,
        kind=command.kind,
        skip=min(command.skip or 0, MAX_NOTICES),
    )
    count = notices.count(is_read=command.is_read, kind=command.kind)
    return {"notifications": rows, "unread": notices.unread, "more": more, "count": count}


def notification_read(desk: Desk, turn: Turn, _session: int, command: c.NotificationRead) -> Answer:
    """Mark a notification as read; every frontend hears of it."""
    desk.state.notices.read(turn, _notice_id(command.id, "id"))
    return {"id": command.id, "unread": desk.state.notices.unread}


def notification_read_all(desk: Desk, turn: Turn, _session: int, _command: c.NotificationReadAll) -> Answer:
    """Mark every notification as read; every frontend hears of it."""
    return {"count": desk.state.notices.read_all(turn), "unread": 0}


def _notice_id(text: str, key: str) -> bytes:
    try:
        return ids.parse(text)
    except ValueError:
        raise missing(key) from None


def announcement_send(desk: Desk, turn: Turn, _session: int, command: c.AnnouncementSend) -> Answer:
    """Announce something in a room, or to all contacts."""
    return desk.inbox.announcing.send(turn, command)

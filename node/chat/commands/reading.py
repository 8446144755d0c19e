"""What was read here, and what became of what we said (docs/bridge.md 2)."""

from __future__ import annotations

from typing import TypeAlias

from node.chat.commands.base import Base, Count, Id


class RoomRead(Base, frozen=True, kw_only=True):
    """Mark a room as read, up to message `id` or whole."""

    room: Id
    id: Id | None = None


class MessageRead(Base, frozen=True, kw_only=True):
    """Mark a room as read up to one message."""

    room: Id
    id: Id


class MessageWhy(Base, frozen=True, kw_only=True):
    """Say of everybody an own message went to whether they have it, and why not; `room` saves a search."""

    id: Id
    room: Id | None = None


class LedgerGet(Base, frozen=True, kw_only=True):
    """Say how far own messages have come in a room, with everybody, as positions in the event log."""

    room: Id


class RoomMute(Base, frozen=True, kw_only=True):
    """Mute a room, for good or `until` then (UNIX seconds), or with `muted` false no longer."""

    room: Id
    until: Count | None = None
    muted: bool | None = None


class ReceiptsGet(Base, frozen=True, kw_only=True):
    """Say which receipts this node sends."""


class ReceiptsSet(Base, frozen=True, kw_only=True):
    """Choose which receipts this node sends; what is left out stays as it is."""

    read: bool | None = None
    strangers: bool | None = None


ReadingCommand: TypeAlias = (
    RoomRead | MessageRead | MessageWhy | LedgerGet | RoomMute | ReceiptsGet | ReceiptsSet
)

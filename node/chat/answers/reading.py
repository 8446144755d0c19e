"""Answers about what was read, and what became of what we said."""

from __future__ import annotations

from typing import Final, Literal

from node.chat.answers.base import Answer, Row


class ReadTo(Answer):
    """The message up to which was read, and how many messages of the room are still unread."""

    room: str
    id: str
    unread: int


class RoomMuted(Answer):
    """Whether the room is muted, and until when in UNIX seconds: null is for good."""

    room: str
    muted: bool
    muted_until: int | None


class RecipientRow(Row):
    """How far a message is with one recipient, why not further, and since when in UNIX seconds."""

    user_id: str
    username: str
    status: Literal["queued", "sent", "held", "delivered", "read", "failed"]
    why: str
    since: int


class Recipients(Answer):
    """Everybody whom a message went to."""

    id: str
    recipients: list[RecipientRow]


class LedgerRow(Row):
    """Up to which `seq` our messages have come to somebody, and were read; 0: none."""

    user_id: str
    username: str
    delivered: int
    read: int


class Ledger(Answer):
    """Up to which `seq` our messages in a room are held for others, and how far everybody is.

    `read_seq`: up to where the owner has read what others said; of that, `unread` messages are left.
    """

    room: str
    held: int
    recipients: list[LedgerRow]
    read_seq: int
    unread: int


class Receipting(Answer):
    """Whether others learn what was read, and whether more than contacts get receipts."""

    read: bool
    strangers: bool


ANSWERS: Final[dict[str, type[Answer]]] = {
    "message_read": ReadTo,
    "room_mute": RoomMuted,
    "message_why": Recipients,
    "ledger_get": Ledger,
    "receipts_get": Receipting,
    "receipts_set": Receipting,
}

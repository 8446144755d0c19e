"""Answers about messages."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET, UnsetType

from node.chat.answers.base import Answer
from node.chat.events import UserMessage


class MessageSent(Answer):
    """The message's id, its time in UNIX milliseconds, and whether it could leave."""

    id: str
    ts_ms: int
    status: Literal["sent", "queued"]


class MessagePage(Answer):
    """Messages, oldest first (of a search: newest first), and whether there are more."""

    messages: list[UserMessage]
    more: bool


class HistoryPage(MessagePage):
    """The same, and with `count`, if it was asked for, how many the room has in all."""

    count: int | UnsetType = UNSET


class MessageChanged(Answer):
    """The message, and when its words were changed last, in UNIX milliseconds."""

    room: str
    id: str
    edited_ms: int


class MessageGone(Answer):
    """The message."""

    room: str
    id: str


class ReactionTold(Answer):
    """The reaction as it is now."""

    room: str
    id: str
    emoji: str
    on: bool


class TypingTold(Answer):
    """Whether anything was sent."""

    room: str
    told: bool


ANSWERS: Final[dict[str, type[Answer]]] = {
    "user_message": MessageSent,
    "history_get": HistoryPage,
    "search": MessagePage,
    "message_edit": MessageChanged,
    "message_delete": MessageGone,
    "reaction_set": ReactionTold,
    "typing_set": TypingTold,
}

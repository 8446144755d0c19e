"""Answers about messages."""

from __future__ import annotations

from typing import Final

from node.chat.answers.base import Answer
from node.chat.events import UserMessage


class MessageSent(Answer):
    """The message's id and its time, in UNIX milliseconds."""

    id: str
    ts_ms: int


class MessagePage(Answer):
    """Messages, oldest first, and whether there are more."""

    messages: list[UserMessage]
    more: bool


class TypingTold(Answer):
    """Whether anything was sent."""

    room: str
    told: bool


ANSWERS: Final[dict[str, type[Answer]]] = {
    "user_message": MessageSent,
    "history_get": MessagePage,
    "typing_set": TypingTold,
}

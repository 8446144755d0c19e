"""Answers about attachments."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET, UnsetType

from node.chat.answers.base import Answer


class AttachmentStored(Answer):
    """The id that `user_message` takes, and what is told of the content; `hash` in hexadecimal digits."""

    attachment: str
    name: str
    type: str
    size: int
    hash: str


class AttachmentFacts(Answer):
    """What is known of an attachment; `data` is its content in base64, if it is here and small.

    `received` bytes of its `size` are here.
    """

    id: str
    name: str
    type: str
    size: int
    state: Literal["pending", "ready", "failed"]
    received: int
    hash: str
    url: str | None = None
    data: str | UnsetType = UNSET


ANSWERS: Final[dict[str, type[Answer]]] = {
    "attachment_put": AttachmentStored,
    "attachment_get": AttachmentFacts,
}

"""What becomes of an attachment that a message named."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class Attachment(Base, frozen=True, kw_only=True):
    """An attachment is on its way, here, or will not come; `received` of `size` bytes. Not logged."""

    id: str
    room: str
    name: str
    state: Literal["pending", "progress", "ready", "failed"]
    received: int
    size: int
    why: str | UnsetType = UNSET
    url: str | UnsetType | None = UNSET


AttachmentEvent: TypeAlias = Attachment

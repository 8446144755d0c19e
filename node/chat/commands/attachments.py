"""Attachments: small ones through the socket, all others over HTTP (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from node.chat.commands.base import Base, Id

MAX_INLINE_BYTES = 512 * 1024
"""Content that a frame carries: as base64 it stays well under the 1 MiB of one."""

FileName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
MediaType: TypeAlias = Annotated[str, Meta(min_length=1, max_length=127)]
Data: TypeAlias = Annotated[str, Meta(max_length=(MAX_INLINE_BYTES + 2) // 3 * 4)]


class AttachmentPut(Base, frozen=True, kw_only=True):
    """Store a small file, `data` in base64, to be named in a message."""

    data: Data
    name: FileName
    type: MediaType | None = None


class AttachmentGet(Base, frozen=True, kw_only=True):
    """Describe an attachment; a small one comes along."""

    id: Id


AttachmentCommand: TypeAlias = AttachmentPut | AttachmentGet

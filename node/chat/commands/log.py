"""Opening a session and following the event log (docs/bridge.md 3)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from node.chat.commands.base import Base, Count, Id, Name, Secret


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """What a session wants to see; an absent list means everything, an empty one nothing."""

    events: Annotated[list[str], Meta(max_length=256)] | None = None
    rooms: Annotated[list[Id], Meta(max_length=1024)] | None = None


class ResumeAt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stopped: the log epoch and the last `seq` it has."""

    epoch: Annotated[str, Meta(max_length=64)]
    seq: Count


class Hello(Base, frozen=True, kw_only=True):
    """Open a session: credential, subscription, and where to go on."""

    token: Secret | None = None
    client: Annotated[str, Meta(max_length=128)] | None = None
    subscribe: Subscribe | None = None
    resume: ResumeAt | None = None
    consumer: Name | None = None

    def __repr__(self) -> str:
        """Show everything but the token."""
        return f"Hello(client={self.client!r}, resume={self.resume!r}, consumer={self.consumer!r})"


class Ack(Base, frozen=True, kw_only=True):
    """Move the stored cursor of this session's consumer."""

    seq: Count


LogCommand: TypeAlias = Hello | Ack

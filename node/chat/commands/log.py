"""Opening a session, following the event log, and doing several things at once (docs/bridge.md 2, 3)."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from node.chat.commands.base import Base, Count, Id, Name, Secret

MAX_BATCH = 64
"""Commands of a `batch`: as many messages keep the node busy for about 30 ms."""


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


class ConsumerList(Base, frozen=True, kw_only=True):
    """List the named consumers and how far each has come."""


class ConsumerRemove(Base, frozen=True, kw_only=True):
    """Forget a named consumer and its cursor."""

    name: Name


class Batch(Base, frozen=True, kw_only=True):
    """Do several commands at once, in one commit; `halt_on_error`: none after the first that is refused."""

    commands: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=MAX_BATCH)]
    halt_on_error: bool = False

    def __repr__(self) -> str:
        """Show how many: what is in them is not looked at yet."""
        return f"Batch({len(self.commands)} commands)"


LogCommand: TypeAlias = Hello | Ack | ConsumerList | ConsumerRemove | Batch

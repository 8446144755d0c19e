"""About a session itself: never logged, not subject to a subscription (docs/bridge.md 3)."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from node.chat.events.base import Base, Req


class Hello(Base, frozen=True, kw_only=True):
    """The answer to `hello`, and where live events start: after `seq`."""

    req: str | int | UnsetType | None = UNSET
    protocol: str
    node_version: str
    user_id: str
    username: str
    log_epoch: str
    seq: int
    features: list[str]
    deprecated: list[str]
    connectivity: str


class Ok(Base, frozen=True, kw_only=True):
    """A command is done (and committed); `fields` stand beside `req` on the wire."""

    req: Req = None
    fields: dict[str, Any] = msgspec.field(default_factory=dict)


class Error(Base, frozen=True, kw_only=True):
    """A command or a frame was refused; `extra` stands beside the other keys on the wire."""

    code: str
    message: str
    field: str | UnsetType = UNSET
    retryable: bool = False
    retry_after: float | UnsetType = UNSET
    req: Req = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict)


class Warning(Base, frozen=True, kw_only=True):
    """Something the owner should know, with a stable code; `offset_s` is that of `clock_skew`."""

    code: str
    message: str
    offset_s: float | UnsetType = UNSET


class CaughtUp(Base, frozen=True, kw_only=True):
    """Everything up to `seq` that was asked for has been sent."""

    seq: int


class Lagged(Base, frozen=True, kw_only=True):
    """A frontend reads too slowly: the socket closes, resume at `resume_from`."""

    resume_from: int


SessionEvent: TypeAlias = Hello | Ok | Error | Warning | CaughtUp | Lagged

"""What every event shares: the key `event` that says which it is."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from node.chat.commands import snake

Req: TypeAlias = str | int | None


class Base(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=snake):
    """An event; times named `_ms` are UNIX milliseconds, all others UNIX seconds, whole."""

"""What the bridge reads from the store by itself, past the engine: the log, histories, searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, assert_never

from node.bridge.ports import ReadHistory, ReadSearch


class Reader(Protocol):
    """What the bridge reads from the store."""

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the logged events after `seq`, oldest first, at most `limit`."""
        ...

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int
    ) -> tuple[list[bytes], bool]:
        """Return messages of a room, oldest first, and whether there are more."""
        ...

    async def search(
        self, text: str, room: bytes | None, before: tuple[bytes, Sequence[bytes]] | None, limit: int
    ) -> tuple[list[bytes], bool]:
        """Return messages that hold a text, newest first, and whether there are more."""
        ...


async def found(reader: Reader, effect: ReadHistory | ReadSearch) -> tuple[list[bytes], bool]:
    """Return the messages that were asked for, and whether there are more; raises Refused."""
    match effect:
        case ReadHistory():
            return await reader.history(effect.room, effect.before, effect.after, effect.limit)
        case ReadSearch():
            return await reader.search(effect.text, effect.room, effect.before, effect.limit)
        case _:
            assert_never(effect)

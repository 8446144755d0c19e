"""What the bridge reads from the store by itself, past the engine: the log, histories, searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, assert_never

from node.bridge.ports import ReadHistory, ReadSearch
from node.chat import finding


class Reader(Protocol):
    """What the bridge reads from the store."""

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the logged events after `seq`, oldest first, at most `limit`."""
        ...

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        """Return messages of a room, oldest first, and whether there are more."""
        ...

    async def message_count(self, room: bytes) -> int:
        """Return how many messages of a room are stored."""
        ...

    async def search(
        self, text: str, room: bytes | None, before: tuple[bytes, Sequence[bytes]] | None, limit: int
    ) -> tuple[list[bytes], bool]:
        """Return messages that hold a text, newest first, and whether there are more."""
        ...


async def found(reader: Reader, effect: ReadHistory | ReadSearch) -> tuple[list[bytes], dict[str, Any]]:
    """Return the messages that were asked for, and what is told beside them; raises Refused.

    One answer has no more of them than a frontend may have waiting, whatever members have written.
    """
    match effect:
        case ReadHistory(_, _, room, before, after, limit):
            bodies, more = await reader.history(room, before, after, limit, effect.skip)
            if effect.count:  # such pages follow each other by number: each has all of its own
                return bodies, {"more": more, "count": await reader.message_count(room)}
            kept, cut = finding.page(bodies if after is not None else bodies[::-1], limit)
            return kept if after is not None else kept[::-1], {"more": more or cut}
        case ReadSearch():
            bodies, more = await reader.search(effect.text, effect.room, effect.before, effect.limit)
            return bodies, {"more": more}
        case _:
            assert_never(effect)

"""What the bridge reads from the store by itself: pages that a frontend can have waiting."""

from __future__ import annotations

import pytest

from node.bridge.http_reading import found
from node.bridge.outbox import MAX_BYTES
from node.bridge.ports import ReadHistory
from node.store.memory import MemoryStore
from node.store.records import PutMessage

ROOM = b"r" * 16


class Kept:
    """A store of messages as long as JSON makes them: 16 KiB of what is written as six letters each."""

    def __init__(self, count: int, size: int = 6 * 16_384) -> None:
        self.store = MemoryStore()
        self.store.commit(
            [PutMessage(ROOM, bytes([n] * 16), n, b"%d" % n + b"x" * size) for n in range(count)]
        )

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        raise NotImplementedError

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        return self.store.history(room, before, after, limit, skip)

    async def message_count(self, room: bytes) -> int:
        return self.store.message_count(room)

    async def search(self, *_asked: object) -> tuple[list[bytes], bool]:
        raise NotImplementedError


def asked(*, after: bytes | None = None, count: bool = False) -> ReadHistory:
    return ReadHistory(1, 1, ROOM, None, after, 200, count=count)


@pytest.mark.parametrize(("after", "first", "last"), [(None, "79", "99"), (bytes(16), "1", "21")])
async def test_a_page_of_the_longest_messages_does_not_close_who_asked_for_it(
    after: bytes | None, first: str, last: str
) -> None:
    bodies, rest = await found(Kept(100), asked(after=after))
    assert rest == {"more": True} and sum(map(len, bodies)) < MAX_BYTES // 2
    assert (bodies[0].rstrip(b"x"), bodies[-1].rstrip(b"x")) == (first.encode(), last.encode())


async def test_a_page_of_usual_messages_is_whole_and_so_is_one_that_is_counted() -> None:
    assert (await found(Kept(100, 900), asked()))[1] == {"more": False}
    bodies, rest = await found(Kept(100), asked(count=True))
    assert len(bodies) == 100 and rest == {"more": False, "count": 100}

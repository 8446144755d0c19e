"""What the engine asks of the store comes back to the engine that has asked, and tells what is on disk."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from node.bridge.ports import CommandReceived, Deliver, ReadAnswered
from node.chat import commands
from node.engine.effects import (
    AnswerStatus,
    ChannelRead,
    FetchMessages,
    Input,
    MessagesFetched,
    ReadChannel,
)
from node.gathering import Gathering
from node.reads import Reads
from node.store.records import Gone, PutEnvelope

SEALED = PutEnvelope(bytes(32), bytes(32), 0, 1, shelf=0, raw=b"sealed")


class Store:
    """Has the message `here` of any room, and no envelope; writes when it is let."""

    def __init__(self) -> None:
        self.on_disk: list[Any] = []
        self.seen: list[list[Any]] = []
        self.writing = asyncio.Event()

    async def commit(self, writes: Any) -> Gone:
        await self.writing.wait()
        self.on_disk.extend(writes)
        return Gone()

    async def message(self, room: bytes, mid: bytes) -> bytes | None:
        return room + mid if mid == b"here" else None

    async def envelopes_by_rk(self, _keys: Any, _most: int, _after: Any) -> list[bytes]:
        self.seen.append(list(self.on_disk))
        return []

    async def stats(self) -> dict[str, int]:
        return {"db_bytes": 5}


def reading() -> tuple[Reads, Store, list[Input], list[Deliver]]:
    store, answers, told = Store(), list[Input](), list[Deliver]()
    held = Gathering(store, lambda _gone: None, lambda _task: None)  # type: ignore[arg-type] # a stand-in
    return Reads(store, held, answers.append, told.append, lambda _task: None), store, answers, told  # type: ignore[arg-type]


async def answered(reads: Reads) -> None:
    async with asyncio.timeout(5):
        while len(reads):
            await asyncio.sleep(0)


async def test_messages_are_fetched_as_the_store_has_them() -> None:
    reads, _, answers, _ = reading()
    reads.begin(FetchMessages(b"room", (b"here", b"gone")))
    await answered(reads)
    assert answers == [MessagesFetched(b"room", ((b"here", b"roomhere"), (b"gone", None)))]


async def test_what_was_read_for_an_engine_is_not_handed_to_the_one_in_its_place() -> None:
    reads, _, answers, _ = reading()
    reads.begin(FetchMessages(b"room", (b"x",)))
    reads.generation += 1
    await answered(reads)
    assert answers == []
    reads.begin(FetchMessages(b"room", (b"x",)))
    await answered(reads)
    assert len(answers) == 1


async def test_what_a_frontend_waits_for_reaches_whichever_engine_there_is() -> None:
    reads, _, answers, told = reading()
    asked = CommandReceived(1, commands.NodeStatus(req=5))
    reads.begin(AnswerStatus(1, 5, {"peers": 2}, asked))
    reads.generation += 1
    await answered(reads)
    assert answers == [ReadAnswered(asked, {"peers": 2, "db_bytes": 5})]
    reads.begin(AnswerStatus(1, 6, {}, None))
    await answered(reads)
    assert [(one.session, getattr(one.event, "req", None)) for one in told] == [(1, 6)]


async def test_a_channel_is_read_only_when_what_is_being_written_for_it_is_there() -> None:
    reads, store, answers, _ = reading()
    reads._held.add(SEALED, now=time.monotonic())
    for _ in range(2):
        reads.begin(ReadChannel((1, b"owner", b"part"), (SEALED.rk,)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.seen == []
    store.writing.set()
    await answered(reads)
    assert store.seen == [[SEALED], [SEALED]]
    assert [type(answer) for answer in answers] == [ChannelRead, ChannelRead]


async def test_who_stops_waits_for_answers_so_long_and_no_longer() -> None:
    reads, store, answers, _ = reading()
    reads._held.add(SEALED, now=time.monotonic())
    reads.begin(ReadChannel((1, b"owner", b"part"), (SEALED.rk,)))
    await reads.answered(0.01)
    assert (answers, len(reads)) == ([], 1)
    await reads.stop()
    assert (answers, len(reads)) == ([], 0)
    assert store.seen == []

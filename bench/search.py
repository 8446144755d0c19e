"""A search over 100,000 messages, and what others notice of it: lag of the loop, commits."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import bridge
from bench.figures import Figures
from node import ids
from node.chat import events
from node.chat.commands import MAX_BATCH
from node.chat.finding import Needle
from node.crypto.vault import Cells, StoreKeys
from node.store.records import AppendEvent, Put, PutMessage, Write
from node.store.sqlite import SqliteStore
from node.store.writer import message_place

ROOMS = 20
TICK = 0.002
LIVE = 6_400
WORDS = ("the", "tea", "is", "ready", "when", "you", "are", "and", "a", "kettle", "boils", "since", "nine")


def said(number: int) -> tuple[bytes, bytes, bytes]:
    """Return (room, message id, body) of a message of usual length; one in 25,000 has the word sought."""
    room, mid = ids.uuid8(bytes([number % ROOMS]) * 16), ids.uuid8(number.to_bytes(16, "big"))
    text = " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 20))
    event = events.UserMessage(
        username="bob",
        timestamp=1_790_000_000 + number,
        message=f"{text} samovar" if number % 25_000 == 7 else text,
        room=ids.text(room),
        id=ids.text(mid),
        user_id=ids.text(mid),
        ts_ms=1_790_000_000_000 + number,
        seq=number + 1,
    )
    return room, mid, events.encode_json(event)


async def filled(path: Path, count: int) -> SqliteStore:
    """Return a store with so many messages."""
    store = await SqliteStore.open(path, StoreKeys(b"m" * 32, (b"s" * 32,)))
    for start in range(0, count, 5_000):
        writes: list[Write] = []
        for number in range(start, min(count, start + 5_000)):
            room, mid, body = said(number)
            writes.append(PutMessage(room, mid, number + 1, body))
            writes.append(AppendEvent(number + 1, 1, None, (room, mid)))
        await store.commit(writes)
    return store


async def measure(count: int = 100_000, seconds: float = 4.0, live: int = LIVE) -> list[Figures]:
    """Search for a rare word, alone and with a loop that ticks and commits beside it."""
    found: list[Figures] = []

    def keep(figures: Figures) -> None:
        found.append(figures)
        print(f"  {figures.line()}", flush=True)

    with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
        store = await filled(Path(name) / "search.db", count)
        try:
            for part in parts(count // 5):
                keep(part)
            await store.search("samovar", None, None, 50)  # the pages of the file are in memory now
            times = [await _timed(store, count) for _ in range(5)]
            keep(Figures(f"a search over {count:,} messages", count / min(times), times))
            keep(Figures("ticks of a loop at rest", None, await _lags(seconds, store)))
            searching = asyncio.create_task(_for_ever(store))
            keep(Figures("ticks and commits during searches", None, await _lags(seconds, store)))
            searching.cancel()
            await asyncio.gather(searching, return_exceptions=True)
        finally:
            await store.close()
        async with bridge.pair(Path(name)) as pair:
            for part in await _live(pair, live, round(125 * seconds)):
                keep(part)
    return found


async def _live(pair: bridge.Pair, messages: int, sent: int) -> list[Figures]:
    """Measure two real nodes at 100 messages a second, alone and while a frontend searches the sender's."""
    for _ in range(messages // MAX_BATCH):
        some = [{"event": "user_message", "room": pair.room, "message": "x" * 200}] * MAX_BATCH
        await pair.sender.call("batch", commands=some)
    async with asyncio.timeout(60):
        left = messages // MAX_BATCH * MAX_BATCH
        async for event in pair.receiver.events():
            left -= event["event"] == "user_message"
            if not left:
                break
    alone = await pair.latency(sent, 100.0)
    searching = asyncio.create_task(_searches(pair))
    beside = await pair.latency(sent, 100.0)
    searching.cancel()
    await asyncio.gather(searching, return_exceptions=True)
    return [
        Figures("bridge to bridge at 100/s", None, alone.times),
        Figures("bridge to bridge beside searches", None, beside.times),
    ]


async def _searches(pair: bridge.Pair) -> None:
    while True:
        assert not (await pair.sender.call("search", text="samovar"))["messages"]


def parts(count: int) -> Iterator[Figures]:
    """Measure what a message costs: its key, its opening, the look at it."""
    cells = Cells(os.urandom(32), os.urandom(32), os.urandom)
    body, needle = said(1)[2], Needle.of("samovar")
    places = [message_place(os.urandom(16), bytes(16), number) for number in range(count)]
    boxes = [cells.seal("messages", "body", place, body) for place in places]
    opened = cells.opener("messages", "body")
    started = time.perf_counter()
    for place, box in zip(places, boxes, strict=True):
        opened(place, box)
    yield Figures("  of it: keys and opening", count / (time.perf_counter() - started))
    started = time.perf_counter()
    for _ in range(count):
        needle.found(body)
    yield Figures("  of it: looking", count / (time.perf_counter() - started))
    started = time.perf_counter()
    for _ in range(count):
        msgspec.json.decode(body)
    yield Figures("  not done: reading the JSON whole", count / (time.perf_counter() - started))


async def _timed(store: SqliteStore, count: int) -> float:
    started = time.perf_counter()
    found, more = await store.search("samovar", None, None, 50)
    assert len(found) == len(range(7, count, 25_000)) and not more
    return time.perf_counter() - started


async def _for_ever(store: SqliteStore) -> None:
    while True:
        await store.search("samovar", None, None, 50)


async def _lags(seconds: float, store: SqliteStore) -> list[float]:
    """Tick for a while, a small commit at each tick; return by how much each was late, commit and all."""
    lags: list[float] = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        await asyncio.sleep(TICK)
        await store.commit([Put("settings", b"bench", os.urandom(200))])
        lags.append(time.perf_counter() - started - TICK)
    return lags

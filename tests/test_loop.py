"""The loop around the engine when the disk is full: nothing is acknowledged, everybody is told, it stops."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from node.bridge.ports import CommandReceived, Deliver
from node.chat import commands, events
from node.clock import Instant
from node.engine.effects import Effect, FetchMessages, Hold, MessagesFetched, Persist, ReadChannel
from node.errors import Fatal, StoreFull
from node.loop import EngineLoop
from node.store.records import Put, PutEnvelope
from node.tables import Table

FULL = StoreFull("the database could not be written: database or disk is full")
SEALED = PutEnvelope(bytes(32), bytes(32), 0, 1, own=False, raw=b"sealed")


class FullStore:
    """A store whose disk takes nothing more."""

    first_seq = 7

    def __init__(self) -> None:
        self.cleaned = 0

    async def commit(self, writes: Any) -> None:
        raise FULL

    async def expire(self, now_ms: int) -> list[bytes]:
        self.cleaned += 1
        raise FULL


class Bridge:
    """Takes what is to be shown."""

    def __init__(self) -> None:
        self.told: list[tuple[int, events.Event]] = []

    def perform(self, effect: Any) -> None:
        assert isinstance(effect, Deliver)
        self.told.append((effect.session, effect.event))


def machine(effects: list[Effect]) -> Any:
    """An engine that answers every input with these effects, with sessions 1 and 2 attached."""
    return SimpleNamespace(
        deadline=None,
        handle=lambda _event, now: list(effects),
        state=SimpleNamespace(sessions={1: 0, 2: 0}),
        mesh=SimpleNamespace(forget=lambda _eids: None),
    )


def looped(effects: list[Effect]) -> tuple[EngineLoop, Bridge, FullStore]:
    store, bridge = FullStore(), Bridge()
    loop = EngineLoop(store, lambda: Instant(time.monotonic(), 0))  # type: ignore[arg-type] # a stand-in
    loop._engine, loop.bridge = machine(effects), bridge
    return loop, bridge, store


async def test_a_full_disk_answers_the_batch_and_stops_the_node() -> None:
    done = events.Ok(req=5, fields={"id": "x"})
    loop, bridge, _ = looped([Persist((Put(Table.SELF, b"k", b"v"),)), Deliver(1, done)])
    loop.submit(CommandReceived(1, commands.RoomCreate(name="tea", req=5)))
    with pytest.raises(Fatal) as fatal:
        await loop.run()
    assert (fatal.value.code, fatal.value.exit_code) == ("storage_full", 1)
    assert [session for session, _ in bridge.told] == [1, 1, 2]
    (_, failed), (_, warned), _ = bridge.told
    assert isinstance(failed, events.Error)
    assert (failed.code, failed.req, failed.retryable) == ("storage_full", 5, True)
    assert isinstance(warned, events.Warning)
    assert warned.code == "storage_full"


async def test_a_sealed_envelope_that_finds_no_room_stops_the_node_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.loop.HOLD_SECONDS", 0.0)
    loop, bridge, _ = looped([Hold(SEALED)])
    loop.submit(CommandReceived(1, commands.RoomList()))
    with pytest.raises(Fatal, match="make room"):
        await loop.run()
    assert [session for session, _ in bridge.told] == [1, 2]


async def test_what_expires_is_left_for_later_when_there_is_no_room_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, _, store = looped([])
    await loop._keep_house(Instant(time.monotonic(), 0))
    await loop._keep_house(Instant(time.monotonic(), 0))
    assert store.cleaned == 1
    assert "tried again" in caplog.text


async def test_messages_are_fetched_as_the_store_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, _, store = looped([])

    async def message(room: bytes, mid: bytes) -> bytes | None:
        return room + mid if mid == b"here" else None

    answers: list[Any] = []
    monkeypatch.setattr(store, "message", message, raising=False)
    monkeypatch.setattr(loop, "submit", answers.append)
    await loop._read(FetchMessages(b"room", (b"here", b"gone")))
    assert answers == [MessagesFetched(b"room", ((b"here", b"roomhere"), (b"gone", None)))]


async def test_a_channel_is_read_only_when_what_is_being_written_for_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, _, store = looped([])
    writing, on_disk, seen = asyncio.Event(), [], []

    async def commit(writes: Any) -> None:
        await writing.wait()
        on_disk.extend(writes)

    async def envelopes_by_rk(keys: Any, most: int, after: Any) -> list[bytes]:
        seen.append(list(on_disk))
        return []

    monkeypatch.setattr(store, "commit", commit)
    monkeypatch.setattr(store, "envelopes_by_rk", envelopes_by_rk, raising=False)
    loop._perform(Hold(SEALED))
    read = ReadChannel((1, b"owner", b"part"), (SEALED.rk,))
    reads = [asyncio.create_task(loop._read(read)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == []
    writing.set()
    await asyncio.gather(*reads)
    assert seen == [[SEALED], [SEALED]]

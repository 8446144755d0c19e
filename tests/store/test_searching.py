"""A search on disk: in slices, a few at a time, ended with who asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from node.errors import Fatal
from node.store import searching
from node.store.migrations import STEPS
from node.store.records import PutMessage
from node.store.sqlite import SqliteStore
from tests.store.samples import KEYS, ROOM, mid


def message(number: int, text: str = "tea") -> PutMessage:
    body = msgspec.json.encode({"event": "user_message", "message": text, "n": number})
    return PutMessage(ROOM, mid(number), number, body)


async def test_slices_together_find_what_one_would(
    disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disk.commit([message(n, "tea" if n % 7 == 0 else "x") for n in range(1, 100)])
    whole = await disk.search("tea", None, None, 200)
    for size in (1, 2, 5, 98, 99, 100):
        monkeypatch.setattr(searching, "SLICE_MESSAGES", size)
        assert await disk.search("tea", None, None, 200) == whole
    monkeypatch.setattr(searching, "SLICE_BYTES", 1)
    assert await disk.search("tea", ROOM, None, 200) == whole
    assert [msgspec.json.decode(body)["n"] for body in whole[0]] == list(range(98, 0, -7))


async def test_two_messages_at_one_place_are_both_found(
    disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SLICE_MESSAGES", 1)
    body = msgspec.json.encode({"event": "user_message", "message": "tea"})
    await disk.commit([PutMessage(ROOM, mid(n), 5, body) for n in range(4)])
    assert len((await disk.search("tea", None, None, 9))[0]) == 4
    assert len((await disk.search("tea", ROOM, (mid(2), (ROOM,)), 9))[0]) == 2


async def test_other_reads_wait_for_one_slice_and_not_for_the_search(
    disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SLICE_MESSAGES", 1)
    await disk.commit([message(n) for n in range(1, 500)])
    searches = [asyncio.create_task(disk.search("nowhere", None, None, 9)) for _ in range(5)]
    await asyncio.sleep(0)
    await disk.history(ROOM, None, None, 1)
    assert not any(search.done() for search in searches)
    assert disk._searches.locked()
    assert await asyncio.gather(*searches) == [([], False)] * 5


async def test_a_search_that_is_cancelled_makes_room_for_another(
    disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SLICE_MESSAGES", 1)
    await disk.commit([message(n) for n in range(1, 2000)])
    searches = [asyncio.create_task(disk.search("nowhere", None, None, 9)) for _ in range(2)]
    await asyncio.sleep(0.01)
    for search in searches:
        search.cancel()
    await asyncio.gather(*searches, return_exceptions=True)
    monkeypatch.setattr(searching, "SLICE_MESSAGES", 400)
    async with asyncio.timeout(30):
        assert len((await disk.search("tea", None, None, 9))[0]) == 9
    assert all(search.cancelled() for search in searches)


async def test_a_database_of_the_version_before_is_searched_too(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    old = await SqliteStore.open(path, KEYS, steps=STEPS[:1])
    await old.commit([message(1)])
    await old.close()
    store = await SqliteStore.open(path, KEYS)
    assert len((await store.search("TEA", None, None, 9))[0]) == 1
    await store.close()
    assert (tmp_path / "gossamer.db.v1").exists()


async def test_a_damaged_message_is_never_passed_over(disk: SqliteStore) -> None:
    await disk.commit([message(n) for n in range(3)])
    await disk._write.run(lambda conn: conn.execute("UPDATE messages SET box = zeroblob(90) WHERE seq = 1"))
    with pytest.raises(Fatal) as fatal:
        await disk.search("tea", None, None, 9)
    assert fatal.value.code == "store_corrupt"

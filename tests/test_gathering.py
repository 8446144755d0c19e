"""What waits to be written for others: a second for a few, at once for many, and beside what goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from node.errors import StoreFull
from node.gathering import (
    AT_ONCE,
    BURST,
    HOLD_SECONDS,
    MAX_BYTES,
    MAX_WAITING,
    QUIET_SECONDS,
    SLICE,
    SLICE_BYTES,
    Gathering,
)
from node.store.records import Gone, PutEnvelope, Write

SEALED = PutEnvelope(bytes(32), bytes(32), 0, 1, shelf=0, raw=b"sealed")


class Disk:
    """A store that writes when it is let."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.free = asyncio.Event()
        self.fault: Exception | None = None

    async def commit(self, writes: Sequence[Write]) -> Gone:
        await self.free.wait()
        if self.fault is not None:
            raise self.fault
        self.written.append(len(writes))
        return Gone()


def gathering() -> tuple[Gathering, Disk, list[Any]]:
    disk, heard = Disk(), list[Any]()
    return Gathering(disk, heard.append, heard.append), disk, heard  # type: ignore[arg-type] # a stand-in


def fill(held: Gathering, count: int, *, now: float) -> None:
    for _ in range(count):
        held.add(SEALED, now=now)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def writing(now: float) -> tuple[Gathering, Disk, list[Any]]:
    """What has gathered a slice, which the disk is writing."""
    held, disk, heard = gathering()
    fill(held, SLICE, now=now)
    await held.due(now=now)
    await settled()
    return held, disk, heard


async def test_a_few_share_one_commit_a_second_after_the_first() -> None:
    held, disk, heard = gathering()
    disk.free.set()
    assert held.deadline is None
    fill(held, 1, now=5.0)
    fill(held, BURST - 2, now=5.9)
    assert held.deadline == 5.0 + HOLD_SECONDS
    await held.due(now=5.99)
    await settled()
    assert disk.written == []
    await held.due(now=6.0)
    await settled()
    assert (disk.written, len(held), held.deadline) == ([BURST - 1], 0, None)
    assert heard[0] == Gone()


async def test_a_slice_is_written_at_once_and_more_can_come_meanwhile() -> None:
    held, disk, heard = await writing(now=5.0)
    fill(held, SLICE, now=5.01)
    await held.due(now=7.0)
    assert (len(held), held.deadline) == (SLICE, None), "the end of the first write says when to go on"
    disk.free.set()
    await settled()
    assert disk.written == [SLICE]
    assert heard[1].done()
    await held.due(now=7.0)
    await settled()
    assert disk.written == [SLICE, SLICE]


async def test_the_rest_of_a_burst_is_written_as_soon_as_no_more_comes() -> None:
    held, disk, _ = gathering()
    disk.free.set()
    fill(held, BURST, now=5.0)
    assert held.deadline == 5.0 + QUIET_SECONDS
    fill(held, 1, now=5.04)
    assert held.deadline == 5.04 + QUIET_SECONDS
    await held.due(now=5.1)
    await settled()
    fill(held, 1, now=5.2)
    assert held.deadline == 5.2 + QUIET_SECONDS, "it belongs to what came before"
    await held.due(now=5.3)
    await settled()
    fill(held, 1, now=8.0)
    assert held.deadline == 8.0 + HOLD_SECONDS
    assert disk.written == [BURST + 1, 1]


async def test_who_brings_more_than_the_disk_takes_waits_for_it() -> None:
    held, disk, _ = await writing(now=5.0)
    fill(held, MAX_WAITING, now=5.1)
    waiting = asyncio.create_task(held.due(now=5.1))
    await settled()
    assert not waiting.done()
    disk.free.set()
    await waiting
    assert sum(disk.written) + len(held) == SLICE + MAX_WAITING
    assert 0 < len(held) < MAX_WAITING, "it waits until there is room for more, not until nothing waits"
    await held.write()
    assert (sum(disk.written), max(disk.written)) == (SLICE + MAX_WAITING, AT_ONCE)


async def test_bytes_count_as_envelopes_do_also_those_that_are_being_written() -> None:
    held, disk, _ = gathering()
    large = PutEnvelope(bytes(32), bytes(32), 0, 1, shelf=0, raw=bytes(SLICE_BYTES))
    held.add(large, now=5.0)
    assert held.deadline == 5.0
    await held.due(now=5.0)
    await settled()
    held.add(SEALED, now=5.1)
    await asyncio.wait_for(held.due(now=5.1), 1)
    held.add(large, now=5.1)
    waiting = asyncio.create_task(held.due(now=5.1))
    await settled()
    assert MAX_BYTES == 2 * SLICE_BYTES
    assert not waiting.done()
    disk.free.set()
    await waiting
    assert (disk.written, len(held)) == ([1], 2)
    await held.write()
    assert disk.written == [1, 2]


async def test_who_reads_waits_for_what_is_being_written_and_for_what_waits() -> None:
    held, disk, _ = await writing(now=5.0)
    fill(held, 1, now=5.1)
    reading = asyncio.create_task(held.write())
    await settled()
    assert not reading.done()
    disk.free.set()
    await reading
    assert disk.written == [SLICE, 1]


async def test_a_write_that_fails_beside_is_told_with_its_end_and_the_next_goes_on() -> None:
    held, disk, heard = gathering()
    disk.fault = StoreFull("no room")
    disk.free.set()
    fill(held, SLICE, now=5.0)
    await held.due(now=5.0)
    await settled()
    [ended] = heard
    with pytest.raises(StoreFull):
        ended.result()
    disk.fault = None
    fill(held, SLICE, now=5.0)
    await held.due(now=5.0)
    await settled()
    assert disk.written == [SLICE]


async def test_what_was_dropped_is_not_written_nor_told_of() -> None:
    held, disk, heard = await writing(now=5.0)
    fill(held, 3, now=5.0)
    held.drop()
    disk.free.set()
    await settled()
    assert (disk.written, len(held), held.deadline) == ([SLICE], 0, None)
    assert [type(one) for one in heard] == [asyncio.Task]

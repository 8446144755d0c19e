"""Which commits are made at once, and which go to the thread: small ones on a disk that was quick of late."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from node.errors import StoreFull
from node.store import pace, writer
from node.store.pace import LOOKED_AT, QUICK, SMALL, Pace
from node.store.records import Put, Table
from node.store.sqlite import SqliteStore

NEVER = 1_000.0
"""Seconds that no commit takes."""


def used(*seconds: float) -> Pace:
    found = Pace()
    for one in seconds:
        found.took(1, one)
    return found


def test_nothing_is_made_at_once_before_the_disk_is_known() -> None:
    assert not Pace().at_once(1)
    assert not used(*[0.0] * (LOOKED_AT - 1)).at_once(1)
    assert used(*[0.0] * LOOKED_AT).at_once(1)


def test_one_slow_commit_sends_the_next_to_the_thread_until_as_many_were_quick() -> None:
    slow = used(*[0.0] * LOOKED_AT, QUICK)
    for _ in range(LOOKED_AT - 1):
        assert not slow.at_once(1)
        slow.took(1, QUICK / 2)
    assert not slow.at_once(1)
    slow.took(1, QUICK / 2)
    assert slow.at_once(1)


def test_what_is_large_goes_to_the_thread_and_says_nothing_of_the_disk() -> None:
    quick = used(*[0.0] * LOOKED_AT)
    assert quick.at_once(SMALL) and not quick.at_once(SMALL + 1)
    quick.took(SMALL + 1, 10 * QUICK)
    assert quick.at_once(SMALL)


Threads = list[int]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """On which thread each commit was made, on a disk that counts as quick."""
    monkeypatch.setattr(pace, "QUICK", NEVER)
    found, real = Threads(), writer.apply

    def apply(*args: Any) -> int:
        found.append(threading.get_ident())
        return real(*args)

    monkeypatch.setattr(writer, "apply", apply)
    return found


def row(number: int) -> Put:
    return Put(Table.SELF, b"%d" % number, b"x")


async def begun(disk: SqliteStore, threads: Threads) -> None:
    """Commit until the disk is known."""
    for number in range(LOOKED_AT):
        await disk.commit([row(number)])
    assert threading.get_ident() not in threads
    threads.clear()


async def test_small_commits_are_made_at_once_and_large_ones_on_the_thread(
    disk: SqliteStore, threads: Threads
) -> None:
    await begun(disk, threads)
    await disk.commit([row(n) for n in range(100, 100 + SMALL)])
    await disk.commit([row(n) for n in range(200, 201 + SMALL)])
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True, False]
    assert len((await disk.load()).rows[Table.SELF]) == LOOKED_AT + 2 * SMALL + 1


async def test_nothing_is_made_at_once_while_the_thread_has_the_connection(
    disk: SqliteStore, threads: Threads
) -> None:
    await begun(disk, threads)
    going, let_go = threading.Event(), threading.Event()

    def long(conn: sqlite3.Connection) -> None:
        conn.execute("BEGIN IMMEDIATE")
        going.set()
        let_go.wait(10)
        conn.execute("ROLLBACK")

    waits = asyncio.create_task(disk._write.run(long))
    await asyncio.to_thread(going.wait)
    waits.cancel()  # nobody waits for it any more, but it goes on
    await asyncio.gather(waits, return_exceptions=True)
    commit = asyncio.create_task(disk.commit([row(100)]))
    await asyncio.sleep(0)
    assert threads == []
    let_go.set()
    await commit
    assert len(threads) == 1 and threads[0] != threading.get_ident()
    assert (await disk.load()).rows[Table.SELF][b"100"] == b"x"


async def test_another_program_that_writes_is_waited_for_on_the_thread(
    disk: SqliteStore, threads: Threads
) -> None:
    await begun(disk, threads)
    with closing(sqlite3.connect(disk.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        commit = asyncio.create_task(disk.commit([row(100)]))
        since = time.monotonic()
        await asyncio.sleep(0.05)
        assert not commit.done() and time.monotonic() - since < 3.0, "the loop waited for the lock"
        other.execute("ROLLBACK")
    await commit
    assert threads[-1] != threading.get_ident()


FAULTS: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "full": lambda conn: conn.execute("PRAGMA max_page_count = 1"),
    "read-only": lambda conn: conn.execute("PRAGMA query_only = ON"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_commit_at_once_that_fails_changes_nothing_and_says_so(
    disk: SqliteStore, threads: Threads, fault: str
) -> None:
    await begun(disk, threads)
    await disk._write.run(lambda conn: FAULTS[fault](conn).fetchall())
    with pytest.raises(StoreFull):
        await disk.commit([Put(Table.SELF, b"large", b"x" * 100_000)])
    assert threads == [threading.get_ident()] or fault == "read-only"
    assert b"large" not in (await disk.load()).rows[Table.SELF]
    assert not disk._write._conn.in_transaction


async def test_a_store_that_is_closing_takes_no_commit_at_once(disk: SqliteStore, threads: Threads) -> None:
    await begun(disk, threads)
    closing_down = asyncio.create_task(disk._write.close())
    await asyncio.sleep(0)
    assert not disk._write.idle
    await closing_down

"""The store on disk: one SQLite file, one thread that writes it, one that reads it.

A commit is one transaction; when `commit` returns its rows are sealed and survive a power cut (WAL,
`synchronous=FULL`). Small ones on a quick disk are made at once, others by a hop to the writing thread
(`node.store.pace`). Readers see what was committed, never less and
never half. How cells are sealed: docs/crypto.md 3.11. Errors of SQLite leave here as StoreFull (rolled back,
try again) or Fatal (the file cannot be trusted).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

from node.chat.finding import PAGE_BYTES, Needle, page
from node.crypto.primitives import Entropy
from node.crypto.vault import Cells, StoreKeys
from node.errors import Fatal, StoreFull
from node.store import reader, searching, writer
from node.store.creation import check, create, drop_copies, unlock, upgrade
from node.store.migrations import STEPS, Step
from node.store.pace import Pace
from node.store.records import Claim, ForgetGone, Gone, LetGo, Loaded, Write

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BUSY_SECONDS = 5.0
"""How long a commit waits for another program that has the file open."""
CACHE_KIB = 16 * 1024
SEARCHES = 2
"""Searches under way at a time: two, so that one over everything does not keep all others waiting."""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""SQLITE_ERROR: a statement does not fit the tables. Ours are fixed, so it is the tables that changed."""
_DAMAGED_READS = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
_UNWRITABLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
    }
)


class _Worker(aiosqlite.Connection):
    """A connection and its thread, taking a whole function a hop instead of a statement."""

    _asked = _done = 0
    """What the thread was asked, and what it has done: each is counted by one thread alone."""

    async def run(self, work: Work[T]) -> T:
        """Run `work` on the thread; SQLite's errors come out as ours."""
        self._asked += 1
        try:
            result: T = await self._execute(self._on_thread, work)  # type: ignore[no-untyped-call]  # theirs
        except sqlite3.Error as exc:
            raise _ours(exc) from exc
        except UnicodeDecodeError as exc:
            raise reader.damaged("its text is not text") from exc
        return result

    async def close(self) -> None:
        """Do what is queued, then close; from here on the connection is the thread's."""
        self._asked += 1
        await super().close()

    def _on_thread(self, work: Work[T]) -> T:
        try:
            return work(self._conn)
        finally:
            self._done += 1  # also for a caller that was cancelled and does not wait any more

    @property
    def idle(self) -> bool:
        """Say whether the thread has nothing to do and the connection is free."""
        return self._asked == self._done

    def run_at_once(self, work: Work[T]) -> T | None:
        """Run `work` on the caller's thread, only while `idle`; None if another program writes just now."""
        assert self.idle
        conn = self._conn
        conn.execute("PRAGMA busy_timeout = 0")  # waiting is for the thread
        try:
            return work(conn)
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return None
            raise _ours(exc) from exc
        finally:
            conn.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_SECONDS)}")


def _ours(exc: sqlite3.Error) -> Exception:
    code = getattr(exc, "sqlite_errorcode", 0)
    if code & 0xFF in _DAMAGED or code in _DAMAGED_READS:
        return reader.damaged(str(exc))
    if code & 0xFF in _UNWRITABLE:
        return StoreFull(f"the database could not be written: {exc}")
    return exc


def _configure(conn: sqlite3.Connection, *, read_only: bool) -> None:
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA secure_delete = ON")
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    conn.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")


def _transaction(work: Work[T], conn: sqlite3.Connection) -> T:
    conn.execute("BEGIN IMMEDIATE")
    try:
        result = work(conn)
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    return result


def _clean(conn: sqlite3.Connection, now_ms: int) -> tuple[Gone, bool, int]:
    """Drop what has expired and is old, all or nothing: who counts is told of all that went."""
    gone = writer.expire_envelopes(conn, now_ms)
    more = writer.compact_events(conn, now_ms)
    return gone, more, reader.log_ends(conn)[0]


def _light(writes: Sequence[Write]) -> bool:
    """Say whether these take what their number says: none lets others go."""
    return not any(isinstance(write, LetGo | ForgetGone | Claim) for write in writes)


def _prepare(path: Path, keys: StoreKeys, entropy: Entropy, steps: Sequence[Step]) -> None:
    try:
        create(path, keys, entropy=entropy, steps=steps)
    except sqlite3.Error as exc:
        raise _ours(exc) from exc
    except PermissionError as exc:  # room would not help
        text = f"{path} belongs to another user: give the home back to the one who runs the node"
        raise Fatal(text, code="home_unusable") from exc
    except OSError as exc:
        raise StoreFull(f"the database could not be opened: {exc}") from exc


async def _worker(path: Path, *, read_only: bool) -> _Worker:
    connect = partial(
        sqlite3.connect, path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=read_only
    )
    worker = _Worker(connect, 64)
    await worker
    try:
        await worker.run(partial(_configure, read_only=read_only))
    except BaseException:
        await worker.close()
        raise
    return worker


class SqliteStore:
    """The store of one home; opened by `SqliteStore.open`, ended by `close`.

    `first_seq` and `last_seq` are the ends of the event log and `log_epoch` its generation, kept current.
    """

    def __init__(self, path: Path, write: _Worker, read: _Worker, cells: Cells) -> None:
        self.path = path
        self._write = write
        self._read = read
        self._cells = cells
        self._pace = Pace()
        self._searches = asyncio.Semaphore(SEARCHES)
        self.log_epoch = ""
        self.first_seq = 1
        self.last_seq = 0
        self.expiring = False

    @classmethod
    async def open(
        cls, path: Path, keys: StoreKeys, *, entropy: Entropy = os.urandom, steps: Sequence[Step] = STEPS
    ) -> SqliteStore:
        """Open the database at `path`, making it if there is none and bringing an older one up to date.

        Raises:
            Fatal: If it is damaged (`store_corrupt`), of a newer release (`schema_newer`), or not of these
                keys (`wrong_key`).
            StoreFull: If the disk does not take it.
        """
        await asyncio.to_thread(_prepare, path, keys, entropy, steps)
        write = await _worker(path, read_only=False)
        try:
            await write.run(partial(upgrade, path=path, steps=steps))
            cells = await write.run(partial(unlock, keys=keys, entropy=entropy))
            read = await _worker(path, read_only=True)
        except BaseException:
            await write.close()
            raise
        store = cls(path, write, read, cells)
        store.log_epoch = await write.run(lambda conn: reader.log_epoch(conn, cells))
        store.first_seq, store.last_seq = await write.run(reader.log_ends)
        return store

    @property
    def shred_key(self) -> bytes:
        """The shred key that is in force: of those given to `open`, the one that fits."""
        return self._cells.shred

    @property
    def master(self) -> bytes:
        """The master key: what `Copying` reads the store with."""
        return self._cells.master

    async def close(self) -> None:
        """Finish what is queued and close both connections; the WAL is folded into the file."""
        await self._read.close()
        await self._write.close()

    async def load(self) -> Loaded:
        """Read back everything a start needs; 100,000 rows take about a second."""
        return await self._write.run(lambda conn: reader.load(conn, self._cells))

    def at_once(self, writes: Sequence[Write]) -> bool:
        """Say whether `commit` would make this commit before it returns to the event loop."""
        return self._write.idle and self._pace.at_once(len(writes)) and _light(writes)

    async def commit(self, writes: Sequence[Write]) -> Gone:
        """Write all records in one transaction; when this returns they are on disk. Returns what went.

        A caller that is cancelled meanwhile must expect either outcome.

        Raises:
            StoreFull: If the disk did not take them; nothing has changed.
            Fatal: If the file turns out to be damaged.
        """
        if not writes:
            return Gone()
        work = partial(_transaction, lambda conn: writer.apply(conn, self._cells, writes))
        since, done = time.perf_counter(), None
        if self.at_once(writes):
            done = self._write.run_at_once(work)
        if done is None:
            done = await self._write.run(work)
        if _light(writes):
            self._pace.took(len(writes), time.perf_counter() - since)
        last, gone = done
        self.last_seq = max(self.last_seq, last)
        return gone

    async def probe(self) -> None:
        """Write something and take it back, to see whether there is room; raises StoreFull."""
        await self._write.run(partial(_transaction, writer.probe))
        await self._write.run(partial(_transaction, writer.unprobe))

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` logged events after `seq` as (seq, JSON), in order."""
        return await self._read.run(lambda conn: reader.events_after(conn, self._cells, seq, limit))

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        """Return one page of a room's messages, oldest first, and whether there is more beyond it.

        Before a message: the newest `limit` older ones. After: the oldest newer ones. Neither: the newest.
        `skip`: passing over so many first.

        Raises:
            Refused: If `before` or `after` is not a message of this room (`message_not_found`).
        """
        return await self._read.run(
            lambda conn: reader.history(
                conn, self._cells, room, before=before, after=after, limit=limit, skip=skip
            )
        )

    async def message_count(self, room: bytes) -> int:
        """Return how many messages of a room are stored."""
        return await self._read.run(lambda conn: reader.message_count(conn, self._cells, room))

    async def message(self, room: bytes, mid: bytes) -> bytes | None:
        """Return the body of one message, or None."""
        return await self._read.run(lambda conn: reader.message(conn, self._cells, room, mid))

    async def search(
        self, text: str, room: bytes | None, before: tuple[bytes, Sequence[bytes]] | None, limit: int
    ) -> tuple[list[bytes], bool]:
        """Return the newest `limit` messages that hold a text, the newest first, and whether there are more.

        Of one room or of all; `before`, a message's id and the rooms that may have it: only older ones. A few
        searches go on at a time, the others wait their turn; cancelling one ends it with its slice.

        Raises:
            Refused: If there is no message to go on before (`message_not_found`).
        """
        needle, found = Needle.of(text), list[bytes]()
        async with self._searches:
            below: searching.Place | None = searching.TOP
            if before is not None:
                below = await self._read.run(
                    lambda conn: searching.place_of(conn, self._cells, before[1], before[0])
                )
            while below is not None and len(found) <= limit and sum(map(len, found)) <= PAGE_BYTES:
                most = limit + 1 - len(found)
                work = partial(
                    searching.look, cells=self._cells, needle=needle, room=room, below=below, most=most
                )
                one = await self._read.run(work)
                found, below = found + one.found, one.below
        return page(found, limit)

    async def envelopes_by_rk(
        self, rks: Sequence[bytes], limit: int, after: tuple[int, bytes] | None = None
    ) -> list[bytes]:
        """Return the oldest `limit` held envelopes of these routing keys by (ts_ms, eid), after `after`."""
        return await self._read.run(lambda conn: reader.envelopes_by_rk(conn, rks, limit, after))

    async def envelopes_by_id(self, prefixes: Sequence[bytes], max_bytes: int | None = None) -> list[bytes]:
        """Return the held envelopes whose ids begin with these 16 bytes; unknown ones are left out.

        Those after the one with which they are `max_bytes` or more are left out as well.
        """
        return await self._read.run(lambda conn: reader.envelopes_by_id(conn, prefixes, max_bytes))

    async def envelopes_by_time(
        self, start_ms: int, end_ms: int, after: tuple[int, bytes] | None, max_bytes: int
    ) -> tuple[list[bytes], bool]:
        """Return a page of the envelopes with start <= ts_ms < end by (ts_ms, eid), and if there is more.

        At most `max_bytes` in all, but one at least.
        """
        return await self._read.run(
            lambda conn: reader.envelopes_by_time(conn, start_ms, end_ms, after, max_bytes)
        )

    async def expire(self, now_ms: int) -> Gone:
        """Drop a slice of the envelopes whose time is over, and of the log; return what went.

        `expiring` says whether there may be more.
        """
        gone, more, first_seq = await self._write.run(partial(_transaction, partial(_clean, now_ms=now_ms)))
        self.expiring = more or len(gone.forgotten) == writer.EXPIRE_BATCH
        self.first_seq = first_seq
        return gone

    async def stats(self) -> dict[str, int | None]:
        """Return `held_envelopes`, the `oldest_held_ms` of them, and `db_bytes` (the file and its WAL)."""
        held = await self._read.run(reader.held_facts)
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return {**held, "db_bytes": sum(f.stat().st_size for f in files if f.exists())}

    async def check(self) -> None:
        """Read the whole file; raises Fatal if its structure is damaged. Takes seconds on a large one."""
        await self._read.run(lambda conn: check(conn, "integrity_check"))

    async def reseal(self, shred_key: bytes) -> bool:
        """Seal every row of a shredded table under a new shred key, then empty the write-ahead log.

        The new key must be on disk before; the old one may be destroyed after (docs/crypto.md 3.11). False if
        another program keeps the log from being emptied now; old rows in it are sealed under the old key.

        Raises:
            StoreFull: If the disk did not take it; the old key stays in force.
        """
        return await self._write.run(lambda conn: self._reseal(conn, shred_key))

    def _reseal(self, conn: sqlite3.Connection, shred_key: bytes) -> bool:
        fresh = Cells(self._cells.master, shred_key, self._cells.entropy)
        _transaction(lambda inner: writer.reseal(inner, self._cells, fresh), conn)
        self._cells = fresh
        (busy, _, _) = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        with suppress(OSError):  # the next round will
            drop_copies(self.path)
        return not busy

"""What only the store on disk can do wrong: places, modes, full and damaged disks, old and new releases."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.crypto.vault import StoreKeys
from node.errors import Fatal, NodeError, StoreFull
from node.store import reader
from node.store.migrations import STEPS
from node.store.records import AppendEvent, Put, Table
from node.store.sqlite import SqliteStore
from tests.store.samples import KEYS, ROOM, fill, held, mid, said


async def reopened(path: Path, keys: StoreKeys = KEYS, **options: Any) -> SqliteStore:
    return await SqliteStore.open(path, keys, **options)


async def everything(path: Path) -> tuple[Any, ...]:
    """All that a store can be asked for, to compare or to fail."""
    store = await reopened(path)
    try:
        return (
            await store.load(),
            await store.events_after(0, 1_000),
            await store.history(ROOM, None, None, 1_000),
            await store.envelopes_by_rk([b"k" * 32], 1_000),
            await store.envelopes_by_time(0, 10**15, None, 10**9),
        )
    finally:
        await store.close()


def edit(path: Path, sql: str) -> None:
    """Change the file behind the store's back, kinds of values included."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA writable_schema = ON")
        conn.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name != 'meta'")
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute(sql)


async def test_what_was_committed_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    store = await reopened(path)
    await fill(store)
    before, epoch = await store.load(), store.log_epoch
    await store.close()
    store = await reopened(path)
    assert await store.load() == before
    assert (store.log_epoch, store.first_seq, store.last_seq) == (epoch, 1, before.last_seq)
    await store.close()


async def test_every_database_has_an_epoch_of_its_own(tmp_path: Path) -> None:
    epochs = set()
    for name in ("a.db", "b.db"):
        store = await reopened(tmp_path / name)
        epochs.add(store.log_epoch)
        await store.close()
    assert len(epochs) == 2


async def test_a_commit_is_one_transaction_on_a_file_in_wal_with_full_sync(disk: SqliteStore) -> None:
    statements: list[str] = []
    await disk._write.run(lambda conn: conn.set_trace_callback(statements.append))
    await fill(disk)
    assert statements[0] == "BEGIN IMMEDIATE"
    assert statements[-1] == "COMMIT"
    assert sum(s.startswith(("BEGIN", "COMMIT")) for s in statements) == 2
    pragmas = await disk._write.run(
        lambda conn: [conn.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")]
    )
    assert pragmas == ["wal", 2]


async def test_a_reader_sees_committed_data_only(disk: SqliteStore) -> None:
    await disk.commit([AppendEvent(1, 1, b"committed")])

    def half(conn: sqlite3.Connection) -> None:
        conn.execute("BEGIN IMMEDIATE")
        conn.execute("DELETE FROM events")

    await disk._write.run(half)
    assert await disk.events_after(0, 9) == [(1, b"committed")]
    await disk._write.run(lambda conn: conn.execute("COMMIT"))
    assert await disk.events_after(0, 9) == []


async def test_a_commit_that_fails_halfway_changes_nothing(disk: SqliteStore) -> None:
    await disk.commit([AppendEvent(1, 1, b"one")])
    with pytest.raises(sqlite3.IntegrityError):
        await disk.commit([Put(Table.SELF, b"a", b"1"), AppendEvent(1, 1, b"one again")])
    assert (await disk.load()).rows[Table.SELF] == {}
    await disk.commit([AppendEvent(2, 1, b"two")])
    assert disk.last_seq == 2


async def test_concurrent_commits_and_reads_all_come_through(disk: SqliteStore) -> None:
    async def write(number: int) -> None:
        await disk.commit([Put(Table.OPS, b"%d" % number, b"x")])

    await asyncio.gather(*(write(n) for n in range(50)), *(disk.stats() for _ in range(50)))
    assert len((await disk.load()).rows[Table.OPS]) == 50


async def test_nothing_readable_lies_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    store = await reopened(path)
    await store.commit([Put(Table.PEOPLE, b"key of alice", b"name of alice"), said(1)])
    await store.commit([AppendEvent(1, 1, b"event of alice")])
    found = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    await store.close()
    found += path.read_bytes()
    for text in (b"alice", b"text 1", ROOM, mid(1), KEYS.master, KEYS.shred[0]):
        assert text not in found


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
async def test_files_are_private_under_any_umask(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "gossamer.db"
    old = os.umask(mask)
    try:
        store = await reopened(path)
        await store.commit([Put(Table.SELF, b"a", b"1")])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        await store.close()
    finally:
        os.umask(old)
    assert modes == {"gossamer.db": 0o600, "gossamer.db-wal": 0o600, "gossamer.db-shm": 0o600}


async def test_a_database_left_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    await (await reopened(path)).close()
    path.chmod(0o644)
    await (await reopened(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_said_rolls_back_and_is_over_when_there_is_room(disk: SqliteStore) -> None:
    await disk.commit([AppendEvent(1, 1, b"before")])
    with files_no_larger_than(64 * 1024):
        with pytest.raises(StoreFull) as full:
            await disk.commit([AppendEvent(2, 1, b"x" * 200_000), Put(Table.SELF, b"a", b"1")])
        assert full.value.code == "storage_full"
        assert await disk.events_after(0, 9) == [(1, b"before")]
    assert disk.last_seq == 1
    await disk.commit([AppendEvent(2, 1, b"after")])
    assert await disk.events_after(0, 9) == [(1, b"before"), (2, b"after")]
    assert (await disk.load()).rows[Table.SELF] == {}
    await disk.check()


@pytest.mark.parametrize(
    ("on", "off"),
    [
        ("query_only = ON", "query_only = OFF"),  # what a read-only file answers: SQLITE_READONLY
        ("max_page_count = 1", "max_page_count = 1000000"),  # what a full one does: SQLITE_FULL
    ],
)
async def test_whether_there_is_room_is_found_by_writing(disk: SqliteStore, on: str, off: str) -> None:
    await disk._write.run(lambda conn: conn.execute(f"PRAGMA {on}").fetchall())
    with pytest.raises(StoreFull):
        await disk.probe()
    with pytest.raises(StoreFull):
        await disk.commit([AppendEvent(1, 1, b"x" * 200_000)])
    assert (await disk.load()).last_seq == 0
    await disk._write.run(lambda conn: conn.execute(f"PRAGMA {off}").fetchall())
    await disk.probe()
    await disk.commit([AppendEvent(1, 1, b"x" * 200_000)])
    assert (await disk.load()).last_seq == 1
    left = await disk._read.run(lambda conn: conn.execute("SELECT name FROM meta").fetchall())
    assert sorted(left) == [("log_epoch",), ("shred_check",)]


async def test_a_disk_that_takes_no_new_database_is_said(tmp_path: Path) -> None:
    with files_no_larger_than(4096), pytest.raises(StoreFull):
        await reopened(tmp_path / "gossamer.db")
    assert not (tmp_path / "gossamer.db").exists()
    await (await reopened(tmp_path / "gossamer.db")).close()


async def test_a_database_locked_by_another_program_is_not_waited_for_forever(
    disk: SqliteStore, tmp_path: Path
) -> None:
    await disk._write.run(lambda conn: conn.execute("PRAGMA busy_timeout = 20"))
    with closing(sqlite3.connect(disk.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFull, match="locked"):
            await disk.commit([Put(Table.SELF, b"a", b"1")])
    await disk.commit([Put(Table.SELF, b"a", b"2")])


SWAPS = {
    "row to another row": "UPDATE rows SET box = (SELECT box FROM rows o WHERE o.n = 3 - rows.n) WHERE n < 3",
    "row to another table": "UPDATE rows SET tbl = 'ops' WHERE tbl = 'rooms'",
    "row out of the shredded tables": "UPDATE rows SET tbl = 'self' WHERE tbl = 'chains'",
    "row under another id": "UPDATE rows SET id = randomblob(16) WHERE n = 1",
    "event to another seq": "UPDATE events SET seq = 99 WHERE seq = 1",
    "event box to another event": "UPDATE events SET box = (SELECT box FROM events WHERE seq = 2)",
    "event to another message": "UPDATE events SET message = (SELECT id FROM messages WHERE seq = 4)",
    "event to no message": "UPDATE events SET message = NULL WHERE message IS NOT NULL",
    "message lost": "DELETE FROM messages",
    "message to another place in history": "UPDATE messages SET seq = seq + 100",
    "message to another room": "UPDATE messages SET room = randomblob(16) WHERE seq = 3",
    "message to another message": "UPDATE messages SET box = (SELECT box FROM messages WHERE seq = 4)",
    "message box in place of an event": "UPDATE events SET box = (SELECT box FROM messages WHERE seq = 4)",
    "envelope changed": "UPDATE envelopes SET raw = CAST(raw || x'00' AS BLOB)",
    "envelope to another": "UPDATE envelopes SET raw = (SELECT raw FROM envelopes ORDER BY n DESC LIMIT 1)",
    "value of another kind": "UPDATE rows SET box = 7",
    "id of another kind": "UPDATE rows SET id = 'text' WHERE n = 1",
    "value too short": "UPDATE messages SET box = x'00'",
}


@pytest.mark.attack("A31")
@pytest.mark.parametrize("sql", SWAPS.values(), ids=SWAPS.keys())
async def test_a_moved_or_changed_cell_does_not_open(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "gossamer.db"
    store = await reopened(path)
    await fill(store)
    await store.close()
    edit(path, sql)
    with pytest.raises(Fatal) as fatal:
        await everything(path)
    assert fatal.value.code == "store_corrupt"


async def filled(path: Path) -> None:
    store = await reopened(path)
    await fill(store)
    await store.commit([held(b"%d" % n, ts_ms=n) for n in range(200)])
    await store.commit([said(n) for n in range(10, 200)])
    await store.close()


def cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def flip(data: bytearray, rng: random.Random) -> bytearray:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def wipe(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    return data


@pytest.mark.parametrize("harm", [cut, flip, wipe])
async def test_damage_is_noticed_or_harmless_but_never_served(
    tmp_path: Path, harm: Callable[[bytearray, random.Random], bytearray]
) -> None:
    path = tmp_path / "gossamer.db"
    await filled(path)
    sound, whole = path.read_bytes(), await everything(path)
    rng = random.Random(7)
    noticed = 0
    for _ in range(ROUNDS):
        path.write_bytes(harm(bytearray(sound), rng))
        try:
            assert await everything(path) == whole
        except Fatal as fatal:
            assert fatal.code in {"store_corrupt", "wrong_key", "schema_newer"}
            noticed += 1
        for leftover in tmp_path.glob("gossamer.db-*"):
            leftover.unlink()
    assert noticed > ROUNDS // 4


ROUNDS = 40


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0", b"x" * 8192])
async def test_a_file_that_is_no_database_is_not_taken_for_a_new_home(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gossamer.db"
    path.write_bytes(content)
    with pytest.raises(Fatal, match="damaged") as fatal:
        await reopened(path)
    assert fatal.value.code == "store_corrupt"
    assert path.read_bytes() == content


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs(x)")
    with pytest.raises(Fatal, match="another program"):
        await reopened(path)


@pytest.mark.parametrize("keys", [StoreKeys(b"?" * 32, KEYS.shred), StoreKeys(KEYS.master, (b"?" * 32,))])
async def test_a_database_of_other_keys_is_refused(tmp_path: Path, keys: StoreKeys) -> None:
    path = tmp_path / "gossamer.db"
    await (await reopened(path)).close()
    with pytest.raises(Fatal) as fatal:
        await reopened(path, keys)
    assert fatal.value.code == "wrong_key"


NEXT = (*STEPS, ("ALTER TABLE envelopes ADD COLUMN note TEXT", "CREATE TABLE later(x)"))


async def test_an_older_database_is_copied_aside_and_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    store = await reopened(path)
    await fill(store)
    before = await store.load()
    await store.close()
    old = os.umask(0)
    try:
        store = await reopened(path, steps=NEXT)
    finally:
        os.umask(old)
    assert await store.load() == before
    await store._read.run(lambda conn: conn.execute("SELECT note FROM envelopes"))
    await store.close()
    aside = tmp_path / f"gossamer.db.v{len(STEPS)}"
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    copy = await reopened(aside)
    assert await copy.load() == before
    await copy.close()


async def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    await (await reopened(path)).close()
    with pytest.raises(Fatal, match=rf"a copy is gossamer\.db\.v{len(STEPS)}") as fatal:
        await reopened(path, steps=(*STEPS, ("CREATE TABLE later(x)", "this is not SQL")))
    assert fatal.value.code == "migration_failed"
    store = await reopened(path)
    with pytest.raises(Fatal, match="no such table"):
        await store._read.run(lambda conn: conn.execute("SELECT * FROM later"))
    await store.close()


async def test_a_newer_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    await (await reopened(path, steps=NEXT)).close()
    before = path.read_bytes()
    with pytest.raises(Fatal, match="newer release") as fatal:
        await reopened(path)
    assert fatal.value.code == "schema_newer"
    assert path.read_bytes() == before


async def test_a_creation_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    (tmp_path / "gossamer.db.new").write_bytes(b"half a database")
    (tmp_path / "gossamer.db-wal").write_bytes(b"of a database that is gone")
    await (await reopened(path)).close()
    assert [file.name for file in tmp_path.iterdir()] == ["gossamer.db"]


def test_errors_of_the_disk_are_ours() -> None:
    assert issubclass(StoreFull, NodeError)
    assert reader.damaged("x").code == "store_corrupt"


async def test_a_database_of_another_user_is_not_taken_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("node.store.sqlite.create", refuse)
    with pytest.raises(Fatal, match="another user") as fault:
        await SqliteStore.open(tmp_path / "gossamer.db", KEYS)
    assert fault.value.code == "home_unusable"

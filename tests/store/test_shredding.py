"""The shred round: its order, a crash at every step of it, and that the old is in no file (A32)."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from node.crypto.vault import StoreKeys
from node.errors import StoreFull
from node.store import files
from node.store.migrations import STEPS
from node.store.records import Delete, Put, Table
from node.store.shredding import ShredFile, shred_round
from node.store.sqlite import SqliteStore

ENTROPY = Random(1).randbytes
MASTER = b"m" * 32
SECRET_ROWS = [Put(Table.CHAINS, b"%d" % n, b"chain key") for n in range(300)]


async def opened(home: Path) -> SqliteStore:
    return await SqliteStore.open(home / "gossamer.db", StoreKeys(MASTER, ShredFile(home).keys(ENTROPY)))


def all_bytes(home: Path) -> bytes:
    return b"\0".join(file.read_bytes() for file in home.iterdir())


async def boxes(store: SqliteStore) -> list[bytes]:
    rows = await store._write.run(lambda conn: conn.execute("SELECT box FROM rows WHERE shred").fetchall())
    return [box for (box,) in rows]


@pytest.mark.attack("A32")
async def test_after_a_round_the_old_key_and_the_old_rows_are_in_no_file(tmp_path: Path) -> None:
    file, store = ShredFile(tmp_path), await opened(tmp_path)
    await store.commit([*SECRET_ROWS, Put(Table.ROOMS, b"room", b"stays"), Put(Table.PREKEYS, b"p", b"k")])
    old_key, old = store.shred_key, await boxes(store)
    await store.commit([Delete(Table.CHAINS, b"%d" % n) for n in range(150)])
    before = all_bytes(tmp_path)
    assert old_key in before
    assert all(box in before for box in old)
    rows = (await store.load()).rows

    assert await shred_round(store, file, ENTROPY)

    after = all_bytes(tmp_path)
    assert old_key not in after
    assert not any(box in after for box in old)
    assert store.shred_key != old_key
    assert file.path.read_bytes() == store.shred_key
    assert not files.staged(file.path).exists()
    assert (await store.load()).rows == rows
    await store.close()
    store = await opened(tmp_path)
    assert (await store.load()).rows == rows
    await store.close()


async def test_the_order_of_a_round_is_stage_reseal_empty_destroy(tmp_path: Path) -> None:
    file, real = ShredFile(tmp_path), await opened(tmp_path)
    old = real.shred_key

    class Watching:
        @property
        def shred_key(self) -> bytes:
            return real.shred_key

        async def reseal(self, shred_key: bytes) -> bool:
            assert files.staged(file.path).read_bytes() == shred_key != old
            assert file.path.read_bytes() == old
            done = await real.reseal(shred_key)
            assert (tmp_path / "gossamer.db-wal").stat().st_size == 0
            assert file.path.read_bytes() == old
            return done

    await shred_round(Watching(), file, ENTROPY)
    assert file.path.read_bytes() == real.shred_key
    await real.close()


async def test_rows_written_after_a_round_open_under_the_new_key_alone(tmp_path: Path) -> None:
    file, store = ShredFile(tmp_path), await opened(tmp_path)
    for number in range(3):
        await store.commit([Put(Table.RATCHETS, b"%d" % number, b"r")])
        await shred_round(store, file, ENTROPY)
    await store.close()
    store = await opened(tmp_path)
    assert len((await store.load()).rows[Table.RATCHETS]) == 3
    await store.close()


@pytest.mark.parametrize("step", ["torn stage", "staged", "resealed", "overwritten"])
async def test_a_crash_at_any_step_of_a_round_loses_nothing(tmp_path: Path, step: str) -> None:
    file, store = ShredFile(tmp_path), await opened(tmp_path)
    await store.commit(SECRET_ROWS[:5])
    rows = (await store.load()).rows
    if step == "torn stage":
        files.staged(file.path).write_bytes(b"half")
    else:
        staged = file.stage(ENTROPY)
        if step != "staged":
            await store.reseal(staged)
        if step == "overwritten":
            files.write_synced(file.path, bytes(32))
    await store.close()

    store = await opened(tmp_path)
    file.settle(store.shred_key)
    assert (await store.load()).rows == rows
    assert file.path.read_bytes() == store.shred_key
    await shred_round(store, file, ENTROPY)
    assert file.path.read_bytes() == store.shred_key
    await store.close()
    store = await opened(tmp_path)
    assert (await store.load()).rows == rows
    await store.close()


async def test_a_key_staged_for_a_round_that_failed_is_used_by_the_next(tmp_path: Path) -> None:
    """A commit that was said to have failed may yet have reached the disk: its key must not be lost."""
    file, store = ShredFile(tmp_path), await opened(tmp_path)
    old = store.shred_key

    class Full:
        shred_key = old

        async def reseal(self, shred_key: bytes) -> bool:
            raise StoreFull("no room")

    with pytest.raises(StoreFull):
        await shred_round(Full(), file, ENTROPY)
    staged = files.staged(file.path).read_bytes()
    assert file.path.read_bytes() == old
    assert ShredFile(tmp_path).keys() == (old, staged)
    await shred_round(store, file, ENTROPY)
    assert store.shred_key == staged
    await store.close()


async def test_the_copy_of_before_a_migration_goes_with_the_round_after_which_no_key_opens_it(
    tmp_path: Path,
) -> None:
    path, file = tmp_path / "gossamer.db", ShredFile(tmp_path)
    keys = StoreKeys(MASTER, file.keys(ENTROPY))
    store = await SqliteStore.open(path, keys, steps=STEPS[:-1])
    await store.commit([*SECRET_ROWS, Put(Table.ROOMS, b"room", b"deleted soon")])
    old = await boxes(store)
    await store.close()
    store = await SqliteStore.open(path, keys)
    beside = tmp_path / "gossamer.db.vault"
    beside.write_bytes(b"the owner's own")
    assert (tmp_path / f"gossamer.db.v{len(STEPS) - 1}").exists()
    await shred_round(store, file, ENTROPY)
    assert not list(tmp_path.glob("gossamer.db.v[0-9]*")) and beside.exists()
    assert not [box for box in old if box in all_bytes(tmp_path)]
    await store.close()

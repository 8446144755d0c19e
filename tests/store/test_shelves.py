"""Held envelopes on disk: a database from before there were shelves, and what the disk tells of whom."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.errors import StoreFull
from node.store.migrations import STEPS
from node.store.records import Claim, ForgetGone, LetGo, PutEnvelope, Shelf
from node.store.sqlite import SqliteStore
from tests.store.samples import KEYS, held

PEER = b"the node key of somebody we met."


async def test_envelopes_of_before_there_were_shelves_keep_their_bodies_and_can_go(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    old = await SqliteStore.open(path, KEYS, steps=STEPS[:2])
    await old.close()
    ours, theirs = held(b"ours"), [held(b"%d" % n, ts_ms=2_000 + n) for n in range(3)]
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executemany(
            "INSERT INTO envelopes(eid, rk, ts_ms, expires_ms, own, raw) VALUES (?, ?, ?, ?, ?, ?)",
            [(e.eid, e.rk, e.ts_ms, e.expires_ms, e is ours, e.raw) for e in (ours, *theirs)],
        )
    store = await SqliteStore.open(path, KEYS)
    try:
        loaded = await store.load()
        assert set(loaded.portions) == {(Shelf.OWN, 0, 1, 100), (Shelf.OTHER, 0, 3, 300)}
        assert [eid for eid, _, _ in loaded.envelopes] == [ours.eid, *(e.eid for e in theirs)]
        gone = await store.commit([LetGo(Shelf.OTHER, 0, 1)])
        assert gone.portions == ((Shelf.OTHER, 0, 1, 100),)
        found = await store.envelopes_by_id([e.eid[:16] for e in (ours, *theirs)])
        assert found == [ours.raw, theirs[1].raw, theirs[2].raw]
    finally:
        await store.close()


@pytest.mark.mesh_attack("N17")
async def test_a_disk_that_takes_nothing_leaves_shelves_as_they_were_and_all_can_be_done_again(
    tmp_path: Path,
) -> None:
    """What is put, claimed, let go and forgotten in one commit is done whole or not at all."""
    store = await SqliteStore.open(tmp_path / "gossamer.db", KEYS)
    try:
        await store.commit([held(b"%d" % n, ts_ms=1_000 + n) for n in range(300)])
        await store.commit([LetGo(Shelf.OTHER, 0, 20_000)])
        before = (await store.load()).portions
        key = held(b"").rk
        work = [
            *(held(b"more %d" % n, rk=b"r" * 32) for n in range(2_000)),
            LetGo(Shelf.OTHER, 0, 3_000),
            Claim(1, b"room", ((0, key, 7),)),
            ForgetGone(10),
        ]
        full = await store._write.run(lambda conn: conn.execute("PRAGMA page_count").fetchone()[0])
        await store._write.run(lambda conn: conn.execute(f"PRAGMA max_page_count = {full}").fetchone())
        with pytest.raises(StoreFull):
            await store.commit(work)
        assert (await store.load()).portions == before
        await store._write.run(lambda conn: conn.execute("PRAGMA max_page_count = 1000000").fetchone())
        gone = await store.commit(work)
        assert len(gone.forgotten) == 10 and gone.claimed[0][3] == 100
        counted: dict[tuple[int, int], int] = {(p[0], p[1]): p[2] for p in before}
        counted[Shelf.OTHER, 0] += 2_000
        for shelf, source, count, _ in gone.portions:
            counted[shelf, source] -= count
        counted[Shelf.GONE, 0] += gone.kept
        for _, _, source, count, _ in gone.claimed:
            counted[Shelf.OWN, source] = count
        assert {(p[0], p[1]): p[2] for p in (await store.load()).portions} == counted
    finally:
        await store.close()


async def test_neither_who_brought_an_envelope_nor_what_was_let_go_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "gossamer.db"
    store = await SqliteStore.open(path, KEYS)
    number = (await store.load()).source_of(PEER)
    body = b"sealed and soon let go ".ljust(8_000, b"!")
    await store.commit([PutEnvelope(b"e" * 32, b"k" * 32, 1, 9_000, Shelf.OTHER, body, number)])
    await store.commit([LetGo(Shelf.OTHER, number, 1)])
    again = (await store.load()).source_of(PEER)
    await store.close()
    assert number == again > 0
    assert number != int.from_bytes(PEER[:8], "big") >> 1
    for file in tmp_path.iterdir():
        disk = file.read_bytes()
        assert PEER not in disk and PEER[:8] not in disk
        assert b"soon let go" not in disk and b"k" * 32 not in disk

"""Backup files on disk: whole or not at all, opened by their passphrase alone, holding what they say."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import backups
from node.backups import Source
from node.chat import backup, commands as c, events
from node.clock import Instant
from node.crypto import backup as file
from node.crypto.keys import Identity
from node.crypto.vault import Cost, StoreKeys
from node.engine.engine import Engine, Setup
from node.errors import Fatal, NodeError, PeerFault, Refused, StoreFull
from node.sim import EPOCH_MS, SimNode
from node.store import identity
from node.store.copying import Copying
from node.store.lock import HomeLock
from node.store.records import Put, PutMessage
from node.store.sqlite import SqliteStore
from node.tables import SHREDDED, Table
from tests.engine.hostile import engine_of
from tests.engine.worlds import trio

CHEAP = Cost(1, 8192)
PHRASE = b"correct horse"
NOW = Instant(5.0, EPOCH_MS + 60_000)
MASTER = b"m" * 32


@pytest.fixture(scope="module")
def bob() -> SimNode:
    world, ann, bob, _, room = trio("files")
    for number in range(5):
        ann.call(c.UserMessage(message=f"number {number}", room=room))
        world.run(1)
    return bob


async def stored(home: Path, bob: SimNode) -> SqliteStore:
    """Put what a simulated node has into a database, forward-secret rows and all."""
    home.mkdir(parents=True, exist_ok=True)
    store = await SqliteStore.open(home / "gossamer.db", StoreKeys(MASTER, (b"s" * 32,)))
    loaded = bob.store.load()
    rows = [Put(table, *row) for table, found in loaded.rows.items() for row in found.items()]
    await store.commit([*rows, *bob.store.messages()])
    return store


def source(home: Path, bob: SimNode, store: SqliteStore, *, sealed: bool = False) -> Source:
    me = engine_of(bob).state.me
    return Source(home, store, me.account, me.identity.account_seed, me.profile.username, sealed)


def made(home: Path, bob: SimNode, *, sealed: bool = False) -> Path:
    async def main() -> Path:
        store = await stored(home, bob)
        try:
            given = source(home, bob, store, sealed=sealed)
            return backups.create(given, PHRASE, now_ms=NOW.wall_ms, stopped=lambda: False, cost=CHEAP).path
        finally:
            await store.close()

    return asyncio.run(main())


def code(work: object) -> str:
    assert callable(work)
    with pytest.raises(NodeError) as fault:
        work()
    return fault.value.code


@contextlib.contextmanager
def untouched(home: Path) -> Iterator[None]:
    yield
    assert not home.exists()
    assert [path.name for path in home.parent.iterdir() if "restoring" in path.name] == []


def test_a_backup_opens_says_what_it_holds_and_is_the_owners_alone(tmp_path: Path, bob: SimNode) -> None:
    path = made(tmp_path / "home", bob)
    assert path.parent == tmp_path / "home" / "backups"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    facts = backups.verify(path, PHRASE)
    assert (facts.rooms, facts.contacts, facts.messages) == (1, 1, 5)
    assert facts.head.username == "bob" and facts.head.made_ms == NOW.wall_ms
    assert b"number 3" not in path.read_bytes()
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_wrong_passphrase_and_what_is_no_backup_are_told_apart(tmp_path: Path, bob: SimNode) -> None:
    path = made(tmp_path / "home", bob)
    other = tmp_path / "other"
    other.write_bytes(b"x" * 500)
    (tmp_path / "short").write_bytes(path.read_bytes()[:50])
    (tmp_path / "empty").touch()
    assert code(lambda: backups.verify(path, b"wrong horse")) == "wrong_passphrase"
    assert code(lambda: backups.verify(tmp_path / "none", PHRASE)) == "backup_not_found"
    for name in ("other", "short", "empty"):
        assert code(lambda name=name: backups.verify(tmp_path / name, PHRASE)) == "backup_damaged"


@pytest.mark.attack("A24")
def test_a_file_that_asks_for_an_absurd_cost_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    tail = bytes(16 + 24 + 32)
    for passes, kib in ((1, 512 * 1024 + 1), (1, 2**32 - 1), (1, 7), (0, 8), (17, 8), (255, 8)):
        path.write_bytes(file.MAGIC + bytes([1, passes]) + kib.to_bytes(4, "big") + tail)
        with pytest.raises(Refused, match="cost"):
            backups.verify(path, PHRASE)
    path.write_bytes(file.MAGIC + bytes([2, 1]) + (8).to_bytes(4, "big") + tail)
    with pytest.raises(Refused, match="newer"):
        backups.verify(path, PHRASE)


def test_a_restored_home_starts_as_another_device_with_everything_in_it(tmp_path: Path, bob: SimNode) -> None:
    path, home = made(tmp_path / "home", bob), tmp_path / "new"
    facts = backups.restore(path, PHRASE, home, now=NOW)
    assert facts.messages == 5
    assert {one.name for one in home.iterdir()} == {"gossamer.db", "identity.key", "ratchets.key", "lock"}
    assert home.stat().st_mode & 0o777 == 0o700
    assert not identity.sealed(home)
    stored = identity.open_identity(home, None)
    who, was = Identity.from_bytes(stored.secrets), engine_of(bob).state.me.identity
    assert who.account == was.account
    for name in ("device_seed", "dik_secret", "intro_secret", "node_seed"):
        assert getattr(who, name) != getattr(was, name)

    async def main() -> None:
        keys = StoreKeys(stored.master, ((home / "ratchets.key").read_bytes(),))
        store = await SqliteStore.open(home / "gossamer.db", keys)
        loaded = await store.load()
        room = next(iter(key for key in loaded.rows[Table.ROOMS] if not key.startswith(b"direct")))
        found, more = await store.history(room, before=None, after=None, limit=100)
        assert [events.decode_json(body).message for body in found] == [f"number {n}" for n in range(5)]
        assert not more and loaded.log_epoch != bob.store.log_epoch
        assert all(loaded.rows[table] == {} for table in SHREDDED | {Table.TOKENS, Table.CONSUMERS})
        assert loaded.last_seq == loaded.first_seq == bob.store.last_seq + 1
        engine = Engine(Setup(who, "boot", bytes(8), os.urandom), loaded, NOW)
        assert engine.start(NOW)
        await store.close()

    asyncio.run(main())


@pytest.mark.usefixtures("cheap_passphrases")
def test_a_home_that_was_sealed_is_restored_sealed_under_the_backups_passphrase(
    tmp_path: Path, bob: SimNode
) -> None:
    path, home = made(tmp_path / "home", bob, sealed=True), tmp_path / "new"
    backups.restore(path, PHRASE, home, now=NOW)
    assert identity.sealed(home)
    assert identity.open_identity(home, PHRASE)
    assert code(lambda: identity.open_identity(home, b"another")) == "wrong_passphrase"


def test_a_backup_is_restored_into_an_empty_home_alone(tmp_path: Path, bob: SimNode) -> None:
    path, home = made(tmp_path / "home", bob), tmp_path / "new"
    home.mkdir()
    (home / "config.toml").touch()
    assert code(lambda: backups.restore(path, PHRASE, home, now=NOW)) == "home_exists"
    assert [one.name for one in home.iterdir()] == ["config.toml"]
    (home / "config.toml").unlink()
    backups.restore(path, PHRASE, home, now=NOW)
    assert identity.exists(home)


def test_a_home_that_is_a_link_to_an_empty_folder_is_restored_where_it_leads(
    tmp_path: Path, bob: SimNode
) -> None:
    path, real, link = made(tmp_path / "home", bob), tmp_path / "disk" / "real", tmp_path / "link"
    real.mkdir(parents=True)
    link.symlink_to(real)
    backups.restore(path, PHRASE, link, now=NOW)
    assert identity.exists(link) and link.is_symlink()
    assert [one.name for one in (tmp_path / "disk").iterdir()] == ["real"]


def test_a_home_that_cannot_be_put_in_its_place_leaves_no_keys_behind(
    tmp_path: Path, bob: SimNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, home = made(tmp_path / "home", bob), tmp_path / "new"
    home.mkdir()

    def busy(self: Path) -> None:
        raise OSError(errno.EBUSY, "a mount point")

    monkeypatch.setattr(Path, "rmdir", busy)
    assert code(lambda: backups.restore(path, PHRASE, home, now=NOW)) == "storage_full"
    monkeypatch.undo()
    assert not list(home.iterdir()) and not list(tmp_path.glob(".*restoring"))


def test_two_restores_of_one_home_at_a_time_do_not_meet(tmp_path: Path, bob: SimNode) -> None:
    path, home = made(tmp_path / "home", bob), tmp_path / "new"
    stage = tmp_path / ".new.restoring"
    stage.mkdir()
    lock = HomeLock.take(stage)
    assert code(lambda: backups.restore(path, PHRASE, home, now=NOW)) == "home_locked"
    assert stage.exists()
    lock.release()
    backups.restore(path, PHRASE, home, now=NOW)


def test_what_fails_leaves_no_home(tmp_path: Path, bob: SimNode) -> None:
    path, home = made(tmp_path / "home", bob), tmp_path / "new"
    with untouched(home):
        assert code(lambda: backups.restore(path, b"wrong", home, now=NOW)) == "wrong_passphrase"
    whole = path.read_bytes()
    for harmed in (whole[:-1], whole + b"\0", whole[:-20] + b"\0" + whole[-19:]):
        path.write_bytes(harmed)
        with untouched(home):
            assert code(lambda: backups.restore(path, PHRASE, home, now=NOW)) == "backup_damaged"


def test_a_killed_restore_leaves_no_half_home_and_the_next_one_works(tmp_path: Path, bob: SimNode) -> None:
    path, home = made(tmp_path / "home", bob), tmp_path / "new"
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom node import backups\nfrom node.clock import Instant\n"
        "calls = int(sys.argv[3])\n"
        "def one(real):\n"
        "    def act(*given, **more):\n"
        "        global calls\n"
        "        calls -= 1\n"
        "        calls > 0 or os.kill(os.getpid(), 9)\n"
        "        return real(*given, **more)\n"
        "    return act\n"
        "os.fsync, os.open = one(os.fsync), one(os.open)\n"
        f"now = Instant(5.0, {NOW.wall_ms})\n"
        f"backups.restore(Path(sys.argv[1]), {PHRASE!r}, Path(sys.argv[2]), now=now)\n"
    )
    killed = 0
    for calls in range(1, 40, 4):
        run = subprocess.run(
            [sys.executable, "-c", program, str(path), str(home), str(calls)],
            cwd=Path(__file__).parent.parent,
            check=False,
            capture_output=True,
        )
        if run.returncode == 0:
            break
        assert run.returncode == -9, run.stderr.decode()[-500:]
        assert not home.exists() or identity.open_identity(home, None)
        killed += 1
        if home.exists():
            break
    assert killed >= 3
    if not home.exists():
        backups.restore(path, PHRASE, home, now=NOW)
    assert identity.open_identity(home, None) and (home / "gossamer.db").exists()


def test_a_backup_is_of_one_moment_and_what_is_committed_meanwhile_is_not_in_it(
    tmp_path: Path, bob: SimNode
) -> None:
    async def main() -> None:
        store = await stored(tmp_path / "home", bob)
        with Copying(store.path, MASTER) as copying:
            rows = copying.rows()
            first = next(rows)
            body = bob.store.messages()[0].body
            await store.commit(
                [Put(Table.SETTINGS, b"late", b"x"), PutMessage(b"r" * 16, b"m" * 16, 999, body)]
            )
            found = [first, *rows]
            assert b"late" not in {key for _, key, _ in found}
            assert {table for table, _, _ in found}.isdisjoint(SHREDDED)
            assert 999 not in {seq for seq, _ in copying.messages()} and copying.last_seq() < 999
        await store.close()

    asyncio.run(main())


def test_what_a_killed_backup_left_goes_with_the_next_one(tmp_path: Path, bob: SimNode) -> None:
    folder = tmp_path / "home" / "backups"
    folder.mkdir(parents=True)
    (folder / "gossamer-20200101-000000.backup.new").write_bytes(b"half")
    path = made(tmp_path / "home", bob)
    assert [one.name for one in folder.iterdir()] == [path.name]


def test_a_backup_that_is_stopped_or_one_too_many_is_refused_and_leaves_nothing(
    tmp_path: Path, bob: SimNode
) -> None:
    async def main() -> None:
        store = await stored(tmp_path / "home", bob)
        given = source(tmp_path / "home", bob, store)
        work = {"now_ms": NOW.wall_ms, "cost": CHEAP}
        assert code(lambda: backups.create(given, PHRASE, stopped=lambda: True, **work)) == "busy"  # type: ignore[arg-type]
        folder = tmp_path / "home" / "backups"
        assert list(folder.iterdir()) == []
        for number in range(backups.MAX_FILES):
            (folder / f"{number}.backup").touch()
        assert code(lambda: backups.create(given, PHRASE, stopped=lambda: False, **work)) == "too_many"  # type: ignore[arg-type]
        await store.close()

    asyncio.run(main())


def test_a_backup_that_finds_no_room_on_the_disk_leaves_nothing(
    tmp_path: Path, bob: SimNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "no room")

    async def main() -> None:
        store = await stored(tmp_path / "home", bob)
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StoreFull):
            backups.create(
                source(tmp_path / "home", bob, store), PHRASE, now_ms=1, stopped=lambda: False, cost=CHEAP
            )
        assert list((tmp_path / "home" / "backups").iterdir()) == []
        monkeypatch.undo()
        await store.close()

    asyncio.run(main())


# -- every bit ------------------------------------------------------------------------------------


def small(records: list[bytes]) -> bytes:
    writer = file.Writer(PHRASE, os.urandom, CHEAP)
    return writer.head + b"".join(writer.add(one) for one in records) + writer.finish()


@pytest.mark.attack("A07")
@pytest.mark.attack("A30")
def test_every_flipped_bit_of_a_backup_is_refused_and_nothing_is_created(tmp_path: Path) -> None:
    me = Identity.generate(os.urandom, 20_000)
    records = [backup.Head(1, "1", me.account, "bob", False, 0), backup.Owner(me.account_seed)]
    whole = small([backup.encode(one) for one in records])
    home, path = tmp_path / "new", tmp_path / "file"
    costly = range(8 * len(file.MAGIC) + 8, 8 * len(file.MAGIC) + 8 * 6)
    for bit in range(8 * len(whole)):
        raw = whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :]
        if bit in costly and int.from_bytes(raw[18:22], "big") > 64 * 1024:
            continue  # it would be tried, up to the ceiling of 512 MiB: another test has these
        try:
            reader = file.Reader(PHRASE, raw[: file.HEAD_BYTES])
            list(reader.feed(raw[file.HEAD_BYTES :]))
            reader.close()
        except PeerFault:
            continue
        raise AssertionError(f"bit {bit} was taken")
    for bit in range(0, 8 * len(whole), 97):
        if bit not in costly:
            path.write_bytes(
                whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :]
            )
            with untouched(home):
                assert code(lambda: backups.restore(path, PHRASE, home, now=NOW)) in {
                    "backup_damaged",
                    "wrong_passphrase",
                }


def test_records_out_of_order_too_few_or_of_forward_secret_tables_are_refused(tmp_path: Path) -> None:
    me = Identity.generate(os.urandom, 20_000)
    head = backup.Head(1, "1", me.account, "bob", False, 0)
    owner, row = backup.Owner(me.account_seed), backup.Row(Table.SETTINGS, b"k", b"v")
    message, end = backup.Message(b"r" * 16, b"m" * 16, 1, b"{}"), backup.End(1, 0)
    path = tmp_path / "file"
    for records in (
        [],
        [owner, head],
        [head, owner, row],
        [head, row, owner, end],
        [head, owner, row, end, end],
        [head, owner, row, end, row],
        [head, owner, message, row, backup.End(1, 1)],
        [head, owner, row, backup.End(2, 0)],
        [head, backup.Owner(bytes(32)), row, end],
        [head, owner, backup.Row(Table.CHAINS, b"k", b"v"), end],
        [head, owner, backup.Row("others", b"k", b"v"), end],
        [head, owner, row, end],
    ):
        path.write_bytes(small([backup.encode(one) for one in records]))
        assert code(lambda: backups.verify(path, PHRASE)) == "backup_damaged"
    path.write_bytes(small([b"\x91\x07"]))
    assert code(lambda: backups.restore(path, PHRASE, tmp_path / "new", now=NOW)) == "backup_damaged"


def test_what_a_home_lacks_is_fatal_not_a_backup(tmp_path: Path, bob: SimNode) -> None:
    """A damaged database ends the node, as everywhere: no backup of it is written."""

    async def main() -> None:
        store = await stored(tmp_path / "home", bob)
        given = source(tmp_path / "home", bob, store)
        conn = store._write._conn
        await store._write.run(lambda _: conn.execute("UPDATE messages SET seq = seq + 7").rowcount)
        with pytest.raises(Fatal, match="damaged"):
            backups.create(given, PHRASE, now_ms=1, stopped=lambda: False, cost=CHEAP)
        assert list((tmp_path / "home" / "backups").iterdir()) == []
        await store.close()

    asyncio.run(main())

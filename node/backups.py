"""Backup files: written while a node runs, verified and restored without one (docs/operations.md, "Backups").

Each blocks, and works in pieces, so that the size of a home does not matter; what fails leaves nothing behind
under the name that was asked for.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from node import __version__
from node.chat import backup
from node.clock import Instant
from node.crypto.backup import HEAD_BYTES, NotABackup, Reader, Writer, WrongPassphrase
from node.crypto.vault import MODERATE, Cost, StoreKeys
from node.errors import PeerFault, Refused, StoreFull
from node.store import files, identity
from node.store.copying import Copying
from node.store.lock import HomeLock
from node.store.records import AppendEvent, Put, PutMessage, Write
from node.store.shredding import ShredFile
from node.store.sqlite import SqliteStore

FOLDER = "backups"
"""In the home: where the bridge has them written, under names of ours."""
MAX_FILES = 16
"""Backups that may lie there; the command line takes each away at once."""
READ_BYTES = 256 * 1024
BATCH = 1_000
"""Records a commit while a home is being made."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a backup is made from: an open store, its owner's account, and how the home is sealed."""

    home: Path
    store: SqliteStore = field(repr=False)
    account: bytes
    account_seed: bytes = field(repr=False)
    username: str
    sealed: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What a backup holds."""

    path: Path
    size: int
    head: backup.Head
    rooms: int
    contacts: int
    messages: int


def create(
    source: Source, passphrase: bytes, *, now_ms: int, stopped: Callable[[], bool], cost: Cost = MODERATE
) -> Facts:
    """Write a backup into the home's folder for them; blocks for as long as it takes.

    Raises:
        Refused: If too many lie there already (`too_many`), or `stopped` said so meanwhile (`busy`).
        StoreFull: If the disk did not take it.
    """
    folder = source.home / FOLDER
    try:
        files.prepare_home(folder)
        for left in folder.glob("*.backup.new"):  # of an attempt that was killed; there is one at a time
            left.unlink()
        if len(list(folder.glob("*.backup"))) >= MAX_FILES:
            text = f"{MAX_FILES} backups lie in {folder}: move them to a safe place first"
            raise Refused("too_many", text)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_ms / 1000))
        path = folder / f"gossamer-{stamp}.backup"
        with Copying(source.store.path, source.store.master) as copying:
            records = _records(source, copying, now_ms)
            order = _write(path, records, Writer(passphrase, os.urandom, cost), stopped)
    except OSError as exc:
        raise StoreFull(f"the backup could not be written: {exc}") from exc
    except sqlite3.Error as exc:
        raise StoreFull(f"the database could not be read: {exc}") from exc
    return _facts(path, order)


def _write(
    path: Path, records: Iterator[backup.Record], writer: Writer, stopped: Callable[[], bool]
) -> backup.Order:
    """Write, sync and rename; what comes out is judged as it will be when it is read."""
    new, order = files.staged(path), backup.Order()
    try:
        files.private_file(new)
        with new.open("r+b") as file:
            file.truncate()
            file.write(writer.head)
            for record in records:
                raw = backup.encode(record)
                order.take(raw)
                file.write(writer.add(raw))
                if stopped():
                    raise Refused("busy", "the node stops: no backup was made", retryable=True)
            order.close()
            file.write(writer.finish())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    files.sync_folder(path.parent)
    return order


def _records(source: Source, copying: Copying, now_ms: int) -> Iterator[backup.Record]:
    seq = copying.last_seq()
    yield backup.Head(now_ms, __version__, source.account, source.username, source.sealed, seq)
    yield backup.Owner(source.account_seed)
    rows = messages = 0
    for stored in copying.rows():
        row = backup.kept(*stored)
        if row is not None:
            rows += 1
            yield row
    for at, body in copying.messages():
        messages += 1
        yield backup.message_of(at, body)
    yield backup.End(rows, messages)


def _facts(path: Path, order: backup.Order) -> Facts:
    assert order.head is not None
    size = path.stat().st_size
    return Facts(path, size, order.head, order.rooms, order.contacts, order.messages)


# -- reading --------------------------------------------------------------------------------------


def _read(path: Path, passphrase: bytes, order: backup.Order) -> Iterator[backup.Record]:
    """Give out a backup's records; only when it has come to its end was all of it sound."""
    try:
        with path.open("rb") as file:
            reader = Reader(passphrase, file.read(HEAD_BYTES))
            while piece := file.read(READ_BYTES):
                for raw in reader.feed(piece):
                    yield order.take(raw)
            reader.close()
            order.close()
    except FileNotFoundError as exc:
        raise Refused("backup_not_found", f"there is no file {path}") from exc
    except OSError as exc:
        raise Refused("backup_damaged", f"{path} cannot be read: {exc.strerror or exc}") from exc
    except WrongPassphrase as exc:
        raise Refused("wrong_passphrase", f"{path}: {exc}") from exc
    except NotABackup as exc:
        raise Refused("backup_damaged", f"{path}: {exc}") from exc
    except (PeerFault, msgspec.MsgspecError) as exc:
        raise Refused("backup_damaged", f"{path} is damaged: {exc}") from exc


def verify(path: Path, passphrase: bytes) -> Facts:
    """Read a whole backup and say what it holds; blocks.

    Raises:
        Refused: `wrong_passphrase`, `backup_damaged`, `backup_not_found`.
    """
    order = backup.Order()
    for _ in _read(path, passphrase, order):
        pass
    return _facts(path, order)


# -- restoring ------------------------------------------------------------------------------------


def restore(path: Path, passphrase: bytes, home: Path, *, now: Instant) -> Facts:
    """Make a home of a backup: whole, or not at all.

    It is made beside, under another name, and renamed when everything in it is on disk. Sealed under the
    passphrase of the backup if the home that it is of was sealed.

    Raises:
        Refused: As `verify`; `home_exists` if there is something in the home already.
        Fatal: If another process restores it (`home_locked`).
        StoreFull: If the disk did not take it.
    """
    home = home.resolve()
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Refused("home_exists", f"{home} is not empty: name a new home, by --home, to restore into")
    stage = home.with_name(f".{home.name}.restoring")
    order = backup.Order()
    try:
        files.prepare_home(stage)
        lock = HomeLock.take(stage)
        try:
            _empty(stage)
            asyncio.run(_build(path, passphrase, stage, order, now))
        except BaseException:
            lock.release()
            shutil.rmtree(stage, ignore_errors=True)
            raise
        lock.release()
        _settle(stage, home)
    except OSError as exc:
        raise StoreFull(f"the home could not be made: {exc}") from exc
    except (PeerFault, msgspec.MsgspecError, OverflowError) as exc:
        raise Refused("backup_damaged", f"{path} holds what no home can: {exc}") from exc
    return _facts(path, order)


def _settle(stage: Path, home: Path) -> None:
    """Put the new home in its place; where it cannot be, its keys are left nowhere."""
    try:
        files.sync_folder(stage)
        if home.exists():
            home.rmdir()
        stage.replace(home)
    except OSError:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    files.sync_folder(home.parent)


def _empty(stage: Path) -> None:
    """Take away what a killed attempt left."""
    for left in stage.iterdir():
        if left.name != "lock":
            left.unlink()


async def _build(path: Path, passphrase: bytes, stage: Path, order: backup.Order, now: Instant) -> None:
    restoring: backup.Restoring | None = None
    store: SqliteStore | None = None
    writes: list[Write] = []
    try:
        for record in _read(path, passphrase, order):
            match record:
                case backup.Owner():
                    restoring = backup.Restoring(record, now, os.urandom)
                    store = await _home(stage, restoring, passphrase, order)
                case backup.Row():
                    assert restoring is not None
                    writes += [Put(row.table, row.key, row.value) for row in restoring.rows(record)]
                case backup.Message(room, mid, seq, body):
                    writes.append(PutMessage(room, mid, seq, body))
            if store is not None and len(writes) >= BATCH:
                await store.commit(writes)
                writes = []
        assert store is not None and restoring is not None and order.head is not None
        seq, told = restoring.told(order.head)
        await store.commit([*writes, AppendEvent(seq, now.wall_ms, told)])
    finally:
        if store is not None:
            await store.close()


async def _home(
    stage: Path, restoring: backup.Restoring, passphrase: bytes, order: backup.Order
) -> SqliteStore:
    assert order.head is not None
    phrase = passphrase if order.head.sealed else None
    stored = identity.create(stage, restoring.identity.to_bytes(), passphrase=phrase, entropy=os.urandom)
    keys = StoreKeys(stored.master, ShredFile(stage).keys())
    return await SqliteStore.open(stage / "gossamer.db", keys)

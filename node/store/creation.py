"""How a database begins, is brought up to date, and is shown to be the one that belongs to the keys.

It is made under another name and renamed when it is whole, so that an empty or half-made file is never
mistaken for a new home. Part of the shell `node.store.sqlite`; files are 0600 under any umask, SQLite gives
its `-wal` and `-shm` the mode of the database (docs/operations.md, "Files").
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from node import ids
from node.crypto.primitives import Entropy
from node.crypto.vault import Cells, StoreKeys
from node.errors import CryptoFault, Fatal
from node.store import files
from node.store.migrations import APPLICATION_ID, Step, pending
from node.store.reader import EPOCH_PLACE, damaged
from node.store.writer import CHECK_TEXT, shred_check
from node.tables import Table

INTEGRITY_UP_TO = 64 * 1024 * 1024
"""Bytes of a database whose every index is compared with its table at every start: 0.2 s for the largest."""
QUICK_UP_TO = 256 * 1024 * 1024
"""Bytes of a database whose structure alone is checked, again 0.2 s; a larger one only as it is read."""
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


def beside(path: Path, suffix: str) -> Path:
    """Return the file that SQLite, or we, keep next to the database."""
    return path.with_name(path.name + suffix)


def create(path: Path, keys: StoreKeys, *, entropy: Entropy, steps: Sequence[Step]) -> None:
    """Make the database if there is none; look at the file that is there before SQLite touches it.

    Raises:
        Fatal: If a file is there that is empty, cut off, or no database (`store_corrupt`).
    """
    if path.exists():
        files.private_file(path)
        _check_whole(path)
        return
    new = files.staged(path)
    for stale in (new, beside(new, "-journal"), beside(path, "-wal"), beside(path, "-shm")):
        stale.unlink(missing_ok=True)
    files.private_file(new)
    with closing(sqlite3.connect(new, isolation_level=None)) as conn:
        _build(conn, Cells(keys.master, keys.shred[0], entropy), steps)
    new.replace(path)
    files.sync_folder(path.parent)


def _build(conn: sqlite3.Connection, cells: Cells, steps: Sequence[Step]) -> None:
    conn.execute("BEGIN EXCLUSIVE")
    _take(conn, steps, len(steps))
    conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    meta = [
        ("log_epoch", cells.seal(*EPOCH_PLACE, ids.text(ids.uuid4(cells.entropy(16))).encode())),
        ("shred_check", shred_check(cells)),
    ]
    conn.executemany("INSERT INTO meta(name, value) VALUES (?, ?)", meta)
    conn.execute("COMMIT")


def _take(conn: sqlite3.Connection, steps: Sequence[Step], version: int) -> None:
    for step in steps:
        for statement in step:
            conn.execute(statement)
    conn.execute(f"PRAGMA user_version = {version}")


def _check_whole(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise damaged(f"{path.name} is empty or no database")
    page = int.from_bytes(header[16:18], "big")
    expected = (65_536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    wal = beside(path, "-wal")
    if size < expected and not (wal.exists() and wal.stat().st_size):
        raise damaged(f"{path.name} is cut off")


def upgrade(conn: sqlite3.Connection, *, path: Path, steps: Sequence[Step]) -> None:
    """Take the steps that are missing, all or none, after copying the database aside as `NAME.vN`.

    Raises:
        Fatal: If the database is another program's (`store_corrupt`) or a newer release's (`schema_newer`),
            or a step did not work (`migration_failed`).
    """
    if conn.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise damaged("it belongs to another program")
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    missing = pending(version, steps)
    if version == 0:
        raise damaged("it says that it was never made")
    size = path.stat().st_size
    if size <= QUICK_UP_TO:
        check(conn, "integrity_check" if size <= INTEGRITY_UP_TO else "quick_check")
    if not missing:
        return
    aside = beside(path, f".v{version}")
    copy_aside(conn, aside)
    conn.execute("BEGIN EXCLUSIVE")
    try:
        _take(conn, missing, len(steps))
        conn.execute("COMMIT")
    except sqlite3.Error as exc:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise Fatal(
            f"the database could not be brought up to date ({exc}); it is as it was, a copy is {aside.name}",
            code="migration_failed",
        ) from exc


def check(conn: sqlite3.Connection, how: str) -> None:
    """Let SQLite look at the structure, `quick_check` or `integrity_check`; raises Fatal if it is damaged."""
    (finding,) = conn.execute(f"PRAGMA {how}(1)").fetchone()
    if finding != "ok":
        raise damaged(finding)


def copy_aside(conn: sqlite3.Connection, target: Path) -> None:
    """Write a consistent 0600 copy of the database to `target`."""
    target.unlink(missing_ok=True)
    files.private_file(target)
    with closing(sqlite3.connect(target)) as copy:
        conn.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    files.sync_folder(target.parent)


def drop_copies(path: Path) -> None:
    """Remove what was copied aside: after a shred round no key opens it all, and it has what was deleted."""
    for aside in path.parent.glob(f"{path.name}.v[0-9]*"):
        aside.unlink(missing_ok=True)


def unlock(conn: sqlite3.Connection, *, keys: StoreKeys, entropy: Entropy) -> Cells:
    """Return the cells of this database, with the one of the shred keys that fits.

    Raises:
        Fatal: If the master key, or every shred key, is of another database (`wrong_key`).
    """
    meta = dict(conn.execute("SELECT name, value FROM meta").fetchall())
    cells = [Cells(keys.master, shred, entropy) for shred in keys.shred]
    try:
        Cells(keys.master, b"", entropy).open(*EPOCH_PLACE, meta.get("log_epoch", b""))
    except CryptoFault as exc:
        raise Fatal("identity.key does not belong to this database", code="wrong_key") from exc
    for candidate in cells:
        if _opens(candidate, meta.get("shred_check", b"")):
            return candidate
    raise Fatal("ratchets.key is damaged or does not belong to this database", code="wrong_key")


def _opens(cells: Cells, sealed: bytes) -> bool:
    try:
        return cells.open(Table.RATCHETS, "check", b"check", sealed) == CHECK_TEXT
    except CryptoFault:
        return False

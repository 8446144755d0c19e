"""A consistent look at the whole store while the node runs: what a backup is written from.

A connection and a read transaction of its own, on whatever thread uses it, so that neither commits nor
readers wait for it, and it sees none of what is committed meanwhile. Rows sealed under the shred key are not
read at all. Part of the shell `node.store.sqlite`; what goes into a backup is `node.chat.backup`'s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from node.crypto.vault import Cells
from node.store import reader


class Copying:
    """One such look: a context manager, for one thread; opens cells under the master key alone."""

    def __init__(self, path: Path, master: bytes) -> None:
        self._path = path
        self._cells = Cells(master, b"", _no_entropy)
        self._conn: sqlite3.Connection | None = None

    def __enter__(self) -> Copying:
        self._conn = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        self._conn.execute("PRAGMA query_only = ON")
        self._conn.execute("BEGIN")
        self._conn.execute("SELECT count(*) FROM meta").fetchone()  # a read is what fixes the moment
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._conn is not None
        self._conn.close()
        self._conn = None

    def last_seq(self) -> int:
        """Return the highest number that the event log and the messages carry."""
        assert self._conn is not None
        (messages,) = self._conn.execute("SELECT coalesce(max(seq), 0) FROM messages").fetchone()
        return max(reader.log_ends(self._conn)[1], int(messages))

    def rows(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Give out (table, key, value) of every row that is not sealed under the shred key."""
        assert self._conn is not None
        return reader.stored_rows(self._conn, self._cells)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Give out (seq, body) of every message, in the order of the log."""
        assert self._conn is not None
        return reader.stored_messages(self._conn, self._cells)


def _no_entropy(size: int) -> bytes:
    raise AssertionError(f"nothing is sealed here, yet {size} random bytes are asked for")

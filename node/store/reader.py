"""The SQL of reading: rows back at a start, pages of the log and of a history, held envelopes.

Runs on the thread that owns the connection; part of the shell `node.store.sqlite`. Nothing that was damaged
or moved on disk is ever returned: a cell that does not open, or an envelope that is not the hash it is filed
under, is Fatal (docs/operations.md, "A damaged database").
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from node.crypto.primitives import plain_digest
from node.crypto.vault import Cells
from node.errors import CryptoFault, Fatal, Refused
from node.store.records import Held, Loaded, Portion, Shelf, retold, shown
from node.store.writer import event_place, message_id, message_place, room_id, source_of
from node.tables import ALL

MAX_PARAMETERS = 500
"""Routing keys asked for in one statement; SQLite's own limit is 999 in old builds."""
EPOCH_PLACE = ("meta", "value", b"log_epoch")
"""Where the log epoch is sealed: the first cell of every database, so it also tells the right master key."""
MAX_SEQ = (1 << 63) - 1
"""The highest number SQLite holds."""
_PAGE = "SELECT id, room, seq, box FROM messages WHERE room = ? AND (seq, n) > (?, ?) AND (seq, n) < (?, ?) "
_PAGE_FORWARD = _PAGE + "ORDER BY seq, n LIMIT ? OFFSET ?"
_NEWEST_BUT = "SELECT seq, n FROM messages WHERE room = ? ORDER BY seq DESC, n DESC LIMIT 1 OFFSET ?"
_PAGE_BACKWARD = _PAGE + "ORDER BY seq DESC, n DESC LIMIT ? OFFSET ?"


def damaged(what: str) -> Fatal:
    """Return the error that says that the database cannot be trusted any more."""
    return Fatal(
        f"the database is damaged ({what}): stop, keep a copy of the files, and restore a backup",
        code="store_corrupt",
    )


@contextmanager
def sound(what: str) -> Iterator[None]:
    """Turn what a damaged cell can raise, a value of a wrong kind included, into the one error it means."""
    try:
        yield
    except (CryptoFault, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise damaged(f"{what} does not open") from exc


def load(conn: sqlite3.Connection, cells: Cells) -> Loaded:
    """Read back everything a start needs; on the writing connection, so that nothing changes meanwhile."""
    first, last = log_ends(conn)
    envelopes: list[Held] = conn.execute(
        "SELECT eid, ts_ms, expires_ms FROM envelopes ORDER BY ts_ms, eid"
    ).fetchall()
    portions: list[Portion] = conn.execute(
        "SELECT shelf, source, count(*), sum(size) FROM envelopes GROUP BY shelf, source"
    ).fetchall()
    rows = _load_rows(conn, cells)
    epoch, names = log_epoch(conn, cells), partial(source_of, cells)
    return Loaded(rows, last, epoch, first, envelopes, tuple(portions), names)


def log_epoch(conn: sqlite3.Connection, cells: Cells) -> str:
    """Return the UUID of this generation of the database."""
    (sealed,) = conn.execute("SELECT value FROM meta WHERE name = 'log_epoch'").fetchone()
    with sound("the log epoch"):
        return cells.open(*EPOCH_PLACE, sealed).decode()


def log_ends(conn: sqlite3.Connection) -> tuple[int, int]:
    """Return (first, last) seq of the event log; (1, 0) when nothing was ever logged."""
    first, last = conn.execute("SELECT min(seq), max(seq) FROM events").fetchone()
    return (1, 0) if last is None else (first, last)


def _load_rows(conn: sqlite3.Connection, cells: Cells) -> dict[str, dict[bytes, bytes]]:
    tables: dict[str, dict[bytes, bytes]] = {table: {} for table in sorted(ALL)}
    with sound("a stored row"):
        for rowid, table, box in conn.execute("SELECT id, tbl, box FROM rows ORDER BY n"):
            key, value = cells.open_row(table, rowid, box)
            tables.setdefault(table, {})[key] = value
    return tables


def stored_rows(conn: sqlite3.Connection, cells: Cells) -> Iterator[tuple[str, bytes, bytes]]:
    """Give out (table, key, value) of the rows that the master key alone opens, the oldest first."""
    for rowid, table, box in conn.execute("SELECT id, tbl, box FROM rows WHERE shred = 0 ORDER BY n"):
        with sound("a stored row"):
            key, value = cells.open_row(table, rowid, box)
        yield table, key, value


def stored_messages(conn: sqlite3.Connection, cells: Cells) -> Iterator[tuple[int, bytes]]:
    """Give out (seq, body) of every message, in the order of the log."""
    for rowid, room, seq, box in conn.execute("SELECT id, room, seq, box FROM messages ORDER BY seq, n"):
        yield seq, _message_body(cells, rowid, room, seq, box)


def events_after(conn: sqlite3.Connection, cells: Cells, seq: int, limit: int) -> list[tuple[int, bytes]]:
    """Return up to `limit` events after `seq` as (seq, JSON), messages in place of their pointers."""
    rows = conn.execute(
        "SELECT e.seq, e.message, e.box, m.room, m.seq, m.box FROM events e "
        "LEFT JOIN messages m ON m.id = e.message WHERE e.seq > ? ORDER BY e.seq LIMIT ?",
        (seq, limit),
    ).fetchall()
    return [(row[0], _event_body(cells, row)) for row in rows]


def _event_body(cells: Cells, row: tuple[int, bytes | None, bytes, bytes | None, int, bytes]) -> bytes:
    seq, pointer, box, room, at, message_box = row
    with sound("an event"):
        body = cells.open("events", "body", event_place(seq, pointer), box)
    if pointer is None:
        return body
    if room is None:
        raise damaged("an event points to no message")
    said = _message_body(cells, pointer, room, at, message_box)
    with sound("an event"):
        return retold(body, said) if body else shown(said)


def history(
    conn: sqlite3.Connection,
    cells: Cells,
    room: bytes,
    *,
    before: bytes | None,
    after: bytes | None,
    limit: int,
    skip: int = 0,
) -> tuple[list[bytes], bool]:
    """Return one page of a room, oldest first, and whether there is more beyond it.

    Before: the newest `limit` that are older. After: the oldest `limit` that are newer. Neither: the newest.
    `skip` passes over so many first, in the index alone: nothing of them is read or opened.

    Raises:
        Refused: If `before` or `after` is not a message of this room (`message_not_found`).
    """
    low = _position(conn, cells, room, after, "after") if after is not None else (-1, 0)
    high = _position(conn, cells, room, before, "before") if before is not None else (MAX_SEQ, MAX_SEQ)
    forward = after is not None
    if skip and before is None and not forward:  # without conditions on each row the index is walked faster
        last = conn.execute(_NEWEST_BUT, (room_id(cells, room), skip - 1)).fetchone()
        if last is None:
            return [], False
        high, skip = last, 0
    rows = conn.execute(
        _PAGE_FORWARD if forward else _PAGE_BACKWARD, (room_id(cells, room), *low, *high, limit + 1, skip)
    ).fetchall()
    page = rows[:limit] if forward else rows[:limit][::-1]
    return [shown(_message_body(cells, *row)) for row in page], len(rows) > limit


def message_count(conn: sqlite3.Connection, cells: Cells, room: bytes) -> int:
    """Return how many messages of a room are stored, from the index alone: 10 ms for a hundred thousand."""
    name = room_id(cells, room)
    (count,) = conn.execute("SELECT count(*) FROM messages WHERE room = ?", (name,)).fetchone()
    return int(count)


def _message_body(cells: Cells, rowid: bytes, room: bytes, seq: int, box: bytes) -> bytes:
    with sound("a message"):
        return cells.open("messages", "body", message_place(rowid, room, seq), box)


def _position(conn: sqlite3.Connection, cells: Cells, room: bytes, mid: bytes, side: str) -> tuple[int, int]:
    found = conn.execute(
        "SELECT seq, n FROM messages WHERE id = ?", (message_id(cells, room, mid),)
    ).fetchone()
    if found is None:
        raise Refused("message_not_found", "this room has no such message", field=side)
    return found[0], found[1]


def message(conn: sqlite3.Connection, cells: Cells, room: bytes, mid: bytes) -> bytes | None:
    """Return the body of one message, or None."""
    found = conn.execute(
        "SELECT id, room, seq, box FROM messages WHERE id = ?", (message_id(cells, room, mid),)
    ).fetchone()
    return None if found is None else _message_body(cells, *found)


def _checked(eid: bytes, raw: bytes) -> bytes:
    with sound("a held envelope"):
        if plain_digest(raw) == eid:
            return raw
    raise damaged("a held envelope is not what it was")


def envelopes_by_rk(
    conn: sqlite3.Connection, rks: Sequence[bytes], limit: int, after: tuple[int, bytes] | None
) -> list[bytes]:
    """Return the oldest `limit` envelopes of these routing keys that come after (ts_ms, eid)."""
    found: list[tuple[int, bytes, bytes]] = []
    for start in range(0, len(rks), MAX_PARAMETERS):
        some = rks[start : start + MAX_PARAMETERS]
        marks = ",".join("?" * len(some))
        found += conn.execute(
            f"SELECT ts_ms, eid, raw FROM envelopes WHERE rk IN ({marks}) "  # noqa: S608 - question marks
            "AND (ts_ms, eid) > (?, ?) ORDER BY ts_ms, eid LIMIT ?",
            (*some, *(after or (-1, b"")), limit),
        ).fetchall()
    return [_checked(eid, raw) for _, eid, raw in sorted(found)[:limit]]


def envelopes_by_id(
    conn: sqlite3.Connection, prefixes: Iterable[bytes], max_bytes: int | None = None
) -> list[bytes]:
    """Return the envelopes whose ids begin with these 16 bytes, in the order asked; some may be unknown.

    Those after the one with which they are `max_bytes` or more are left out.
    """
    found: list[bytes] = []
    for prefix in prefixes:
        if max_bytes is not None and sum(map(len, found)) >= max_bytes:
            break
        rows = conn.execute(
            "SELECT eid, raw FROM envelopes WHERE eid BETWEEN ? AND ? AND size > 0",
            (prefix, prefix + b"\xff" * 16),
        ).fetchall()
        found += [_checked(eid, raw) for eid, raw in rows]
    return found


def envelopes_by_time(
    conn: sqlite3.Connection, start_ms: int, end_ms: int, after: tuple[int, bytes] | None, max_bytes: int
) -> tuple[list[bytes], bool]:
    """Return envelopes with start <= ts_ms < end that come after (ts_ms, eid), in that order; and if more.

    At most `max_bytes` in all, but always one, so that a reader gets on.
    """
    low = max(after, (start_ms, b"")) if after is not None else (start_ms, b"")
    cursor = conn.execute(
        "SELECT eid, raw FROM envelopes WHERE (ts_ms, eid) > (?, ?) AND ts_ms < ? AND size > 0 "
        "ORDER BY ts_ms, eid",
        (*low, end_ms),
    )
    page: list[bytes] = []
    used = 0
    try:
        for eid, raw in cursor:
            used += len(raw)
            if page and used > max_bytes:
                return page, True
            page.append(_checked(eid, raw))
    finally:
        cursor.close()
    return page, False


def held_facts(conn: sqlite3.Connection) -> dict[str, int | None]:
    """Return how many envelopes are held, and the time of the oldest; both from an index alone."""
    (count,) = conn.execute("SELECT count(*) FROM envelopes WHERE shelf <> ?", (Shelf.GONE,)).fetchone()
    oldest = conn.execute("SELECT ts_ms FROM envelopes WHERE size > 0 ORDER BY ts_ms, eid LIMIT 1").fetchone()
    return {"held_envelopes": count, "oldest_held_ms": None if oldest is None else oldest[0]}

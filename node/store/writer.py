"""The SQL of a commit: records in, rows sealed and written, all inside the caller's transaction.

Runs on the thread that owns the connection; part of the shell `node.store.sqlite`. What lies where is in
docs/crypto.md 3.11, the tables in `node.store.migrations`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from node.crypto.vault import Cells
from node.store import claims
from node.store.records import (
    KEEP_EVENTS,
    KEEP_EVENTS_MS,
    AppendEvent,
    Claim,
    Delete,
    DropEnvelopes,
    DropMessage,
    ForgetGone,
    Gone,
    LetGo,
    Portion,
    Put,
    PutEnvelope,
    PutMessage,
    RewriteMessage,
    Shelf,
    Write,
    portions,
    source_number,
)
from node.tables import SHREDDED, Table

EXPIRE_BATCH = 500
"""Envelopes dropped a transaction, so that expiry never keeps a commit waiting long: about 5 ms."""
COMPACT_SLICE = 2_000
"""Events of the log dropped a transaction, for the same reason."""
PROBE_BYTES = 256 * 1024
"""Room that there has to be before a node that ran out of it writes again."""

_PUT_ROW = (
    "INSERT INTO rows(id, tbl, shred, box) VALUES (?, ?, ?, ?) "
    "ON CONFLICT(id) DO UPDATE SET box = excluded.box"
)
_INSERT_MESSAGE = "INSERT INTO messages(id, room, seq, box) VALUES (?, ?, ?, ?) ON CONFLICT(id) DO "
_PUT_MESSAGE = _INSERT_MESSAGE + "NOTHING"
_EDIT_MESSAGE = _INSERT_MESSAGE + "UPDATE SET seq = excluded.seq, box = excluded.box"
_APPEND_EVENT = "INSERT INTO events(seq, ts_ms, message, box) VALUES (?, ?, ?, ?)"
_PUT_ENVELOPE = (
    "INSERT INTO envelopes(eid, rk, ts_ms, expires_ms, shelf, raw, source) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT(eid) DO NOTHING"
)
_EXPIRE_SOME = (
    "DELETE FROM envelopes WHERE n IN "
    "(SELECT n FROM envelopes WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?) "
    "RETURNING eid, shelf, source, size"
)
_OLDEST = "SELECT n, size FROM envelopes WHERE shelf = ? AND source = ? ORDER BY ts_ms"
_LET_GO = f"UPDATE envelopes SET shelf = {Shelf.GONE:d}, source = 0, rk = x'', raw = x'' WHERE n = ?"  # noqa: S608
_FORGET_GONE = (
    f"DELETE FROM envelopes WHERE n IN (SELECT n FROM envelopes WHERE shelf = {Shelf.GONE:d} AND source = 0 "  # noqa: S608
    "ORDER BY ts_ms LIMIT ?) RETURNING eid"
)

CHECK_TEXT = b"gossamer"


@dataclass(slots=True)
class _Batch:
    """One commit, sorted by table; a later record about the same row replaces the earlier."""

    rows: dict[tuple[str, bytes], bytes | None] = field(default_factory=dict)
    events: list[AppendEvent] = field(default_factory=list)
    messages: list[PutMessage] = field(default_factory=list)
    rewritten: list[RewriteMessage] = field(default_factory=list)
    gone: list[DropMessage] = field(default_factory=list)
    envelopes: dict[bytes, PutEnvelope] = field(default_factory=dict)
    twice: list[PutEnvelope] = field(default_factory=list)
    dropped: dict[bytes, None] = field(default_factory=dict)
    going: list[LetGo] = field(default_factory=list)
    forgetting: list[ForgetGone] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def add(self, write: Write) -> None:
        match write:
            case Put(table, key, value):
                self.rows[(table, key)] = value
            case Delete(table, key):
                self.rows[(table, key)] = None
            case PutEnvelope():
                if write.eid in self.envelopes:
                    self.twice.append(write)
                else:
                    self.envelopes[write.eid] = write
            case DropEnvelopes(eids):
                for eid in eids:
                    self.envelopes.pop(eid, None)
                    self.dropped[eid] = None
            case LetGo():
                self.going.append(write)
            case ForgetGone():
                self.forgetting.append(write)
            case Claim():
                self.claims.append(write)
            case AppendEvent():
                self.events.append(write)
            case PutMessage():
                self.messages.append(write)
            case RewriteMessage():
                self.rewritten.append(write)
            case DropMessage():
                self.gone.append(write)
            case _:
                assert_never(write)


def event_place(seq: int, message: bytes | None) -> bytes:
    """Return the place an event's cell is bound to: its number and the message it points to."""
    return seq.to_bytes(8, "big") + (message or b"")


def message_place(rowid: bytes, room: bytes, seq: int) -> bytes:
    """Return the place a message's cell is bound to: its id, its room's id, its position."""
    return rowid + room + seq.to_bytes(8, "big")


def message_id(cells: Cells, room: bytes, mid: bytes) -> bytes:
    """Return the id a message is stored under."""
    return cells.row_id("messages", room + mid)


def room_id(cells: Cells, room: bytes) -> bytes:
    """Return the id a room's messages are stored under."""
    return cells.row_id("messages.room", room)


def source_of(cells: Cells, key: bytes) -> int:
    """Return the number of what a node key brought, or a posting key: the disk tells neither."""
    return source_number(cells.row_id("envelopes.source", key))


def apply(conn: sqlite3.Connection, cells: Cells, writes: Iterable[Write]) -> tuple[int, Gone]:
    """Write one commit inside the open transaction; return the highest seq it logs (or 0), and what went."""
    batch = _Batch()
    for write in writes:
        batch.add(write)
    if batch.rows:
        _write_rows(conn, cells, batch.rows)
    if batch.messages:
        conn.executemany(_PUT_MESSAGE, [_message(cells, m) for m in batch.messages if not m.edit])
        conn.executemany(_EDIT_MESSAGE, [_message(cells, m) for m in batch.messages if m.edit])
    for rewritten in batch.rewritten:
        _rewrite(conn, cells, rewritten)
    if batch.gone:
        ids = [(message_id(cells, m.room, m.mid),) for m in batch.gone]
        conn.executemany("DELETE FROM messages WHERE id = ?", ids)
    if batch.events:
        conn.executemany(_APPEND_EVENT, [_event(cells, event) for event in batch.events])
    if batch.dropped:
        conn.executemany("DELETE FROM envelopes WHERE eid = ?", [(eid,) for eid in batch.dropped])
    there = [one for one in batch.envelopes.values() if not _hold(conn, one)]
    return max((event.seq for event in batch.events), default=0), _clear(conn, batch, [*there, *batch.twice])


def _hold(conn: sqlite3.Connection, held: PutEnvelope) -> bool:
    """Write an envelope; False if one of its id is there already, which stays as it is."""
    return conn.execute(_PUT_ENVELOPE, _envelope(held)).rowcount > 0


def _clear(conn: sqlite3.Connection, batch: _Batch, there: Sequence[PutEnvelope]) -> Gone:
    if not (batch.going or batch.forgetting or batch.claims or there):
        return Gone()
    moved, claimed, unfinished = claims.carry_out(conn, batch.claims)
    freed = [_let_go(conn, order) for order in batch.going]
    kept = sum(count for _, _, count, _ in freed)
    freed += moved
    freed += portions((one.shelf, one.source, len(one.raw)) for one in there)
    forgotten = tuple(eid for order in batch.forgetting for eid in _forget(conn, order.count))
    if forgotten:
        freed.append((Shelf.GONE, 0, len(forgotten), 0))
    orders: tuple[LetGo | ForgetGone, ...] = (*batch.going, *batch.forgetting)
    return Gone(orders, tuple(freed), kept, forgotten, tuple(claimed), tuple(unfinished))


def _let_go(conn: sqlite3.Connection, order: LetGo) -> Portion:
    """Empty the oldest rows of a portion; the index alone says which, and how large they are."""
    rows: list[tuple[int]] = []
    freed = 0
    for n, size in conn.execute(_OLDEST, (order.shelf, order.source)):
        if freed >= order.nbytes:
            break
        rows.append((n,))
        freed += size
    conn.executemany(_LET_GO, rows)
    return order.shelf, order.source, len(rows), freed


def _forget(conn: sqlite3.Connection, count: int) -> list[bytes]:
    return [eid for (eid,) in conn.execute(_FORGET_GONE, (count,)).fetchall()]


def _write_rows(conn: sqlite3.Connection, cells: Cells, rows: dict[tuple[str, bytes], bytes | None]) -> None:
    puts: list[tuple[bytes, str, bool, bytes]] = []
    deletes: list[tuple[bytes]] = []
    for (table, key), value in rows.items():
        if value is None:
            deletes.append((cells.row_id(table, key),))
        else:
            rowid, box = cells.seal_row(table, key, value)
            puts.append((rowid, table, table in SHREDDED, box))
    conn.executemany("DELETE FROM rows WHERE id = ?", deletes)
    conn.executemany(_PUT_ROW, puts)


def _message(cells: Cells, message: PutMessage) -> tuple[bytes, bytes, int, bytes]:
    rowid, room = message_id(cells, message.room, message.mid), room_id(cells, message.room)
    box = cells.seal("messages", "body", message_place(rowid, room, message.seq), message.body)
    return rowid, room, message.seq, box


def _rewrite(conn: sqlite3.Connection, cells: Cells, message: RewriteMessage) -> None:
    rowid, room = message_id(cells, message.room, message.mid), room_id(cells, message.room)
    found = conn.execute("SELECT seq FROM messages WHERE id = ?", (rowid,)).fetchone()
    if found is not None:
        box = cells.seal("messages", "body", message_place(rowid, room, found[0]), message.body)
        conn.execute("UPDATE messages SET box = ? WHERE id = ?", (box, rowid))


def _event(cells: Cells, event: AppendEvent) -> tuple[int, int, bytes | None, bytes]:
    assert event.body is not None or event.message is not None, "an event has a body or is a message"
    pointer = None if event.message is None else message_id(cells, *event.message)
    box = cells.seal("events", "body", event_place(event.seq, pointer), event.body or b"")
    return event.seq, event.ts_ms, pointer, box


def _envelope(held: PutEnvelope) -> tuple[bytes, bytes, int, int, int, bytes, int]:
    return held.eid, held.rk, held.ts_ms, held.expires_ms, held.shelf, held.raw, held.source


def expire_envelopes(conn: sqlite3.Connection, now_ms: int) -> Gone:
    """Drop up to EXPIRE_BATCH envelopes whose time is over, and ids of those let go; return what went."""
    rows = conn.execute(_EXPIRE_SOME, (now_ms, EXPIRE_BATCH)).fetchall()
    return Gone(portions=portions(row[1:] for row in rows), forgotten=tuple(row[0] for row in rows))


def compact_events(conn: sqlite3.Connection, now_ms: int) -> bool:
    """Drop one slice of the events that are too old or too many; return whether there may be more.

    The newest always stays, so that numbering goes on.
    """
    first, last = conn.execute("SELECT min(seq), max(seq) FROM events").fetchone()
    if last is None:
        return False
    end = min(first + COMPACT_SLICE, last)
    young = conn.execute(
        "SELECT seq FROM events WHERE seq >= ? AND seq < ? AND ts_ms >= ? ORDER BY seq LIMIT 1",
        (first, end, now_ms - KEEP_EVENTS_MS),
    ).fetchone()
    upto = min(end, max(end if young is None else young[0], last - KEEP_EVENTS + 1))
    conn.execute("DELETE FROM events WHERE seq < ?", (upto,))
    return bool(upto == end < last)


def probe(conn: sqlite3.Connection) -> None:
    """Write as much as a busy second does: a disk that takes it is not about to be full again."""
    conn.execute("INSERT OR REPLACE INTO meta(name, value) VALUES ('probe', zeroblob(?))", (PROBE_BYTES,))


def unprobe(conn: sqlite3.Connection) -> None:
    """Take back what `probe` wrote."""
    conn.execute("DELETE FROM meta WHERE name = 'probe'")


def shred_check(cells: Cells) -> bytes:
    """Return the cell that only the shred key in force opens."""
    return cells.seal(Table.RATCHETS, "check", b"check", CHECK_TEXT)


def reseal(conn: sqlite3.Connection, old: Cells, new: Cells) -> None:
    """Seal every row of a shredded table again, under the new shred key."""
    fresh: list[tuple[bytes, int]] = []
    stale: Sequence[tuple[int, bytes, str, bytes]]
    stale = conn.execute("SELECT n, id, tbl, box FROM rows WHERE shred = 1 ORDER BY n").fetchall()
    for n, rowid, table, box in stale:
        key, value = old.open_row(table, rowid, box)
        fresh.append((new.seal_row(table, key, value)[1], n))
    conn.executemany("UPDATE rows SET box = ? WHERE n = ?", fresh)
    conn.execute("UPDATE meta SET value = ? WHERE name = 'shred_check'", (shred_check(new),))

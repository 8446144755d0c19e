"""The SQL of a search: messages opened one after the other, the newest first, a slice at a time.

Nothing but the sealed messages is on disk, so a search opens them all. A slice is short, so that replays and
pages of history, which share the reading thread, wait for one slice at most; where the time of a message goes
is in docs/architecture.md ("Search"). Part of the shell `node.store.sqlite`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.chat.finding import Needle
from node.crypto.vault import Cells
from node.errors import Refused
from node.store.reader import MAX_PARAMETERS, MAX_SEQ, sound
from node.store.records import shown
from node.store.writer import message_id, message_place, room_id

SLICE_MESSAGES = 400
"""Messages of a slice: about 3 ms."""
SLICE_BYTES = 512 * 1024
"""Sealed bytes of a slice: where the messages are long, about 3 ms too."""
_BELOW = "SELECT n, id, room, seq, box FROM messages WHERE {} seq <= ? AND (seq, n) < (?, ?) "
_ORDER = "ORDER BY seq DESC, n DESC"
_EVERYWHERE = _BELOW.format("") + _ORDER
_IN_ROOM = _BELOW.format("room = ? AND") + _ORDER

Place = tuple[int, int]
"""Where a message stands: its seq and its row."""
TOP: Place = (MAX_SEQ, MAX_SEQ)


@dataclass(frozen=True, slots=True)
class Slice:
    """Bodies found, the newest first, and below which place the next slice goes on; None at the end."""

    found: list[bytes] = field(repr=False)
    below: Place | None


def look(
    conn: sqlite3.Connection, cells: Cells, needle: Needle, *, room: bytes | None, below: Place, most: int
) -> Slice:
    """Look through one slice of the messages below a place, of one room or of all; stop at `most` found."""
    found: list[bytes] = []
    used = count = 0
    if room is None:
        cursor = conn.execute(_EVERYWHERE, (below[0], *below))
    else:
        cursor = conn.execute(_IN_ROOM, (room_id(cells, room), below[0], *below))
    opened = cells.opener("messages", "body")
    try:
        with sound("a message"):
            for n, rowid, at_room, seq, box in cursor:
                body = shown(opened(message_place(rowid, at_room, seq), box))
                if needle.found(body):
                    found.append(body)
                count, used = count + 1, used + len(box)
                if count == SLICE_MESSAGES or used >= SLICE_BYTES or len(found) == most:
                    return Slice(found, (seq, n))
    finally:
        cursor.close()
    return Slice(found, None)


def place_of(conn: sqlite3.Connection, cells: Cells, rooms: Sequence[bytes], mid: bytes) -> Place:
    """Return where a message of one of these rooms stands; raises Refused `message_not_found`."""
    ids = [message_id(cells, room, mid) for room in rooms]
    for start in range(0, len(ids), MAX_PARAMETERS):
        some = ids[start : start + MAX_PARAMETERS]
        marks = ",".join("?" * len(some))
        found = conn.execute(
            f"SELECT seq, n FROM messages WHERE id IN ({marks})",  # noqa: S608 - question marks
            some,
        ).fetchone()
        if found is not None:
            return found[0], found[1]
    raise Refused("message_not_found", "there is no such message", field="before")

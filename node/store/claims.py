"""The SQL of a claim: what was held for others of a channel that has become ours goes to our own shelf.

A slice at a time, so that a commit is not kept waiting. Runs inside the caller's transaction; part of the
shell `node.store.sqlite`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from msgspec import structs

from node.store.records import Claim, Claimed, Portion, Shelf, portions

CLAIMED_AT_ONCE = 1_000
"""Envelopes moved a commit and claim: about 10 ms."""

_OTHERS = (
    f"SELECT n, ts_ms, shelf, source, size FROM envelopes WHERE rk = ? AND ts_ms >= ? "  # noqa: S608 - a number
    f"AND shelf IN ({Shelf.KNOWN:d}, {Shelf.OTHER:d}) ORDER BY ts_ms LIMIT ?"
)
_MOVE = f"UPDATE envelopes SET shelf = {Shelf.OWN:d}, source = ? WHERE n = ?"  # noqa: S608 - a number


def carry_out(
    conn: sqlite3.Connection, claims: Iterable[Claim]
) -> tuple[list[Portion], list[Claimed], list[Claim]]:
    """Do a slice of each; return what went from others' shelves, what came to ours, and what is left."""
    went: list[Portion] = []
    came: list[Claimed] = []
    left: list[Claim] = []
    for claim in claims:
        room, since_ms = CLAIMED_AT_ONCE, claim.since_ms
        for at, (day, key, source) in enumerate(claim.keys):
            rows = conn.execute(_OTHERS, (key, since_ms, room)).fetchall()
            if rows:
                conn.executemany(_MOVE, [(source, row[0]) for row in rows])
                went += portions(row[2:] for row in rows)
                came.append((claim, day, source, len(rows), sum(row[4] for row in rows)))
            room -= len(rows)
            if not room:
                left.append(structs.replace(claim, keys=claim.keys[at:], since_ms=rows[-1][1]))
                break
            since_ms = 0
    return went, came, left

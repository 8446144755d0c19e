"""The shape of the database and how older ones become it: `user_version` counts the steps taken.

A new database is made by the same steps as an old one is brought up to date. A step is never changed once it
was released; the database is copied aside before the first is applied (docs/operations.md, "Files").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from node.errors import Fatal

APPLICATION_ID = 0x67736D72
"""`gsmr` in SQLite's header: what tells our file from another program's."""

Step: TypeAlias = tuple[str, ...]
"""The SQL statements that lead from one version to the next."""

STEPS: tuple[Step, ...] = (
    (
        "CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
        # One row of a domain table: `id` names it without telling its key, `box` holds key and value.
        """CREATE TABLE rows(n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, tbl TEXT NOT NULL,
           shred INTEGER NOT NULL, box BLOB NOT NULL) STRICT""",
        "CREATE INDEX rows_shred ON rows(n) WHERE shred = 1",
        # The event of a message has its id in `message` and an empty body.
        """CREATE TABLE events(seq INTEGER PRIMARY KEY, ts_ms INTEGER NOT NULL, message BLOB,
           box BLOB NOT NULL) STRICT""",
        """CREATE TABLE messages(n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, room BLOB NOT NULL,
           seq INTEGER NOT NULL, box BLOB NOT NULL) STRICT""",
        "CREATE INDEX messages_order ON messages(room, seq)",
        """CREATE TABLE envelopes(n INTEGER PRIMARY KEY, eid BLOB NOT NULL UNIQUE, rk BLOB NOT NULL,
           ts_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, own INTEGER NOT NULL,
           raw BLOB NOT NULL) STRICT""",
        "CREATE INDEX envelopes_rk ON envelopes(rk, ts_ms)",
        "CREATE INDEX envelopes_time ON envelopes(ts_ms, eid, expires_ms)",
        "CREATE INDEX envelopes_expiry ON envelopes(expires_ms)",
    ),
    (
        # A search goes through the messages of all rooms, the newest first.
        "CREATE INDEX messages_seq ON messages(seq)",
    ),
    (
        # Each envelope lies on a shelf (`records.Shelf`; what was `own` keeps its number) and counts to a
        # portion of it. The size is computed, so that no row has to be written anew for it.
        "ALTER TABLE envelopes RENAME COLUMN own TO shelf",
        "ALTER TABLE envelopes ADD COLUMN source INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE envelopes ADD COLUMN size INTEGER GENERATED ALWAYS AS (length(raw)) VIRTUAL",
        "CREATE INDEX envelopes_shelf ON envelopes(shelf, source, ts_ms, size)",
        "DROP INDEX envelopes_time",
        "CREATE INDEX envelopes_time ON envelopes(ts_ms, eid, expires_ms, size)",
    ),
)


def pending(version: int, steps: Sequence[Step]) -> Sequence[Step]:
    """Return the steps that a database of `version` still needs.

    Raises:
        Fatal: If the database is newer than this program (`schema_newer`).
    """
    if not 0 <= version <= len(steps):
        raise Fatal(
            f"the database has version {version}, this program knows {len(steps)}: "
            "it was written by a newer release; install that one, or restore a backup",
            code="schema_newer",
        )
    return steps[version:]

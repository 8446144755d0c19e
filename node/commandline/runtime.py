"""What a home tells from outside: what its node says in `runtime.json`, and whether one ever began."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def read_runtime(home: Path) -> dict[str, Any]:
    """Return the runtime file of a home, or an empty one when no node runs there or it is being written."""
    try:
        found = json.loads((home / "runtime.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def pid_of(home: Path) -> int | None:
    """Return the pid of the node that runs in a home, or None."""
    pid = read_runtime(home).get("pid")
    return pid if isinstance(pid, int) else None


def alive(pid: int | None) -> bool:
    """Say whether a process of this number runs: one that has ended and waits for its parent does not."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _defunct(pid)


def _defunct(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1] == ["Z"]
    except OSError:
        return False


def read_only(database: Path) -> str:
    """Return the URI by which SQLite reads a database and changes nothing, whatever is in the path."""
    return f"{database.absolute().as_uri()}?mode=ro"


def is_new(home: Path) -> bool:
    """Say whether no node has begun in a home yet: keys may be there of a start that failed."""
    database = home / "gossamer.db"
    if not database.exists():
        return True
    try:
        with closing(sqlite3.connect(read_only(database), uri=True)) as conn:
            return conn.execute("SELECT 1 FROM rows LIMIT 1").fetchone() is None
    except sqlite3.Error:  # the node will say what is wrong with it
        return False

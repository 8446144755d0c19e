"""What a running node says of itself in `runtime.json` (docs/operations.md, "The home")."""

from __future__ import annotations

import json
import os
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

"""What a running node says of itself in `runtime.json` (docs/operations.md, "The home")."""

from __future__ import annotations

import json
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

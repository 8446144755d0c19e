"""Writes the frozen vectors: `python -m tests.vectors.make`, from the repository's root, with the real code.

By hand, and only when the protocol is meant to change: what these files say, other nodes already speak. The
run is seeded, so two of them write the same bytes. Bytes are `0x` and hex. Whatever was drawn at random is in
the file beside what was made of it, so that an implementation can do it again from the files alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.vectors import directory_made, keys_made, logs_made, ranges_made, rooms_made, sessions_made
from tests.vectors.cast import hexed

HERE = Path(__file__).parent

FILES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "labels": keys_made.labels,
    "people": keys_made.people,
    "channels": keys_made.channels,
    "at_rest": keys_made.at_rest,
    "contact": sessions_made.contact,
    "double_ratchet": sessions_made.double_ratchet,
    "epochs": rooms_made.epochs,
    "room_messages": rooms_made.messages,
    "ephemerals": rooms_made.ephemerals,
    "joining": rooms_made.joins,
    "directory": directory_made.directory,
    "room_logs": logs_made.logs,
    "negentropy": ranges_made.negentropy,
}
"""What each file holds, by its name."""


def text_of(name: str) -> str:
    """Return the whole text of one file, made anew."""
    return json.dumps(hexed(FILES[name]()), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files."""
    for name in FILES:
        (HERE / f"{name}.json").write_text(text_of(name), "utf-8")


if __name__ == "__main__":
    main()

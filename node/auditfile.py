"""The audit log's files in the home: `audit.log` and older ones beside it, 0600, 4 MiB in all.

A file and no table: it is written while the vault is locked too, and costs the engine nothing. A line that a
crash cut off is passed over; an entry is in the system's hands when the command is answered.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from node.bridge.audit import Entry
from node.store import files

log = logging.getLogger(__name__)

NAME = "audit.log"
MAX_BYTES = 1024 * 1024
"""Of one file; then the next one is begun."""
FILES = 4
"""Files kept, the one that is written among them: some 30,000 entries."""
_decoder = msgspec.json.Decoder(Entry)


class AuditFile:
    """Where the bridge's audit log is kept."""

    def __init__(self, home: Path) -> None:
        self._path = home / NAME
        self._file: int | None = None
        self._size = 0
        self._failing = False

    def last(self) -> int:
        """Return the number of the newest entry, 0 if there is none."""
        for path in self._paths():
            found = [entry.entry for entry in _entries(path)]
            if found:
                return max(found)
        return 0

    def append(self, lines: list[bytes]) -> None:
        """Add lines; what cannot be written is said once in the log, and the node goes on."""
        data = b"".join(lines)
        try:
            if self._file is None or self._size + len(data) > MAX_BYTES:
                self._open(len(data))
            assert self._file is not None
            written = os.write(self._file, data)
            self._size += written
            if written < len(data):
                self.close()  # what comes next begins on a line of its own
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._failing = False
        except OSError as exc:
            if not self._failing:
                log.error("the audit log cannot be written: %s", exc.strerror)
            self._failing = True

    def page(self, before: int | None, limit: int) -> tuple[list[Entry], bool]:
        """Return the newest entries, or those before one, oldest first; and whether there are older ones."""
        found: list[Entry] = []
        for path in self._paths():
            found[:0] = [entry for entry in _entries(path) if before is None or entry.entry < before]
            before = found[0].entry if found else before  # what is read may become an older file meanwhile
            if len(found) > limit:
                break
        return found[-limit:], len(found) > limit

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _open(self, room: int) -> None:
        """Open the file to be written, a new one if what comes would make it too large."""
        self.close()
        if self._path.exists() and self._path.stat().st_size + room > MAX_BYTES:
            for path, older in reversed([*zip(self._paths(), self._paths()[1:], strict=False)]):
                if path.exists():
                    path.replace(older)
        files.private_file(self._path)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND)
        self._size = os.fstat(self._file).st_size
        if self._size:
            os.lseek(self._file, -1, os.SEEK_END)
            if os.read(self._file, 1) != b"\n":
                self._size += os.write(self._file, b"\n")  # a crash cut the last line off

    def _paths(self) -> list[Path]:
        """Return the files, newest first."""
        return [self._path, *(self._path.with_name(f"{NAME}.{age}") for age in range(1, FILES))]


def _entries(path: Path) -> Iterator[Entry]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield _decoder.decode(line)
        except msgspec.MsgspecError:
            continue

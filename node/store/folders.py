"""Where sealed attachments lie: a folder of a home, or the memory of a simulated node.

A folder knows flat names that we made ourselves, nothing else; what a peer or a user calls a file never gets
here. Every error of the disk is an OSError; what it means is for the caller.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final, Protocol

from node.store import files

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

OURS: Final = re.compile(r"[0-9a-f]{64}(\.part)?|[0-9a-f]{32}\.new")
"""Names of files that we make in the folder of attachments; whatever else lies there is somebody else's."""


class Folder(Protocol):
    """Flat names and their bytes."""

    def sizes(self) -> dict[str, int]:
        """Return every name with its bytes."""
        ...

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at a place, making the file if there is none."""
        ...

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; FileNotFoundError if there is no such file."""
        ...

    def publish(self, name: str, final: str) -> None:
        """Make a file durable, then give it its final name, durably."""
        ...

    def remove(self, name: str) -> None:
        """Erase a file, if there is one."""
        ...


class DiskFolder:
    """A folder of the home, 0700, its files 0600 whatever the umask."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the folder; raises OSError if something else stands in its place."""
        self.path.mkdir(mode=files.FOLDER_MODE, exist_ok=True)
        if not stat.S_ISDIR(self.path.lstat().st_mode):
            raise OSError(errno.ENOTDIR, "is no folder", str(self.path))
        self.path.chmod(files.FOLDER_MODE)

    def sizes(self) -> dict[str, int]:
        """Return every file with its bytes; what is no file of ours is not seen."""
        with os.scandir(self.path) as found:
            ours = [e for e in found if OURS.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
            return {e.name: e.stat().st_size for e in ours}

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at a place, making the file if there is none."""
        handle = self._open(name, os.O_WRONLY | os.O_CREAT)
        try:
            if hasattr(os, "fchmod") and stat.S_IMODE(os.fstat(handle).st_mode) != files.FILE_MODE:
                os.fchmod(handle, files.FILE_MODE)  # the umask may have taken even what is ours
            view = memoryview(data)
            os.lseek(handle, offset, os.SEEK_SET)
            while view:
                view = view[os.write(handle, view) :]
        finally:
            os.close(handle)

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Read up to `size` bytes."""
        handle = self._open(name, os.O_RDONLY)
        try:
            os.lseek(handle, offset, os.SEEK_SET)
            return os.read(handle, size)
        finally:
            os.close(handle)

    def publish(self, name: str, final: str) -> None:
        """Make a file durable, then give it its final name, durably."""
        handle = self._open(name, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        (self.path / name).replace(self.path / final)
        files.sync_folder(self.path)

    def remove(self, name: str) -> None:
        """Erase a file, if there is one."""
        (self.path / name).unlink(missing_ok=True)

    def _open(self, name: str, flags: int) -> int:
        assert os.sep not in name and name not in {"", ".", ".."}
        return os.open(self.path / name, flags | _NOFOLLOW, files.FILE_MODE)


class MemoryFolder:
    """The folder of a simulated node: it survives a crash. `room` is what the disk still takes."""

    def __init__(self) -> None:
        self.held: dict[str, bytearray] = {}
        self.room: int | None = None

    def sizes(self) -> dict[str, int]:
        """Return every name with its bytes."""
        return {name: len(data) for name, data in self.held.items()}

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at a place, making the file if there is none."""
        held = self.held.setdefault(name, bytearray())
        grown = max(0, offset + len(data) - len(held))
        if self.room is not None:
            if grown > self.room:
                raise OSError(errno.ENOSPC, "no room")
            self.room -= grown
        held += bytes(max(0, offset - len(held)))
        held[offset : offset + len(data)] = data

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Read up to `size` bytes."""
        if name not in self.held:
            raise FileNotFoundError(name)
        return bytes(self.held[name][offset : offset + size])

    def publish(self, name: str, final: str) -> None:
        """Give a file its final name."""
        self.held[final] = self.held.pop(name)

    def remove(self, name: str) -> None:
        """Erase a file, if there is one."""
        gone = self.held.pop(name, None)
        if self.room is not None:
            self.room += len(gone or b"")

"""One node a home: the `lock` file, held by the system for as long as the process lives.

The lock goes with the process however it dies, so a killed owner's home is taken over at once, and a pid in
the file that now belongs to somebody else means nothing (docs/operations.md, "Files").
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from node.errors import Fatal
from node.store.files import private_file

EXIT_CONFLICT = 7
_LOCKED_BYTE = 1 << 30
"""Where the Windows lock lies: far behind the pid, which others must be able to read."""


class HomeLock:
    """The lock of one home; `HomeLock.take` or nothing, `release` at the end."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    @classmethod
    def take(cls, home: Path) -> HomeLock:
        """Lock `home` for this process and write its pid into `lock`.

        Raises:
            Fatal: If another process holds it (`home_locked`, exit 7); the text says which.
        """
        path = home / "lock"
        private_file(path)
        handle = os.open(path, os.O_RDWR)
        if not _try_lock(handle):
            pid = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise Fatal(
                f"a node already runs in {home} (pid {pid}); stop it with `gossamer stop`",
                code="home_locked",
                exit_code=EXIT_CONFLICT,
            )
        with suppress(OSError):  # a full disk: the pid is for people, the lock holds without it
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        return cls(handle)

    def release(self) -> None:
        """Give the home back; the file stays, or two could lock two files of one name."""
        if self._handle is not None:
            with suppress(OSError):
                os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

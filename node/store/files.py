"""Small private files of a home: made 0600 whatever the umask, replaced whole or not at all.

`replace` also overwrites what was there before, so that an old key is not left to be found; between the
overwriting and the rename the new content is in `NAME.new`, where `read` finds it (docs/crypto.md 3.11).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from node.errors import StoreFull

FOLDER_MODE = 0o700
FILE_MODE = 0o600
MAX_BYTES = 1024 * 1024
"""No key file is nearly as large; one that is was not made by us."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""What a disk says that takes nothing just now; what lies on it is as good as before."""


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn what a disk says that takes nothing into StoreFull."""
    try:
        yield
    except OSError as exc:
        if exc.errno in NO_ROOM:
            raise StoreFull(f"{path} could not be written: {exc.strerror}") from exc
        raise


def has_room(folder: Path, nbytes: int) -> bool:
    """Say whether the disk takes so many bytes: they are written, and taken back."""
    path = folder / "room.probe"
    try:
        write_synced(path, bytes(nbytes))
    except OSError:
        return False
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return True


def prepare_home(home: Path) -> None:
    """Make the home folder 0700, or set the mode of the one that is there, whatever the umask."""
    home.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    home.chmod(FOLDER_MODE)


def private_file(path: Path) -> None:
    """Make an empty 0600 file, or set the mode of the one that is there, whatever the umask."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
    path.chmod(FILE_MODE)


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed or removed in `folder` survive a power cut."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows: a rename there is durable when it returns
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def staged(path: Path) -> Path:
    """Return the name under which the next content of `path` waits."""
    return path.with_name(path.name + ".new")


def write_synced(path: Path, data: bytes) -> None:
    """Write a 0600 file from its beginning, and wait until disk and folder have it."""
    private_file(path)
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def adopt(path: Path) -> None:
    """Put the staged content in place: overwrite the old file, then rename the new one over it."""
    if path.exists():
        write_synced(path, bytes(path.stat().st_size))
    staged(path).replace(path)
    sync_folder(path.parent)


def discard_staged(path: Path) -> None:
    """Overwrite and remove what is staged for `path`, if anything is."""
    waiting = staged(path)
    if waiting.exists():
        write_synced(waiting, bytes(waiting.stat().st_size))
        waiting.unlink()
        sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Replace the content of a private file; a crash leaves the old or the new, which `read` tells apart."""
    write_synced(staged(path), data)
    adopt(path)


def read(path: Path, valid: Callable[[bytes], bool]) -> bytes | None:
    """Return the content, or the staged one where a crash came between overwriting and rename.

    None if there is no file at all; what is there but not `valid` is returned as it is.
    """
    there = _bytes(path)
    if there is not None and valid(there):
        return there
    waiting = _bytes(staged(path))
    if waiting is not None and valid(waiting):
        adopt(path)
        return waiting
    return there


def kept(
    home: Path, name: str, valid: Callable[[bytes], bool], make: Callable[[], bytes]
) -> tuple[Path, bytes]:
    """Return path and content of a private file, made where none is there that is valid."""
    path = home / name
    data = read(path, valid)
    if data is None or not valid(data):
        data = make()
        replace(path, data)
    return path, data


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        return None

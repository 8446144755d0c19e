"""What a node uses of this machine beside its store: the log, the token's file, where its bridge is found."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import logging.handlers
import os
import re
import secrets
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

from node.errors import Fatal
from node.store import files

log = logging.getLogger(__name__)

MAX_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 108 (Linux) or 104 (BSD)."""
LOG_BYTES, LOG_FILES = 2 * 1024 * 1024, 4
TRY_AGAIN = 1.0
"""Seconds until `runtime.json` is tried again where there was no room for it."""


class RuntimeFile:
    """`runtime.json`: where a running node is reached, for programs of its owner."""

    def __init__(self, home: Path) -> None:
        self._path = home / "runtime.json"
        self._again: asyncio.Task[None] | None = None

    async def write(self, facts: dict[str, Any]) -> None:
        """Replace it; where there is no room that is done as soon as there is."""
        await self._forget()
        try:
            await asyncio.to_thread(files.replace, self._path, json.dumps(facts).encode())
        except OSError as fault:
            log.error("%s cannot be written, and will be tried again: %s", self._path.name, fault.strerror)
            self._again = asyncio.create_task(self._write_later(facts), name="runtime")

    async def _write_later(self, facts: dict[str, Any]) -> None:
        while True:
            await asyncio.sleep(TRY_AGAIN)
            writing = asyncio.create_task(
                asyncio.to_thread(files.replace, self._path, json.dumps(facts).encode())
            )
            try:
                await asyncio.shield(writing)
                return
            except OSError:
                continue
            finally:  # a thread goes on whoever is cancelled; until it is done nobody else has the file
                await asyncio.gather(writing, return_exceptions=True)

    async def remove(self) -> None:
        """Take it away: the node ends."""
        await self._forget()
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._path.unlink, missing_ok=True)

    async def _forget(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)


def admin_token(home: Path) -> str:
    """Return the admin token of a home, made on the first run: 256 bits in a 0600 file.

    One that is none is replaced: what a crash left of one that was overwritten could be guessed.
    """
    path = home / "token"
    data = files.read(path, _is_token)
    if data is None or not _is_token(data):
        data = secrets.token_urlsafe(32).encode()
        files.replace(path, data)
    return data.decode("ascii").strip()


def _is_token(content: bytes) -> bool:
    return re.fullmatch(rb"\s*[!-~]{43,}\s*", content) is not None


def socket_path(home: Path) -> Path | None:
    """Return where the unix socket goes: the runtime directory, else the home, else a private temp folder."""
    if sys.platform == "win32":
        return None
    mark = hashlib.blake2b(os.fsencode(home), digest_size=4).hexdigest()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK | os.X_OK):
        at = Path(runtime) / f"gossamer-{mark}.sock"
        if len(os.fsencode(at)) <= MAX_SOCKET_PATH:
            return at
    at = home / "gossamer.sock"
    if len(os.fsencode(at)) <= MAX_SOCKET_PATH:
        return at
    folder = Path(tempfile.gettempdir()) / f"gossamer-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    held = folder.lstat()
    if not stat.S_ISDIR(held.st_mode) or held.st_uid != os.getuid() or held.st_mode & 0o077:
        raise Fatal(f"{folder} is not private: remove it, or set XDG_RUNTIME_DIR", code="socket_unsafe")
    return folder / f"{mark}.sock"


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log file; what the disk does not take is said on standard error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say what could not be written."""
        with contextlib.suppress(OSError):
            print(self.format(record), file=sys.stderr, flush=True)


def start_log(home: Path, level: str) -> None:
    """Log to `gossamer.log` in the home, rotated; never to the terminal."""
    path = home / "gossamer.log"
    files.private_file(path)
    handler = _LogFile(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger("node")
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False

"""A static build of a foreign frontend, given at its dialect's own port (docs/bridge.md section 5).

Given are files of the kinds in TYPES, from the folder alone: no link leads out of it, and nothing in it that
begins with a dot is there. Any other path is the page's own and gets `index.html`.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from node.errors import Refused

INDEX: Final = "index.html"
TYPES: Final[dict[str, str]] = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".json": "application/json", ".map": "application/json", ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8", ".xml": "application/xml", ".wasm": "application/wasm",
    ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
    ".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif", ".ico": "image/x-icon",
    ".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".otf": "font/otf",
    ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".wav": "audio/wav", ".m4a": "audio/mp4",
    ".mp4": "video/mp4", ".webm": "video/webm",
}  # fmt: skip
"""What a file of each ending is given as; one of another ending is not given."""
MAX_OPEN = 64
"""Files given at a time: with a connection each they stay far below the 1,024 that a process may open."""
CHUNK = 256 * 1024
IDLE_SECONDS = 30.0
"""For a browser to take a chunk."""
_POLICY: Final = (
    "connect-src 'self' {ws}://{host}; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""A foreign build draws and runs what it likes, but talks to its own origin alone."""


def check(folder: Path, home: Path | None) -> None:
    """Raise Refused (`no_index`, `invalid`) where a folder cannot be served as a build; blocks."""
    try:
        real = folder.resolve(strict=True)
        with (real / INDEX).open("rb") as file:
            file.read(1)
    except (OSError, RuntimeError, ValueError) as exc:
        text = f"the folder has no {INDEX} that can be read: build the frontend, and name what it made"
        raise Refused("no_index", text, field="serve") from exc
    if home is not None and _touches(real, home):
        raise Refused("invalid", "the node's own files are not served", field="serve")


def _touches(real: Path, home: Path) -> bool:
    """Say whether a folder is the node's home, in it, or around it."""
    mine = home.resolve()
    return mine == real or mine in real.parents or real in mine.parents


class Builds:
    """Gives files, so many at a time, and none of the node's own; how many are open is its whole state."""

    def __init__(self, home: Path | None = None) -> None:
        self._open, self._home = 0, home

    @property
    def full(self) -> bool:
        """Say whether another file would be one too many."""
        return self._open >= MAX_OPEN

    async def give(
        self,
        request: web.Request,
        folder: Path,
        dress: Callable[[web.StreamResponse], web.StreamResponse],
    ) -> web.StreamResponse | None:
        """Answer with the file that a path names, or with the page; None if neither is there."""
        self._open += 1
        try:
            found = await asyncio.to_thread(find, folder, request.path, self._home)
            if found is None:
                return None
            with found[0] as file:
                return await _answer(request, file, found[1], dress)
        finally:
            self._open -= 1


async def _answer(
    request: web.Request,
    file: BinaryIO,
    kind: str,
    dress: Callable[[web.StreamResponse], web.StreamResponse],
) -> web.StreamResponse:
    facts = os.fstat(file.fileno())
    tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
    ws = "wss" if request.secure else "ws"
    headers = {
        "Content-Type": kind,
        "Content-Security-Policy": _POLICY.format(ws=ws, host=request.host),
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-cache",
        "ETag": tag,
    }
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = facts.st_size
    await dress(response).prepare(request)
    if request.method != "HEAD" and not await _written(response, file, facts.st_size):
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the file was cut while it was read, or nobody took it")
    return response


async def _written(response: web.StreamResponse, file: BinaryIO, size: int) -> bool:
    while size:
        chunk = await asyncio.to_thread(file.read, min(CHUNK, size))
        if not chunk:
            return False
        size -= len(chunk)
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await response.write(chunk)
        except TimeoutError:
            return False
    await response.write_eof()
    return True


def find(folder: Path, path: str, home: Path | None = None) -> tuple[BinaryIO, str] | None:
    """Return what a path gives, open, and its content type; blocks.

    The folder was looked at when it was named; since then links may lead elsewhere, or a backup have come to
    another machine.
    """
    parts = [part for part in path.split("/") if part]
    if any(part.startswith(".") or "\\" in part or "\0" in part or ":" in part for part in parts):
        return None
    kind = TYPES.get(Path(parts[-1]).suffix.lower()) if parts else None
    if kind is not None:
        return _opened(folder, parts, kind, home)
    return _opened(folder, [INDEX], TYPES[".html"], home)


def _opened(folder: Path, parts: list[str], kind: str, home: Path | None) -> tuple[BinaryIO, str] | None:
    try:
        root = folder.resolve(strict=True)
        if home is not None and _touches(root, home):
            return None
        real = root.joinpath(*parts).resolve(strict=True)
        if any(part.startswith(".") for part in real.relative_to(root).parts):  # ValueError: it is outside
            return None
        handle = os.open(real, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        file = os.fdopen(handle, "rb")
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links that go round in a circle
        return None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        return None
    return file, kind

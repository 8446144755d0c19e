"""Files between this machine's disk and the node: over its unix socket, or HTTP with the owner's token."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from node.commandline.resolve import Row
from node.crypto.labels import Label
from node.crypto.primitives import LongDigest
from node.errors import Refused
from node.wire.manifest import MAX_FILE_NAME_BYTES, MAX_SIZE

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from node.commandline.app import App

UPLOADS = "/api/v1/attachments"
PIECE = 64 * 1024
Step = Callable[[int], None]


@asynccontextmanager
async def http(app: App) -> AsyncIterator[tuple[ClientSession, str]]:
    """Connect to the node's HTTP side; gives a session and what URLs begin with."""
    from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, UnixConnector

    from node.client import target_of

    target = await asyncio.to_thread(target_of, app.home_dir)
    connector = TCPConnector() if target.socket is None else UnixConnector(target.socket)
    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    base = "http://localhost" if target.socket else f"http://{urlsplit(target.url).netloc}"
    try:
        timeout = ClientTimeout(total=None, sock_read=60)
        async with ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
            yield session, base
    except ClientError as exc:
        raise Refused("connection_lost", f"the connection to the node was lost: {exc}") from exc


def check(path: Path) -> int:
    """Return a file's size; raises Refused if it cannot be sent."""
    if not path.is_file():
        raise Refused("file_not_found", f"{path} is no file")
    size = path.stat().st_size
    if size > MAX_SIZE:
        text = f"{path.name} has {size} bytes, and an attachment at most {MAX_SIZE}"
        raise Refused("attachment_too_large", text, limit=MAX_SIZE)
    return size


async def put(app: App, path: Path, step: Step) -> Row:
    """Store a file at the node; returns what it tells. Raises Refused."""
    name = path.name.encode("utf-8", "replace")[:MAX_FILE_NAME_BYTES].decode("utf-8", "ignore")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    size = check(path)

    async def body() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece
                step(len(piece))

    async with http(app) as (session, base):
        url = f"{base}{UPLOADS}?name={quote(name, safe='')}"
        headers = {"Content-Type": kind, "Content-Length": str(size)}
        async with session.post(url, data=body(), headers=headers) as answer:
            told: Row = await answer.json()
            if answer.status != 201:
                raise _refused(told)
            return told


async def get(app: App, facts: Row, into: IO[bytes], step: Step) -> None:
    """Write an attachment's content; raises Refused, also if it is not what the node said of it."""
    digest = LongDigest(Label.FILE)
    async with (
        http(app) as (session, base),
        session.get(f"{base}{UPLOADS}/{facts['id']}") as answer,
    ):
        if answer.status != 200:
            raise _refused(await answer.json())
        async for piece in answer.content.iter_chunked(PIECE):
            digest.add(piece)
            into.write(piece)
            step(len(piece))
    if digest.value().hex() != facts["hash"]:
        raise Refused("attachment_damaged", "what came is not what the message named")


def _refused(told: Any) -> Refused:
    fault = told.get("error", {}) if isinstance(told, dict) else {}
    code, text = str(fault.get("code", "internal")), str(fault.get("message", "the node refused"))
    return Refused(code, text, retryable=bool(fault.get("retryable")))


@contextlib.contextmanager
def fresh(path: Path, *, replace: bool) -> Any:
    """Give a file to write, which gets its name when it is whole; raises Refused if that is taken.

    Nothing is ever written through a link: the file is a new one, and gets its name only if that is free.
    """
    if not replace and os.path.lexists(path):
        raise _taken(path)
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(partial, flags, 0o600)
    except OSError as exc:
        raise Refused("file_unwritable", f"{path.parent} cannot be written: {exc.strerror}") from exc
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        if replace:
            partial.replace(path)
        else:
            _place(partial, path)
    except OSError as exc:
        raise Refused("file_unwritable", f"{path} could not be written: {exc.strerror}") from exc
    finally:
        partial.unlink(missing_ok=True)


def _place(partial: Path, path: Path) -> None:
    """Give a file its name only if nothing has it."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a file system without links
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise _taken(path) from None
        partial.replace(path)


def _taken(path: Path) -> Refused:
    return Refused("file_exists", f"{path} is there already: name another by --output, or --force")


def binary_stdout() -> IO[bytes]:
    """Return standard output for bytes; raises Refused on a terminal."""
    if sys.stdout.isatty():
        raise Refused("invalid", "a file's bytes are not for a terminal: redirect the output, or give a path")
    return sys.stdout.buffer

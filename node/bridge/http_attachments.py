"""Attachments over HTTP: streamed in, streamed out, never held whole (docs/bridge.md section 4, "media").

What comes in is sealed piece by piece on a thread; the answer is given when it is durable and committed. What
goes out is opened piece by piece; where a stored stream is damaged the connection is cut, so that no frontend
takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec
from aiohttp import hdrs, web

from node import ids
from node.bridge import media
from node.bridge.audit import OK
from node.bridge.guard import Grant
from node.bridge.ports import FileUploaded, UploadKept
from node.chat.file_names import check_name, media_type
from node.errors import NodeError, PeerFault, Refused, StoreFull
from node.wire.manifest import MAX_SIZE, Manifest

log = logging.getLogger(__name__)

UPLOADS: Final = "/api/v1/attachments"
DOWNLOADS: Final = "/api/v1/attachments/{id}"
MAX_UPLOADS = 4
MAX_DOWNLOADS = 16
"""At a time: each holds a few chunks, and a thread now and then."""
PIECE = 64 * 1024
IDLE_SECONDS = 30.0
"""An upload that brings nothing, or a download that takes nothing, for so long is given up."""
UPLOAD_SECONDS = 600.0
"""One that takes longer in all is given up too: a few bytes now and then keep nobody's place."""
_STATUS: Final = {
    "attachment_too_large": 413,
    "storage_full": 507,
    "busy": 503,
    "locked": 503,
    "attachment_unknown": 404,
    "attachment_pending": 409,
    "attachment_failed": 410,
    "attachment_damaged": 500,
    "timeout": 408,
    "unauthorized": 401,
}


class Taking(Protocol):
    """One content on its way in; its methods block."""

    size: int

    def add(self, piece: bytes) -> None:
        """Take a piece; raises StoreFull, Refused `locked`."""

    def finish(self, name: str, kind: str) -> Manifest:
        """Make it durable; raises StoreFull, Refused `locked`."""

    def abandon(self) -> None:
        """Erase it; raises StoreFull."""


class Shelf(Protocol):
    """Where attachments are, while the vault is open."""

    def attachment(self, ident: bytes) -> tuple[Manifest, str] | None:
        """Return the manifest of an attachment, and how it stands; raises Refused `locked`."""

    def upload(self) -> Taking:
        """Begin to take a content in; raises Refused `locked`."""

    def content(self, manifest: Manifest) -> Iterator[bytes]:
        """Give out a whole attachment, blocking; raises PeerFault, StoreFull, Refused `locked`."""


class Nowhere:
    """The shelf of a bridge that has none."""

    def attachment(self, _ident: bytes) -> tuple[Manifest, str] | None:
        """There is none."""
        return None

    def upload(self) -> Taking:
        """Nothing is taken."""
        raise Refused("locked", "nothing is stored here", retryable=True)

    def content(self, _manifest: Manifest) -> Iterator[bytes]:
        """There is none."""
        raise Refused("locked", "nothing is stored here", retryable=True)


class Attachments:
    """The two routes; `kept` brings the engine's answers to uploads.

    `stands` says whether what a request came in by still holds, `record` notes what was done and its code.
    """

    def __init__(
        self,
        shelf: Shelf,
        submit: Callable[[FileUploaded], None],
        stands: Callable[[Grant | None], bool],
        record: Callable[[Grant | None, str, str], None],
    ) -> None:
        self._shelf, self._submit, self._stands, self._record = shelf, submit, stands, record
        self._waiting: dict[int, asyncio.Future[UploadKept]] = {}
        self._next = 1
        self._uploads = self._downloads = 0

    def kept(self, answer: UploadKept) -> None:
        """The engine committed an upload, or refused it."""
        waiting = self._waiting.get(answer.ticket)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    # -- in ---------------------------------------------------------------------------------------

    async def take(self, request: web.Request, grant: Grant | None) -> web.StreamResponse:
        """Store the body of a request; 201 with its id once it is durable and committed."""
        try:
            told = await self._admitted(request, grant)
        except Refused as fault:
            self._record(grant, "attachment_put", fault.code)
            return refusal(fault)
        self._record(grant, "attachment_put", OK)
        return web.Response(status=201, body=msgspec.json.encode(told), content_type="application/json")

    async def _admitted(self, request: web.Request, grant: Grant | None) -> dict[str, Any]:
        if self._uploads >= MAX_UPLOADS:
            raise Refused("busy", "too many uploads at a time; ask again", retryable=True)
        self._uploads += 1
        try:
            return await self._take(request, grant)
        except StoreFull as fault:
            raise Refused("storage_full", str(fault), retryable=True) from fault
        except TimeoutError:
            raise Refused("timeout", "the upload took too long") from None
        except ConnectionError:
            raise Refused("timeout", "the upload was broken off") from None
        finally:
            self._uploads -= 1

    async def _take(self, request: web.Request, grant: Grant | None) -> dict[str, Any]:
        name, kind = _name(request), media_type(request.headers.get(hdrs.CONTENT_TYPE))
        if (request.content_length or 0) > MAX_SIZE:
            raise too_large()
        upload = self._shelf.upload()
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                async for piece in _pieces(request):
                    if upload.size + len(piece) > MAX_SIZE:
                        raise too_large()
                    await asyncio.to_thread(upload.add, piece)
            manifest = await asyncio.to_thread(upload.finish, name, kind)
            self._still(grant)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(_abandon, upload))
            raise
        return await self._commit(manifest)

    async def _commit(self, manifest: Manifest) -> dict[str, Any]:
        ticket, self._next = self._next, self._next + 1
        waiting: asyncio.Future[UploadKept] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = waiting
        try:
            self._submit(FileUploaded(ticket, manifest))
            answer = await waiting
        finally:
            del self._waiting[ticket]
        if answer.fault is not None:
            raise answer.fault
        return answer.fields

    # -- out --------------------------------------------------------------------------------------

    async def give(
        self,
        request: web.Request,
        grant: Grant | None,
        dress: Callable[[web.StreamResponse], web.StreamResponse],
    ) -> web.StreamResponse:
        """Send an attachment, or the range of it that is asked for."""
        code = OK
        self._downloads += 1
        try:
            if self._downloads > MAX_DOWNLOADS:
                raise Refused("busy", "too many downloads at a time; ask again", retryable=True)
            return await self._give(request, self._find(request.match_info["id"]), grant, dress)
        except Refused as fault:
            code = fault.code
            return refusal(fault)
        finally:
            self._downloads -= 1
            self._record(grant, "attachment_get", code)

    def _find(self, named: str) -> Manifest:
        try:
            found = self._shelf.attachment(ids.parse(named))
        except ValueError:
            found = None
        if found is None:
            raise Refused("attachment_unknown", "there is no attachment with this id")
        manifest, state = found
        if state == "pending":
            raise Refused("attachment_pending", "it is not here yet", retryable=True)
        if state != "ready":
            raise Refused("attachment_failed", "it did not come, and will not")
        return manifest

    async def _give(
        self,
        request: web.Request,
        manifest: Manifest,
        grant: Grant | None,
        dress: Callable[[web.StreamResponse], web.StreamResponse],
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=_headers(manifest))
        response.content_type = media.content_type(manifest.type)
        start, end = _span(request, response, manifest)
        pieces = _Slices(self._shelf.content(manifest), start, end)
        first = await self._first(pieces)
        response.content_length = end - start
        dress(response)
        if request.method == hdrs.METH_HEAD or response.status == 416:
            await response.prepare(request)
            return response
        await response.prepare(request)
        try:
            while first:
                async with asyncio.timeout(IDLE_SECONDS):
                    await response.write(first)
                self._still(grant)
                first = await asyncio.to_thread(pieces.next)
            await response.write_eof()
        except (NodeError, TimeoutError, ConnectionError) as fault:
            if isinstance(fault, NodeError) and not isinstance(fault, Refused):
                log.exception("a stored attachment is damaged")
            if request.transport is not None:
                request.transport.abort()
        return response

    def _still(self, grant: Grant | None) -> None:
        if not self._stands(grant):
            raise Refused("unauthorized", "the token was revoked or has expired meanwhile")

    async def _first(self, pieces: _Slices) -> bytes:
        try:
            return await asyncio.to_thread(pieces.next)
        except (PeerFault, StoreFull) as fault:
            log.error("a stored attachment cannot be read: %s", fault)
            raise Refused("attachment_damaged", "the stored file is damaged") from fault


class _Slices:
    """The bytes from `start` to `end` of a content that can only be read from its beginning."""

    def __init__(self, pieces: Iterator[bytes], start: int, end: int) -> None:
        self._pieces, self._start, self._end = pieces, start, end
        self._at = 0

    def next(self) -> bytes:
        """Return the next bytes of the slice; none at its end. Blocks; raises PeerFault, StoreFull."""
        for piece in self._pieces:
            here, self._at = self._at, self._at + len(piece)
            wanted = piece[max(0, self._start - here) : max(0, self._end - here)]
            if wanted:
                return wanted
            if here >= self._end:
                break
        return b""


async def _pieces(request: web.Request) -> Any:
    """Yield the body as it comes; raises Refused if nothing comes for long."""
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                piece = await request.content.read(PIECE)
        except TimeoutError:
            raise Refused("timeout", "the upload stood still for too long") from None
        if not piece:
            return
        yield piece


def _abandon(upload: Taking) -> None:
    try:
        upload.abandon()
    except StoreFull as fault:
        log.warning("what was uploaded could not be erased, and goes at the next start: %s", fault)


def too_large() -> Refused:
    """Return the refusal of what is too large to be sent."""
    text = f"an attachment has at most {MAX_SIZE} bytes"
    return Refused("attachment_too_large", text, field="data", limit=MAX_SIZE)


def refusal(fault: Refused) -> web.Response:
    """Answer an HTTP request with the code of a refusal."""
    told = {"code": fault.code, "message": fault.message, "retryable": fault.retryable, **fault.extra}
    body = msgspec.json.encode({"error": told})
    status = _STATUS.get(fault.code, 400)
    response = web.Response(status=status, body=body, content_type="application/json")
    if status in {408, 413}:
        response.force_close()
    return response


def _name(request: web.Request) -> str:
    name = request.query.get("name", "file")
    check_name(name)
    return name


def _headers(manifest: Manifest) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "ETag": _etag(manifest),
        "Content-Disposition": _disposition(manifest.name, manifest.type),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def _disposition(name: str, claimed: str) -> str:
    """Return how a browser takes it: shown only if it is a picture or sound, else downloaded."""
    how = "inline" if claimed in media.INLINE else "attachment"
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in name)
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"{how}; filename=\"{plain.strip() or 'file'}\"; filename*=UTF-8''{encoded}"


def _etag(manifest: Manifest) -> str:
    return f'"{manifest.hash.hex()}"'


def _span(request: web.Request, response: web.StreamResponse, manifest: Manifest) -> tuple[int, int]:
    """Return what of the content is asked for, and set the status that says so."""
    asked = request.headers.get(hdrs.RANGE)
    if request.headers.get(hdrs.IF_RANGE, _etag(manifest)) != _etag(manifest):
        asked = None
    try:
        found = media.span(asked, manifest.size)
    except ValueError:
        response.set_status(416)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{manifest.size}"
        return 0, 0
    if found is None:
        return 0, manifest.size
    response.set_status(206)
    response.headers[hdrs.CONTENT_RANGE] = f"bytes {found[0]}-{found[1] - 1}/{manifest.size}"
    return found

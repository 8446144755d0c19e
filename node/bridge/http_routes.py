"""The bridge's HTTP side: the guard as middleware before every route, the page, health, the login link.

A route that is not in `routes()` does not exist; the guard judges even those (docs/bridge.md sections 4, 5).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.resources
import re
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import RequestHandler

from node.bridge import http_live, schema
from node.bridge.dialect_routes import SOCKET_IO, WEBSOCKETS
from node.bridge.guard import MAX_BODY, Admit, Decision, Deny, Preflight, Request
from node.bridge.http_attachments import DOWNLOADS, UPLOADS, Attachments
from node.bridge.http_talks import Talks
from node.bridge.metrics import CONTENT_TYPE

Dress: TypeAlias = Callable[[web.StreamResponse], web.StreamResponse]
"""Adds the headers that every answer has."""
ADMIT: Final = web.RequestKey("admit", Admit)
VIEW: Final = web.RequestKey("view", Request)
IDLE_SECONDS = 30.0
"""A connection without a whole request, or after its last, for so long is closed; not a websocket."""
MAX_CONNECTIONS = 640
"""Connections at a time, websockets (512) among them: systems give a process 1,024 open files."""
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Door(Protocol):
    """What the routes need of the bridge."""

    def cookie_at(self, port: int | None) -> str:
        """Return the name of the login cookie at a port of this machine."""
        ...

    def judge(self, request: Request) -> Decision:
        """Ask the guard; refused origins are logged here."""
        ...

    def redeem(self, code: str, port: int | None) -> tuple[str, int] | None:
        """Turn a login code for a port into the cookie's value and its seconds, once."""
        ...

    @property
    def health(self) -> str:
        """`ok`, `locked` or `starting`."""
        ...

    async def metrics(self) -> str:
        """Return what was counted and measured, as Prometheus reads it."""
        ...

    @property
    def attachments(self) -> Attachments:
        """Attachments, in and out."""
        ...

    async def serve(self, request: web.Request, admit: Admit) -> web.StreamResponse:
        """Serve one websocket until it is closed."""
        ...

    @property
    def talks(self) -> Talks:
        """What answers the requests of the dialect 003."""
        ...

    def end_login(self, cookie: str) -> None:
        """Let a login cookie be good for nothing any more."""
        ...

    def lands(self, port: int | None) -> bool:
        """Say whether there is a page at `/` of a port."""
        ...

    async def socket_io(self, request: web.Request, admit: Admit) -> web.StreamResponse:
        """Answer a request of Socket.IO."""
        ...

    async def build(self, request: web.Request, dialect: str, dress: Dress) -> web.StreamResponse:
        """Give a file of the static build that is served for a dialect."""
        ...


def make_app(door: Door) -> web.Application:
    """Return the application: the guard outermost, then the few routes there are."""
    app = web.Application(middlewares=[_guarded(door)], client_max_size=MAX_BODY)
    page, policy = _page()

    async def root(request: web.Request) -> web.StreamResponse:
        if request[VIEW].websocket:
            return await door.serve(request, request[ADMIT])
        host = request.headers.get(hdrs.HOST, "")
        headers = {"Content-Security-Policy": policy.replace("$HOST", host), "X-Frame-Options": "DENY"}
        return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)

    async def bridge(request: web.Request) -> web.StreamResponse:
        if not request[VIEW].websocket:
            return problem(426, "websocket_needed", "this path speaks websocket")
        return await door.serve(request, request[ADMIT])

    app.router.add_get("/", root)
    app.router.add_get("/bridge", bridge, allow_head=False)

    async def health(_request: web.Request) -> web.StreamResponse:
        body = msgspec.json.encode({"status": door.health})
        return web.Response(body=body, content_type="application/json")

    async def metrics(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=await door.metrics(), headers={"Content-Type": CONTENT_TYPE})

    for path in WEBSOCKETS:
        app.router.add_get(path, bridge, allow_head=False)
    _add_dialects(app, door)
    _add_login(app, door)
    _add_attachments(app, door)
    app.router.add_get("/api/v1/health", health)
    app.router.add_get("/api/v1/metrics", metrics)
    app.router.add_get("/api/v1/schema", _schema)
    return app


def _add_login(app: web.Application, door: Door) -> None:
    async def login(request: web.Request) -> web.StreamResponse:
        found = door.redeem(request.query.get("code", ""), request[VIEW].port)
        if found is None:
            text = "This link was used or is too old. Make another:  gossamer bridge login\n"
            return web.Response(status=401, text=text)
        if door.lands(request[VIEW].port):
            response = web.Response(status=303, headers={"Location": "/"})
        else:
            response = web.Response(text="You are logged in. Go back to the frontend, and load it again.\n")
        value, seconds = found
        name, secure = door.cookie_at(request[VIEW].port), request.secure
        response.set_cookie(
            name, value, max_age=seconds, httponly=True, secure=secure or None, samesite="Strict", path="/"
        )
        return response

    app.router.add_get("/api/v1/login", login, allow_head=False)


def _add_attachments(app: web.Application, door: Door) -> None:
    async def download(request: web.Request) -> web.StreamResponse:
        admit = request[ADMIT]
        return await door.attachments.give(
            request, admit.grant, lambda response: _dressed(response, admit.cors_origin)
        )

    async def upload(request: web.Request) -> web.StreamResponse:
        return await door.attachments.take(request, request[ADMIT].grant)

    app.router.add_post(UPLOADS, upload)
    app.router.add_get(DOWNLOADS, download)


def _add_dialects(app: web.Application, door: Door) -> None:
    async def socket_io(request: web.Request) -> web.StreamResponse:
        return await door.socket_io(request, request[ADMIT])

    for path in SOCKET_IO:
        app.router.add_get(path, socket_io, allow_head=False)
        app.router.add_post(path, socket_io)

    async def live(request: web.Request) -> web.StreamResponse:
        return await http_live.answered(request, door, request[VIEW], request[ADMIT].grant)

    http_live.add(app, live)


class _Protocol(RequestHandler):
    """HTTP on one connection; what the parser refuses is answered by code and logged without its bytes."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Cut off what is beyond the number that this process has files for; the owner's socket never."""
        super().connection_made(transport)
        full = self._manager is not None and len(self._manager.connections) > MAX_CONNECTIONS
        if full and transport.get_extra_info("socket").family in {socket.AF_INET, socket.AF_INET6}:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer 421 where the parser misses a single Host, 400 for other broken requests."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        if "'Host' header" in exc.message:
            answer = problem(421, "wrong_host", "one Host header is needed")
        else:
            answer = problem(400, "bad_request", "this is no HTTP request")
        answer.force_close()
        return answer


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs the application with our answers to requests that are none."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server  # aiohttp has no other way to choose the connection's class
        return server


def routes(app: web.Application) -> set[tuple[str, str]]:
    """Return every (method, path) that has a handler: what the guard's test goes through."""
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }


def problem(status: int, code: str, message: str) -> web.Response:
    """Answer an HTTP request with a stable error code."""
    body = msgspec.json.encode({"error": {"code": code, "message": message}})
    return web.Response(status=status, body=body, content_type="application/json")


async def _schema(request: web.Request) -> web.StreamResponse:
    form = request.query.get("format", schema.FORMATS[0])
    if form not in schema.FORMATS:
        return problem(400, "bad_request", f"format is one of {', '.join(schema.FORMATS)}")
    return web.Response(text=schema.render(form), content_type=schema.CONTENT_TYPES[form])


def _guarded(door: Door) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        view = view_of(request, door.cookie_at)
        decision = door.judge(view)
        match decision:
            case Deny():
                return _dressed(problem(decision.status, decision.code, decision.message), None)
            case Preflight():
                return _dressed(_preflight(), decision.origin)
            case Admit():
                request[ADMIT], request[VIEW] = decision, view
        try:
            if decision.build is not None:
                response = await door.build(
                    request, decision.build, lambda response: _dressed(response, decision.cors_origin)
                )
            else:
                response = await handler(request)
        except web.HTTPException as exc:
            response = problem(exc.status, "http_error", exc.reason)
            if hdrs.ALLOW in exc.headers:
                response.headers[hdrs.ALLOW] = exc.headers[hdrs.ALLOW]
        except ConnectionError:
            if request.transport is not None and not request.transport.is_closing():
                raise
            response = web.Response()  # for nobody: who asked is gone, as browsers go when a page is left
        return response if response.prepared else _dressed(response, decision.cors_origin)

    return guarded


def _preflight() -> web.Response:
    allowed = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        "Access-Control-Allow-Headers": "authorization, content-type",
        "Access-Control-Max-Age": "600",
        "Access-Control-Allow-Private-Network": "true",  # a page of the list may be public, the node is not
    }
    return web.Response(status=204, headers=allowed)


def _dressed(response: web.StreamResponse, cors_origin: str | None) -> web.StreamResponse:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Vary"] = "Origin"
    if cors_origin is not None:
        response.headers["Access-Control-Allow-Origin"] = cors_origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def view_of(request: web.Request, cookie_at: Callable[[int | None], str]) -> Request:
    """Return the request as the guard sees it."""
    headers = request.headers
    target = request.raw_path
    link = request.transport.get_extra_info("socket") if request.transport is not None else None
    unix = link is not None and link.family == getattr(socket, "AF_UNIX", None)
    named = None if unix or request.transport is None else request.transport.get_extra_info("sockname")
    port = named[1] if isinstance(named, tuple) else None
    listed = ",".join(headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())).split(",")
    return Request(
        method=request.method,
        path=request.rel_url.path_safe,  # what the router goes by: a `/` that is written %2F divides nothing
        port=port,
        websocket=headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket" and request.method == "GET",
        unix=unix,
        peer_uid=peer_uid(link) if unix and link is not None else None,
        hosts=tuple(headers.getall(hdrs.HOST, ())),
        target_host=None if target.startswith("/") else urlsplit(target).netloc or target,
        origins=tuple(headers.getall(hdrs.ORIGIN, ())),
        authorization=tuple(headers.getall(hdrs.AUTHORIZATION, ())),
        query_tokens=tuple(request.query.getall("token", ())),
        protocols=tuple(entry.strip() for entry in listed if entry.strip()),
        cookie=request.cookies.get(cookie_at(port)),
        content_type=headers.get(hdrs.CONTENT_TYPE, ""),
        has_body=request.body_exists,
        body_bytes=request.content_length,
        capabilities=tuple(request.query.getall("cap", ())),
        fetch_site=headers.get("Sec-Fetch-Site"),
    )


def peer_uid(link: socket.socket) -> int | None:
    """Return the user id at the other end of a unix socket; None where the system does not say."""
    try:
        if hasattr(socket, "SO_PEERCRED"):
            size = struct.calcsize("3i")
            raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            return int(struct.unpack("3i", raw)[1])
        if sys.platform == "darwin":  # struct xucred: version, uid, ... (LOCAL_PEERCRED)
            return int(struct.unpack_from("2I", link.getsockopt(0, 1, 76))[1])
    except OSError:
        return None
    return None


def _page() -> tuple[bytes, str]:
    """Return the page and a policy that runs exactly its own script and style."""
    page = (importlib.resources.files("node") / "web" / "index.html").read_bytes()
    script, style = (_hashes(page, tag) for tag in (b"script", b"style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self' ws://$HOST; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy


def _hashes(page: bytes, tag: bytes) -> str:
    bodies = re.findall(rb"<" + tag + rb">(.*?)</" + tag + rb">", page, re.DOTALL)
    marks = (base64.b64encode(hashlib.sha256(body).digest()).decode() for body in bodies)
    return " ".join(f"'sha256-{mark}'" for mark in marks) or "'none'"

"""Socket.IO by python-socketio, behind our guard: its transports, its sessions, and what it may not do alone.

The library is given only requests and packets that it can read, no origin to judge, no compression and no
queue without an end. Its rooms and handlers are not used: what is said goes to the frontend's machine, in
order, and acknowledgements come back with everything else (docs/dialects/socketio.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import engineio
import socketio
from aiohttp import hdrs, web

from node.bridge.close_codes import BAD_FRAMES, GOING_WRONG
from node.bridge.dialects import socket_io
from node.bridge.dialects.socket_io import Connect, Disconnect, Spoken, Unreadable
from node.bridge.guard import MAX_BODY, Grant
from node.bridge.http_engineio import BODY, Engine, Ready, WebSocket
from node.bridge.http_frontend import Surroundings
from node.bridge.http_routes import VIEW, problem
from node.bridge.http_socketio_frontend import Attached, Welcome
from node.errors import Refused

log = logging.getLogger(__name__)

PING_SECONDS, PONG_SECONDS = 25, 20
"""How often a frontend is asked whether it is there, and how long it has to answer."""
BODY_SECONDS = 20.0
"""How long the body of a polling request may take, of 1 MiB at most from this machine."""
POLLING, WEBSOCKET = "polling", "websocket"
WELCOME: Final = web.RequestKey("welcome", Welcome)
_quiet = logging.getLogger("node.bridge.socketio")
_quiet.setLevel(logging.CRITICAL + 1)  # the library logs what is said, tokens too


class Hosting(Protocol):
    """What is needed of the bridge."""

    @property
    def around(self) -> Surroundings:
        """What every frontend shares."""
        ...

    def attach(self, grant: Grant | None, make: Callable[[int], Attached]) -> Attached | None:
        """Make a frontend with a new number and keep it; None if there are too many."""
        ...

    def detach(self, number: int) -> None:
        """Forget a frontend that is gone."""
        ...


class SocketIo:
    """Serves the requests of Socket.IO's path, once the guard has admitted them."""

    def __init__(self, host: Hosting) -> None:
        self._library = _Library(host)

    async def serve(self, request: web.Request, welcome: Welcome) -> web.StreamResponse:
        """Answer one request, or serve one websocket until it is closed."""
        view = request[VIEW]
        if not _fits(request, websocket=view.websocket):
            return problem(400, "bad_request", "this is no request of Socket.IO 4")
        if not welcome.dialects:
            return problem(404, "not_enabled", "no dialect of this path is on for this origin")
        sid = request.query.get("sid")
        if sid is None:
            return await self._begin(request, welcome)
        line = self._library.lines.get(sid)
        if line is None:
            return problem(400, "bad_request", "there is no such session, or no longer")
        if not line.attached.welcome.admits(welcome):
            return problem(403, "forbidden", "a session goes on with the credential and origin it began with")
        if view.method == "POST":
            return await line.post(request)
        return await (line.upgrade(request) if view.websocket else line.poll(request))

    async def _begin(self, request: web.Request, welcome: Welcome) -> web.StreamResponse:
        if request.method != "GET":
            return problem(400, "bad_request", "a session begins with a GET")
        request[WELCOME] = welcome
        try:
            answer = await self._library.answer(request)
        finally:
            line = request.get(LINE)
            if line is not None and request[VIEW].websocket:
                await line.over()
        if line is None:
            return problem(503, "busy", "too many frontends are connected, or the node is stopping")
        return answer

    async def stop(self) -> None:
        """End what is left and every task of the library."""
        await self._library.stop()


def _fits(request: web.Request, *, websocket: bool) -> bool:
    """Say whether a request is one that the library can read; JSONP is not offered."""
    query = request.query
    listed = ",".join(request.headers.getall(hdrs.CONNECTION, ())).lower()
    upgrades = "upgrade" in map(str.strip, listed.split(","))
    return (
        query.getall("EIO", []) == ["4"]
        and query.getall("transport", []) == [WEBSOCKET if websocket else POLLING]
        and len(query.getall("sid", [])) <= 1
        and "j" not in query
        and (upgrades or not websocket)
    )


class Line:
    """What carries one frontend: the library's session, polled or on a websocket."""

    def __init__(self, library: _Library, session: Any) -> None:
        self.attached: Attached
        self.socket: WebSocket | None = None
        self._library, self._session = library, session
        self._polled = self._posted = self._upgrades = False

    # -- requests ---------------------------------------------------------------------------------

    async def poll(self, request: web.Request) -> web.StreamResponse:
        """Answer with what there is to say, when there is something."""
        if self._polled or self._session.upgraded:
            return self._refuse()
        self._polled = True
        try:
            return await self._library.answer(request)
        finally:
            self._polled = False

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Take what is said; the next may come when all of it was begun."""
        if self._posted or self._session.upgraded:
            return self._refuse()
        self._posted = True
        try:
            frames = await _frames(request)
            if frames is None:
                return self._refuse()
            said = [frame for frame in frames if not frame.startswith("b")]
            request[BODY] = socket_io.SEPARATOR.join(said).encode()
            answer = await self._library.answer(request)
            return answer if self.attach(len(frames) - len(said)) else self._refuse()
        finally:
            self._posted = False

    async def upgrade(self, request: web.Request) -> web.StreamResponse:
        """Go on over a websocket."""
        if self._upgrades or self._session.upgraded:
            return self._refuse()
        self._upgrades = True
        try:
            return await self._library.answer(request)
        finally:
            self._upgrades = False
            if self._session.upgraded:
                await self.over()
            else:
                self._session.upgrading = False  # polling goes on

    def attach(self, count: int = 1) -> bool:
        """Throw away so many binary frames; False if they were not announced."""
        self.attached.attachments -= count
        return self.attached.attachments >= 0

    def _refuse(self) -> web.StreamResponse:
        self.attached.close(BAD_FRAMES, "a malformed request")
        return problem(400, "bad_request", "this is no request of Socket.IO 4")

    # -- what the frontend needs (http_socketio_frontend.Line) ------------------------------------

    @property
    def listens(self) -> bool:
        """Say whether a request waits for what there is to say."""
        return self._polled and not self._upgrades

    @property
    def streams(self) -> bool:
        """Say whether it is a websocket."""
        return self.socket is not None

    def put(self, data: bytes) -> None:
        """Hand on one frame."""
        self._session.queue.put_nowait(Ready(data))

    def end(self, code: int, reason: str) -> None:
        """Close after what was handed on."""
        self._library.soon(self._end(code, reason))

    async def _end(self, code: int, reason: str) -> None:
        if self.socket is not None:
            await self.socket.close(code, reason)
        else:
            await self.over()

    def abort(self) -> None:
        """Cut it."""
        if self.socket is not None:
            self.socket.abort()
        self._library.soon(self.over())

    def leave(self, *, told: bool) -> None:
        """Let go of what carried it; `told`: the frontend itself has ended it, and nobody else says so."""
        if self.socket is not None:
            self._library.soon(self.socket.close())
        elif told:
            self._session.queue.put_nowait(engineio.packet.Packet(engineio.packet.CLOSE))

    async def over(self) -> None:
        """End the session of the library, if it has not ended; who waits for an answer is told."""
        await self._session.close(wait=False)
        self._library.eio.sockets.pop(self._session.sid, None)


LINE: Final = web.RequestKey("line", Line)


class _Library(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """The sessions: what is said in one goes to its frontend's machine."""

    def __init__(self, host: Hosting) -> None:
        super().__init__(
            async_mode="aiohttp",
            async_handlers=False,
            cors_allowed_origins=[],  # no headers of its own: the guard has decided, and writes them
            http_compression=False,
            max_http_buffer_size=MAX_BODY,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            logger=_quiet,
            engineio_logger=_quiet,
        )
        self.lines: dict[str, Line] = {}
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self.eio.library = self
        self.on("connect", self._connected)

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Let the library answer a request."""
        found: web.StreamResponse = await self.handle_request(request)
        return found

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End every session and task."""
        if self.eio.service_task_handle is not None:
            await self.shutdown()
        for line in tuple(self.lines.values()):
            await line.over()
        tasks = (*self._tasks, *self.eio.pings.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what the library calls -------------------------------------------------------------------

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> bool:
        """Begin a session; the guard has admitted it."""
        request: web.Request = environ["aiohttp.request"]
        session = self.eio.sockets[eio_sid]
        line = Line(self, session)
        welcome, around = request[WELCOME], self._host.around
        attached = self._host.attach(welcome.grant, lambda number: Attached(number, around, welcome, line))
        if attached is None:
            return False
        await super()._handle_eio_connect(eio_sid, environ)
        line.attached = attached
        self.lines[eio_sid] = session.queue.line = request[LINE] = line
        return True

    async def _handle_eio_message(self, eio_sid: str, data: str) -> None:
        """Take one packet; nothing may be raised, for the library keeps that to itself."""
        line = self.lines.get(eio_sid)
        if line is None:
            return
        try:
            await self._take(eio_sid, line, line.attached.understood(data))
        except Exception:
            log.exception("bridge session %d cannot go on", line.attached.number)
            line.attached.close(GOING_WRONG, "the node could not go on")

    async def _take(self, eio_sid: str, line: Line, packet: socket_io.Packet | None) -> None:
        match packet:
            case Connect(namespace, auth):
                await self._handle_connect(eio_sid, namespace, auth)
                if namespace == socket_io.MAIN:
                    line.attached.answered()
            case Disconnect(socket_io.MAIN):
                line.end(1000, "")
            case Spoken() | Unreadable():
                await line.attached.said(packet)
            case _:
                pass

    async def _connected(self, _sid: str, environ: dict[str, Any], auth: Any) -> None:
        """Judge what a frontend connects with; what is raised becomes its `connect_error`."""
        try:
            environ["aiohttp.request"][LINE].attached.connect(auth)
        except Refused as fault:
            raise socketio.exceptions.ConnectionRefusedError(str(fault), {"code": fault.code}) from fault

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        """A session is over."""
        await super()._handle_eio_disconnect(eio_sid, reason)
        ping = self.eio.pings.pop(eio_sid, None)
        if ping is not None and ping is not asyncio.current_task():
            ping.cancel()
        line = self.lines.pop(eio_sid, None)
        if line is not None:
            line.leave(told=reason == self.reason.CLIENT_DISCONNECT)
            await line.attached.ended()
            self._host.detach(line.attached.number)


async def _frames(request: web.Request) -> list[str] | None:
    """Return the packets of a polling request, None if it is none."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            frames = (await request.read()).decode().split(socket_io.SEPARATOR)
    except (UnicodeDecodeError, TimeoutError):
        return None
    good = len(frames) <= socket_io.MAX_PACKETS and all(map(socket_io.is_frame, frames))
    return frames if good else None

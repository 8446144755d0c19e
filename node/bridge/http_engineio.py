"""Engine.IO by python-engineio, under Socket.IO: its polling and its websockets, with an end to everything.

A websocket gives the library only frames that it can read, compresses nothing, and is cut off where it does
not let itself be closed; a session's queue says when it has room (docs/dialects/socketio.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import engineio
from aiohttp import WSMsgType, web
from engineio.async_drivers import aiohttp as driver
from engineio.payload import Payload

from node.bridge.close_codes import BAD_FRAMES
from node.bridge.dialects import socket_io
from node.bridge.guard import MAX_BODY
from node.bridge.http_routes import VIEW
from node.bridge.http_socket import ABORT_AFTER, CLOSE_SECONDS
from node.bridge.http_socketio_frontend import Attached

UPGRADE_SECONDS = 10.0
"""How long a websocket has to take over from polling."""
BODY: Final = web.RequestKey("body", bytes)
Payload.max_decode_packets = socket_io.MAX_PACKETS  # its own 16 are fewer than a page says in a moment


class Carried(Protocol):
    """One session, with the frontend that it carries."""

    attached: Attached
    socket: WebSocket | None

    def attach(self, count: int = 1) -> bool:
        """Throw away so many binary frames; False if they were not announced."""
        ...


class Sessions(Protocol):
    """What there is of sessions."""

    @property
    def lines(self) -> Mapping[str, Carried]:
        """Every session by the library's name for it."""
        ...


class Ready:
    """A message that is encoded already; it is kept as bytes, and becomes text where it has to."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = b"4" + data

    def encode(self, b64: bool = False) -> str | bytes:
        """Return it for a polling answer (`b64`), or for our websocket, as UTF-8."""
        return self._data.decode() if b64 else self._data


class Queue(asyncio.Queue[Any]):
    """A session's queue: it asks for more when what was taken from it has gone."""

    line: Carried | None = None

    async def get(self) -> Any:
        """Return the next packet; who comes back for one has written those before."""
        if self.line is not None and self.empty():
            self.line.attached.taken()
        return await super().get()

    def _put(self, item: Any) -> None:
        if self.line is not None:
            self.line.attached.handed()
        super()._put(item)


class WebSocket:
    """What the library takes for a websocket: it gives on what can be read, and is never compressed."""

    def __init__(self, run: Callable[[WebSocket], Awaitable[None]], engine: Any) -> None:
        self._run = run
        self._session: Any = run.__self__  # type: ignore[attr-defined]  # a method of the session's
        self._line: Carried = engine.library.lines[self._session.sid]
        self._expected = [socket_io.PROBE, socket_io.UPGRADE] if self._session.connected else []
        self._transport: asyncio.BaseTransport | None = None
        self._abort: asyncio.TimerHandle | None = None
        self._ws: web.WebSocketResponse

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        """Serve one websocket until it is closed."""
        request: web.Request = environ["aiohttp.request"]
        self._ws = web.WebSocketResponse(
            protocols=request[VIEW].protocols,  # a browser insists on one of those it offered
            max_msg_size=MAX_BODY + 1,
            compress=False,
            timeout=CLOSE_SECONDS,
        )
        await self._ws.prepare(request)
        self._transport, self._line.socket = request.transport, self
        try:
            await self._run(self)
        finally:
            self._line.socket = None
            if self._abort is not None:
                self._abort.cancel()
        return self._ws

    async def wait(self) -> str:
        """Return the next frame; raises OSError when there is none."""
        while True:
            async with asyncio.timeout(UPGRADE_SECONDS if self._expected else None):
                message = await self._ws.receive()
            if message.type is WSMsgType.TEXT and self._fits(message.data):
                return str(message.data)
            if message.type is not WSMsgType.BINARY or self._expected or not self._line.attach():
                break
        await self.close(BAD_FRAMES if message.type in {WSMsgType.TEXT, WSMsgType.BINARY} else 1000)
        raise ConnectionResetError

    def _fits(self, text: str) -> bool:
        if self._expected:
            return text == self._expected.pop(0)
        return socket_io.is_frame(text) and not text.startswith("b")

    async def send(self, data: str | bytes) -> None:
        """Write one text frame."""
        await self._ws.send_frame(data.encode() if isinstance(data, str) else data, WSMsgType.TEXT)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; who does not let us is cut off."""
        if self._ws.closed:
            return
        if self._abort is None:
            self._abort = asyncio.get_running_loop().call_later(ABORT_AFTER, self.abort)
        await self._ws.close(code=code, message=reason.encode()[:120])

    def abort(self) -> None:
        """Cut it."""
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()


class Engine(engineio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """The transports, with our queues and websockets."""

    library: Sessions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pings: dict[str, asyncio.Task[None]] = {}
        # It has no other way to choose these two.
        self._async: dict[str, Any] = {**self._async, "websocket": WebSocket, "translate_request": _environ}

    def create_queue(self, *_args: Any, **_named: Any) -> Queue:
        """Return a session's queue."""
        return Queue()

    def start_background_task(self, target: Any, *args: Any, **named: Any) -> asyncio.Task[None]:
        """Begin a task; the wait for a session's next ping ends with it."""
        task: asyncio.Task[None] = asyncio.ensure_future(target(*args, **named))
        sid: Any = getattr(getattr(target, "__self__", None), "sid", None)
        if sid in self.library.lines:
            self.pings[sid] = task
        elif sid is not None:
            task.cancel()
        return task


class _Body:
    """What a polling request brought, read by the library as it reads a stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, _size: int) -> bytes:
        """Return all of it."""
        return self._data


def _environ(request: web.Request) -> dict[str, Any]:
    found: dict[str, Any] = driver.translate_request(request)
    body = request.get(BODY, b"")
    found["wsgi.input"], found["CONTENT_LENGTH"] = _Body(body), str(len(body))
    return found

"""The shell of the mesh: websockets in, websockets out; it decides nothing (docs/protocol.md section 3).

A task reads each link, another writes it. Writing joins what has gathered meanwhile into one websocket
message, which the framing of Noise messages allows: fewer system calls exactly when there is much to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl as tls
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from itertools import count
from typing import Any, TypeAlias, assert_never, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException

from node.mesh.doorway import Doorway, Listener, Lookups, public_host, spelled
from node.mesh.intake import MAX_QUEUE, Dialled
from node.mesh.link import MAX_MESSAGE_BYTES
from node.mesh.ports import (
    CloseLink,
    Dial,
    DialFailed,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    LinkOpened,
    MeshInput,
    PauseReading,
    SendBytes,
)
from node.mesh.reasons import close_code, why_closed, why_failed

Connection: TypeAlias = ClientConnection | ServerConnection
Performed: TypeAlias = SendBytes | CloseLink | PauseReading | Dial

OPEN_TIMEOUT = 10.0
"""Seconds for the websocket's own handshake."""
CLOSE_TIMEOUT = 5.0
"""Seconds that the last bytes of a link get."""
READ_AHEAD = 131_072
"""Bytes of one link that the engine has not taken, or not stored what they bring; then it is not read."""
MESSAGE_COST = 256
"""Of these, for any message beside its bytes."""
MAX_BACKLOG = 512
"""Inputs waiting for the engine before links are not read any more: the kernel then slows the peers down."""
BACKLOG_PAUSE = 0.005
STOP_TIMEOUT = 2.0
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class _Connect(connect):
    """A dial that goes where it was told to, and nowhere that the other side sends it."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Follow nothing: a stranger's address could lead into a private network."""
        return exc


class _Line:
    """One open websocket: what waits to be written, and whether to close after it."""

    __slots__ = ("ahead", "close_reason", "connection", "number", "read_at", "room", "waiting", "wake")

    def __init__(self, number: int, connection: Connection) -> None:
        self.number = number
        self.connection = connection
        self.waiting: deque[bytes] = deque()
        self.wake = asyncio.Event()
        self.close_reason: str | None = None
        self.read_at = 0.0
        self.ahead = 0
        self.room = asyncio.Event()

    def close(self, reason: str) -> None:
        """Close when what waits is written; nobody waits for room any more."""
        self.close_reason = reason
        self.wake.set()
        self.room.set()

    def take(self) -> bytes:
        """Return what goes into the next websocket message."""
        parts = [self.waiting.popleft()]
        size = len(parts[0])
        while self.waiting and size + len(self.waiting[0]) <= MAX_MESSAGE_BYTES:
            size += len(self.waiting[0])
            parts.append(self.waiting.popleft())
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Transport:
    """Listens, dials, reads and writes; every fact goes to `submit`, which must not block.

    `listen` is (host, port), port 0 for any; the host `::` takes IPv4 as well. `backlog` says how many inputs
    the engine has not handled yet; who gives it says by `took` what is done with. `ssl` serves wss:// instead
    of ws://, `trust` judges the certificates of those we dial by wss://, the system's authorities if there is
    none. Of `tries` ports from `port` on the first free one is taken.
    """

    def __init__(
        self,
        submit: Callable[[MeshInput], None],
        *,
        listen: tuple[str, int] | None,
        ssl: tls.SSLContext | None = None,
        trust: tls.SSLContext | None = None,
        tries: int = 1,
        backlog: Callable[[], int] | None = None,
    ) -> None:
        self._submit = submit
        self._listen = listen
        self._ssl = ssl
        self._trust = trust
        self._tries = tries
        self._backlog = backlog
        self._numbers = count(1)
        self._lines: dict[int, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._doorway = Doorway()
        self._lookups = Lookups()
        self._stopped = False

    async def start(self) -> tuple[str, int] | None:
        """Listen, if told to; return the bound (host, port). Raises OSError if it cannot."""
        if self._listen is None:
            return None
        sock = _bind_first(*self._listen, self._tries)
        sock.doorway = self._doorway
        under_tls: dict[str, Any] = {} if self._ssl is None else {"ssl_handshake_timeout": OPEN_TIMEOUT}
        self._server = await serve(
            self._accept,
            sock=sock,
            ssl=self._ssl,
            **under_tls,
            origins=[None],  # browsers say where they come from, nodes do not: no page talks to the mesh
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=MAX_QUEUE,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=None,
            server_header=None,
            create_connection=cast(type[ServerConnection], self._doorway.guest),
        )
        host, port = sock.getsockname()[:2]
        return host, port

    async def stop(self) -> None:
        """Close everything, dial no more; what is not gone after 2 s is dropped."""
        self._stopped = True
        if self._server is not None:
            self._server.close()
        for line in self._lines.values():
            line.close("stopping")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), STOP_TIMEOUT)

    def perform(self, effect: Performed) -> None:
        """Carry out an effect of the mesh; returns at once."""
        match effect:
            case SendBytes(link, data):
                line = self._lines.get(link)
                if line is not None and line.close_reason is None:
                    line.waiting.append(data)
                    line.wake.set()
            case CloseLink(link, reason):
                line = self._lines.get(link)
                if line is not None and line.close_reason is None:
                    line.close(reason)
                    self._doorway.leaves(link, line.connection.transport.abort)
            case PauseReading(link, seconds):
                line = self._lines.get(link)
                if line is not None:
                    line.read_at = asyncio.get_running_loop().time() + seconds
            case Dial(address, public_only):
                if not self._stopped:
                    self._spawn(self._dial(address, public_only=public_only))
            case _:
                assert_never(effect)

    def took(self, batch: Iterable[object]) -> None:
        """The engine is done with these inputs: as much of their links may be read."""
        for event in batch:
            line = self._lines.get(event.link) if isinstance(event, LinkBytes) else None
            if line is not None and isinstance(event, LinkBytes):
                line.ahead -= len(event.data) + MESSAGE_COST
                if line.ahead <= READ_AHEAD:
                    line.room.set()

    def close_all(self, reason: str) -> None:
        """Close every link there is, also those that nobody ordered."""
        for number in list(self._lines):
            self.perform(CloseLink(number, reason))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, address: str, *, public_only: bool) -> None:
        try:
            named: dict[str, Any] = {"host": await public_host(address, self._lookups)} if public_only else {}
            connection = await _Connect(
                address,
                ssl=(self._trust or True) if address.startswith("wss:") else None,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=MAX_QUEUE,
                open_timeout=OPEN_TIMEOUT,
                close_timeout=CLOSE_TIMEOUT,
                ping_interval=None,
                user_agent_header=None,
                proxy=None,
                create_connection=Dialled,
                **named,
            )
        except (OSError, WebSocketException, ValueError, OverflowError) as exc:
            self._submit(DialFailed(address, why_failed(exc)))
            return
        await self._serve_link(connection, address)

    async def _accept(self, connection: ServerConnection) -> None:
        self._doorway.entered(connection)
        await self._serve_link(connection, "")

    async def _serve_link(self, connection: Connection, address: str) -> None:
        line = _Line(next(self._numbers), connection)
        self._lines[line.number] = line
        remote = spelled(connection.remote_address)
        self._submit(LinkOpened(line.number, bool(address), address, remote))
        writer = asyncio.ensure_future(self._write(line))
        self._tasks.add(writer)
        writer.add_done_callback(self._tasks.discard)
        reason = "cancelled"
        try:
            reason = await self._read(line)
        finally:
            writer.cancel()
            del self._lines[line.number]
            self._doorway.left(line.number)
            self._submit(LinkClosed(line.number, reason))
            connection.transport.abort()

    async def _read(self, line: _Line) -> str:
        try:
            while True:
                data = await line.connection.recv()
                if isinstance(data, str):
                    return "sent text"
                pause = line.read_at - asyncio.get_running_loop().time()
                if pause > 0:
                    await asyncio.sleep(pause)
                while self._backlog is not None and self._backlog() > MAX_BACKLOG:  # noqa: ASYNC110 - a number
                    await asyncio.sleep(BACKLOG_PAUSE)
                line.ahead += len(data) + MESSAGE_COST
                self._submit(LinkBytes(line.number, data))
                while self._backlog is not None and line.ahead > READ_AHEAD and line.close_reason is None:
                    line.room.clear()
                    await line.room.wait()
        except (ConnectionClosed, OSError) as exc:
            return line.close_reason or why_closed(exc)

    async def _write(self, line: _Line) -> None:
        """Write what gathers until told to close; the reader notices the end, whoever brings it about."""
        with contextlib.suppress(ConnectionClosed, OSError, TimeoutError):
            while line.close_reason is None or line.waiting:
                if not line.waiting:
                    line.wake.clear()
                    await line.wake.wait()
                    continue
                data = line.take()
                if line.close_reason is None:
                    await line.connection.send(data)
                else:
                    await asyncio.wait_for(line.connection.send(data), CLOSE_TIMEOUT)
                self._submit(LinkDrained(line.number, len(data)))
        with contextlib.suppress(TimeoutError):
            code = close_code(line.close_reason or "")
            await asyncio.wait_for(line.connection.close(code), CLOSE_TIMEOUT)
        line.connection.transport.abort()


def _bind_first(host: str, port: int, tries: int) -> Listener:
    for candidate in range(port, port + tries):
        try:
            return _bind(host, candidate)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or candidate == port + tries - 1:
                raise
    raise AssertionError("at least one try")


def _bind(host: str, port: int) -> Listener:
    """Return a listening socket whose connections send at once.

    Those that it accepts inherit that. The event loop sets it only where a socket names TCP as its protocol,
    which these do not; without it a small frame may wait 40 ms for the other side's delayed acknowledgement.
    """
    listener = Listener(fileno=_listener(host, port).detach())
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _listener(host: str, port: int) -> socket.socket:
    """Listen; `::` takes IPv4 too, and falls back to it where there is no IPv6."""
    if host in ("", "::") and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as exc:
            if exc.errno not in _NO_IPV6:
                raise
    if host in ("", "::"):
        host = "0.0.0.0"  # noqa: S104 - a node is there to be reached; the handshake keeps strangers out
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return socket.create_server(found[0][4][:2], family=found[0][0])

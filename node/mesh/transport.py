"""The shell of the mesh: websockets in, websockets out; it decides nothing (docs/protocol.md section 3).

What comes one at a time is read and written straight (`node/mesh/line.py`); for what gathers a task reads
each link, another writes it. Writing joins what has gathered meanwhile into one websocket message, which the
framing of Noise messages allows: fewer system calls exactly when there is much to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl as tls
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from itertools import count
from typing import Any, TypeAlias, assert_never, cast

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException

from node.mesh.doorway import Doorway, Listener, Lookups, public_host, spelled
from node.mesh.intake import MAX_QUEUE, Dialled
from node.mesh.line import REPORT_BYTES, REPORT_SECONDS, Line, Straight
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
STRAIGHT_BACKLOG = 16
"""Inputs waiting for the engine up to which a message goes straight to it: the same, with no task between."""
BACKLOG_PAUSE = 0.005
STOP_TIMEOUT = 2.0
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class _Connect(connect):
    """A dial that goes where it was told to, and nowhere that the other side sends it."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Follow nothing: a stranger's address could lead into a private network."""
        return exc


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
        self._lines: dict[int, Line] = {}
        self._ready: dict[Line, None] = {}
        self._report: asyncio.TimerHandle | None = None
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
        if self._report is not None:
            self._report.cancel()  # a timer would keep the engine, and so its keys, after the vault is locked
            self._report = None

    def perform(self, effect: Performed) -> None:
        """Carry out an effect of the mesh; returns at once."""
        match effect:
            case SendBytes(link, data):
                line = self._lines.get(link)
                if line is not None and line.close_reason is None:
                    line.waiting.append(data)
                    if not self._ready:
                        asyncio.get_running_loop().call_soon(self.write)
                    self._ready[line] = None
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

    def write(self) -> None:
        """Write what was ordered, now and not only when the event loop comes to it."""
        ready, self._ready = self._ready, {}
        for line in ready:
            line.write()
            self._written(line)

    def _written(self, line: Line) -> None:
        if line.unreported >= REPORT_BYTES:
            self._tell_written(line)
        elif line.unreported and self._report is None:
            self._report = asyncio.get_running_loop().call_later(REPORT_SECONDS, self._tell_all_written)

    def _tell_all_written(self) -> None:
        self._report = None
        for line in self._lines.values():
            if line.unreported:
                self._tell_written(line)

    def _tell_written(self, line: Line) -> None:
        nbytes, line.unreported = line.unreported, 0
        self._submit(LinkDrained(line.number, nbytes))

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
        assert isinstance(connection, Straight)
        await self._serve_link(connection, address)

    async def _accept(self, connection: ServerConnection) -> None:
        self._doorway.entered(connection)
        assert isinstance(connection, Straight)
        await self._serve_link(connection, "")

    async def _serve_link(self, connection: Straight, address: str) -> None:
        line = Line(next(self._numbers), connection)
        self._lines[line.number] = line
        remote = spelled(connection.remote_address)
        self._submit(LinkOpened(line.number, bool(address), address, remote))
        writer = asyncio.ensure_future(self._write(line))
        self._tasks.add(writer)
        writer.add_done_callback(self._tasks.discard)
        reason = "cancelled"
        connection.taking = partial(self._take, line)
        try:
            reason = await self._read(line)
        finally:
            writer.cancel()
            connection.taking = None
            del self._lines[line.number]
            self._doorway.left(line.number)
            self._submit(LinkClosed(line.number, reason))
            connection.transport.abort()

    def _take(self, line: Line, data: bytes) -> bool:
        """Hand over what came, unless it has to wait: the link is paused, or the engine behind."""
        if line.close_reason is not None:
            return True  # who closed it wants no more of it, however much comes until its end
        behind = self._backlog is not None and (self._backlog() > STRAIGHT_BACKLOG or line.ahead > READ_AHEAD)
        if line.read_at or behind:
            return False
        line.ahead += len(data) + MESSAGE_COST
        self._submit(LinkBytes(line.number, data))
        return True

    async def _read(self, line: Line) -> str:
        try:
            while True:
                data = await line.connection.recv()
                if isinstance(data, str):
                    return "sent text"
                if line.close_reason is not None:
                    continue
                pause, line.read_at = line.read_at - asyncio.get_running_loop().time(), 0.0
                if pause > 0:
                    await asyncio.sleep(pause)
                while self._backlog is not None and self._backlog() > MAX_BACKLOG:  # noqa: ASYNC110 - a number
                    await asyncio.sleep(BACKLOG_PAUSE)
                line.ahead += len(data) + MESSAGE_COST
                self._submit(LinkBytes(line.number, data))
                line.connection.queued -= 1
                while self._backlog is not None and line.ahead > READ_AHEAD and line.close_reason is None:
                    line.room.clear()
                    await line.room.wait()
        except (ConnectionClosed, OSError) as exc:
            return line.close_reason or why_closed(exc)

    async def _write(self, line: Line) -> None:
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
                line.unreported += len(data)
                self._tell_written(line)
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

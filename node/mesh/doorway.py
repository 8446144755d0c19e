"""The shell's own limits on strangers at the door, before there is a link (docs/protocol.md section 3).

A connection that has not finished its handshakes, TLS and websocket, is known to nobody but this module. So
many may be under way, so many from one network, and then the oldest goes for a new one; the same with those
that are being closed and take their time.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from websockets.asyncio.server import ServerConnection

from node.mesh.intake import Intake
from node.mesh.limits import (
    MAX_HALF_OPEN,
    MAX_HALF_OPEN_SUBNET,
    authority_of,
    host_of,
    is_near,
    subnet_of,
)

T = TypeVar("T")

MAX_OPENING = MAX_HALF_OPEN
"""Websocket handshakes under way, as many as links without a proven key."""
MAX_LOOKUPS = 8
"""Names of strangers being looked up at once: as many as dials."""
LOOKUP_SECONDS = 10.0
MAX_CLOSING = 64
"""Connections that we close and whose end takes its time; each gets 5 s."""


class Listener(socket.socket):
    """A listening socket that shows the doorway whom it lets in, before a byte of TLS."""

    doorway: Doorway | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        accepted, address = super().accept()
        if self.doorway is not None:
            self.doorway.knocked(accepted, spelled(address))
        return accepted, address


def spelled(address: tuple[Any, ...]) -> str:
    """Return `host:port` of what a socket calls an address."""
    host, port = (str(part) for part in address[:2])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Doorway:
    """Counts who stands in the door, and turns the oldest away when it is full."""

    def __init__(self) -> None:
        self._knocking: dict[str, socket.socket] = {}
        self._opening: dict[ServerConnection, str] = {}
        self._closing: dict[int, Callable[[], None]] = {}

    def guest(self, *args: Any, **kwargs: Any) -> ServerConnection:
        """Return a connection that is counted until its handshake is done: what `serve` makes its own of."""
        return _Guest(self, *args, **kwargs)

    def knocked(self, accepted: socket.socket, remote: str) -> None:
        """Somebody has connected; where TLS comes first, asyncio alone knows of them until it is agreed."""
        for other in [other for other, sock in self._knocking.items() if sock.fileno() < 0]:
            del self._knocking[other]
        self._knocking[remote] = accepted
        going = crowded_out(list(self._knocking.items()), remote)
        if going is not None:
            del self._knocking[next(other for other, sock in self._knocking.items() if sock is going)]
            with contextlib.suppress(OSError):
                going.shutdown(socket.SHUT_RDWR)

    def came(self, connection: ServerConnection, remote: str) -> None:
        """The websocket handshake begins."""
        self._knocking.pop(remote, None)
        self._opening[connection] = remote
        going = crowded_out([(other, one) for one, other in self._opening.items()], remote)
        if going is not None:
            self._turn_away(going)

    def _turn_away(self, connection: ServerConnection) -> None:
        self.entered(connection)
        connection.transport.abort()

    def entered(self, connection: ServerConnection) -> None:
        """The handshake is over, one way or the other."""
        self._opening.pop(connection, None)

    @property
    def opening(self) -> int:
        """How many handshakes are under way."""
        return len(self._opening) + sum(sock.fileno() >= 0 for sock in self._knocking.values())

    def leaves(self, number: int, abort: Callable[[], None]) -> None:
        """A connection is being closed; with too many of them the oldest is cut off by its `abort`."""
        self._closing[number] = abort
        if len(self._closing) > MAX_CLOSING:
            oldest = next(iter(self._closing))
            self._closing.pop(oldest)()

    def left(self, number: int) -> None:
        """A connection is closed."""
        self._closing.pop(number, None)


class _Guest(Intake, ServerConnection):
    """A connection from outside that tells the doorway when it comes and goes."""

    def __init__(self, doorway: Doorway, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._doorway = doorway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, unless the door is full of others that are newer."""
        super().connection_made(transport)
        self._doorway.came(self, spelled(transport.get_extra_info("peername") or ("", 0)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no longer."""
        self._doorway.entered(self)
        super().connection_lost(exc)


def crowded_out(crowd: list[tuple[str, T]], new: str) -> T | None:
    """Return who has to go for the `new` one: the oldest of its network, or of all."""
    if not is_near(new):
        subnet = subnet_of(new)
        there = [one for remote, one in crowd if subnet_of(remote) == subnet]
        if len(there) > MAX_HALF_OPEN_SUBNET:
            return there[0]
    return crowd[0][1] if len(crowd) > MAX_OPENING else None


class Lookups:
    """Asks the system for the addresses of names, each in a thread of its own that nobody waits for.

    A stranger's name may lie under a name server of theirs that never answers: the threads that asyncio keeps
    for all such work are few, and a node that stops waits for them.
    """

    def __init__(self, ask: Callable[[str, int], list[Any]] | None = None) -> None:
        self._ask = ask or _ask
        self._under_way = 0

    async def find(self, host: str, port: int) -> list[str]:
        """Return the IP addresses of a host; raises OSError if there are none, or too much is asked."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        if self._under_way >= MAX_LOOKUPS:
            raise OSError("too many names are being looked up")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()

        def done(found: list[Any] | None, fault: Exception | None) -> None:
            self._under_way -= 1
            if answer.done():
                return
            if fault is None:
                answer.set_result(found or [])
            else:
                answer.set_exception(fault)

        def work() -> None:
            found, fault = None, None
            try:
                found = self._ask(host, port)
            except (OSError, ValueError, OverflowError) as exc:
                fault = exc
            with contextlib.suppress(RuntimeError):  # the node has stopped meanwhile
                loop.call_soon_threadsafe(done, found, fault)

        self._under_way += 1
        threading.Thread(target=work, name="name lookup", daemon=True).start()
        found = await asyncio.wait_for(answer, LOOKUP_SECONDS)
        return [str(where[0]) for *_, where in found]


def _ask(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def public_host(address: str, lookups: Lookups) -> str:
    """Return the public IP address that a name stands for; raises OSError if there is none.

    Strangers named it: whatever the name says, no dial of theirs reaches this machine or its network.
    """
    host, _, port = authority_of(address).rpartition(":")
    for where in await lookups.find(host.strip("[]"), int(port)):
        at = host_of(f"[{where}]:0" if ":" in where else f"{where}:0")
        if at is not None and at.is_global and not at.is_multicast:
            return where
    raise OSError("the name stands for a private address")

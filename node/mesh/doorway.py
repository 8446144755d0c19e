"""The shell's own limits on strangers at the door, before there is a link (docs/protocol.md section 3).

A connection that has not finished its websocket handshake is known to nobody but this module. So many may be
under way, so many from one network, and then the oldest goes for a new one; the same with those that are
being closed and take their time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from node.mesh.limits import (
    MAX_HALF_OPEN,
    MAX_HALF_OPEN_SUBNET,
    authority_of,
    host_of,
    is_near,
    subnet_of,
)

MAX_OPENING = MAX_HALF_OPEN
"""Websocket handshakes under way, as many as links without a proven key."""
MAX_CLOSING = 64
"""Connections that we close and whose end takes its time; each gets 5 s."""


class Doorway:
    """Counts who stands in the door, and turns the oldest away when it is full."""

    def __init__(self) -> None:
        self._opening: dict[ServerConnection, str] = {}
        self._closing: dict[int, Callable[[], None]] = {}

    def guest(self, *args: Any, **kwargs: Any) -> ServerConnection:
        """Return a connection that is counted until its handshake is done: what `serve` makes its own of."""
        return _Guest(self, *args, **kwargs)

    def came(self, connection: ServerConnection, remote: str) -> None:
        """Somebody has connected and said nothing yet."""
        self._opening[connection] = remote
        crowd = list(self._opening)
        if not is_near(remote):
            there = [one for one, other in self._opening.items() if subnet_of(other) == subnet_of(remote)]
            if len(there) > MAX_HALF_OPEN_SUBNET:
                self._turn_away(there[0])
                return
        if len(crowd) > MAX_OPENING:
            self._turn_away(crowd[0])

    def _turn_away(self, connection: ServerConnection) -> None:
        self.entered(connection)
        connection.transport.abort()

    def entered(self, connection: ServerConnection) -> None:
        """The handshake is over, one way or the other."""
        self._opening.pop(connection, None)

    @property
    def opening(self) -> int:
        """How many handshakes are under way."""
        return len(self._opening)

    def leaves(self, number: int, abort: Callable[[], None]) -> None:
        """A connection is being closed; with too many of them the oldest is cut off by its `abort`."""
        self._closing[number] = abort
        if len(self._closing) > MAX_CLOSING:
            oldest = next(iter(self._closing))
            self._closing.pop(oldest)()

    def left(self, number: int) -> None:
        """A connection is closed."""
        self._closing.pop(number, None)


class _Guest(ServerConnection):
    """A connection from outside that tells the doorway when it comes and goes."""

    def __init__(self, doorway: Doorway, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._doorway = doorway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, unless the door is full of others that are newer."""
        super().connection_made(transport)
        host, port = (transport.get_extra_info("peername") or ("", 0))[:2]
        self._doorway.came(self, f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no longer."""
        self._doorway.entered(self)
        super().connection_lost(exc)


async def public_host(address: str) -> str:
    """Return the public IP address that a name stands for; raises OSError if there is none.

    Strangers named it: whatever the name says, no dial of theirs reaches this machine or its network.
    """
    host, _, port = authority_of(address).rpartition(":")
    found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    for *_, where in found:
        at = host_of(f"[{where[0]}]:0" if ":" in str(where[0]) else f"{where[0]}:0")
        if at is not None and at.is_global and not at.is_multicast:
            return str(where[0])
    raise OSError("the name stands for a private address")

"""A port that speaks TLS, and how many shake hands there at a time (docs/bridge.md section 5).

A connection counts among the bridge's once its handshake is done. asyncio lets any number of them take their
time before, and each holds one of the files that the process has for everything it does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from aiohttp import web

MAX_SHAKING: Final = 32
"""Handshakes at a time at one port; a page begins six. With four such ports 1,024 files are enough."""
HANDSHAKE_SECONDS: Final = 10.0
SHUTDOWN_SECONDS: Final = 2.0
"""For the other side to take leave."""


class TlsSite(web.SockSite):
    """Shakes hands, and gives the connection to the runner's server then."""

    async def start(self) -> None:
        """Listen."""
        await web.BaseSite.start(self)
        self._shaking: set[asyncio.Task[None]] = set()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Door(self._knocked), sock=self._sock, backlog=self._backlog
        )

    async def stop(self) -> None:
        """Listen no more; who is at the door is left there."""
        for task in tuple(self._shaking):
            task.cancel()
        await super().stop()

    def _knocked(self, transport: asyncio.Transport) -> None:
        if len(self._shaking) >= MAX_SHAKING:
            transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._shake(transport))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def _shake(self, transport: asyncio.Transport) -> None:
        early, server = _Early(), self._runner.server
        try:
            made = await asyncio.get_running_loop().start_tls(
                transport,
                early,
                cast(ssl.SSLContext, self._ssl_context),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except OSError:  # it speaks no TLS, takes no such certificate, or its time
            transport.abort()
            return
        if made is None or server is None or early.lost or made.is_closing():
            transport.abort()
            return
        handler = server()
        made.set_protocol(handler)
        handler.connection_made(made)
        if early.data:
            handler.data_received(bytes(early.data))


class _Door(asyncio.Protocol):
    """A connection before its handshake."""

    def __init__(self, knocked: Callable[[asyncio.Transport], None]) -> None:
        self._knocked = knocked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake; nothing is read before."""
        there = cast(asyncio.Transport, transport)
        there.pause_reading()
        self._knocked(there)


class _Early(asyncio.Protocol):
    """Keeps what comes with the last words of a handshake: whom it is for is there a moment later."""

    def __init__(self) -> None:
        self.data, self.lost = bytearray(), False

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.data += data

    def connection_lost(self, _exc: Exception | None) -> None:
        """It is gone again."""
        self.lost = True

"""Cables between real nodes: one port for each pair of who dials and who is dialled, which a test can cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Cable:
    """A TCP proxy on loopback; while it is cut it takes nobody, and what stood is gone."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.cut = False
        self.port = 0

    async def open(self) -> None:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """What the node at this end dials."""
        return f"ws://127.0.0.1:{self.port}"

    def sever(self) -> None:
        """Cut it, without a word to either side."""
        self.cut = True
        for end in list(self._ends):
            end.transport.abort()

    async def close(self) -> None:
        """Take it down for good."""
        self.sever()
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut or not self._target():
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target())
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._ends.discard(writer)
            writer.transport.abort() if self.cut else writer.close()

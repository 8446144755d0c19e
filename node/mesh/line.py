"""One open websocket as the shell of the mesh has it: read without a task between, written in one go.

Most messages are short, come one at a time and fit into what the kernel takes at once. Such a one goes from
the socket to the engine, and back to sockets, without a queue, a task or a turn of the event loop; what is
more than that waits as it always did.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.asyncio.connection import Connection
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN

from node.mesh.link import MAX_MESSAGE_BYTES

REPORT_BYTES = 8_192
"""Bytes written after which the engine is told at once: a fourth of what a catch-up may fill."""
REPORT_SECONDS = 1.0
"""Within this time it is told of less: a turn for each frame would cost more than the frame."""


class Straight(Connection):
    """A connection that hands whole binary messages to `taking` as they come, if that will have them.

    All else, and all that comes behind it, is for `recv`; who reads there counts `queued` down.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.taking: Callable[[bytes], bool] | None = None
        self.queued = 0

    def process_event(self, event: Request | Response | Frame) -> None:
        """Take what the other side has sent."""
        if isinstance(event, Frame):
            opcode, taking = event.opcode, None if self.queued else self.taking
            if taking is not None and opcode is Opcode.BINARY and event.fin and taking(bytes(event.data)):
                return
            self.queued += opcode is Opcode.BINARY or opcode is Opcode.TEXT
        super().process_event(event)


class Line:
    """What waits to be written on one websocket, and whether to close after it."""

    __slots__ = (
        "ahead",
        "close_reason",
        "connection",
        "number",
        "read_at",
        "room",
        "unreported",
        "waiting",
        "wake",
    )

    def __init__(self, number: int, connection: Straight) -> None:
        self.number = number
        self.connection = connection
        self.waiting: deque[bytes] = deque()
        self.wake = asyncio.Event()
        self.close_reason: str | None = None
        self.read_at = 0.0
        self.ahead = 0
        """Bytes that the engine has not taken, or not stored what they bring."""
        self.room = asyncio.Event()
        self.unreported = 0
        """Bytes written that the engine was not told of yet."""

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

    def write(self) -> None:
        """Write what waits, as long as the socket takes it; the rest is the writing task's.

        What goes wrong with one socket ends its link, and nothing else: the reading task tells of it.
        """
        connection = self.connection
        try:
            while self.waiting and not connection.paused and connection.protocol.state is OPEN:
                data = self.take()
                connection.protocol.send_binary(data)
                connection.send_data()
                self.unreported += len(data)
        except (OSError, RuntimeError, WebSocketException):
            connection.transport.abort()
        if self.waiting:
            self.wake.set()

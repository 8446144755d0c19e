"""What is read of one websocket before the engine takes it: bytes, not objects (docs/protocol.md section 3).

`websockets` parses all that a read brings, and a frame of two bytes is an object of some 300 there; what it
answers to pings it writes whether anybody reads it or not. Here it is given a slice at a time, none while
messages wait, and who sends nothing but scraps or pings is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import State

from node.mesh.line import Straight
from node.mesh.link import MAX_EARLY_BYTES

READ_BYTES = 65_536
"""Bytes that one read of a socket brings, where the event loop can be told."""
SLICE = 4_096
"""Bytes parsed at a time: 2,048 frames at most, half a MiB for a moment."""
MAX_PIECES = 256
"""Websocket frames that wait; a slice has no more than 180 of the shortest messages that a node sends."""
MAX_FRAGMENTS = 64
"""Websocket frames of one message: nodes send one, other implementations may cut theirs."""
MAX_PINGS = 64
"""Pings and pongs of the websocket in PING_SECONDS: nodes send none, others a few a minute."""
PING_SECONDS = 10.0
MAX_HEAD = 16_384
"""Bytes of the websocket's own handshake: a node's are 200, a reverse proxy may add some; 1 MiB is allowed
otherwise, of each of 64 that knock."""
MAX_QUEUE = (1, 0)
"""Messages that wait to be taken when no more is parsed, and when that goes on."""


class Intake(Straight):
    """A websocket that reads no further than is taken from it.

    The first messages, until the peer has proven its key, are short: two of who dials us, one of who is
    dialled, because its HELLO may come with more behind it.
    """

    EARLY_MESSAGES = 2

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        super().connection_made(transport)
        self._raw = bytearray()
        self._held = False
        self._head = self._fragments = self._pings = 0
        self._pings_since = self.loop.time()
        self._early, self._most = self.EARLY_MESSAGES, self.protocol.max_message_size
        self.protocol.max_message_size = MAX_EARLY_BYTES
        self.recv_messages.pause, self.recv_messages.resume = self._hold, self._go_on
        with contextlib.suppress(AttributeError):  # as uvloop's, and those of TLS
            transport.max_size = READ_BYTES  # type: ignore[attr-defined] # what asyncio gives to recv()

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as what came before it is taken."""
        if self.protocol.state is State.CONNECTING:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._cut_off()
                return
        if not self._raw and not self._held and len(data) <= SLICE:
            self._parse(data)  # as most are
        else:
            self._raw += data
            self._advance()

    def eof_received(self) -> None:
        """Parse what was kept back: over TLS the end comes with it, though nothing more was to be read."""
        while self._raw and not self.transport.is_closing():
            self._parse_slice()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """What was not taken yet is of no use any more."""
        self._raw.clear()
        super().connection_lost(exc)

    def _hold(self) -> None:
        self._held = True

    def _go_on(self) -> None:
        self._held = False
        self._advance()

    def _advance(self) -> None:
        while self._raw and not self._held:
            self._parse_slice()
        if self._raw:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _parse_slice(self) -> None:
        piece = bytes(self._raw[:SLICE])
        del self._raw[:SLICE]
        self._parse(piece)

    def _parse(self, piece: bytes) -> None:
        super().data_received(piece)
        if len(self.recv_messages.frames) > MAX_PIECES:
            self._cut_off()

    def process_event(self, event: Any) -> None:
        """Take a frame, or the end of the websocket handshake."""
        if isinstance(event, Frame):
            if event.opcode not in DATA_OPCODES:
                self._count_ping()
            elif not event.fin:
                self._fragments += 1
            else:
                self._fragments = 0
                self._early -= 1
                if self._early == 0:
                    self.protocol.max_message_size = self._most
            if self._fragments >= MAX_FRAGMENTS:
                self._cut_off()
        super().process_event(event)

    def _count_ping(self) -> None:
        now = self.loop.time()
        if now >= self._pings_since + PING_SECONDS:
            self._pings, self._pings_since = 0, now
        self._pings += 1
        if self._pings > MAX_PINGS:
            self._cut_off()

    def _cut_off(self) -> None:
        self._raw.clear()
        self._held = True  # nothing more is parsed
        self.transport.abort()


class Dialled(Intake, ClientConnection):
    """A connection that this node made."""

    EARLY_MESSAGES = 1

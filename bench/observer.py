"""One link to a real node that hands envelopes in and sees them come out: the mesh, measured from outside.

An observer holds nothing, asks for nothing and passes nothing on, so a node pushes to it whatever it passes
on to anybody, the moment it does. When bytes come is noted at once; they are opened a little later, so that
all the observers of a mesh, which share the cores with it, do not stand in its way.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import OPEN

from node.crypto.channel import Channel, ChannelKind, network_id
from node.crypto.handshake import make_link_keys
from node.mesh.intake import Dialled
from node.mesh.link import MAX_MESSAGE_BYTES, Link
from node.wire import frame_bytes, frames
from node.wire.envelope import Envelope, parse
from node.wire.frames import Hello, Ping, Pong, Push

BUDGET = 10_000
SMALLEST = 512
"""The box that a short text is sealed into; an envelope is 147 bytes more."""
LATER = 0.03
"""Seconds from bytes to their being opened: after an envelope has spread, before the next is handed in."""
_CHANNEL = Channel(ChannelKind.ROOM, b"measured".ljust(32, b"."))


def envelope() -> Envelope:
    """Return a genuine envelope of a channel that no node knows, with a box of 512 bytes."""
    inner = bytes([0x91, 1]) + os.urandom(300)
    now_ms = time.time_ns() // 1_000_000
    return parse(_CHANNEL.seal(inner, ts_ms=now_ms, ttl_days=1, ephemeral=False, entropy=os.urandom))


class _Noting(Dialled):
    """A connection that notes when bytes come, and takes them in later; `at` is of those taken in now."""

    at = 0.0

    def data_received(self, data: bytes) -> None:
        """Take bytes in at once before the link is live, later from there on."""
        if self.taking is None:
            super().data_received(data)
        else:
            self.loop.call_later(LATER, self._take_in, time.perf_counter(), data)

    def _take_in(self, at: float, data: bytes) -> None:
        self.at = at
        if self.protocol.state is OPEN:
            super().data_received(data)


class Observer:
    """A link to one node; `seen` is told each envelope's bytes and when they came."""

    def __init__(self, seen: Callable[[bytes, float], None]) -> None:
        self._seen = seen
        self._seed = os.urandom(32)
        self._ws: _Noting | None = None
        self._link: Link | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        self.live = asyncio.Event()

    @property
    def key(self) -> str:
        """The node key of the observer, in hex, as peer lists show it."""
        return make_link_keys(
            self._seed, network_id=network_id(None), psk=None, entropy=os.urandom
        ).node_pub.hex()

    @property
    def node(self) -> str:
        """The key of the node at the other end, in hex."""
        return "" if self._link is None else self._link.node_key.hex()

    async def open(self, address: str) -> None:
        """Link to the node at an address."""
        keys = make_link_keys(self._seed, network_id=network_id(None), psk=None, entropy=os.urandom)
        ws = await connect(
            address,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            ping_interval=None,
            create_connection=_Noting,
        )
        assert isinstance(ws, _Noting)
        self._ws = ws
        now = time.monotonic()
        self._link = Link(
            1, outbound=True, address=address, remote=address, keys=keys, entropy=os.urandom, now=now
        )
        await self._flush()
        self._reading = asyncio.create_task(self._read())
        await asyncio.wait_for(self.live.wait(), 10.0)
        ws.taking = self._opened

    async def close(self) -> None:
        """Break the link."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._ws is not None:
            await self._ws.close()

    async def push(self, sealed: Envelope) -> None:
        """Hand an envelope to the node."""
        assert self._link is not None
        self._link.send_control(frame_bytes.encode(Push(0, sealed.raw)))
        await self._flush()

    async def _read(self) -> None:
        assert self._ws is not None and self._link is not None
        try:
            while True:
                data = await self._ws.recv()
                assert isinstance(data, bytes)
                self._open(data, time.perf_counter())
                self._ws.queued -= 1
                await self._flush()
        except ConnectionClosed:
            self.live.clear()

    def _opened(self, data: bytes) -> bool:
        assert self._ws is not None and self._link is not None
        self._open(data, self._ws.at)
        if self._link.waits:
            self._answering = asyncio.create_task(self._flush())
        return True

    def _open(self, data: bytes, at: float) -> None:
        assert self._link is not None
        for frame in self._link.receive(data, now=time.monotonic()):
            self._take(frame, at)

    def _take(self, data: bytes, at: float) -> None:
        assert self._link is not None
        if not data:
            self._link.send_control(frame_bytes.encode(_hello()))
            return
        match frame_bytes.decode(data):
            case Push(envelope=raw):
                self._seen(raw, at)
            case Hello() as hello:
                self._link.greeted(hello, now=time.monotonic())
                self.live.set()
            case Ping():
                self._link.send_control(frame_bytes.encode(Pong(time.time_ns() // 1_000_000)))
            case _:
                pass

    async def _flush(self) -> None:
        assert self._ws is not None and self._link is not None
        for message in self._link.flush(now=time.monotonic()):
            await self._ws.send(message)
            self._link.drained(len(message), now=time.monotonic())


def _hello() -> Hello:
    now_ms = time.time_ns() // 1_000_000
    return Hello(
        features=0,
        boot_nonce=os.urandom(8),
        listen=(),
        roles=frozenset(),
        max_frame=frames.MAX_FRAME_BYTES,
        floor_ms=now_ms - 1000,
        now_ms=now_ms,
        budget=BUDGET,
    )

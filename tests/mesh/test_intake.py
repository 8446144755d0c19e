"""What a peer can have read of it before the engine takes anything, over real loopback sockets (M4)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import socket
import tracemalloc
from collections.abc import Iterator

import pytest
from websockets.protocol import State

from node.mesh.intake import MAX_FRAGMENTS, MAX_HEAD
from node.mesh.link import MAX_EARLY_BYTES, WINDOW
from node.mesh.ports import (
    CloseLink,
    Dial,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    LinkOpened,
    MeshInput,
    SendBytes,
)
from node.mesh.transport import READ_AHEAD, Transport
from tests.mesh.test_transport import until

pytestmark = pytest.mark.slow

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KNOCK = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BINARY, PING, MORE = 2, 9, 0
FIN = 0x80


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """A websocket frame; masked, with a mask of zeros, if it is to a listener."""
    size, mask = len(payload), FIN if masked else 0
    head = bytes([(FIN if fin else 0) | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 65_536:
        head += bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + size.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + payload


class Crowd:
    """A transport whose engine takes nothing, and one hostile socket at the other end of a link."""

    def __init__(self) -> None:
        self.facts: list[MeshInput] = []
        self.transport = Transport(self.facts.append, listen=("127.0.0.1", 0), backlog=lambda: 0)
        self.bytes = 0

    def of(self, kind: type) -> list:  # type: ignore[type-arg] # of any input
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def dials_us(self) -> socket.socket:
        bound = await self.transport.start()
        assert bound is not None
        loop, sock = asyncio.get_running_loop(), socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, bound)
        await loop.sock_sendall(sock, KNOCK)
        await loop.sock_recv(sock, 4_096)
        await until(lambda: self.of(LinkOpened))
        return sock

    async def is_dialled(self) -> socket.socket:
        loop, listener = asyncio.get_running_loop(), socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.transport.perform(Dial(f"ws://127.0.0.1:{listener.getsockname()[1]}"))
        sock, _ = await loop.sock_accept(listener)
        listener.close()
        sock.setblocking(False)
        asked = await loop.sock_recv(sock, 4_096)
        key = next(line for line in asked.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.split(b": ")[1] + MAGIC).digest())
        await loop.sock_sendall(
            sock,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n",
        )
        await until(lambda: self.of(LinkOpened))
        return sock

    async def proven(self, sock: socket.socket, *, dialled: bool) -> None:
        """Let the messages pass that may only be short, and the engine take them."""
        for _ in range(1 if dialled else 2):
            await asyncio.get_running_loop().sock_sendall(sock, frame(BINARY, b"hello", masked=not dialled))
        await until(lambda: len(self.of(LinkBytes)) == (1 if dialled else 2))
        self.transport.took(self.of(LinkBytes))
        self.facts = self.of(LinkOpened)
        self.transport._submit = self.facts.append

    async def flood(self, sock: socket.socket, data: bytes, most: int = 64 << 20) -> tuple[int, int]:
        """Send it again and again until nothing is taken for a while; return bytes held then, and at most."""
        piece, idle = memoryview(data), 0
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        while idle < 30 and self.bytes < most and not self.of(LinkClosed):
            try:
                sent = sock.send(piece[self.bytes % len(data) :])
                self.bytes += sent
                idle = 0
            except BlockingIOError:
                idle += 1
                await asyncio.sleep(0.01)
                continue
            except OSError:
                break
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        gc.collect()
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return now - before, peak - before


@pytest.fixture
async def crowd() -> Iterator[Crowd]:  # type: ignore[misc] # asynchronous
    made = Crowd()
    yield made
    await made.transport.stop()


KINDS = {
    "the longest messages": lambda masked: frame(BINARY, bytes(131_072), masked=masked) * 4,
    "the shortest that a node sends": lambda masked: frame(BINARY, bytes(21), masked=masked) * 4_000,
    "empty messages": lambda masked: frame(BINARY, masked=masked) * 40_000,
    "scraps of a message": lambda masked: (
        frame(BINARY, fin=False, masked=masked) + frame(MORE, b"x", fin=False, masked=masked) * 40_000
    ),
    "pings": lambda masked: frame(PING, bytes(125), masked=masked) * 1_000,
    "empty pings": lambda masked: frame(PING, masked=masked) * 4_000,
}


READ, WRITTEN = 768 << 10, 512 << 10
"""What the shell holds at most of what one peer sends, and of what it does not read."""
HARMLESS = ("the longest messages", "the shortest that a node sends")
SCRAPS = ("scraps of a message", "pings", "empty pings")


@pytest.mark.mesh_attack("N10")
@pytest.mark.parametrize("dialled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_comes_before_the_engine_takes_it_costs_little(
    crowd: Crowd, kind: str, dialled: bool
) -> None:
    """M4: as much as is read ahead, however it is cut; who sends nothing but scraps is cut off."""
    sock = await (crowd.is_dialled() if dialled else crowd.dials_us())
    await crowd.proven(sock, dialled=dialled)
    held, most = await crowd.flood(sock, KINDS[kind](not dialled))
    assert held < READ and most < 1 << 20, (held, most)
    assert crowd.bytes < 32 << 20, "it is not read on and on"
    assert sum(len(fact.data) for fact in crowd.of(LinkBytes)) <= READ_AHEAD + 131_072
    line = crowd.transport._lines.get(crowd.of(LinkOpened)[0].link)
    closing = line is None or line.connection.transport.is_closing()
    assert closing or kind not in SCRAPS
    assert not closing or kind not in HARMLESS
    sock.close()


@pytest.mark.mesh_attack("N09")
@pytest.mark.parametrize("dialled", [False, True])
async def test_before_a_key_is_proven_no_long_message_is_begun(crowd: Crowd, dialled: bool) -> None:
    """64 such links hold little: who sends the beginning of a long message is cut off by its length."""
    sock = await (crowd.is_dialled() if dialled else crowd.dials_us())
    held, _ = await crowd.flood(sock, frame(BINARY, bytes(MAX_EARLY_BYTES + 1), masked=not dialled)[:-1])
    line = crowd.transport._lines.get(crowd.of(LinkOpened)[0].link)
    assert line is None or line.connection.state is not State.OPEN
    assert held < 32_768 and not crowd.of(LinkBytes)
    sock.close()


@pytest.mark.mesh_attack("N09")
async def test_who_knocks_with_many_headers_is_cut_off(crowd: Crowd) -> None:
    bound = await crowd.transport.start()
    assert bound is not None
    loop, sock = asyncio.get_running_loop(), socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, bound)
    held, _ = await crowd.flood(sock, b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 20_000, most=120_000)
    assert held < 32_768 and crowd.bytes >= MAX_HEAD and crowd.transport._doorway.opening == 0
    sock.close()


@pytest.mark.parametrize("cut", [1, MAX_FRAGMENTS - 1])
async def test_what_was_kept_back_comes_whole_and_in_order_as_it_is_taken(crowd: Crowd, cut: int) -> None:
    sock = await crowd.dials_us()
    await crowd.proven(sock, dialled=False)
    sent = [number.to_bytes(4, "big") * (1 + number * 7_919 % 32_000) for number in range(60)]
    data = bytearray()
    for message in sent:
        size = -(-len(message) // cut)
        parts = [message[at : at + size] for at in range(0, len(message), size)]
        for spot, part in enumerate(parts):
            data += frame(MORE if spot else BINARY, part, fin=spot == len(parts) - 1)
    data += frame(PING, b"there?")
    came, took = 0, 0
    while len(crowd.of(LinkBytes)) < len(sent):
        with contextlib.suppress(BlockingIOError):
            came += sock.send(memoryview(data)[came:]) if came < len(data) else 0
        await asyncio.sleep(0.001)
        done = crowd.of(LinkBytes)[took : took + 3]
        crowd.transport.took(done)
        took += len(done)
    assert [fact.data for fact in crowd.of(LinkBytes)] == sent
    assert (await asyncio.get_running_loop().sock_recv(sock, 100)).endswith(b"there?")
    assert crowd.of(LinkClosed) == []
    sock.close()


async def test_a_link_whose_bytes_are_not_taken_can_be_closed(crowd: Crowd) -> None:
    sock = await crowd.dials_us()
    await crowd.proven(sock, dialled=False)
    await crowd.flood(sock, frame(BINARY, bytes(131_072)))
    crowd.transport.perform(CloseLink(crowd.of(LinkOpened)[0].link, "enough"))
    sock.close()
    await until(lambda: crowd.of(LinkClosed))


@pytest.mark.mesh_attack("N10")
@pytest.mark.parametrize("size", [100, 131_072])
async def test_what_comes_on_a_link_that_is_being_closed_is_not_kept(crowd: Crowd, size: int) -> None:
    """M4: it is read, because the other side's end comes behind it, but nobody wants it any more."""
    sock = await crowd.dials_us()
    await crowd.proven(sock, dialled=False)
    crowd.transport.perform(CloseLink(crowd.of(LinkOpened)[0].link, "enough"))
    held, most = await crowd.flood(sock, frame(BINARY, bytes(size)) * 16, most=8 << 20)
    assert crowd.of(LinkBytes) == []
    assert held < READ and most < 1 << 20, (held, most)
    sock.close()
    await until(lambda: crowd.of(LinkClosed))


@pytest.mark.mesh_attack("N10")
async def test_what_is_written_and_not_read_is_held_twice_at_most(crowd: Crowd) -> None:
    """M4: a window of sealed frames, the message that they are joined to, and what the socket keeps of it."""
    sock = await crowd.dials_us()
    link = crowd.of(LinkOpened)[0].link
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    gc.collect()
    tracemalloc.start()
    written = idle = 0
    while idle < 20:
        unwritten = written - sum(fact.nbytes for fact in crowd.of(LinkDrained))
        idle = idle + 1 if unwritten >= WINDOW else 0
        for _ in range((WINDOW + 65_535 - unwritten) // 65_536):
            crowd.transport.perform(SendBytes(link, bytes(65_536)))
            written += 65_536
        await asyncio.sleep(0.002)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert WINDOW <= held < WRITTEN, held
    sock.close()

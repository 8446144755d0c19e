"""Handshakes at a dialect's port: few at a time, for a while, and nothing said with them is lost."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.bridge import http_tls
from tests.bridge.fake_engine import ADMIN
from tests.bridge.test_listeners import DialectEngine, Opened, make
from tests.ports import free_port

TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


class Secured(Opened):
    tls = 0


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Secured]:
    engine = DialectEngine()
    server = make(tmp_path, engine)
    made = Secured(server, engine, tmp_path)
    _host, made.port = await server.start()
    made.tls = free_port()
    assert (await made.enable("001", port=made.tls, tls=True))["event"] == "ok"
    async with asyncio.timeout(30):
        while "001" not in server._listeners._sites:
            await asyncio.sleep(0.01)
    yield made
    await server.stop()


def files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def knocking(port: int, number: int) -> Iterator[list[socket.socket]]:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(number)]
    yield held
    for one in held:
        one.close()


async def asked(port: int, path: str = "/ws") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=TRUSTING)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    found = await reader.read()
    writer.close()
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the files of the process")
async def test_those_that_begin_no_handshake_hold_few_files_and_not_for_long(
    opened: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_tls, "HANDSHAKE_SECONDS", 0.5)
    before = files()
    with knocking(opened.tls, 120):
        await asyncio.sleep(0.2)
        assert files() - before - 120 <= http_tls.MAX_SHAKING
        assert (await opened.ask("room_list"))["event"] == "ok"
        await asyncio.sleep(0.6)
        assert (await asked(opened.tls)).startswith(b"HTTP/1.1 401")
    async with asyncio.timeout(30):
        while files() > before:
            await asyncio.sleep(0.05)


async def test_what_comes_with_the_last_words_of_the_handshake_is_heard(opened: Secured) -> None:
    """The client's last words and its request in one segment, as browsers send them."""
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    said = TRUSTING.wrap_bio(came, goes)
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.tls)
    while True:
        try:
            said.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(goes.read())
            came.write(await reader.read(65536))
    said.write(f"GET /ws?token={ADMIN} HTTP/1.1\r\nHost: 127.0.0.1:{opened.tls}\r\n\r\n".encode())
    writer.write(goes.read())
    heard = b""
    async with asyncio.timeout(30):
        while b"\r\n\r\n" not in heard:
            came.write(await reader.read(65536))
            try:
                heard += said.read(65536)
            except ssl.SSLWantReadError:
                continue
    assert heard.startswith(b"HTTP/1.1 426")
    writer.close()


async def test_who_speaks_no_tls_or_leaves_at_once_is_cut_off_and_disturbs_nobody(
    opened: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\x16\x03\x01", bytes(4096)):
        _, writer = await asyncio.open_connection("127.0.0.1", opened.tls)
        writer.write(words)
        writer.close()
    with knocking(opened.tls, 3) as held:
        held[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        held[0].close()
        assert (await asked(opened.tls)).startswith(b"HTTP/1.1 401")
        await opened.ask("dialect_disable", dialect="001")
        await asyncio.sleep(0.1)
    assert caplog.records == []


async def test_a_connection_over_tls_counts_among_the_others(opened: Secured) -> None:
    runner = opened.server._runner
    assert runner is not None and runner.server is not None
    _, writer = await asyncio.open_connection("127.0.0.1", opened.tls, ssl=TRUSTING)
    async with asyncio.timeout(30):
        while not runner.server.connections:
            await asyncio.sleep(0.01)
    writer.close()
    async with asyncio.timeout(30):
        while runner.server.connections:
            await asyncio.sleep(0.01)

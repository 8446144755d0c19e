"""Who stands in the door of the mesh: slow strangers, honest peers, names for private addresses."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import pytest

from node.mesh.certificates import Certificates
from node.mesh.doorway import MAX_CLOSING, MAX_LOOKUPS, MAX_OPENING, Doorway, Lookups, public_host
from node.mesh.ports import CloseLink, Dial, DialFailed, LinkClosed, LinkOpened
from tests.certificates import Authority
from tests.mesh.test_transport import Recorder, until

pytestmark = pytest.mark.slow


class Half:
    """A connection that has said nothing yet."""

    def __init__(self, gone: list[Half]) -> None:
        self.transport, self.gone = self, gone

    def abort(self) -> None:
        self.gone.append(self)


def test_the_oldest_makes_room_for_a_new_one() -> None:
    gone: list[Half] = []
    guests = [Half(gone) for _ in range(MAX_OPENING + 3)]
    at = Doorway()
    for number, guest in enumerate(guests):
        at.came(guest, f"8.8.{number}.1:5")  # type: ignore[arg-type] # a stand-in
    assert gone == guests[:3] and at.opening == MAX_OPENING


def test_one_network_gets_eight_places_and_private_ones_as_many_as_there_are() -> None:
    gone: list[Half] = []
    at = Doorway()
    for number in range(12):
        at.came(Half(gone), f"8.8.8.{number}:5")  # type: ignore[arg-type] # a stand-in
    assert at.opening == 8 and len(gone) == 4
    for number in range(20):
        at.came(Half(gone), f"192.168.1.{number}:5")  # type: ignore[arg-type] # a stand-in
    assert at.opening == 28


def test_ends_that_take_their_time_to_close_are_cut_off() -> None:
    at, cut = Doorway(), list[int]()
    for number in range(MAX_CLOSING + 5):
        at.leaves(number, lambda number=number: cut.append(number))  # type: ignore[misc] # bound now
    assert cut == [0, 1, 2, 3, 4]


@pytest.mark.mesh_attack("N09")
async def test_who_is_sent_away_and_does_not_go_is_cut_off_when_there_are_many() -> None:
    listener = Recorder()
    bound = await listener.transport.start()
    assert bound is not None
    ask = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    ask += b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    deaf = []
    for number in range(MAX_CLOSING + 5):
        deaf.append(await asyncio.open_connection(*bound))
        deaf[-1][1].write(ask)
        await until(lambda number=number: len(listener.of(LinkOpened)) == number + 1)  # type: ignore[misc]
    for fact in listener.of(LinkOpened):
        listener.transport.perform(CloseLink(fact.link, "sent away"))
    await until(lambda: len(listener.of(LinkClosed)) >= 5, 2.0)
    await asyncio.sleep(0.2)
    assert len(listener.of(LinkClosed)) == 5, "the others have a few seconds"
    for _, writer in deaf:
        writer.transport.abort()
    await until(lambda: len(listener.of(LinkClosed)) == len(deaf))
    assert not listener.transport._doorway._closing
    await listener.transport.stop()


async def crowd_then_honest(count: int, certificates: Certificates | None = None) -> None:
    """`count` connections say half a request or nothing; an honest peer is linked within a second."""
    listener, honest = Recorder(), Recorder(listen=None)
    scheme = "ws"
    if certificates is not None:
        listener.transport._ssl, honest.transport._trust = certificates.listening, certificates.dialling
        scheme = "wss"
    bound = await listener.transport.start()
    assert bound is not None
    await honest.transport.start()
    honest.transport.perform(Dial(f"{scheme}://127.0.0.1:{bound[1]}"))
    await until(lambda: honest.of(LinkOpened))
    slow = []
    for number in range(count):
        pair = await asyncio.open_connection(*bound)
        if number % 2:
            pair[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        slow.append(pair)
    began = time.monotonic()
    honest.transport.perform(Dial(f"{scheme}://127.0.0.1:{bound[1]}"))
    await until(lambda: len(honest.of(LinkOpened)) == 2, 1.0)
    assert time.monotonic() - began < 1.0
    assert listener.transport._doorway.opening <= MAX_OPENING
    await until(lambda: len(gone(slow)) >= count - MAX_OPENING)
    for _, writer in slow:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    await until(lambda: listener.transport._doorway.opening == 0)
    assert not honest.of(LinkClosed), "who is in is not turned away"
    await honest.transport.stop()
    await listener.transport.stop()


def gone(slow: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> list[asyncio.StreamReader]:
    """Those that were turned away."""
    return [reader for reader, _ in slow if reader.at_eof() or reader.exception() is not None]


@pytest.mark.mesh_attack("N09")
async def test_three_hundred_slow_strangers_leave_room_for_an_honest_peer() -> None:
    await crowd_then_honest(300)


@pytest.mark.mesh_attack("N09")
async def test_three_hundred_that_never_begin_tls_leave_room_for_an_honest_peer(tmp_path: Path) -> None:
    """Until TLS is agreed no protocol of ours has the connection, and none of them may stay for it."""
    authority = Authority(tmp_path, "ours")
    authority.certify(tmp_path / "cert", tmp_path / "key")
    certificates = Certificates(cert=tmp_path / "cert", key=tmp_path / "key", authority=authority.path)
    await crowd_then_honest(300, certificates)


@pytest.mark.mesh_attack("N09")
@pytest.mark.gate
async def test_a_thousand_slow_strangers_leave_room_for_an_honest_peer() -> None:
    await crowd_then_honest(1_000)


@pytest.mark.mesh_attack("N21")
async def test_names_that_nobody_answers_for_hold_up_nothing_but_themselves() -> None:
    """A stranger's name server may keep silent: neither files nor the end of the node wait for it."""
    wait = threading.Event()

    def silent(_host: str, _port: int) -> list[object]:
        wait.wait(20)
        return []

    lookups = Lookups(silent)
    asked = [asyncio.ensure_future(public_host(f"ws://a{n}.example:1", lookups)) for n in range(MAX_LOOKUPS)]
    await asyncio.sleep(0.05)
    with pytest.raises(OSError, match="too many"):
        await public_host("ws://one-more.example:1", lookups)
    assert await public_host("ws://1.1.1.1:9", lookups) == "1.1.1.1"
    async with asyncio.timeout(1):
        assert await asyncio.to_thread(lambda: 1) == 1
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    wait.set()
    await until(lambda: lookups._under_way == 0)


@pytest.mark.mesh_attack("N21")
@pytest.mark.parametrize(
    "address",
    ["ws://127.0.0.1:9", "ws://localhost:9", "ws://[::1]:9", "ws://10.1.2.3:9", "ws://169.254.1.1:9"],
)
async def test_strangers_names_never_lead_to_a_private_address(address: str) -> None:
    with pytest.raises(OSError, match="private"):
        await public_host(address, Lookups())
    dialler = Recorder(listen=None)
    await dialler.transport.start()
    dialler.transport.perform(Dial(address, public_only=True))
    await until(lambda: dialler.of(DialFailed))
    assert dialler.of(DialFailed)[0].reason == "the connection failed", "not refused by whoever is there"
    await dialler.transport.stop()


async def test_a_public_address_is_dialled_as_what_it_was_found_to_be() -> None:
    assert await public_host("ws://1.1.1.1:9", Lookups()) == "1.1.1.1"
    assert await public_host("wss://[2606:4700::1111]", Lookups()) == "2606:4700::1111"


async def test_nobody_is_sent_elsewhere_by_a_redirect() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    dialler = Recorder(listen=None)
    await dialler.transport.start()
    dialler.transport.perform(Dial(f"ws://127.0.0.1:{port}"))
    await until(lambda: dialler.of(DialFailed))
    assert "302" in dialler.of(DialFailed)[0].reason
    server.close()
    await dialler.transport.stop()

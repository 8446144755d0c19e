"""The shell of the mesh, over real loopback sockets."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from node.clock import Instant
from node.crypto.channel import network_id, verify_envelope
from node.mesh.mesh import Mesh
from node.mesh.ports import (
    AddAddress,
    Arrived,
    CloseLink,
    DeadlineReached,
    Dial,
    DialFailed,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    LinkOpened,
    MeshInput,
    Publish,
    SendBytes,
)
from node.mesh.transport import Transport
from tests.mesh.meshnet import envelope

pytestmark = pytest.mark.slow


async def until(condition: Callable[[], object], within: float = 5.0) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "did not come about"
        await asyncio.sleep(0.002)


class Recorder:
    """A transport whose facts are written down."""

    def __init__(
        self,
        *,
        listen: tuple[str, int] | None = ("127.0.0.1", 0),
        backlog: Callable[[], int] | None = None,
    ) -> None:
        self.facts: list[MeshInput] = []
        self.transport = Transport(self.facts.append, listen=listen, backlog=backlog)

    def of(self, kind: type) -> list:  # type: ignore[type-arg] # of any input
        return [fact for fact in self.facts if isinstance(fact, kind)]


@asynccontextmanager
async def visited(behind: list[int]) -> AsyncIterator[tuple[Recorder, ClientConnection]]:
    """A bare socket to a transport whose engine is `behind[0]` inputs behind."""
    one = Recorder(backlog=lambda: behind[0])
    bound = await one.transport.start()
    assert bound is not None
    async with connect(f"ws://127.0.0.1:{bound[1]}", compression=None) as socket:
        yield one, socket
    await one.transport.stop()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Recorder, Recorder, int, int]]:
    one, two = Recorder(), Recorder(listen=None)
    bound = await one.transport.start()
    assert bound is not None and await two.transport.start() is None
    two.transport.perform(Dial(f"ws://127.0.0.1:{bound[1]}"))
    await until(lambda: one.of(LinkOpened) and two.of(LinkOpened))
    yield one, two, one.of(LinkOpened)[0].link, two.of(LinkOpened)[0].link
    await two.transport.stop()
    await one.transport.stop()


async def test_bytes_pass_both_ways_and_are_reported_as_written() -> None:
    async with pair() as (one, two, link1, link2):
        two.transport.perform(SendBytes(link2, b"hello"))
        one.transport.perform(SendBytes(link1, b"you"))
        await until(lambda: one.of(LinkBytes) and two.of(LinkBytes))
        assert one.of(LinkBytes) == [LinkBytes(link1, b"hello")]
        assert two.of(LinkBytes) == [LinkBytes(link2, b"you")]
        await until(lambda: two.of(LinkDrained))
        assert two.of(LinkDrained) == [LinkDrained(link2, 5)]
        assert one.of(LinkOpened)[0].remote.startswith("127.0.0.1:")
        assert not one.of(LinkOpened)[0].outbound and two.of(LinkOpened)[0].outbound


async def test_neither_side_holds_small_frames_back() -> None:
    """Nagle's algorithm beside delayed acknowledgements costs 40 ms a frame (RFC 1122, 4.2.3)."""
    async with pair() as (one, two, link1, link2):
        for side, link in ((one, link1), (two, link2)):
            transport = side.transport._lines[link].connection.transport
            assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_what_gathers_leaves_in_one_message_of_bounded_size() -> None:
    async with pair() as (one, two, _, link2):
        for count in (1, 2):  # the first two are short
            two.transport.perform(SendBytes(link2, b""))
            await until(lambda count=count: len(one.of(LinkBytes)) == count)
        one.facts.clear()
        for _ in range(300):
            two.transport.perform(SendBytes(link2, bytes(1_000)))
        await until(lambda: sum(f.nbytes for f in two.of(LinkDrained)) == 300_000)
        await until(lambda: sum(len(f.data) for f in one.of(LinkBytes)) == 300_000)
        assert len(one.of(LinkBytes)) <= 6
        assert max(len(f.data) for f in one.of(LinkBytes)) <= 131_072


async def test_a_close_lets_the_last_bytes_out_and_both_sides_hear_of_it() -> None:
    async with pair() as (one, two, link1, link2):
        two.transport.perform(SendBytes(link2, b"goodbye"))
        two.transport.perform(CloseLink(link2, "done"))
        two.transport.perform(SendBytes(link2, b"too late"))
        await until(lambda: one.of(LinkClosed) and two.of(LinkClosed))
        assert one.of(LinkBytes) == [LinkBytes(link1, b"goodbye")]
        assert two.of(LinkClosed) == [LinkClosed(link2, "done")]


async def test_a_refused_dial_is_reported() -> None:
    one = Recorder(listen=None)
    one.transport.perform(Dial("ws://127.0.0.1:1"))
    one.transport.perform(Dial("nonsense"))
    await until(lambda: len(one.of(DialFailed)) == 2)
    await one.transport.stop()


async def test_browsers_and_oversized_and_text_messages_are_turned_away() -> None:
    one = Recorder()
    bound = await one.transport.start()
    assert bound is not None
    url = f"ws://127.0.0.1:{bound[1]}"
    with pytest.raises(InvalidStatus):
        await connect(url, origin="https://evil.example")  # type: ignore[arg-type] # a plain string
    for message in ("text", bytes(131_073)):
        async with connect(url, compression=None) as socket:
            await socket.send(message)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
    await until(lambda: len(one.of(LinkClosed)) == 2)
    assert one.of(LinkBytes) == []
    await one.transport.stop()


async def test_links_are_not_read_while_the_engine_is_behind() -> None:
    behind = [10_000]
    async with visited(behind) as (one, socket):
        await socket.send(b"x")
        await asyncio.sleep(0.05)
        assert not one.of(LinkBytes)
        behind[0] = 0
        await until(lambda: one.of(LinkBytes))


async def test_a_taken_port_is_an_error() -> None:
    one = Recorder()
    bound = await one.transport.start()
    assert bound is not None
    with pytest.raises(OSError, match="in use"):
        await Transport(lambda _: None, listen=("127.0.0.1", bound[1])).start()
    two = Transport(lambda _: None, listen=("127.0.0.1", bound[1]), tries=20)
    other = await two.start()
    assert other is not None and bound[1] < other[1] < bound[1] + 20
    await two.stop()
    await one.transport.stop()


async def test_the_default_address_takes_ipv4() -> None:
    one = Recorder(listen=("::", 0))
    bound = await one.transport.start()
    assert bound is not None
    async with connect(f"ws://127.0.0.1:{bound[1]}"):
        await until(lambda: one.of(LinkOpened))
    await one.transport.stop()


class Daemon:
    """A mesh on a transport: the smallest possible node."""

    def __init__(self, seed: int, port: int = 0) -> None:
        self.arrived: list[Arrived] = []
        self.transport = Transport(self.submit, listen=("127.0.0.1", port))
        self.mesh = Mesh(
            node_seed=bytes([seed]) * 32,
            network_id=network_id(None),
            psk=None,
            roles=frozenset({"hold"}),
            listen=(),
            boot_nonce=os.urandom(8),
            entropy=os.urandom,
            verify=verify_envelope,
            known=[],
            now=self.now,
        )
        self.timer: asyncio.TimerHandle | None = None

    @property
    def now(self) -> Instant:
        return Instant(time.monotonic(), time.time_ns() // 1_000_000)

    def submit(self, event: MeshInput) -> None:
        for effect in self.mesh.handle(event, now=self.now):
            if isinstance(effect, SendBytes | CloseLink | Dial):
                self.transport.perform(effect)
            elif isinstance(effect, Arrived):
                self.arrived.append(effect)
        if self.timer is not None:
            self.timer.cancel()
        wait = (self.mesh.deadline or time.monotonic() + 1) - time.monotonic()
        self.timer = asyncio.get_running_loop().call_later(
            max(0.0, wait), lambda: self.submit(DeadlineReached())
        )

    async def stop(self) -> None:
        await self.transport.stop()
        assert self.timer is not None
        self.timer.cancel()


async def test_a_mesh_of_two_over_sockets_survives_a_restart_within_two_seconds() -> None:
    one, two = Daemon(1), Daemon(2)
    bound = await one.transport.start()
    assert bound is not None
    two.submit(AddAddress(f"ws://127.0.0.1:{bound[1]}", "configured"))
    await until(lambda: one.mesh.connectivity == two.mesh.connectivity == "synced")
    rng = random.Random(1)
    envelopes = [envelope(rng, two.now.wall_ms) for _ in range(500)]
    for env in envelopes:
        two.submit(Publish((env,)))
    await until(lambda: len(one.arrived) == 500)
    await one.stop()
    await until(lambda: two.mesh.connectivity == "connecting")
    again = Daemon(1, bound[1])
    await again.transport.start()
    await until(lambda: two.mesh.connectivity == "synced", within=2.0)
    await two.stop()
    await again.stop()

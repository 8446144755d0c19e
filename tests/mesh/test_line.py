"""Short messages go to the engine and to sockets without a task between; what gathers waits in its order."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest
from websockets.asyncio.messages import Assembler

from node.mesh.line import REPORT_BYTES
from node.mesh.ports import LinkBytes, LinkClosed, LinkDrained, PauseReading, SendBytes
from node.mesh.transport import MAX_BACKLOG, STRAIGHT_BACKLOG, Transport
from tests.mesh.test_transport import Recorder, pair, until, visited

pytestmark = pytest.mark.slow


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what went by the queue that a task reads."""
    sizes: list[int] = []
    put: Callable[..., None] = Assembler.put

    def noting(self: Assembler, frame: object) -> None:
        sizes.append(len(frame.data))  # type: ignore[attr-defined] # a frame of websockets
        put(self, frame)

    monkeypatch.setattr(Assembler, "put", noting)
    return sizes


async def test_a_message_goes_straight_to_the_engine(queued: list[int]) -> None:
    async with pair() as (one, two, link1, link2):
        for n in range(5):
            two.transport.perform(SendBytes(link2, b"%d" % n))
            await until(lambda n=n: len(one.of(LinkBytes)) == n + 1)  # type: ignore[misc] # bound now
        assert one.of(LinkBytes) == [LinkBytes(link1, b"%d" % n) for n in range(5)]
        assert queued == []
        one.transport.perform(PauseReading(link1, 0.05))
        two.transport.perform(SendBytes(link2, b"paused"))
        await until(lambda: len(one.of(LinkBytes)) == 6)
        assert queued == [6]


async def test_what_is_written_is_in_the_socket_when_write_returns() -> None:
    async with pair() as (_, two, __, link2):
        line = two.transport._lines[link2]
        two.transport.perform(SendBytes(link2, b"a"))
        two.transport.perform(SendBytes(link2, b"b"))
        assert len(line.waiting) == 2
        two.transport.write()
        assert not line.waiting and line.unreported == 2


async def test_the_engine_is_told_once_of_many_short_writes_and_at_once_of_long_ones() -> None:
    async with pair() as (one, two, _, link2):
        for n in range(20):
            two.transport.perform(SendBytes(link2, bytes(100)))
            await until(lambda n=n: len(one.of(LinkBytes)) == n + 1)  # type: ignore[misc] # bound now
        assert two.of(LinkDrained) == []
        two.transport.perform(SendBytes(link2, bytes(REPORT_BYTES)))
        two.transport.write()
        assert two.of(LinkDrained) == [LinkDrained(link2, 2_000 + REPORT_BYTES)]
        two.transport.perform(SendBytes(link2, bytes(7)))
        await until(lambda: two.of(LinkDrained)[1:] == [LinkDrained(link2, 7)])


async def test_the_order_is_kept_whichever_way_messages_take(queued: list[int]) -> None:
    waiting = [0]
    async with visited(waiting) as (one, socket):
        for n in range(120):
            waiting[0] = (0, STRAIGHT_BACKLOG + 1, MAX_BACKLOG + 1)[n // 5 % 3]
            await socket.send(n.to_bytes(2, "big"))
            if n % 4 == 0:
                await asyncio.sleep(0.001)
        await socket.send([b"\0", b"\x78"])  # in fragments
        waiting[0] = 0
        await socket.send(b"\0\x79")
        await until(lambda: len(one.of(LinkBytes)) == 122)
    assert [int.from_bytes(fact.data, "big") for fact in one.of(LinkBytes)] == list(range(122))
    assert 0 < len(queued) < 123  # both ways were taken


async def test_what_a_full_socket_does_not_take_is_written_later_and_in_order() -> None:
    async with pair() as (one, two, _, link2):
        line = two.transport._lines[link2]
        line.connection.pause_writing()
        two.transport.perform(SendBytes(link2, b"1"))
        two.transport.write()
        assert list(line.waiting) == [b"1"]
        await asyncio.sleep(0.02)
        two.transport.perform(SendBytes(link2, b"2"))
        two.transport.write()
        line.connection.resume_writing()
        await until(lambda: b"".join(fact.data for fact in one.of(LinkBytes)) == b"12")
        await until(lambda: sum(fact.nbytes for fact in two.of(LinkDrained)) == 2)


async def test_a_socket_that_fails_ends_its_link_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair() as (one, two, _, link2):

        def fail() -> None:
            raise RuntimeError("closed")

        monkeypatch.setattr(two.transport._lines[link2].connection, "send_data", fail)
        two.transport.perform(SendBytes(link2, b"lost"))
        two.transport.write()
        await until(lambda: two.of(LinkClosed) and one.of(LinkClosed))


def test_a_recorder_without_a_port_has_nothing_to_write() -> None:
    Recorder(listen=None).transport.write()


async def stopped() -> weakref.ref[Transport]:
    """A transport that has just stopped, and has not told the engine of all that was written."""
    async with pair() as (one, two, _, link2):
        two.transport.perform(SendBytes(link2, b"goodbye"))
        two.transport.write()
        await until(lambda: one.of(LinkBytes))
        assert two.of(LinkDrained) == []
        return weakref.ref(two.transport)


async def test_nothing_keeps_what_was_stopped_and_so_the_keys_of_a_locked_vault() -> None:
    transport = await stopped()
    await asyncio.sleep(0.01)
    gc.collect()
    assert transport() is None

"""The shell leaves a link unread for as long as it is told to, over real loopback sockets."""

from __future__ import annotations

import time

from node.mesh.ports import CloseLink, LinkBytes, LinkClosed, PauseReading, SendBytes
from tests.mesh.test_transport import pair, until


async def test_a_link_that_is_paused_is_read_on_later_and_loses_nothing() -> None:
    async with pair() as (one, two, link1, link2):
        one.transport.perform(PauseReading(link1, 0.4))
        one.transport.perform(PauseReading(link1 + 1_000, 9.0))
        began = time.monotonic()
        for n in range(5):
            two.transport.perform(SendBytes(link2, b"%d" % n))
            one.transport.perform(SendBytes(link1, b"back"))
        await until(lambda: two.of(LinkBytes), within=0.35)
        assert not one.of(LinkBytes)
        await until(lambda: b"".join(fact.data for fact in one.of(LinkBytes)) == b"01234")
        assert time.monotonic() - began >= 0.4


async def test_a_link_that_is_paused_can_be_closed() -> None:
    async with pair() as (one, two, link1, link2):
        one.transport.perform(PauseReading(link1, 0.5))
        two.transport.perform(SendBytes(link2, b"x"))
        one.transport.perform(CloseLink(link1, "enough"))
        await until(lambda: two.of(LinkClosed) and one.of(LinkClosed), within=2.0)

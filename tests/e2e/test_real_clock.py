"""The 120 seconds on the real clock, with the invited node killed in between (two minutes: gate only)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.e2e.nodes import NodeProcess, befriend, running

pytestmark = pytest.mark.gate


@pytest.mark.timeout(300)
async def test_an_unanswered_invite_is_ignored_after_120_seconds_though_its_node_was_killed(
    tmp_path: Path,
) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann):
        bob = NodeProcess(tmp_path / "bob", "bob", "--peer", ann.address)
        async with running(bob):
            await befriend(ann, bob)
            async with ann.frontend({}) as host:
                room = (await host.call("room_create", name="club"))["room"]
                async with bob.frontend({}) as guest:
                    await host.call("user_invite", target="bob", room=room)
                    await guest.event("user_invite")
                    delivered = time.monotonic()
                await host.event("invite_result", response="delivered")
                await asyncio.sleep(20)
                await bob.kill()
                await asyncio.sleep(30)
                await bob.start()
                async with bob.frontend({}) as guest:
                    await guest.event("user_invite")
                    await host.event("invite_result", seconds=100, response="ignore")
                    waited = time.monotonic() - delivered
                    assert 119 < waited < 124
                    await guest.event("invite_result", response="ignore")
                    await asyncio.sleep(3)
                    for frontend in (host, guest):
                        ends = [e for e in frontend.events if e.get("response") == "ignore"]
                        assert len(ends) == 1

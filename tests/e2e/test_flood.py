"""A frontend that says as much as it can to another that reads at once: all of it is shown there, in order.

What two nodes take differs, and what waits for a link is bounded: so a part of a flood is announced, asked
for and brought while the rest goes on.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.bridge import Pair, pair

COUNT = 4_000
PATIENCE = 60.0


async def shown(both: Pair) -> list[str]:
    """Return the texts that the receiver's frontend is shown, as they come."""
    came: list[str] = []
    async for event in both.receiver.events():
        if event["event"] == "user_message":
            came.append(event["message"][:8])
            if len(came) == COUNT:
                return came
    raise AssertionError("the bridge closed")


async def test_a_frontend_that_reads_at_once_is_shown_a_flood_in_order_and_stays(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        seen = asyncio.create_task(shown(both))
        await both.say(COUNT)
        came = await asyncio.wait_for(seen, PATIENCE)
        assert came == [f"{number:08d}" for number in range(COUNT)], "each once, and no gap in its place"

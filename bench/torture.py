"""`make torture`: kill -9 at random instants; nothing acknowledged is lost or shown twice.

Two nodes on loopback, one sender that retries under the same nonce, one frontend that resumes where it
stopped. It ends by itself: after `--kills` or `--minutes`, whichever comes first. With `--frames` it is
hostile frames instead, into one mesh machine (`bench/storm.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.bridge import gather
from bench.storm import storm
from node.client import Client
from node.commandline.processes import NodeProcess, end, start
from node.errors import Refused

ARRIVAL_S = 120.0  # for the last messages to arrive once the killing has ended
LONGEST_LIFE_S = 1.5  # between two kills: long enough to restart, short enough to hit a busy node


@dataclass(slots=True)
class Torture:
    """One run: the nodes, what was acknowledged, what was shown."""

    folder: Path
    chance: random.Random
    nodes: dict[str, NodeProcess] = field(default_factory=dict)
    listen: dict[str, str] = field(default_factory=dict)
    acknowledged: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    over: bool = False

    async def run(self, kills: int, minutes: float) -> bool:
        """Kill until the bound is reached, then compare; says whether all was well."""
        try:
            room = await self._begin()
            sending = asyncio.create_task(self._send(room))
            seeing = asyncio.create_task(self._see())
            done = await self._kill(kills, time.monotonic() + 60 * minutes)
            self.over = True
            await sending
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_shown(), ARRIVAL_S)
            seeing.cancel()
            await asyncio.gather(seeing, return_exceptions=True)
        finally:
            end(self.nodes.values())
        return self._report(done)

    async def _begin(self) -> str:
        for name in ("alice", "bob"):
            await self._start(name)
        async with self._client("alice") as alice, self._client("bob") as bob:
            return await gather(alice, bob)

    def _client(self, name: str, **hello: Any) -> contextlib.AbstractAsyncContextManager[Client]:
        return Client.connect(home=self.folder / name, **hello)

    async def _start(self, name: str) -> None:
        """Start a node where it was before, so that the other finds it again."""
        peers = [f"ws://{at}" for other, at in self.listen.items() if other != name]
        listen = self.listen.get(name, "127.0.0.1:0")
        self.nodes[name] = start(self.folder / name, name, peers, listen=listen)
        mesh = (await self.nodes[name].up())["mesh"]
        self.listen[name] = f"{mesh['host']}:{mesh['port']}"

    async def _kill(self, kills: int, until: float) -> int:
        for number in range(kills):
            if time.monotonic() > until:
                return number
            await asyncio.sleep(self.chance.uniform(0, LONGEST_LIFE_S))
            name = self.chance.choice(sorted(self.nodes))
            self.nodes[name].process.kill()
            self.nodes[name].process.wait()
            await self._start(name)
        return kills

    async def _send(self, room: str) -> None:
        """Send numbers, each until it is acknowledged: a retry carries the nonce of the first try."""
        number = 0
        while not self.over:
            with contextlib.suppress(Refused):
                async with self._client("alice", subscribe={"events": []}) as alice:
                    while not self.over:
                        await alice.call("user_message", room=room, message=str(number), nonce=f"n{number}")
                        self.acknowledged.append(number)
                        number += 1
            await asyncio.sleep(0.05)

    async def _see(self) -> None:
        position = None
        while True:
            with contextlib.suppress(Refused):
                async with self._client("bob", resume=position) as bob:
                    position = bob.position
                    async for event in bob.events():
                        position = bob.position
                        if event.get("event") == "user_message":
                            self.shown.append(int(event["message"]))
            await asyncio.sleep(0.05)

    async def _all_shown(self) -> None:
        while set(self.acknowledged) - set(self.shown):
            await asyncio.sleep(0.2)

    def _report(self, kills: int) -> bool:
        lost = sorted(set(self.acknowledged) - set(self.shown))
        twice = len(self.shown) - len(set(self.shown))
        disorder = sum(later < earlier for earlier, later in zip(self.shown, self.shown[1:], strict=False))
        print(f"{kills} kills, {len(self.acknowledged)} acknowledged, {len(self.shown)} shown")
        print(f"{len(lost)} lost, {twice} shown twice, {disorder} out of order")
        if lost:
            print(f"lost: {', '.join(ranges(lost))}")
        return not (lost or twice or disorder)


def ranges(numbers: list[int]) -> list[str]:
    """Return ascending numbers as runs: `3-7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [f"{first}-{last}" for first, last in runs]


def main() -> None:
    """Run, print, and exit 0 only if nothing was lost, shown twice or out of order."""
    words = argparse.ArgumentParser(prog="make torture", description=__doc__)
    words.add_argument("--kills", type=int, default=25)
    words.add_argument("--minutes", type=float, default=5.0)
    words.add_argument("--seed", type=int, default=None, help="of the instants and the choice of node")
    words.add_argument("--frames", type=int, default=0, help="so many hostile frames instead of kills")
    asked = words.parse_args()
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    if asked.frames:
        sys.exit(0 if storm(asked.frames, seed) else 1)
    with tempfile.TemporaryDirectory(prefix="gossamer-torture-") as name:
        well = asyncio.run(Torture(Path(name), random.Random(seed)).run(asked.kills, asked.minutes))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()

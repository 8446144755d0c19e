"""Bridge to bridge: two node processes, a frontend at each, messages of 1 KiB, durable at both ends."""

from __future__ import annotations

import asyncio
import pstats
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figures, cpu_s
from node.client import Client
from node.commandline.processes import NodeProcess, end, start

BODY = 1024
WINDOW = 256  # messages sent and not yet acknowledged: a frontend that does not wait for each ok
_NOT_WORK = ("poll", "acquire", "compile", "exec", "marshal", "set_default_verify_paths")  # waiting, starting
PATIENCE = 120.0  # seconds for any one measurement


@dataclass(slots=True)
class Pair:
    """Two nodes in one room, and the frontend attached to each."""

    sender: Client
    receiver: Client
    room: str
    nodes: list[NodeProcess]

    async def throughput(self, count: int) -> Figures:
        """Send `count` messages, at most WINDOW unacknowledged; the clock stops when the last is seen."""
        seen = asyncio.create_task(self._see(count))
        worked, here = self._worked(), time.process_time()
        started = time.perf_counter()
        await self.say(count)
        acknowledged = time.perf_counter() - started
        await asyncio.wait_for(seen, PATIENCE)
        took = time.perf_counter() - started
        print(f"  ({count} acknowledged in {acknowledged:.2f} s, all seen in {took:.2f} s)")
        spent = [now - before for before, now in zip(worked, self._worked(), strict=True)]
        parts = [1e6 * one / count for one in (*spent, time.process_time() - here)]
        print("  (of the processor {:.0f} us a message at the sender, {:.0f} at the receiver, "
              "{:.0f} in both frontends)".format(*parts))  # fmt: skip
        return Figures("bridge to bridge, 1 KiB, durable", count / took)

    def _worked(self) -> list[float]:
        return [cpu_s(node.process.pid) for node in self.nodes]

    async def latency(self, count: int, rate: float) -> Figures:
        """Send `count` messages at `rate` a second; each is timed from the send to the other frontend."""
        times: list[float] = []
        sent: dict[int, float] = {}
        seen = asyncio.create_task(self._see(count, sent, times))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                sent[number] = time.perf_counter()
                group.create_task(self._send(number))
        await asyncio.wait_for(seen, PATIENCE)
        return Figures(f"bridge to bridge at {rate:.0f}/s", None, times)

    async def say(self, count: int) -> None:
        """Send `count` messages as fast as they are acknowledged, at most WINDOW of them under way."""
        numbers = iter(range(count))
        async with asyncio.TaskGroup() as group:
            for _ in range(WINDOW):
                group.create_task(self._send_all(numbers))

    async def _send_all(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._send(number)

    async def _send(self, number: int) -> None:
        await self.sender.call("user_message", room=self.room, message=f"{number:08d}".ljust(BODY, "."))

    async def _see(
        self, count: int, sent: dict[int, float] | None = None, times: list[float] | None = None
    ) -> None:
        got: set[int] = set()
        async for event in self.receiver.events():
            if event.get("event") != "user_message":
                continue
            number = int(event["message"][:8])
            assert number not in got, f"message {number} was shown twice"
            got.add(number)
            if sent is not None and times is not None:
                times.append(time.perf_counter() - sent[number])
            if len(got) == count:
                return


@asynccontextmanager
async def pair(folder: Path, *, profiled: bool = False) -> AsyncIterator[Pair]:
    """Start two nodes, make them contacts and members of one room, attach a frontend to each."""
    async with AsyncExitStack() as stack:
        nodes: list[NodeProcess] = []
        stack.callback(end, nodes)
        peers: tuple[str, ...] = ()
        clients = []
        for name in ("alice", "bob"):
            home = folder / name
            python = ("-m", "cProfile", "-o", str(folder / f"{name}.prof")) if profiled else ()
            nodes.append(start(home, name, peers, python=python))
            mesh = (await nodes[-1].up())["mesh"]
            peers = (f"ws://{mesh['host']}:{mesh['port']}",)
            clients.append(await stack.enter_async_context(Client.connect(home=home)))
        alice, bob = clients
        room = await asyncio.wait_for(gather(alice, bob), PATIENCE)
        both = Pair(alice, bob, room, nodes)
        reading = asyncio.create_task(_read_along(alice))  # who reads no events soon gets no answers either
        stack.callback(reading.cancel)
        yield both


async def _read_along(client: Client) -> None:
    async for _ in client.events():
        pass


async def gather(alice: Client, bob: Client) -> str:
    """Make the two contacts and members of one room; returns its id."""
    link = (await alice.call("contact_link_create"))["link"]
    await bob.call("contact_add", link=link)
    await _until(alice, "contact_added")
    room = str((await alice.call("room_create", name="bench"))["room"])
    await alice.call("user_invite", target="bob", room=room)
    offer = await _until(bob, "user_invite")
    await bob.call("user_invite_response", response="accept", invite=offer["invite"])
    await _until(bob, "user_join")
    await _until(alice, "user_join")
    return room


async def _until(client: Client, kind: str) -> dict[str, str]:
    async for event in client.events():
        if event.get("event") == kind:
            return event
    raise AssertionError(f"the bridge closed before {kind}")


def profile(folder: Path, name: str, rows: int = 12) -> list[str]:
    """Return where a profiled node's time went, by module, its waiting and starting left out."""
    stats = pstats.Stats(str(folder / f"{name}.prof"))
    spent: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        if not any(word in function for word in _NOT_WORK):
            spent[_part(file, function)] += own
    total = sum(spent.values()) or 1.0
    return [f"  {share / total:5.1%}  {share:6.2f} s  {part}" for part, share in spent.most_common(rows)]


def _part(file: str, function: str) -> str:
    """Return the module of ours, the package of others, or the builtin that time is booked on."""
    if file == "~":
        return function.strip("<>")
    parts = Path(file).with_suffix("").parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if "node" in parts:
        return ".".join(parts[parts.index("node") :])
    return parts[-2] if parts[-2:-1] in (("asyncio",), ("json",)) else f"stdlib {parts[-1]}"

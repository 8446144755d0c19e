"""A mesh of real nodes falls in two, both halves write, the cables are mended: all have all of it.

Every node dials others through the test's own cables alone; what it tells others of itself leads nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nodes import Frontend, NodeProcess, running
from tests.e2e.proxies import Cable

pytestmark = pytest.mark.slow
NOWHERE = "ws://127.0.0.1:1"
HEALED_WITHIN = 30.0
JOINED_WITHIN = 60.0


class Split:
    """Nodes, a frontend at each, and the cables between the halves (the even and the odd ones)."""

    def __init__(self, nodes: list[NodeProcess], frontends: list[Frontend], across: list[Cable]) -> None:
        self.nodes, self.frontends, self._across = nodes, frontends, across

    def fall_apart(self) -> None:
        for cable in self._across:
            cable.sever()

    def mend(self) -> None:
        for cable in self._across:
            cable.cut = False

    async def agree(self, question: Any, within: float) -> Any:
        """Wait until all answer a question alike; returns the answer."""
        end = time.monotonic() + within
        while True:
            answers = await asyncio.gather(*(question(frontend) for frontend in self.frontends))
            if all(answer == answers[0] for answer in answers):
                return answers[0]
            assert time.monotonic() < end, answers
            await asyncio.sleep(0.1)


@asynccontextmanager
async def mesh(folder: Path, cables: Sequence[tuple[int, int]], count: int) -> AsyncIterator[Split]:
    """Start nodes; of each pair the first dials the second."""
    nodes = [NodeProcess(folder / f"n{number}", f"n{number}") for number in range(count)]
    async with AsyncExitStack() as stack:
        across: list[Cable] = []
        for dialler, dialled in cables:
            cable = Cable(lambda to=nodes[dialled]: to.mesh_port)
            await cable.open()
            stack.push_async_callback(cable.close)
            nodes[dialler].flags += ("--peer", cable.address)
            if (dialler - dialled) % 2:
                across.append(cable)
        for node in nodes:
            node.env["GOSSAMER_ANNOUNCE"] = NOWHERE
        await stack.enter_async_context(running(*nodes))
        frontends = [await stack.enter_async_context(node.frontend({})) for node in nodes]
        yield Split(nodes, frontends, across)


def texts_of(room: str) -> Any:
    async def ask(frontend: Frontend) -> list[str]:
        found = (await frontend.call("history_get", room=room, limit=200))["messages"]
        return sorted(row["message"] for row in found)

    return ask


def members_of(room: str) -> Any:
    async def ask(frontend: Frontend) -> list[str]:
        return sorted(
            row["username"] for row in (await frontend.answer("room_get", room=room)).get("members", ())
        )

    return ask


async def listed(frontend: Frontend) -> set[str]:
    """Return the names of the rooms that a node knows, its own and those that it could join."""
    found = await frontend.call("room_list")
    return {row["name"] for row in found["rooms"]}


async def come_in(frontend: Frontend, room: str) -> None:
    """Join an open room as soon as it is listed here, and wait until somebody has let us in."""
    end = time.monotonic() + JOINED_WITHIN
    for command in ("user_join", "room_get"):
        while (answer := await frontend.answer(command, room=room))["event"] != "ok":
            assert time.monotonic() < end, answer
            await asyncio.sleep(0.1)


async def write_apart(split: Split, common: str) -> dict[str, str]:
    """Write on both sides: messages, a room of each half with members of it, somebody leaves."""
    ann, bob, *_, last = split.frontends  # ann is of the even half, bob of the odd one
    for number, frontend in enumerate(split.frontends):
        for turn in range(3):
            await frontend.call("user_message", room=common, message=f"n{number} says {turn}")
    made = {}
    for half, name, maker in ((0, "evens", ann), (1, "odds", bob)):
        made[name] = (await maker.call("room_create", name=name, visibility="open"))["room"]
        for other in split.frontends[half + 2 :: 2]:
            await come_in(other, made[name])
        await maker.call("user_message", room=made[name], message=f"only the {name} are here")
    await last.call("user_leave", room=common)
    return made


async def fall_apart_and_heal(split: Split) -> float:
    """Cut the mesh in two, write, mend it; returns how many seconds later all had all of it."""
    ann, bob, *_ = split.frontends
    common = (await ann.call("room_create", name="common", visibility="open"))["room"]
    await asyncio.gather(*(come_in(other, common) for other in split.frontends[1:]))
    names = await split.agree(members_of(common), JOINED_WITHIN)
    assert len(names) == len(split.nodes)
    split.fall_apart()
    made = await write_apart(split, common)
    assert "odds" not in await listed(ann) and "evens" not in await listed(bob)
    assert len(await texts_of(common)(ann)) < 3 * len(split.nodes)
    split.mend()
    began = time.monotonic()
    staying = Split(split.nodes[:-1], split.frontends[:-1], [])
    while True:
        texts = await staying.agree(texts_of(common), HEALED_WITHIN)
        members = await staying.agree(members_of(common), HEALED_WITHIN)
        known = set.intersection(*[await listed(frontend) for frontend in split.frontends])
        if len(texts) == 3 * len(split.nodes) and members == names[:-1] and {"evens", "odds"} <= known:
            break
        assert time.monotonic() < began + HEALED_WITHIN, (texts, members, known)
        await asyncio.sleep(0.1)
    took = time.monotonic() - began
    await come_in(ann, made["odds"])  # and the halves go on as one
    await ann.call("user_message", room=made["odds"], message="all of us")
    await bob.event("user_message", message="all of us")
    return took


async def test_four_nodes_that_fell_apart_have_the_same_rooms_and_messages_again(tmp_path: Path) -> None:
    async with mesh(tmp_path, [(b, a) for a, b in combinations(range(4), 2)], 4) as split:
        assert await fall_apart_and_heal(split) < HEALED_WITHIN


@pytest.mark.gate
async def test_ten_nodes_that_fell_apart_have_the_same_rooms_and_messages_again(tmp_path: Path) -> None:
    halves = [[2 * n + half for n in range(5)] for half in (0, 1)]
    rings = [(ring[n], ring[n - 1]) for ring in halves for n in range(5)]
    async with mesh(tmp_path, [*rings, (1, 0), (4, 3), (6, 7), (9, 8), (5, 2)], 10) as split:
        took = await fall_apart_and_heal(split)
        print(f"all ten had all of it {took:.1f} s after the cables were mended")
        assert took < HEALED_WITHIN

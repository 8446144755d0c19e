"""kill -9 at the worst moments: what was acknowledged arrives, once, in order."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nodes import Frontend, NodeProcess, befriend, make_room, running

pytestmark = pytest.mark.slow


async def trio(tmp_path: Path) -> tuple[NodeProcess, NodeProcess, NodeProcess]:
    relay = NodeProcess(tmp_path / "cat", "cat", "--relay")
    await relay.start()
    ann = NodeProcess(tmp_path / "ann", "ann", "--peer", relay.address)
    bob = NodeProcess(tmp_path / "bob", "bob", "--peer", relay.address)
    return relay, ann, bob


def position(frontend: Frontend, hello: dict[str, Any]) -> dict[str, Any]:
    """Return where a frontend would resume: the last seq it was sent."""
    seqs = [e["seq"] for e in frontend.events if "seq" in e]
    return {"epoch": hello["log_epoch"], "seq": max(seqs, default=hello["seq"])}


async def test_a_killed_receiver_gets_all_from_a_non_member_after_the_sender_was_killed_too(
    tmp_path: Path,
) -> None:
    relay, ann, bob = await trio(tmp_path)
    async with running():
        try:
            await ann.start()
            await bob.start()
            await befriend(ann, bob)
            room = await make_room(ann, bob)
            async with ann.frontend({}) as sender, bob.frontend({}) as reader:
                hello = next(e for e in reader.events if e["event"] == "hello")
                sent = []
                for number in range(300):
                    await sender.call("user_message", room=room, message=f"m{number}")
                    sent.append(f"m{number}")
                    if number == 120:
                        await reader.wait(lambda e: e.get("message") == "m60")
                        resume = position(reader, hello)
                        await bob.kill()
                await _held(relay, ann)
            await ann.kill()
            await bob.start()
            async with bob.frontend({"resume": resume}) as again:
                await again.wait(lambda e: e.get("message") == "m299", 60)
                await again.wait(lambda e: e["event"] == "caught_up")
                seqs = [e["seq"] for e in again.events if "seq" in e and e["event"] == "user_message"]
                before = [e for e in reader.events if e["event"] == "user_message"]
                shown = [e["message"] for e in before if e["seq"] <= resume["seq"]] + again.texts()
                assert shown == sent
                assert seqs == sorted(set(seqs))
        finally:
            for node in (relay, ann, bob):
                if node.process is not None:
                    await node.kill()


async def _held(relay: NodeProcess, ann: NodeProcess) -> None:
    """Wait until the relay holds as much as the sender."""
    async with relay.frontend({}) as r, ann.frontend({}) as a:
        for _ in range(200):
            there = (await r.call("node_status"))["held_envelopes"]
            here = (await a.call("node_status"))["held_envelopes"]
            if there >= here:
                return
            await asyncio.sleep(0.1)
    raise AssertionError(f"the relay holds {there} of {here}")


async def test_a_message_acknowledged_just_before_the_sender_was_killed_arrives_after_its_restart(
    tmp_path: Path,
) -> None:
    relay, ann, bob = await trio(tmp_path)
    try:
        await ann.start()
        await bob.start()
        await befriend(ann, bob)
        room = await make_room(ann, bob)
        for number in range(5):
            async with ann.frontend({}) as sender:
                await sender.call("user_message", room=room, message=f"last words {number}")
                await ann.kill()
            async with bob.frontend({"subscribe": {}}) as reader:
                await ann.start()
                for _ in range(100):
                    page = await reader.call("history_get", room=room, limit=20)
                    texts = [m["message"] for m in page["messages"]]
                    if f"last words {number}" in texts:
                        break
                    await asyncio.sleep(0.1)
                assert texts == [f"last words {n}" for n in range(number + 1)]
    finally:
        for node in (relay, ann, bob):
            if node.process is not None:
                await node.kill()


async def test_25_kills_at_random_instants_lose_nothing_acknowledged_and_show_nothing_twice(
    tmp_path: Path,
) -> None:
    rng = random.Random(25)
    relay, ann, bob = await trio(tmp_path)
    acknowledged: dict[str, list[str]] = {"ann": [], "bob": []}
    try:
        await ann.start()
        await bob.start()
        await befriend(ann, bob)
        room = await make_room(ann, bob)
        for kill in range(25):
            victim = ann if kill % 2 else bob
            writers = [_write(node, room, f"k{kill}", acknowledged[node.name]) for node in (ann, bob)]
            tasks = [asyncio.create_task(writer) for writer in writers]
            await asyncio.sleep(rng.uniform(0.02, 0.35))
            await victim.kill()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await victim.start()
        expected = sorted(acknowledged["ann"] + acknowledged["bob"])
        for node in (ann, bob):
            shown = await _all(node, room, len(expected))
            assert not set(expected) - set(shown), "acknowledged and lost"
            assert len(shown) == len(set(shown)), "shown twice"
            for name in ("ann", "bob"):
                mine = [t for t in shown if t.startswith(name) and t in set(acknowledged[name])]
                assert mine == acknowledged[name], "out of order"
        assert len(expected) > 50
    finally:
        for node in (relay, ann, bob):
            if node.process is not None:
                await node.kill()


async def _write(node: NodeProcess, room: str, mark: str, acknowledged: list[str]) -> None:
    async with node.frontend({"subscribe": {"events": []}}) as frontend:
        number = 0
        while True:
            text = f"{node.name} {mark} {number}"
            await frontend.call("user_message", room=room, message=text)
            acknowledged.append(text)
            number += 1
            await asyncio.sleep(0.005)


async def _all(node: NodeProcess, room: str, least: int) -> list[str]:
    """Return every message of the log of a node, once there are enough of them."""
    for _ in range(60):
        async with node.frontend({}) as probe:
            hello = next(e for e in probe.events if e["event"] == "hello")
        resume = {"epoch": hello["log_epoch"], "seq": 0}
        async with node.frontend({"resume": resume}) as frontend:
            await frontend.wait(lambda e: e["event"] == "caught_up")
            texts = frontend.texts()
        if len(texts) >= least:
            return texts
        await asyncio.sleep(0.5)
    return texts


async def test_a_member_away_for_1000_messages_gets_them_from_one_holder(tmp_path: Path) -> None:
    relay, ann, bob = await trio(tmp_path)
    try:
        await ann.start()
        await bob.start()
        await befriend(ann, bob)
        room = await make_room(ann, bob)
        await bob.stop()
        async with ann.frontend({"subscribe": {"events": []}}) as sender:
            for number in range(1000):
                await sender.send(
                    {"event": "user_message", "req": number, "room": room, "message": f"{number}"}
                )
            await sender.wait(lambda e: e.get("req") == 999, 60)
        await _held(relay, ann)
        await ann.kill()
        await bob.start()
        texts = await _all(bob, room, 1000)
        assert texts == [str(number) for number in range(1000)]
    finally:
        for node in (relay, ann, bob):
            if node.process is not None:
                await node.kill()

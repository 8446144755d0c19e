"""A real node whose files may not grow: it refuses commands, stays up, reads, and goes on by itself."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nodes import Frontend, NodeProcess, befriend, make_room, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes are Linux's"),
]


def limit(node: NodeProcess, size: int) -> None:
    """Let no file of a node grow beyond `size` bytes."""
    assert node.process is not None
    _, hard = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)  # type: ignore[attr-defined]
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (size, hard))  # type: ignore[attr-defined]


def no_limit(node: NodeProcess) -> None:
    limit(node, resource.RLIM_INFINITY)


async def answer(frontend: Frontend, req: str, command: str, **keys: Any) -> dict[str, Any]:
    await frontend.send({"event": command, "req": req, **keys})
    return await frontend.wait(lambda e: e.get("req") == req)


async def until_full(frontend: Frontend, room: str) -> list[str]:
    """Send until the disk is full; return what was acknowledged."""
    acknowledged: list[str] = []
    for number in range(2000):
        text = f"{number} ".ljust(2000, "x")
        came = await answer(frontend, f"fill {number}", "user_message", room=room, message=text)
        if came["event"] == "error":
            assert (came["code"], came["retryable"]) == ("storage_full", True)
            return acknowledged
        acknowledged.append(text)
    raise AssertionError("it was never full")


async def test_a_full_disk_refuses_keeps_the_node_up_and_is_got_over(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    bob = NodeProcess(tmp_path / "bob", "bob")
    async with running(ann):
        bob.flags = ("--peer", ann.address)
        await bob.start()
        try:
            await befriend(ann, bob)
            room = await make_room(ann, bob)
            async with ann.frontend({}) as at_ann, bob.frontend({}) as at_bob:
                wal = tmp_path / "ann" / "gossamer.db-wal"
                limit(ann, wal.stat().st_size + 200_000)
                acknowledged = await until_full(at_ann, room)
                assert (await at_ann.event("warning"))["code"] == "storage_full"
                came = await answer(at_ann, "again", "user_message", room=room, message="x", nonce="n")
                assert came["code"] == "storage_full"
                page = await at_ann.call("history_get", room=room, limit=200)
                assert [m["message"] for m in page["messages"]] == acknowledged[-200:]
                assert (await at_ann.call("search", text="0 xx", limit=1))["messages"]
                said = [f"from bob {number}" for number in range(5)]
                for text in said:
                    await at_bob.call("user_message", room=room, message=text)
                await asyncio.sleep(1)
                assert ann.process is not None and ann.process.returncode is None
                no_limit(ann)
                await _done_at_last(at_ann, room)
                await at_ann.wait(lambda e: e.get("message") == said[-1], 60)
                await at_bob.wait(lambda e: e.get("message") == "at last", 60)
                assert sorted(at_ann.texts()) == sorted([*acknowledged, *said, "at last"])
                assert sorted(at_bob.texts()) == sorted([*acknowledged, *said, "at last"])
            assert await ann.stop() == 0
        finally:
            if bob.process is not None:
                await bob.kill()


async def _done_at_last(frontend: Frontend, room: str) -> None:
    """Send one message with one nonce until it is taken: within seconds, and once."""
    for number in range(50):
        came = await answer(
            frontend, f"try {number}", "user_message", room=room, message="at last", nonce="at last"
        )
        if came["event"] == "ok":
            return
        await asyncio.sleep(0.2)
    raise AssertionError("there was room, and it was not noticed")

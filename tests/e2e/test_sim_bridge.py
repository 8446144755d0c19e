"""A simulated node served to real frontends: the SDK, the command line, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.client import Client
from node.errors import NodeError, Refused
from node.sim_bridge import MOST_BEHIND_SECONDS, SimBridge

PATIENCE = 20.0


@contextlib.asynccontextmanager
async def served(home: Path, pace: float = 20.0) -> AsyncIterator[SimBridge]:
    bridge = SimBridge(home, seed="e2e", host="127.0.0.1", pace=pace)
    await bridge.start()
    running = asyncio.create_task(bridge.run())
    try:
        yield bridge
        assert bridge.stopping.is_set() or not running.done(), running.exception()
    finally:
        bridge.stopping.set()
        await running
        await bridge.close()


class Watch:
    """What a frontend was told since it attached, so that it may come in any order."""

    def __init__(self, client: Client) -> None:
        self.told: list[dict[str, Any]] = []
        self._events = client.events()

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """Return the first event with these fields, waiting for it if it has not come yet."""
        for event in self.told:
            if wanted.items() <= event.items():
                return event
        async with asyncio.timeout(PATIENCE):
            async for event in self._events:
                self.told.append(event)
                if wanted.items() <= event.items():
                    return event
        raise AssertionError("the bridge closed")


async def test_a_frontend_finds_it_chats_and_is_invited(tmp_path: Path) -> None:
    async with served(tmp_path / "home"), Client.connect(home=tmp_path / "home") as client:
        watch = Watch(client)
        rooms = (await client.call("room_list"))["rooms"]
        lounge = next(room["room"] for room in rooms if room["name"] == "lounge")
        sent = await client.call("user_message", room=lounge, message="hello")
        await watch.until(event="user_message", message="echo: hello", reply_to=sent["id"])
        invite = await watch.until(event="user_invite", sender="bob")
        await client.call("user_invite_response", response="accept", invite=invite["invite"])
        await watch.until(event="user_message", message="welcome!", room=invite["room"])
        put = await client.call("attachment_put", data="aGVsbG8=", name="a.txt")
        got = await client.call("attachment_get", id=put["attachment"])
        assert got["data"] == "aGVsbG8="
        found = await client.call("search", text="echo: hello")
        assert [message["message"] for message in found["messages"]] == ["echo: hello"]


async def test_a_frontend_that_was_away_resumes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with served(home):
        async with Client.connect(home=home) as client:
            place = {"seq": client.hello["seq"], "epoch": client.hello["log_epoch"]}
            lounge = (await client.call("room_list"))["rooms"][0]["room"]
            await client.call("user_message", room=lounge, message="before")
        async with Client.connect(home=home, resume=place) as client:
            await Watch(client).until(event="user_message", message="before")


async def test_what_the_machine_had_no_time_for_has_not_passed(tmp_path: Path) -> None:
    clock = [0.0]
    bridge = SimBridge(tmp_path / "home", seed="e2e", host="127.0.0.1", pace=100.0, clock=lambda: clock[0])
    await bridge.start()
    try:
        passed = []
        for real in (0.125, 3600.0, 0.125):
            before, clock[0] = bridge.world.time, clock[0] + real
            bridge.advance()
            passed.append(bridge.world.time - before)
    finally:
        await bridge.close()
    assert passed == pytest.approx([12.5, 100 * MOST_BEHIND_SECONDS, 12.5])


async def test_it_can_be_stopped_by_its_frontend_and_its_token_be_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with served(home) as bridge:
        async with Client.connect(home=home) as client:
            before = (home / "token").read_text()
            await client.call("token_rotate")
        assert (home / "token").read_text() != before
        async with Client.connect(home=home) as client:
            with contextlib.suppress(NodeError):
                await client.call("node_stop")
            async with asyncio.timeout(PATIENCE):
                await bridge.stopping.wait()
    assert not (home / "runtime.json").exists()


async def test_an_origin_that_is_none_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path / "home") as bridge:
        bridge.allow("http://localhost:5173")
        with pytest.raises(Refused):
            bridge.allow("not an origin")


async def attach(url: str, token: str) -> str:
    async with Client.connect(url=url, token=token) as client:
        return str(client.hello["username"])


def test_the_command_serves_until_it_is_told_to_stop_and_leaves_nothing() -> None:
    words = [sys.executable, "-m", "cli", "--json", "sim", "--bridge", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            told = json.loads(line)
            token = Path(told["token_file"])
            assert token.stat().st_mode & 0o777 == 0o600
            assert asyncio.run(attach(told["url"], token.read_text())) == "you"
            shown = subprocess.run(
                [sys.executable, "-m", "cli", "--home", told["home"], "--json", "room", "list"],
                capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
            assert "lounge" in shown.stdout
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            if process.poll() is None:
                process.kill()
    assert not Path(told["home"]).exists()

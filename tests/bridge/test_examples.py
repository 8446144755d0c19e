"""The echo bot as it is shipped, against the bridge."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType

from node.bridge.ports import CommandReceived, EndSession
from node.chat import commands, events
from tests.bridge.fake_engine import ADMIN, ROOM, Bridge

SOURCE = Path(__file__).parents[2] / "examples" / "echo_bot.py"


def bot() -> ModuleType:
    spec = importlib.util.spec_from_file_location("echo_bot", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(bridge: Bridge) -> list[commands.Command]:
    return [entry.command for entry in bridge.engine.inputs if isinstance(entry, CommandReceived)]


async def until(bridge: Bridge, count: int) -> None:
    async with asyncio.timeout(10):
        while len(asked(bridge)) < count or not bridge.engine.sessions:
            await asyncio.sleep(0.01)


async def test_the_bot_accepts_echoes_once_and_goes_on_after_a_restart(bridge: Bridge) -> None:
    running = asyncio.create_task(bot().main(f"ws://127.0.0.1:{bridge.port}", ADMIN))
    await until(bridge, 0)
    bridge.engine.broadcast(
        events.UserInvite(
            sender="kevinalavik", room=ROOM, invite=ROOM, target="bot", room_name="tea", kind="room",
            expires_at=1, seq=1,
        )
    )  # fmt: skip
    bridge.engine.log.append((1, b'{"event":"user_invite","seq":1}'))
    bridge.engine.say("hi")
    await until(bridge, 2)  # its echo comes back through the fake engine and is not echoed again
    bridge.server.perform(EndSession(1, 1012, "restart"))
    bridge.engine.sessions.clear()
    bridge.engine.say("while away")
    await until(bridge, 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    answer, *said = asked(bridge)
    assert answer == commands.UserInviteResponse(response="accept", invite=ROOM)
    assert [c.message for c in said if isinstance(c, commands.UserMessage)] == [
        "echo: hi",
        "echo: while away",
    ]
    assert len(SOURCE.read_text().splitlines()) < 60

"""The bots as they are shipped, against the bridge."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from node.bridge.ports import CommandReceived, EndSession
from node.chat import commands, events
from node.errors import Refused
from tests.bridge.fake_engine import ADMIN, ROOM, Bridge

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCE = EXAMPLES / "echo_bot.py"


def bot(name: str = "echo_bot") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(bridge: Bridge) -> list[commands.Command]:
    return [entry.command for entry in bridge.engine.inputs if isinstance(entry, CommandReceived)]


async def until(bridge: Bridge, count: int) -> None:
    async with asyncio.timeout(30):
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


async def test_the_bot_echoes_words_and_neither_history_nor_what_nobody_could_read() -> None:
    sent: list[str] = []

    class Socket:
        async def send(self, text: str) -> None:
            sent.append(text)

    for event in (said("long ago", history=True), said("", kind="unreadable"), said("echo: hi")):
        await bot().answer(Socket(), event)
    assert not sent
    await bot().answer(Socket(), said("hi"))
    assert json.loads(sent[0])["message"] == "echo: hi"


@pytest.mark.parametrize("name", ["echo_bot", "notifier", "moderation_bot"])
def test_an_address_that_is_none_ends_a_bot_with_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("token\n")
    words = [str(EXAMPLES / f"{name}.py"), "http://127.0.0.1:1", str(tmp_path / "file")]
    words += [str(tmp_path / "file")] * (name == "moderation_bot")
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "http://127.0.0.1:1" in done.stderr


class Asked:
    """Stands where the SDK's client stands; refuses what it is told to."""

    def __init__(self, refuse: str = "", waits: float | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refuse = refuse
        self.waits = waits

    async def call(self, command: str, **keys: Any) -> dict[str, Any]:
        self.calls.append((command, keys))
        if self.refuse:
            waits, self.waits = self.waits, None
            code, self.refuse = self.refuse, "" if waits is not None else self.refuse
            raise Refused(code, "no", retry_after=waits)
        return {}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {
        "event": "user_message", "self": False, "username": "bob", "user_id": "B", "room": ROOM,
        "id": f"id of {text}", "message": text, "kind": "text", **more,
    }  # fmt: skip


async def test_the_moderator_deletes_listed_words_and_puts_out_who_does_not_stop() -> None:
    moderator, node = bot("moderation_bot").Moderator(["spam"]), Asked()
    for event in (said("a spammer"), said("spam", self=True), said("Spam!"), said("spam 2")):
        await moderator.judge(node, event)
    assert [command for command, _ in node.calls] == ["message_delete", "message_delete"]
    await moderator.judge(node, said("mended: spam", event="message_edited"))
    (last, keys) = node.calls[-1]
    assert last == "member_remove" and keys["username"] == "B" and keys["nonce"]


async def test_the_moderator_goes_on_where_it_is_no_admin_and_stops_at_what_it_does_not_know() -> None:
    moderator = bot("moderation_bot").Moderator(["spam"])
    await moderator.judge(Asked("forbidden"), said("spam"))
    for _ in range(4):  # somebody whom it cannot put out, as in a conversation of two
        await moderator.judge(Asked("direct_room"), said("spam"))
    with pytest.raises(Refused):
        await moderator.judge(Asked("internal"), said("spam"))
    quiet = Asked()
    await bot("moderation_bot").Moderator([]).judge(quiet, said("anything"))
    assert quiet.calls == []


async def test_the_moderator_waits_where_its_token_has_said_too_much_and_then_does_it() -> None:
    node = Asked("rate_limited", waits=0.0)
    await bot("moderation_bot").Moderator(["spam"]).judge(node, said("spam"))
    assert [command for command, _ in node.calls] == ["message_delete"] * 2


async def test_the_moderator_acknowledges_what_it_has_judged(bridge: Bridge) -> None:
    running = asyncio.create_task(
        bot("moderation_bot").main(f"ws://127.0.0.1:{bridge.port}", ADMIN, ["spam"])
    )
    await until(bridge, 0)
    bridge.engine.say("fine")
    await until(bridge, 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert asked(bridge) == [commands.Ack(req=2, seq=1)]


async def test_the_notifier_shows_what_others_say_and_nothing_old_or_harmful(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = bot("notifier")
    monkeypatch.setattr(notifier.shutil, "which", lambda _name: None)
    assert notifier.wording(said("hi", self=True)) is None
    assert notifier.wording(said("hi", history=True)) is None
    assert notifier.wording({"event": "typing"}) is None
    await notifier.show(*notifier.wording(said("a\x1b[2Jb\u202ec")))
    assert capsys.readouterr().out == "bob: a\ufffd[2Jb\ufffdc\n"

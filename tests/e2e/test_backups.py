"""A backup of a real node, restored by the real command line: the same person, on a new device."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.e2e.nodes import NodeProcess, befriend, running

PHRASE = "for the safe"


async def gossamer(home: Path, *words: str) -> tuple[int, dict[str, Any]]:
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "--home", str(home), "--json", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "XDG_RUNTIME_DIR": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    out, err = await made.communicate(f"{PHRASE}\n".encode())
    lines = (out or err).decode().splitlines()
    return made.returncode or 0, json.loads(lines[0]) if lines and lines[0][:1] == "{" else {"text": lines}


async def test_a_machine_is_lost_and_its_owner_is_back_on_another(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    kept = tmp_path / "bob.backup"
    async with running(ann, bob):
        await befriend(ann, bob)
        async with ann.frontend({}) as at_ann, bob.frontend({}) as at_bob:
            room = (await at_ann.call("room_create", name="club"))["room"]
            await at_ann.call("user_invite", target="bob", room=room)
            offer = await at_bob.event("user_invite")
            await at_bob.call("user_invite_response", response="accept", invite=offer["invite"])
            await at_ann.event("user_join", username="bob")
            await at_bob.event("user_join", username="bob")
            await at_ann.call("user_message", message="before", room=room)
            await at_bob.event("user_message", message="before")
            code, told = await gossamer(bob.home, "backup", "create", str(kept))
            assert (code, told.get("path"), told.get("messages")) == (0, str(kept), 1), told
            assert list((bob.home / "backups").iterdir()) == []
            code, told = await gossamer(tmp_path / "nowhere", "backup", "verify", str(kept))
            assert (code, told["username"], told["rooms"]) == (0, "bob", 1)
            await bob.kill()
            for expected in (0, 7):
                code, told = await gossamer(tmp_path / "new", "backup", "restore", str(kept))
                assert code == expected, told
            new = NodeProcess(tmp_path / "new", "bob", "--peer", ann.address)
            await new.start()
            try:
                async with new.frontend({}) as at_new:
                    history = await at_new.call("history_get", room=room)
                    assert [one["message"] for one in history["messages"]] == ["before"]
                    await at_new.call("user_message", message="I am back", room=room)
                    await at_ann.event("user_message", message="I am back")
                    await at_ann.event("key_changed", username="bob")
                    await at_ann.call("user_message", message="welcome", room=room)
                    await at_new.event("user_message", message="welcome")
                async with new.frontend({}) as again:
                    history = await again.call("history_get", room=room)
                    said = [one["message"] for one in history["messages"]]
                    assert said == ["before", "I am back", "welcome"]
            finally:
                await new.stop()

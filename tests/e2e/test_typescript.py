"""`examples/gossamer.ts` as a developer uses it: checked by the compiler, run by Node against a real node."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nodes import NodeProcess, running
from tests.e2e.npm import NEEDED, installed

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "real_clients"
SDK = ROOT / "examples" / "gossamer.ts"
STRICT = (
    "--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --noUnusedLocals --target es2022 "
    "--module esnext --moduleResolution bundler --lib es2022,dom,dom.iterable"
)
COUNT = 300
KILLS = 3

pytestmark = [pytest.mark.gate, NEEDED]


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK, type-checked and compiled by the compiler of the lock."""
    folder = installed(tmp_path_factory.mktemp("npm"))
    run("npx", "tsc", *STRICT.split(), "--outDir", str(folder / "js"), str(SDK), cwd=folder)
    return folder / "js" / "gossamer.js"


def test_the_compiler_knows_commands_answers_and_events(compiled: Path) -> None:
    """What is wrong in a program that uses the SDK is found before it runs."""
    folder = compiled.parent.parent
    program = folder / "program.ts"
    shutil.copy(SDK, folder / "gossamer.ts")
    right = (
        'import { Gossamer } from "./gossamer.ts";\n'
        'const node = await Gossamer.connect("ws://x");\n'
        'const { room } = await node.call("room_create", { name: "tea" });\n'
        "const at: string = room;\n"
        "for await (const event of node.events())\n"
        '  if (event.event === "user_message") console.log(event.message, at);\n'
    )
    check = ["npx", "tsc", *STRICT.split(), "--noEmit", "--allowImportingTsExtensions", str(program)]
    program.write_text(right)
    run(*check, cwd=folder)
    for wrong, meant in (
        (right.replace("room_create", "room_made"), "room_made"),
        (right.replace("name:", "nmae:"), "nmae"),
        (right.replace("event.message", "event.mesage"), "mesage"),
    ):
        program.write_text(wrong)
        done = subprocess.run(check, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode and meant in done.stdout, done.stdout


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)


async def test_it_loses_nothing_and_does_nothing_twice_while_the_node_is_killed(
    compiled: Path, tmp_path: Path
) -> None:
    node = NodeProcess(tmp_path / "alice", "alice")
    version = int(run("node", "--version", cwd=tmp_path).lstrip("v").split(".")[0])
    flags = ["--experimental-websocket"] if version < 22 else []
    async with running(node):
        script = await asyncio.create_subprocess_exec(
            "node", *flags, str(CLIENTS / "sdk.mjs"), str(compiled), f"ws://127.0.0.1:{node.bridge_port}",
            node.token, str(COUNT), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        told: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(120):
                async for line in lines(script):
                    told.append(line)
                    if line.get("said") in range(50, COUNT, COUNT // KILLS):
                        await node.kill()
                        await node.start()
                assert await script.wait() == 0
        finally:
            if script.returncode is None:
                script.kill()
                await script.wait()
    assert told[0] == {"refused": True}
    assert {"code": "room_not_found", "retryable": False} in told
    assert [t["said"] for t in told if "said" in t] == list(range(COUNT))
    shown = [t for t in told if "seen" in t]
    assert [t["seen"] for t in shown] == [f"m{n}" for n in range(COUNT)]
    assert all(t["at"] == t["seq"] for t in shown)
    assert [t["state"] for t in told if "state" in t].count("lost") == KILLS
    assert told[-1] == {"done": "closed"}

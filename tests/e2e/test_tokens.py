"""Tokens, the audit log, health, metrics and schema of a real node, as an owner and a program meet them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.e2e.nodes import EVENT_SECONDS, NodeProcess, running

pytestmark = pytest.mark.slow


async def gossamer(home: Path, *words: str) -> tuple[int, str]:
    """Run one command line; returns exit code and stdout."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "--home", str(home), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode().strip()


async def get(node: NodeProcess, path: str, token: str | None = None) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{node.bridge_port}{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def test_another_admin_token_shuts_the_old_one_out_for_good_and_the_command_line_goes_on(
    tmp_path: Path,
) -> None:
    home = tmp_path / "ann"
    ann = NodeProcess(home, "ann")
    async with running(ann):
        old, url = ann.token, ann.url
        async with ann.frontend({}) as before, ann.frontend({}) as asking:
            told = await asking.call("token_rotate", nonce="n")
            assert told["path"] == str(home / "token") and "token" not in told
            for frontend in (before, asking):
                await asyncio.wait_for(frontend.ws.wait_closed(), EVENT_SECONDS)
                assert frontend.ws.close_code == 4401
        assert ann.token != old and len(ann.token) == len(old)
        assert (home / "token").stat().st_mode & 0o777 == 0o600
        with pytest.raises(InvalidStatus, match="401"):
            async with connect(url):
                pass
        async with ann.frontend({}) as after:
            again = ann.token
            assert (await after.call("token_rotate", nonce="n"))["path"] == told["path"]
            assert ann.token == again, "the same nonce does nothing twice"
        assert await gossamer(home, "token", "rotate") == (0, str(home / "token"))
        assert ann.token != again
        assert (await gossamer(home, "status"))[0] == 0
        last = ann.token
        await ann.kill()
        await ann.start()
        assert ann.token == last
        async with ann.frontend({}):
            pass


async def test_the_audit_log_survives_a_kill_and_has_no_content(tmp_path: Path) -> None:
    home = tmp_path / "ann"
    ann = NodeProcess(home, "ann")
    async with running(ann):
        made = json.loads((await gossamer(home, "--json", "token", "create", "bot", "--scope", "chat"))[1])
        bot = f"ws://127.0.0.1:{ann.bridge_port}/?token={made['token']}"
        async with connect(bot) as ws:
            await ws.send('{"event":"hello","req":1,"client":"my \\u001b[2Jbot"}')
            await ws.recv()
            await ws.send('{"event":"room_create","req":2,"name":"the plan"}')
            while json.loads(await ws.recv()).get("req") != 2:
                pass
        await ann.kill()
        await ann.start()
        code, out = await gossamer(home, "--json", "audit")
        rows = json.loads(out)["entries"]
        assert code == 0
        assert [(r["who"], r["via"], r["command"], r["code"]) for r in rows if r["who"] == "bot"] == [
            ("bot", "token", "hello", "ok"),
            ("bot", "token", "room_create", "ok"),
        ]
        assert ("owner", "unix", "token_create", "ok") in [
            (r["who"], r["via"], r["command"], r["code"]) for r in rows
        ]
        assert [r["entry"] for r in rows] == list(range(rows[0]["entry"], rows[0]["entry"] + len(rows)))
        kept = (home / "audit.log").read_bytes()
        assert (home / "audit.log").stat().st_mode & 0o777 == 0o600
        assert b"the plan" not in kept and made["token"].encode() not in kept
        shown = (await gossamer(home, "audit"))[1]
        assert "\x1b" not in shown and "my \\x1b[2Jbot" in shown


async def test_health_metrics_and_schema_of_a_node_that_is_open_and_locked(tmp_path: Path) -> None:
    home = tmp_path / "ann"
    ann = NodeProcess(home, "ann")
    async with running(ann):
        reader = (await gossamer(home, "token", "create", "prometheus", "--scope", "read"))[1]
        assert await get(ann, "/api/v1/health") == (200, '{"status":"ok"}')
        for path in ("/api/v1/metrics", "/api/v1/schema"):
            assert (await get(ann, path))[0] == 401
        status, text = await get(ann, "/api/v1/metrics", reader)
        assert status == 200
        for family in ("links", "db_bytes", "commit_seconds_count", "inbox", "commands_total", "contacts"):
            assert f"\ngossamer_{family}" in text, family
        for word in ("ann", ann.token, "prometheus", str(home)):
            assert word not in text
        status, text = await get(ann, "/api/v1/schema?format=typescript", reader)
        assert status == 200 and text == (await gossamer(home, "schema", "--format", "typescript"))[1] + "\n"
        async with ann.frontend({}) as owner:
            await owner.call("vault_passphrase", passphrase="open sesame")
            await owner.call("vault_lock")
            assert await get(ann, "/api/v1/health") == (200, '{"status":"locked"}')
            status, text = await get(ann, "/api/v1/metrics", reader)
            assert status == 200 and "gossamer_contacts" not in text and "gossamer_commands_total" in text

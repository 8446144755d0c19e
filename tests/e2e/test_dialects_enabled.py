"""A real node whose owner turns dialects on: ports, a build, TLS, a kill, a port that is taken."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.nodes import NodeProcess, running
from tests.ports import free_port

pytestmark = pytest.mark.slow
PAGE = "http://localhost:5173"


async def gossamer(home: Path, *words: str) -> tuple[int, str, str]:
    """Run one command line; returns exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "--home", str(home), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode().strip(), err.decode()


async def get(url: str, **headers: str) -> tuple[int, str, Any]:
    async with aiohttp.ClientSession() as http, http.get(url, ssl=False, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers


async def test_a_build_over_tls_is_there_again_after_a_kill_with_the_same_certificate(tmp_path: Path) -> None:
    home, dist, port = tmp_path / "ann", tmp_path / "dist", free_port()
    dist.mkdir()
    (dist / "index.html").write_text("<p>page</p>")
    ann = NodeProcess(home, "ann")
    async with running(ann):
        code, out, err = await gossamer(
            home,
            "bridge",
            "enable",
            "003",
            "--origin",
            PAGE,
            "--port",
            str(port),
            "--serve",
            str(dist),
            "--tls",
        )
        assert (code, out) == (0, f"https://127.0.0.1:{port}"), err
        assert (await get(f"https://127.0.0.1:{port}/chats/1"))[1] == "<p>page</p>"
        before = json.loads((await gossamer(home, "--json", "bridge", "list"))[1])["dialects"][2]
        assert before["state"] == "listening" and before["fingerprint"] in err
        secret = (home / "cron_secret").read_text()
        await ann.kill()
        await ann.start()
        assert (await get(f"https://127.0.0.1:{port}/"))[0] == 200
        assert json.loads((await gossamer(home, "--json", "bridge", "list"))[1])["dialects"][2] == before
        assert (home / "cron_secret").read_text() == secret
        code, link, _ = await gossamer(home, "bridge", "login", "--dialect", "003")
        assert code == 0 and link.startswith(f"https://127.0.0.1:{port}/api/v1/login?code=")
        assert (await gossamer(home, "bridge", "disable", "003"))[0] == 0
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(f"https://127.0.0.1:{port}/")
        log = (home / "gossamer.log").read_text()
        key = (home / "tls.pem").read_text().splitlines()[1]
        assert secret not in log and key not in log
        assert not [path.name for path in home.iterdir() if path.stat().st_mode & 0o077]


async def test_a_port_that_is_taken_at_a_start_does_not_keep_the_node_from_starting(tmp_path: Path) -> None:
    home, port = tmp_path / "ann", free_port()
    ann = NodeProcess(home, "ann")
    async with running(ann):
        assert (await gossamer(home, "bridge", "enable", "004", "--port", str(port)))[0] == 0
        assert await ann.stop() == 0
        with socket.create_server(("127.0.0.1", port)):
            await ann.start()
            row = json.loads((await gossamer(home, "--json", "bridge", "list"))[1])["dialects"][3]
            assert row["state"] == "failed" and str(port) in row["why"]
            code, out, _ = await gossamer(home, "doctor")
            assert code == 1 and f"port {port}" in out and "bridge enable 004" in out
            assert (home / "gossamer.log").read_text().count("does not listen") == 1
            code, _, err = await gossamer(home, "bridge", "enable", "001", "--port", str(port))
            assert code == 7 and str(port) in err
        assert (await gossamer(home, "bridge", "enable", "004"))[0] == 0
        assert (await get(f"http://127.0.0.1:{port}/nothing"))[0] == 404


async def test_a_planned_restart_listens_at_the_port_again(tmp_path: Path) -> None:
    home, port = tmp_path / "ann", free_port()
    ann = NodeProcess(home, "ann")
    async with running(ann):
        assert (await gossamer(home, "bridge", "enable", "001", "--port", str(port)))[0] == 0
        _, held = await asyncio.open_connection("127.0.0.1", port)
        assert await ann.stop() == 0
        since = time.monotonic()
        await ann.start()
        assert (await get(f"http://127.0.0.1:{port}/ws"))[0] == 401
        assert time.monotonic() - since < 5  # most of it is the start of Python, on a loaded machine
        held.close()


async def test_attachments_are_fetched_at_the_port_and_by_the_pages_of_the_dialect_by_their_links(
    tmp_path: Path,
) -> None:
    home, port = tmp_path / "ann", free_port()
    ann = NodeProcess(home, "ann")
    async with running(ann), ann.frontend({}) as frontend:
        await frontend.call("dialect_enable", dialect="001", port=port, origin=PAGE)
        put = await frontend.call("attachment_put", data="aGVsbG8=", name="a.txt", type="text/plain")
        url = (await frontend.call("attachment_get", id=put["attachment"]))["url"]
        main, extra = f"http://127.0.0.1:{ann.bridge_port}", f"http://127.0.0.1:{port}"
        for at in (main, extra):
            assert (await get(f"{at}{url}"))[:2] == (200, "hello")
            status, text, headers = await get(f"{at}{url}", Origin=PAGE)
            assert (status, text, headers["Access-Control-Allow-Origin"]) == (200, "hello", PAGE)
            assert (await get(f"{at}{url}", Origin="http://evil.example"))[0] == 403
        assert (await get(f"{main}/api/v1/schema?token={ann.token}", Origin=PAGE))[0] == 403
        assert (await get(f"{extra}{url.partition('?')[0]}?token={ann.token}"))[0] == 404
        await frontend.call("dialect_disable", dialect="001")
        assert (await get(f"{main}{url}", Origin=PAGE))[0] == 403


async def test_a_locked_node_says_so_and_its_ports_stay(tmp_path: Path) -> None:
    home, port = tmp_path / "ann", free_port()
    ann = NodeProcess(home, "ann")
    async with running(ann), ann.frontend({}) as frontend:
        await frontend.call("dialect_enable", dialect="001", port=port)
        await frontend.call("vault_passphrase", passphrase="open sesame")
        await frontend.call("vault_lock")
        await frontend.send({"event": "dialect_disable", "dialect": "001", "req": "no"})
        refused = await frontend.wait(lambda e: e.get("req") == "no")
        assert refused["code"] == "locked"
        assert (await get(f"http://127.0.0.1:{port}/ws"))[0] == 401
        await frontend.call("vault_unlock", passphrase="open sesame")
        rows = (await frontend.call("dialect_list"))["dialects"]
        assert rows[0]["state"] == "listening"
        assert (await get(f"http://127.0.0.1:{port}/ws"))[0] == 401

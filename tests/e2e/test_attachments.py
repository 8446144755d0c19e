"""Attachments with real daemons: streamed in and out over HTTP, across kill -9, behind the guard."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import stat
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from tests.e2e.nodes import EVENT_SECONDS, Frontend, NodeProcess, befriend, make_room, running

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
UP = "/api/v1/attachments"


def at(node: NodeProcess, path: str) -> str:
    return f"http://127.0.0.1:{node.bridge_port}{path}"


def owner(node: NodeProcess, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {node.token}", **headers}


async def put(
    http: ClientSession, node: NodeProcess, data: bytes | BytesIO, **headers: str
) -> dict[str, Any]:
    async with http.post(at(node, UP + "?name=tea.png"), data=data, headers=owner(node, **headers)) as got:
        assert got.status == 201, await got.text()
        told: dict[str, Any] = await got.json()
        return told


async def ready(frontend: Frontend, ident: str) -> dict[str, Any]:
    return await frontend.event("attachment", 60, id=ident, state="ready")


def stored(node: NodeProcess) -> list[Path]:
    return sorted((node.home / "attachments").iterdir())


async def test_a_file_goes_in_over_http_and_out_elsewhere_by_a_capability_alone(
    tmp_path: Path,
) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    await ann.start()
    bob = NodeProcess(tmp_path / "bob", "bob", "--peer", ann.address)
    async with running(), ClientSession() as http:
        try:
            await bob.start()
            await befriend(ann, bob)
            room = await make_room(ann, bob)
            data = os.urandom(300_000)
            async with ann.frontend({}) as a, bob.frontend({}) as b:
                told = await put(http, ann, data, **{"Content-Type": "image/png"})
                assert (told["size"], told["type"], told["name"]) == (300_000, "image/png", "tea.png")
                digest = hashlib.blake2b(data, digest_size=32, person=b"gsmr1/file").hexdigest()
                assert told["hash"] == digest
                ident = told["attachment"]
                await a.call("user_message", room=room, message="look", attachment=ident)
                own = (await a.event("user_message", message="look"))["attachment"]
                assert (own["id"], own["state"]) == (ident, "ready") and "manifest" not in own
                shown = (await b.event("user_message", message="look"))["attachment"]
                assert set(shown) == {"id", "name", "type", "size", "state", "url"}
                async with http.get(at(bob, shown["url"])) as early:
                    assert early.status in {200, 409}
                url = (await ready(b, ident))["url"]
                await _downloads(http, bob, url, data)
                page = await b.call("history_get", room=room)
                assert page["messages"][-1]["attachment"]["state"] == "ready"
            for file in stored(ann) + stored(bob):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
                assert len(file.name) == 64
                assert data[:64] not in file.read_bytes()
        finally:
            await bob.kill()
            await ann.kill()


async def _downloads(http: ClientSession, bob: NodeProcess, url: str, data: bytes) -> None:
    async with http.get(at(bob, url)) as whole:
        assert whole.status == 200 and await whole.read() == data
        assert whole.headers["Content-Type"] == "image/png"
        assert whole.headers["X-Content-Type-Options"] == "nosniff"
        assert whole.headers["Content-Disposition"].startswith("inline")
    async with http.get(at(bob, url), headers={"Range": "bytes=100000-100099"}) as part:
        assert part.status == 206 and await part.read() == data[100_000:100_100]
        assert part.headers["Content-Range"] == "bytes 100000-100099/300000"
    async with http.get(at(bob, url), headers={"Range": "bytes=300000-"}) as beyond:
        assert beyond.status == 416
    async with http.head(at(bob, url)) as head:
        assert (head.status, head.headers["Content-Length"]) == (200, "300000")
    path, cap = url.split("?")
    turned = url[:-1] + ("0" if url[-1] != "0" else "1")
    for wrong in (url.replace("cap=", "cap=9"), path, turned):
        async with http.get(at(bob, wrong)) as refused:
            assert refused.status == 401
    for method, other in (("POST", UP), ("GET", "/api/v1/metrics"), ("DELETE", path)):
        async with http.request(method, at(bob, f"{other}?{cap}")) as refused:
            assert refused.status in {401, 405}


async def test_a_capability_dies_with_the_token_of_its_session_and_a_reader_uploads_nothing(
    tmp_path: Path,
) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ClientSession() as http, ann.frontend({}) as a:
        room = (await a.call("room_create", name="tea"))["room"]
        token = (await a.call("token_create", name="reader", scope="read"))["token"]
        reader = {"Authorization": f"Bearer {token}"}
        async with http.post(at(ann, UP), data=b"x", headers=reader) as refused:
            assert refused.status == 403
        ident = (await put(http, ann, b"x" * 10))["attachment"]
        await a.call("user_message", room=room, message="look", attachment=ident)
        async with http.ws_connect(at(ann, f"/?token={token}")) as ws:
            await ws.send_json({"event": "hello", "req": 1})
            await ws.send_json({"event": "attachment_get", "req": 2, "id": ident})
            told = await _answer(ws, 2)
        assert base64.b64decode(told["data"]) == b"x" * 10
        async with http.get(at(ann, told["url"])) as good:
            assert await good.read() == b"x" * 10
            assert good.headers["Content-Disposition"].startswith("attachment")
        await a.call("token_revoke", name="reader")
        async with http.get(at(ann, told["url"])) as refused:
            assert refused.status == 401


async def _answer(ws: Any, req: int) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = await ws.receive_json()
        if frame.get("req") == req:
            return frame


async def test_what_is_too_large_misnamed_or_from_another_page_is_refused_at_the_door(
    tmp_path: Path,
) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ClientSession() as http:

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(2_000):
                yield b"x" * 65_536

        async with http.post(at(ann, UP), data=endless(), headers=owner(ann)) as got:
            assert got.status == 413
            assert (await got.json())["error"]["code"] == "attachment_too_large"
        async with http.post(at(ann, UP + "?name=" + "n" * 256), data=b"x", headers=owner(ann)) as got:
            assert (got.status, (await got.json())["error"]["code"]) == (400, "invalid")
        async with http.post(at(ann, UP), data=b"x", headers=owner(ann, Origin="http://evil.example")) as got:
            assert got.status == 403
        async with http.post(at(ann, UP), data=b"x") as got:
            assert got.status == 401
        async with http.get(at(ann, UP + "/nonsense"), headers=owner(ann)) as got:
            assert got.status == 404
        assert stored(ann) == []


async def test_kill_9_in_the_middle_of_an_upload_leaves_nothing_and_of_a_download_everything(
    tmp_path: Path,
) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ClientSession() as http:
        data = os.urandom(1_000_000)
        ident = (await put(http, ann, data))["attachment"]
        async with http.get(at(ann, f"{UP}/{ident}"), headers=owner(ann)) as got:
            first = await got.content.read(50_000)
            await _upload_and_kill(http, ann)
        assert any(file.name.endswith(".new") for file in stored(ann))
        await ann.start()
        rest = {"Range": f"bytes={len(first)}-"}
        async with http.get(at(ann, f"{UP}/{ident}"), headers=owner(ann, **rest)) as got:
            assert got.status == 206 and first + await got.read() == data
        assert [len(file.name) for file in stored(ann)] == [64]


async def _upload_and_kill(http: ClientSession, node: NodeProcess) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield os.urandom(65_536)
        await asyncio.sleep(0.5)
        await node.kill()
        yield b"more"

    with pytest.raises(ClientError):
        async with http.post(at(node, UP), data=body(), headers=owner(node)) as got:
            await got.read()


async def gossamer(node: NodeProcess, *words: str, cwd: Path) -> tuple[int, bytes]:
    """Run one command line against a node, as its owner would."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "--home", str(node.home), *words,
        cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "XDG_RUNTIME_DIR": "", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out


async def test_the_command_line_sends_a_file_and_fetches_it_at_the_other_node(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    await ann.start()
    bob = NodeProcess(tmp_path / "bob", "bob", "--peer", ann.address)
    async with running():
        try:
            await bob.start()
            await befriend(ann, bob)
            await make_room(ann, bob)
            data = os.urandom(70_000)
            (tmp_path / "tea.png").write_bytes(data)
            async with bob.frontend({}) as b:
                code, out = await gossamer(ann, "send", "club", "look", "--file", "tea.png", cwd=tmp_path)
                assert code == 0
                shown = await b.event("user_message", id=out.decode().strip())
                ident = shown["attachment"]["id"]
                await ready(b, ident)
            (tmp_path / "here").mkdir()
            code, out = await gossamer(bob, "attachment", "get", ident, cwd=tmp_path / "here")
            assert (code, out.decode().strip()) == (0, str(tmp_path / "here" / "tea.png"))
            assert (tmp_path / "here" / "tea.png").read_bytes() == data
            code, out = await gossamer(
                bob, "attachment", "get", ident, "--output", "-", cwd=tmp_path / "here"
            )
            assert (code, out) == (0, data)
            assert (await gossamer(bob, "attachment", "get", ident, cwd=tmp_path / "here"))[0] == 7
            code, out = await gossamer(bob, "history", "club", cwd=tmp_path)
            assert b"[tea.png, 68.4 KiB, image/png, ready]" in out and ident.encode() in out
            other = ident[:-1] + ("0" if ident[-1] != "0" else "1")
            assert (await gossamer(bob, "attachment", "get", other, cwd=tmp_path))[0] == 6
        finally:
            await bob.kill()
            await ann.kill()


async def test_an_upload_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ClientSession() as http:

        async def body() -> AsyncIterator[bytes]:
            yield os.urandom(200_000)
            raise ValueError("the frontend falls over")

        for _ in range(6):  # more than may go on at a time
            with pytest.raises((ClientError, ValueError)):
                async with http.post(at(ann, UP), data=body(), headers=owner(ann)) as got:
                    await got.read()
        async with asyncio.timeout(EVENT_SECONDS):
            while stored(ann) or not await _taken(http, ann):
                await asyncio.sleep(0.05)


async def _taken(http: ClientSession, node: NodeProcess) -> bool:
    """Say whether an upload is taken; where it is not, all places are."""
    async with http.post(at(node, UP), data=b"x", headers=owner(node)) as got:
        assert got.status in {201, 503}
        return got.status == 201


async def test_a_locked_node_takes_and_gives_nothing_and_goes_on_when_it_is_opened(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ClientSession() as http, ann.frontend({}) as a:
        ident = (await put(http, ann, b"x" * 10))["attachment"]
        await a.call("vault_passphrase", passphrase="open sesame")
        await a.call("vault_lock")
        async with http.post(at(ann, UP), data=b"x", headers=owner(ann)) as got:
            assert (got.status, (await got.json())["error"]["code"]) == (503, "locked")
        async with http.get(at(ann, f"{UP}/{ident}"), headers=owner(ann)) as got:
            assert got.status == 503
        await a.call("vault_unlock", passphrase="open sesame")
        async with http.get(at(ann, f"{UP}/{ident}"), headers=owner(ann)) as got:
            assert await got.read() == b"x" * 10


async def test_an_upload_that_began_before_a_lock_ends_with_it(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ClientSession() as http, ann.frontend({}) as a:
        await a.call("vault_passphrase", passphrase="open sesame")
        go_on = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield os.urandom(200_000)
            await go_on.wait()
            yield os.urandom(200_000)

        task = asyncio.ensure_future(http.post(at(ann, UP), data=body(), headers=owner(ann)).__aenter__())
        async with asyncio.timeout(EVENT_SECONDS):
            while not stored(ann):
                await asyncio.sleep(0.02)
        await a.call("vault_lock")
        await a.call("vault_unlock", passphrase="open sesame")
        go_on.set()
        got = await task
        assert (got.status, (await got.json())["error"]["code"]) == (503, "locked")
        assert stored(ann) == []
        await put(http, ann, b"x" * 10)

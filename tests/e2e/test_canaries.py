"""Canary secrets pushed through every door of real nodes at DEBUG: nothing written for people shows one.

Every test with real nodes ends with the same search (`leaks.py`); this one makes sure that there is something
to find: errors, refusals, malformed frames and requests, wrong tokens and passphrases, a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from node.chat import commands
from tests.e2e import leaks
from tests.e2e.nodes import EVENT_SECONDS, NodeProcess, befriend, make_room, running

pytestmark = pytest.mark.slow

CANARY = "canary-5d2c81"
TOKEN = "CanaryToken" + "x" * 32
TEXTS = frozenset(
    {"room", "username", "message", "name", "topic", "link", "target", "passphrase", "current", "text"}
    | {"address", "origin", "status", "avatar", "emoji", "data", "reason", "invite", "id", "code"}
)


async def refused(url: str, **more: object) -> None:
    with contextlib.suppress(InvalidStatus, ConnectionClosed, OSError):
        async with connect(url, **more) as ws:  # type: ignore[arg-type]
            await ws.recv()


async def every_command_with_canaries(node: NodeProcess) -> None:
    """Send each command with canaries where text goes, most of them to be refused."""
    async with node.frontend({}) as frontend:
        for name in sorted(set(commands.BY_NAME) - {"hello", "node_stop", "vault_lock", "backup_create"}):
            wanted = set(commands.BY_NAME[name].__struct_encode_fields__) & TEXTS
            await frontend.send({"event": name, "req": name, **{key: f"{CANARY} {key}" for key in wanted}})
            await frontend.wait(lambda e, name=name: e.get("req") == name)  # type: ignore[misc]


async def test_no_canary_comes_out_of_any_door(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann, bob):
        for node in (ann, bob):
            node.secrets.texts |= {CANARY, TOKEN}
        await befriend(ann, bob)
        room = await make_room(ann, bob, name=f"room {CANARY}")
        async with ann.frontend({}) as a, bob.frontend({}) as b:
            await a.call("profile_set", status=f"status {CANARY}")
            await a.call("user_message", room=room, message=f"said {CANARY}", nonce=f"n {CANARY}")
            await b.event("user_message", message=f"said {CANARY}")
            await a.call("vault_passphrase", passphrase=f"phrase {CANARY}")
            await a.send({"event": "vault_passphrase", "req": "wrong", "current": f"wrong {CANARY}"})
            assert (await a.wait(lambda e: e.get("req") == "wrong"))["code"] == "wrong_passphrase"
        await every_command_with_canaries(ann)
        at = f"127.0.0.1:{ann.bridge_port}"
        await refused(f"ws://{at}/?token={TOKEN}")
        await refused(f"ws://{at}/{CANARY}?token={ann.token}&x={CANARY}")
        await refused(f"ws://{at}/", additional_headers={"Authorization": f"Bearer {TOKEN}"})
        await refused(
            f"ws://{at}/", additional_headers={"Origin": "https://evil.example"}, subprotocols=[TOKEN]
        )
        async with aiohttp.ClientSession() as http:
            for method, path in (
                ("GET", f"/{CANARY}?token={ann.token}"),
                ("POST", f"/api/v1/{CANARY}"),
                ("GET", f"/api/v1/login?code={TOKEN}"),
                ("GET", f"/api/v1/metrics?token={TOKEN}"),
            ):
                await http.request(method, f"http://{at}{path}", data=CANARY, headers={"Cookie": CANARY})
            async with http.get(
                f"http://{at}/api/v1/metrics", headers={"Authorization": f"Bearer {ann.token}"}
            ) as answer:
                metrics = await answer.read()
        assert answer.status == 200 and metrics.count(b"\n") > 10
        leaks.none_in({"the metrics": metrics}, ann.secrets.spelled(ann.home))
        with contextlib.suppress(ConnectionClosed):
            async with connect(ann.url) as ws:
                for frame in (
                    f'{{"{CANARY}',
                    f"{CANARY}" * 9,
                    json.dumps({"event": CANARY}),
                    b"\xff" + CANARY.encode(),
                ):
                    await ws.send(frame)
                while True:
                    await asyncio.wait_for(ws.recv(), EVENT_SECONDS)
        await bob.kill()
        await bob.start()
        assert CANARY in (ann.secrets.texts | bob.secrets.texts)
        assert leaks.written(ann.home, ann.errors).get("gossamer.log") is not None


def test_a_secret_that_is_written_is_found(tmp_path: Path) -> None:
    """The search itself: in a log, as hex or base64, of what a frontend said and of a home's own token."""
    secrets = leaks.Secrets()
    secrets.note({"event": "user_message", "message": "the eagle has landed"})
    (tmp_path / "token").write_text("t0ken-of-the-owner")
    for line in (b"x the eagle has landed y", b"Bearer t0ken-of-the-owner"):
        (tmp_path / "gossamer.log").write_bytes(line)
        with pytest.raises(AssertionError, match="shows a secret"):
            leaks.none_in(leaks.written(tmp_path, tmp_path / "err"), secrets.spelled(tmp_path))
    for spelled in leaks.spellings(bytes(range(32))):
        with pytest.raises(AssertionError):
            leaks.none_in({"x": b"key=" + spelled}, leaks.spellings(bytes(range(32))))

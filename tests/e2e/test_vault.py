"""The vault of a real node: sealed, locked, opened again, killed; and what is left of its keys."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from node import daemon
from node.backups import Source
from node.chat.contacts import Contacts
from node.chat.dms import Dms, DmSession
from node.chat.keeping import Keeper
from node.chat.me import Me
from node.chat.outbox import Sent
from node.chat.shelves import Shelves
from node.client import Client
from node.config import Endpoint, Settings
from node.crypto.keys import Identity
from node.crypto.vault import Cells, StoreKeys
from node.engine.engine import Engine
from node.errors import Refused
from node.running import Running
from node.store.identity import StoredIdentity
from node.store.sqlite import SqliteStore
from tests.e2e.nodes import EVENT_SECONDS, Frontend, NodeProcess, befriend, make_room, running

pytestmark = pytest.mark.slow
SECRET, OTHER = "open sesame, says ann", "another one"


@pytest.fixture(autouse=True)
def _short_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")


def runtime(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "runtime.json").read_bytes())
    return found


def settings(home: Path) -> Settings:
    return Settings(home, name="ann", bridge=Endpoint("127.0.0.1", 0), listen=Endpoint("127.0.0.1", 0))


@asynccontextmanager
async def inside(home: Path, passphrase: bytes | None = None) -> AsyncIterator[Client]:
    """A node in this process, and a client of it."""
    ready = asyncio.Event()

    async def greet() -> None:
        ready.set()

    made = daemon.Daemon(settings(home), passphrase)
    node = asyncio.create_task(made.serve(greet))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({node, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if node.done():
            node.result()
        async with Client.connect(home=home) as client:
            yield client
    finally:
        made._stopping.set()
        async with asyncio.timeout(EVENT_SECONDS):
            assert await node == 0


def holders() -> list[object]:
    """Everything in this process that holds keys."""
    gc.collect()
    kept = (Identity, StoredIdentity, StoreKeys, Cells, SqliteStore, Source)
    kinds = (*kept, Engine, Running, Me, Dms, DmSession, Sent, Contacts, Keeper, Shelves)
    return [o for o in gc.get_objects() if isinstance(o, kinds)]


async def refused(client: Client, command: str, **keys: Any) -> str:
    with pytest.raises(Refused) as fault:
        await client.call(command, **keys)
    return fault.value.code


@pytest.mark.usefixtures("cheap_passphrases")
async def test_a_passphrase_is_set_changed_and_removed_and_a_wrong_one_changes_nothing(
    tmp_path: Path,
) -> None:
    async with inside(tmp_path) as client:
        assert await refused(client, "vault_lock") == "not_sealed"
        first = {"passphrase": SECRET, "nonce": "once"}
        assert await client.call("vault_passphrase", **first) == {"sealed": True}
        assert await client.call("vault_passphrase", **first) == {"sealed": True}
        key = (tmp_path / "identity.key").read_bytes()
        assert await refused(client, "vault_passphrase", passphrase=OTHER) == "wrong_passphrase"
        assert await refused(client, "vault_passphrase", passphrase=OTHER, current="no") == "wrong_passphrase"
        assert await refused(client, "vault_passphrase", current="no") == "wrong_passphrase"
        for impossible in ("", "two\nlines", "x" * 300):
            assert await refused(client, "vault_passphrase", passphrase=impossible) == "invalid"
        assert (tmp_path / "identity.key").read_bytes() == key
        changed = await client.call("vault_passphrase", passphrase=OTHER, current=SECRET)
        assert changed == {"sealed": True}
    async with inside(tmp_path, OTHER.encode()) as client:
        assert await client.call("vault_passphrase", current=OTHER) == {"sealed": False}
    async with inside(tmp_path) as client:
        assert client.hello["username"] == "ann"
    log = (tmp_path / "gossamer.log").read_text()
    assert SECRET not in log
    assert OTHER not in log


async def test_a_locked_node_has_no_keys_answers_four_commands_and_goes_on_when_opened(
    tmp_path: Path,
) -> None:
    earlier = holders()
    others = {id(o) for o in earlier}
    async with inside(tmp_path) as client:
        await client.call("vault_passphrase", passphrase=SECRET)
        assert any(id(o) not in others for o in holders())
        room = (await client.call("room_create", name="tea"))["room"]
        before, hello = runtime(tmp_path), client.hello
        assert await client.call("vault_lock") == {"locked": True}
        assert [type(o).__name__ for o in holders() if id(o) not in others] == []
        while runtime(tmp_path)["mesh"] is not None:
            await asyncio.sleep(0.01)
        for command in ("room_list", "vault_lock", "vault_passphrase", "login_link_create", "profile_get"):
            assert await refused(client, command) == "locked"
        status = await client.call("node_status")
        assert (status["connectivity"], status["user_id"], status["clients"]) == ("locked", "", 1)
        async with Client.connect(home=tmp_path) as late:
            assert (late.hello["connectivity"], late.hello["username"]) == ("locked", "")
            assert await refused(late, "vault_unlock", passphrase="no") == "wrong_passphrase"
            one, two = await asyncio.gather(
                late.call("vault_unlock", passphrase=SECRET),
                client.call("vault_unlock", passphrase=SECRET),
                return_exceptions=True,
            )
            assert one == {"locked": False}
            assert isinstance(two, Refused) and two.code == "busy"
            assert await client.call("vault_unlock", passphrase=SECRET) == {"locked": False}
            assert (await client.call("room_list"))["rooms"][0]["room"] == room
            await late.call("user_message", room=room, message="back")
            async with asyncio.timeout(EVENT_SECONDS):
                seen = [e async for e in until(client, "user_message")]
                late_seen = [e async for e in until(late, "user_message")]
        states = [e["state"] for e in seen if e["event"] == "connectivity"]
        assert states[0] == "locked"
        assert states[1] != "locked"
        seqs = [e["seq"] for e in seen if "seq" in e]
        assert seqs == list(range(hello["seq"] + 1, seqs[-1] + 1))
        again = next(e for e in late_seen if e["event"] == "hello")
        assert (again["username"], again["log_epoch"]) == ("ann", hello["log_epoch"])
        assert late.position == {"epoch": hello["log_epoch"], "seq": seqs[-1]}
        assert runtime(tmp_path) == before


async def until(client: Client, name: str) -> AsyncIterator[dict[str, Any]]:
    async for event in client.events():
        yield event
        if event["event"] == name:
            return


async def test_a_locked_node_loses_no_message_and_says_nothing_to_the_mesh(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann, bob):
        await befriend(ann, bob)
        room = await make_room(ann, bob)
        async with ann.frontend({}) as at_ann, bob.frontend({}) as at_bob:
            await at_ann.call("vault_passphrase", passphrase=SECRET)
            await at_ann.call("vault_lock")
            await at_ann.event("connectivity", state="locked")
            await at_bob.event("peer_down")
            for number in range(5):
                await at_bob.call("user_message", room=room, message=f"m{number}")
            with pytest.raises(OSError, match=r".*"):
                await connect(ann.address, open_timeout=2)
            plain = await connect(ann.url)
            await at_ann.call("vault_unlock", passphrase=SECRET)
            await at_ann.wait(lambda e: e.get("message") == "m4")
            assert at_ann.texts() == [f"m{n}" for n in range(5)]
            frontend = Frontend(plain)
            reading = asyncio.create_task(frontend.read())
            await frontend.wait(lambda e: e.get("message") == "m4")
            assert frontend.texts() == [f"m{n}" for n in range(5)]
            reading.cancel()
            await plain.close()


async def test_a_sealed_home_without_a_passphrase_starts_locked_also_after_a_kill(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    try:
        await ann.start()
        async with ann.frontend({}) as owner:
            await owner.call("vault_passphrase", passphrase=SECRET)
            made = (await owner.call("room_create", name="tea"))["room"]
            token = (await owner.call("token_create", name="bot", scope="chat"))["token"]
        await ann.kill()
        for _ in range(2):
            await ann.start()
            assert runtime(ann.home)["mesh"] is None
            async with ann.frontend({}) as owner:
                hello = await owner.event("hello")
                assert (hello["connectivity"], hello["username"]) == ("locked", "")
                await owner.send({"event": "room_list", "req": "early"})
                assert (await owner.event("error"))["code"] == "locked"
            assert await ann.stop() == 0
            assert not (ann.home / "runtime.json").exists()
        await ann.start()
        async with ann.frontend({}) as owner:
            await owner.call("vault_unlock", passphrase=SECRET)
            assert (await owner.call("room_list"))["rooms"][0]["room"] == made
            assert runtime(ann.home)["mesh"]["port"]
            async with connect(f"ws://127.0.0.1:{ann.bridge_port}/?token={token}"):
                pass
        assert await ann.stop() == 0
        ann.flags = ("--passphrase-file", str(tmp_path / "phrase"))
        (tmp_path / "phrase").write_text(SECRET + "\n")
        await ann.start()
        assert runtime(ann.home)["mesh"] is not None
        assert (ann.home / "identity.key").stat().st_mode & 0o077 == 0
    finally:
        if ann.process is not None:
            await ann.kill()

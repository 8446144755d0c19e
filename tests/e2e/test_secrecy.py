"""What a node that only carries can see: nothing to read, no room, no account (files and links searched)."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.crypto import links
from tests.e2e.nodes import NodeProcess, befriend, make_room, running

pytestmark = pytest.mark.slow

CANARY = "canary-7f3a9c-plaintext"


class Tap:
    """A TCP proxy that keeps every byte: what somebody on the wire would have."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.captured = bytearray()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.captured += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


def spellings(raw: bytes) -> list[bytes]:
    """Return the ways in which bytes could be written down."""
    forms = [raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"=")]
    forms.append(base64.urlsafe_b64encode(raw).rstrip(b"="))
    if len(raw) == 16:
        forms += [str(uuid.UUID(bytes=raw)).encode(), str(uuid.UUID(bytes=raw)).upper().encode()]
    return forms


async def test_a_carrier_holds_and_sees_no_plaintext_no_room_and_no_account(tmp_path: Path) -> None:
    """M8."""
    relay = NodeProcess(tmp_path / "cat", "cat", "--relay", "--log-level", "debug")
    async with running(relay):
        tap = Tap(relay.mesh_port)
        async with tap.open():
            peer = ("--peer", f"ws://127.0.0.1:{tap.port}")
            ann = NodeProcess(tmp_path / "ann", "ann", *peer)
            bob = NodeProcess(tmp_path / "bob", "bob", *peer)
            async with running(ann, bob):
                await befriend(ann, bob)
                room = await make_room(ann, bob, name=f"room {CANARY}")
                async with ann.frontend({}) as a, bob.frontend({}) as b:
                    await a.call("user_message", room=room, message=CANARY)
                    await b.event("user_message", message=CANARY)
                    direct = (await a.call("dm_open", username="bob"))["room"]
                    await a.call("user_message", room=direct, message=f"dm {CANARY}")
                    await b.event("user_message", message=f"dm {CANARY}")
                    accounts = [
                        links.decode_contact((await f.call("contact_link_create"))["link"]).account
                        for f in (a, b)
                    ]
                    users = [(await f.call("profile_get"))["user_id"] for f in (a, b)]
                await asyncio.sleep(1.5)
        await relay.stop()
        with sqlite3.connect(relay.home / "gossamer.db") as db:
            (held,) = db.execute("select count(*) from envelopes").fetchone()
        assert held > 5, "the carrier must have held something for the search to mean anything"
        seen = {"the wire": bytes(tap.captured)}
        seen |= {p.name: p.read_bytes() for p in relay.home.rglob("*") if p.is_file()}
        secrets = [CANARY.encode(), *spellings(CANARY.encode())]
        for raw in (uuid.UUID(room).bytes, uuid.UUID(direct).bytes, *accounts):
            secrets += spellings(raw)
        secrets += [user.encode() for user in users]
        for where, data in seen.items():
            for secret in secrets:
                assert secret not in data, f"{where} shows {secret!r}"
        assert len(tap.captured) > 20_000


async def test_files_are_private_under_any_umask_and_logs_hold_no_secret(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann", "--log-level", "debug")
    async with running(ann), ann.frontend({}) as a:
        await a.call("room_create", name=CANARY)
        token = ann.token
        assert ann.home.stat().st_mode & 0o777 == 0o700
        for path in ann.home.iterdir():
            if path.is_file():
                assert path.stat().st_mode & 0o777 == 0o600, path
        text = (ann.home / "gossamer.log").read_text()
        assert token not in text and CANARY not in text

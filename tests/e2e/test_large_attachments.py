"""Attachments above 1 MiB between real nodes: straight, across kill -9, and through a relay."""

from __future__ import annotations

import asyncio
import hashlib
import os
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.e2e.nodes import Frontend, NodeProcess, befriend, make_room, running
from tests.e2e.test_attachments import at, gossamer, put

MIB = 1024 * 1024


async def fetched(http: ClientSession, node: NodeProcess, url: str) -> str:
    """Return the hash of what a download brings."""
    digest = hashlib.blake2b(digest_size=32, person=b"gsmr1/file")
    async with http.get(at(node, url)) as got:
        assert got.status == 200, await got.text()
        async for piece in got.content.iter_chunked(65_536):
            digest.update(piece)
    return digest.hexdigest()


async def ready(frontend: Frontend, ident: str, seconds: float) -> str:
    told = await frontend.event("attachment", seconds, id=ident, state="ready")
    return str(told["url"])


@pytest.mark.slow
async def test_five_mib_arrive_though_the_receiver_and_the_sender_are_killed(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    await ann.start()
    bob = NodeProcess(tmp_path / "bob", "bob", "--peer", ann.address)
    async with running(), ClientSession() as http:
        try:
            await bob.start()
            await befriend(ann, bob)
            room = await make_room(ann, bob)
            async with ann.frontend({}) as a:
                told = await put(http, ann, BytesIO(os.urandom(5 * MIB)))
                async with bob.frontend({}) as b:
                    await a.call("user_message", room=room, message="x", attachment=told["attachment"])
                    await b.event("user_message", message="x")
                await bob.kill()
                await bob.start()
            await ann.kill()
            await ann.start()
            async with bob.frontend({}) as b:
                facts = await b.call("attachment_get", id=told["attachment"])
                if facts["state"] != "ready":
                    await ready(b, told["attachment"], 30)
                    facts = await b.call("attachment_get", id=told["attachment"])
                assert await fetched(http, bob, facts["url"]) == told["hash"]
        finally:
            await bob.kill()
            await ann.kill()


def sparse(path: Path, size: int) -> str:
    """Write a file of mostly nothing, and return its hash."""
    digest = hashlib.blake2b(digest_size=32, person=b"gsmr1/file")
    with path.open("wb") as file:
        for _ in range(size // MIB):
            piece = os.urandom(4_096) + bytes(MIB - 4_096)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


@pytest.mark.gate
async def test_64_mib_through_a_relay_when_the_author_has_gone_by_the_command_line(tmp_path: Path) -> None:
    relay = NodeProcess(tmp_path / "relay", "relay", "--relay")
    await relay.start()
    ann = NodeProcess(tmp_path / "ann", "ann", "--peer", relay.address)
    bob = NodeProcess(tmp_path / "bob", "bob", "--peer", relay.address)
    try:
        async with running():
            await ann.start()
            await bob.start()
            await befriend(ann, bob)
            await make_room(ann, bob)
            await bob.kill()
            digest = sparse(tmp_path / "film.mkv", 64 * MIB)
            code, _ = await gossamer(ann, "send", "club", "look", "--file", "film.mkv", cwd=tmp_path)
            assert code == 0
            async with asyncio.timeout(120):
                while len([f for f in (relay.home / "parts").iterdir() if len(f.name) == 64]) < 64:
                    await asyncio.sleep(0.2)
            await asyncio.sleep(2)  # a relay writes what it holds within a second
            await ann.kill()
            await relay.kill()
            await bob.start()
            async with bob.frontend({}) as b:
                await relay.start()  # only now: what is told before a frontend is there, no log repeats to it
                rooms = (await b.call("room_list"))["rooms"]
                async with asyncio.timeout(60):
                    while not (page := await b.call("history_get", room=rooms[0]["room"]))["messages"]:
                        await asyncio.sleep(0.2)
                ident = page["messages"][-1]["attachment"]["id"]
                told = await b.event("attachment", 60, id=ident)
                assert (told["state"], told["received"]) == ("pending", 0)
            getting = asyncio.create_task(gossamer(bob, "attachment", "get", ident, cwd=bob.home.parent))
            async with asyncio.timeout(60):
                while not list((bob.home / "attachments").glob("*.part")):
                    await asyncio.sleep(0.05)
            await bob.kill()
            assert (await getting)[0] != 0
            await bob.start()
            (tmp_path / "here").mkdir()
            code, out = await gossamer(bob, "attachment", "get", ident, cwd=tmp_path / "here")
            assert code == 0, out
            got = hashlib.blake2b(digest_size=32, person=b"gsmr1/file")
            got.update((tmp_path / "here" / "film.mkv").read_bytes())
            assert got.hexdigest() == digest
    finally:
        for node in (ann, bob, relay):
            await node.kill()

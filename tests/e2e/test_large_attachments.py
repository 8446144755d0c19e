"""Attachments above 1 MiB between real nodes: straight, across kill -9, and through a relay."""

from __future__ import annotations

import hashlib
import os
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.e2e.nodes import Frontend, NodeProcess, befriend, make_room, running
from tests.e2e.test_attachments import at, put

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

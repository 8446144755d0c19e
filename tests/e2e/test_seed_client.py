"""A frontend that knows only the first published protocol: no hello, no extra keys, its own odd comma."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.e2e.nodes import NodeProcess, befriend, running

pytestmark = pytest.mark.slow

SEED_RESPONSE = """{
    "event": "user_invite_response",
    "response": "accept",
}"""
"""To the byte as the protocol prints it, trailing comma included."""


async def test_a_plain_client_is_invited_accepts_and_chats(tmp_path: Path) -> None:
    relay = NodeProcess(tmp_path / "cat", "cat", "--relay")
    ann = NodeProcess(tmp_path / "ann", "ann")
    bob = NodeProcess(tmp_path / "bob", "bob")
    async with running(relay):
        ann.flags = bob.flags = ("--peer", relay.address)
        async with running(ann, bob):
            await befriend(ann, bob)
            async with ann.frontend({}) as host, bob.frontend() as plain:
                room = (await host.call("room_create", name="club"))["room"]
                await host.call("user_invite", target="bob", room=room)
                offer = await plain.event("user_invite")
                assert offer["sender"] == "ann" and offer["room"] == room
                accepted = time.perf_counter()
                await plain.ws.send(SEED_RESPONSE)
                joined = await plain.event("user_join", username="bob")
                assert joined["room"] == room
                await host.event("user_join", username="bob", room=room)
                await host.call("user_message", room=room, message="Hello, world!")
                message = await plain.event("user_message")
                assert time.perf_counter() - accepted < 1.0
                assert message["message"] == "Hello, world!" and message["username"] == "ann"
                assert isinstance(message["timestamp"], int)
                assert abs(message["timestamp"] - time.time()) < 10
                await plain.send({"event": "user_message", "room": room, "message": "hi"})
                await host.event("user_message", message="hi", username="bob")
                await host.call("user_leave", room=room)
                left = await plain.event("user_leave", username="ann", room=room)
                assert left["reason"] == "leave"
                names = {e["event"] for e in plain.events}
                assert names <= {"user_invite", "user_join", "user_message", "user_leave"}


async def test_a_comma_is_forgiven_in_that_one_answer_only(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ann.frontend() as plain:
        await plain.ws.send(SEED_RESPONSE)
        assert (await plain.event("error"))["code"] == "no_open_invite"
        await plain.ws.send('{"event": "room_list", "req": 1,}')
        assert (await plain.wait(lambda e: e.get("code") == "bad_frame"))["event"] == "error"
        await asyncio.sleep(0)
        assert json.dumps(plain.events)

"""The SDK against the bridge, over both of its ways in."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from node import client as client_module
from node.bridge.ports import (
    CredentialsChanged,
    EndSession,
    SessionStarted,
    Subscription,
    TokenRecord,
    hash_token,
)
from node.chat import commands
from node.client import Client
from node.errors import Refused
from tests.bridge.fake_engine import ADMIN, EPOCH, ROOM, Bridge


async def test_a_home_says_where_its_node_is(bridge: Bridge, tmp_path: Path) -> None:
    runtime = {"bridge": {"host": "127.0.0.1", "port": bridge.port}, "socket": str(bridge.path)}
    (tmp_path / "runtime.json").write_text(json.dumps(runtime))
    async with Client.connect(home=tmp_path, subscribe={"events": []}) as client:
        assert client.hello["log_epoch"] == EPOCH
        assert await client.call("user_message", room=ROOM, message="hi") == {"id": ROOM, "ts_ms": 1}
    (tmp_path / "runtime.json").write_text(json.dumps({**runtime, "socket": None}))
    (tmp_path / "token").write_text(ADMIN + "\n")
    async with Client.connect(home=tmp_path) as client:
        assert await client.call("room_list") == {}
    started = [i for i in bridge.engine.inputs if isinstance(i, SessionStarted)]
    assert [s.plain for s in started] == [False, False]
    assert started[0].subscribe == Subscription(frozenset(), None)


async def test_no_node_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        async with Client.connect(home=tmp_path):
            pass
    assert caught.value.code == "not_running"
    (tmp_path / "runtime.json").write_text('{"bridge":{"host":"127.0.0.1","port":1},"socket":"/nowhere"}')
    with pytest.raises(Refused) as caught:
        async with Client.connect(home=tmp_path):
            pass
    assert caught.value.code == "not_running"


async def test_what_is_not_unicode_is_refused_before_it_is_sent(bridge: Bridge) -> None:
    async with Client.connect(url=f"ws://127.0.0.1:{bridge.port}", token=ADMIN) as client:
        with pytest.raises(Refused) as caught:
            await client.call("user_message", room=ROOM, message=b"\xff".decode(errors="surrogateescape"))
        assert caught.value.code == "invalid"
        assert await client.call("user_message", room=ROOM, message="\u2028 é") == {"id": ROOM, "ts_ms": 1}


async def test_a_login_link_is_made_once_for_a_nonce(bridge: Bridge) -> None:
    async with Client.connect(url=f"ws://127.0.0.1:{bridge.port}", token=ADMIN) as client:
        links = [
            (await client.call("login_link_create", nonce=n))["url"] for n in ("one", "one", "two", None)
        ]
    assert links[0] == links[1]
    assert len(set(links)) == 3


async def test_refusals_keep_their_code_field_and_extras(bridge: Bridge) -> None:
    async with Client.connect(url=f"ws://127.0.0.1:{bridge.port}", token=ADMIN) as client:
        with pytest.raises(Refused) as caught:
            await client.call("user_message", room=ROOM)
        assert (caught.value.code, caught.value.field) == ("invalid", "message")
        with pytest.raises(Refused) as caught:
            await client.call("made_up")
        assert caught.value.code == "unknown_event"
    with pytest.raises(Refused) as caught:
        async with Client.connect(url=f"ws://127.0.0.1:{bridge.port}", token="x" * 43):
            pass
    assert caught.value.code == "unauthorized"


async def test_events_go_on_after_the_connection_was_lost(bridge: Bridge) -> None:
    async with Client.connect(socket=str(bridge.path)) as client:
        stream = client.events(reconnect=True)
        bridge.engine.say("one")
        assert (await anext(stream))["message"] == "one"
        bridge.server.perform(EndSession(1, 4008, "slow"))
        waiting = asyncio.create_task(asyncio.wait_for(anext(stream), 30))
        while bridge.engine.sessions:
            await asyncio.sleep(0.01)
        bridge.engine.say("two")
        assert (await waiting)["message"] == "two"
        assert (await anext(stream))["event"] == "caught_up"
        bridge.engine.say("three")
        assert (await anext(stream))["seq"] == 3


async def test_without_reconnect_the_loss_ends_events_and_calls(bridge: Bridge) -> None:
    async with Client.connect(socket=str(bridge.path)) as client:
        bridge.server.perform(EndSession(1, 1012, "stop"))
        with pytest.raises(Refused) as caught:
            await anext(client.events())
        assert caught.value.code == "connection_lost"
        with pytest.raises(Refused) as caught:
            await client.call("room_list")
        assert caught.value.code == "connection_lost"


async def test_a_revoked_token_is_not_tried_again(bridge: Bridge) -> None:
    child = "c" * 43
    bridge.server.perform(CredentialsChanged((TokenRecord("bot", "chat", hash_token(child), 0),), ()))
    async with Client.connect(url=f"ws://127.0.0.1:{bridge.port}", token=child) as client:
        bridge.server.perform(CredentialsChanged((), ()))
        with pytest.raises(Refused) as caught:
            await anext(client.events(reconnect=True))
        assert caught.value.code == "unauthorized"


async def until_gone(bridge: Bridge) -> None:
    async with asyncio.timeout(30):
        while bridge.engine.sessions:
            await asyncio.sleep(0.01)


async def test_a_client_that_reconnects_does_so_without_being_asked_for_events(bridge: Bridge) -> None:
    async with Client.connect(socket=str(bridge.path), reconnect=True) as client:
        bridge.server.perform(EndSession(1, 1012, "restart"))
        await until_gone(bridge)
        bridge.engine.say("while away")
        assert await client.call("room_list", nonce="it waits for the connection", timeout=5) == {}
        assert (await anext(client.events()))["message"] == "while away"


async def test_a_command_with_a_nonce_outlives_the_connection_and_one_without_does_not(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_FIRST_PAUSE", 1.0)  # so that it is not back before it is asked
    async with Client.connect(socket=str(bridge.path), reconnect=True) as client:
        bridge.server.perform(EndSession(1, 1012, "restart"))
        await until_gone(bridge)
        await asyncio.sleep(0.02)
        with pytest.raises(Refused) as caught:
            await client.call("user_message", room=ROOM, message="hi")
        assert caught.value.code == "connection_lost" and caught.value.retryable
        kept = await client.call("user_message", room=ROOM, message="hi", nonce="n", timeout=5)
        assert kept == {"id": ROOM, "ts_ms": 1}


async def test_the_position_is_that_of_what_was_handed_out_not_of_what_came(bridge: Bridge) -> None:
    async with Client.connect(socket=str(bridge.path), reconnect=True) as client:
        for text in ("one", "two", "three"):
            bridge.engine.say(text)
        stream = client.events()
        assert (await anext(stream))["message"] == "one"
        assert client.position == {"epoch": EPOCH, "seq": 1}
        bridge.server.perform(EndSession(1, 1012, "restart"))
        await until_gone(bridge)
        bridge.engine.say("four")
        said = [await asyncio.wait_for(anext(stream), 30) for _ in range(3)]
        assert [event["message"] for event in said] == ["two", "three", "four"], "nothing twice"


async def test_a_command_may_be_a_struct_that_the_type_checker_knows(bridge: Bridge) -> None:
    async with Client.connect(socket=str(bridge.path)) as client:
        said = await client.ask(commands.UserMessage(room=ROOM, message="hi"))
        assert said == {"id": ROOM, "ts_ms": 1}

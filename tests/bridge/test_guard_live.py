"""What docs/bridge.md section 4 says of credentials that go, sizes and frames, against a listening bridge."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from node.bridge import http_frontend, http_routes, session
from node.bridge.guard import Admit, Grant, Request, decide
from node.bridge.ports import CredentialsChanged, TokenRecord, hash_token
from node.bridge.server import BridgeServer
from tests.bridge.fake_engine import ADMIN, Bridge, FakeEngine, clock, counted_entropy, recv

CHILD, FRESH = "c" * 43, "f" * 43


def child(scope: str = "chat", token: str = CHILD, expires_ms: int | None = None) -> TokenRecord:
    return TokenRecord("bot", scope, hash_token(token), 0, expires_ms)  # type: ignore[arg-type] - one of three


async def close_code(ws: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(30):
        async for _ in ws:
            pass
    return ws.close_code


async def test_another_admin_token_closes_who_came_by_the_old_one_and_lets_the_unix_socket_go_on(
    bridge: Bridge,
) -> None:
    bridge.server.perform(CredentialsChanged((child(),), ()))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(bridge.server.login_url(), allow_redirects=False) as answer:
            assert answer.status == 303
        async with http.get(bridge.http("/bridge"), headers={"Origin": bridge.http("")}) as answer:
            assert answer.status == 426
        unused = bridge.server.login_url()
        page = await http.ws_connect(bridge.http("/bridge"), headers={"Origin": bridge.http("")})
        admin = await http.ws_connect(bridge.http(f"/?token={ADMIN}"))
        bot = await http.ws_connect(bridge.http(f"/?token={CHILD}"))
        async with unix_connect(str(bridge.path)) as unix:
            bridge.server.perform(CredentialsChanged((child(),), (), admin_token=FRESH))
            assert [await close_code(page), await close_code(admin)] == [4401, 4401]
            await unix.send('{"event":"room_list","req":1}')
            assert (await recv(unix))["event"] == "ok"
            await bot.send_str('{"event":"room_list","req":2}')
            assert json.loads((await bot.receive()).data)["event"] == "ok"
            await bot.close()
        async with http.get(unused, allow_redirects=False) as answer:
            assert answer.status == 401
        async with http.get(bridge.http("/bridge"), headers={"Origin": bridge.http("")}) as answer:
            assert answer.status == 401
    with pytest.raises(InvalidStatus, match="401"):
        async with connect(bridge.url(token=ADMIN)):
            pass
    async with connect(bridge.url(token=FRESH)) as ws:
        await ws.send('{"event":"room_list","req":3}')
        assert (await recv(ws))["req"] == 3


@pytest.mark.parametrize(
    "after",
    [(), (child("read"),), (child(token=FRESH),), (child(expires_ms=1),)],
    ids=["revoked", "another scope", "rotated", "over"],
)
async def test_a_session_goes_with_its_token(bridge: Bridge, after: tuple[TokenRecord, ...]) -> None:
    bridge.server.perform(CredentialsChanged((child(),), ()))
    async with connect(bridge.url(token=CHILD)) as ws, connect(bridge.url(token=None)) as named:
        await named.send(json.dumps({"event": "hello", "token": CHILD}))
        await recv(named)
        bridge.server.perform(CredentialsChanged(after, ()))
        for one in (ws, named):
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(one.recv(), 30)
            assert one.close_code == 4401


async def test_a_session_stays_while_other_tokens_and_origins_change(bridge: Bridge) -> None:
    bridge.server.perform(CredentialsChanged((child(),), ()))
    async with connect(bridge.url(token=CHILD)) as ws:
        other = TokenRecord("other", "read", hash_token(FRESH), 0)
        bridge.server.perform(CredentialsChanged((other, child()), ("http://localhost:5173",)))
        await ws.send('{"event":"room_list","req":1}')
        assert (await recv(ws))["req"] == 1


async def test_a_body_that_is_too_long_is_413_before_any_route(bridge: Bridge) -> None:
    bearer = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as http:
        for path in ("/", "/api/v1/nowhere"):
            async with http.post(
                bridge.http(path), data=io.BytesIO(bytes(1024 * 1024 + 1)), headers=bearer
            ) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (413, "too_large")
        async with http.post(bridge.http("/api/v1/nowhere"), data=b"{}", headers=bearer) as answer:
            assert answer.status == 404
        async with http.post(
            bridge.http("/api/v1/nowhere"), data=b"x", headers={**bearer, "Content-Type": "text/plain"}
        ) as answer:
            assert answer.status == 415


async def test_no_frame_is_compressed(bridge: Bridge) -> None:
    async with connect(bridge.url(), compression="deflate") as ws:
        assert ws.protocol.extensions == []


async def test_an_upgrade_without_credential_closes_4408_and_nothing_was_sent(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HELLO_SECONDS", 0.05)
    async with connect(bridge.url(token=None)) as ws:
        bridge.engine.say("not for everybody")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 4408


async def test_three_malformed_frames_close_4400_and_text_is_utf8_of_depth_32(bridge: Bridge) -> None:
    deep = '{"event":"room_list","x":' + "[" * 31 + "]" * 31 + "}"
    async with connect(bridge.url()) as ws:
        await ws.send(deep.replace("room_list", "room_list", 1).replace("{", '{"req":1,', 1))
        assert (await recv(ws))["event"] == "ok"
        for bad in ("{", '{"event":"room_list","x":' + "[" * 32 + "]" * 32 + "}", "[]"):
            await ws.send(bad)
            assert (await recv(ws))["code"] == "bad_frame"
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 4400


async def test_a_child_is_slowed_and_the_owner_is_not(bridge: Bridge) -> None:
    bridge.server.perform(CredentialsChanged((child("read"),), ()))
    for token, limited in ((CHILD, True), (ADMIN, False)):
        async with connect(bridge.url(token=token)) as ws:
            for number in range(700):
                await ws.send(f'{{"event":"room_list","req":{number}}}')
            answers = [await recv(ws) for _ in range(700)]
        slowed = [a for a in answers if a["event"] == "error"]
        assert bool(slowed) is limited
        assert all(a["code"] == "rate_limited" and a["retry_after"] > 0 for a in slowed)


async def test_a_token_in_a_url_is_in_no_log(bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets").setLevel(logging.WARNING)  # our own client's
    async with connect(bridge.url(path="/bridge")) as ws:
        await ws.send("{")
        await recv(ws)
    async with aiohttp.ClientSession() as http:
        for path in ("/", "/nowhere", "/api/v1/health", "/api/v1/login"):
            async with http.get(bridge.http(f"{path}?token={ADMIN}&code={FRESH}")) as answer:
                await answer.read()
    _, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(f"GET /?token={ADMIN} HTTP/9\r\n\r\n".encode())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith(("websockets", "asyncio"))]
    assert not any(ADMIN in text or FRESH in text for text in ours)


def test_a_capability_opens_exactly_the_path_it_is_for() -> None:
    from dataclasses import replace

    from tests.bridge.test_guard import NOW, POLICY

    good = "/api/v1/attachments/one"
    seen = Grant("read", "bot")
    policy = replace(POLICY, capability=lambda path, cap, _: seen if (path, cap) == (good, "k") else None)
    asked = Request("GET", good, hosts=("127.0.0.1:7117",), capabilities=("k",))
    assert decide(asked, policy, NOW) == Admit(seen)
    for wrong in (
        replace(asked, path="/api/v1/attachments/two"),
        replace(asked, path="/api/v1/metrics"),
        replace(asked, capabilities=("x",)),
        replace(asked, capabilities=("k", "k")),
        replace(asked, method="POST"),
        replace(asked, method="DELETE"),
        replace(asked, websocket=True),
        replace(asked, hosts=("evil",)),
        replace(asked, origins=("null",)),
        replace(asked, query_tokens=("x" * 43,)),
    ):
        assert not isinstance(decide(wrong, policy, NOW), Admit), wrong
    assert not isinstance(decide(asked, POLICY, NOW), Admit)


@pytest.fixture
async def named(tmp_path: Path) -> AsyncIterator[Bridge]:
    engine = FakeEngine()
    server = BridgeServer(
        engine.submit, engine, admin_token=ADMIN, host="127.0.0.1", port=0, socket_path=None,
        entropy=counted_entropy(), clock=clock, extra_hosts=("chat.example",),
    )  # fmt: skip
    engine.server = server
    made = Bridge(server, engine, tmp_path)
    _, made.port = await server.start()
    yield made
    await server.stop()


async def test_a_name_that_the_owner_added_is_a_host_and_an_origin_with_our_port_alone(named: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        for host, status in (
            (f"chat.example:{named.port}", 200),
            ("chat.example:1", 421),
            ("chat.example", 421),
        ):
            async with http.get(named.http("/api/v1/health"), headers={"Host": host}) as answer:
                assert answer.status == status
        headers = {"Host": f"chat.example:{named.port}", "Origin": f"http://chat.example:{named.port}"}
        async with http.get(named.http("/api/v1/health"), headers=headers) as answer:
            assert answer.status == 200


async def test_a_read_of_the_bridge_itself_counts_against_its_limit(bridge: Bridge) -> None:
    assert http_frontend.MAX_READS == 16
    async with connect(bridge.url()) as ws:
        for number in range(100):
            await ws.send(f'{{"event":"audit_list","req":{number}}}')
        found = [await recv(ws) for _ in range(100)]
        assert {frame["event"] for frame in found} == {"ok"}


async def test_a_connection_that_never_asks_whole_is_closed_and_there_are_not_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_routes, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(http_routes, "MAX_CONNECTIONS", 3)
    server = BridgeServer(
        lambda _event: None, FakeEngine(), admin_token=ADMIN, host="127.0.0.1", port=0, socket_path=None,
        entropy=counted_entropy(), clock=clock,
    )  # fmt: skip
    _, port = await server.start()
    try:
        async with asyncio.timeout(20):
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for _, writer in slow:
                writer.write(b"GET /api/v1/health HTTP/1.1\r\nHost: ")
            reader, beyond = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            for reader, writer in slow:
                assert await reader.read() == b""
                writer.close()
            beyond.close()
            url = f"http://127.0.0.1:{port}/api/v1/health"
            async with aiohttp.ClientSession() as http, http.get(url) as answer:
                assert answer.status == 200
    finally:
        await server.stop()

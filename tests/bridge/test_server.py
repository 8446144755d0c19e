"""The bridge on loopback, with real sockets: what a plain client, a resumed one and an attacker see."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from node.bridge import http_frontend, http_socket, outbox, session
from node.bridge.http_routes import peer_uid
from node.bridge.ports import (
    CredentialsChanged,
    EndSession,
    EventsWritten,
    SessionEnded,
    TokenRecord,
    hash_token,
)
from node.bridge.server import BridgeServer
from node.chat import events
from node.errors import Refused
from tests.bridge.fake_engine import ADMIN, EPOCH, ROOM, Bridge, FakeEngine, clock, counted_entropy, recv

CHILD = "c" * 43


async def hello(ws: ClientConnection, **keys: Any) -> dict[str, Any]:
    await ws.send(json.dumps({"event": "hello", **keys}))
    return await recv(ws)


async def close_code(ws: ClientConnection) -> int | None:
    try:
        async with asyncio.timeout(30):
            while True:
                await ws.recv()
    except ConnectionClosed:
        return ws.close_code


async def refused(url: str, **more: Any) -> int:
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, **more)
    return caught.value.response.status_code


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_plain_client_with_a_token_needs_no_hello(bridge: Bridge) -> None:
    bridge.engine.say("before")
    async with connect(bridge.url()) as ws:
        await ws.send('{\n    "event": "user_invite_response",\n    "response": "accept",\n}')
        assert (await recv(ws))["message"] == "before"
        bridge.engine.broadcast(events.Connectivity(state="alone"))
        bridge.engine.say("Hello, world!")
        seen = await recv(ws)
        assert (seen["username"], seen["timestamp"], seen["room"]) == ("Example", 1730736486, ROOM)
        await ws.send('{"event":"room_list"}')
        await ws.send('{"event":"room_list","req":"r"}')
        assert await recv(ws) == {"event": "ok", "req": "r"}


async def test_a_plain_client_that_says_nothing_is_served_too(bridge: Bridge) -> None:
    for text in ("one", "two"):
        bridge.engine.say(text)
    async with connect(bridge.url("/bridge")) as ws:
        assert [(await recv(ws))["message"] for _ in range(2)] == ["one", "two"]
        bridge.engine.say("three")
        assert (await recv(ws))["message"] == "three"


async def test_of_what_no_frontend_has_had_a_plain_client_gets_the_newest_200(bridge: Bridge) -> None:
    for number in range(700):
        bridge.engine.say(str(number))
    async with connect(bridge.url()) as ws:
        assert [(await recv(ws))["seq"] for _ in range(200)] == list(range(501, 701))


async def test_what_was_deleted_meanwhile_is_no_news_for_a_plain_client(bridge: Bridge) -> None:
    for text in ("one", "", "three"):
        bridge.engine.say(text)
    seq, body = bridge.engine.log[1]
    bridge.engine.log[1] = seq, body.replace(b'"gap":false', b'"gap":false,"deleted":true')
    async with connect(bridge.url()) as ws:
        assert [(await recv(ws))["message"] for _ in range(2)] == ["one", "three"]
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws, resume={"epoch": EPOCH, "seq": 0})
        assert [(await recv(ws)).get("deleted") for _ in range(3)] == [None, True, None]


async def test_what_other_frontends_had_is_left_out_of_a_plain_clients_backlog(bridge: Bridge) -> None:
    for number in range(700):
        bridge.engine.say(str(number))
    bridge.engine.had = ((100, 300), (310, 698))
    async with connect(bridge.url()) as ws:
        wanted = [*range(1, 101), *range(301, 311), 699, 700]
        assert [(await recv(ws))["seq"] for _ in wanted] == wanted
        bridge.engine.say("live")
        assert (await recv(ws))["seq"] == 701
    await until(lambda: any(isinstance(e, SessionEnded) for e in bridge.engine.inputs))
    assert (
        EventsWritten(1, 0, 701) in bridge.engine.inputs or EventsWritten(1, 700, 701) in bridge.engine.inputs
    )


async def test_a_hello_right_after_a_good_handshake_sees_nothing_twice(bridge: Bridge) -> None:
    bridge.engine.say("one")
    async with connect(bridge.url()) as ws:
        answer = await hello(ws, req=5, resume={"epoch": EPOCH, "seq": 0})
        assert (answer["event"], answer["req"], answer["log_epoch"]) == ("hello", 5, EPOCH)
        assert (await recv(ws))["message"] == "one"
        assert await recv(ws) == {"event": "caught_up", "seq": 1}
        bridge.engine.say("two")
        assert (await recv(ws))["seq"] == 2


async def test_a_replay_under_fire_has_every_event_once_and_in_order(bridge: Bridge) -> None:
    engine, busy = bridge.engine, iter(range(40))

    def say_more() -> None:
        for _ in range(20):
            if next(busy, None) is not None:
                engine.say("live")

    for number in range(http_socket.PAGE * 3 + 7):
        engine.say(str(number))
    engine.on_page = say_more
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws, resume={"epoch": EPOCH, "seq": 3})
        for number in range(10):
            engine.say(f"live {number}")
        await asyncio.sleep(0.05)
        engine.say("last")
        seen, caught = [], 0
        while not seen or seen[-1] < len(engine.log) or not caught:
            event = await recv(ws)
            caught += event["event"] == "caught_up"
            if event["event"] == "user_message":
                seen.append(event["seq"])
        assert caught == 1
        assert seen == list(range(4, len(engine.log) + 1))


async def test_a_subscription_filters_replay_and_live(bridge: Bridge) -> None:
    other = ROOM.replace("fc", "ab")
    for room in (ROOM, other, ROOM):
        bridge.engine.say("old", room=room)
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws, subscribe={"rooms": [other]}, resume={"epoch": EPOCH, "seq": 0})
        assert (await recv(ws))["seq"] == 2
        assert await recv(ws) == {"event": "caught_up", "seq": 3}
        bridge.engine.say("no")
        bridge.engine.say("yes", room=other)
        assert (await recv(ws))["seq"] == 5
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws, subscribe={"events": []})
        bridge.engine.say("unseen")
        await ws.send('{"event":"room_list","req":1}')
        assert await recv(ws) == {"event": "ok", "req": 1}


async def test_a_filtered_session_is_told_how_far_it_is(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_socket, "CAUGHT_UP_EVERY", 0.0)
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws, subscribe={"events": ["user_invite"]})
        bridge.engine.say("unseen")
        async with asyncio.timeout(30):
            assert await recv(ws) == {"event": "caught_up", "seq": 1}


async def test_what_was_written_is_reported_when_the_session_ends(bridge: Bridge) -> None:
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws)
        bridge.engine.say("x")
        await recv(ws)
    await until(lambda: any(isinstance(e, SessionEnded) for e in bridge.engine.inputs))
    assert bridge.engine.inputs[-2:] == [EventsWritten(1, 0, 1), SessionEnded(1)]


async def test_history_is_answered_from_the_store(bridge: Bridge) -> None:
    bridge.engine.say("x")
    async with connect(bridge.url() + "&hello=1", subprotocols=["gossamer.v1.msgpack"]) as ws:  # type: ignore[list-item] - a NewType
        await ws.send(msgspec.msgpack.encode({"event": "hello"}))
        assert msgspec.msgpack.decode(await ws.recv(decode=False))["event"] == "hello"
        await ws.send(msgspec.msgpack.encode({"event": "history_get", "room": ROOM, "req": 2}))
        answer = msgspec.msgpack.decode(await ws.recv(decode=False))
        assert (answer["req"], answer["more"], answer["messages"][0]["message"]) == (2, False, "x")
        bridge.engine.say("y")
        assert msgspec.msgpack.decode(await ws.recv(decode=False))["message"] == "y"


async def test_a_refusal_of_the_store_keeps_its_code(bridge: Bridge) -> None:
    async with connect(bridge.url()) as ws:
        for fault, code in (
            (Refused("message_not_found", "no"), "message_not_found"),
            (OSError(), "internal"),
        ):
            bridge.engine.no_history = fault
            await ws.send(json.dumps({"event": "history_get", "room": ROOM, "req": 2}))
            assert (await recv(ws))["code"] == code


async def test_without_credential_nothing_is_sent_before_hello(bridge: Bridge) -> None:
    async with connect(bridge.url(token=None)) as ws:
        bridge.engine.say("secret")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.4)
        assert (await hello(ws, token=ADMIN))["event"] == "hello"
    async with connect(bridge.url(token=None)) as ws:
        await ws.send('{"event":"hello","token":"guess"}')
        assert await close_code(ws) == 4401
    assert [type(i).__name__ for i in bridge.engine.inputs].count("SessionStarted") == 1


async def test_no_hello_in_time_closes_4408(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HELLO_SECONDS", 0.1)
    async with connect(bridge.url(token=None)) as ws:
        assert await close_code(ws) == 4408


async def test_the_handshake_is_judged_before_the_upgrade(bridge: Bridge) -> None:
    evil = {"origin": "https://evil.example"}
    assert await refused(bridge.url(token="x" * 43)) == 401
    assert await refused(bridge.url(), **evil) == 403
    assert await refused(bridge.url(), origin="null") == 403
    assert await refused(bridge.url(token=None), origin=f"http://127.0.0.1:{bridge.port}") == 403
    for path in ("/", "/bridge", "/ws", "/nowhere"):
        for token in (None, ADMIN):
            url = f"ws://attacker.example:{bridge.port}{path}" + (f"?token={token}" if token else "")
            assert await refused(url, host="127.0.0.1", port=bridge.port, proxy=None) == 421
    assert bridge.engine.inputs == []


@pytest.mark.parametrize("way", ["header", "protocol", "protocols"])
async def test_a_token_comes_in_any_of_three_places(bridge: Bridge, way: str) -> None:
    more: dict[str, Any] = {
        "header": {"additional_headers": {"Authorization": f"Bearer {ADMIN}"}},
        "protocol": {"subprotocols": [ADMIN]},
        "protocols": {"subprotocols": ["gossamer.v1.json", ADMIN]},
    }[way]
    async with connect(bridge.url(token=None), **more) as ws:
        assert ws.subprotocol == {"header": None, "protocol": ADMIN, "protocols": "gossamer.v1.json"}[way]
        bridge.engine.say("x")
        assert (await recv(ws))["message"] == "x"


async def test_the_unix_socket_needs_no_token_and_no_host(bridge: Bridge) -> None:
    assert bridge.path.stat().st_mode & 0o777 == 0o600
    async with unix_connect(str(bridge.path), "ws://anything/?hello=1") as ws:
        assert (await hello(ws))["event"] == "hello"
    with pytest.raises(InvalidStatus):
        await unix_connect(str(bridge.path), "ws://anything/", origin="https://evil.example")  # type: ignore[arg-type] - a NewType


async def test_the_uid_of_a_unix_peer_is_known() -> None:
    import os

    ours, theirs = sockets.socketpair(sockets.AF_UNIX)
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"GET / HTTP/1.0\r\n\r\n", 421),
        (b"GET /nowhere HTTP/1.1\r\nHost: evil\r\n\r\n", 421),
        (b"GET /nowhere HTTP/1.1\r\nHost: $\r\nHost: $\r\n\r\n", 421),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: $\r\n\r\n", 421),
        (b"GET /nowhere HTTP/1.1\r\nHost: $\r\n\r\n", 401),
        (b"POST / HTTP/1.1\r\nHost: $\r\nContent-Length: 0\r\n\r\n", 401),
        (b"GET / HTTP/1.1\r\nHost: $\r\nOrigin: null\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: $\r\n\r\n", 200),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: $\r\n\r\n", 200),
        (b"OPTIONS /api/v1/health HTTP/1.1\r\nHost: $\r\nOrigin: http://evil\r\n\r\n", 403),
        (b"OPTIONS /api/v1/health HTTP/1.1\r\nHost: $\r\nOrigin: http://$\r\n\r\n", 204),
    ],
)
async def test_raw_requests_get_the_guards_status(bridge: Bridge, raw: bytes, status: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(raw.replace(b"$", b"127.0.0.1:%d" % bridge.port))
    line = await reader.readline()
    writer.close()
    assert int(line.split()[1]) == status


async def test_the_page_is_served_with_a_policy_that_runs_only_itself(bridge: Bridge) -> None:
    async with aiohttp.ClientSession() as http, http.get(bridge.http()) as answer:
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "innerHTML" not in page
    assert len(page.splitlines()) < 200


async def test_a_browser_logs_in_by_a_link_that_works_once(bridge: Bridge) -> None:
    url, own = bridge.server.login_url(), bridge.http("").rstrip("/")
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        async with http.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.headers["Set-Cookie"]
            assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", str(bridge.port)))
        async with http.get(url, allow_redirects=False) as answer:
            assert answer.status == 401
        async with http.ws_connect(f"{own}/bridge?hello=1", origin=own) as ws:
            await ws.send_str('{"event":"hello"}')
            assert (await ws.receive_json())["event"] == "hello"
            await ws.send_str('{"event":"login_link_create","req":1}')
            assert "login?code=" in (await ws.receive_json())["url"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(f"{own}/bridge", origin="https://evil.example")
        assert caught.value.status == 403


async def test_cors_names_exactly_the_listed_origin(bridge: Bridge) -> None:
    listed = "http://localhost:5173"
    bridge.server.perform(CredentialsChanged((), (listed,)))
    async with aiohttp.ClientSession() as http:
        async with http.options(bridge.http("/api/v1/health"), headers={"Origin": listed}) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, listed)
            assert answer.headers["Vary"] == "Origin"
        async with http.get(bridge.http("/api/v1/health"), headers={"Origin": "http://evil"}) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_refused_origin_is_named_once_with_the_command_that_allows_it(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        await refused(bridge.url(), origin="https://app.example")
    lines = [record.getMessage() for record in caplog.records if "app.example" in record.getMessage()]
    assert len(lines) == 1
    assert "gossamer bridge allow 'https://app.example'" in lines[0]
    assert ADMIN not in caplog.text


async def test_a_page_without_origin_is_not_told_to_be_allowed(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    assert await refused(bridge.url(), origin="null") == 403
    assert "bridge allow" not in caplog.text
    assert "null" in caplog.text


async def test_tokens_and_origins_that_are_stored_hold_from_the_first_connection() -> None:
    engine, origin = FakeEngine(), "http://localhost:5173"
    record = TokenRecord("bot", "chat", hash_token("t" * 43), 0)
    server = BridgeServer(
        engine.submit, engine, admin_token=ADMIN, host="127.0.0.1", port=0, socket_path=None,
        entropy=counted_entropy(), clock=clock, tokens=(record,), origins=(origin,),
    )  # fmt: skip
    _, port = await server.start()
    try:
        async with connect(f"ws://127.0.0.1:{port}/?token={'t' * 43}", origin=origin):  # type: ignore[arg-type] - a NewType
            await until(lambda: bool(engine.inputs))
    finally:
        await server.stop()


async def test_a_revoked_token_closes_4401_and_an_origin_taken_off_4403(bridge: Bridge) -> None:
    record = TokenRecord("bot", "chat", hash_token(CHILD), 0)
    listed = "http://localhost:5173"
    bridge.server.perform(CredentialsChanged((record,), (listed,)))
    async with (
        connect(bridge.url(token=CHILD)) as child,
        connect(bridge.url(), origin=listed) as page,  # type: ignore[arg-type] - a NewType
        connect(bridge.url() + "&hello=1") as owner,
    ):
        assert (await hello(owner))["event"] == "hello"
        await asyncio.sleep(0.05)
        bridge.server.perform(CredentialsChanged((), (listed,)))
        assert await close_code(child) == 4401
        bridge.server.perform(CredentialsChanged((), ()))
        assert await close_code(page) == 4403
        await owner.send('{"event":"room_list","req":1}')
        assert (await recv(owner))["event"] == "ok"
    assert await refused(bridge.url(token=CHILD)) == 401


async def test_a_child_token_that_expires_ends_its_session(bridge: Bridge) -> None:
    import time

    soon = time.time_ns() // 1_000_000 + 300
    bridge.server.perform(CredentialsChanged((TokenRecord("bot", "chat", hash_token(CHILD), 0, soon),), ()))
    async with connect(bridge.url(token=CHILD)) as ws:
        assert await close_code(ws) == 4401


async def test_frames_have_a_size_an_encoding_and_a_shape(bridge: Bridge) -> None:
    start = '{"event":"room_list","req":1,"x":"'
    async with connect(bridge.url() + "&hello=1", max_size=None) as ws:
        await hello(ws)
        await ws.send(start + "a" * (1024 * 1024 - len(start) - 2) + '"}')
        assert await recv(ws) == {"event": "ok", "req": 1}
        await ws.send(start + "a" * (1024 * 1024 - len(start) - 1) + '"}')
        assert await close_code(ws) == 1009
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws)
        await ws.send(b'{"event":"\xff"}', text=True)
        assert await close_code(ws) == 1007
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws)
        for _ in range(3):
            await ws.send("{")
        for _ in range(3):
            assert (await recv(ws))["code"] == "bad_frame"
        assert await close_code(ws) == 4400


async def test_a_slow_frontend_is_told_where_to_resume_and_closed_4008(bridge: Bridge) -> None:
    async with connect(bridge.url() + "&hello=1", max_queue=1) as ws:
        await hello(ws)
        text = "x" * 16_000
        for _ in range(3 * outbox.MAX_BYTES // len(text)):
            bridge.engine.say(text)
            await asyncio.sleep(0)
        last, seen = 0, []
        with pytest.raises(ConnectionClosed):
            while True:
                event = await recv(ws)
                seen.append(event["event"])
                last = event.get("seq", last)
                if event["event"] == "lagged":
                    assert event["resume_from"] == last
        assert seen[-1] == "lagged"
        assert ws.close_code == 4008
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws, resume={"epoch": EPOCH, "seq": last})
        rest = [(await recv(ws))["seq"] for _ in range(len(bridge.engine.log) - last)]
        assert rest == list(range(last + 1, len(bridge.engine.log) + 1))


async def test_a_frontend_that_never_reads_is_cut_and_others_go_on(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_socket, "ABORT_AFTER", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port, limit=1024)
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    request = b"GET /?token=%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
    request += b"Connection: Upgrade\r\n%s\r\n"
    writer.write(request % (ADMIN.encode(), bridge.port, key))
    await reader.readuntil(b"\r\n\r\n")
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws)
        for _ in range(2000):
            bridge.engine.say("x" * 16_000)
            assert (await recv(ws))["event"] == "user_message"
        await until(lambda: any(isinstance(e, SessionEnded) for e in bridge.engine.inputs))
    writer.close()


async def test_a_full_engine_leaves_the_socket_unread(bridge: Bridge) -> None:
    async with connect(bridge.url() + "&hello=1") as ws:
        await hello(ws)
        await ws.send('{"event":"room_list","req":1}')
        await recv(ws)
        bridge.engine.queued = http_frontend.MAX_BACKLOG
        await ws.send('{"event":"room_list","req":2}')
        await recv(ws)  # this one was being awaited already
        await ws.send('{"event":"room_list","req":3}')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.1)
        bridge.engine.queued = 0
        assert (await recv(ws))["req"] == 3


async def test_the_engine_can_end_a_session_and_a_stop_closes_1012(bridge: Bridge) -> None:
    async with connect(bridge.url() + "&hello=1") as one, connect(bridge.url() + "&hello=1") as two:
        await hello(one)
        await hello(two)
        bridge.server.perform(EndSession(1, 4401, "gone"))
        assert await close_code(one) == 4401
        bridge.engine.say("last words")
        stopping = asyncio.create_task(bridge.server.stop())
        assert (await recv(two))["message"] == "last words"
        assert await close_code(two) == 1012
        await stopping
    assert not bridge.path.exists()


async def test_a_taken_port_is_an_error_or_the_next_one(bridge: Bridge) -> None:
    from node.bridge.server import BridgeServer
    from tests.bridge.fake_engine import FakeEngine, clock, counted_entropy

    engine = FakeEngine()
    other = BridgeServer(
        engine.submit, engine, admin_token=ADMIN, host="127.0.0.1", port=bridge.port, socket_path=None,
        entropy=counted_entropy(), clock=clock,
    )  # fmt: skip
    with pytest.raises(OSError, match="in use"):
        await other.start()
    _host, port = await other.start(tries=20)
    assert port != bridge.port
    await other.stop()

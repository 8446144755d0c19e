"""Socket.IO frontends that never read, that send anything at all, or that use it in ways nobody meant."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import random
import socket as sockets
import tracemalloc
from collections.abc import AsyncIterator

import aiohttp
import pytest

from node.bridge import http_socketio, http_socketio_frontend as frontend
from node.bridge.dialects import socket_io
from node.chat import events
from tests.bridge.fake_engine import ADMIN, ROOM, Bridge
from tests.bridge.socketio_bench import Polling, enable, ending, socket, speak, told

MOST_MEMORY = 8 * 1024 * 1024
BODY = "y" * 8000


@pytest.fixture
async def both(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> Bridge:
    speak(monkeypatch)
    enable(bridge, "002", "004")
    return bridge


def message(number: int) -> events.UserMessage:
    return events.UserMessage(
        username="bob", timestamp=1, message=f"{number}.{BODY}", room=ROOM, id=ROOM, user_id="u", ts_ms=1,
        seq=number + 1,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def deaf(bridge: Bridge, transport: str) -> AsyncIterator[None]:
    """A frontend that has said something and never reads."""
    if transport == "polling":
        async with aiohttp.ClientSession() as http:
            page = Polling(http, bridge, f"&token={ADMIN}")
            await page.connect()
            await page.post('42["new message","hi"]')
            yield
        return
    line = sockets.socket()
    line.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    line.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(line, ("127.0.0.1", bridge.port))
    head = (
        f"GET /socket.io/?EIO=4&transport=websocket&token={ADMIN} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{bridge.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    said = [b"40", b'42["new message","hi"]']
    await loop.sock_sendall(line, head + b"".join(bytes([0x81, 0x80 | len(t), 0, 0, 0, 0]) + t for t in said))
    try:
        yield
    finally:
        line.close()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_one_that_never_reads_costs_little_memory_is_closed_and_disturbs_nobody(
    both: Bridge, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend, "ABORT_AFTER", 0.2)
    async with socket(both) as reader:
        await reader.send_str('42["echo"]')
        await told(reader)
        async with deaf(both, transport):
            async with asyncio.timeout(30):
                while len(both.engine.sessions) < 2:
                    await asyncio.sleep(0.01)
            assert (await told(reader)).endswith('"hi"]')
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(3000):
                both.engine.broadcast(message(number))
                assert (await told(reader)).startswith(f'42["new message","{number}.')
            grown = tracemalloc.get_traced_memory()[1] - before
            tracemalloc.stop()
            async with asyncio.timeout(30):
                while len(both.engine.sessions) > 1:
                    await asyncio.sleep(0.05)
            assert grown < MOST_MEMORY
    await asyncio.sleep(0.05)
    assert not both.server._connections


@pytest.mark.parametrize("flood", ["40/x,", '421["fail"]', '42["echo","' + "z" * 500 + '"]'])
async def test_one_that_asks_and_never_reads_the_answers_costs_little_memory(
    both: Bridge, flood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend, "ABORT_AFTER", 0.2)
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        with contextlib.suppress(aiohttp.ClientError):
            for _ in range(40):
                if (await page.post("\x1e".join([flood] * 500)))[0] != 200:
                    break
            else:
                raise AssertionError("it was never closed")
        grown = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert grown < MOST_MEMORY
        async with asyncio.timeout(30):
            while both.server._connections:
                await asyncio.sleep(0.05)


def mutated(chance: random.Random) -> str | bytes:
    good = [
        '42["echo",{"a":1}]',
        '427["new message","x"]',
        "40",
        '451-["echo",{"_placeholder":true}]',
    ]
    pieces = [
        "\x00",
        "\x1e",
        "٣",
        "[",
        "{",
        '"',
        "\\ud800",
        "1e999",
        "-",
        "/x,",
        "9" * 40,
        "2",
        "4",
        "5",
        "b",
    ]
    text = list(chance.choice(good))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(min(2, len(text)), len(text) + 1) if chance.random() < 0.99 else 0
        text[at : at + chance.randint(0, 2)] = chance.choice(pieces)
    made = "".join(text)
    return made.encode() if chance.random() < 0.005 else made


async def test_ten_thousand_malformed_frames_disturb_nobody_else(
    both: Bridge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(frontend, "MAX_MALFORMED", 100_000)
    chance, judged, known = random.Random(4), 0, socket_io.is_frame

    def counted(text: str) -> bool:
        nonlocal judged
        judged += 1
        return known(text)

    monkeypatch.setattr(socket_io, "is_frame", counted)
    async with socket(both) as other, aiohttp.ClientSession() as http:
        await other.send_str('42["say_again",0]')
        while judged < 10_000:
            url = both.http("/socket.io/") + f"?EIO=4&transport=websocket&token={ADMIN}"
            async with http.ws_connect(url) as ws:
                reading = asyncio.create_task(ending(ws))
                with contextlib.suppress(ConnectionError):
                    await ws.send_str("40")
                    for number in range(200):
                        frame = mutated(chance)
                        await (ws.send_str if isinstance(frame, str) else ws.send_bytes)(frame)  # type: ignore[arg-type]
                        if number % 5 == 0:
                            await asyncio.sleep(0)
                    await ws.close()
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        await other.send_str('429["say_again","still here"]')
        while await told(other) != '439[["still here"]]':
            pass
    async with asyncio.timeout(30):
        while both.server._connections:
            await asyncio.sleep(0.05)
    left = both.server._socket_io._library  # type: ignore[union-attr]
    assert not any((left.eio.sockets, left.eio.pings, left.lines, left.environ, left.manager.rooms))
    assert not any((left.manager.pending_connect, left.manager.pending_disconnect, left.manager.callbacks))
    assert [
        record.getMessage() for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}
    ] == []


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"", b"\x1e", b'42["echo"]\x1e', b"5", b"2probe", b"0{}", b"d=4", b"6", b"b", b"bAP8=",
     b"\x1e".join([b"3"] * 4097), b'4{"a":1}', b"4" + b"[" * 100_000],
    ids=range(14),
)  # fmt: skip
async def test_a_polling_request_that_is_none_ends_its_session_alone(both: Bridge, body: bytes) -> None:
    async with socket(both) as other, aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        assert (await page.post(body))[0] == 400
        assert (await page.get())[1] in {"1", ""} or (await page.get())[0] == 400
        await other.send_str('421["echo"]')
        assert await told(other) == '42["echo"]'


async def test_a_body_that_does_not_come_ends_the_session(
    both: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_socketio, "BODY_SECONDS", 0.1)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"42"
        await asyncio.sleep(1)

    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        assert (await page.post(slowly()))[0] == 400
        assert (await page.get())[0] == 400 or not both.server._connections


@pytest.mark.parametrize("connection", ["keep-alive", "xupgrade", "upgrade-insecure"])
async def test_an_upgrade_that_is_none_is_400(both: Bridge, connection: str) -> None:
    head = {"Upgrade": "websocket", "Connection": connection, "Sec-WebSocket-Version": "13"}
    async with aiohttp.ClientSession() as http:
        url = both.http("/socket.io/") + f"?EIO=4&transport=websocket&token={ADMIN}"
        async with http.get(url, headers=head) as answer:
            assert answer.status == 400
        async with http.get(url, headers={**head, "Connection": "Upgrade"}) as answer:
            assert answer.status == 400  # it has no key
    assert not both.server._connections


async def test_a_body_and_a_frame_have_a_size(both: Bridge) -> None:
    long = '42["echo","' + "x" * (1024 * 1024) + '"]'
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        assert (await page.post(io.BytesIO(long.encode())))[0] == 413
    async with socket(both) as ws:
        await ws.send_str(long)
        assert (await ending(ws))[1] == 1009


async def test_two_requests_at_once_end_a_session(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        first = asyncio.create_task(page.get())
        await asyncio.sleep(0.02)
        assert (await page.get())[0] == 400
        assert await first == (200, "1")
        assert (await page.get())[0] == 400


async def test_an_upgrade_that_is_not_finished_leaves_polling_as_it_was(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        url = page.base.replace("polling", "websocket") + f"&sid={page.sid}"
        for said in (["nonsense"], ["2probe", "3"], ["2probe"], []):
            async with http.ws_connect(url) as ws:
                for text in said:
                    await ws.send_str(text)
                    if text == "2probe":
                        assert await ws.receive_str() == "3probe"
            await asyncio.sleep(0.02)
        await page.post('421["echo"]')
        seen = ""
        while "431" not in seen:
            seen += (await page.get())[1]
        assert '42["echo"]' in seen
        async with http.ws_connect(url) as ws:
            await ws.send_str("2probe")
            assert await ws.receive_str() == "3probe"
            await ws.send_str("5")
            await ws.send_str('422["echo"]')
            assert [await told(ws), await told(ws)] in (['42["echo"]', "432[[]]"], ["6", '42["echo"]'])
            assert (await page.get())[0] == 400


async def test_three_malformed_packets_in_a_minute_end_it(both: Bridge) -> None:
    async with socket(both) as ws:
        await ws.send_str('42["echo"]')
        await told(ws)
        for _ in range(2):
            await ws.send_str("42{}")
            assert await told(ws) == '42["error",{"code":"bad_frame"}]'
        await ws.send_str("42{}")
        seen, code = await ending(ws)
        assert seen == ['42["error",{"code":"bad_frame"}]'] and code == 4400


async def test_what_is_no_event_before_the_words_are_known_is_on_record(both: Bridge) -> None:
    async with socket(both) as ws:
        await ws.send_str("42{}")
        await ws.send_str('421["nobody knows this"]')
        assert await told(ws) == '431[{"ok":false,"error":"unknown_event"}]'
    page, _ = both.server._kept.page(None, 100)
    assert [(one.command, one.code) for one in page][-2:] == [
        ("frame", "bad_frame"),
        ("frame", "unknown_event"),
    ]

"""Ports of dialects on a listening bridge: opened, changed and closed live, and what is there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from yarl import URL

from node.bridge import certificates, enabling, listeners, ports, static
from node.bridge.server import BridgeServer
from node.chat import commands, events
from node.errors import Refused
from node.store import files
from tests.bridge.fake_engine import ADMIN, Bridge, FakeEngine, clock, counted_entropy, recv
from tests.ports import free_port

PAGE = "http://localhost:5173"


class DialectEngine(FakeEngine):
    """Decides about dialects as the engine does, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, ports.DialectRecord] = {}
        self.found: ports.Found | None = None
        self.refuses: Refused | None = None

    def submit(self, event: ports.BridgeInput) -> None:
        asked = event.command if isinstance(event, ports.CommandReceived) else None
        if not isinstance(asked, commands.DialectEnable | commands.DialectDisable | commands.DialectList):
            super().submit(event)
            return
        assert isinstance(event, ports.CommandReceived) and event.found is not None
        self.found = event.found
        try:
            if isinstance(asked, commands.DialectEnable):
                record = enabling.enabled(asked, self.records.values())
                if event.found.fault or self.refuses:
                    raise event.found.fault or self.refuses  # type: ignore[misc]
                self.records[record.name] = record
            elif isinstance(asked, commands.DialectDisable):
                self.records.pop(asked.dialect)
        except Refused as fault:
            self.deliver(event.session, events.error_of(fault, asked.req))
            return
        self.deliver(event.session, events.Ok(req=asked.req))
        self.perform(self.all())

    def all(self) -> ports.CredentialsChanged:
        return ports.CredentialsChanged((), (), dialects=tuple(self.records.values()))


class Opened(Bridge):
    engine: DialectEngine

    async def ask(self, command: str, **keys: Any) -> dict[str, Any]:
        async with connect(self.url()) as ws:
            await ws.send(json.dumps({"event": command, "req": 1, **keys}))
            return await recv(ws)

    async def enable(self, dialect: str, **keys: Any) -> dict[str, Any]:
        return await self.ask("dialect_enable", dialect=dialect, **keys)


def make(home: Path, engine: DialectEngine, port: int = 0) -> BridgeServer:
    server = BridgeServer(
        engine.submit, engine, admin_token=ADMIN, host="127.0.0.1", port=port, socket_path=None,
        entropy=counted_entropy(), clock=clock, home=home, keep=partial(files.kept, home),
    )  # fmt: skip
    engine.server = server
    return server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
async def opened(home: Path) -> AsyncIterator[Opened]:
    engine = DialectEngine()
    server = make(home, engine)
    made = Opened(server, engine, home)
    _host, made.port = await server.start()
    yield made
    await server.stop()


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "app.js").write_text("app()" * 100_000)
    (tmp_path / "token").write_text("secret")
    return folder


async def get(url: str | URL, method: str = "GET", **keys: Any) -> tuple[int, str, Any]:
    async with aiohttp.ClientSession() as http, http.request(method, url, **keys) as answer:
        return answer.status, await answer.text(), answer.headers


def code(body: str) -> str:
    return str(json.loads(body)["error"]["code"])


async def test_a_port_listens_as_soon_as_that_is_told_and_has_its_dialect_alone(opened: Opened) -> None:
    port = free_port()
    answer = await opened.enable("001", port=port, origin=PAGE)
    assert answer["event"] == "ok"
    at = f"http://127.0.0.1:{port}"
    assert (await get(f"{at}/ws"))[0] == 401
    assert (await get(f"{at}/ws?token={ADMIN}"))[0] != 401
    for path in ("/", "/bridge", "/api/v1/health", "/api/v1/schema", "/api/v1/metrics", "/ws/events", "/x"):
        status, body, _ = await get(f"{at}{path}?token={ADMIN}")
        assert (status, code(body)) == (404, "not_here"), path
    assert (await get(f"{at}/ws", headers={"Host": f"127.0.0.1:{opened.port}"}))[0] == 421
    assert (await get(opened.http("/ws"), headers={"Host": f"127.0.0.1:{port}"}))[0] == 421
    status, body, _ = await get(opened.http("/socket.io/"))
    assert (status, code(body)) == (404, "not_enabled")
    assert opened.engine.found is not None
    assert opened.engine.found.listening["001"] == ports.Listening("listening", at)


async def test_a_port_that_cannot_be_had_is_refused_and_nothing_has_changed(opened: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        for port in (other.getsockname()[1], opened.port):
            answer = await opened.enable("001", port=port)
            assert (answer["code"], answer["field"]) == ("port_taken", "port")
    assert opened.engine.records == {}
    assert (await get(opened.http("/ws")))[0] == 404


async def test_a_port_that_was_taken_for_nothing_is_given_back(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "HELD_SECONDS", 0.02)
    opened.engine.refuses = Refused("storage_full", "there is no room")
    port = free_port()
    assert (await opened.enable("001", port=port))["code"] == "storage_full"
    await asyncio.sleep(0.1)
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_disabling_closes_the_port_and_another_port_takes_the_place_of_one(opened: Opened) -> None:
    first, second = free_port(), free_port()
    await opened.enable("001", port=first)
    await opened.enable("001", port=second)
    assert (await get(f"http://127.0.0.1:{second}/ws"))[0] == 401
    await refuses(first)
    await opened.ask("dialect_disable", dialect="001")
    await refuses(second)
    assert (await get(opened.http("/ws")))[0] == 404
    await opened.enable("001", port=first)
    assert (await get(f"http://127.0.0.1:{first}/ws"))[0] == 401


async def refuses(port: int) -> None:
    for _ in range(50):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.02)
    raise AssertionError("it still listens")


@pytest.mark.parametrize(
    ("dialect", "origin", "change", "stays"),
    [
        ("001", PAGE, (), False),
        ("001", None, (), False),
        ("001", PAGE, (ports.DialectRecord("001", ()),), False),
        ("001", None, (ports.DialectRecord("001", ()),), True),
        ("001", PAGE, (ports.DialectRecord("001", (PAGE,)),), True),
        ("002 004", PAGE, (ports.DialectRecord("004", (PAGE,)),), True),
        ("002 004", PAGE, (ports.DialectRecord("003", (PAGE,)),), False),
        ("native", None, (), True),
    ],
)
async def test_a_socket_goes_with_its_dialect_or_its_origin(
    opened: Opened,
    dialect: str,
    origin: str | None,
    change: tuple[ports.DialectRecord, ...],
    stays: bool,
) -> None:
    async with connect(opened.url()) as ws:
        await ws.send('{"event":"room_list","req":1}')
        await recv(ws)
        (connection,) = opened.server._connections.values()
        connection.dialect, connection.origin = dialect, origin
        opened.server.perform(ports.CredentialsChanged((), (), dialects=change))
        await ws.send('{"event":"room_list","req":2}')
        if stays:
            assert (await recv(ws))["req"] == 2
            return
        with pytest.raises(ConnectionClosed):
            while True:
                await asyncio.wait_for(ws.recv(), 30)
        assert ws.close_code == 4403


async def test_a_build_is_shown_at_its_port_with_what_keeps_it_there(opened: Opened, build: Path) -> None:
    port = free_port()
    assert (await opened.enable("003", port=port, serve=str(build)))["event"] == "ok"
    at = f"http://127.0.0.1:{port}"
    status, body, headers = await get(f"{at}/rooms/1")
    assert (status, body, headers["Content-Type"]) == (200, "<p>page</p>", "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    assert f"connect-src 'self' ws://127.0.0.1:{port}" in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, body, headers = await get(f"{at}/app.js")
    assert (status, len(body)) == (200, 500_000)
    assert (await get(f"{at}/app.js", headers={"If-None-Match": headers["ETag"]}))[0] == 304
    status, body, headers = await get(f"{at}/app.js", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, "", "500000")
    for path in ("/missing.js", "/.env", "/..%2ftoken.txt", "/%2e%2e/token.txt", "/a%00.js"):
        assert (await get(f"{at}{path}"))[0] in {400, 404}, path
    for method in ("POST", "PUT", "DELETE"):
        status, body, _ = await get(f"{at}/app.js?token={ADMIN}", method)
        assert (status, code(body)) == (404, "not_here")
    assert (await get(opened.http("/app.js")))[0] == 401


async def test_a_folder_without_a_page_is_refused_and_so_is_the_home(opened: Opened, home: Path) -> None:
    port = free_port()
    answer = await opened.enable("003", port=port, serve=str(home / "nowhere"))
    assert (answer["code"], answer["field"]) == ("no_index", "serve")
    (home / "index.html").write_text("mine")
    assert (await opened.enable("003", port=port, serve=str(home)))["code"] == "invalid"
    await refuses(port)


async def test_tls_is_spoken_with_the_certificate_that_is_shown(opened: Opened, build: Path) -> None:
    port = free_port()
    assert (await opened.enable("003", port=port, serve=str(build)))["event"] == "ok"
    assert (await get(f"http://127.0.0.1:{port}/"))[0] == 200
    assert (await opened.enable("003", tls=True))["event"] == "ok"
    assert opened.engine.found is not None
    seen = opened.engine.found.listening["003"]
    assert seen.address == f"https://127.0.0.1:{port}" and seen.fingerprint is not None
    mark = aiohttp.Fingerprint(bytes.fromhex(seen.fingerprint.replace(":", "")))
    for _ in range(50):
        try:
            status, body, headers = await get(f"https://localhost:{port}/", ssl=mark)
            break
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.02)
    assert (status, body) == (200, "<p>page</p>")
    assert f"wss://localhost:{port}" in headers["Content-Security-Policy"]
    own = {"Origin": f"https://localhost:{port}"}
    assert (await get(f"https://localhost:{port}/app.js", ssl=mark, headers=own))[0] == 200
    plain = {"Origin": f"http://localhost:{port}"}
    assert (await get(f"https://localhost:{port}/app.js", ssl=mark, headers=plain))[0] == 403
    assert stat.S_IMODE((opened.path / "tls.pem").stat().st_mode) == 0o600


async def test_the_fingerprint_that_is_told_is_that_of_the_certificate_that_is_spoken_with(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    await opened.enable("001", port=port, tls=True)
    with monkeypatch.context() as soon:
        soon.setattr(certificates, "RENEW_DAYS", certificates.DAYS)
        await opened.enable("001", origin=PAGE)
    assert opened.engine.found is not None
    told = str(opened.engine.found.listening["001"].fingerprint)
    spoken = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(spoken)).digest()
    assert told == digest.hex(":").upper()
    await opened.enable("001", tls=False)
    await opened.ask("dialect_list")
    assert opened.engine.found.listening["001"].fingerprint is None


async def test_a_browser_logs_in_at_the_port_and_its_login_counts_there_alone(
    opened: Opened, build: Path
) -> None:
    port = free_port()
    await opened.enable("003", port=port, serve=str(build), tls=True)
    link = await opened.ask("login_link_create", dialect="003")
    assert link["url"].startswith(f"https://127.0.0.1:{port}/api/v1/login?code=")
    jar = aiohttp.CookieJar(unsafe=True)
    same = {"Sec-Fetch-Site": "same-origin"}
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        async with http.get(link["url"], ssl=False, allow_redirects=False) as answer:
            assert answer.status == 303
            (cookie,) = answer.cookies.values()
            assert cookie.key.endswith(f"_{port}") and cookie["secure"] and cookie["httponly"]
        at = f"https://127.0.0.1:{port}"
        async with http.get(f"{at}/api/self", ssl=False, headers=same) as answer:
            assert answer.status not in {401, 403}
        async with http.get(f"{at}/api/self", ssl=False) as answer:
            assert answer.status == 401, "nobody says which page asks"
        async with http.get(opened.http("/api/self"), headers=same) as answer:
            assert answer.status == 401
    assert (await opened.ask("login_link_create", dialect="004"))["event"] == "ok", "the engine was asked"


async def test_a_link_to_a_dialects_page_makes_nobody_the_owner(opened: Opened) -> None:
    port = free_port()
    await opened.enable("004", port=port)
    link = (await opened.ask("login_link_create", dialect="004"))["url"]
    assert (await get(opened.http(URL(link).path_qs)))[0] == 401
    async with aiohttp.ClientSession() as http, http.get(link) as answer:
        assert answer.status == 200, "and it is not used up"
        (cookie,) = answer.cookies.values()
    own = {
        "Origin": opened.http("").rstrip("/"),
        "Cookie": f"{opened.server.cookie_at(opened.port)}={cookie.value}",
    }
    assert (await get(opened.http("/api/v1/schema"), headers=own))[0] == 401


async def test_the_secret_of_the_cron_path_is_a_private_file_made_when_003_is_first_on(
    opened: Opened,
) -> None:
    path = opened.path / "cron_secret"
    await opened.enable("001")
    assert not path.exists()
    await opened.enable("003")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(path.read_text()) == 64
    await opened.ask("dialect_list")
    assert opened.engine.found is not None and opened.engine.found.cron_secret == str(path)
    sweep = opened.http("/api/cronjob/cron/check-inactive-users")
    for token, shut in ((path.read_text(), False), (ADMIN, True), ("x", True)):
        status, _, _ = await get(sweep, "DELETE", headers={"Authorization": f"Bearer {token}"})
        assert (status == 401) == shut
    secret = path.read_text()
    await opened.ask("dialect_disable", dialect="003")
    await opened.enable("003")
    assert path.read_text() == secret


@pytest.mark.parametrize("content", [bytes(range(200, 240)), b"x" * 31, b"two words " * 4, b""])
async def test_a_secret_that_no_header_can_carry_is_made_anew_and_keeps_no_dialect_from_listening(
    opened: Opened, content: bytes
) -> None:
    path = opened.path / "cron_secret"
    path.write_bytes(content)
    assert (await opened.enable("003"))["event"] == "ok"
    assert len(path.read_text()) == 64
    mine = "its-owner-chose-it-0123456789-abcdef"
    path.write_text(mine + "\n")
    opened.server._listeners._secret = None
    await opened.enable("003")
    assert opened.server._listeners.cron_valid(mine)


async def test_a_port_that_is_taken_at_a_start_is_said_once_and_the_node_goes_on(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = DialectEngine()
    server = make(home, engine)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        engine.records = {"004": ports.DialectRecord("004", (PAGE,), port)}
        server.perform(engine.all())
        with caplog.at_level(logging.WARNING):
            bridge = Opened(server, engine, home)
            _, bridge.port = await server.start()
        assert [r.getMessage() for r in caplog.records if str(port) in r.getMessage()] != []
        assert len(caplog.records) == 1
        await bridge.ask("dialect_list")
        assert engine.found is not None
        seen = engine.found.listening["004"]
        assert seen.state == "failed" and str(port) in str(seen.why)
        assert (await bridge.enable("004", port=port))["code"] == "port_taken"
        assert (await bridge.enable("004", origin="http://localhost:5174"))["event"] == "ok"
        seen = engine.found.listening["004"]
        assert seen.state == "failed" and str(port) in str(seen.why), "an origin is added, and no more said"
    assert (await bridge.enable("004"))["event"] == "ok"
    await bridge.ask("dialect_list")
    for _ in range(50):
        if engine.found.listening["004"].state == "listening":
            break
        await asyncio.sleep(0.02)
        await bridge.ask("dialect_list")
    assert (await get(f"http://127.0.0.1:{port}/socket.io/?token=x"))[0] == 401
    await server.stop()


async def test_a_stop_closes_1012_and_a_restart_listens_again_within_a_second(home: Path) -> None:
    engine = DialectEngine()
    server = make(home, engine)
    bridge = Opened(server, engine, home)
    _, bridge.port = await server.start()
    port = free_port()
    await bridge.enable("001", port=port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with connect(bridge.url()) as ws:
        await server.stop()
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 1012
    since = time.monotonic()
    again = make(home, engine, bridge.port)
    again.perform(engine.all())
    await again.start()
    assert (await get(f"http://127.0.0.1:{port}/ws"))[0] == 401
    assert time.monotonic() - since < 1
    writer.close()
    await again.stop()


async def test_while_the_vault_is_locked_the_engine_is_asked_as_it_is(home: Path) -> None:
    engine = DialectEngine()
    asked: list[ports.BridgeInput] = []
    server = BridgeServer(
        asked.append, engine, admin_token=ADMIN, host="127.0.0.1", port=0, socket_path=None,
        entropy=counted_entropy(), clock=clock, home=home, locked=lambda: True,
    )  # fmt: skip
    bridge = Opened(server, engine, home)
    _, bridge.port = await server.start()
    async with connect(bridge.url()) as ws:
        await ws.send('{"event":"dialect_enable","dialect":"001","port":3000}')
        await asyncio.sleep(0.05)
    (received,) = [event for event in asked if isinstance(event, ports.CommandReceived)]
    assert received.found is None
    await server.stop()


async def test_a_slash_that_is_written_as_a_number_divides_no_path(opened: Opened) -> None:
    status, body, _ = await get(URL(opened.http("/api/users/a%2Fb"), encoded=True))
    assert (status, code(body)) == (404, "not_enabled")
    assert (await get(URL(opened.http("/api%2Fusers"), encoded=True)))[0] == 401, "this is no such path"


async def test_nobody_is_let_in_at_a_port_before_the_guard_knows_it(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, start, known = free_port(), web.SockSite.start, []

    async def begin(site: web.SockSite) -> None:
        known.append(opened.server._policy.at(port))
        await start(site)

    monkeypatch.setattr(web.SockSite, "start", begin)
    await opened.enable("001", port=port)
    assert (await get(f"http://127.0.0.1:{port}/ws"))[0] == 401
    assert [spoken is not None and spoken.name for spoken in known] == ["001"]


async def test_a_refused_page_is_told_once_with_the_command_that_lets_it_in_there(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    await opened.enable("004", port=port)
    with caplog.at_level(logging.WARNING):
        for url in (opened.http("/"), opened.http("/socket.io/"), f"http://127.0.0.1:{port}/socket.io/") * 2:
            assert (await get(url, headers={"Origin": PAGE}))[0] == 403
        assert (await get(f"http://127.0.0.1:{port}/api/v1/login", headers={"Origin": PAGE}))[0] == 403
    told = [record.getMessage().partition("allow it: ")[2] for record in caplog.records]
    assert told == [f"gossamer bridge allow '{PAGE}'", f"gossamer bridge enable 004 --origin '{PAGE}'"]


async def test_a_login_at_a_port_without_a_page_says_so(opened: Opened) -> None:
    port = free_port()
    await opened.enable("004", port=port)
    link = await opened.ask("login_link_create", dialect="004")
    status, body, headers = await get(link["url"])
    assert status == 200 and "logged in" in body and f"_{port}=" in headers["Set-Cookie"]


async def test_who_is_gone_before_the_answer_or_never_takes_it_is_no_error(
    opened: Opened, build: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "IDLE_SECONDS", 0.1)
    port = free_port()
    await opened.enable("003", port=port, serve=str(build))
    (build / "large.js").write_bytes(bytes(32 * 1024 * 1024))
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    asked = ((port, "/app.js", ""), (port, "/", ""), (opened.port, "/", upgrade), (port, "/large.js", ""))
    for at, path, more in asked * 5:
        with socket.create_connection(("127.0.0.1", at)) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{at}\r\n{more}\r\n".encode())
            if path == "/large.js":
                await asyncio.sleep(0.3)
        await asyncio.sleep(0.01)
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(f"GET /large.js HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await asyncio.sleep(0.05)
        (build / "large.js").write_bytes(b"")
        await asyncio.to_thread(line.recv, 100)
        await asyncio.sleep(0.3)
    assert [record.getMessage() for record in caplog.records] == []
    assert (await get(f"http://127.0.0.1:{port}/app.js"))[0] == 200


async def test_no_more_files_are_given_at_a_time_than_a_process_may_open(
    opened: Opened, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    await opened.enable("003", port=port, serve=str(build))
    (build / "large.js").write_bytes(bytes(32 * 1024 * 1024))
    monkeypatch.setattr(static, "MAX_OPEN", 1)
    async with (
        aiohttp.ClientSession(read_bufsize=1024) as http,
        http.get(f"http://127.0.0.1:{port}/large.js") as slow,
    ):
        assert slow.status == 200
        status, body, _ = await get(f"http://127.0.0.1:{port}/app.js")
        assert (status, code(body)) == (503, "busy")
        slow.close()
    for _ in range(50):
        if (await get(f"http://127.0.0.1:{port}/app.js"))[0] == 200:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("what is over counts on")


async def test_a_check_that_breaks_is_answered_and_the_log_has_it(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_folder: Path, _home: Path | None) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(static, "check", broken)
    answer = await opened.enable("003", port=free_port(), serve="/srv")
    assert answer["code"] == "internal" and "ZeroDivisionError" in caplog.text


async def test_a_build_whose_folder_now_leads_to_the_home_is_not_given(
    opened: Opened, build: Path, home: Path, tmp_path: Path
) -> None:
    port, link = free_port(), tmp_path / "current"
    link.symlink_to(build)
    assert (await opened.enable("003", port=port, serve=str(link)))["event"] == "ok"
    assert (await get(f"http://127.0.0.1:{port}/app.js"))[0] == 200
    (home / "runtime.json").write_text("{}")
    link.unlink()
    link.symlink_to(home)
    assert (await get(f"http://127.0.0.1:{port}/runtime.json"))[0] == 404

"""Files over HTTP: slow, broken off, or overtaken by what happens to the token and to the vault meanwhile."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from node import ids
from node.bridge import capabilities, http_attachments, ports
from node.bridge.server import BridgeServer
from node.chat import events
from node.sim_session import stream
from node.store.attachments import AttachmentFiles, Upload
from node.store.folders import MemoryFolder
from node.wire.manifest import Manifest
from tests.bridge.fake_engine import ADMIN, ROOM, Bridge, FakeEngine, clock, counted_entropy

UP = "/api/v1/attachments"
IDENT = "00f43f4a-8e5e-8ff3-9eca-c2f940b1275b"
PIECES = 2_000
LONG = Manifest("a", "b/c", PIECES * 65_536, PIECES, bytes(32), bytes(32), bytes(32), 1, (bytes(32),))
CHILD = ports.TokenRecord("bot", "chat", ports.hash_token("c" * 43), 0)


class Shelf:
    """A folder in memory, with one attachment that is longer than any socket buffers."""

    def __init__(self) -> None:
        self.folder = MemoryFolder()
        self.files = AttachmentFiles(self.folder, stream("shelf"))
        self.read = 0

    def attachment(self, ident: bytes) -> tuple[Manifest, str] | None:
        return (LONG, "ready") if ids.text(ident) == IDENT else None

    def upload(self) -> Upload:
        return self.files.upload()

    def content(self, _manifest: Manifest) -> Iterator[bytes]:
        for _ in range(PIECES):
            self.read += 1
            yield bytes(65_536)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def shelved(tmp_path: Path, shelf: Shelf) -> AsyncIterator[Bridge]:
    engine = FakeEngine()
    server = BridgeServer(
        engine.submit, engine,
        admin_token=ADMIN, host="127.0.0.1", port=0, socket_path=None,
        entropy=counted_entropy(), clock=clock, tokens=(CHILD,), shelf=shelf,
    )  # fmt: skip
    engine.server = server
    made = Bridge(server, engine, tmp_path / "none")
    _host, made.port = await server.start()
    yield made
    await server.stop()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=20)) as session:
        yield session


def bearer(token: str = ADMIN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def halves(go_on: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"x" * 200_000
    await go_on.wait()
    yield b"y" * 100


async def test_uploads_that_are_broken_off_leave_neither_file_nor_place(
    shelved: Bridge, shelf: Shelf, http: ClientSession
) -> None:
    never = asyncio.Event()
    tasks = [
        asyncio.create_task(http.post(shelved.http(UP), data=halves(never), headers=bearer()))  # type: ignore[arg-type]
        for _ in range(http_attachments.MAX_UPLOADS)
    ]
    await until(lambda: len(shelf.folder.held) == len(tasks))
    async with http.post(shelved.http(UP), data=b"x", headers=bearer()) as busy:
        assert (busy.status, (await busy.json())["error"]["code"]) == (503, "busy")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: not shelf.folder.held and not shelved.server.attachments._uploads)
    assert shelf.files.used == 0


async def test_an_upload_whose_token_goes_meanwhile_is_refused_and_leaves_nothing(
    shelved: Bridge, shelf: Shelf, http: ClientSession
) -> None:
    go_on = asyncio.Event()
    url = shelved.http(UP)
    task = asyncio.ensure_future(http.post(url, data=halves(go_on), headers=bearer("c" * 43)).__aenter__())
    await until(lambda: shelf.folder.held)
    shelved.server.perform(ports.CredentialsChanged((), ()))
    go_on.set()
    got = await task
    assert (got.status, (await got.json())["error"]["code"]) == (401, "unauthorized")
    assert shelf.folder.held == {}
    assert not any(isinstance(event, ports.FileUploaded) for event in shelved.engine.inputs)


async def test_an_upload_that_the_lock_overtakes_is_refused(
    shelved: Bridge, shelf: Shelf, http: ClientSession
) -> None:
    go_on = asyncio.Event()
    task = asyncio.ensure_future(
        http.post(shelved.http(UP), data=halves(go_on), headers=bearer()).__aenter__()
    )
    await until(lambda: shelf.folder.held)
    shelf.files.close()
    go_on.set()
    got = await task
    assert (got.status, (await got.json())["error"]["code"]) == (503, "locked")
    assert shelf.folder.held == {}


async def test_a_download_that_takes_nothing_is_given_up(
    shelved: Bridge, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_attachments, "IDLE_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", shelved.port, limit=1_024)
    asked = [
        f"GET {UP}/{IDENT} HTTP/1.1",
        f"Host: 127.0.0.1:{shelved.port}",
        f"Authorization: Bearer {ADMIN}",
    ]
    writer.write("\r\n".join([*asked, "", ""]).encode())
    await until(lambda: shelf.read)
    assert shelved.server.attachments._downloads == 1
    await until(lambda: not shelved.server.attachments._downloads)
    assert shelf.read < PIECES
    writer.close()


async def test_what_goes_in_and_out_over_http_is_on_record(
    shelved: Bridge, shelf: Shelf, http: ClientSession
) -> None:
    async with http.get(shelved.http(f"{UP}/{ROOM}"), headers=bearer("c" * 43)) as unknown:
        assert unknown.status == 404
    shelf.files.quota = 0
    async with http.post(shelved.http(UP), data=b"x", headers=bearer("c" * 43)) as full:
        assert full.status == 507
    found = [(entry.who, entry.command, entry.code) for entry in shelved.server._kept.page(None, 10)[0]]
    assert found == [
        ("bot", "attachment_get", "attachment_unknown"),
        ("bot", "attachment_put", "storage_full"),
    ]


async def test_no_answer_to_a_frontend_has_the_key_of_an_attachment(
    shelved: Bridge, http: ClientSession
) -> None:
    told = {"id": IDENT, "name": "a", "type": "b/c", "size": 1, "state": "pending", "manifest": "c2VjcmV0"}
    event = events.UserMessage(
        username="bob",
        timestamp=1,
        message="x",
        room=ROOM,
        id=ROOM,
        user_id="u",
        ts_ms=1,
        attachment=told,
        seq=1,
    )
    shelved.engine.log.append((1, events.encode_json(event)))
    async with http.ws_connect(shelved.url()) as ws:
        await ws.send_json({"event": "hello", "req": 1})
        await ws.send_json({"event": "history_get", "req": 2, "room": ROOM, "nonce": "n"})
        await until(lambda: any(isinstance(e, ports.ReadAnswered) for e in shelved.engine.inputs))
    answered = next(e for e in shelved.engine.inputs if isinstance(e, ports.ReadAnswered))
    assert "manifest" not in json.dumps(answered.fields)
    assert answered.fields["messages"][0]["attachment"]["url"].startswith(f"{UP}/{IDENT}?cap=")


@pytest.mark.parametrize(("ident", "state"), [(IDENT, "ready"), (ROOM, "failed")])
async def test_what_this_node_knows_nothing_of_any_more_is_not_awaited_for_ever(
    shelved: Bridge, http: ClientSession, ident: str, state: str
) -> None:
    told = {"id": ident, "name": "a", "type": "b/c", "size": 1, "state": "pending", "manifest": "c2VjcmV0"}
    event = events.UserMessage(
        username="bob", timestamp=1, message="x", room=ROOM, id=ROOM, user_id="u", ts_ms=1, seq=1,
        attachment=told,
    )  # fmt: skip
    shelved.engine.log.append((1, events.encode_json(event)))
    async with http.ws_connect(shelved.url("/")) as ws:
        await ws.send_json({"event": "hello", "req": 1, "resume": {"epoch": "e", "seq": 0}})
        while (frame := await ws.receive_json())["event"] != "user_message":
            pass
    assert frame["attachment"]["state"] == state and "manifest" not in frame["attachment"]


async def test_a_body_is_taken_as_it_is_and_never_unpacked(shelved: Bridge, http: ClientSession) -> None:
    """Unpacked, 50 KiB are 50 MiB in memory, before anybody is asked who they are."""
    bomb = zlib.compress(bytes(50 * 1024 * 1024))
    headers = {**bearer(), "Content-Encoding": "deflate"}
    task = asyncio.ensure_future(http.post(shelved.http(UP), data=bomb, headers=headers))
    await until(
        lambda: any(isinstance(event, ports.FileUploaded) for event in shelved.engine.inputs) or task.done()
    )
    taken = [event for event in shelved.engine.inputs if isinstance(event, ports.FileUploaded)]
    assert [event.manifest.size for event in taken] == [len(bomb)]
    task.cancel()


@pytest.mark.parametrize("by_capability", [False, True])
async def test_a_download_whose_token_goes_meanwhile_is_cut_off(
    shelved: Bridge, shelf: Shelf, http: ClientSession, by_capability: bool
) -> None:
    server, now_ms = shelved.server, clock().wall_ms
    grant = server._credentials.lookup("c" * 43, now_ms)
    assert grant is not None
    path = capabilities.url(IDENT, grant, server._credentials, now_ms) if by_capability else f"{UP}/{IDENT}"
    headers = {} if by_capability else bearer("c" * 43)
    async with http.get(shelved.http(path), headers=headers) as got:
        assert got.status == 200
        await got.content.readexactly(200 * 65_536)
        shelved.server.perform(ports.CredentialsChanged((), ()))
        with pytest.raises(ClientError):
            await got.read()
    assert shelf.read < PIECES


async def test_a_frontend_that_goes_away_is_nothing_to_tell_the_owner_of(
    shelved: Bridge, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    same = f"HTTP/1.1\r\nHost: 127.0.0.1:{shelved.port}\r\nAuthorization: Bearer {ADMIN}\r\n"
    up = f"POST {UP} {same}Transfer-Encoding: chunked\r\n\r\n5\r\nhel"
    for asked in (up, up + "lo\r\nQQ\r\n", f"GET {UP}/{IDENT} {same}\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", shelved.port)
        writer.write(asked.encode())
        await asyncio.sleep(0.1)
        writer.transport.abort()
        attachments = shelved.server.attachments
        await until(lambda a=attachments: not a._uploads and not a._downloads)
    await asyncio.sleep(0.1)
    assert caplog.records == [] and shelf.folder.held == {}

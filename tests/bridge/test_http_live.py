"""The events protocol's HTTP side on a real bridge, a simulated node behind it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from node.bridge import http_live, http_talks
from node.bridge.dialects.adapter import Reply
from node.bridge.dialects.live_003.http import PATHS
from node.bridge.guard import SWEEPER
from node.bridge.ports import (
    CommandReceived,
    CredentialsChanged,
    Deliver,
    DialectRecord,
    SessionEnded,
    SessionStarted,
    TokenRecord,
    hash_token,
)
from node.chat import commands as c, events
from node.sim import Simulation
from tests.engine.worlds import befriend
from tests.transcripts.runner import ADMIN, Node

PAGE = "http://localhost:5173"


class World:
    """Ann's node behind a bridge, bob's beside it; `inputs` is what the bridge has told ann's engine."""

    def __init__(self) -> None:
        self.sim = Simulation("http live")
        ann, bob = self.sim.add("ann"), self.sim.add("bob", peers=["ann"])
        self.sim.run(2)
        befriend(self.sim, ann, bob)
        self.ann, self.bob = ann, bob
        self.node = Node(ann)
        self.inputs: list[Any] = []
        feed = self.node.sim.feed
        self.held = False

        def submit(event: Any) -> None:
            self.inputs.append(event)
            if not self.held:
                feed(event)

        self.node.server._around.submit = submit
        self.http = aiohttp.ClientSession()

    def enable(self, *records: DialectRecord) -> None:
        self.node.server.perform(CredentialsChanged((), (), dialects=records))

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {ADMIN}", **how.pop("headers", {})}
        url = f"http://127.0.0.1:{self.node.port}{path}"
        async with self.http.request(method, url, headers=headers, **how) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    def sessions(self, kind: type[Any]) -> list[int]:
        return [one.session for one in self.inputs if isinstance(one, kind)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    _, made.node.port = await made.node.server.start()
    made.enable(DialectRecord("003", origins=(PAGE,)))
    yield made
    await made.http.close()
    await made.node.server.stop()


async def test_a_request_is_a_session_of_its_own_that_nobody_attends(world: World) -> None:
    status, chat = await world.ask("PUT", "/api/chats/bob")
    assert (status, chat["username"], chat["last_message"]) == (201, "bob", None)
    started = next(one for one in world.inputs if isinstance(one, SessionStarted))
    assert started.passing and not started.attends and not started.can_answer and not started.plain
    assert world.sessions(SessionEnded) == world.sessions(SessionStarted) == [started.session]
    assert not world.node.server._connections
    assert world.ann.engine is not None and started.session not in world.ann.engine.state.sessions


async def test_a_path_that_comes_with_the_address_before_it_is_the_same(world: World) -> None:
    port = world.node.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    at = f"127.0.0.1:{port}"
    writer.write(f"GET http://{at}/api/self?token={ADMIN} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")


async def test_a_long_history_is_read_by_pages_and_counted(world: World) -> None:
    _, chat = await world.ask("PUT", "/api/chats/bob")
    for number in range(70):
        world.ann.call(c.UserMessage(room=chat["chat_id"], message=f"word {number}"))
    status, found = await world.ask("GET", "/api/chats/bob/messages")
    assert status == 200 and found["count"] == 70
    assert [one["content"] for one in found["items"]] == [f"word {n}" for n in range(69, 39, -1)]
    _, deep = await world.ask("GET", "/api/chats/bob/messages/?offset=65&limit=30")
    assert [one["content"] for one in deep["items"]] == [f"word {n}" for n in range(4, -1, -1)]
    asked = [one.command for one in world.inputs if isinstance(one, CommandReceived)]
    assert [one.skip for one in asked if isinstance(one, c.HistoryGet)] == [0, 65]
    _, chats = await world.ask("GET", "/api/chats/")
    assert chats["items"][0]["last_message"]["content"] == "word 69"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/chats/nobody/messages", 404),
        ("PUT", "/api/chats/%00%ff", 404),
        ("PUT", "/api/chats/" + "x" * 3_000, 404),
        ("PUT", "/api/chats/..%2f..%2fetc", 404),
        ("PUT", "/api/chats/%ed%a0%80", 404),
        ("GET", "/api/users/?search=%ed%a0%80", 200),
        ("GET", "/api/users/?search=" + "x" * 100, 422),
        ("GET", "/api/chats?limit=1e9", 422),
        ("GET", "/api/chats?limit=\u0663", 422),
        ("GET", "/api/chats?offset=99999999999999999999", 422),
        ("PATCH", "/api/chats", 405),
        ("DELETE", "/api/self", 405),
        ("HEAD", "/api/self", 200),
        ("GET", "/api/chats/bob/nothing", 404),
    ],
)
async def test_what_no_path_or_value_is_answered_as_such(
    world: World, method: str, path: str, status: int
) -> None:
    assert (await world.ask(method, path))[0] == status
    assert (await world.ask("GET", "/api/self"))[0] == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100 + b"]" * 100, 400),
        (b'{"a":NaN}', 400),
        (b"[1]", 422),
        (b'{"username":[]}', 422),
        (b"  ", 201),
        (b"{}", 201),
        (b'{"username":' + b"9" * 5_000 + b"}", 400),
        (b'{"x":"' + b"y" * (1024 * 1024) + b'"}', 413),
    ],
)
async def test_a_body_is_json_of_a_size_and_a_depth(world: World, body: bytes, status: int) -> None:
    headers, data = {"Content-Type": "application/json"}, io.BytesIO(body)
    assert (await world.ask("PUT", "/api/chats/bob", data=data, headers=headers))[0] == status


async def test_a_body_of_another_type_is_refused_before_it_is_read(world: World) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await world.ask("PUT", "/api/chats/bob", data=b"a=b", headers=headers))[0] == 415
    assert not world.inputs


async def test_without_a_token_nothing_is_asked(world: World) -> None:
    url = f"http://127.0.0.1:{world.node.port}"
    for method, path in sorted(http_live.paths()):
        async with world.http.request(method, url + path.replace("{username}", "bob")) as response:
            assert response.status in {401, 404}, (method, path)
    assert not world.inputs


async def test_a_request_that_the_node_does_not_answer_ends_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_talks, "ANSWER_SECONDS", 0.1)
    world.held = True
    status, body = await world.ask("GET", "/api/chats")
    assert (status, body["error"]["code"]) == (503, "timeout")
    assert world.sessions(SessionEnded) == world.sessions(SessionStarted)
    world.node.server.perform(Deliver(world.sessions(SessionStarted)[0], events.Ok(req=1)))
    assert not world.node.server._connections


async def test_a_bounded_number_is_under_way_and_the_next_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_talks, "MAX_AT_ONCE", 3)
    monkeypatch.setattr(http_talks, "ANSWER_SECONDS", 0.5)
    world.held = True
    asked = [asyncio.create_task(world.ask("GET", "/api/self")) for _ in range(3)]
    while len(world.sessions(SessionStarted)) < 3:
        await asyncio.sleep(0.005)
    status, body = await world.ask("GET", "/api/self")
    assert (status, body["error"]["code"]) == (503, "busy")
    assert [status for status, _ in await asyncio.gather(*asked)] == [503] * 3
    world.held = False
    assert (await world.ask("GET", "/api/self"))[0] == 200


async def test_a_node_that_stops_answers_what_is_under_way(world: World) -> None:
    world.held = True
    asked = asyncio.create_task(world.ask("GET", "/api/self"))
    while not world.inputs:
        await asyncio.sleep(0.005)
    await world.node.server.stop()
    status, body = await asked
    assert (status, body["error"]["code"]) == (503, "busy")


async def test_a_locked_node_says_so(world: World) -> None:
    world.ann.lock()
    status, body = await world.ask("GET", "/api/chats")
    assert (status, body["error"]["code"]) == (503, "locked")


async def test_what_is_asked_is_on_record_without_what_was_in_it(world: World) -> None:
    for _ in range(3):
        await world.ask("PUT", "/api/chats/bob")
    page, _ = world.node.server._kept.page(None, 100)
    mine = {(one.command, one.code): one.session for one in page if one.who == "owner"}
    assert mine[("dm_open", "ok")] is None and mine[("profile_get", "ok")] is None
    assert len(page) == len(mine), "each once, for the rest is counted"


async def test_requests_keep_their_owner_from_being_away(world: World) -> None:
    world.sim.run(120)
    status, me = await world.ask("GET", "/api/users/ann")
    assert status == 200 and me["is_online"], "who has just asked is there"
    assert world.bob.call(c.ProfileGet(username="ann"))["presence"] == "offline"
    world.sim.run(6)
    assert world.bob.call(c.ProfileGet(username="ann"))["presence"] == "online"
    world.sim.run(70)
    assert world.bob.call(c.ProfileGet(username="ann"))["presence"] == "offline"


async def test_a_page_asks_from_its_origin_as_the_guard_allows(world: World) -> None:
    assert (await world.ask("GET", "/api/self", headers={"Origin": PAGE}))[0] == 200
    assert (await world.ask("GET", "/api/self", headers={"Origin": "http://localhost:1"}))[0] == 403
    own = f"http://localhost:{world.node.port}"
    assert (await world.ask("GET", "/api/self", headers={"Origin": own}))[0] == 200


async def test_nothing_is_there_until_the_dialect_is_on(world: World) -> None:
    world.enable()
    for method, path in sorted(http_live.paths()):
        status, body = await world.ask(method, path.replace("{username}", "bob"))
        assert (status, body["error"]["code"]) == (404, "not_enabled")
    for path in ("chats/a%2Fb", "chats/%2F/", "%63hats/b", "users/a%2fb/friends", "./chats/b", "/chats/b"):
        url = URL(f"http://127.0.0.1:{world.node.port}/api/{path}", encoded=True)
        async with world.http.put(url, headers={"Authorization": f"Bearer {ADMIN}"}) as answer:
            assert answer.status == 404, path
    assert not world.inputs


async def test_a_login_reads_and_writes_from_the_nodes_own_page_alone(world: World) -> None:
    login = world.node.server.login_url().replace("127.0.0.1", "localhost")
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(login, allow_redirects=False) as response:
            assert response.status == 303
        own = f"http://localhost:{world.node.port}"

        async def ask(method: str, path: str, site: str | None, *, origin: str = own) -> int:
            headers = {"Origin": origin, **({} if site is None else {"Sec-Fetch-Site": site})}
            async with browser.request(method, own + path, headers=headers) as answer:
                return answer.status

        assert await ask("GET", "/api/self", "same-origin") == 200
        assert await ask("PUT", "/api/chats/bob", "cross-site") == 403
        assert await ask("PUT", "/api/chats/bob", None) == 403
        assert await ask("PUT", "/api/chats/bob", "same-origin", origin="http://localhost:1") == 403
        assert await ask("POST", "/api/notifications/mark_all_as_read", "same-site") == 403
        assert await ask("PUT", "/api/chats/bob", "same-origin") == 201
        kept = {cookie.key: cookie.value for cookie in jar}
        assert await ask("POST", "/api/logout", "same-origin") == 204
        assert not list(jar), "the browser has lost its cookie"
        browser.cookie_jar.update_cookies(kept)
        assert await ask("GET", "/api/self", "same-origin") == 401
    assert world.ann.call(c.ProfileGet())["presence"] == "offline"


async def test_the_sweep_needs_its_own_secret_and_makes_nobody_active(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/api/cronjob/cron/check-inactive-users"
    assert (await world.ask("DELETE", path))[0] == 401
    monkeypatch.setattr(world.node.server._listeners, "cron_valid", lambda secret: secret == "s" * 64)
    world.enable(DialectRecord("003"))
    world.sim.run(300)
    secret = {"Authorization": "Bearer " + "s" * 64}
    status, body = await world.ask("DELETE", path + "/", headers=secret)
    assert (status, body) == (200, {"msg": "0 found to be offline", "users": []})
    assert world.ann.call(c.ProfileGet())["presence"] == "offline"
    assert (await world.ask("GET", "/api/self", headers=secret))[0] == 401


async def test_child_tokens_have_one_rate_for_all_their_requests(world: World) -> None:
    record = TokenRecord("page", "chat", hash_token("c" * 43), 0)
    world.node.server.perform(CredentialsChanged((record,), (), dialects=(DialectRecord("003"),)))
    child = {"Authorization": "Bearer " + "c" * 43}
    answers = [await world.ask("GET", "/api/self", headers=child) for _ in range(300)]
    refused = [body for status, body in answers if status == 429]
    assert 5 <= len(refused) < 140 and refused[0]["error"]["retry_after"] > 0
    assert (await world.ask("GET", "/api/self"))[0] == 200
    page, _ = world.node.server._kept.page(None, 100)
    assert [one.who for one in page if one.code == "rate_limited"] == ["page"]


async def test_a_token_that_is_revoked_ends_what_it_asked(world: World) -> None:
    record = TokenRecord("page", "chat", hash_token("c" * 43), 0)
    world.node.server.perform(CredentialsChanged((record,), (), dialects=(DialectRecord("003"),)))
    world.held = True
    asked = asyncio.create_task(
        world.ask("GET", "/api/self", headers={"Authorization": "Bearer " + "c" * 43})
    )
    while not world.inputs:
        await asyncio.sleep(0.005)
    world.enable(DialectRecord("003"))
    assert (await asked)[0] == 401


def test_a_reply_that_is_no_text_is_refused_as_the_frontends_own() -> None:
    assert http_live.response(Reply(200, {"msg": "\ud800"})).status == 422
    assert http_live.response(Reply(204)).body is None
    sweep = http_live.asker_of("DELETE", "/api/cronjob/cron/check-inactive-users/", SWEEPER)
    assert not sweep.passing and sweep.grant.scope == "chat"
    assert http_live.asker_of("GET", "/api/self", SWEEPER).grant == SWEEPER


def test_the_guard_and_the_talks_know_the_same_paths() -> None:
    named = {path.replace("{}", "{username}"): methods for path, methods in PATHS.items()}
    ours = {(one, path + end) for path, methods in named.items() for one in methods for end in ("", "/")}
    assert ours == http_live.paths()

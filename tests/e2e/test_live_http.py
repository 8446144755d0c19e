"""The events protocol's HTTP at real nodes, and a page that a node serves for it, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.nodes import NodeProcess, befriend, running
from tests.e2e.test_dialects_enabled import gossamer
from tests.e2e.test_foreign_page import FETCH, foreign, run
from tests.e2e.test_page import BROWSER, NAMES, browser
from tests.ports import free_port

SWEEP = "/api/cronjob/cron/check-inactive-users"
BUILD = "<!doctype html><meta charset=utf-8><title>build</title><body>build"
JSON = {"Content-Type": "application/json"}


async def ask(node: NodeProcess, method: str, path: str, token: str = "") -> tuple[int, Any]:
    url = f"http://127.0.0.1:{node.bridge_port}{path}"
    headers = {"Authorization": f"Bearer {token or node.token}"}
    async with aiohttp.ClientSession() as http, http.request(method, url, headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None


@pytest.mark.slow
async def test_a_long_chat_is_paged_to_its_end_and_is_there_again_after_a_kill(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann):
        bob.flags = ("--peer", ann.address)
        async with running(bob):
            await befriend(bob, ann)
            assert (await ask(ann, "GET", "/api/chats"))[0] == 404
            assert (await gossamer(ann.home, "bridge", "enable", "003"))[0] == 0
            status, chat = await ask(ann, "PUT", "/api/chats/bob")
            assert (status, chat["username"]) == (201, "bob")
            async with ann.frontend({}) as at_ann, bob.frontend({}) as at_bob:
                for number in range(250):
                    await at_ann.call("user_message", room=chat["chat_id"], message=f"word {number}")
                await at_bob.event("user_message", message="word 249")
                await at_bob.call("user_message", room=chat["chat_id"], message="and an answer")
                await at_ann.event("user_message", message="and an answer")
                file = (await at_ann.call("attachment_put", name="a.txt", data="aGVsbG8="))["attachment"]
                mine = {"name": "files", "visibility": "private"}
                files = (await at_ann.call("room_create", **mine))["room"]
                await at_ann.call("user_message", room=files, message="look", attachment=file)
            shown = (await ask(ann, "GET", f"/api/chats/{files}/messages"))[1]["items"][0]["content"]
            kind, name, link, word = shown.split(" ")
            assert (kind, name, word) == ("[file]", "a.txt", "look")
            async with aiohttp.ClientSession() as http, http.get(link) as answer:
                assert (answer.status, await answer.text()) == (200, "hello"), "a link needs no token"
            for _ in range(2):
                _, found = await ask(ann, "GET", "/api/chats/bob/messages")
                assert (found["count"], len(found["items"])) == (251, 30)
                assert (found["items"][0]["content"], found["items"][0]["is_read"]) == (
                    "and an answer",
                    False,
                )
                said = []
                for offset in range(0, 300, 100):
                    page = f"/api/chats/bob/messages/?limit=100&offset={offset}"
                    said += [one["content"] for one in (await ask(ann, "GET", page))[1]["items"]]
                assert said == ["and an answer", *(f"word {n}" for n in range(249, -1, -1))]
                _, chats = await ask(ann, "GET", "/api/chats/")
                assert [one["nickname"] for one in chats["items"]] == ["files", "bob"]
                assert chats["items"][1]["last_message"]["content"] == "and an answer"
                assert (await ask(ann, "GET", "/api/self"))[1]["unread_messages_count"] == 1
                await ann.kill()
                await ann.start()
            secret = (ann.home / "cron_secret").read_text().strip()
            assert (await ask(ann, "DELETE", SWEEP))[0] == 401
            assert (await ask(ann, "DELETE", SWEEP, secret))[0] == 200
            assert (await ask(ann, "GET", "/api/self", secret))[0] == 401
            assert (await ask(ann, "POST", "/api/logout"))[0] == 204
            assert secret not in (ann.home / "gossamer.log").read_text()


@pytest.mark.gate
@pytest.mark.skipif(not BROWSER, reason=f"none of {NAMES} is in PATH")
async def test_a_build_that_the_node_serves_reads_and_writes_with_its_login_and_no_other_page_does(
    tmp_path: Path,
) -> None:
    (dist := tmp_path / "dist").mkdir()
    (dist / "index.html").write_text(BUILD)
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    port = free_port()
    async with running(ann), foreign() as other, browser(tmp_path / "profile") as page:
        bob.flags = ("--peer", ann.address)
        async with running(bob):
            await befriend(bob, ann)
        words = ("bridge", "enable", "003", "--port", str(port), "--serve", str(dist))
        assert (await gossamer(ann.home, *words))[0] == 0
        _, link, _ = await gossamer(ann.home, "bridge", "login", "--dialect", "003")
        at = f"http://127.0.0.1:{port}"
        await page.do("Page.navigate", url=link)
        await page.until("document.title === 'build'")
        kind, status, text = await run(page, FETCH, "/api/self")
        assert (kind, status, json.loads(text)["username"]) == ("basic", 200, "ann")
        assert (await run(page, FETCH, "/api/chats/bob", method="PUT"))[1] == 201
        assert (await run(page, FETCH, "/api/chats/bob", method="PUT", headers=JSON, body="{}"))[1] == 200
        assert json.loads((await run(page, FETCH, "/api/chats"))[2])["count"] == 1
        read = await run(page, FETCH, "/api/notifications/mark_all_as_read", method="POST")
        assert read[1] == 200
        await page.do("Page.navigate", url=f"http://127.0.0.1:{other}/")
        await page.until("document.title === 'foreign'")
        for path, method in (("/api/self", "GET"), ("/api/chats/bob", "PUT"), ("/api/logout", "POST")):
            found = await run(page, FETCH, at + path, method=method, credentials="include")
            assert found == ["TypeError: Failed to fetch"], path
        opaque = await run(
            page, FETCH, f"{at}/api/logout", method="POST", mode="no-cors", credentials="include"
        )
        assert opaque in (["opaque", 0, ""], ["TypeError: Failed to fetch"])
        await page.do("Page.navigate", url=f"{at}/")
        await page.until("document.title === 'build'")
        assert (await run(page, FETCH, "/api/self"))[1] == 200, "nobody was logged out"
        assert (await run(page, FETCH, "/api/logout", method="POST"))[1] == 204
        assert (await run(page, FETCH, "/api/self"))[1] == 401

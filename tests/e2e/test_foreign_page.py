"""A foreign page in a real browser, on the machine of a node and logged in to it: it gets nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.nodes import NodeProcess, running
from tests.e2e.test_page import BROWSER, NAMES, Page, browser

pytestmark = [pytest.mark.gate, pytest.mark.skipif(not BROWSER, reason=f"none of {NAMES} is in PATH")]

PAGE = b"<!doctype html><meta charset=utf-8><title>foreign</title><body>foreign"
SOCKET = """new Promise(done => {
  const said = [], ws = new WebSocket(URL);
  ws.onopen = () => { said.push("open"); ws.send('{"event":"node_status","req":1}'); };
  ws.onmessage = ({data}) => said.push(data);
  ws.onclose = ({code}) => done([...said, code]);
  setTimeout(() => done([...said, "still open"]), 3000);
})"""
FETCH = """fetch(URL, OPTIONS).then(async answer => [answer.type, answer.status, await answer.text()],
  fault => [String(fault)])"""
IMAGE = """new Promise(done => {
  const image = new Image();
  image.onload = () => done("loaded");
  image.onerror = () => done("failed");
  image.src = URL;
})"""
FRAME = """new Promise(done => {
  const frame = document.createElement("iframe");
  frame.onload = () => {
    let text = "out of reach";
    try { text = frame.contentDocument ? frame.contentDocument.body.innerText : text } catch {}
    done(text);
  };
  frame.src = URL;
  document.body.append(frame);
})"""
FORM = """new Promise(done => {
  const frame = document.createElement("iframe"), form = document.createElement("form");
  frame.name = "target" + Math.random();
  frame.onload = () => done("sent");
  document.body.append(frame);
  Object.assign(form, {method: "post", action: URL, enctype: "text/plain", target: frame.name});
  form.innerHTML = '<input name=\\'{"event":"node_stop","x":"\\' value=\\'"}\\'>';
  document.body.append(form);
  form.submit();
})"""


@asynccontextmanager
async def foreign() -> AsyncIterator[str]:
    """Serve a page on another port of this machine; returns its origin's port."""
    app = web.Application()

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=PAGE, content_type="text/html")

    app.router.add_get("/", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield str(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def run(page: Page, script: str, url: str, **options: Any) -> Any:
    code = script.replace("URL", json.dumps(url)).replace("OPTIONS", json.dumps(options))
    answer = await page.do("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in answer, answer
    return answer["result"]["value"]


async def attack(page: Page, node: NodeProcess, *, knows_token: bool) -> None:
    """Everything that a page can do to another origin; a token helps it nothing: it is not on the list."""
    token = f"token={node.token}" if knows_token else "x=1"
    for host in ("127.0.0.1", "localhost"):
        at = f"{host}:{node.bridge_port}"
        for path in ("/", "/bridge"):
            assert await run(page, SOCKET, f"ws://{at}{path}?{token}") == [1006], (host, path)
        for path in ("/", "/api/v1/health", "/api/v1/schema", "/api/v1/metrics", "/api/v1/login"):
            url = f"http://{at}{path}?{token}"
            for options in (
                {},
                {"credentials": "include"},
                {"method": "POST", "credentials": "include", "body": '{"event":"node_stop"}'},
                {"method": "PUT", "headers": {"Content-Type": "application/json"}, "body": "{}"},
                {"headers": {"Authorization": "Bearer x"}},
            ):
                assert await run(page, FETCH, url, **options) == ["TypeError: Failed to fetch"], (
                    url,
                    options,
                )
            # `no-cors` gives an opaque answer to whatever comes: nothing can be read of it
            opaque = await run(page, FETCH, url, mode="no-cors", credentials="include")
            assert opaque in (["opaque", 0, ""], ["TypeError: Failed to fetch"]), url
            assert await run(page, IMAGE, url) == "failed"
            assert await run(page, FRAME, url) == "out of reach"
            assert await run(page, FORM, url) == "sent"


async def test_a_foreign_page_gets_nowhere_even_in_a_browser_that_is_logged_in(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), foreign() as port, browser(tmp_path / "profile") as page:
        async with ann.frontend({}) as owner:
            link = (await owner.call("login_link_create"))["url"]
            await page.do("Page.navigate", url=link)
            await page.until("document.title !== ''")
            status = (await owner.call("node_status"))["uptime_s"]
            for host in ("127.0.0.1", "localhost"):
                await page.do("Page.navigate", url=f"http://{host}:{port}/")
                await page.until("document.title === 'foreign'")
                for knows in (False, True):
                    await attack(page, ann, knows_token=knows)
            rows = (await owner.call("audit_list"))["entries"]
            done = {(row["who"], row["via"], row["command"], row["code"]) for row in rows}
            assert {one for one in done if one[1] == "login"} == {("owner", "login", "login", "ok")} | {
                one for one in done if one[1:3] == ("login", "hello")
            }
            assert (None, None, "connect", "origin_not_allowed") in done
            assert (await owner.call("node_status"))["uptime_s"] >= status, "it was not stopped"
            # an origin on the list, with a token besides, is what it takes
            await owner.call("origin_allow", origin=f"http://127.0.0.1:{port}")
            await page.do("Page.navigate", url=f"http://127.0.0.1:{port}/")
            await page.until("document.title === 'foreign'")
            bare, url = (
                f"ws://localhost:{ann.bridge_port}/",
                f"ws://localhost:{ann.bridge_port}/?token={ann.token}",
            )
            assert await run(page, SOCKET, bare) == [1006]
            assert (await run(page, SOCKET, url))[0] == "open"
            found = await run(page, FETCH, f"http://localhost:{ann.bridge_port}/api/v1/health")
            assert found == ["cors", 200, '{"status":"ok"}']
        log = (tmp_path / "ann" / "gossamer.log").read_text()
        refused = re.findall(r"refused a page of origin (\S+); to allow it: gossamer bridge allow", log)
        assert sorted(refused) == [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
        assert ann.token not in log

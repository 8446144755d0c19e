"""Pages of other frontends in a real browser: a build that the node serves, and one of a dialect's origin."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e.nodes import NodeProcess, running
from tests.e2e.test_foreign_page import FETCH, IMAGE, SOCKET, foreign, run
from tests.e2e.test_page import BROWSER, NAMES, browser

pytestmark = [pytest.mark.gate, pytest.mark.skipif(not BROWSER, reason=f"none of {NAMES} is in PATH")]
REFUSED = ["TypeError: Failed to fetch"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


async def test_a_served_build_logs_in_by_a_link_reads_and_writes_and_talks_to_nobody_else(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "index.html").write_text(
        "<!doctype html><title>x</title><base href=/><body>served<script src=app.js></script>"
    )
    (dist / "app.js").write_text("document.title = 'runs'")
    ann = NodeProcess(tmp_path / "ann", "ann")
    at = f"https://127.0.0.1:{port}"
    async with running(ann), ann.frontend({}) as owner, browser(tmp_path / "profile") as page:
        await owner.call("dialect_enable", dialect="003", port=port, serve=str(dist), tls=True)
        await page.do("Security.setIgnoreCertificateErrors", ignore=True)
        await page.do("Page.navigate", url=f"{at}/chats/1")
        await page.until("document.title === 'runs'")
        assert (await run(page, FETCH, "/api/self"))[1] == 401
        assert (await run(page, SOCKET, f"wss://127.0.0.1:{port}/ws/events"))[-1] == 3002
        link = (await owner.call("login_link_create", dialect="003"))["url"]
        await page.do("Page.navigate", url=link)
        await page.until("document.title === 'runs'")
        assert await page.js("location.href") == f"{at}/"
        assert await page.js("document.cookie") == ""
        assert (await run(page, FETCH, "/api/self"))[1] not in {401, 403}
        assert (await run(page, FETCH, "/api/users/bob/friends", method="POST"))[1] not in {401, 403}
        said = await run(page, SOCKET, f"wss://127.0.0.1:{port}/ws/events")
        assert said[0] == "open" and said[-1] != 3002
        assert (await run(page, FETCH, "/bridge"))[1] == 200, "a path of the page's own: it is the page"
        assert (await run(page, FETCH, "/api/v1/schema"))[1] == 404
        for other in (f"http://127.0.0.1:{ann.bridge_port}/api/v1/health", "https://example.com/"):
            assert await run(page, FETCH, other) == REFUSED
        assert any("Content Security Policy" in fault for fault in page.faults)


async def test_a_page_of_a_dialects_origin_reaches_that_dialect_with_a_token_and_nothing_else(
    tmp_path: Path,
) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with (
        running(ann),
        foreign() as port,
        browser(tmp_path / "profile") as page,
        ann.frontend({}) as owner,
    ):
        put = await owner.call("attachment_put", data=PNG, name="a.png", type="image/png")
        cap = (await owner.call("attachment_get", id=put["attachment"]))["url"]
        polls = f"http://localhost:{ann.bridge_port}/socket.io/?EIO=4&transport=polling"
        await page.do("Page.navigate", url=f"http://localhost:{port}/")
        await page.until("document.title === 'foreign'")
        assert await run(page, FETCH, f"{polls}&token={ann.token}") == REFUSED
        origin = f"http://localhost:{port}"
        await owner.call("dialect_enable", dialect="004", origin=origin)
        kind, status, _ = await run(page, FETCH, f"{polls}&token={ann.token}")
        assert (kind, status) == ("cors", 200)
        assert (await run(page, FETCH, f"{polls}&token=wrong")) == REFUSED
        base = f"http://localhost:{ann.bridge_port}"
        for path in ("/api/v1/health", f"/api/v1/schema?token={ann.token}", "/api/self"):
            assert await run(page, FETCH, f"{base}{path}") == REFUSED
        assert await run(page, SOCKET, f"ws://localhost:{ann.bridge_port}/?token={ann.token}") == [1006]
        assert await run(page, IMAGE, f"{base}{cap}") == "loaded"
        assert (await run(page, FETCH, f"{base}{cap}"))[:2] == ["cors", 200]
        await owner.call("dialect_disable", dialect="004", origin=origin)
        assert await run(page, FETCH, f"{polls}&token={ann.token}") == REFUSED

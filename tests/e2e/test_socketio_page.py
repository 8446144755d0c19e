"""Socket.IO in a real browser: a page that the node serves gets in by its login, over every transport."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tests.e2e.nodes import NodeProcess, running
from tests.e2e.test_foreign_page import run
from tests.e2e.test_page import BROWSER, NAMES, browser

pytestmark = [pytest.mark.gate, pytest.mark.skipif(not BROWSER, reason=f"none of {NAMES} is in PATH")]
VENDOR = Path(__file__).parents[2] / "examples" / "vendor"
PAGE = "<!doctype html><title>x</title><base href=/><body><script src=socket.io.min.js></script>"
TALK = """new Promise(done => {
  const told = [], socket = io({ forceNew: true, reconnection: false, ...OPTIONS });
  const me = { userId: "me", username: "Me" }, end = () => { socket.close(); done(told); };
  socket.on("connect_error", fault => { told.push(fault.message, fault.data?.code ?? null); end(); });
  socket.on("message_received", ({ content }) => { told.push(content); end(); });
  socket.on("connect", async () => {
    const { roomId } = await socket.emitWithAck("create_room", { name: "tea", ...me });
    await socket.emitWithAck("join_room", { roomId, ...me });
    socket.emit("send_message", { roomId, content: "hello", ...me });
  });
  setTimeout(end, 5000);
})"""
TRANSPORTS = (["websocket"], ["polling"], ["polling", "websocket"])


async def test_a_served_page_talks_over_every_transport_once_it_is_logged_in(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "index.html").write_text(PAGE)
    shutil.copy(VENDOR / "socket.io.min.js", dist)
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), ann.frontend({}) as owner, browser(tmp_path / "profile") as page:
        await owner.call("dialect_enable", dialect="004", port=port, serve=str(dist))
        await page.do("Page.navigate", url=f"http://127.0.0.1:{port}/")
        await page.until("typeof io === 'function'")
        for transports in TRANSPORTS:
            assert await run(page, TALK, "", transports=transports) == [
                "a token is needed: auth.token, or ?token= in the URL",
                "unauthorized",
            ]
        link = (await owner.call("login_link_create", dialect="004"))["url"]
        await page.do("Page.navigate", url=link)
        await page.until("typeof io === 'function'")
        for transports in TRANSPORTS:
            assert await run(page, TALK, "", transports=transports) == ["hello"]
        assert not [fault for fault in page.faults if "Content Security Policy" in fault]

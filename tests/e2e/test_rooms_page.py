"""The example page of the rooms protocol in a real browser: Socket.IO's own client, and two real nodes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from tests.e2e.nodes import Frontend, NodeProcess, running
from tests.e2e.test_page import BROWSER, EVIL, NAMES, Page, browser

EXAMPLES = Path(__file__).parents[2] / "examples"
SAID = "[...document.querySelectorAll('#said li:not(.node)')].map(one => one.lastChild.textContent)"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)
CONNECTED = "document.querySelector('#state').textContent === 'connected'"

pytestmark = [pytest.mark.gate, pytest.mark.skipif(not BROWSER, reason=f"none of {NAMES} is in PATH")]


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """Serve the examples as the development server of a page does; returns the origin."""
    app = web.Application()
    app.router.add_static("/", EXAMPLES)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def fill(page: Page, form: str, field: str, text: str) -> None:
    """Write into a field and send its form off."""
    await page.js(f"document.querySelector('#{field}').value = {json.dumps(text)}")
    await page.js(f"document.querySelector('#{form}').requestSubmit()")


async def made(page: Page) -> str:
    """Make a room on the page and come into it; returns its id."""
    await fill(page, "make", "title", "square")
    await page.until("document.querySelector('#state').textContent.startsWith('in ')")
    return str(await page.js("document.querySelector('#room').value"))


async def talk(page: Page, room: str, bob: Frontend) -> None:
    """Both talk, type and look at a picture, and nothing of what is said is more than text."""
    await bob.call("user_message", room=room, message=EVIL)
    await page.until(f"{SAID}.length === 1")
    await fill(page, "say", "text", "hello from the page")
    await bob.event("user_message", message="hello from the page", room=room)
    await page.until(f"{SAID}.length === 2")
    assert await page.js(SAID) == [EVIL, "hello from the page"]
    assert await page.js("document.querySelectorAll('#said img, #said a').length") == 0
    await page.js("typing(true)")
    await bob.event("typing", username="ann", typing=True)
    await bob.call("typing_set", room=room)
    await page.shows("bob …")
    await page.js(f"send({json.dumps(PIXEL)}, 'image')")
    await page.until("document.querySelector('#said img')?.naturalWidth === 1")
    picture = await bob.event("user_message", kind="image", room=room)
    assert picture["attachment"]["name"] == "image.png"


@pytest.mark.parametrize("transports", [["polling", "websocket"], ["websocket"], ["polling"]], ids="+".join)
async def test_the_example_page_chats_and_outlives_its_node(tmp_path: Path, transports: list[str]) -> None:
    ann, bob = (NodeProcess(tmp_path / name, name) for name in ("ann", "bob"))
    async with running(ann), served() as origin, browser(tmp_path / "profile") as page:
        bob.flags += ("--peer", ann.address)
        async with running(bob), ann.frontend({}) as owner, bob.frontend({}) as there:
            await owner.call("dialect_enable", dialect="004", origin=origin)
            await page.do("Page.navigate", url=f"{origin}/rooms_004.html")
            await page.until("typeof connect === 'function'")
            await page.js(f"io = (plain => url => plain(url, {{transports: {json.dumps(transports)}}}))(io)")
            url = f"http://localhost:{ann.bridge_port}/?token={ann.token}"
            await page.js(f"connect({json.dumps(url)})")
            await page.until(CONNECTED)
            room = await made(page)
            while (await there.answer("user_join", room=room))["event"] != "ok":
                pass  # its listing is on its way
            await there.event("user_join", username="bob", room=room)
            await page.shows("bob is here")
            await talk(page, room, there)
            assert page.faults == []
            await ann.kill()
            await page.shows("disconnected")
            await there.call("user_message", room=room, message="missed")
            await ann.start()
            await page.until(f"{SAID}.includes('missed')")
            assert (await page.js(SAID))[:2] == [EVIL, "hello from the page"]
            await page.js("document.querySelector('#leave').click()")
            await there.event("user_leave", username="ann", room=room)
            await page.until(CONNECTED)


async def test_a_page_joins_a_room_that_a_page_of_another_node_has_made_just_now(tmp_path: Path) -> None:
    ann, bob = (NodeProcess(tmp_path / name, name) for name in ("ann", "bob"))
    async with running(ann), served() as origin, browser(tmp_path / "profile") as page:
        bob.flags += ("--peer", ann.address)
        async with running(bob):
            for node in (ann, bob):
                async with node.frontend({}) as owner:
                    await owner.call("dialect_enable", dialect="004", origin=origin)
            for node in (ann, bob):
                url = quote(f"http://localhost:{node.bridge_port}/?token={node.token}")
                frame = (
                    f"Object.assign(document.createElement('iframe'), {{src: '/rooms_004.html#url={url}'}})"
                )
                if node is ann:
                    await page.do("Page.navigate", url=f"{origin}/rooms_004.html#url={url}")
                    await page.until(CONNECTED)
                    assert node.token not in await page.js("location.href")
                else:
                    await page.js(f"document.body.append(globalThis.other = {frame}), 0")
                    await page.until(
                        "other.contentDocument?.querySelector('#state')?.textContent === 'connected'"
                    )
            await page.js("socket.once('room_created', made => other.contentWindow.join(made.id)), 0")
            await fill(page, "make", "title", "square")
            await page.shows("bob is here")
            await page.until("other.contentDocument.querySelector('#state').textContent.startsWith('in ')")
            await page.js("other.contentWindow.send('hello over there', 'text')")
            await page.until(f"{SAID}.includes('hello over there')")
            await page.js("send('and back', 'text')")
            await page.until("other.contentDocument.body.innerText.includes('and back')")

"""The built-in page in a real browser: headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.nodes import Frontend, NodeProcess, befriend, make_room, running

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run "
    "--disable-sync --disable-background-networking --disable-component-update --remote-debugging-port=0"
)
COMPLAINTS = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
EVIL = "<img src=x onerror=alert(1)> <a href='javascript:alert(1)'>x</a> \u202egnp.exe"
SAID = "[...document.querySelectorAll('#log span')].map(span => span.textContent)"

pytestmark = [pytest.mark.gate, pytest.mark.skipif(not BROWSER, reason=f"none of {NAMES} is in PATH")]


class Page:
    """The browser's one tab, and everything it complained about."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws, self.asked, self.faults = ws, 0, list[str]()

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Give one DevTools command; what the page reports meanwhile is kept."""
        self.asked += 1
        await self.ws.send(json.dumps({"id": self.asked, "method": method, "params": params}))
        async with asyncio.timeout(30):
            while (frame := json.loads(await self.ws.recv())).get("id") != self.asked:
                if frame["method"] in COMPLAINTS:
                    self.faults.append(json.dumps(frame["params"]))
        if "error" in frame:
            raise RuntimeError(frame["error"])
        return dict(frame["result"])

    async def js(self, expression: str) -> Any:
        """Return the value of an expression; raises RuntimeError with what the page threw."""
        answer = await self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        for _ in range(600):
            with suppress(RuntimeError):
                if await self.js(f"Boolean({condition})"):
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{condition}; the page shows: {await self.js('document.body.innerText')}")

    async def shows(self, text: str) -> None:
        await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def click(self, text: str) -> None:
        """Click the button that says this."""
        button = f"[...document.querySelectorAll('button')].find(one => one.innerText.startsWith('{text}'))"
        await self.until(button)
        await self.js(f"{button}.click()")

    async def say(self, text: str) -> None:
        """Type a message and press Enter, as the keyboard does."""
        await self.js("document.querySelector('[aria-label=Message]').focus()")
        await self.do("Input.insertText", text=text)
        await self.do("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r")


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """Start Chromium with a profile of its own; it does not outlive the test."""
    arguments, quiet = [f"--user-data-dir={folder}", *FLAGS.split()], asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(str(BROWSER), *arguments, stdout=quiet, stderr=quiet)
    port_file = folder / "DevToolsActivePort"
    try:
        async with asyncio.timeout(60):
            while not port_file.exists() or len(lines := port_file.read_text().split()) < 2:
                assert process.returncode is None, "the browser ended at once"
                await asyncio.sleep(0.05)
        async with connect(f"ws://127.0.0.1:{lines[0]}{lines[1]}", proxy=None) as ws:
            made = await Page(ws).do("Target.createTarget", url="about:blank")
        url = f"ws://127.0.0.1:{lines[0]}/devtools/page/{made['targetId']}"
        async with connect(url, max_size=None, max_queue=None, proxy=None) as ws:
            page = Page(ws)
            for domain in ("Page", "Runtime", "Log"):
                await page.do(f"{domain}.enable")
            yield page
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def chat(page: Page, alice: NodeProcess, bob: Frontend, room: str) -> None:
    """History, an invite, messages both ways; then the node is killed, and nothing is lost or shown twice."""
    await page.click("club")
    await page.shows(EVIL)
    assert await page.js("document.querySelectorAll('#log img, #log a').length") == 0
    tea = (await bob.call("room_create", name="tea <b>"))["room"]
    for answer in ("Decline", "Accept"):
        await bob.call("user_invite", target="alice", room=tea)
        await page.click(answer)
        await bob.event("invite_result", response=answer.lower(), room=tea)
    await page.until("document.querySelector('#title').textContent === 'tea <b>'")
    await page.click("club")
    await page.until(f"{SAID}.length === 1")
    await page.say("hello from the page")
    await bob.event("user_message", message="hello from the page", room=room)
    await page.until(f"{SAID}.length === 2")
    assert page.faults == []  # neither a violation of the policy nor anything else in the console
    await alice.kill()
    await page.shows("reconnecting")
    for number in range(3):
        await bob.call("user_message", room=room, message=f"missed {number}")
    await alice.start()
    await page.shows("missed 2")
    await page.say("back")
    await bob.event("user_message", message="back", room=room)
    await page.until(f"{SAID}.includes('back')")
    assert await page.js(SAID) == [EVIL, "hello from the page", "missed 0", "missed 1", "missed 2", "back"]
    missed = [event["id"] for event in bob.events if str(event.get("message", "")).startswith("missed")]
    await bob.call("message_edit", room=room, id=missed[0], message=EVIL)
    await bob.call("message_delete", room=room, id=missed[1])
    await bob.call("reaction_set", room=room, id=missed[2], emoji="like")
    await page.shows("(edited)")
    await page.shows("\N{THUMBS UP SIGN} 1")
    said = [EVIL, "hello from the page", EVIL, "(deleted)", "missed 2", "back"]
    await page.until(f"{SAID}.join() === {json.dumps(','.join(said))}")
    assert await page.js("document.querySelectorAll('#log img, #log a').length") == 0
    await new_things(page, bob, room)


async def new_things(page: Page, bob: Frontend, room: str) -> None:
    """A file without words is a link, an announcement a note, a game no room; names and words are text."""
    page.faults.clear()  # that the node was down
    name = "<img src=x onerror=alert(1)>.txt"
    file = (await bob.call("attachment_put", data="aGVsbG8=", name=name, type="text/html"))["attachment"]
    await bob.call("user_message", room=room, message="", attachment=file)
    await page.until("document.querySelector('#log a')?.textContent.includes('onerror') === true")
    link = "document.querySelector('#log a').href"
    await page.until(f"fetch({link}).then(answer => answer.text()).then(text => text === 'hello')")
    await bob.call("announcement_send", contacts=True, text=EVIL)
    await page.until(
        f"document.querySelector('#note').textContent === 'bob announces: ' + {json.dumps(EVIL)}"
    )
    direct = (await bob.call("dm_open", username="alice"))["room"]
    await bob.call("user_invite", target="alice", room=direct, kind="game")
    await page.shows("asks you to a game")
    assert await page.js("document.querySelectorAll('img').length") == 0
    assert page.faults == []


async def test_the_page_logs_in_chats_and_comes_back(tmp_path: Path) -> None:
    alice = NodeProcess(tmp_path / "a", "alice")
    async with running(alice):
        bob = NodeProcess(tmp_path / "b", "bob", "--peer", alice.address)
        async with running(bob), browser(tmp_path / "profile") as page, bob.frontend({}) as frontend:
            await befriend(alice, bob)
            room = await make_room(bob, alice)
            await frontend.call("user_message", room=room, message=EVIL)
            await page.do("Page.navigate", url=f"http://127.0.0.1:{alice.bridge_port}/")
            await page.shows("not logged in")
            page.faults.clear()  # that the socket was refused
            async with alice.frontend({}) as owner:
                link = (await owner.call("login_link_create"))["url"]
            await page.do("Page.navigate", url=link)
            await chat(page, alice, frontend, room)

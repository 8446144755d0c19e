"""The friends protocol on real nodes: a Socket.IO library that is not ours, and its page in a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from engineio.payload import Payload

from tests.e2e.nodes import EVENT_SECONDS, NodeProcess, running
from tests.e2e.test_groups_001 import published
from tests.e2e.test_page import BROWSER, EVIL, browser

EXAMPLES = Path(__file__).parents[2] / "examples"
LIBRARY = EXAMPLES / "vendor" / "socket.io.min.js"

pytestmark = pytest.mark.gate


class Client:
    """A frontend of the friends protocol: what it is told, in order."""

    def __init__(self) -> None:
        self.io = socketio.AsyncClient(reconnection=False)
        self.io.on("*", self._on)
        self.told: list[tuple[str, tuple[Any, ...]]] = []
        self._news = asyncio.Event()

    async def _on(self, name: str, *args: Any) -> None:
        self.told.append((name, args))
        self._news.set()

    async def say(self, name: str, *args: Any) -> dict[str, Any]:
        """Say something, and return what acknowledges it."""
        return dict(await self.io.call(name, args, timeout=EVENT_SECONDS))

    async def hear(self, name: str, /, *args: Any, **keys: Any) -> tuple[Any, ...]:
        """Return the arguments of the next event of this name that begin so, or whose message has these."""
        async with asyncio.timeout(EVENT_SECONDS):
            while True:
                for place, (said, given) in enumerate(self.told):
                    if said == name and given[: len(args)] == args and keys.items() <= _keys(given):
                        del self.told[: place + 1]
                        return given
                self._news.clear()
                await self._news.wait()


def _keys(given: tuple[Any, ...]) -> Any:
    """Return what a message says as pairs; it has no lists but what is left out here."""
    first = given[0] if given and isinstance(given[0], dict) else {}
    return {key: value for key, value in first.items() if isinstance(value, str | bool)}.items()


@asynccontextmanager
async def attached(node: NodeProcess, token: str, *transports: str) -> AsyncIterator[Client]:
    client = Client()
    url = f"http://localhost:{node.bridge_port}/?token={token}"
    await client.io.connect(url, transports=list(transports) or None)
    try:
        yield client
    finally:
        await client.io.disconnect()


async def token_of(node: NodeProcess, **enabling: Any) -> str:
    """Turn the protocol on at a node, and return a token for its frontends."""
    async with node.frontend({}) as owner:
        await owner.call("dialect_enable", dialect="002", **enabling)
        token = str((await owner.call("token_create", name="friends", scope="chat"))["token"])
        node.secrets.note({"token": token})
        return token


async def link_of(node: NodeProcess) -> str:
    async with node.frontend({}) as owner:
        return str((await owner.call("contact_link_create"))["link"])


async def test_two_people_become_friends_and_talk_over_real_nodes_and_sockets_through_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payload, "max_decode_packets", 1024)  # this library's own: others take any number
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann, bob):
        tokens, link = [await token_of(ann), await token_of(bob)], await link_of(ann)
        async with attached(ann, tokens[0]) as one, attached(bob, tokens[1], "polling") as other:
            assert (await one.say("user connect", "Annie"))["username"] == "Annie"
            assert (await other.say("user connect", {"username": "bob"}))["friends"] == []
            assert (await other.say("new friend request", link))["ok"] is True
            await one.hear("accept friend request", "bob")
            await other.hear("accept friend request", {"other_username": "ann"})
            await one.hear("set status", "online", ["bob"])
            await talk(one, other)
            assert (await other.say("set status", "at tea", ["ann"]))["told"] == ["ann"]
            await one.hear("set status", "at tea", ["bob"])
            await bob.kill()
            assert (await one.say("new message", {"chat_id": "bob", "content": "are you there?"}))["ok"]
            await bob.start()
        async with attached(bob, tokens[1], "websocket") as again:
            assert (await again.say("user connect", "bob"))["status"] == "at tea"
            await comes_back(again)
        async with attached(ann, tokens[0]) as one:
            assert (await one.say("unfriend", "bob"))["state"] == "none"
            refused = await one.say("unfriend", "bob")
            assert (refused["ok"], refused["error"]) == (False, "not_a_contact")


async def talk(one: Client, other: Client) -> None:
    """Texts both ways, one that is changed, read and erased; two hundred in a row come in their order."""
    first = await one.say("new message", {"chat_id": "bob", "content": "helo"})
    await one.hear("new message", content="helo", sender="Annie", self=True, chat_id="bob")
    await other.hear("new message", content="helo", sender="ann", self=False)
    assert (await one.say("edit message", {"id": first["id"], "content": "hello"}))["ok"] is True
    await other.hear("edit message", id=first["id"], content="hello", edited=True)
    assert (await other.say("delete message", first["id"]))["error"] == "forbidden"
    assert (await other.say("read message", first["id"]))["unread"] == 0
    await one.hear("read message", first["id"], "bob")
    assert (await one.say("delete message", first["id"]))["ok"] is True
    await other.hear("delete message", first["id"])
    texts = [f"m{number}" for number in range(200)]
    answers = await asyncio.gather(
        *(other.say("new message", {"chat_id": "ann", "content": text}) for text in texts)
    )
    assert all(answer["ok"] for answer in answers)
    came = [(await one.hear("new message", sender="bob"))[0]["content"] for _ in texts]
    assert came == texts


async def comes_back(again: Client) -> None:
    """After a kill, what was said meanwhile comes by itself, or when the chat is joined."""
    async with asyncio.timeout(EVENT_SECONDS):
        while True:
            page = await again.say("join room", "ann")
            if page["ok"] and page["messages"][-1]["content"] == "are you there?":
                break
            await asyncio.sleep(0.1)
    await again.hear("new message", content="are you there?", sender="ann")


@pytest.mark.skipif(not BROWSER, reason="no browser is in PATH")
@pytest.mark.skipif(not LIBRARY.exists(), reason="Socket.IO's client is not beside the pages")
async def test_the_smallest_page_chats_in_a_browser_from_an_allowed_origin_alone(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann, bob), published(EXAMPLES) as origin, browser(tmp_path / "profile") as page:
        token, link = await token_of(ann), await link_of(bob)
        url = f"http://localhost:{ann.bridge_port}/?token={token}".replace("?", "%3F").replace("=", "%3D")
        place = f"{origin}/friends_002.html#url={url}"
        await page.do("Page.navigate", url=place)
        await page.until("document.querySelector('#state').textContent.startsWith('cannot connect')")
        async with ann.frontend({}) as owner, bob.frontend({}) as friend:
            await owner.call("dialect_enable", dialect="002", origin=origin)
            page.faults.clear()
            await page.js("document.querySelector('#open').requestSubmit()")
            await page.until("document.querySelector('#state').textContent === 'connected'")
            await fill(page, "ask", "friend", link)
            await page.until("document.querySelector('#people').innerText.includes('bob: online')")
            await fill(page, "join", "chat", "bob")
            await page.until("document.querySelector('#state').textContent === 'in bob: Me, bob'")
            direct = (await friend.call("dm_open", username="ann"))["room"]
            await friend.call("user_message", room=direct, message=EVIL)
            await page.until(f"document.querySelector('#said').innerText.includes({json.dumps(EVIL)})")
            assert await page.js("document.querySelectorAll('#said a, #said img').length") == 0
            await fill(page, "say", "text", "hello from the page")
            said = await friend.event("user_message", message="hello from the page", room=direct)
            await owner.call("message_edit", room=direct, id=said["id"], message="hello, bob")
            await page.until("document.querySelector('#said').innerText.includes('hello, bob (edited)')")
            await page.click("delete")
            await friend.event("message_deleted", id=said["id"])
            await page.until("!document.querySelector('#said').innerText.includes('hello, bob')")
            assert page.faults == []


async def fill(page: Any, form: str, field: str, text: str) -> None:
    """Write into a field of the page, and send its form."""
    await page.js(
        f"document.querySelector('#{field}').value = {json.dumps(text)};"
        f"document.querySelector('#{form}').requestSubmit()"
    )

"""The events protocol on real nodes: bare websockets that know nothing of our code, its page in a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.nodes import EVENT_SECONDS, NodeProcess, befriend, running
from tests.e2e.test_groups_001 import published, shown
from tests.e2e.test_page import BROWSER, EVIL, browser

PAGE = Path(__file__).parents[2] / "examples" / "live_003.html"

pytestmark = pytest.mark.gate


class Client:
    """A frontend of the events protocol: what it is told, in order."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.told: list[tuple[str, Any]] = []

    async def say(self, action: str, **data: Any) -> None:
        await self.ws.send(json.dumps({"action": action, "data": data}))

    async def hear(self, action: str, /, **keys: Any) -> dict[str, Any]:
        """Return the next frame of an action with these keys; what comes before it is kept."""
        async with asyncio.timeout(EVENT_SECONDS):
            while True:
                frame = json.loads(await self.ws.recv())
                self.told.append((frame["action"], frame["data"]))
                data = frame["data"]
                if frame["action"] == action and all(data.get(key) == value for key, value in keys.items()):
                    return dict(data)

    async def closed(self) -> int | None:
        """Wait until the node has closed it; returns the code."""
        async with asyncio.timeout(EVENT_SECONDS):
            try:
                while True:
                    await self.ws.recv()
            except ConnectionClosed:
                return self.ws.close_code


@asynccontextmanager
async def attached(node: NodeProcess, token: str, path: str = "/ws/events") -> AsyncIterator[Client]:
    url = f"ws://localhost:{node.bridge_port}{path}?token={token}"
    async with connect(url, proxy=None) as ws:
        yield Client(ws)


async def token_of(node: NodeProcess, **enabling: Any) -> str:
    """Turn the protocol on at a node, and return a token for its frontends."""
    async with node.frontend({}) as owner:
        await owner.call("dialect_enable", dialect="003", **enabling)
        token = str((await owner.call("token_create", name="events", scope="chat"))["token"])
        node.secrets.note({"token": token})
        return token


async def chat_of(node: NodeProcess, username: str) -> str:
    async with node.frontend({}) as owner:
        return str((await owner.call("dm_open", username=username))["room"])


async def test_two_people_chat_like_and_play_over_real_nodes_and_sockets_through_a_kill(
    tmp_path: Path,
) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann, bob):
        await befriend(ann, bob)
        tokens = [await token_of(ann), await token_of(bob)]
        chat = await chat_of(ann, "bob")
        async with attached(ann, tokens[0]) as one, attached(bob, tokens[1], "/ws/events/") as other:
            await talk(one, other, chat)
            await play(one, other)
            await one.ws.send("nonsense")
            assert await one.closed() == 3100
            await bob.kill()
        async with attached(ann, tokens[0]) as one:
            word = {"chat_id": chat, "content": "are you there?", "timestamp": "1730736486123"}
            await one.say("new_message", **word)
            first = await one.hear("new_message", timestamp=word["timestamp"])
            await ann.kill()
            await ann.start()
            await bob.start()
        async with attached(ann, tokens[0]) as again, attached(bob, tokens[1]) as other:
            await again.say("new_message", **word)
            assert await again.hear("new_message", timestamp=word["timestamp"]) == first
            await again.say("new_message", **{**word, "content": "here I am", "timestamp": "2"})
            await other.hear("new_message", content="here I am", sender="ann")
            for number in range(120):
                await again.say("read_message", chat_id=chat, id=first["id"] if number else "notice-1")
            assert await again.closed() == 3100


async def talk(one: Client, other: Client, chat: str) -> None:
    """Messages are confirmed in their order, and a like is told to both."""
    for number in range(40):
        await one.say("new_message", chat_id=chat, content=f"m{number}", timestamp=f"t {number}")
    for client in (one, other):
        last = await client.hear("new_message", content="m39", sender="ann")
        said = [data["content"] for action, data in client.told if action == "new_message"]
        assert said == [f"m{number}" for number in range(40)]
    stamps = [data["timestamp"] for action, data in one.told if action == "new_message"]
    assert stamps == [f"t {number}" for number in range(40)]
    await other.say("like_message", chat_id=chat, id=last["id"])
    for client in (one, other):
        assert (await client.hear("like_message", id=last["id"]))["is_liked"] is True
    await other.say("read_message", chat_id=chat, id=last["id"])


async def play(one: Client, other: Client) -> None:
    """A game that is declined, one that is taken back, and one that is played."""
    ask = {"username": "bob", "options": {"ranked": True}, "client_id": "tab"}
    await one.say("game_invite", **ask)
    await other.hear("game_invite", username="ann", options={"ranked": True})
    await other.say("reply_game_invite", username="ann", accept=False)
    await one.hear("game_declined", username="bob")
    await one.say("game_invite", **ask)
    await other.hear("game_invite", username="ann")
    await one.say("cancel_game_invite", username="bob")
    await other.hear("game_invite_canceled", username="ann", message=None)
    assert (await one.hear("game_invite_canceled"))["client_id"] == "tab"
    await one.say("game_invite", **ask)
    await other.hear("game_invite", username="ann")
    await other.say("reply_game_invite", username="ann", accept=True)
    games = [await client.hear("game_accepted", username="bob") for client in (one, other)]
    assert games[0] == games[1] and len(games[0]["game_id"]) == 36


async def test_nobody_without_a_token_hears_anything_and_a_stop_asks_to_come_back(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann):
        token = await token_of(ann)
        async with connect(f"ws://localhost:{ann.bridge_port}/ws/events", proxy=None) as ws:
            assert await Client(ws).closed() == 3002
        async with attached(ann, token) as one:
            async with ann.frontend({}) as owner:
                await owner.call("node_stop")
            assert await one.closed() == 1012


@pytest.mark.skipif(not BROWSER, reason="no browser is in PATH")
async def test_the_smallest_page_chats_in_a_browser_from_an_allowed_origin(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with (
        running(ann, bob),
        published(PAGE.parent) as origin,
        browser(tmp_path / "profile") as page,
    ):
        await befriend(ann, bob)
        token = await token_of(ann, origin=origin)
        chat = await chat_of(ann, "bob")
        url = f"http://localhost:{ann.bridge_port}/?token={token}"
        place = f"{origin}/{PAGE.name}#url={url.replace('?', '%3F').replace('=', '%3D')}"
        await page.do("Page.navigate", url=place)
        await shown(page, "#chats li", "bob")
        await page.js("document.querySelector('#chats li').click()")
        async with bob.frontend({}) as other:
            await page.js(
                "$('text').value = 'hello from the page'; document.querySelector('#say button').click()"
            )
            said = await other.event("user_message", message="hello from the page", room=chat)
            await page.until("document.querySelectorAll('#said li.mine:not(.pending)').length === 1")
            await other.call("reaction_set", room=chat, id=said["id"], emoji="like")
            await page.until("document.querySelectorAll('#said li.liked').length === 1")
            await other.call("user_message", room=chat, message=EVIL)
            await shown(page, "#said li", EVIL)
            assert await page.js("document.querySelectorAll('#said img, #said a').length") == 0
            await page.js("document.querySelector('#play').click()")
            asked = await other.event("user_invite", kind="game", sender="ann")
            await other.call("user_invite_response", response="decline", invite=asked["invite"])
            await shown(page, "#notes p", "bob does not want to play")
            assert [fault for fault in page.faults if "favicon.ico" not in fault] == []

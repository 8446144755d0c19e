"""The groups protocol on real nodes: bare websockets that know nothing of our code, its page in a browser."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.e2e.nodes import EVENT_SECONDS, NodeProcess, befriend, running
from tests.e2e.test_page import BROWSER, EVIL, Page, browser

PAGE = Path(__file__).parents[2] / "examples" / "groups_001.html"
PIXEL = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
DOT = b"\x89PNG\r\n\x1a\n" + bytes(900)

pytestmark = pytest.mark.gate


class Client:
    """A frontend of the groups protocol: what it is told, by type, in order."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.told: list[tuple[str, Any]] = []

    async def say(self, kind: str, data: Any = None) -> None:
        await self.ws.send(json.dumps({"type": kind, "data": data}))

    async def hear(self, kind: str, /, **keys: Any) -> dict[str, Any]:
        """Return the next frame of a type with these keys; what comes before it is kept."""
        async with asyncio.timeout(EVENT_SECONDS):
            while True:
                frame = json.loads(await self.ws.recv())
                self.told.append((frame["type"], frame["data"]))
                data = frame["data"]
                if frame["type"] == kind and all(data.get(key) == value for key, value in keys.items()):
                    return dict(data)


@asynccontextmanager
async def attached(node: NodeProcess, token: str) -> AsyncIterator[Client]:
    url = f"ws://localhost:{node.bridge_port}/ws?token={token}"
    async with connect(url, proxy=None) as ws:
        yield Client(ws)


async def token_of(node: NodeProcess, **enabling: Any) -> str:
    """Turn the protocol on at a node, and return a token for its frontends."""
    async with node.frontend({}) as owner:
        await owner.call("dialect_enable", dialect="001", **enabling)
        token = str((await owner.call("token_create", name="groups", scope="chat"))["token"])
        node.secrets.note({"token": token})
        return token


async def test_two_people_talk_in_a_group_over_real_nodes_and_sockets_through_a_kill(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann, bob):
        await befriend(ann, bob)
        with pytest.raises(InvalidStatus, match="404"):
            async with attached(ann, ann.token):
                pass
        tokens = [await token_of(ann), await token_of(bob)]
        with pytest.raises(InvalidStatus, match="401"):
            async with attached(ann, "x" * 43):
                pass
        async with attached(ann, tokens[0]) as one, attached(bob, tokens[1]) as other:
            await one.say("GROUP:ADD_GROUP", {"name": "tea"})
            room = (await one.hear("GROUP:GROUP_ADDED", name="tea", joined=True))["id"]
            await other.hear("GROUP:GROUP_ADDED", id=room, joined=False)
            await other.say("GROUP:JOIN_GROUP", {"groupId": room})
            await other.say("GROUP:GET_INIT_DATA", {"groupId": room})
            await other.hear("GROUP:USER_JOINED", id=room, username="bob", self=True)
            whole = await other.hear("GROUP:RETURN_INIT_DATA", id=room, joined=True)
            assert {member["username"] for member in whole["members"]} == {"ann", "bob"}
            await one.hear("GROUP:USER_JOINED", username="bob", self=False)
            await talk(one, other, room)
            await picture(one, other, room, ann, bob)
            await one.ws.send("nonsense")
            await one.hear("ERROR", code="bad_frame", request_type=None)
            await bob.kill()
            await one.say("CHAT:SEND_MESSAGE_TEXT", {"groupId": room, "text": "are you there?"})
            await one.hear("CHAT:MESSAGE_RETURN_TEXT", text="are you there?")
            await bob.start()
        async with attached(bob, tokens[1]) as again:
            await comes_back(again, room)


async def talk(one: Client, other: Client, room: str) -> None:
    """Typing and texts, both ways; two hundred in a row come in their order."""
    await one.say("CHAT:START_TYPING", room)
    await other.hear("CHAT:USER_STARTED_TYPING", id=room, username="ann")
    await other.hear("CHAT:USER_STOPPED_TYPING", id=room, username="ann")
    for number in range(200):
        await other.say(
            "CHAT:SEND_MESSAGE_TEXT", {"groupId": room, "text": f"m{number}", "username": "Bobby"}
        )
    for client, name in ((one, "bob"), (other, "Bobby")):
        before = len(client.told)
        await client.hear("CHAT:MESSAGE_RETURN_TEXT", text="m199", username=name)
        said = [data["text"] for kind, data in client.told[before:] if kind == "CHAT:MESSAGE_RETURN_TEXT"]
        assert said == [f"m{number}" for number in range(200)]


async def picture(one: Client, other: Client, room: str, ann: NodeProcess, bob: NodeProcess) -> None:
    """A picture in a data URL is fetched at either node by the capability that its frontend was given."""
    dot = "data:image/png;base64," + base64.b64encode(DOT).decode()
    await one.say("CHAT:SEND_MESSAGE_IMAGE", {"groupId": room, "image": dot})
    for client, node in ((one, ann), (other, bob)):
        told = await client.hear("CHAT:MESSAGE_RETURN_IMAGE", mime="image/png", size=len(DOT))
        if told["state"] == "pending":
            told = await client.hear("CHAT:MESSAGE_RETURN_IMAGE", id=told["id"], state="ready", updated=True)
        assert told["url"].startswith(f"http://localhost:{node.bridge_port}/api/v1/attachments/")
        async with aiohttp.ClientSession() as http, http.get(told["url"]) as answer:
            assert answer.status == 200 and answer.content_type == "image/png"
            assert await answer.read() == DOT


async def comes_back(again: Client, room: str) -> None:
    """After a kill a frontend asks for the page until what it missed is there."""
    for _ in range(200):
        await again.say("CHAT:GET_INIT_MESSAGES", {"chatId": room, "limit": 3})
        page = await again.hear("CHAT:RETURN_INIT_MESSAGES", id=room)
        if page["messages"][-1]["text"] == "are you there?":
            return
        await asyncio.sleep(0.1)
    raise AssertionError("what was said meanwhile did not come")


@asynccontextmanager
async def published(folder: Path) -> AsyncIterator[str]:
    """Give out files as somebody's own web server does, without any of our headers."""

    async def icon(_request: web.Request) -> web.Response:
        return web.Response(status=204)  # a browser asks, and complains of a 404 when it likes

    app = web.Application()
    app.router.add_get("/favicon.ico", icon)
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def shown(page: Page, expression: str, text: str) -> None:
    await page.until(
        f"[...document.querySelectorAll('{expression}')].some(e => e.textContent === {json.dumps(text)})"
    )


@pytest.mark.skipif(not BROWSER, reason="no browser is in PATH")
async def test_the_smallest_page_chats_in_a_browser_from_an_allowed_origin_alone(
    tmp_path: Path,
) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), published(PAGE.parent) as origin, browser(tmp_path / "profile") as page:
        token = await token_of(ann)
        url = f"ws://localhost:{ann.bridge_port}/ws?token={token}"
        place = f"{origin}/{PAGE.name}#url={url.replace('?', '%3F').replace('=', '%3D')}"
        await page.do("Page.navigate", url=place)
        await shown(page, "#typing", "closed 1006")
        async with ann.frontend({}) as owner:
            await owner.call("dialect_enable", dialect="001", origin=origin)
            page.faults.clear()
            await page.js("document.querySelector('#connect').click()")
            await page.until("document.title === 'Groups: ann'")
            await page.js(
                "document.querySelector('#name').value = 'tea'; document.querySelector('#add').click()"
            )
            await shown(page, "#groups li", "tea (1)")
            await page.js("document.querySelector('#groups li').click()")
            room = (await owner.event("room_created"))["room"]
            await owner.call("user_message", room=room, message=EVIL)
            await shown(page, "#messages li", f"ann: {EVIL}")
            assert await page.js("document.querySelectorAll('#messages a, #messages img').length") == 0
            await page.js(
                "const text = document.querySelector('#text'); text.value = 'hello from the page';"
                "text.dispatchEvent(new Event('change'))"
            )
            said = await owner.event("user_message", message="hello from the page", room=room)
            await owner.call("message_edit", room=room, id=said["id"], message="hello, you")
            await shown(page, "#messages li", "ann: [edited] hello, you")
            file = (await owner.call("attachment_put", data=PIXEL, name="a.gif", type="image/gif"))[
                "attachment"
            ]
            await owner.call("user_message", room=room, message="", kind="gif", attachment=file)
            await page.until("document.querySelector('#messages img')?.naturalWidth === 1")
            assert page.faults == []

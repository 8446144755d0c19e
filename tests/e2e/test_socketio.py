"""Real nodes and Socket.IO's own client, over each of its transports, in both protocols spoken so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nodes import NodeProcess, running
from tests.e2e.npm import NEEDED, installed

ROOT = Path(__file__).parents[2]
PAGE = "http://localhost:5173"
TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}
SECONDS = 20.0

pytestmark = [pytest.mark.gate, NEEDED]
every_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the client of the lock."""
    folder = installed(tmp_path_factory.mktemp("npm"), "socketio.mjs")
    return folder / "socketio.mjs"


class Client:
    """Socket.IO's own client in a process of its own, and everything that it was told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: list[dict[str, Any]] = []
        self._process = process
        self._news = asyncio.Event()

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.told.append(json.loads(line))
            self._news.set()

    def say(self, *words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")

    async def wait(self, match: Callable[[dict[str, Any]], bool], after: int = 0) -> dict[str, Any]:
        """Return the first that matches, of what was told after so many."""
        async with asyncio.timeout(SECONDS):
            while True:
                for told in self.told[after:]:
                    after += 1
                    if match(told):
                        return told
                self._news.clear()
                await self._news.wait()

    async def call(self, *words: Any) -> Any:
        """Say something and return how it is acknowledged."""
        before = len(self.told)
        self.say("call", *words)
        return (await self.wait(lambda told: told.get("of") == words[0], before))["answer"]

    async def event(self, name: str, match: Callable[[Any], bool] = bool, after: int = 0) -> Any:
        """Return the argument of the first event of a name that matches."""
        found = await self.wait(
            lambda t: "event" in t and t["event"][0] == name and match(t["event"][1]), after
        )
        return found["event"][1]

    async def connected(self, after: int = 0) -> None:
        await self.wait(lambda told: "connect" in told, after)


@asynccontextmanager
async def client(script: Path, node: NodeProcess, transport: str, **options: Any) -> AsyncIterator[Client]:
    """Run the client against a node, with the token in its URL if `auth` has none."""
    token = "" if "auth" in options or options.pop("nameless", False) else f"/?token={node.token}"
    options = {"transports": TRANSPORTS[transport], **options}
    process = await asyncio.create_subprocess_exec(
        "node", str(script), f"http://localhost:{node.bridge_port}{token}", json.dumps(options),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    made = Client(process)
    reading = asyncio.create_task(made.read())
    try:
        yield made
    finally:
        reading.cancel()
        process.kill()
        await process.wait()
        await asyncio.gather(reading, return_exceptions=True)


@asynccontextmanager
async def enabled(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    """A node that speaks both."""
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann):
        async with ann.frontend({}) as owner:
            for dialect in ("002", "004"):
                await owner.call("dialect_enable", dialect=dialect, origin=PAGE)
        yield ann


@every_transport
async def test_a_page_of_the_rooms_protocol_talks_hears_and_comes_back(
    script: Path, tmp_path: Path, transport: str
) -> None:
    me = {"userId": "u-1", "username": "Me"}
    async with enabled(tmp_path) as ann, client(script, ann, transport) as page:
        await page.connected()
        made = await page.call("create_room", {"name": "tea", **me})
        room = {"roomId": made["roomId"], **me}
        assert (await page.call("join_room", room))["ok"]
        assert await page.event("history", lambda _: True) == []
        assert (await page.call("send_message", {**room, "content": "hello"}))["ok"]
        own = await page.event("message_received")
        assert (own["content"], own["user"]["username"]) == ("hello", "Me")
        async with ann.frontend({}) as other:
            for number in range(100):
                await other.call("user_message", room=made["roomId"], message=f"m{number}")
        await page.event("message_received", lambda message: message["content"] == "m99")
        heard = [t["event"][1]["content"] for t in page.told if t.get("event", [0])[0] == "message_received"]
        assert heard == ["hello", *(f"m{number}" for number in range(100))]
        assert (await page.call("send_message", {**room, "content": 7}))["ok"] is False
        before = len(page.told)
        assert await ann.stop() == 0
        await page.wait(lambda told: "disconnect" in told, before)
        await ann.start()
        await page.connected(before)
        assert (await page.call("join_room", room))["ok"]
        history = await page.event("history", after=before)
        assert [message["content"] for message in history][-1] == "m99"
        assert (await page.call("send_message", {**room, "content": "again"}))["ok"]
        assert not [told for told in page.told[:before] if "connect_error" in told]
        if transport == "upgrade":
            assert {"upgrade": "websocket"} in page.told


@every_transport
async def test_a_page_of_the_friends_protocol_talks_hears_and_comes_back(
    script: Path, tmp_path: Path, transport: str
) -> None:
    async with enabled(tmp_path) as ann:
        async with ann.frontend({}) as other:
            room = (await other.call("room_create", name="tea"))["room"]
        options = {"auth": {"token": ann.token}, "extraHeaders": {"Origin": PAGE}}
        async with client(script, ann, transport, **options) as page:
            await page.connected()
            assert (await page.call("user connect", "Me"))["ok"]
            assert (await page.call("join room", room))["ok"]
            said = await page.call("new message", {"chat_id": room, "content": "hello"})
            assert said["ok"] and said["id"]
            own = await page.event("new message", lambda message: message["content"] == "hello")
            assert own["sender"] == "Me"
            async with ann.frontend({}) as other:
                await other.call("user_message", room=room, message="said at another page")
            await page.event("new message", lambda message: message["content"] == "said at another page")
            assert (await page.call("delete message", "no such"))["ok"] is False
            before = len(page.told)
            await ann.kill()
            await page.wait(lambda told: "disconnect" in told, before)
            await ann.start()
            await page.connected(before)
            assert (await page.call("user connect", "Me"))["ok"]
            assert (await page.call("new message", {"chat_id": room, "content": "again"}))["ok"]
            page.say("close")
            await page.wait(lambda told: told.get("disconnect") == "io client disconnect")


async def test_the_two_protocols_talk_to_each_other_on_one_node(script: Path, tmp_path: Path) -> None:
    me = {"userId": "u-1", "username": "Me"}
    async with (
        enabled(tmp_path) as ann,
        client(script, ann, "upgrade") as rooms,
        client(script, ann, "upgrade") as friends,
    ):
        await asyncio.gather(rooms.connected(), friends.connected())
        made = await rooms.call("create_room", {"name": "tea", **me})
        room = {"roomId": made["roomId"], **me}
        await rooms.call("join_room", room)
        assert (await friends.call("user connect", "Ann"))["ok"]
        assert (await friends.call("join room", made["roomId"]))["ok"]
        await rooms.call("send_message", {**room, "content": "one way"})
        await friends.event("new message", lambda message: message["content"] == "one way")
        await friends.call("new message", {"chat_id": made["roomId"], "content": "and back"})
        await rooms.event("message_received", lambda message: message["content"] == "and back")


@every_transport
async def test_who_has_a_wrong_token_or_comes_from_a_foreign_page_gets_a_connect_error(
    script: Path, tmp_path: Path, transport: str
) -> None:
    wrong, foreign = "w" * 43, {"Origin": "https://evil.example"}
    async with enabled(tmp_path) as ann:
        async with client(script, ann, transport, auth={"token": wrong}) as page:
            told = await page.wait(lambda told: "connect_error" in told)
            assert told["data"] == {"code": "unauthorized"}
        async with client(script, ann, transport, nameless=True) as page:
            told = await page.wait(lambda told: "connect_error" in told)
            assert told["data"] == {"code": "unauthorized"}
        for options in ({"query": {"token": wrong}, "nameless": True}, {"extraHeaders": foreign}):
            async with client(script, ann, transport, **options) as page:
                told = await page.wait(lambda told: "connect_error" in told)
                assert told["connect_error"].endswith(" error") and told["data"] is None
                assert not [told for told in page.told if "connect" in told]
        async with client(script, ann, transport, extraHeaders={"Origin": PAGE}) as page:
            await page.connected()


@every_transport
async def test_a_revoked_token_ends_its_page_for_good(script: Path, tmp_path: Path, transport: str) -> None:
    async with enabled(tmp_path) as ann, ann.frontend({}) as owner:
        made = await owner.call("token_create", name="page", scope="chat")
        async with client(script, ann, transport, auth={"token": made["token"]}) as page:
            await page.connected()
            assert (await page.call("user connect", "Me"))["ok"]
            await owner.call("token_revoke", name="page")
            told = await page.wait(lambda told: "disconnect" in told)
            assert told["disconnect"] == "io server disconnect"
            await asyncio.sleep(1.0)
            assert page.told[-1] == told


def test_the_vendored_client_is_that_of_the_lock(script: Path) -> None:
    package = script.parent / "node_modules" / "socket.io-client"
    vendor = ROOT / "examples" / "vendor"
    assert (vendor / "socket.io.min.js").read_bytes() == (package / "dist" / "socket.io.min.js").read_bytes()
    assert (vendor / "socket.io.LICENSE").read_bytes() == (package / "LICENSE").read_bytes()

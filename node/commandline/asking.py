"""One connection to the running node, and the look-ups that several commands need.

`with_node` turns a coroutine that takes a `Node` into a click command body: it connects over the home's
unix socket, subscribed to nothing, and leaves when the body returns.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from node.commandline.app import App, current_app
from node.commandline.resolve import Row, matches, pick
from node.errors import Refused

if TYPE_CHECKING:
    from node.client import Client

P = ParamSpec("P")
_BEGINNING = re.compile(r"[0-9A-Fa-f]{8}[0-9A-Fa-f-]*")  # of a UUID


@dataclass(frozen=True, slots=True)
class Node:
    """The running node as a command sees it."""

    app: App
    client: Client

    async def call(self, command: str, **keys: Any) -> Row:
        """Ask for one bridge command, keys of None left out, and return its `ok`; raises NodeError."""
        return await self.client.call(command, **{k: v for k, v in keys.items() if v is not None})

    @property
    def username(self) -> str:
        """What the owner is called on this node."""
        return str(self.client.hello["username"])

    async def rooms(self) -> list[Row]:
        """Return the rooms this node is in."""
        return [row for row in await self.every_room() if row.get("joined", True)]

    async def every_room(self) -> list[Row]:
        """Return the rooms this node is in, and the open rooms of others."""
        return list((await self.call("room_list"))["rooms"])

    async def room(self, text: str) -> Row:
        """Return the room that ROOM means, by name, id or first 8 characters; raises Refused."""
        rows = await self.rooms()
        if not matches(text, rows, id_key="room", name_key="name"):
            people = (await self.call("contact_list"))["contacts"]
            if matches(text, people, id_key="user_id", name_key="username"):
                opens = f"gossamer room direct {shlex.quote(text)}"
                hint = f"there is no conversation with {text!r} yet; open it:  {opens}"
                raise Refused("room_not_found", hint)
        return pick(text, rows, id_key="room", name_key="name", what="room")

    async def user(self, text: str) -> str:
        """Return the user_id of the person that NAME means; a name we do not know is left to the node."""
        people = list((await self.call("contact_list"))["contacts"])
        if not matches(text, people, id_key="user_id", name_key="username") and _BEGINNING.fullmatch(text):
            for room in await self.rooms():  # a co-member need not be a contact
                people += (await self.call("room_get", room=room["room"]))["members"]
            people = list({row["user_id"]: row for row in people}.values())
        if not matches(text, people, id_key="user_id", name_key="username"):
            return text
        return str(pick(text, people, id_key="user_id", name_key="username", what="user")["user_id"])

    async def invites(self) -> list[Row]:
        """Return the invites this node sent and got."""
        return list((await self.call("invite_list"))["invites"])


@asynccontextmanager
async def connected(app: App, **hello: Any) -> AsyncIterator[Node]:
    """Connect to the node of `app`'s home; `hello` says what to subscribe to and where to resume."""
    from node.client import Client  # late: commands that need no node start without it

    async with Client.connect(home=app.home_dir, **hello) as client:
        yield Node(app, client)


def with_node(body: Callable[Concatenate[Node, P], Awaitable[None]]) -> Callable[P, None]:
    """Make a click callback of `body`: connect, run it, leave. It subscribes to no event."""

    @functools.wraps(body)
    def callback(*args: P.args, **kwargs: P.kwargs) -> None:
        app = current_app()

        async def main() -> None:
            async with connected(app, subscribe={"events": []}) as node:
                await body(node, *args, **kwargs)

        asyncio.run(main())

    return callback


def secret_or_link(text: str, *, what: str) -> str:
    """Return `text`, or for `-` the first line of standard input, so that no secret need be an argument."""
    if text != "-":
        return text
    if sys.stdin.isatty():
        current_app().say(f"Paste the {what}, then press Enter:")
    line = sys.stdin.readline().strip()
    if not line:
        raise Refused("invalid", f"standard input holds no {what}")
    return line


def json_object(text: str | None, option: str) -> dict[str, Any] | None:
    """Return the JSON object that an option gives; raises Refused."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise Refused("invalid", f"{option} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise Refused("invalid", f"{option} does not hold a JSON object")
    return found

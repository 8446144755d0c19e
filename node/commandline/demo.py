"""`gossamer demo`: three people, three nodes, an echo bot, on this machine, over real sockets.

Each node is a process of its own with a home in a temporary folder. What is printed is what a frontend of
that person saw; the exit code is 0 only if all that had to be seen was seen in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from node.client import Client
from node.commandline.app import App, Command, current_app
from node.commandline.notices import said
from node.commandline.output import as_json, harmless
from node.commandline.processes import end, start
from node.commandline.resolve import Row
from node.errors import Refused

STEP_S = 30.0  # for one thing to be seen; on one machine it takes well under one
ECHO = "echo: "
ROOM = "first light"


@dataclass(slots=True)
class Person:
    """The frontend attached to one node, and the events which it has seen."""

    name: str
    at: Client
    seen: list[Row] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)


@click.command(cls=Command)
@click.option("--keep", is_flag=True, help="Leave the three homes where they are, and say where.")
def demo(keep: bool) -> None:
    """Run three nodes and an echo bot on this machine, to see it work.

    All is in a temporary folder, removed at the end. Exits 0 only if everything was seen.
    """
    app = current_app()
    folder = Path(tempfile.mkdtemp(prefix="gossamer-demo-"))
    started = time.monotonic()
    try:
        asyncio.run(Demo(app, folder).play())
    finally:
        if keep:
            app.say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    app.emit(
        {"ok": True, "seconds": round(time.monotonic() - started, 2)},
        [f"All of it was seen, in {time.monotonic() - started:.1f} s: it works on this machine."],
    )


class Demo:
    """The play: who starts, who says what, and what each must see."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self.folder = app, folder

    async def play(self) -> None:
        """Run every act; raises Refused (`timeout`, `demo_failed`) when something was not seen."""
        async with AsyncExitStack() as stack:
            alice, mesh = await self._enter(stack, "alice", peers=())
            near = (f"ws://{mesh['host']}:{mesh['port']}",)
            bob, _ = await self._enter(stack, "bob", peers=near)
            echo, _ = await self._enter(stack, "echo", peers=near)
            await self._meet(alice, bob, echo)
            room = await self._gather(alice, bob, echo)
            await self._talk(alice, bob, echo, room)

    async def _enter(self, stack: AsyncExitStack, name: str, peers: tuple[str, ...]) -> tuple[Person, Row]:
        """Start one node, attach a frontend that prints what it sees; returns where its mesh listens too."""
        node = start(self.folder / name, name, peers)
        stack.callback(end, (node,))
        runtime = await node.up()
        person = Person(name, await stack.enter_async_context(Client.connect(home=node.home)))
        hearing = asyncio.create_task(self._hear(person))
        stack.callback(hearing.cancel)
        self.app.say(f"-- {name}'s node runs (pid {node.process.pid})")
        return person, runtime["mesh"]

    async def _hear(self, person: Person) -> None:
        async for event in person.at.events():
            person.seen.append(event)
            person.news.set()
            self._show(person, event)
            if person.name == "echo":
                await self._be_echo(person, event)

    async def _be_echo(self, bot: Person, event: Row) -> None:
        """Do what the bot does: accept every invite, say back what others say."""
        match event:
            case {"event": "user_invite", "invite": str(invite)}:
                await bot.at.call("user_invite_response", response="accept", invite=invite)
            case {"event": "user_message", "self": False, "room": room, "message": str(text)}:
                if not text.startswith(ECHO):
                    await bot.at.call("user_message", room=room, message=ECHO + text)

    def _show(self, person: Person, event: Row) -> None:
        if event.get("event") in ("peer_up", "peer_down", "connectivity", "presence", "caught_up"):
            return
        if self.app.json:
            click.echo(as_json({"frontend": person.name, **event}))
            return
        words = ("username", "sender", "target", "message", "response", "reason", "name")
        told = "  ".join(harmless(str(event[word])) for word in words if event.get(word))
        if event.get("event") == "notification":
            told = harmless(said(event))
        click.echo(f"{person.name:>6} sees  {event.get('event')}: {told}")

    async def _meet(self, alice: Person, bob: Person, echo: Person) -> None:
        self.app.say("-- alice makes contact links; bob and the bot add one each")
        for other in (bob, echo):
            link = (await alice.at.call("contact_link_create", once=True))["link"]
            await other.at.call("contact_add", link=link)
            await self._sees(alice, event="contact_added", username=other.name)
            await self._sees(other, event="contact_added", username="alice")

    async def _gather(self, alice: Person, bob: Person, echo: Person) -> str:
        self.app.say(f"-- alice makes the room {ROOM!r} and invites both")
        room = str((await alice.at.call("room_create", name=ROOM))["room"])
        for other in (bob, echo):
            await alice.at.call("user_invite", target=other.name, room=room)
            offer = await self._sees(other, event="user_invite", room=room)
            if other is bob:
                self.app.say("-- bob accepts")
                await bob.at.call("user_invite_response", response="accept", invite=offer["invite"])
            await self._sees(alice, event="user_join", room=room, username=other.name)
            await self._sees(other, event="user_join", room=room, username=other.name)
        return room

    async def _talk(self, alice: Person, bob: Person, echo: Person, room: str) -> None:
        self.app.say("-- they talk; the bot says it back")
        for speaker, text in ((alice, "Hello, bob!"), (bob, "Hello, alice!")):
            await speaker.at.call("user_message", room=room, message=text)
            for person in (alice, bob, echo):
                await self._sees(person, event="user_message", username=speaker.name, message=text)
                await self._sees(person, event="user_message", username="echo", message=ECHO + text)

    async def _sees(self, person: Person, **wanted: Any) -> Row:
        """Wait until this frontend has seen such an event; raises Refused (`timeout`)."""
        deadline = time.monotonic() + STEP_S
        while True:
            for event in person.seen:
                if wanted.items() <= event.items():
                    return event
            person.news.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                raise Refused("timeout", f"{person.name} never saw {as_json(wanted)} ({STEP_S:.0f} s)")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(person.news.wait(), left)

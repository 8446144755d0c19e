"""`gossamer search`: what was said, in every conversation or one."""

from __future__ import annotations

import shlex

import click

from node.chat.commands import MAX_HISTORY
from node.commandline.app import Command
from node.commandline.asking import Node, with_node
from node.commandline.messages import message_id
from node.commandline.output import clock, harmless
from node.commandline.resolve import Row


@click.command(cls=Command)
@click.argument("text", metavar="TEXT")
@click.option("--room", metavar="ROOM", help="In this conversation alone.")
@click.option("--limit", type=click.IntRange(1, MAX_HISTORY), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Only what came before this message.")
@with_node
async def search(node: Node, text: str, room: str | None, limit: int, before: str | None) -> None:
    """Print the messages that hold TEXT, the newest first; case and accents do not count."""
    rooms = await node.rooms()
    asked = [
        node.app.program,
        "search",
        shlex.quote(text),
        *([] if room is None else ["--room", shlex.quote(room)]),
    ]
    chosen = None if room is None else (await node.room(room))["room"]
    if chosen is not None and before is not None:
        before = await message_id(node, str(chosen), before)
    got = await node.call("search", text=text, room=chosen, limit=limit, before=before)
    names = {row["room"]: str(row["name"]) for row in rooms}
    node.app.emit(got, [found_line(message, names) for message in got["messages"]])
    if not got["messages"]:
        node.app.say("nothing was found")
    elif got.get("more"):
        node.app.say(f"more:  {' '.join(asked)} --before {harmless(str(got['messages'][-1]['id']))}")


def found_line(message: Row, names: dict[str, str]) -> str:
    """Return a message that was found as one line: when, where, who, and what, its line breaks shown."""
    where = harmless(names.get(str(message.get("room")), "?"))
    who = harmless(str(message.get("username", "?")))
    return (
        f"{clock(message.get('timestamp', 0))}  {where}  {who}: {harmless(str(message.get('message', '')))}"
    )

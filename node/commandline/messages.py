"""`gossamer message ...`: say otherwise, take back, react; and how messages and what becomes of them look.

Whatever others wrote is made harmless here (docs/operations.md).
"""

from __future__ import annotations

import sys

import click

from node.commandline.app import Group
from node.commandline.asking import Node, with_node
from node.commandline.output import harmless
from node.commandline.resolve import Row, matches, pick
from node.errors import Refused

SEARCHED = 200  # the newest messages of a room among which the beginning of an id is looked for
WHOLE = 36  # characters of a message's id
INDENT = " " * 7


@click.group(cls=Group)
def message() -> None:
    """Edit, delete, react to or read messages. ID is a message's id, or its first 8 characters."""


@message.command()
@click.argument("room", metavar="ROOM")
@click.argument("id_", metavar="ID")
@click.argument("text", metavar="TEXT|-")
@with_node
async def edit(node: Node, room: str, id_: str, text: str) -> None:
    """Say TEXT in your message ID of ROOM instead; `-` reads it from standard input."""
    where, what = await _named(node, room, id_)
    words = sys.stdin.read().removesuffix("\n") if text == "-" else text
    node.app.emit(await node.call("message_edit", room=where, id=what, message=words), [])


@message.command()
@click.argument("room", metavar="ROOM")
@click.argument("id_", metavar="ID")
@with_node
async def delete(node: Node, room: str, id_: str) -> None:
    """Erase message ID of ROOM here and ask every other node to: yours, or, for admins, anybody's."""
    where, what = await _named(node, room, id_)
    node.app.emit(await node.call("message_delete", room=where, id=what), [])


@message.command()
@click.argument("room", metavar="ROOM")
@click.argument("id_", metavar="ID")
@with_node
async def read(node: Node, room: str, id_: str) -> None:
    """Mark ROOM as read up to the message ID."""
    where, what = await _named(node, room, id_)
    node.app.emit(await node.call("message_read", room=where, id=what), [])


@message.command()
@click.argument("room", metavar="ROOM")
@click.argument("id_", metavar="ID")
@click.argument("emoji", metavar="EMOJI|like")
@click.option("--off", is_flag=True, help="Take it back.")
@with_node
async def react(node: Node, room: str, id_: str, emoji: str, off: bool) -> None:
    """React to message ID of ROOM with EMOJI."""
    where, what = await _named(node, room, id_)
    node.app.emit(await node.call("reaction_set", room=where, id=what, emoji=emoji, on=not off), [])


async def _named(node: Node, room: str, id_: str) -> tuple[str, str]:
    where = str((await node.room(room))["room"])
    return where, await message_id(node, where, id_)


async def message_id(node: Node, room: str, text: str) -> str:
    """Return the id of the message of a room that ID means; raises Refused."""
    if len(text) == WHOLE:
        return text
    newest = (await node.call("history_get", room=room, limit=SEARCHED))["messages"]
    if not matches(text, newest, id_key="id", name_key="id"):
        where = f"no message among the newest {SEARCHED} there has an id that begins with {text!r}"
        raise Refused("message_not_found", f"{where}: `history ROOM --ids` shows them", field="id")
    return str(pick(text, newest, id_key="id", name_key="id", what="message")["id"])


def said(event: Row) -> list[str]:
    """Return what a message says as lines for a person, the first to stand after its author's name."""
    if event.get("deleted"):
        return ["(deleted)"]
    first, *rest = harmless(str(event.get("message", "")), lines=True).split("\n")
    kind = str(event.get("kind") or "text")
    marks = [f"[{harmless(kind)}] "] if kind != "text" else []
    if event.get("reply_to"):
        marks.append(f"(to {harmless(str(event['reply_to'])[:8])}) ")
    lines = ["".join(marks) + first, *(f"{INDENT}{line}" for line in rest)]
    if event.get("edited"):
        lines[-1] += "  (edited)"
    reactions = event.get("reactions")
    if isinstance(reactions, list) and reactions:
        shown = (f"{harmless(str(one.get('emoji')))} {one.get('count')}" for one in reactions)
        lines.append(INDENT + "  ".join(shown))
    return lines


def change_lines(event: Row) -> list[str]:
    """Return what changed in a message as lines for a person."""
    who = harmless(str(event.get("username", "?")))
    which = harmless(str(event.get("id", ""))[:8])
    match event.get("event"):
        case "message_edited":
            first, *rest = harmless(str(event.get("message", "")), lines=True).split("\n")
            return [f"* {who} edited {which}: {first}", *(f"{INDENT}{line}" for line in rest)]
        case "message_deleted":
            expired = event.get("reason") == "expired"
            return [f"* message {which} has expired" if expired else f"* {who} deleted message {which}"]
        case "reaction":
            emoji = harmless(str(event.get("emoji", "")))
            return [
                f"* {who} reacts to {which}: {emoji}" if event.get("on") else f"* {who} takes back {emoji}"
            ]
        case _:
            return []

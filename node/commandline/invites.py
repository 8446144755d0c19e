"""`gossamer invite ...`: ask people into rooms, and answer when you are asked."""

from __future__ import annotations

import click

from node.commandline.app import Group
from node.commandline.asking import Node, json_object, with_node
from node.commandline.output import clock, heading, table
from node.commandline.resolve import PREFIX, Row, matches, pick
from node.errors import Refused

ENDED = frozenset({"accept", "decline", "ignore", "cancelled", "expired"})
"""The states in which an invite takes no answer any more; any other state is an open one."""


@click.group(cls=Group)
def invite() -> None:
    """Ask people into rooms, and answer when you are asked."""


@invite.command()
@click.argument("room", metavar="ROOM")
@click.argument("name")
@click.option("--kind", type=click.Choice(["room", "game"]), help="To what; into ROOM if left out.")
@click.option("--options", metavar="JSON", help="An object for their frontend, as the rules of a game.")
@with_node
async def send(node: Node, room: str, name: str, kind: str | None, options: str | None) -> None:
    """Invite NAME into ROOM, or to a game; they have 120 seconds once it is shown to them.

    For a game ROOM is one that NAME is in, or NAME once more: the conversation with NAME.
    """
    given, target = json_object(options, "--options"), await node.user(name)
    between = kind == "game" and room == name
    found = await node.call("dm_open", username=target) if between else await node.room(room)
    sent = await node.call("user_invite", target=target, room=found["room"], kind=kind, options=given)
    node.app.emit(sent, [str(sent["invite"])])


@invite.command("list")
@with_node
async def list_(node: Node) -> None:
    """List the invites you sent and got, and what became of them."""
    invites = await node.invites()
    rows = [(i["invite"], i["sender"], i["target"], _place(i), i["state"], _ends(i)) for i in invites]
    heads = ("invite", "from", "to", "room", "state", "until")
    node.app.emit({"invites": invites}, table(heads, rows, heading))


def _place(row: Row) -> str:
    name = str(row.get("room_name") or "")
    if row.get("kind") == "game":
        return f"a game ({name})" if name else "a game"
    return name or str(row["room"])


def _ends(row: Row) -> str:
    ends = row.get("expires_at")
    if row["state"] in ENDED or not isinstance(ends, int | float):
        return ""
    return clock(ends)


@invite.command()
@click.argument("invite_", metavar="[INVITE]", required=False)
@with_node
async def accept(node: Node, invite_: str | None) -> None:
    """Accept an invite; without INVITE the one that is open."""
    await _answer(node, invite_, "accept")


@invite.command()
@click.argument("invite_", metavar="[INVITE]", required=False)
@with_node
async def decline(node: Node, invite_: str | None) -> None:
    """Decline an invite; without INVITE the one that is open."""
    await _answer(node, invite_, "decline")


async def _answer(node: Node, text: str | None, response: str) -> None:
    found = await open_invite(node, text)
    answered = await node.call("user_invite_response", response=response, invite=found)
    node.app.emit(answered, [str(answered.get("state", response))])


def open_ones(node: Node, rows: list[Row]) -> list[Row]:
    """Return those of the invites that we can still answer."""
    return [row for row in rows if row["sender"] != node.username and row["state"] not in ENDED]


async def open_invite(node: Node, text: str | None) -> str:
    """Return the id of the invite that `text` means, or of the only one open; raises Refused.

    An id that is not listed is left to the node, which may know better what became of it.
    """
    got = [row for row in await node.invites() if row["sender"] != node.username]
    waiting = open_ones(node, got)
    if text is None:
        if len(waiting) == 1:
            return str(waiting[0]["invite"])
        if not waiting:
            raise Refused("no_open_invite", "no invite is open")
        keys = ("invite", "room_name", "sender")
        candidates = [{key: row.get(key) for key in keys} for row in waiting]
        raise Refused("ambiguous_invite", "several are open: say which", candidates=candidates)
    for rows, key in ((waiting, "room_name"), (waiting, "sender"), (got, "room_name")):
        if matches(text, rows, id_key="invite", name_key=key):
            return str(pick(text, rows, id_key="invite", name_key=key, what="invite")["invite"])
    if len(text) <= PREFIX:
        raise Refused("invite_not_found", f"no invite is called {text!r}, by id, room or sender")
    return text


@invite.command()
@click.argument("invite_", metavar="INVITE")
@with_node
async def cancel(node: Node, invite_: str) -> None:
    """Take back an invite that you sent."""
    rows = await node.invites()
    found = pick(invite_, rows, id_key="invite", name_key="room_name", what="invite")
    node.app.emit(await node.call("invite_cancel", invite=found["invite"]), [])

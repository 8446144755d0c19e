"""`gossamer why`, `receipts`: what became of what was sent, and what others learn of what was read."""

from __future__ import annotations

import re
import time

import click

from node.commandline.app import Command, duration
from node.commandline.asking import Node, with_node
from node.commandline.messages import WHOLE, message_id
from node.commandline.output import clock, fields, harmless, table
from node.commandline.resolve import Row
from node.errors import Refused

_SWITCH = click.Choice(["on", "off"])
_MOMENT = re.compile(r"\bat (\d{10})\b")


@click.command(cls=Command)
@click.argument("id_", metavar="ID")
@click.option("--room", metavar="ROOM", help="Where it was said; without it every room is looked into.")
@with_node
async def why(node: Node, id_: str, room: str | None) -> None:
    """Say of everybody who should get your message ID whether they have it, and why not yet."""
    where = None if room is None else str((await node.room(room))["room"])
    if where is not None:
        id_ = await message_id(node, where, id_)
    elif len(id_) != WHOLE:
        raise Refused("invalid", "give the whole id of the message, or its beginning and --room", field="id")
    found = await node.call("message_why", id=id_, room=where)
    rows = [(r["username"], r["status"], clock(r["since"]), _timed(r["why"])) for r in found["recipients"]]
    lines = table(("name", "status", "since", "why"), rows) if rows else ["nobody else is in the room"]
    node.app.emit(found, lines)


def _timed(why: object) -> str:
    """Return a reason with the UNIX seconds in it, which are for programs, as a clock shows them."""
    return _MOMENT.sub(lambda found: f"at {clock(int(found[1]))}", str(why or ""))


@click.command(cls=Command)
@click.option("--read", "read_", type=_SWITCH, help="Tell others that you have read, and see it of them.")
@click.option("--strangers", type=_SWITCH, help="Tell people who are no contacts anything at all.")
@with_node
async def receipts(node: Node, read_: str | None, strangers: str | None) -> None:
    """Show or choose which receipts this node sends."""
    asked = {
        key: value == "on" for key, value in (("read", read_), ("strangers", strangers)) if value is not None
    }
    found = await (node.call("receipts_set", **asked) if asked else node.call("receipts_get"))
    shown = [
        ("read receipts", "on" if found["read"] else "off, and you see none of others"),
        ("to strangers", "on" if found["strangers"] else "off"),
    ]
    node.app.emit(found, fields(shown))


def until(length: str | None) -> int | None:
    """Return the UNIX second at which a duration from now ends; raises Refused."""
    return None if length is None else int(time.time()) + duration(length)


def status_lines(event: Row) -> list[str]:
    """Return what a `message_status` says to a person in `chat`."""
    who = harmless(str(event["by"])) if event.get("by") else ""
    reason = f": {harmless(str(event['why']))}" if event.get("why") else ""
    match event.get("status"):
        case "delivered":
            return [f"* delivered to {who}"]
        case "read":
            return [f"* read by {who}"]
        case "failed":
            return [f"! not delivered{f' to {who}' if who else ''}{reason}"]
        case "queued":
            return ["* waits until their node has answered"]
        case _:
            return []


def marks(messages: list[Row], ledger: Row) -> dict[str, str]:
    """Return by message id how far an own message has come: `sent`, `held`, `delivered` or `read`.

    Among several recipients it is how many of them: `read by 2 of 3`.
    """
    if "recipients" not in ledger:
        return {}
    found: dict[str, str] = {}
    for one in messages:
        seq = one.get("seq")
        if one.get("self") is True and isinstance(seq, int):
            found[str(one["id"])] = _mark(seq, ledger)
    return found


def _mark(seq: int, ledger: Row) -> str:
    people = ledger["recipients"]
    for status in ("read", "delivered"):
        count = sum(one[status] >= seq for one in people)
        if count and len(people) > 1:
            return f"{status} {'by' if status == 'read' else 'to'} {count} of {len(people)}"
        if count:
            return status
    return "held" if ledger["held"] >= seq else "sent"

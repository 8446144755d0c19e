"""`gossamer notification ...` and `gossamer announce`: what to look at, and telling many at once."""

from __future__ import annotations

import sys
from typing import Any

import click

from node.chat.commands import MAX_HISTORY
from node.commandline.app import Command, Group
from node.commandline.asking import Node, json_object, with_node
from node.commandline.output import clock, harmless, heading, table
from node.commandline.resolve import Row, pick
from node.errors import Refused

KINDS = ("mention", "invite", "contact", "announcement", "tournament")


@click.group(cls=Group)
def notification() -> None:
    """Look at mentions, invites, new contacts and announcements."""


@notification.command("list")
@click.option("--unread", is_flag=True, help="Only those that were not read.")
@click.option("--kind", type=click.Choice(KINDS), help="Only those of a kind.")
@click.option("--limit", type=click.IntRange(1, MAX_HISTORY), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Only what came before this notification.")
@with_node
async def list_(node: Node, unread: bool, kind: str | None, limit: int, before: str | None) -> None:
    """List notifications, the newest first."""
    is_read = False if unread else None
    found = await node.call("notification_list", limit=limit, before=before, is_read=is_read, kind=kind)
    rows = [
        (row["id"], clock(row["date"]), row["kind"], "" if row["is_read"] else "new", said(row))
        for row in found["notifications"]
    ]
    node.app.emit(found, table(("notification", "when", "kind", "", "what"), rows, heading))


def said(row: Row) -> str:
    """Return what a notification says, in a line for a person; it is not yet made harmless."""
    data: dict[str, Any] = row["data"]
    who = data.get("username", "somebody")
    match row["kind"]:
        case "mention":
            what = f"{who} mentions you in {data.get('room_name', '?')}"
            what += f": {data['text']}" if data.get("text") else ""
        case "invite":
            into = "to a game" if data.get("kind") == "game" else f"to {data.get('room_name')}"
            what = f"{who} invites you {into} ({data.get('state')})"
        case "contact":
            asks = data.get("state") == "requested"
            what = f"{who} asks to be a contact" if asks else f"{who} is a contact now"
        case _:
            what = f"{who}: {data.get('text', '')}"
    gone = "(withdrawn) " if row.get("withdrawn") else ""
    return gone + " ".join(what.split())


@notification.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--all", "every", is_flag=True, help="All of them.")
@with_node
async def read(node: Node, id_: str | None, every: bool) -> None:
    """Mark a notification as read, or --all of them."""
    if every == (id_ is not None):
        raise Refused("invalid", "name one notification, or --all")
    if id_ is None:
        done = await node.call("notification_read_all")
    else:
        rows = (await node.call("notification_list", limit=MAX_HISTORY))["notifications"]
        named = [{**row, "kind": ""} for row in rows]
        known = any(row["id"].startswith(id_) for row in rows)
        found = pick(id_, named, id_key="id", name_key="kind", what="notification")["id"] if known else id_
        done = await node.call("notification_read", id=found)
    node.app.emit(done, [])
    node.app.say(f"{done['unread']} unread")


@click.command(cls=Command)
@click.argument("where", metavar="ROOM|contacts")
@click.argument("text", metavar="TEXT|-")
@click.option("--kind", type=click.Choice(["notice", "tournament"]), help="What it is; a notice if left out.")
@click.option("--data", metavar="JSON", help="An object for the frontends of those who hear it.")
@with_node
async def announce(node: Node, where: str, text: str, kind: str | None, data: str | None) -> None:
    """Announce TEXT in ROOM, as its admin, or to all your contacts; print its id.

    `-` reads the text from standard input.
    """
    if text == "-":
        text = sys.stdin.read().removesuffix("\n")
    if where == "contacts":
        asked: dict[str, Any] = {"contacts": True}
    else:
        asked = {"room": (await node.room(where))["room"]}
    sent = await node.call(
        "announcement_send", text=text, kind=kind, data=json_object(data, "--data"), **asked
    )
    node.app.emit(sent, [str(sent["id"])])
    node.app.say(f"goes to {sent['recipients']}")


def notice_lines(event: Row, room: str) -> list[str]:
    """Return a notification as lines for `chat`: of what the chat does not show by itself."""
    elsewhere = event.get("kind") == "mention" and event["data"].get("room") != room
    fresh = not event.get("is_read") and not event.get("withdrawn")
    return [f"* {harmless(said(event))}"] if elsewhere and fresh else []


def announcement_lines(event: Row, where: str) -> list[str]:
    """Return an announcement as lines for `chat`; `where` is harmless."""
    first, *rest = harmless(str(event.get("text", "")), lines=True).split("\n")
    what = "tournament" if event.get("kind") == "tournament" else "announcement"
    place = f" in {where}" if event.get("room") else ""
    head = f"* {what} of {harmless(str(event.get('username', '?')))}{place}: {first}"
    return [head, *(f"  {line}" for line in rest)]

"""`gossamer contact ...`: the people you know, and the link by which they get to know you."""

from __future__ import annotations

from typing import Any

import click

from node.commandline.app import Group, duration
from node.commandline.asking import Node, secret_or_link, with_node
from node.commandline.output import harmless, heading, table
from node.commandline.reach import describe
from node.crypto.links import decode_contact


@click.group(cls=Group)
def contact() -> None:
    """The people you know, and the link by which they get to know you."""


@contact.command()
@click.option("--qr", is_flag=True, help="Show it as a QR code too.")
@click.option("--once", is_flag=True, help="Good for one person only.")
@click.option("--expires", metavar="D", help="How long it is good for: 12h, 7d ...")
@with_node
async def link(node: Node, qr: bool, once: bool, expires: str | None) -> None:
    """Print a link: whoever adds it is your contact at once, without asking you again."""
    seconds = duration(expires) if expires else None
    made = await node.call("contact_link_create", once=once or None, expires_in=seconds)
    text = str(made["link"])
    addresses = decode_contact(text).addresses
    node.app.emit({**made, "addresses": list(addresses)}, [text, *(_qr(text) if qr else [])])
    node.app.say("Who can use the link, by the addresses it carries:")
    for line in describe(addresses):
        node.app.say(line)
    node.app.say("They run:  gossamer contact add -   and paste the link.")


def _qr(text: str) -> list[str]:
    import io

    import segno

    drawn = io.StringIO()
    segno.make(text, error="l").terminal(drawn, compact=True)
    return drawn.getvalue().splitlines()


@contact.command()
@click.argument("link_", metavar="LINK|-")
@with_node
async def add(node: Node, link_: str) -> None:
    """Add the person whose link this is; `-` reads it from standard input."""
    added = await node.call("contact_add", link=secret_or_link(link_, what="contact link"))
    node.app.emit(added, [f"{added['user_id']}  {added['state']}"])
    if added["state"] != "contact":
        node.app.say("Their name follows once their node has answered:  gossamer contact list")


@contact.command("list")
@with_node
async def list_(node: Node) -> None:
    """List your contacts."""
    contacts = await _contacts(node)
    rows = [(c["user_id"], c["username"], c["state"], _marks(c), c.get("presence", "")) for c in contacts]
    node.app.emit({"contacts": contacts}, table(("user", "name", "state", "", "presence"), rows, heading))


def _marks(contact_: dict[str, Any]) -> str:
    trust = str(contact_.get("verified"))  # unverified, verified, changed
    marks = (trust if trust in ("verified", "changed") else "", "blocked" if contact_.get("blocked") else "")
    return " ".join(filter(None, marks))


@contact.command()
@click.argument("name")
@click.argument("new")
@with_node
async def rename(node: Node, name: str, new: str) -> None:
    """Call NAME by another name on this node; they are not told."""
    renamed = await node.call("contact_rename", username=await node.user(name), name=new)
    node.app.emit(renamed, [harmless(str(renamed.get("username", new)))])


async def _contacts(node: Node) -> list[dict[str, Any]]:
    return list((await node.call("contact_list"))["contacts"])

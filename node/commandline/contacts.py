"""`gossamer contact ...`: the people you know, and the link by which they get to know you."""

from __future__ import annotations

import sys
from typing import Any

import click

from node.commandline.app import Group, duration
from node.commandline.asking import Node, secret_or_link, with_node
from node.commandline.output import harmless, heading, table
from node.commandline.profile import brief, presence_of
from node.commandline.reach import describe
from node.crypto.links import decode_contact


@click.group(cls=Group)
def contact() -> None:
    """The people you know, and the link by which they get to know you."""


@contact.command()
@click.option("--qr", is_flag=True, help="Show it as a QR code too.")
@click.option("--once", is_flag=True, help="Good for one person only.")
@click.option("--expires", metavar="D", help="How long it is good for: 12h, 7d ...")
@click.option("--reset", is_flag=True, help="Close every link given out so far first.")
@with_node
async def link(node: Node, qr: bool, once: bool, expires: str | None, reset: bool) -> None:
    """Print a link: whoever adds it is your contact at once, without asking you again."""
    seconds = duration(expires) if expires else None
    if reset:
        closed = (await node.call("contact_link_reset"))["revoked"]
        node.app.say(f"{closed} given out before: closed")
    made = await node.call("contact_link_create", once=once or None, expires_in=seconds)
    text = str(made["link"])
    addresses = decode_contact(text).addresses
    node.app.emit({**made, "addresses": list(addresses)}, [text, *(_qr(text) if qr else [])])
    node.app.say("Who can use the link, by the addresses it carries:")
    for line in describe(addresses):
        node.app.say(node.app.ours(line))
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
        node.app.say(node.app.ours("Their name follows once their node has answered:  gossamer contact list"))


@contact.command()
@click.argument("name")
@click.option("--message", metavar="TEXT", help="A line for them, at most 256 bytes.")
@with_node
async def request(node: Node, name: str, message: str | None) -> None:
    """Ask NAME, who is in a room with you, to be a contact; if they asked you, accept."""
    done = await node.call("contact_request", username=await node.user(name), message=message)
    _said(node, done)
    if done["state"] == "requested":
        node.app.say(node.app.ours("They are asked every week, until they answer:  gossamer contact list"))


@contact.command()
@click.argument("name")
@with_node
async def accept(node: Node, name: str) -> None:
    """Be a contact of NAME, who asks."""
    _said(node, await node.call("contact_accept", username=await node.user(name)))


@contact.command()
@click.argument("name")
@with_node
async def reject(node: Node, name: str) -> None:
    """Do not be a contact of NAME, who asks; they are told."""
    _said(node, await node.call("contact_reject", username=await node.user(name)))


@contact.command()
@click.argument("name")
@with_node
async def cancel(node: Node, name: str) -> None:
    """Ask NAME no more."""
    _said(node, await node.call("contact_cancel", username=await node.user(name)))


@contact.command()
@click.argument("name")
@with_node
async def remove(node: Node, name: str) -> None:
    """Be no contact of NAME any more; they are told."""
    _said(node, await node.call("contact_remove", username=await node.user(name)))


@contact.command()
@click.argument("name")
@click.option("--silent", is_flag=True, help="Their node is not told.")
@with_node
async def block(node: Node, name: str, silent: bool) -> None:
    """Hear nothing of NAME any more, contact or not."""
    _said(node, await node.call("contact_block", username=await node.user(name), silent=silent or None))


@contact.command()
@click.argument("name")
@with_node
async def unblock(node: Node, name: str) -> None:
    """Hear NAME again, from now on."""
    _said(node, await node.call("contact_unblock", username=await node.user(name)))


def _said(node: Node, done: dict[str, Any]) -> None:
    blocked = "  blocked" if done.get("blocked") else ""
    node.app.emit(done, [f"{harmless(str(done['username']))}  {done['state']}{blocked}"])


@contact.command("list")
@with_node
async def list_(node: Node) -> None:
    """List your contacts, who asks to be one or was asked, and whom you have blocked."""
    contacts = await _contacts(node)
    rows = [
        (c["user_id"], c["username"], c["state"], _marks(c), presence_of(c), brief(c.get("status")))
        for c in contacts
    ]
    heads = ("user", "name", "state", "", "presence", "status")
    node.app.emit({"contacts": contacts}, table(heads, rows, heading))
    for one in contacts:
        if one["state"] == "incoming":
            name, said = harmless(str(one["username"])), harmless(str(one.get("message", "")))
            told = f"{name} asks{': ' + said if said else ''}:  "
            node.app.say(told + node.app.ours(f"gossamer contact accept {name}   (or: contact reject)"))


def _marks(contact_: dict[str, Any]) -> str:
    trust = str(contact_.get("verified"))  # unverified, verified, changed
    marks = (
        trust if trust in ("verified", "changed") else "",
        "blocked" if contact_.get("blocked") else "",
        "blocks you" if contact_.get("blocked_by") else "",
    )
    return " ".join(filter(None, marks))


@contact.command()
@click.argument("name")
@click.argument("new")
@with_node
async def rename(node: Node, name: str, new: str) -> None:
    """Call NAME by another name on this node; they are not told."""
    renamed = await node.call("contact_rename", username=await node.user(name), name=new)
    node.app.emit(renamed, [harmless(str(renamed.get("username", new)))])


@contact.command()
@click.argument("name")
@click.option("--mark", is_flag=True, help="The numbers agree: NAME is verified.")
@click.option("--unmark", is_flag=True, help="NAME is not verified any more.")
@click.option("--code", "code_", metavar="CODE|-", help="Compare the code of NAME's screen.")
@with_node
async def verify(node: Node, name: str, mark: bool, unmark: bool, code_: str | None) -> None:
    """Show the safety number of you and NAME; both of you see the same one if nobody is in between."""
    if mark + unmark + (code_ is not None) > 1:
        raise click.UsageError("choose one of --mark, --unmark and --code")
    who = await node.user(name)
    code = None if code_ is None else secret_or_link(code_, what="code")
    chosen = mark or (False if unmark else None)
    shown = await node.call("contact_verify", username=who, verified=chosen, code=code)
    person = harmless(str(shown["username"]))
    asked = not (mark or unmark or code or node.app.json)
    node.app.emit(shown, _safety(shown, drawn=asked and sys.stdout.isatty()))
    if asked and sys.stdin.isatty() and sys.stdout.isatty() and shown["verified"] != "verified":
        node.app.say(f"Compare it with what {person} sees, over a call or side by side.")
        if click.confirm("Do the two agree?", default=False, err=True):
            shown = await node.call("contact_verify", username=who, verified=True)
    node.app.say(f"{person} is {shown['verified']}.")


def _safety(shown: dict[str, Any], *, drawn: bool) -> list[str]:
    """Return the number in three lines of four groups, and the code as a QR code on a terminal."""
    groups = str(shown["number"]).split(" ")
    lines = [" ".join(groups[at : at + 4]) for at in range(0, len(groups), 4)]
    return [*lines, *(_qr(str(shown["code"])) if drawn else [])]


@contact.command()
@click.argument("name")
@click.argument("policy_", metavar="tofu|warn|strict", type=click.Choice(["tofu", "warn", "strict"]))
@with_node
async def policy(node: Node, name: str, policy_: str) -> None:
    """Choose what another device of NAME does: taken, taken and told, or kept back until verified."""
    chosen = await node.call("contact_policy", username=await node.user(name), policy=policy_)
    node.app.emit(chosen, [f"{harmless(str(chosen['username']))}  {chosen['policy']}  {chosen['verified']}"])


async def _contacts(node: Node) -> list[dict[str, Any]]:
    return list((await node.call("contact_list"))["contacts"])

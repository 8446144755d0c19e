"""`gossamer profile`, `presence` and `user`: how others see you, and finding people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from node.chat.avatars import is_remote
from node.chat.commands import MAX_HISTORY
from node.commandline.app import Group
from node.commandline.asking import Node, with_node
from node.commandline.output import fields, harmless, heading, table

_SHOWN = ("user_id", "username", "nickname", "avatar", "status", "presence", "busy", "listed")
_AS_DATA = '"data:image/png;base64,$(base64 -w0 PICTURE.png)"'
_STATUS = 40  # characters of a status line in a list


@click.group(cls=Group)
def profile() -> None:
    """What others see of you."""


@profile.command()
@click.argument("name", required=False)
@with_node
async def show(node: Node, name: str | None) -> None:
    """Show your name, avatar and status, or those of NAME."""
    found = await node.call("profile_get", username=None if name is None else await node.user(name))
    node.app.emit(found, fields((key, _short(found.get(key))) for key in _SHOWN))


def _short(value: Any) -> Any:
    """Return a picture as what it is: nobody reads a data URL."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value.startswith("data:"):
        return f"a picture of {len(value)} characters"
    return value


@profile.command("set")
@click.option("--name", help="What you call yourself.")
@click.option("--avatar", help="A small picture as a data URL, the id of an attachment, or an emoji.")
@click.option("--status", help="A line about you.")
@click.option("--listed", type=click.Choice(["on", "off"]), help="Whether anybody in the mesh may find you.")
@with_node
async def set_(
    node: Node, name: str | None, avatar: str | None, status: str | None, listed: str | None
) -> None:
    """Change your name, avatar or status, or whether you are listed."""
    if name is None and avatar is None and status is None and listed is None:
        raise click.UsageError("say what to change: --name, --avatar, --status or --listed")
    on = None if listed is None else listed == "on"
    changed = await node.call("profile_set", name=name, avatar=avatar, status=status, listed=on)
    node.app.emit(changed, [])
    if avatar and _is_no_picture(avatar):
        node.app.say("others see no picture by this, for files and addresses are not sent; a small one:")
        node.app.say(node.app.ours(f"  gossamer profile set --avatar {_AS_DATA}"))
    if on:
        node.app.say("Everybody in the mesh can now read your name and status, and ask you to be a contact.")


def _is_no_picture(avatar: str) -> bool:
    """Say whether somebody meant the picture in a file, or at an address: neither goes to anybody."""
    return is_remote(avatar) or Path(avatar).is_file()


@click.group(cls=Group)
def presence() -> None:
    """Whether others see you as online."""


@presence.command("sweep")
@with_node
async def sweep(node: Node) -> None:
    """Look at once who has been silent for too long."""
    found = await node.call("presence_sweep")
    node.app.emit(found, [harmless(str(name)) for name in found["gone"]])


@presence.command("set")
@click.argument("state", required=False, type=click.Choice(["online", "away", "offline"]))
@click.option("--status", help="A line about you.")
@click.option("--busy", type=click.Choice(["on", "off"]), help="Whether game invites are refused.")
@with_node
async def set_presence(node: Node, state: str | None, status: str | None, busy: str | None) -> None:
    """Be `away`, or `offline`: invisible; `online` is as it is."""
    if state is None and status is None and busy is None:
        raise click.UsageError("say online, away or offline, or --status or --busy")
    on = None if busy is None else busy == "on"
    seen = await node.call("presence_set", state=state, status=status, busy=on)
    node.app.emit(seen, [" ".join(filter(None, (str(seen["state"]), "busy" if seen["busy"] else "")))])


@click.group(cls=Group)
def user() -> None:
    """People you may want to know."""


@user.command()
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, MAX_HISTORY), default=20, show_default=True)
@with_node
async def search(node: Node, text: str, limit: int) -> None:
    """Look for people by a part of their name: contacts, co-members, and who is listed."""
    found = await node.call("user_search", text=text, limit=limit)
    rows = [
        (u["user_id"], u["username"], u["nickname"], u["state"], u["presence"], brief(u.get("status")))
        for u in found["users"]
    ]
    heads = ("user", "name", "calls themselves", "state", "presence", "status")
    node.app.emit(found, table(heads, rows, heading))


def brief(status: Any) -> str:
    """Return a status line for a list, cut and on one line; `table` makes it harmless."""
    line = " ".join(str(status or "").split())
    return line if len(line) <= _STATUS else line[: _STATUS - 1] + "…"


def presence_of(row: dict[str, Any]) -> str:
    """Return how a person is seen, in a word or two."""
    return " ".join(filter(None, (str(row.get("presence", "")), "busy" if row.get("busy") else "")))


def presence_line(event: dict[str, Any]) -> str:
    """Return a `presence` event as a line of a chat."""
    status = brief(event.get("status"))
    return harmless(f"{event.get('username', '?')} is {presence_of(event)}{f': {status}' if status else ''}")

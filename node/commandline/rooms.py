"""`gossamer room ...`: make rooms, look at them, come and go."""

from __future__ import annotations

import click

from node.commandline.app import Group, duration
from node.commandline.asking import Node, secret_or_link, with_node
from node.commandline.messages import message_id
from node.commandline.output import fields, harmless, heading, table
from node.commandline.reach import describe
from node.commandline.receipts import until
from node.commandline.resolve import Row, matches, pick
from node.errors import Refused


@click.group(cls=Group)
def room() -> None:
    """Make rooms, look at them, come and go."""


@room.command()
@click.argument("name")
@click.option("--open", "is_open", is_flag=True, help="Listed to the whole mesh; anyone joins and reads.")
@click.option("--history", metavar="N|none|all", help="How many messages a newcomer may read.")
@click.option("--invite", type=click.Choice(["anyone", "admins"]), help="Whom an invite lets invite others.")
@with_node
async def create(node: Node, name: str, is_open: bool, history: str | None, invite: str | None) -> None:
    """Make a room called NAME, private unless --open."""
    asked = {"visibility": "open" if is_open else None, "history": _history(history), "invite": invite}
    made = await node.call("room_create", name=name, **asked)
    node.app.emit(made, [str(made["room"])])
    if made.get("history_note"):
        node.app.say(f"Said plainly: {made['history_note']}.")
    _notice(node, made)


def _notice(node: Node, answer: Row) -> None:
    """Say what the node says of an open room: that nothing in it is confidential."""
    if notice := str(answer.get("notice", "")):
        node.app.say(f"Mind: {harmless(notice)}.")


def _history(text: str | None) -> int | str | None:
    if text in (None, "none", "all"):
        return text
    if not text.isdecimal():
        raise Refused("invalid", f"--history takes a number, none or all, not {text!r}")
    return int(text)


@room.command("list")
@with_node
async def list_(node: Node) -> None:
    """List the rooms you are in, and apart from them the open rooms that you could join."""
    every = await node.every_room()
    rows = [
        (r["room"], r["name"], r["visibility"], _count(r.get("members")), _unread(r))
        for r in every
        if r.get("joined", True)
    ]
    others = [(r["room"], r["name"], _count(r.get("members"))) for r in every if not r.get("joined", True)]
    lines = table(("room", "name", "kind", "members", "unread"), rows, heading)
    if others:
        how = node.app.ours("gossamer room join ROOM")
        lines += ["", f"Open rooms of the network, as their members list them:  {how}"]
        lines += table(("room", "name", "members"), others, heading)
    node.app.emit({"rooms": every}, lines)


def _unread(row: Row) -> str:
    muted = "muted" if row.get("muted") else ""
    return f"{row.get('unread') or ''} {muted}".strip()


def _count(members: object) -> object:
    return len(members) if isinstance(members, list) else members


@room.command()
@click.argument("room_", metavar="ROOM")
@with_node
async def show(node: Node, room_: str) -> None:
    """Show a room and who is in it."""
    found = await node.call("room_get", room=(await node.room(room_))["room"])
    keys = ("room", "name", "topic", "visibility", "history", "history_note", "invite")
    lines = fields((key, found.get(key)) for key in keys if found.get(key) not in (None, ""))
    node.app.emit(found, [*lines, "", *_members(found)])


@room.command()
@click.argument("room_", metavar="ROOM")
@with_node
async def members(node: Node, room_: str) -> None:
    """List who is in a room."""
    found = await node.call("room_get", room=(await node.room(room_))["room"])
    node.app.emit({"members": found["members"]}, _members(found))


def _members(found: Row) -> list[str]:
    rows = [(m["user_id"], m["username"], m["role"], m.get("presence", "")) for m in found["members"]]
    return table(("user", "name", "role", "presence"), rows, heading)


@room.command()
@click.argument("room_", metavar="ROOM")
@with_node
async def join(node: Node, room_: str) -> None:
    """Join a room that you are invited to, or an open one."""
    invited = await node.invites()
    if matches(room_, invited, id_key="room", name_key="room_name"):
        rooms = list({row["room"]: row for row in invited}.values())
        room_ = str(pick(room_, rooms, id_key="room", name_key="room_name", what="room")["room"])
    joined = await node.call("user_join", room=room_)
    node.app.emit(joined, [harmless(str(joined.get("name") or f"{joined.get('state', 'joined')} {room_}"))])
    if joined.get("state") == "joining":
        node.app.say(node.app.ours("You are in when somebody of the room has answered:  gossamer room list"))
    _notice(node, joined)


@room.command()
@click.argument("room_", metavar="ROOM")
@click.option("--uses", type=click.IntRange(1, 10_000), metavar="N", help="Good for N people.")
@click.option("--expires", metavar="D", help="How long it is good for: 12h, 7d ...; else seven days.")
@click.option("--revoke", is_flag=True, help="Close the links to the room instead, all that you may close.")
@with_node
async def link(node: Node, room_: str, uses: int | None, expires: str | None, revoke: bool) -> None:
    """Print a link: whoever uses it is in ROOM at once, contact or not."""
    if revoke and (uses or expires):
        raise Refused("invalid", "--revoke closes links: it goes with neither --uses nor --expires")
    seconds = duration(expires) if expires else None
    found = (await node.room(room_))["room"]
    if revoke:
        closed = await node.call("room_link_revoke", room=found)
        node.app.emit(closed, [str(invite) for invite in closed["revoked"]])
        return
    made = await node.call("room_link_create", room=found, uses=uses, expires_in=seconds)
    node.app.emit(made, [str(made["link"])])
    node.app.say("Who can use the link, by the addresses it carries:")
    for line in describe(made["addresses"]):
        node.app.say(node.app.ours(line))
    node.app.say("They run:  gossamer room use -   and paste the link. Whoever has it can come in.")


@room.command()
@click.argument("link_", metavar="LINK|-")
@with_node
async def use(node: Node, link_: str) -> None:
    """Join the room that a link leads to; `-` reads it from standard input."""
    used = await node.call("room_link_use", link=secret_or_link(link_, what="room link"))
    node.app.emit(used, [f"{used['room']}  {used['state']}"])
    if used["state"] == "joining":
        node.app.say(node.app.ours("You are in when somebody of the room has answered:  gossamer room list"))


@room.command()
@click.argument("room_", metavar="ROOM")
@with_node
async def leave(node: Node, room_: str) -> None:
    """Leave a room; only a new invite brings you back."""
    node.app.emit(await node.call("user_leave", room=(await node.room(room_))["room"]), [])


@room.command()
@click.argument("room_", metavar="ROOM")
@click.argument("name")
@with_node
async def remove(node: Node, room_: str, name: str) -> None:
    """Remove NAME from a room: they can open nothing that is sent after."""
    found = await node.call("room_get", room=(await node.room(room_))["room"])
    who = pick(name, found["members"], id_key="user_id", name_key="username", what="user")
    gone = await node.call("member_remove", room=found["room"], username=who["user_id"])
    node.app.emit(gone, [])


@room.command()
@click.argument("room_", metavar="ROOM")
@click.argument("name")
@click.argument("role_", metavar="ROLE", type=click.Choice(["member", "greeter", "admin"]))
@with_node
async def role(node: Node, room_: str, name: str, role_: str) -> None:
    """Make NAME a member, greeter (who may invite) or admin of a room."""
    found = await node.call("room_get", room=(await node.room(room_))["room"])
    who = pick(name, found["members"], id_key="user_id", name_key="username", what="user")
    given = await node.call("member_role", room=found["room"], username=who["user_id"], role=role_)
    node.app.emit(given, [])


@room.command()
@click.argument("room_", metavar="ROOM")
@click.option("--name", help="What the room is called from now on.")
@click.option("--topic", help='What it is about; "" for nothing.')
@click.option("--invite", type=click.Choice(["anyone", "admins"]), help="Who may invite.")
@click.option("--history", metavar="N|none|all", help="How many messages a newcomer may read.")
@with_node
async def update(node: Node, /, room_: str, **asked: str | None) -> None:
    """Change a room's name, topic, who may invite, or how much newcomers may read."""
    wanted = {**asked, "history": _history(asked["history"])}
    changes = {key: value for key, value in wanted.items() if value is not None}
    if not changes:
        raise Refused("invalid", "nothing to change: give --name, --topic, --invite or --history")
    node.app.emit(await node.call("room_update", room=(await node.room(room_))["room"], **changes), [])


@room.command()
@click.argument("room_", metavar="ROOM")
@with_node
async def delete(node: Node, room_: str) -> None:
    """End a room for everybody: nobody sends any more, members keep what they have."""
    node.app.emit(await node.call("room_delete", room=(await node.room(room_))["room"]), [])


@room.command()
@click.argument("room_", metavar="ROOM")
@with_node
async def rekey(node: Node, room_: str) -> None:
    """Renew the keys of a room now; that happens by itself too, at least weekly while people write."""
    node.app.emit(await node.call("room_rekey", room=(await node.room(room_))["room"]), [])


@room.command()
@click.argument("room_", metavar="ROOM")
@click.argument("id_", metavar="[ID]", required=False)
@with_node
async def read(node: Node, room_: str, id_: str | None) -> None:
    """Mark a room as read, up to the message ID or all of it."""
    found = (await node.room(room_))["room"]
    upto = None if id_ is None else await message_id(node, found, id_)
    node.app.emit(await node.call("room_read", room=found, id=upto), [])


@room.command()
@click.argument("room_", metavar="ROOM")
@click.option("--for", "length", metavar="D", help="How long, as 90s, 15m, 12h, 7d or 2w; else for good.")
@click.option("--off", is_flag=True, help="Hear of it again.")
@with_node
async def mute(node: Node, room_: str, length: str | None, off: bool) -> None:
    """Mute a room: its messages come, and nobody is to be disturbed by them."""
    if off and length is not None:
        raise Refused("invalid", "--off and --for exclude each other")
    found = await node.room(room_)
    muted = await node.call("room_mute", room=found["room"], until=until(length), muted=not off)
    node.app.emit(muted, [])


@room.command()
@click.argument("name")
@with_node
async def direct(node: Node, name: str) -> None:
    """Open the direct room with NAME, for the two of you."""
    opened = await node.call("dm_open", username=await node.user(name))
    node.app.emit(opened, [str(opened["room"])])

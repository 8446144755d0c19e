"""What only the owner does: peers, tokens, consumers, and what each frontend did."""

from __future__ import annotations

from typing import Any

import click

from node.commandline.app import Command, Group, duration
from node.commandline.asking import Node, with_node
from node.commandline.output import clock, heading, span, table
from node.config import parse_peer
from node.errors import Refused


@click.group(cls=Group)
def peer() -> None:
    """The nodes that yours links to."""


@peer.command("list")
@with_node
async def peers(node: Node) -> None:
    """List peers and how the links to them are."""
    found = list((await node.call("peer_list"))["peers"])
    heads = (
        "peer",
        "address",
        "direction",
        "state",
        "rtt",
        "age",
        "copies",
        "source",
        "last error",
        "again in",
    )
    node.app.emit({"peers": found}, table(heads, [_link(peer) for peer in found], heading))


def _link(peer: dict[str, Any]) -> tuple[object, ...]:
    return (
        str(peer["peer"] or "")[:16],
        peer.get("known_as") or peer["address"],
        *(peer[key] for key in ("direction", "state")),
        _ms(peer["rtt_ms"]),
        _age(peer["age_s"]),
        *(peer.get(key) for key in ("copies", "source", "last_error")),
        _age(peer.get("retry_s")),
    )


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"


def _age(value: float | None) -> str:
    return "" if value is None else span(value)


@peer.command("add")
@click.argument("url")
@with_node
async def peer_add(node: Node, url: str) -> None:
    """Dial the node at URL (ws://HOST:7118), and keep dialling."""
    node.app.emit(await node.call("peer_add", address=_peer(url)), [])


@peer.command("remove")
@click.argument("url")
@with_node
async def peer_remove(node: Node, url: str) -> None:
    """Stop dialling the node at URL."""
    node.app.emit(await node.call("peer_remove", address=_peer(url)), [])


def _peer(url: str) -> str:
    try:
        return parse_peer(url)
    except ValueError as exc:
        raise Refused("invalid", str(exc)) from exc


@click.group(cls=Group)
def token() -> None:
    """Keys for other frontends: named, scoped, revocable."""


@token.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "chat", "owner"]), default="chat", show_default=True)
@click.option("--expires", metavar="D", help="How long it is good for: 12h, 7d ...")
@with_node
async def token_create(node: Node, name: str, scope: str, expires: str | None) -> None:
    """Make a token called NAME and print it; it is shown this once."""
    seconds = duration(expires) if expires else None
    made = await node.call("token_create", name=name, scope=scope, expires_in=seconds)
    node.app.emit(made, [str(made["token"])])


@token.command("list")
@with_node
async def tokens(node: Node) -> None:
    """List the tokens you made, without the tokens themselves."""
    found = list((await node.call("token_list"))["tokens"])
    rows = [(t["name"], t["scope"], _when(t.get("created_at")), _when(t.get("expires_at"))) for t in found]
    node.app.emit({"tokens": found}, table(("name", "scope", "made", "until"), rows, heading))


def _when(unix_s: float | None) -> str:
    return "" if unix_s is None else clock(unix_s)


@token.command("revoke")
@click.argument("name")
@with_node
async def token_revoke(node: Node, name: str) -> None:
    """Revoke a token; its sessions are closed."""
    node.app.emit(await node.call("token_revoke", name=name), [])


@token.command("rotate")
@click.argument("name", required=False)
@with_node
async def token_rotate(node: Node, name: str | None) -> None:
    """Put another token in the place of NAME's, or of the admin token; what came in by it is closed."""
    made = await node.call("token_rotate", name=name)
    node.app.emit(made, [str(made.get("token") or made["path"])])


@click.command(cls=Command)
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many entries.")
@click.option("--before", type=int, help="Only those before this entry.")
@with_node
async def audit(node: Node, limit: int, before: int | None) -> None:
    """Print which frontend did what, oldest first: never what was in it."""
    found = await node.call("audit_list", limit=limit, before=before)
    heads = ("entry", "when", "who", "by", "client", "session", "command", "outcome", "times")
    rows = [
        (str(row["entry"]), clock(row["ts_ms"] / 1000), *_who(row), row["command"], row["code"], row["count"])
        for row in found["entries"]
    ]
    node.app.emit(found, table(heads, rows, heading))


def _who(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple("" if row[key] is None else str(row[key]) for key in ("who", "via", "client", "session"))


@click.group(cls=Group)
def consumer() -> None:
    """Programs that follow your node's events under a name: how far each has come."""


@consumer.command("list")
@with_node
async def consumers(node: Node) -> None:
    """List them, how many events each is behind, and when it was last here."""
    found = await node.call("consumer_list")
    rows = [(c["name"], c["seq"], c["behind"], _when(c["last_seen"] or None)) for c in found["consumers"]]
    node.app.emit(found, table(("name", "seq", "behind", "last seen"), rows, heading))


@consumer.command("remove")
@click.argument("name")
@with_node
async def consumer_remove(node: Node, name: str) -> None:
    """Forget NAME and how far it has come; if it comes again it begins anew."""
    node.app.emit(await node.call("consumer_remove", name=name), [])

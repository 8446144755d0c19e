"""Who may reach the bridge: pages by their origin, frontends of other dialects, browsers by a login link."""

from __future__ import annotations

import webbrowser
from typing import Any, Final

import click

from node.commandline.app import App, Group
from node.commandline.asking import Node, with_node
from node.commandline.output import harmless, heading, table

DIALECTS: Final = ("001", "002", "003", "004")


@click.group(cls=Group)
def bridge() -> None:
    """Which web pages and which other frontends may reach the bridge, with a credential."""


@bridge.command("list")
@with_node
async def listed(node: Node) -> None:
    """List the origins that are allowed, and the dialects that are on."""
    origins = (await node.call("origin_list"))["origins"]
    dialects = (await node.call("dialect_list"))["dialects"]
    heads = ("dialect", "state", "address", "rooms", "origins", "build")
    rows = [
        (d["dialect"], d["state"], where(d), d["rooms"], " ".join(d["origins"]), d["serve"])
        for d in dialects
        if d["enabled"]
    ]
    lines = [harmless(str(origin)) for origin in origins]
    if rows:
        lines += [*([""] if lines else []), *table(heads, rows, heading)]
    node.app.emit({"origins": origins, "dialects": dialects}, lines)
    for row in dialects:
        _say_more(node.app, row)


@bridge.command()
@click.argument("origin")
@with_node
async def allow(node: Node, origin: str) -> None:
    """Let pages of ORIGIN (http://localhost:5173) in; they need a token all the same."""
    node.app.emit(await node.call("origin_allow", origin=origin), [])


@bridge.command()
@click.argument("origin")
@with_node
async def disallow(node: Node, origin: str) -> None:
    """Shut pages of ORIGIN out; their sessions are closed."""
    node.app.emit(await node.call("origin_remove", origin=origin), [])


@bridge.command()
@click.argument("dialect", type=click.Choice(DIALECTS))
@click.option(
    "--origin", "origins", metavar="URL", multiple=True, help="Whose pages may speak it; repeatable."
)
@click.option("--port", type=click.IntRange(1, 65535), help="A port of its own, beside the bridge's.")
@click.option(
    "--serve", type=click.Path(resolve_path=True), help="Show the static build in this folder there."
)
@click.option("--rooms", type=click.Choice(["open", "private"]), help="What rooms its frontends make.")
@click.option("--tls", is_flag=True, help="Speak TLS at that port, with a certificate of this machine's own.")
@with_node
async def enable(
    node: Node,
    dialect: str,
    *,
    origins: tuple[str, ...],
    port: int | None,
    serve: str | None,
    rooms: str | None,
    tls: bool,
) -> None:
    """Let frontends that speak DIALECT in; again, to change what is given, or to add an origin."""
    done = await node.call(
        "dialect_enable",
        dialect=dialect,
        origin=origins[0] if origins else None,
        port=port,
        serve=serve,
        rooms=rooms,
        tls=tls or None,
    )
    for origin in origins[1:]:
        done = await node.call("dialect_enable", dialect=dialect, origin=origin)
    node.app.emit(done, [harmless(where(done))])
    _say_more(node.app, done)
    if done["serve"] is not None:
        told = f"log a browser in:  gossamer bridge login --dialect {dialect}"
    else:
        told = f"a frontend needs a token (?token=...):  gossamer token create frontend-{dialect}"
    node.app.say(node.app.ours(told))
    if done["rooms"] == "open":
        node.app.say("rooms made in it are open: anybody in the mesh can find, join and read them")
        told = f"to have private ones:  gossamer bridge enable {dialect} --rooms private"
        node.app.say(node.app.ours(told))


def where(row: dict[str, Any]) -> str:
    """Return what a frontend is configured with: those of 001 know one address, of a websocket."""
    address = str(row["address"] or "")
    return f"ws{address.removeprefix('http')}/ws" if address and row["dialect"] == "001" else address


def _say_more(app: App, row: dict[str, Any]) -> None:
    name = row["dialect"]
    if row["why"] is not None:
        app.say(harmless(f"{name} does not listen: {row['why']}"))
    if row["fingerprint"] is not None:
        app.say(f"{name}, SHA-256 of the certificate: {row['fingerprint']}")
    if row["cron_secret"] is not None:
        app.say(harmless(f"{name}, the secret of its cron path: {row['cron_secret']}"))


@bridge.command()
@click.argument("dialect", type=click.Choice(DIALECTS))
@click.option("--origin", metavar="URL", help="Take this origin alone from it.")
@with_node
async def disable(node: Node, dialect: str, origin: str | None) -> None:
    """Shut frontends that speak DIALECT out; their sockets are closed."""
    node.app.emit(await node.call("dialect_disable", dialect=dialect, origin=origin), [])


@bridge.command()
@click.option("--open", "show_it", is_flag=True, help="Open it in the browser.")
@click.option("--dialect", type=click.Choice(DIALECTS), help="At the port of this dialect, for its page.")
@with_node
async def login(node: Node, show_it: bool, dialect: str | None) -> None:
    """Print a link that logs one browser in to the node's own page, once, or to a dialect's."""
    made = await node.call("login_link_create", dialect=dialect)
    if show_it and webbrowser.open(str(made["url"])):
        node.app.say("opened in the browser")
        return
    node.app.emit(made, [str(made["url"])])

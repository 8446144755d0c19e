"""`gossamer run`: the node in the foreground, and the words that greet its owner."""

from __future__ import annotations

import shlex
import sys
import webbrowser
from pathlib import Path
from typing import Any

import click

from node.clock import HORIZON_DAYS
from node.commandline import keychain
from node.commandline.app import App, Command, current_app
from node.commandline.asking import connected
from node.commandline.output import harmless
from node.commandline.reach import describe
from node.commandline.runtime import is_new, read_runtime
from node.config import LOG_LEVELS, Settings, load
from node.crypto.links import decode_contact
from node.errors import Refused
from node.store import identity


@click.command(cls=Command)
@click.option("--name", help="Your name (first run).")
@click.option("--bridge", metavar="HOST:PORT", help="Where frontends attach. [127.0.0.1:7117]")
@click.option("--listen", metavar="HOST:PORT|off", help="Where other nodes reach you. [[::]:7118]")
@click.option("--peer", "peers", multiple=True, metavar="URL", help="A node to dial; may be given again.")
@click.option("--relay", is_flag=True, default=None, help="Carry and hold for others too.")
@click.option("--lan", is_flag=True, default=None, help="Find nodes on this network, and be found.")
@click.option("--network-secret", metavar="FILE", help="32 bytes that make a private network.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS))
@click.option("--passphrase-file", metavar="FILE", help="Seals, or opens, the identity.")
@click.option("--open", is_flag=True, default=None, help="Open the node's page in the browser.")
def run(**flags: object) -> int:
    """Run your node in the foreground.

    The first run makes your identity. What is said here beats the environment and config.toml.
    """
    from node import daemon

    app = current_app()
    first = is_new(app.home_dir)
    flags["peers"] = flags["peers"] or None
    if first and flags["name"] is None:
        flags["name"] = _ask_name(app)
    settings = load(app.home_dir, flags)
    named = None if first or flags["name"] is None else str(flags["name"])
    return daemon.run(
        settings,
        on_ready=lambda: greet(app, settings, first=first, named=named),
        ask=lambda: _ask_passphrase(settings),
    )


def _ask_name(app: App) -> str | None:
    """Ask for a name on a first run at a terminal; elsewhere the node makes one up."""
    if load(app.home_dir).name is not None or not sys.stdin.isatty():
        return None
    name = str(click.prompt("Your name, as others will see it", default="", show_default=False, err=True))
    return name.strip() or None


def _ask_passphrase(settings: Settings) -> bytes | None:
    """Ask the system's keyring, then a terminal, unless a file has it: to open keys, or to seal new ones."""
    if settings.passphrase_file is not None:
        return None
    kept = _from_keyring(settings.home)
    if kept is not None or not sys.stdin.isatty():
        return kept
    if not identity.exists(settings.home):
        text = "A passphrase that seals your keys (empty: none)"
        given = click.prompt(
            text, default="", show_default=False, hide_input=True, confirmation_prompt=True, err=True
        )
    elif identity.sealed(settings.home):
        given = click.prompt("Your passphrase", hide_input=True, err=True)
    else:
        return None
    return str(given).encode() or None


def _from_keyring(home: Path) -> bytes | None:
    """Return the passphrase that the keyring keeps; one that does not answer is no reason not to start."""
    try:
        kept = keychain.opening(home)
    except Refused as fault:
        current_app().say(fault.message)
        return None
    return None if kept is None else kept.encode()


async def greet(app: App, settings: Settings, *, first: bool, named: str | None = None) -> None:
    """Say who and where the node is and what to do next; called once the bridge answers.

    `named` is the `--name` that came too late: it is no quiet way to be called otherwise.
    """
    if app.quiet and not settings.open:
        return
    async with connected(app, subscribe={"events": []}) as node:
        if node.client.hello["connectivity"] == "locked":
            app.say(f"Your node runs, but its vault is locked. Open it:  {app.program} unlock")
            return
        link = str((await node.call("profile_get"))["link"])
        page = await node.call("login_link_create") if settings.open else None
        name = node.username
    if named not in (None, name):
        told = f"{app.program} profile set --name {shlex.quote(str(named))}"
        app.say(f"--name counts on the first run alone; to be called otherwise:  {harmless(told)}")
    mesh = read_runtime(app.home_dir).get("mesh")
    more = opened(app.program, mesh, settings.quota) if first else []
    for line in [*greeting(app.program, name, app.home_dir, link), *more]:
        app.say(line)
    if page is not None and not webbrowser.open(str(page["url"])):
        app.say(f"Your page:  {page['url']}")


def greeting(program: str, name: str, home: Path, link: str) -> list[str]:
    """Return the greeting: who you are, your contact link and who can use it, and commands to paste."""
    addresses = decode_contact(link).addresses
    return [
        f"You are {harmless(name)}. Your node runs; Ctrl-C stops it. It keeps everything in {home}",
        "",
        "Your contact link. Whoever adds it can write to you:",
        f"  {link}",
        "Who can use it, by the addresses it carries:",
        *(line.replace("`gossamer run --peer", f"`{program} run --peer") for line in describe(addresses)),
        "",
        "Next, in another terminal:",
        f"  {program} contact add -              # then paste a friend's link",
        f"  {program} room create club           # make a room",
        f"  {program} invite send club FRIEND    # ask a contact in",
        f"  {program} chat club                  # chat",
        f"  {program} bridge login --open        # the same in your browser",
    ]


def opened(program: str, mesh: dict[str, Any] | None, quota: int) -> list[str]:
    """Return what the first run says once: what is open to others, what is kept, how to change it."""
    port = (
        "nothing"
        if mesh is None
        else f"the mesh port {mesh['port']} on {mesh['host']}; --listen off closes it"
    )
    return [
        "",
        f"Open to the network: {port}.",
        f"Kept for others: sealed messages, unreadable here, {HORIZON_DAYS} days and {quota >> 20} MiB"
        f" at most (`{program} config set hold_mib N`); a private network (--network-secret FILE) keeps only"
        " its own.",
    ]

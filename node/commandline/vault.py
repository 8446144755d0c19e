"""`gossamer passphrase`, `lock` and `unlock`: what seals the keys, and closing them while the node runs.

A passphrase comes by prompt, by file, from the system's keyring or as a line of standard input, and is never
an argument.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from node.commandline import keychain
from node.commandline.app import Command, Group
from node.commandline.asking import Node, with_node
from node.config import Settings
from node.errors import Refused
from node.store import identity

_FILE = click.option("--passphrase-file", metavar="FILE", help="Its first line is the passphrase in force.")


@click.group(cls=Group)
def passphrase() -> None:
    """What seals your keys on disk."""


@passphrase.command("set")
@_FILE
@click.option("--new-passphrase-file", metavar="FILE", help="Its first line is the new passphrase.")
@click.option("--keyring", is_flag=True, help="Keep it in the system's keyring; without a file one is made.")
@with_node
async def set_(
    node: Node, passphrase_file: str | None, new_passphrase_file: str | None, keyring: bool
) -> None:
    """Seal your keys under a new passphrase.

    Standard input, where it is no terminal: the passphrase in force, if there is one, and the new one, a
    line each.
    """
    home = node.app.home_dir
    current = _current(node, passphrase_file)
    if keyring and new_passphrase_file is None:
        fresh = keychain.made()
    else:
        fresh = secret(home, new_passphrase_file, "New passphrase", confirm=True)
    if keyring:
        keychain.stage(home, fresh)
    node.app.emit(await node.call("vault_passphrase", passphrase=fresh, current=current), [])
    keychain.settle(home) if keyring else keychain.forget(home)
    where = ", which the system's keyring keeps" if keyring else ""
    node.app.say(f"your keys are sealed under the new passphrase{where}")


@passphrase.command()
@_FILE
@with_node
async def remove(node: Node, passphrase_file: str | None) -> None:
    """Leave your keys on disk unsealed, as a file that only you may read."""
    current = _current(node, passphrase_file)
    node.app.emit(await node.call("vault_passphrase", current=current), [])
    keychain.forget(node.app.home_dir)
    node.app.say("your keys are not sealed any more")


@click.command(cls=Command)
@with_node
async def lock(node: Node) -> None:
    """Close the vault: the node drops its keys and links until `unlock`."""
    node.app.emit(await node.call("vault_lock"), [])
    node.app.say(f"locked; open it again:  {node.app.program} unlock")


@click.command(cls=Command)
@_FILE
@with_node
async def unlock(node: Node, passphrase_file: str | None) -> None:
    """Open the vault of a locked node."""
    if node.client.hello["connectivity"] != "locked":
        node.app.emit({"locked": False}, [])
        node.app.say("it is open")
        return
    given = _in_force(node, passphrase_file)
    node.app.emit(await node.call("vault_unlock", passphrase=given), [])
    node.app.say("open")


def _current(node: Node, file: str | None) -> str | None:
    """Return the passphrase in force; None for keys that are not sealed, where nothing is asked."""
    return _in_force(node, file) if identity.sealed(node.app.home_dir) else None


def _in_force(node: Node, file: str | None) -> str:
    """Return the passphrase in force: from a file, the system's keyring, a terminal, or standard input."""
    kept = keychain.opening(node.app.home_dir) if file is None else None
    return kept if kept is not None else secret(node.app.home_dir, file, "Your passphrase")


def secret(home: Path, file: str | None, prompt: str, *, confirm: bool = False) -> str:
    """Return a passphrase from a file, a terminal or the next line of standard input; raises Refused."""
    if file not in (None, "-"):
        given = Settings(home, passphrase_file=Path(file).expanduser()).passphrase() or b""
        try:
            return given.decode()
        except UnicodeDecodeError as exc:
            raise Refused("invalid", f"{file} is not UTF-8 text") from exc
    if sys.stdin.isatty():
        return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise Refused("invalid", f"standard input lacks a line: {prompt.lower()}")
    return line

"""`gossamer backup`: write one, look whether it is whole, make a home of it (docs/operations.md, "Backups").

The node writes into its own home alone, whoever asks; this command takes the file to where it was asked for.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

import click

from node import backups
from node.backups import Facts
from node.commandline.app import Group, current_app
from node.commandline.asking import Node, with_node
from node.commandline.output import harmless
from node.commandline.vault import secret
from node.errors import Refused, StoreFull
from node.running import clock
from node.store import files

PATIENCE = 3600.0
"""Seconds a backup may take: one of a gigabyte takes about one minute."""
_FILE = click.option("--passphrase-file", metavar="FILE", help="Its first line is the backup's passphrase.")
_PROMPT = "The backup's passphrase"


@click.group(cls=Group)
def backup() -> None:
    """Sealed copies of what you have, and new homes made of them."""


@backup.command()
@click.argument("file", metavar="FILE")
@_FILE
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@with_node
async def create(node: Node, file: str, passphrase_file: str | None, force: bool) -> None:
    """Write a backup of the running node, sealed under a passphrase of its own."""
    target = _target(file, force=force)
    phrase = secret(node.app.home_dir, passphrase_file, _PROMPT, confirm=True)
    made = await node.client.call("backup_create", passphrase=phrase, timeout=PATIENCE)
    await asyncio.to_thread(_take, Path(made["path"]), target, force=force)
    node.app.emit({**made, "path": str(target)}, [])
    node.app.say(f"{_holds(made)}, in {target}")
    node.app.say(f"see that it opens:  {node.app.program} backup verify {harmless(file)}")


@backup.command()
@click.argument("file", metavar="FILE")
@_FILE
def verify(file: str, passphrase_file: str | None) -> None:
    """Read a whole backup and say what it holds; needs no node."""
    app, path = current_app(), _source(file)
    phrase = secret(app.home_dir, passphrase_file, _PROMPT)
    facts = backups.verify(path, phrase.encode())
    told = _told(facts)
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts.head.made_ms / 1000))
    app.emit(told, [f"whole: {_holds(told)}, of {harmless(str(told['username']))}, made {when}"])


@backup.command()
@click.argument("file", metavar="FILE")
@_FILE
def restore(file: str, passphrase_file: str | None) -> None:
    """Make a new home of a backup: the same person on a new device."""
    app, path = current_app(), _source(file)
    phrase = secret(app.home_dir, passphrase_file, _PROMPT)
    told = _told(backups.restore(path, phrase.encode(), app.home_dir, now=clock()))
    app.emit({**told, "home": str(app.home_dir)}, [])
    app.say(f"restored: {_holds(told)}, in {app.home_dir}")
    if told["sealed"]:
        app.say("its keys are sealed under the passphrase of the backup")
    app.say("never start the old home again: the new one revokes its device")
    app.say(f"start it:  {app.program} run")


def _told(facts: Facts) -> dict[str, object]:
    return {
        "path": str(facts.path),
        "size": facts.size,
        "rooms": facts.rooms,
        "contacts": facts.contacts,
        "messages": facts.messages,
        "username": facts.head.username,
        "made_at": facts.head.made_ms // 1000,
        "program": facts.head.program,
        "sealed": facts.head.sealed,
    }


def _holds(told: dict[str, object]) -> str:
    counted = [(told[f"{name}s"], name) for name in ("message", "room", "contact")]
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counted)


def _source(file: str) -> Path:
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise Refused("backup_not_found", f"there is no file {path}")
    return path


def _target(file: str, *, force: bool) -> Path:
    target = Path(file).expanduser().absolute()
    _check_target(target, force=force)
    return target


def _check_target(target: Path, *, force: bool) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise Refused("invalid", f"{target} cannot be written: name a file in a folder that is there")
    if target.exists() and not force:
        raise Refused("file_exists", f"{target} is there already: choose another name, or --force")


def _take(made: Path, target: Path, *, force: bool) -> None:
    """Move a backup out of the home, whole or not at all; the node's file goes when ours is on disk.

    It is written under a name that nobody else has: the folder may be anybody's.
    """
    new = target
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:64]}.")
        new = Path(name)
        with made.open("rb") as source, os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        _check_target(target, force=force)
        new.replace(target)
        files.sync_folder(target.parent)
        made.unlink()
    except OSError as exc:
        raise StoreFull(f"{target} could not be written ({exc}); the backup is {made}") from exc
    finally:
        if new != target:
            new.unlink(missing_ok=True)

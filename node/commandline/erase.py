"""`gossamer erase`: remove a home for good, the keys first, so that what is left half done opens nothing.

Only files that a node makes are touched, and the folder goes only if nothing else is in it. On journaling
file systems, SSDs and in copies that others made, old bytes may outlive this (docs/threat-model.md); of a
sealed home they need the passphrase.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from node.backups import FOLDER as BACKUPS
from node.commandline.app import Command, current_app
from node.errors import Refused
from node.store import files
from node.store.folders import OURS
from node.store.lock import HomeLock

KEYS = ("identity.key", "ratchets.key", "token", "cron_secret", "tls.pem")
"""Without the first nothing in the home opens; they are overwritten before they are removed."""
FILES = (
    "gossamer.db", "gossamer.db-wal", "gossamer.db-shm", "gossamer.log", "audit.log", "runtime.json",
    "config.toml", "gossamer.sock",
)  # fmt: skip
PATTERNS = ("gossamer.log.*", "audit.log.*", "gossamer.db.*", "gossamer.db-*")
ATTACHMENTS = ("attachments", "parts")
"""Those of messages, and what a relay held of others'."""


@click.command(cls=Command)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--backups", is_flag=True, help="Remove the backups in the home too.")
def erase(yes: bool, backups: bool) -> None:
    """Remove this home for good: keys, messages, contacts, settings.

    The node has to be stopped. Nobody can bring it back without a backup, and your contacts keep what you
    wrote to them.
    """
    app = current_app()
    home = app.home_dir
    if not (home / KEYS[0]).exists() and not (home / "lock").exists():
        raise Refused("not_found", f"{home} is no home of a node")
    lock = HomeLock.take(home)
    try:
        if not yes:
            _ask(home)
        removed = _remove(home, backups=backups)
    finally:
        lock.release()
    (home / "lock").unlink()
    left = sorted(path.name for path in home.iterdir())
    if not left:
        home.rmdir()
    app.emit({"home": str(home), "removed": removed, "left": left}, [])
    app.say(f"erased {home}" + (f"; not ours, or kept, and still there: {', '.join(left)}" if left else ""))


def _ask(home: Path) -> None:
    """Have the folder's name typed at a terminal; raises Refused."""
    if not sys.stdin.isatty():
        raise Refused("invalid", "say --yes: there is no terminal to ask at")
    typed = click.prompt(f"This cannot be undone. Type {home.name!r} to erase {home}", default="", err=True,
                         show_default=False)  # fmt: skip
    if typed != home.name:
        raise Refused("invalid", "that is not its name: nothing was erased")


def _remove(home: Path, *, backups: bool) -> int:
    """Remove what is ours, keys first; return how many files went."""
    count = 0
    for path in [home / name for name in KEYS] + [files.staged(home / name) for name in KEYS]:
        count += _overwritten(path)
    for path in [*made(home), *attachments(home)]:
        path.unlink()
        count += 1
    for folder in [home / name for name in ATTACHMENTS]:
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    folder = home / BACKUPS
    if backups and folder.is_dir() and not folder.is_symlink():
        count += sum(path.is_file() for path in folder.rglob("*"))
        shutil.rmtree(folder)
    files.sync_folder(home)
    return count


def made(home: Path) -> list[Path]:
    """Return the files of a home, beside its folders, that a node makes and that are there."""
    named = [home / name for name in (*KEYS, *FILES)]
    found = [*named, *map(files.staged, named)]
    for pattern in PATTERNS:
        found += sorted(home.glob(pattern))
    return [path for path in dict.fromkeys(found) if path.is_symlink() or path.is_file() or path.is_socket()]


def attachments(home: Path) -> list[Path]:
    """Return the files of its attachments: whole, still coming, or being sealed, ours or held for others."""
    there = [f for f in (home / name for name in ATTACHMENTS) if f.is_dir() and not f.is_symlink()]
    return [path for folder in there for path in folder.iterdir() if OURS.fullmatch(path.name)]


def _overwritten(path: Path) -> int:
    if not path.is_file() or path.is_symlink():
        return 0
    files.write_synced(path, bytes(path.stat().st_size))
    path.unlink()
    files.sync_folder(path.parent)
    return 1

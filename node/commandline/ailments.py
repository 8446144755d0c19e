"""What `gossamer doctor` looks for: each check says how things are and, if not well, what to do."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from node.commandline import links
from node.commandline.bridging import where
from node.commandline.findings import FAIL, OK, WARN, Finding
from node.commandline.output import size, span
from node.commandline.reach import ANYWHERE, MACHINE, reach
from node.commandline.runtime import alive, pid_of, read_only
from node.config import Endpoint, Settings, load
from node.errors import Fatal, NodeError
from node.mesh import lan
from node.store import identity, migrations
from node.store.attachments import QUOTA
from node.store.folders import OURS

LITTLE_SPACE: Final = 1024**3
LITTLE_ROOM: Final = 128 * 1024**2
"""Bytes that attachments may still take, below which it is time to say so."""
NO_SPACE: Final = 64 * 1024**2
"""Bytes free: below the first it is time to make room, below the second writes begin to fail."""


def running(home: Path) -> int | None:
    """Return the pid of the node that runs in a home, None if there is none or it has died."""
    pid = pid_of(home)
    return pid if alive(pid) else None


def of_home(home: Path) -> list[Finding]:
    """Look at a home from outside."""
    if not home.exists():
        return [Finding("home", WARN, f"there is no {home} yet", "gossamer run")]
    foreign = _foreign(home)
    if foreign:  # of the rest nothing can be told
        return foreign
    settings, config = _config(home)
    found = [*_modes(home), config, _keys(home), _space(home), _database(home), _files(home), _process(home)]
    if settings is not None:
        found += _secret(settings)
    if settings is not None and running(home) is None:
        found += _ports(settings)
    return found


def of_a_locked_node() -> list[Finding]:
    """Say the one thing that a locked node needs."""
    return [Finding("vault", WARN, "the node runs, but its vault is locked", "gossamer unlock")]


def of_a_node(status: dict[str, Any], peers: list[dict[str, Any]], addresses: Sequence[str]) -> list[Finding]:
    """Judge what a running node says of itself, its peers and its addresses."""
    up = span(status["uptime_s"])
    return [
        Finding("node", OK, f"version {status['version']}, up {up}"),
        *_device(status),
        _mesh(status, peers),
        *links.failing(peers),
        *(links.closed_in(status, peers, addresses) or _addresses(addresses)),
        *_clock(status),
    ]


def of_dialects(rows: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Say where the dialects that are on are spoken, and which of their ports the node could not have."""
    for row in rows:
        name = row["dialect"]
        if row["state"] == "failed":
            text = f"{name} does not listen: {row['why']}"
            yield Finding("dialect", FAIL, text, f"mend that, then: gossamer bridge enable {name}")
        elif row["enabled"]:
            yield Finding("dialect", OK, f"{name} is spoken at {where(row)}")


def _config(home: Path) -> tuple[Settings | None, Finding]:
    try:
        settings = load(home)
        settings.network_key()
        settings.passphrase()
        settings.certificates()
        if settings.lan:
            lan.installed()
    except NodeError as fault:
        return None, Finding(
            "settings", FAIL, str(fault), "mend config.toml; `gossamer config check` says when it is right"
        )
    return settings, Finding("settings", OK, "valid")


def _foreign(home: Path) -> list[Finding]:
    """Name what this user may not read and write: as a start by root leaves it behind."""
    whole = os.access(home, os.R_OK | os.W_OK | os.X_OK)
    paths = [home, *home.glob("*")] if whole else [home]
    names = sorted(
        path.name for path in paths if not os.access(path, os.R_OK | os.W_OK) and not path.is_symlink()
    )
    if not names:
        return []
    owner = f'sudo chown -R "$(id -un)" {shlex.quote(str(home))}   (if the home is yours)'
    return [Finding("permissions", FAIL, f"this user may not read and write: {', '.join(names)}", owner)]


def _modes(home: Path) -> Iterator[Finding]:
    """POSIX modes: nobody else may read a home."""
    if sys.platform == "win32":
        return
    open_to = [path.name for path in [home, *home.glob("*")] if _shared(path)]
    if open_to:
        yield Finding(
            "permissions", FAIL, f"other users of this machine can reach: {', '.join(sorted(open_to))}",
            f"chmod -R go= {shlex.quote(str(home))}   (if they were open for long: gossamer passphrase set)",
        )  # fmt: skip
    else:
        yield Finding("permissions", OK, "nobody else can read the home")


def _secret(settings: Settings) -> Iterator[Finding]:
    """Who can read the network secret can join the private network."""
    path = settings.network_secret
    if path is None or sys.platform == "win32":
        return
    if _shared(path):
        yield Finding(
            "network secret", FAIL, f"others of this machine can read {path}, and so join your network",
            f"chmod 600 {shlex.quote(str(path))}   (if it was so for long, make another for every node)",
        )  # fmt: skip
    else:
        yield Finding("network secret", OK, "a private network: every node needs the same file")


def _shared(path: Path) -> bool:
    found = path.lstat()
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & 0o077)


def _keys(home: Path) -> Finding:
    if not identity.exists(home):
        return Finding("identity", WARN, "there is no identity yet", "gossamer run")
    try:
        if identity.sealed(home):
            return Finding("identity", OK, "sealed by a passphrase")
    except NodeError as fault:
        return Finding(
            "identity", FAIL, str(fault), "gossamer backup restore FILE, with --home of a new home"
        )
    return Finding(
        "identity", OK, "plain: whoever copies the home is you; `gossamer passphrase set` seals it"
    )


def _space(home: Path) -> Finding:
    free = shutil.disk_usage(home).free
    if free < NO_SPACE:
        return Finding("disk", FAIL, f"only {size(free)} are free", "make room: nothing can be stored soon")
    if free < LITTLE_SPACE:
        return Finding("disk", WARN, f"{size(free)} are free", "make room")
    return Finding("disk", OK, f"{size(free)} are free")


def _database(home: Path) -> Finding:
    """Check the database of a stopped node; a running one has it open and would have said."""
    path = home / "gossamer.db"
    if running(home) is not None or not path.exists():
        return Finding("database", OK, "in use" if path.exists() else "none yet")
    try:
        with closing(sqlite3.connect(read_only(path), uri=True)) as conn:
            verdict = str(conn.execute("PRAGMA quick_check(1)").fetchone()[0])
            found = int(conn.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as fault:
        verdict = str(fault)
    if verdict == "ok":
        try:
            migrations.pending(found, migrations.STEPS)
        except Fatal as fault:
            return Finding("database", FAIL, str(fault), "gossamer version; update as you installed it")
        return Finding("database", OK, f"whole, {size(path.stat().st_size)}")
    return Finding(
        "database", FAIL, f"damaged: {verdict}", "keep a copy of the home, then: gossamer backup restore FILE"
    )


def _files(home: Path) -> Finding:
    """Look at the folder of attachments: where it cannot be one the node does not start."""
    folder = home / "attachments"
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return Finding("attachments", FAIL, f"{folder} is no folder", "move it away, then: gossamer run")
    used = sum(path.stat().st_size for path in folder.glob("*") if OURS.fullmatch(path.name))
    if used > QUOTA - LITTLE_ROOM:
        text = f"{size(used)} of the {size(QUOTA)} that they may take"
        return Finding("attachments", WARN, text, "delete messages that have some: what comes waits for room")
    return Finding("attachments", OK, size(used))


def _process(home: Path) -> Finding:
    pid = running(home)
    if pid is not None:
        return Finding("process", OK, f"a node runs (pid {pid})")
    if pid_of(home) is not None:
        return Finding("process", WARN, "the last node was killed; the next start takes over", "gossamer run")
    return Finding("process", WARN, "no node runs", "gossamer run")


def _ports(settings: Settings) -> Iterator[Finding]:
    for what, at in (("bridge", settings.bridge), ("mesh", settings.listen)):
        if at is not None and at.port and _taken(at):
            state = FAIL if at.given else WARN
            then = "set another, or stop what has it" if at.given else "the node will take the next free one"
            yield Finding(f"{what} port", state, f"{at} is taken by another program", then)


def _taken(at: Endpoint) -> bool:
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((at.host, at.port))
    except OSError:
        return family == socket.AF_INET or socket.has_ipv6
    return False


def _mesh(status: dict[str, Any], peers: list[dict[str, Any]]) -> Finding:
    match status["connectivity"]:
        case "synced" | "meshed" as state:
            links = _count(status["links"])
            return Finding("mesh", OK, f"{state}, {links} link{'' if links == 1 else 's'}")
        case "connecting":
            down = sum(peer["state"] == "down" for peer in peers)
            none = f"of {down} addresses that are dialled none answers"
            return Finding(
                "mesh", WARN, "the one address that is dialled does not answer" if down == 1 else none,
                "see `gossamer peer list`; ask one of them if their node runs, and for a fresh contact link",
            )  # fmt: skip
        case _:
            return Finding(
                "mesh", WARN, "alone: there is nobody to dial",
                "add a contact (`gossamer contact add -`) or a relay (`gossamer peer add ws://HOST:7118`)",
            )  # fmt: skip


def _count(value: object) -> object:
    return len(value) if isinstance(value, list | dict) else value


def _addresses(addresses: Sequence[str]) -> Iterator[Finding]:
    if not addresses:
        yield Finding(
            "reach",
            WARN,
            "nobody can dial this node: it does not listen",
            "gossamer run --listen '[::]:7118', or share a relay",
        )
    elif all(reach(address) != ANYWHERE for address in addresses):
        where = "machine" if all(reach(address) == MACHINE for address in addresses) else "network"
        yield Finding(
            "reach", WARN, f"only nodes on this {where} can dial this one",
            "gossamer run --relay on any reachable machine, and --peer ws://it:7118 here",
        )  # fmt: skip
    else:
        yield Finding("reach", OK, "nodes from anywhere can try to dial this one")


def _device(status: dict[str, Any]) -> Iterator[Finding]:
    if status.get("revoked"):
        yield Finding(
            "device", FAIL, "revoked: this account goes on at another device; this one sends nothing more",
            "gossamer stop, and use the other; if nobody restored a backup, see docs/operations.md, Backups",
        )  # fmt: skip


def _clock(status: dict[str, Any]) -> Iterator[Finding]:
    skew = status.get("clock_skew_s")
    if skew:
        yield Finding(
            "clock",
            WARN,
            f"this machine's clock is {span(abs(skew))} off",
            "set it: timedatectl set-ntp true",
        )

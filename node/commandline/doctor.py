"""`gossamer doctor`: what is wrong with a node, and what to do about each.

The checks look at the home from outside and, if a node runs in it, ask that node. Nothing is changed. The
bundle is for sending to somebody: no name, id, address, path of the owner's or text of anybody is in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from node import __version__
from node.backups import FOLDER as BACKUPS
from node.commandline import ailments, erase
from node.commandline.app import FAILED, App, Command, current_app
from node.commandline.asking import connected
from node.commandline.findings import FAIL, OK, WARN, Finding
from node.commandline.output import harmless
from node.config import KEYS, load, sources
from node.crypto.links import decode_contact
from node.errors import NodeError, Refused

LIBRARIES = ("pynacl", "websockets", "aiohttp", "msgspec", "msgpack", "aiosqlite", "click", "rich", "keyring",
             "cryptography", "zeroconf")  # fmt: skip
LOG_LINES = 300
TOLD = frozenset(
    {
        "version", "uptime_s", "connectivity", "links", "contacts", "rooms", "clients", "seq", "clock_skew_s",
        "held_envelopes", "db_bytes", "held", "held_quota_bytes", "held_ids", "oldest_held_ms", "came_in",
        "revoked",
    }
)  # fmt: skip
"""What `node_status` says that names nobody and nothing."""
_MARKS = {OK: "ok  ", WARN: "warn", FAIL: "FAIL"}
_REDACTED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://\S+"), "<address>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"\[?[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){3,7}\]?(?::\d+)?"), "<address>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-fA-F]{16,}\b"), "<hex>"),
    (re.compile(r"[A-Za-z0-9_-]{32,}=*"), "<long>"),
)


@click.command(cls=Command)
@click.option("--bundle", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Also write what somebody who helps you needs to know, redacted.")  # fmt: skip
def doctor(bundle: Path | None) -> int:
    """Say what is wrong and what to do."""
    app = current_app()
    home = app.home_dir
    findings = ailments.of_home(home)
    asked: dict[str, Any] = {}
    if ailments.running(home) is not None:
        findings += asyncio.run(_ask(asked))
    if bundle is not None:
        _write(bundle, _bundle(home, findings, asked))
    rows = [{"check": f.check, "state": f.state, "message": f.text, "do": f.do} for f in findings]
    app.emit({"findings": rows, "bundle": None if bundle is None else str(bundle)}, _lines(app, findings))
    if bundle is not None:
        app.say(f"wrote {bundle}: read it before you send it to anybody")
    return FAILED if any(finding.state == FAIL for finding in findings) else 0


def _lines(app: App, findings: list[Finding]) -> list[str]:
    lines = []
    for found in findings:
        lines.append(f"{_MARKS[found.state]}  {found.check}: {harmless(app.ours(found.text))}")
        if found.do:
            lines.append(f"      {harmless(app.ours(found.do))}")
    return lines


async def _ask(asked: dict[str, Any]) -> list[Finding]:
    """Ask the running node; `asked` keeps its answers."""
    try:
        async with connected(current_app(), subscribe={"events": []}) as node:
            if node.client.hello["connectivity"] == "locked":
                return ailments.of_a_locked_node()
            asked["status"] = await node.call("node_status")
            asked["peers"] = (await node.call("peer_list"))["peers"]
            asked["dialects"] = (await node.call("dialect_list"))["dialects"]
            asked["addresses"] = decode_contact((await node.call("profile_get"))["link"]).addresses
    except NodeError as fault:
        pid = ailments.running(current_app().home_dir)
        if fault.code == "not_running" and pid is not None:
            text = f"nobody listens: process {pid} hangs, or has the number of a node that was killed"
            return [Finding("bridge", FAIL, text, f"if it is a node, kill {pid}; then: gossamer run")]
        return [Finding("bridge", FAIL, f"the node runs but does not answer: {fault}", "gossamer stop")]
    found = ailments.of_a_node(asked["status"], asked["peers"], asked["addresses"])
    return [*found, *ailments.of_dialects(asked["dialects"])]


def _bundle(home: Path, findings: list[Finding], asked: dict[str, Any]) -> dict[str, Any]:
    try:
        settings, origin = load(home), sources(home)
        shown = {key: _kind(getattr(settings, key)) for key in KEYS if origin[key] != "default"}
    except Refused as fault:
        shown = {"error": _redacted(fault.message, home)}
    return {
        "gossamer": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "findings": [[f.check, f.state, _redacted(f.text, home)] for f in findings],
        "settings": shown,
        "node_status": {key: value for key, value in asked.get("status", {}).items() if key in TOLD},
        "peers": [
            {k: v for k, v in peer.items() if k not in {"peer", "address", "known_as"}}
            for peer in asked.get("peers", [])
        ],
        **_files(home),
        "log": [_redacted(line, home) for line in _log(home)],
    }


def _files(home: Path) -> dict[str, Any]:
    """Return what a node has made in its home; of what else lies there only how much it is."""
    made = [path for path in erase.made(home) if path.is_file()]
    sizes = [path.stat().st_size for path in erase.attachments(home) if path.is_file()]
    return {
        "files": {path.name: path.stat().st_size for path in made},
        "attachments": {"files": len(sizes), "bytes": sum(sizes)},
        "backups": len(list((home / BACKUPS).glob("*.backup"))),
        "others": len(_others(home)),
    }


def _others(home: Path) -> list[Path]:
    folders = {home / name for name in (*erase.ATTACHMENTS, BACKUPS)}
    known = {*erase.made(home), home / "lock", *folders}
    return [path for path in home.glob("*") if path not in known]


def _kind(value: object) -> object:
    """Return what a setting is, without saying what only its owner should: names, addresses, paths."""
    return value if isinstance(value, bool) else len(value) if isinstance(value, tuple) else "set"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _log(home: Path) -> list[str]:
    try:
        return (home / "gossamer.log").read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def _redacted(text: str, home: Path) -> str:
    """Return text without the paths, addresses, ids and other long strings that may be in it."""
    for path, word in ((str(home), "<home>"), (str(Path.home()), "~")):
        text = text.replace(path, word)
    for other in _others(home):
        if len(other.name) > 2:  # shorter ones are in any word
            text = text.replace(other.name, "<file>")
    for pattern, word in _REDACTED:
        text = pattern.sub(word, text)
    return text


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("file_exists", f"{path} is there already", field="bundle") from None
    except OSError as fault:
        raise Refused("invalid", f"{path} cannot be written: {fault.strerror}", field="bundle") from fault
    with os.fdopen(handle, "w") as file:
        json.dump(content, file, indent=1, default=str)
        file.write("\n")

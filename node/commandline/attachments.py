"""`gossamer attachment put` and `get`, and how attachments look in `send`, `history`, `chat` and `tail`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from node.commandline import transfers
from node.commandline.app import App, Command, Group
from node.commandline.asking import Node, with_node
from node.commandline.output import harmless, size
from node.commandline.resolve import Row
from node.commandline.safe_names import safe_name
from node.commandline.transfers import Step
from node.errors import Refused

PATIENCE: Final = 45.0
"""Seconds without a byte before `get` waits no longer: more than the node looks for somebody who has it."""
LOOK_SECONDS: Final = 0.5


@click.group(cls=Group)
def attachment() -> None:
    """Files that messages carry."""


@attachment.command(cls=Command)
@click.argument("ident", metavar="ID")
@click.option("--output", metavar="PATH", help="Where to; a folder, a file, or - for standard output.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@with_node
async def get(node: Node, ident: str, output: str | None, force: bool) -> None:
    """Write the attachment ID into this folder, under its own name made safe.

    A file that is there is never written over unless --force says so. One that has not come yet is fetched
    now, however large it is; it goes on by itself where nobody who has it can be reached.
    """
    facts = await _fetched(node, ident)
    length = int(facts["size"])
    if output == "-":
        with progress(node.app, "getting", length) as step:
            await transfers.get(node.app, facts, transfers.binary_stdout(), step)
        return
    path = _target(output, facts)
    with progress(node.app, "getting", length) as step, transfers.fresh(path, replace=force) as file:
        await transfers.get(node.app, facts, file, step)
    told = {key: facts[key] for key in ("id", "name", "type", "size", "hash")}
    node.app.emit({**told, "path": str(path)}, [harmless(str(path))])


async def _fetched(node: Node, ident: str) -> Row:
    """Have an attachment fetched, with a bar, and return what is told of it; raises Refused."""
    facts = await node.call("attachment_get", id=ident)
    if facts["state"] != "pending":
        return facts
    here, still = int(facts.get("received", 0)), 0.0
    with progress(node.app, "fetching", int(facts["size"])) as step:
        step(here)
        while facts["state"] == "pending":
            if still >= PATIENCE:
                text = "nobody who has it can be reached now; the node goes on trying"
                raise Refused("attachment_pending", text, retryable=True)
            await asyncio.sleep(LOOK_SECONDS)
            facts = await node.call("attachment_get", id=ident)
            came = int(facts.get("received", 0)) - here
            still = 0.0 if came > 0 else still + LOOK_SECONDS
            here += max(0, came)
            step(max(0, came))
    return facts


def _target(output: str | None, facts: Row) -> Path:
    name = safe_name(str(facts["name"]), str(facts["id"]))
    if output is None:
        return Path.cwd() / name
    path = Path(output)
    return path / name if path.is_dir() else path


@attachment.command("put", cls=Command)
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@with_node
async def put_(node: Node, path: Path) -> None:
    """Store a file and print its id, to be named in messages; a day later it is gone if none does."""
    told = await put(node, path)
    node.app.emit(told, [harmless(str(told["attachment"]))])


async def put(node: Node, path: Path) -> Row:
    """Store a file at the node, with a progress bar on a terminal; returns what `attachment_put` answers."""
    with progress(node.app, "storing", transfers.check(path)) as step:
        return await transfers.put(node.app, path, step)


@contextlib.contextmanager
def progress(app: App, what: str, length: int) -> Iterator[Step]:
    """Show a bar on standard error while something long goes on; none when piped or quiet."""
    if app.quiet or app.json or not sys.stderr.isatty():
        yield lambda _count: None
        return
    with click.progressbar(length=max(1, length), label=what, file=sys.stderr) as bar:
        yield bar.update


def file_lines(event: Row) -> list[str]:
    """Return the line of a message's attachment, indented as its further lines are; none if it has none."""
    told = event.get("attachment")
    if not isinstance(told, dict):
        return []
    name, kind = harmless(str(told.get("name", "?"))), harmless(str(told.get("type", "?")))
    length, state = told.get("size"), harmless(str(told.get("state", "?")))
    how = size(length) if isinstance(length, int) else "?"
    return [f"{' ' * 7}[{name}, {how}, {kind}, {state}]  {harmless(str(told.get('id', '?')))}"]


def news(event: Row, program: str = "gossamer") -> list[str]:
    """Return the line of what became of an attachment; progress says nothing to a person."""
    name, ident = harmless(str(event.get("name", "?"))), harmless(str(event.get("id", "?")))
    match event.get("state"):
        case "ready":
            return [f"* {name} is here:  {program} attachment get {ident}"]
        case "failed":
            return [f"* {name} will not come: {harmless(str(event.get('why', 'it failed')))}"]
        case _:
            return []

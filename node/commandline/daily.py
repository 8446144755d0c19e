"""`gossamer status`, `stop`, `call`, `batch`, `completion`, `version`: small commands around the node."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Mapping
from typing import Any, get_type_hints

import click

from node import __version__
from node.commandline.app import Command, current_app
from node.commandline.asking import Node, with_node
from node.commandline.output import as_json, fields, size, span
from node.commandline.runtime import alive, pid_of
from node.config import suggest
from node.errors import Refused

_TEXT = (str, str | None)
_SECRETS = frozenset(
    {
        ("hello", "token"),
        ("backup_create", "passphrase"),
        ("vault_unlock", "passphrase"),
        ("vault_passphrase", "passphrase"),
        ("vault_passphrase", "current"),
    }
)
"""Keys that are never an argument: other users of the machine see those."""
STOP_WAIT_S = 10.0  # a clean stop flushes its queues for at most 5 s


@click.command(cls=Command)
@with_node
async def status(node: Node) -> None:
    """Say how the node is: mesh, contacts, rooms, storage."""
    found = await node.call("node_status")
    user_id = str(node.client.hello["user_id"])
    links = _amount(found["links"])
    shown = [
        ("you", f"{node.username}  {user_id}"),
        *([("device", "revoked: this account goes on at another one")] if found.get("revoked") else []),
        ("home", node.app.home_dir),
        ("version", found.get("version")),
        ("up", span(found["uptime_s"])),
        ("mesh", f"{found['connectivity']}, {links} link{'' if links == 1 else 's'}"),
        ("contacts", _amount(found["contacts"])),
        ("rooms", _amount(found["rooms"])),
        ("frontends", _amount(found["clients"])),
        ("held", f"{_amount(found['held_envelopes'])} sealed envelopes{_oldest(found)}"),
        *_shelves(found),
        ("database", size(found["db_bytes"])),
    ]
    if found["connectivity"] == "locked":  # of the rest a locked node knows nothing
        shown = [*shown[1:3], ("vault", "locked: gossamer unlock"), ("database", size(found["db_bytes"]))]
    node.app.emit({**found, "username": node.username, "user_id": user_id}, fields(shown))


def _oldest(found: Mapping[str, Any]) -> str:
    oldest = found.get("oldest_held_ms")
    if oldest is None:
        return ""
    return f", the oldest of {time.strftime('%Y-%m-%d', time.gmtime(oldest / 1000))}"


def _shelves(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return what lies on each shelf, and what may: of a node that says so."""
    held = found.get("held")
    if not held:
        return []
    told = {name: f"{one['envelopes']}, {size(one['bytes'])}" for name, one in held.items()}
    used = sum(one["bytes"] for name, one in held.items() if name != "own")
    return [
        ("for you", told["own"]),
        ("for others", f"{size(used)} of {size(found['held_quota_bytes'])}"),
        ("known nodes", told["known"]),
        ("other nodes", told["other"]),
    ]


def _amount(value: object) -> object:
    return len(value) if isinstance(value, list | dict) else value


@click.command(cls=Command)
def stop() -> None:
    """Stop the node cleanly, and wait until it has."""
    app = current_app()
    running = pid_of(app.home_dir)
    _ask_to_stop()
    deadline = time.monotonic() + STOP_WAIT_S
    while pid_of(app.home_dir) == running is not None or alive(running):
        if time.monotonic() > deadline:
            raise Refused("timeout", f"the node (pid {running}) has not stopped within {STOP_WAIT_S:.0f} s")
        time.sleep(0.05)
    app.emit({"stopped": True, "pid": running}, [])
    app.say("stopped")


@with_node
async def _ask_to_stop(node: Node) -> None:
    try:
        await node.call("node_stop")
    except Refused as fault:
        if fault.code != "connection_lost":  # it stopped before its answer was read
            raise


@click.command(cls=Command)
@click.argument("command")
@click.argument("pairs", metavar="[KEY=VALUE ... | -]", nargs=-1)
@with_node
async def call(node: Node, command: str, pairs: tuple[str, ...]) -> None:
    """Send any bridge command and print its ok as JSON.

    KEY=VALUE is read as the command wants it; KEY:=JSON is JSON as it stands; `-` reads one JSON object
    from standard input, so that no secret need be an argument.
    """
    asked = read_pairs(command, pairs)
    # This connection has said its hello: the node's answer to it is what `call hello` is after.
    try:
        answer = node.client.hello if command == "hello" and not asked else await node.call(command, **asked)
    except Refused as fault:
        raise _nearest(command) if fault.code == "unknown_event" else fault from fault
    click.echo(as_json(answer))


def _nearest(command: str) -> Refused:
    """Return the refusal of what is no command, with the likely one."""
    from node.chat import commands

    near = suggest(command, tuple(commands.BY_NAME))
    hint = near if "mean" in near else "; all of them:  gossamer schema --format markdown"
    return Refused("unknown_event", f"there is no command {command!r}{hint}")


def read_pairs(command: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return the keys of a bridge command from `KEY=VALUE` words; raises Refused."""
    keys: dict[str, Any] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if found and (command, key.rstrip(":")) in _SECRETS:
            raise Refused("invalid", f"`{key.rstrip(':')}` is a secret: give it on standard input, with `-`")
        if pair == "-":
            keys |= _object(sys.stdin.read(), "standard input")
        elif not found or not key.strip(":"):
            raise Refused("invalid", f"{pair!r} is not KEY=VALUE")
        elif key.endswith(":"):
            keys[key[:-1]] = _json(value, key[:-1])
        else:
            keys[key] = _typed(value, _wants_text(command, key))
    return keys


def _object(text: str, where: str) -> dict[str, Any]:
    found = _json(text, where)
    if not isinstance(found, dict):
        raise Refused("invalid", f"{where} does not hold a JSON object")
    return found


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise Refused("invalid", f"{where} is not JSON: {exc}") from exc


def _typed(value: str, is_text: bool) -> Any:
    if is_text:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _wants_text(command: str, key: str) -> bool:
    """Say whether `key` of `command` is text, so that `message=123` stays a message."""
    from node.chat import commands

    struct = commands.BY_NAME.get(command)
    return struct is not None and get_type_hints(struct).get(key) in _TEXT


@click.command(cls=Command)
@click.option("--halt", is_flag=True, help="Do none after the first that is refused.")
@with_node
async def batch(node: Node, halt: bool) -> None:
    """Do the commands that stand on standard input, one JSON object a line, in one commit.

    Prints the answer to each as JSON, one a line; exits with 1 if one was refused.
    """
    lines = enumerate(sys.stdin.read().splitlines(), 1)
    asked = [_object(line, f"line {number}") for number, line in lines if line.strip()]
    found = await node.call("batch", commands=asked, halt_on_error=halt)
    node.app.emit(found, [as_json(answer) for answer in found["results"]])
    refused = [answer for answer in found["results"] if answer["event"] == "error"]
    if refused:
        raise Refused("batch_refused", f"{len(refused)} of {len(asked)} were refused")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script: `source <(gossamer completion bash)`."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    assert found is not None
    try:
        source = found(root, {}, "gossamer", "_GOSSAMER_COMPLETE").source()
    except RuntimeError as exc:
        raise Refused("not_supported", str(exc)) from exc
    click.echo(source)


@click.command(cls=Command)
def version() -> None:
    """Print the version."""
    found = {"version": __version__, "python": platform.python_version(), "platform": platform.platform()}
    current_app().emit(found, [f"gossamer {__version__}"])

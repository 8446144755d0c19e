"""`gossamer network`: what makes a private network. Needs no running node."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from node.commandline.app import Group, current_app
from node.config import SECRET_BYTES
from node.errors import Refused


@click.group(cls=Group)
def network() -> None:
    """Private networks: only nodes that have the same secret link to each other."""


@network.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def secret(file: Path) -> None:
    """Write a new secret into FILE, for you alone to read; every node of the network gets a copy."""
    app = current_app()
    _write(file, secrets.token_bytes(SECRET_BYTES).hex().encode() + b"\n")
    app.emit({"path": str(file)}, [])
    app.say(f"wrote {file}. Copy it to each node, by a way that nobody else reads; then, at each:")
    app.say(f"  {app.program} run --network-secret FILE")


def _write(path: Path, content: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("file_exists", f"{path} is there already", field="file") from None
    except OSError as fault:
        raise Refused("invalid", f"{path} cannot be written: {fault.strerror}", field="file") from fault
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

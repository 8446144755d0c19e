"""`gossamer schema`: the contract of the native bridge for programs; needs no running node."""

from __future__ import annotations

from pathlib import Path

import click

from node.bridge.schema import FILES, FORMATS, render
from node.commandline.app import Command, current_app


@click.command(cls=Command)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True, help="As what."
)
@click.option("--write", "root", metavar="DIR", help="Write all of them into the repository at DIR instead.")
def schema(form: str, root: str | None) -> None:
    """Print every command, answer and event, as JSON Schema, AsyncAPI, TypeScript or a page."""
    app = current_app()
    if root is None:
        click.echo(render(form), nl=False)
        return
    for name, place in FILES.items():
        (Path(root) / place).write_text(render(name), encoding="utf-8")
    app.emit({"written": list(FILES.values())}, FILES.values())

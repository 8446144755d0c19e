"""`gossamer config`: the settings in force and where they come from, changed in `config.toml`, checked.

What is written keeps the comments and the order of the file, is refused if the node would refuse it, and
replaces the file whole or not at all. No setting is a secret: those are in files that settings only name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import tomlkit
import tomlkit.exceptions

from node.commandline.app import App, Group, current_app
from node.commandline.output import fields, heading, table
from node.config import CONFIG_FILE, ENV_PREFIX, KEYS, Endpoint, Settings, load, parse, sources, suggest
from node.errors import Refused
from node.store import files

_LISTS = frozenset({"peers", "bridge_hosts", "announce"})
_SWITCHES = frozenset({"relay", "open", "lan"})
_NUMBERS = ("fetch_mib",)
LIVE = frozenset({"peers", "log_level"})
"""What a running node takes up at SIGHUP; the rest counts from its next start."""


@click.group(cls=Group)
def config() -> None:
    """The settings of your node: `config.toml` in its home."""


@config.command("get")
@click.argument("key", required=False)
def get_setting(key: str | None) -> None:
    """Print the settings in force, or that of KEY, and where they come from."""
    app = current_app()
    if key is not None:
        _known(key)
    found, origin = load(app.home_dir), sources(app.home_dir)
    rows = [{"key": k, "value": _plain(found, k), "source": origin[k]} for k in KEYS]
    if key is None:
        cells = [(row["key"], _shown(row["value"]), row["source"]) for row in rows]
        app.emit({"settings": rows}, table(("key", "value", "from"), cells, heading))
        return
    row = rows[KEYS.index(key)]
    app.emit(row, [line.removeprefix("value  ") for line in fields([("value", _shown(row["value"]))])])


@config.command("set")
@click.argument("key")
@click.argument("values", metavar="VALUE...", nargs=-1, required=True)
def set_setting(key: str, values: tuple[str, ...]) -> None:
    """Write KEY into config.toml; several VALUEs are a list."""
    _known(key)
    if len(values) > 1 and key not in _LISTS:
        raise Refused("invalid", f"{key} has one value", field=key)
    app = current_app()
    document = _document(app.home_dir)
    document[key] = _typed(key, values)
    _write(app, document, key)


@config.command("unset")
@click.argument("key")
def unset_setting(key: str) -> None:
    """Take KEY out of config.toml: its default is in force again."""
    _known(key)
    app = current_app()
    document = _document(app.home_dir)
    if key not in document:
        raise Refused("not_found", f"config.toml does not have {key}", field=key)
    del document[key]
    _write(app, document, key)


@config.command("check")
def check_settings() -> None:
    """Read all settings, and the files that they name, as the node would."""
    app = current_app()
    found = load(app.home_dir)
    found.network_key()
    found.passphrase()
    found.certificates()
    path = app.home_dir / CONFIG_FILE
    there = path.exists()
    app.emit({"path": str(path), "exists": there, "valid": True}, [])
    app.say(f"{path} is valid" if there else f"there is no {path}: the defaults are in force")


def _known(key: str) -> None:
    if key not in KEYS:
        raise Refused("invalid", f"there is no setting {key!r}{suggest(key, KEYS)}", field="key")


def _plain(settings: Settings, key: str) -> Any:
    """Return a setting as JSON has it: endpoints and paths as text, `off` for no listener."""
    value = getattr(settings, key)
    if key == "hold_mib":
        return settings.quota >> 20
    if key == "listen" and value is None:
        return "off"
    if isinstance(value, Endpoint | Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _typed(key: str, values: tuple[str, ...]) -> Any:
    """Return what is written: a list, true or false, a number or text; what it is not is told on reading."""
    if key in _LISTS:
        return list(values)
    text = values[0]
    return _switch(text) if key in _SWITCHES else int(text) if key in _NUMBERS and text.isdecimal() else text


def _switch(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def _document(home: Path) -> tomlkit.TOMLDocument:
    path = home / CONFIG_FILE
    if not path.exists():
        return tomlkit.document()
    raw = path.read_bytes()
    parse(raw, path)  # first, so that what is wrong already is told as it is everywhere else
    return tomlkit.parse(raw)


def _write(app: App, document: tomlkit.TOMLDocument, key: str) -> None:
    home = app.home_dir
    path = home / CONFIG_FILE
    text = tomlkit.dumps(document).encode()
    _try(home, path, text)
    with files.written(path):
        if not home.exists():
            files.prepare_home(home)
        files.write_synced(files.staged(path), text)
        files.staged(path).replace(path)
        files.sync_folder(home)
    value, origin = _plain(load(home), key), sources(home)[key]
    app.emit({"key": key, "value": value, "source": origin}, [])
    if origin == "the environment":
        app.say(f"written, but {ENV_PREFIX}{key.upper()} is set and beats it")
    else:
        app.say("a running node takes it up at SIGHUP" if key in LIVE else "it counts from the next start")


def _try(home: Path, path: Path, text: bytes) -> Settings:
    """Read what is about to be written as the node will; raises Refused, with the file as it was."""
    return load(home, {**parse(text, path)}, {})

"""Commands about the dialects of other frontends: which is on, for whose pages, and where (docs/bridge.md 5).

The engine decides and keeps; the bridge has looked before whether it can carry out what is asked, and listens
once it is told of the change.
"""

from __future__ import annotations

from typing import Any

from node.bridge import enabling
from node.bridge.dialect_routes import DIALECTS
from node.bridge.ports import DialectRecord, Found, Listening
from node.chat import commands as c
from node.chat.turn import Turn
from node.engine import node_commands
from node.engine.desk import Answer, Desk
from node.errors import Refused
from node.tables import Table


def dialect_list(desk: Desk, _turn: Turn, _session: int, _command: c.DialectList) -> Answer:
    """List every dialect but the native one, on or off."""
    return {"dialects": [_row(desk, name) for name in DIALECTS]}


def dialect_enable(desk: Desk, turn: Turn, _session: int, command: c.DialectEnable) -> Answer:
    """Turn a dialect on, or change how it is on; refused where the bridge found that it cannot be."""
    record = enabling.enabled(command, desk.state.dialects.values())
    fault = _found(desk).fault
    if fault is not None:
        raise fault
    desk.state.dialects[record.name] = record
    turn.put(Table.DIALECTS, record.name.encode(), record)
    desk.after.append(node_commands.credentials(desk))
    return _row(desk, record.name)


def dialect_disable(desk: Desk, turn: Turn, _session: int, command: c.DialectDisable) -> Answer:
    """Turn a dialect off, or take one origin from it."""
    left = enabling.narrowed(command, desk.state.dialects.values())
    key = command.dialect.encode()
    if left is None:
        del desk.state.dialects[command.dialect]
        turn.delete(Table.DIALECTS, key)
    else:
        desk.state.dialects[command.dialect] = left
        turn.put(Table.DIALECTS, key, left)
    desk.after.append(node_commands.credentials(desk))
    return _row(desk, command.dialect)


def login_link_create(desk: Desk, _turn: Turn, _session: int, command: c.LoginLinkCreate) -> Answer:
    """Say why the bridge, whose command this is, made no link: it hands on what it cannot answer."""
    if command.dialect is None:
        raise Refused("unknown_event", "`login_link_create` cannot be asked here")
    if command.dialect not in desk.state.dialects:
        raise not_enabled(command.dialect)
    text = "this dialect has no port of its own to log in at: enable it again with one"
    raise Refused("invalid", text, field="dialect")


def not_enabled(name: str) -> Refused:
    """Return how a frontend is told that a dialect is off."""
    return Refused("not_enabled", f"dialect {name} is off: gossamer bridge enable {name}", field="dialect")


def _found(desk: Desk) -> Found:
    return desk.doing.found or Found()


def _row(desk: Desk, name: str) -> dict[str, Any]:
    record = desk.state.dialects.get(name)
    found = _found(desk)
    seen = Listening("on" if record is None or record.port is None else "listening")
    if record is not None:
        seen = found.listening.get(name, seen)
    shown = DialectRecord(name) if record is None else record
    return {
        "dialect": name,
        "enabled": record is not None,
        "origins": list(shown.origins),
        "port": shown.port,
        "rooms": shown.rooms,
        "serve": shown.serve,
        "tls": shown.tls,
        "state": "off" if record is None else seen.state,
        "why": seen.why,
        "address": seen.address,
        "fingerprint": seen.fingerprint,
        "cron_secret": found.cron_secret if name == "003" and record is not None else None,
    }

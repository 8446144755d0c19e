"""What a dialect is after a command about it: pure, for the engine that decides and the bridge that checks.

What is given again changes that alone, and an origin is added to those there are (docs/bridge.md section 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from node.bridge.ports import DialectRecord
from node.chat import commands
from node.errors import Refused

MAX_ORIGINS = 100
"""Of one dialect; each is compared with every request, and an owner has a handful."""
OWN_PORT = 7120
"""Where a build is served or TLS spoken if the owner names no port: this and the dialect's number."""
_ORIGIN: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#@*\\]*)/?")
_WEB: Final = ("http://", "https://")
_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")


def origin_of(text: str) -> str:
    """Return an origin as browsers write it; `file://` and other schemes of applications have no host.

    Raises:
        Refused: `invalid` where it is none.
    """
    found = _ORIGIN.fullmatch(text)
    if found is None or (found[1].lower() in _WEB and not found[2]):
        raise Refused("invalid", "an origin is SCHEME://HOST[:PORT], exactly, or file://", field="origin")
    return (found[1] + found[2]).lower()


def enabled(asked: commands.DialectEnable, known: Iterable[DialectRecord]) -> DialectRecord:
    """Return the dialect as it is after `asked`; `known` are those that are on.

    Raises:
        Refused: `invalid`, `too_many`, or `port_taken` by another dialect.
    """
    others = {record.name: record for record in known}
    record = others.pop(asked.dialect, DialectRecord(asked.dialect))
    record = replace(
        record,
        origins=_added(record.origins, asked.origin),
        port=record.port if asked.port is None else asked.port,
        rooms=record.rooms if asked.rooms is None else asked.rooms,
        serve=record.serve if asked.serve is None else _folder(asked.serve),
        tls=record.tls if asked.tls is None else asked.tls,
    )
    if record.port is None and (record.serve is not None or record.tls):
        record = replace(record, port=OWN_PORT + int(record.name))
    for other in others.values():
        if record.port is not None and other.port == record.port:
            raise Refused("port_taken", f"dialect {other.name} listens on port {other.port}", field="port")
    return record


def narrowed(asked: commands.DialectDisable, known: Iterable[DialectRecord]) -> DialectRecord | None:
    """Return the dialect without the origin that `asked` names, or None where all of it goes.

    Raises:
        Refused: `not_enabled` where it is off, `origin_not_found`.
    """
    record = next((record for record in known if record.name == asked.dialect), None)
    if record is None:
        raise Refused("not_enabled", f"dialect {asked.dialect} is off already", field="dialect")
    if asked.origin is None:
        return None
    origin = origin_of(asked.origin)
    if origin not in record.origins:
        raise Refused("origin_not_found", f"{origin} may not speak this dialect anyway", field="origin")
    return replace(record, origins=tuple(known for known in record.origins if known != origin))


def _added(origins: tuple[str, ...], text: str | None) -> tuple[str, ...]:
    if text is None:
        return origins
    origin = origin_of(text)
    if origin not in origins and len(origins) >= MAX_ORIGINS:
        raise Refused("too_many", f"{MAX_ORIGINS} origins may speak this dialect already", field="origin")
    return tuple(sorted({*origins, origin}))


def _folder(text: str) -> str:
    if not (text.startswith("/") or _DRIVE.match(text)) or "\0" in text:
        raise Refused("invalid", "a folder is named by its whole path here", field="serve")
    return text

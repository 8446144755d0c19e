"""How a file is named and shown: its name and type are a sender's words, never a path (docs/bridge.md)."""

from __future__ import annotations

import base64
from typing import Any, Final

from node import ids
from node.crypto import attachment as sealed
from node.errors import PeerFault, Refused
from node.wire import manifest as manifests
from node.wire.manifest import Manifest

ANY_TYPE: Final = "application/octet-stream"


def check_name(name: str) -> None:
    """Refuse a name that others could not read; raises Refused."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= manifests.MAX_FILE_NAME_BYTES:
        text = f"a file's name has 1 to {manifests.MAX_FILE_NAME_BYTES} bytes of UTF-8"
        raise Refused("invalid", text, field="name")


def media_type(given: str | None) -> str:
    """Return the type as it goes into the manifest: a plain word or nothing in particular."""
    kind = (given or "").split(";")[0].strip().lower()
    plain = kind.isascii() and kind.isprintable() and kind.count("/") == 1 and " " not in kind
    return kind if plain and 2 < len(kind) <= manifests.MAX_TYPE_BYTES else ANY_TYPE


def readable(raw: bytes) -> Manifest | None:
    """Return the manifest that a message carries, None if it is none."""
    try:
        return manifests.parse(raw)
    except PeerFault:
        return None


def shown(raw: bytes) -> dict[str, Any]:
    """Return an attachment as its message's event has it, and the store; `manifest` goes to no frontend."""
    kept = {"manifest": base64.b64encode(raw).decode()}
    manifest = readable(raw)
    if manifest is None:
        return kept
    ident, named = ids.text(sealed.id_of(manifest)), manifest.name
    told = {"id": ident, "name": named, "type": manifest.type, "size": manifest.size, "state": "pending"}
    return {**told, **kept}

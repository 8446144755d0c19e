"""Which dialects there are besides the native one, by the names that the owner enables them by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.bridge.dialects import groups_001
from node.bridge.dialects.adapter import Adapter, Setting, Textual
from node.bridge.dialects.rooms_004 import NAMES, Rooms

ADAPTERS: Final[dict[str, Callable[[Setting], Adapter]]] = {
    "001": groups_001.Groups,
    "004": Rooms,
}
"""What makes an adapter."""
TEXTUAL: Final[dict[str, Callable[[], Textual]]] = {
    "001": groups_001.Spelling,
}
"""How those whose frames are text over a websocket are spelled; the others are Socket.IO."""
VOCABULARIES: Final[dict[str, frozenset[str]]] = {
    "004": NAMES,
}
"""The events that frontends of the Socket.IO dialects send; no name is in two."""

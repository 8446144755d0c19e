"""Which dialects there are besides the native one, by the names that the owner enables them by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.bridge.dialects import friends_002, groups_001, rooms_004
from node.bridge.dialects.adapter import Adapter, Setting, Textual
from node.bridge.dialects.live_003.frames import LiveText
from node.bridge.dialects.live_003.live import Live

ADAPTERS: Final[dict[str, Callable[[Setting], Adapter]]] = {
    "001": groups_001.Groups,
    "002": friends_002.Friends,
    "003": Live,
    "004": rooms_004.Rooms,
}
"""What makes an adapter."""
TEXTUAL: Final[dict[str, Callable[[], Textual]]] = {"001": groups_001.Spelling, "003": LiveText}
"""How those whose frames are text over a websocket are spelled; the others are Socket.IO."""
VOCABULARIES: Final[dict[str, frozenset[str]]] = {"002": friends_002.NAMES, "004": rooms_004.NAMES}
"""The events that frontends of the Socket.IO dialects send; no name is in two."""

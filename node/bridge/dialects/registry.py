"""Which dialects there are besides the native one, by the names that the owner enables them by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.bridge.dialects.adapter import Adapter, Setting, Textual

ADAPTERS: Final[dict[str, Callable[[Setting], Adapter]]] = {}
"""What makes an adapter."""
TEXTUAL: Final[dict[str, Callable[[], Textual]]] = {}
"""How those whose frames are text over a websocket are spelled; the others are Socket.IO."""
VOCABULARIES: Final[dict[str, frozenset[str]]] = {}
"""The events that frontends of the Socket.IO dialects send; no name is in two."""

"""The rooms protocol, over Socket.IO: five events in, seven out (docs/dialects/rooms_004.md)."""

from node.bridge.dialects.rooms_004.adapter import Rooms
from node.bridge.dialects.rooms_004.payloads import NAMES

__all__ = ["NAMES", "Rooms"]

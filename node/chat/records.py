"""Node records of others: where their nodes can be reached (docs/protocol.md)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from node.chat.turn import Turn
from node.clock import Instant
from node.crypto import noderec
from node.errors import PeerFault

Source: TypeAlias = Literal["contact", "room"]
"""Where a node record came from: first contact, or a room's welcome."""


def take_record(turn: Turn, record: bytes, source: Source) -> bool:
    """Learn the addresses of somebody's node; a record that does not hold or is over is ignored."""
    try:
        parsed = noderec.parse_record(record, Instant(turn.now.mono, turn.mesh_ms))
    except PeerFault:
        return False
    for address in parsed.addresses:
        turn.addresses.append((address, source, parsed.node_key))
    return True

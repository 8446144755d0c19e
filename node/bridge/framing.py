"""Websocket frames as a server sends them (RFC 6455, section 5.2): whole, unmasked, uncompressed.

What waits for a frontend goes to its socket in one piece: a call of the system costs as much as encoding a
message does.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

TEXT, BINARY = 0x81, 0x82
"""The first byte of a message that is one frame: FIN and the opcode."""
_SHORT, _MEDIUM, _LONG = Struct("!BB"), Struct("!BBH"), Struct("!BBQ")


def framed(messages: Iterable[bytes], *, binary: bool) -> bytes:
    """Return the bytes that carry `messages`, each in a frame of its own."""
    first, parts = BINARY if binary else TEXT, list[bytes]()
    for message in messages:
        size = len(message)
        if size < 126:
            head = _SHORT.pack(first, size)
        elif size < 1 << 16:
            head = _MEDIUM.pack(first, 126, size)
        else:
            head = _LONG.pack(first, 127, size)
        parts += (head, message)
    return b"".join(parts)

"""The JSON object that a frontend sends along with an invite or an announcement, for the other's frontend.

Nodes do not read it; they only make sure that it is one which a frontend can be shown.
"""

from __future__ import annotations

from typing import Any

import msgspec

from node.errors import Refused
from node.wire.payload import MAX_OPTIONS_BYTES

MAX_PARTS = 256
"""Objects and arrays in it: no frontend nests deeper, and a parser must not fall."""


def read(text: str) -> dict[str, Any] | None:
    """Return the object; None if it is none to show to our frontends."""
    if text.count("[") + text.count("{") > MAX_PARTS:
        return None
    try:
        value = msgspec.json.decode(text, type=dict[str, Any])
        msgspec.msgpack.encode(value)
    except (msgspec.MsgspecError, OverflowError, UnicodeError):
        return None
    return value


def write(value: dict[str, Any] | None, *, field: str) -> str:
    """Return the JSON that goes along; raises Refused `invalid` for what others would not take."""
    try:
        text = msgspec.json.encode(value or {}).decode()
    except (UnicodeError, msgspec.MsgspecError):
        text = ""
    if len(text.encode()) > MAX_OPTIONS_BYTES or read(text) is None:
        raise Refused("invalid", f"{field} are an object of at most 4 KiB of JSON", field=field)
    return text

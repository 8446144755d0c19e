"""Frames of the groups protocol: a JSON object with `type` and `data` (docs/dialects/groups_001.md)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from node.bridge.dialects.adapter import Call, Frame
from node.bridge.dialects.base import FrameRefused

MAX_DEPTH: Final = 32
"""Nesting of a frame, as in every dialect: far above any call."""
MAX_TYPE_CHARS: Final = 64
"""Of a `type` that is said back in an ERROR."""


class _Said(msgspec.Struct):
    type: Any = None
    data: Any = None


class _Told(msgspec.Struct):
    type: str
    data: Any


_decoder: Final = msgspec.json.Decoder(_Said)
_encoder: Final = msgspec.json.Encoder()


class Spelling:
    """One JSON object a text frame."""

    def decode(self, frame: str | bytes) -> Call:
        """Read one frame; raises FrameRefused."""
        if isinstance(frame, bytes):
            raise _bad("frames of this connection are text")
        try:
            said = _decoder.decode(frame)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            raise _bad("not one JSON object") from exc
        if not isinstance(said.type, str):
            raise _bad("a frame is an object with the keys type and data")
        if frame.count("[") + frame.count("{") > MAX_DEPTH and _deep(said.data, MAX_DEPTH - 1):
            raise _bad(f"nested deeper than {MAX_DEPTH}")
        return Call(said.type, (said.data,))

    def encode(self, frame: Frame) -> str:
        """Write one frame."""
        return _encoder.encode(_Told(frame.name, frame.args[0])).decode()


def _deep(value: Any, left: int) -> bool:
    """Say whether a value nests deeper than `left`."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (left == 0 or any(_deep(one, left - 1) for one in inner))


def _bad(message: str) -> FrameRefused:
    return FrameRefused("bad_frame", message, malformed=True)

"""Frames as the bridge writes them, beside those of another implementation."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from node.bridge.framing import framed

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)


@pytest.mark.parametrize("binary", [False, True])
def test_messages_of_every_length_are_framed_as_others_frame_them(binary: bool) -> None:
    messages = [b"x" * size for size in SIZES]
    opcode = Opcode.BINARY if binary else Opcode.TEXT
    theirs = [Frame(opcode, message).serialize(mask=False) for message in messages]
    assert framed(messages, binary=binary) == b"".join(theirs)


def test_nothing_is_framed_as_nothing() -> None:
    assert framed([], binary=False) == b""

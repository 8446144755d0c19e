"""What every dialect is: a pure translation of frames to commands, of events to frames (docs/bridge.md 1)."""

from __future__ import annotations

from typing import Any, Protocol

from node.chat.commands import Command
from node.chat.events import Event
from node.errors import Refused


class FrameRefused(Refused):
    """A frame is no command; `malformed` ones count towards closing the socket, `req` is echoed.

    `command` is the name of the one that was meant, where it can be told.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        req: str | int | None = None,
        malformed: bool = False,
        command: str | None = None,
    ) -> None:
        super().__init__(code, message, field=field)
        self.req = req
        self.malformed = malformed
        self.command = command


class Dialect(Protocol):
    """One spelling of the vocabulary; `binary` says which kind of websocket frame it writes."""

    binary: bool

    def decode(self, frame: str | bytes) -> Command:
        """Read one frame; raises FrameRefused."""
        ...

    def encode(self, event: Event) -> bytes:
        """Write one event as the payload of one frame."""
        ...

    def encode_stored(self, body: bytes) -> bytes:
        """Write an event that the log keeps as native JSON."""
        ...

    def stored_value(self, body: bytes) -> Any:
        """Return a stored event as a value to be put inside another event."""
        ...

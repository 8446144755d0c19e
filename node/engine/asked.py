"""Commands that wait for the store to bring the message that they are about.

They are done when it has come, as if they had been given then: by that time their nonce may have been used,
and the message may be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.bridge.ports import CommandReceived
from node.chat.changes import Message
from node.chat.changing import Changing
from node.chat.turn import Turn
from node.errors import Refused

MAX_ASKED = 1_024
"""Commands that wait at a time: as many as the bridge takes in before it reads no more."""


class Asked:
    """Who waits for which messages."""

    def __init__(self, changing: Changing, later: Callable[[], None]) -> None:
        self.changing, self._later = changing, later
        self._waiting: dict[tuple[bytes, bytes], list[CommandReceived]] = {}
        self._count = 0

    def look(
        self, turn: Turn, received: CommandReceived, room_id: bytes, mid: bytes
    ) -> Message | bool | None:
        """Return a message that was read for this command, None if there is none; False: it is read first.

        Raises:
            Refused: If too many commands wait (`too_many`), or in a batch (`not_in_batch`).
        """
        try:
            return self.changing.message(room_id, mid)
        except KeyError:
            pass
        self._later()
        if self._count >= MAX_ASKED:
            raise Refused("too_many", "too many commands wait for the store", retryable=True)
        self._count += 1
        self._waiting.setdefault((room_id, mid), []).append(received)
        self.changing.want(turn, room_id, (mid,))
        return False

    def waiting(self) -> list[CommandReceived]:
        """Return every command that waits."""
        return [one for those in self._waiting.values() for one in those]

    def take(self, room_id: bytes, found: Sequence[tuple[bytes, bytes | None]]) -> list[CommandReceived]:
        """Return the commands that waited for these messages, in the order they came."""
        ready = [one for mid, _ in found for one in self._waiting.pop((room_id, mid), [])]
        self._count -= len(ready)
        return ready

"""When a room's keys are worn and who renews them (docs/crypto.md 3.7).

By age, by messages, by bytes: the next who has something to say sends it under the old epoch and makes a new
one a moment later, each at a moment of its own within five seconds, so that mostly one does. By command at
once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.chat import returning
from node.chat.epochs import Epoch
from node.chat.turn import Turn
from node.clock import DAY_MS
from node.crypto.epoch import REASON_RENEWAL, REASON_ROSTER
from node.errors import Refused

if TYPE_CHECKING:
    from node.chat.room import Room

EPOCH_DAYS = 7
"""An epoch older than this is renewed by the next who sends: healing has a week's grain at worst."""
EPOCH_MESSAGES = 10_000
EPOCH_BYTES = 1 << 30
"""Messages and sealed bytes of all senders, as seen here, after which an epoch is renewed."""
SPREAD_MS = 5_000
COMMAND_EVERY = 60.0
"""Seconds between two renewals of a room by command."""


def worn(held: Epoch, mesh_ms: int) -> bool:
    """Say whether an epoch is to be renewed by the next who sends."""
    age = mesh_ms - held.born_ms
    return age >= EPOCH_DAYS * DAY_MS or held.messages >= EPOCH_MESSAGES or held.volume >= EPOCH_BYTES


def spread(epoch16: bytes, device_id: bytes) -> float:
    """Return the seconds that a device waits: even over the devices, for an epoch's id is a hash."""
    return (int.from_bytes(epoch16[:8], "big") ^ int.from_bytes(device_id[:8], "big")) % SPREAD_MS / 1000


class Renewal:
    """The epoch we are about to make in one room; not stored, for the next who sends begins anew."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._worn: tuple[bytes, float] | None = None
        self._commanded = float("-inf")

    @property
    def deadline(self) -> float | None:
        """When it is to be made."""
        return None if self._worn is None else self._worn[1]

    def sent(self, turn: Turn, held: Epoch) -> None:
        """Something is sent under an epoch: if it is worn, it is renewed in a moment."""
        planned = self._worn is not None and self._worn[0] == held.epoch16
        if not planned and worn(held, turn.mesh_ms):
            wait = spread(held.epoch16, self.room.me.device_id)
            self._worn = (held.epoch16, turn.now.mono + wait)

    def due(self, turn: Turn) -> None:
        """Make a new epoch if it is time, unless somebody else has made one meanwhile."""
        room = self.room
        if self._worn is None or self._worn[1] > turn.now.mono:
            return
        epoch16, self._worn = self._worn[0], None
        held = room.epochs.sending(room.roster_hash(), turn.mesh_ms)
        if room.open and held is not None and held.epoch16 == epoch16 and worn(held, turn.mesh_ms):
            room.rekey(turn, REASON_RENEWAL)

    def command(self, turn: Turn) -> Epoch:
        """Renew the keys because the owner says so.

        Raises:
            Refused: If we are not in the room, or did so a moment ago.
        """
        self.room.check_in()
        wait = self._commanded + COMMAND_EVERY - turn.now.mono
        if wait > 0:
            text = "the keys of this room were renewed a moment ago"
            raise Refused("rate_limited", text, field="room", retryable=True, retry_after=round(wait) + 1)
        self._commanded = turn.now.mono
        if returning.away(self.room):
            return returning.come_back(turn, self.room)
        current = any(
            h.announce.roster_hash == self.room.roster_hash() for h in self.room.epochs.held.values()
        )
        return self.room.rekey(turn, REASON_RENEWAL if current else REASON_ROSTER)[1]

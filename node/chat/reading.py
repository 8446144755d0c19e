"""What was read of a conversation, and what of that its authors are still to be told (docs/crypto.md 3.5).

A mark is the newest message of one author that was shown here. A receipt names it and means everything of
that author's up to it, so there is one mark an author, whatever came, and a receipt that was missed is made
good by the next. Marks stand in the row that a message writes anyway.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from node.chat.people import CONTACT, People
from node.chat.timeline import Item
from node.chat.turn import Turn
from node.clock import Instant
from node.tables import Table

MAX_MEMBERS = 32
"""Rooms up to this size have receipts; a larger one would answer each message by as many."""
FOREVER = -1
"""As the end of a mute: none."""


@dataclass(frozen=True)
class Mark:
    """How far we got with what one author said in one room.

    `mid`: the newest message shown. `owed`: its author is to be told that it is here. `read`: up to which
    message they are to be told that we have read it.
    """

    mid: bytes
    owed: bool = True
    read: bytes | None = None

    @property
    def due(self) -> bool:
        """Whether there is anything to tell."""
        return self.owed or self.read is not None


class Marks:
    """The marks of one room, by author: of contacts, and of others only if the owner wants it.

    Whoever learns when something reaches this device learns when it is on ("Careless Whisper", 2024).
    """

    def __init__(self, room_id: bytes, people: People) -> None:
        self.room_id, self._people = room_id, people
        self.of: dict[bytes, Mark] = {}

    def shown(self, turn: Turn, item: Item, *, members: int = 2) -> None:
        """A message of somebody else was put before the frontends."""
        if members <= MAX_MEMBERS and may_know(self._people, item.account):
            old = self.of.get(item.account)
            self._set(turn, item.account, Mark(item.mid, read=None if old is None else old.read))

    def came_late(self, turn: Turn, item: Item) -> None:
        """A message came where a placeholder stood: what was held back for it may be told now."""
        if may_know(self._people, item.account):
            old = self.of.get(item.account) or Mark(item.mid)
            self._set(turn, item.account, replace(old, owed=True))

    def _set(self, turn: Turn, account: bytes, mark: Mark) -> None:
        self.of[account] = mark
        turn.owed.add((self.room_id, account))

    def read_all(self, turn: Turn) -> None:
        """Everything shown so far was read."""
        self.read_up_to(turn, b"", b"", frozenset())

    def read_up_to(self, turn: Turn, account: bytes, mid: bytes, after: Container[bytes]) -> None:
        """Everything up to a message of `account` was read, nothing of those in `after` beyond it.

        Of somebody else who has also written after it we cannot say how far: the next reading tells it.
        """
        if not self._people.receipting.read:
            return
        for author, mark in list(self.of.items()):
            if author not in after:
                self._set(turn, author, Mark(mark.mid, owed=False, read=mark.mid))
            elif author == account:
                self._set(turn, author, replace(mark, read=mid))

    def told(self, account: bytes) -> None:
        """A receipt about somebody's messages went out; the mark stays until they know that all was read."""
        mark = self.of[account]
        if mark.read == mark.mid or not self._people.receipting.read:
            self.drop(account)
        else:
            self.of[account] = Mark(mark.mid, owed=False)

    def drop(self, account: bytes) -> None:
        """Tell somebody nothing more of what they have said here so far."""
        self.of.pop(account, None)


def may_know(people: People, account: bytes) -> bool:
    """Say whether an author is told what became of their messages here at all."""
    person = people.get(account)
    if person is None or person.blocked or person.blocked_by:
        return False
    return person.state == CONTACT or people.receipting.strangers


@dataclass(frozen=True)
class Reading:
    """Where the owner is in one conversation: read up to event `seq`; `muted` until then, UNIX seconds."""

    room_id: bytes
    seq: int = 0
    muted: int | None = None


class Readings:
    """The readings by room; a row only where something was read or muted."""

    def __init__(self) -> None:
        self._of: dict[bytes, Reading] = {}
        self._ends: dict[bytes, float] = {}

    def restore(self, reading: Reading, now: Instant) -> None:
        """Take a stored reading back."""
        self._of[reading.room_id] = reading
        self._ends.pop(reading.room_id, None)
        if reading.muted is not None and reading.muted != FOREVER:
            self._ends[reading.room_id] = now.mono + (reading.muted * 1000 - now.wall_ms) / 1000

    def of(self, room_id: bytes) -> Reading:
        """Return where the owner is in a conversation."""
        return self._of.get(room_id) or Reading(room_id)

    def save(self, turn: Turn, reading: Reading) -> None:
        """Store where the owner is now."""
        self.restore(reading, turn.now)
        turn.put(Table.LEDGER, b"i" + reading.room_id, reading)

    @property
    def deadline(self) -> float | None:
        """When the next mute is over."""
        return min(self._ends.values(), default=None)

    def over(self, now: float) -> list[Reading]:
        """Return those whose mute is over."""
        return [self._of[room_id] for room_id, end in self._ends.items() if end <= now]

    def is_muted(self, room_id: bytes, now: Instant) -> bool:
        """Say whether the owner wants to hear nothing of it now: an end that passed may not be told yet."""
        until = self.of(room_id).muted
        return until is not None and (until == FOREVER or until * 1000 > now.wall_ms)

    def mute_of(self, room_id: bytes) -> dict[str, bool | int | None]:
        """Return `muted` and `muted_until` as frontends see them."""
        end = self.of(room_id).muted
        return {"muted": end is not None, "muted_until": None if end == FOREVER else end}

"""Messages that others of a room refer to and nobody brings: which are missing (docs/crypto.md 3.8).

A reference to one that a chain's hole explains says nothing new; of more references than indexes are missing,
those beyond name messages of their own and become holes. References to earlier epochs prove nothing where we
joined later, for they may be to what was before: that is asked for a few times and not shown.
"""

from __future__ import annotations

from collections.abc import Callable

from node.chat.asking import START_AFTER
from node.chat.holes import Hole, Holes, of_names
from node.chat.room import Room
from node.chat.timeline import Item
from node.chat.turn import Turn
from node.clock import Instant
from node.tables import Table
from node.wire.payload import MAX_NAMES

MAX_EXPLAINED = 256
"""References to messages that are probably the missing ones of a chain; of more, the newest is not heeded."""
DOUBT_AFTER = 600.0
"""Seconds after which what a chain's hole seems to explain is asked for too, some at a time: anybody can make
a hole to hide what others lack."""
LOOK_AFTER = 1.0
"""Seconds after a hole has become smaller in which more of it may come."""


class References:
    """References of one room to what is not here; `show(turn, hole)` shows what they prove missing.

    `ask(turn, hole)` asks for what they may merely seem to. At `look` they are counted again, at `doubt` what
    is explained is asked for all the same.
    """

    def __init__(
        self, room: Room, holes: Holes, show: Callable[[Turn, Hole], None], ask: Callable[[Turn, Hole], None]
    ) -> None:
        self.room, self.holes, self._show, self._ask = room, holes, show, ask
        self.look: float | None = None
        self.doubt: float | None = None
        self._explained: dict[bytes, bool] = {}
        """By message id, those that holes explain; True: it is not from before our time."""
        self._namers: dict[bytes, bytes] = {}

    def restore(self, names: dict[bytes, bool], now: Instant) -> None:
        """Take stored references back; the store says meanwhile which of these messages are here."""
        self._explained, self.look = names, now.mono + START_AFTER

    def note(self, turn: Turn, item: Item) -> None:
        """A message is shown without what it refers to; tell of that, unless a hole explains it.

        References of somebody who is gone since prove nothing.
        """
        if not item.gap or not self.room.is_member(item.account):
            return
        line = self.room.timeline
        joined = any(held.row.first for held in self.room.epochs.held.values())
        sure = item.refs[: len(item.refs) - item.earlier] if joined else item.refs
        for ref in item.refs:
            if not line.seen(ref) and self.holes.named(ref) is None:
                self._explained.setdefault(ref, ref in sure)
                self._namers[ref] = item.account[:16]
        self._recount(turn)

    def filled(self, now: float) -> None:
        """A hole has become smaller: what it explained is counted again in a moment."""
        if self._explained:
            self.look = now + LOOK_AFTER

    def due(self, turn: Turn) -> None:
        """Count again, and doubt, when it is time."""
        if self.look is not None and self.look <= turn.now.mono:
            self._recount(turn)
        if self.doubt is not None and self.doubt <= turn.now.mono:
            self._ask_anyhow(turn)

    def _recount(self, turn: Turn) -> None:
        """Of the messages that others name, no more are explained than indexes are missing."""
        line, before = self.room.timeline, self._explained
        self.look = None
        self._explained = {
            mid: sure for mid, sure in before.items() if not line.seen(mid) and self.holes.named(mid) is None
        }
        free = sum(hole.missing for hole in self.holes.all.values() if not hole.names)
        beyond = list(self._explained)[free:][:MAX_NAMES]
        for hole in self._holes_of(turn, beyond):
            (self._ask if hole.quiet else self._show)(turn, hole)
        for mid in [*beyond, *list(self._explained)[MAX_EXPLAINED:]]:
            self._explained.pop(mid, None)
        self._namers = {mid: namer for mid, namer in self._namers.items() if mid in self._explained}
        later = turn.now.mono + DOUBT_AFTER
        self.doubt = (self.doubt or later) if self._explained else None
        if self._explained:
            turn.put(Table.PENDING, b"x" + self.room.room_id, self._explained)
        elif before:
            turn.delete(Table.PENDING, b"x" + self.room.room_id)

    def _holes_of(self, turn: Turn, mids: list[bytes]) -> list[Hole]:
        """Return a hole for each who named some of these, quiet ones apart."""
        groups: dict[tuple[bytes, bool], tuple[bytes, ...]] = {}
        for mid in mids:
            by = self._namers.pop(mid, bytes(16)), not self._explained[mid]
            groups[by] = (*groups.get(by, ()), mid)
        room_id, since_ms = self.room.room_id, turn.now.wall_ms
        return [of_names(room_id, mids, by, since_ms, quiet=quiet) for (by, quiet), mids in groups.items()]

    def _ask_anyhow(self, turn: Turn) -> None:
        names = tuple(self._explained)[:MAX_NAMES]
        namer = self._namers.get(names[0], bytes(16))
        self._ask(turn, of_names(self.room.room_id, names, namer, turn.now.wall_ms, quiet=True))
        self.doubt = None
        self._recount(turn)

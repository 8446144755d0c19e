"""Which channels are read from the store, and when: newly known ones, and those with messages left unopened.

Every reading is noted in a row before it is ordered, and the row goes with the commit of what the reading
brought: a crash in between repeats it (docs/architecture.md, "Persist comes first").
"""

from __future__ import annotations

from collections.abc import Iterable

from node.chat.behind import Key, Reading
from node.chat.channels import Route
from node.chat.turn import Turn
from node.clock import DAY_MS, Instant, day_of
from node.crypto.channel import ChannelKind
from node.engine.effects import ChannelRead, ReadChannel
from node.engine.state import State
from node.tables import Table

IN_PARTS = 500
"""Members from which on an announce may not fit one envelope: its parts are put together in memory alone."""
PARTS_DAYS = 2


class Replay:
    """The readings of channels that are under way or due."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.doors: list[Key] = []
        """Join channels that a start has to read."""

    def starting(self, now: Instant) -> list[ReadChannel]:
        """Return what is to be read after a start: open joins, large rooms, and what was noted before."""
        behind = self.state.behind
        for wish in self.state.joins.open.values():
            behind.note((int(ChannelKind.JOIN), wish.room_id, wish.invite_id), wish.since_ms, now.mono)
        for part in self.state.dms.large.expected.values():
            behind.note((int(ChannelKind.DM), part.account, part.session_id), part.since_ms, now.mono)
        for key in self.doors:
            behind.note(key, now.wall_ms - DAY_MS, now.mono)
        for room in self.state.rooms.rooms():
            if len(room.log.roster.members) >= IN_PARTS:
                for tip in room.epochs.tips():
                    key = (int(ChannelKind.ROOM), room.room_id, tip.epoch16)
                    behind.note(key, now.wall_ms - PARTS_DAYS * DAY_MS, now.mono)
        return self.orders(behind.all(now.mono))

    def orders(self, readings: list[Reading]) -> list[ReadChannel]:
        """Return the effects that carry readings out."""
        channels = self.state.channels
        return [ReadChannel(r.key, channels.keys(r.key), r.since_ms, r.final) for r in readings]

    def left(self, turn: Turn, since_ms: int) -> None:
        """Note the channels in which the turn has left a message of `since_ms` unopened."""
        for key in turn.behind:
            if key not in self.state.behind:
                turn.sync_wanted = True
            self._note(turn, key, since_ms)
        turn.behind.clear()

    def _note(self, turn: Turn, key: Key, since_ms: int) -> None:
        if self.state.behind.note(key, since_ms, turn.now.mono):
            turn.put(Table.PENDING, _row(key), [*key, since_ms])

    def watch(self, turn: Turn) -> list[ReadChannel]:
        """Watch the turn's new channels, no more those it lets go; returns what to read of the new ones."""
        orders = []
        for kind, owner, part in turn.unwatch:
            self.state.channels.remove(kind, owner, part)
        for route, created_day in _latest(turn.watch):
            keys = self.state.channels.add(route, created_day, day_of(turn.mesh_ms))
            if keys:
                key = (int(route.channel.kind), route.owner, route.part)
                self._note(turn, key, 0)
                self.state.behind.begin(key)
                orders.append(ReadChannel(key, tuple(keys)))
        return orders

    def done(self, turn: Turn, read: ChannelRead) -> None:
        """A page was handled: after the last one the note goes, unless something was left again."""
        if read.done and self.state.behind.done(read.channel):
            turn.delete(Table.PENDING, _row(read.channel))


def _latest(watch: Iterable[tuple[Route, int]]) -> Iterable[tuple[Route, int]]:
    """Return a turn's new channels; of two secrets for one place the later counts."""
    found: dict[Key, tuple[Route, int]] = {}
    for route, created_day in watch:
        name = (int(route.channel.kind), route.owner, route.part)
        if name not in found or found[name][0].channel.secret != route.channel.secret:
            found[name] = route, created_day
    return found.values()


def _row(key: Key) -> bytes:
    kind, owner, part = key
    return b"b" + bytes([kind]) + owner + part

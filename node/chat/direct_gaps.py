"""What is missing in a conversation of two: messages that others refer to and that nobody brings.

    nack = [[mid, ...]]          in the direct session

Each is waited for as a held-back message is; then a placeholder stands for it in the history, and the other
one is asked for it at growing intervals until it has come or 35 days are over (docs/crypto.md 3.5, Healing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from node import ids
from node.chat import events
from node.chat.asking import ASK_AGAIN, ASK_LATER, MAX_WAIT, START_AFTER
from node.chat.dms import Dms
from node.chat.holes import NAMED
from node.chat.messages import placeholder_event
from node.chat.timeline import Item, Timeline
from node.chat.turn import Placed, Turn
from node.clock import DAY_MS, HORIZON_DAYS, Instant, earliest
from node.tables import Table
from node.wire.payload import MAX_NAMES, Payload, Type

MAX_GAPS = 64
"""Placeholders of a conversation that are still asked for; beyond them only `gap` tells what is missing."""


@dataclass(frozen=True)
class Gap:
    """One placeholder and the message ids it stands for; `seq` is its place in the history."""

    room_id: bytes
    placeholder: bytes
    seq: int
    names: tuple[bytes, ...]
    since_ms: int
    tries: int = 0
    due_ms: int = 0

    @property
    def row(self) -> bytes:
        """The key of its row."""
        return b"g" + self.room_id + self.placeholder


class Gaps:
    """The placeholders of one conversation with `peer`."""

    def __init__(self, room_id: bytes, peer: bytes, dms: Dms, timeline: Timeline) -> None:
        self.room_id, self.peer = room_id, peer
        self._dms, self._timeline = dms, timeline
        self.all: dict[bytes, Gap] = {}
        self._asks: dict[bytes, float] = {}

    @property
    def deadline(self) -> float | None:
        """When somebody is next asked."""
        return earliest(*self._asks.values())

    def restore(self, gap: Gap, now: Instant) -> None:
        """Take a stored placeholder back after a start."""
        self.all[gap.placeholder] = gap
        wait = min(MAX_WAIT, (gap.due_ms - now.wall_ms) / 1000)
        self._asks[gap.placeholder] = now.mono + max(START_AFTER, wait)

    def named(self, mid: bytes) -> Gap | None:
        """Return the placeholder that stands for a message."""
        return next((gap for gap in self.all.values() if mid in gap.names), None)

    def name(self, turn: Turn, item: Item) -> None:
        """A message is shown without all that it refers to: a placeholder goes before it."""
        line = self._timeline
        names = tuple(ref for ref in item.refs if not line.seen(ref) and self.named(ref) is None)
        if not names or len(self.all) >= MAX_GAPS:
            return
        gap = Gap(self.room_id, turn.new_id(), turn.seq + 1, names[:MAX_NAMES], turn.now.wall_ms)
        turn.log(self._shown(gap))
        self._redraw(turn, gap)
        self._wait(turn, gap, 0.0)

    def _shown(self, gap: Gap) -> events.UserMessage:
        place = (self.room_id, gap.placeholder, gap.since_ms)
        return placeholder_event(*place, why=NAMED, missing=len(gap.names))

    def _redraw(self, turn: Turn, gap: Gap) -> None:
        event = msgspec.structs.replace(self._shown(gap), seq=gap.seq) if gap.names else None
        turn.placed.append(Placed(self.room_id, gap.placeholder, gap.seq, event, edit=True))

    def _wait(self, turn: Turn, gap: Gap, seconds: float) -> None:
        self._asks[gap.placeholder] = turn.now.mono + seconds
        gap = replace(gap, due_ms=turn.now.wall_ms + round(seconds * 1000))
        self.all[gap.placeholder] = gap
        turn.put(Table.PENDING, gap.row, gap)

    def _forget(self, turn: Turn, gap: Gap) -> None:
        self.all.pop(gap.placeholder, None)
        self._asks.pop(gap.placeholder, None)
        turn.delete(Table.PENDING, gap.row)

    def ask(self, turn: Turn) -> None:
        """Ask for what it is time for."""
        for placeholder, moment in list(self._asks.items()):
            if moment > turn.now.mono:
                continue
            gap = self.all[placeholder]
            if turn.now.wall_ms >= gap.since_ms + HORIZON_DAYS * DAY_MS:
                self._forget(turn, gap)
            elif self._dms.sending(self.peer) is None or self._dms.kept_from(self.peer):
                self._wait(turn, gap, ASK_LATER)
            else:
                wait = min(MAX_WAIT, ASK_AGAIN * 2.0 ** min(gap.tries, 20))
                self._wait(turn, replace(gap, tries=gap.tries + 1), wait)
                body = [list(gap.names)]
                nack = Payload(turn.new_id(), turn.mesh_ms, 0, Type.NACK, body)
                self._dms.send(turn, self.peer, nack)

    def healed(self, turn: Turn, gap: Gap, mid: bytes, plain: events.UserMessage | None) -> None:
        """What a placeholder stood for goes in its place; without `plain` there is nothing to show."""
        gap = replace(gap, names=tuple(name for name in gap.names if name != mid))
        event = events.MessageHealed(
            room=ids.text(self.room_id), placeholder=ids.text(gap.placeholder), missing=len(gap.names)
        )
        if plain is not None:
            of_both = set(event.__struct_fields__) & set(plain.__struct_fields__) - {"seq", "missing"}
            event = msgspec.structs.replace(event, **{name: getattr(plain, name) for name in of_both})
        turn.log(event, about=None if plain is None else (self.room_id, mid))
        if plain is not None:
            kept = msgspec.structs.replace(plain, seq=turn.seq)
            turn.placed.append(Placed(self.room_id, mid, gap.seq, kept))
        self._redraw(turn, gap)
        if gap.names:
            self._wait(turn, gap, ASK_AGAIN)
        else:
            self._forget(turn, gap)

"""When a room's holes are asked for, and of whom (docs/crypto.md 3.8).

    nack = [epoch16, dev16, from, to]  or  [[mid, ...]]

Members spread their first question, and who hears another's leaves it to them once: mostly a few ask. Then
each asks at growing intervals until its author has answered or 35 days are over.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

from node.chat.asking import ASK_AGAIN, ASK_LATER, MAX_WAIT, START_AFTER
from node.chat.holes import Hole, Holes
from node.chat.membership import Member
from node.chat.resending import SPAN
from node.chat.room import Room
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS, Instant
from node.wire.payload import Type

MAX_NACKS = 4
"""Runs of one hole asked for at a time, in all of SPAN indexes."""
ASKS_AT_ONCE = 8
BETWEEN = 1.0
"""Holes asked for at once, and seconds until the next of them."""
JITTER, JITTER_EACH = 2.0, 0.06
"""Seconds over which members spread their first question, and more for each of them: mostly a few ask."""
QUIET_TRIES = 4
"""Questions for what may be from before our time; who is to have it finds the first, whenever they come."""


class Nacks:
    """Asks for the holes of one room; `moments` says when, by a hole's key."""

    def __init__(self, room: Room, holes: Holes) -> None:
        self.room, self.holes = room, holes
        self.moments: dict[bytes, float] = {}

    def restore(self, hole: Hole, now: Instant) -> None:
        """Go on with a hole that was stored, as far as its wait is over."""
        wait = min(MAX_WAIT, (hole.due_ms - now.wall_ms) / 1000)
        self.moments[hole.key] = now.mono + max(START_AFTER, wait)

    def soon(self, turn: Turn, hole: Hole) -> None:
        """Keep a hole, and ask for it within a moment of our own."""
        spread = JITTER + JITTER_EACH * len(self.room.log.roster.members)
        part = int.from_bytes(turn.entropy(2), "big") / 65_536
        self.holes.save(turn, self._wait(turn, hole, part * spread))

    def anew(self, turn: Turn, hole: Hole) -> Hole:
        """Somebody answers for a hole, which still lacks more: return it to be asked for as at first."""
        return self._wait(turn, replace(hole, tries=0), ASK_AGAIN)

    def drop(self, hole: Hole) -> None:
        """Ask for a hole no more."""
        self.moments.pop(hole.key, None)

    def _wait(self, turn: Turn, hole: Hole, seconds: float) -> Hole:
        self.moments[hole.key] = turn.now.mono + seconds
        return replace(hole, due_ms=turn.now.wall_ms + round(seconds * 1000))

    def due(self, turn: Turn) -> None:
        """Ask for what it is time for, some at a time."""
        now = turn.now.mono
        due = [key for key, moment in self.moments.items() if moment <= now]
        for key in due[ASKS_AT_ONCE:]:
            self.moments[key] = now + BETWEEN
        for key in due[:ASKS_AT_ONCE]:
            hole = self.holes.all.get(key)
            over = turn.now.wall_ms - HORIZON_DAYS * DAY_MS
            del self.moments[key]
            if hole is None:
                continue
            vain = hole.quiet and hole.tries >= QUIET_TRIES
            if vain or hole.since_ms < over or not (hole.names or hole.epoch16 in self.room.epochs.held):
                self.holes.forget(turn, hole)
            elif self._ask(turn, hole):
                self._asked(turn, replace(hole, heard=False))
            else:
                self.holes.save(turn, self._wait(turn, hole, ASK_LATER))

    def _asked(self, turn: Turn, hole: Hole) -> None:
        wait = min(MAX_WAIT, ASK_AGAIN * 2.0 ** min(hole.tries, 20))
        self.holes.save(turn, self._wait(turn, replace(hole, tries=hole.tries + 1), wait))

    def _ask(self, turn: Turn, hole: Hole) -> bool:
        """Ask for a hole; False if there is nobody to ask."""
        room = self.room
        if not room.open or room.people.kept_from(room.log.roster.members) is not None:
            return False
        if hole.names:
            room.whisper(turn, Type.NACK, [list(hole.names)])
            return True
        if room.log.roster.by_device(hole.device_id) is None:
            return False
        left = SPAN
        for first, end in islice(hole.runs(), MAX_NACKS):
            last = min(end, first + left - 1)
            left -= last - first + 1
            room.whisper(turn, Type.NACK, [hole.epoch16, hole.device_id, first, last])
            if not left:
                break
        return True

    def heard(self, turn: Turn, asker: Member, body: list[Any]) -> None:
        """Somebody else asks for what we are about to ask for: leave it to them, once."""
        if len(body) == 1:
            found = [hole for mid in body[0] if (hole := self.holes.named(mid))]
        else:
            epoch16, device_id, first, last = body
            held = self.room.epochs.held.get(epoch16)
            if held is None or asker.device_id not in held.devices:
                return
            found = [h for h in self.holes.of(epoch16, device_id) if h.lacks_any(first, last)]
        for hole in found:
            soon = self.moments.get(hole.key, MAX_WAIT + turn.now.mono) <= turn.now.mono + ASK_AGAIN / 2
            if soon and not hole.heard:
                self._asked(turn, replace(hole, heard=True))

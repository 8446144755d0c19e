"""What waits for the engine: frontends before the mesh, each frontend and each link in a lane of its own.

A link that brings a catch-up has a quarter of a megabyte waiting, 40 ms of work: what another brings that was
said just now does not wait behind that, nor what is typed behind a bot's flood. What one link, or one
frontend, brings stays in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from node.bridge.ports import CommandReceived, EventsWritten, ReadAnswered, SessionEnded, SessionStarted
from node.chat.commands import UserMessage, name_of
from node.engine.commands import SPEAKING
from node.engine.effects import Input
from node.mesh.ports import LinkBytes, LinkClosed, LinkDrained, LinkOpened

FRONTENDS_IN_TURN = 4
"""Inputs of frontends, if as many wait, before one of the mesh: who types waits for no catch-up.

A frontend that floods must not keep from us what links have written: nothing of the flood would leave before
its end.
"""
FLOOD_STEP, FLOOD_SECONDS = 4, 0.02
"""Commands that others hear of, in so many seconds, 200 in one, where no link takes more: what does not fit
in a queue is announced and fetched, which costs both ends more and comes late. Not fewer, for a peer that
hardly reads is no reason to keep a frontend waiting for long."""
SAID_IN_TURN = 16
"""Messages of frontends done in one turn: a 16th of what a turn costs is little, and more gains nothing."""
_OF_FRONTENDS = (CommandReceived, SessionStarted, SessionEnded, EventsWritten, ReadAnswered)
_OF_LINKS = (LinkBytes, LinkDrained, LinkOpened, LinkClosed)
_SPEAKING = SPEAKING | {"batch"}
_NO_LINK = 0
"""The lane of everything else; links are numbered from 1."""


def in_turns(batch: Iterable[Input]) -> Iterator[Input | tuple[CommandReceived, ...]]:
    """Yield inputs by turns: messages that frontends send one after the other together, all else alone."""
    said: list[CommandReceived] = []
    for event in batch:
        message = isinstance(event, CommandReceived) and isinstance(event.command, UserMessage)
        if said and (not message or len(said) == SAID_IN_TURN):
            yield tuple(said)
            said = []
        if isinstance(event, CommandReceived) and message:
            said.append(event)
        else:
            yield event
    if said:
        yield tuple(said)


class Lanes:
    """A queue for each of those that have something waiting; empty ones are not kept."""

    def __init__(self, lane_of: Callable[[Any], int]) -> None:
        self._lane_of = lane_of
        self._lanes: dict[int, deque[Input]] = {}
        self._first = deque[int]()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, event: Input) -> None:
        """Put an input at the end of its lane."""
        number = self._lane_of(event)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = deque()
        lane.append(event)
        self._size += 1

    def finish(self, number: int) -> None:
        """Empty this lane before the others, that of who ends: who comes in its place begins after it."""
        if number in self._lanes and number not in self._first:
            self._first.append(number)

    def popleft(self) -> Input:
        """Take the first input of the lane whose turn it is, which then is the last of the lanes."""
        return self._take(self._first[0] if self._first else next(iter(self._lanes)))

    def pop_unless(self, held: Callable[[Input], bool]) -> Input | None:
        """Do as `popleft` with the first lane whose first input is not held up; None if there is none."""
        if self._first:
            return None if held(self._lanes[self._first[0]][0]) else self._take(self._first[0])
        number = next((number for number, lane in self._lanes.items() if not held(lane[0])), None)
        return None if number is None else self._take(number)

    def _take(self, number: int) -> Input:
        lane = self._lanes.pop(number)
        event = lane.popleft()
        if lane:
            self._lanes[number] = lane
        elif self._first and self._first[0] == number:
            self._first.popleft()
        self._size -= 1
        return event

    def all(self, held: Callable[[Input], bool]) -> bool:
        """Say whether the first input of every lane is held up."""
        lanes = [self._lanes[self._first[0]]] if self._first else self._lanes.values()
        return all(held(lane[0]) for lane in lanes)

    def keep(self, kinds: tuple[type[Any], ...]) -> None:
        """Drop all inputs but those of these kinds."""
        kept = [event for lane in self._lanes.values() for event in lane if isinstance(event, kinds)]
        self._lanes, self._size = {}, 0
        for event in kept:
            self.append(event)


def _link_of(event: Any) -> int:
    return event.link if isinstance(event, _OF_LINKS) else _NO_LINK


def _session_of(event: Any) -> int:
    number: int = event.received.session if isinstance(event, ReadAnswered) else event.session
    return number


def _speaks(event: Any) -> bool:
    """Say whether links may get something by it."""
    return isinstance(event, CommandReceived) and name_of(event.command) in _SPEAKING


class Inbox:
    """All that waits for the engine, the oldest of whose turn it is first."""

    def __init__(self) -> None:
        self.frontends = Lanes(_session_of)
        self.others = Lanes(_link_of)
        self._in_turn = 0  # inputs of frontends since the last of the mesh
        self._step = FLOOD_STEP
        self._held_until = float("-inf")

    def __len__(self) -> int:
        return len(self.frontends) + len(self.others)

    def append(self, event: Input) -> None:
        """Put an input behind those of its kind."""
        (self.frontends if isinstance(event, _OF_FRONTENDS) else self.others).append(event)
        if isinstance(event, SessionEnded):
            self.frontends.finish(event.session)

    def take(self, congested: Callable[[], bool], *, now: float) -> Input | None:
        """Take the next; None if nothing waits that may be taken. `congested`: no link takes more at once."""
        if self.frontends and (self._in_turn < FRONTENDS_IN_TURN or not self.others):
            event = self._of_frontends(congested, now)
            if event is not None:
                self._in_turn += 1
                return event
        self._in_turn = 0
        return self.others.popleft() if self.others else None

    def _of_frontends(self, congested: Callable[[], bool], now: float) -> Input | None:
        """Take an input of a frontend; while no link takes more, few of those that fill links."""
        if not congested():
            return self.frontends.popleft()
        if now < self._held_until:
            return self.frontends.pop_unless(_speaks)
        event = self.frontends.popleft()
        self._step -= _speaks(event)
        if not self._step:
            self._step, self._held_until = FLOOD_STEP, now + FLOOD_SECONDS
        return event

    def due(self, congested: Callable[[], bool], *, now: float) -> float | None:
        """Return when `take` gives something if nothing more comes; None if nothing waits."""
        if self.others:
            return now
        if not self.frontends:
            return None
        held = now < self._held_until and congested() and self.frontends.all(_speaks)
        return self._held_until if held else now

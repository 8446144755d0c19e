"""A frontend that is cut off 200 times in 10,000 events misses nothing and sees nothing twice."""

from __future__ import annotations

import random
from typing import Any

import pytest

from node.bridge.ports import CommandReceived, Resume
from node.chat import commands as c, events
from node.sim import SimNode, SimSession, Simulation

EVENTS = 10_000
DROPS = 200


class Line(list[Any]):
    """What reaches a frontend until its socket breaks, after so many logged events; nothing comes later."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def append(self, event: Any) -> None:
        if self.left:
            super().append(event)
            self.left -= events.name_of(event) in events.LOGGED

    def __iadd__(self, more: Any) -> Line:  # type: ignore[misc]
        for event in more:
            self.append(event)
        return self


class Frontend:
    """Comes back where it stopped whenever it is cut off, by `resume` or as a consumer that acks."""

    def __init__(self, node: SimNode, rng: random.Random, consumer: str | None) -> None:
        self.node, self.rng, self.consumer = node, rng, consumer
        self.had: list[int] = []
        self.position: Resume | None = None
        self.drops = 0
        self.session = self.attach()

    def attach(self) -> SimSession:
        """Attach; the line breaks some time later, perhaps within the replay."""
        line = Line(self.rng.randint(1, 80))
        made = SimSession

        def session(number: int) -> SimSession:
            fresh = made(number)
            fresh.seen = line
            return fresh

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("node.sim.SimSession", session)
            at = None if self.consumer else self.position
            self.session = self.node.attach(plain=False, resume=at, consumer=self.consumer)
        if self.position is None:
            (hello,) = self.session.of(events.Hello)
            self.position = Resume(hello.log_epoch, hello.seq)
        return self.session

    def look(self) -> None:
        """Handle what has come, and come back if the line broke."""
        assert self.position is not None
        line = self.session.seen
        assert isinstance(line, Line)
        fresh = [event.seq for event in line if events.name_of(event) in events.LOGGED]
        line[:] = []
        self.had += fresh
        if fresh:
            self.position = Resume(self.position.epoch, fresh[-1])
            if self.consumer is not None:
                self.node.feed(CommandReceived(self.session.number, c.Ack(seq=fresh[-1])))
                line[:] = []
        if not line.left:
            self.drops += 1
            self.node.detach(self.session)
            self.attach()
            self.look()


@pytest.mark.parametrize("consumer", [None, "bot"])
def test_a_frontend_dropped_200_times_has_every_one_of_10000_events_once(consumer: str | None) -> None:
    rng = random.Random(28)
    world = Simulation("drops")
    ann = world.add("ann")
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    frontend = Frontend(ann, rng, consumer)
    first = frontend.position.seq if frontend.position is not None else 0
    said = 0
    while said < EVENTS:
        some = [
            {"event": "user_message", "room": room, "message": str(said + n)}
            for n in range(min(rng.randint(1, c.MAX_BATCH), EVENTS - said))
        ]
        ann.call(c.Batch(commands=some))
        said += len(some)
        frontend.look()
        if rng.random() < 0.02:
            ann.crash()
            ann.start()
            frontend.attach()
    frontend.look()
    assert frontend.had == list(range(first + 1, first + EVENTS + 1))
    assert frontend.drops >= DROPS

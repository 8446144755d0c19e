"""What one input costs a node in hundreds of rooms with a thousand contacts, beside one with a single room.

Whole nodes in the simulator; what is measured is the engine's step and the deadline that its shell asks for
after it, in the processor's time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from bench.crypto import Beside
from node.chat import commands as c
from node.chat.people import CONTACT
from node.sim import SimNode, Simulation

ROOMS, CONTACTS = 200, 1_000
MESSAGES = 100
IN_ROOM, PASSED_ON, DEADLINE = "message", "passed on", "deadline"


def measure(rooms: int = ROOMS, contacts: int = CONTACTS, messages: int = MESSAGES) -> Iterator[Beside]:
    """Measure a busy node and one with a single room."""
    busy, quiet = _times(rooms, contacts, messages), _times(1, 1, messages)
    for what, name in (
        (IN_ROOM, f"take a message in, among {rooms} rooms"),
        (PASSED_ON, "pass a stranger's envelope on"),
        (DEADLINE, "look at every deadline"),
    ):
        yield Beside(name, busy[what], quiet[what], 1)


def _times(rooms: int, contacts: int, messages: int) -> dict[str, float]:
    world = Simulation("many")
    ann = world.add("ann")
    bob, cat = world.add("bob", peers=["ann"]), world.add("cat", peers=["ann"])
    dan = world.add("dan", peers=["ann"])
    world.run(2)
    room = _shared(world, ann, bob)
    for number in range(rooms - 1):
        ann.call(c.RoomCreate(name=f"room {number}"))
    _befriend(ann, contacts)
    others = _shared(world, cat, dan)
    world.run(10)
    return {
        IN_ROOM: _spent(world, ann, bob, room, messages),
        PASSED_ON: _spent(world, ann, cat, others, messages),
        DEADLINE: _deadline(ann),
    }


def _shared(world: Simulation, host: SimNode, guest: SimNode) -> str:
    room: str = host.call(c.RoomCreate(name="shared"))["room"]
    guest.call(c.RoomLinkUse(link=host.call(c.RoomLinkCreate(room=room))["link"]))
    world.run(5)
    return room


def _befriend(node: SimNode, count: int) -> None:
    """Give a node so many contacts, who are never there, each with a conversation."""
    engine = _engine(node)
    turn = engine._turn(node.now())
    for _ in range(count):
        account = turn.entropy(32)
        people = engine.state.people
        people.save(turn, replace(people.meet(turn, account, "friend"), state=CONTACT))
        engine.desk.inbox.direct_with(turn, account)
        engine.state.presence.watch(account, turn.now.mono)
    node.perform(engine._release(turn, []))


def _spent(world: Simulation, node: SimNode, author: SimNode, room: str, messages: int) -> float:
    """Return the median microseconds of the inputs that bring a message and of the deadlines after them."""
    engine, times = _engine(node), list[float]()
    handle = engine.handle

    def timed(event: Any, *, now: Any) -> Any:
        started = time.process_time()
        effects = handle(event, now=now)
        _ = engine.deadline
        if type(event).__name__ == "LinkBytes":
            times.append(time.process_time() - started)
        return effects

    engine.handle = timed  # type: ignore[method-assign]
    for number in range(messages):
        author.call(c.UserMessage(room=room, message=str(number)))
        world.run(0.2)
    engine.handle = handle  # type: ignore[method-assign]
    assert len(times) >= messages
    return 1e6 * median(times)


def _deadline(node: SimNode) -> float:
    engine, times = _engine(node), []
    for _ in range(50):
        engine.chores.touched(None)
        started = time.process_time()
        _ = engine.deadline
        times.append(time.process_time() - started)
    return 1e6 * median(times)


def _engine(node: SimNode) -> Any:
    assert node.engine is not None
    return node.engine

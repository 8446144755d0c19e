"""Deadlines are kept, not asked for again at every input: they are those that asking everybody would give."""

from __future__ import annotations

from random import Random

import pytest

from node.chat import commands as c
from node.engine.chores import Chores
from node.engine.deadlines import Deadlines
from node.sim import CallError, SimNode, Simulation
from node.wire import envelope
from tests.engine.hostile import engine_of, give
from tests.engine.test_secrecy import envelopes
from tests.engine.worlds import befriend, invite


def watched(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Compare each deadline that a shell asks for with that of parts which are all looked at again."""
    kept = vars(Chores)["deadline"].fget
    given: list[float | None] = []

    def deadline(self: Chores) -> float | None:
        soon: float | None = kept(self)
        mine, self._conversing = self._conversing, Deadlines(self.desk.state)
        anew, self._conversing = self._least(), mine
        assert soon == anew
        given.append(soon)
        return soon

    monkeypatch.setattr(Chores, "deadline", property(deadline))
    return given


def acts(world: Simulation, nodes: list[SimNode], rooms: list[str], chance: Random) -> None:
    """Let a node do anything, or something happen to it."""
    node, room = chance.choice(nodes), chance.choice(rooms)
    other = chance.choice([one for one in nodes if one is not node])
    match chance.randrange(14):
        case 0 | 1 | 2 | 3:
            node.call(c.UserMessage(room=room, message="said"))
        case 4:
            direct = node.call(c.DmOpen(username=other.name))["room"]
            node.call(c.UserMessage(room=direct, message="between us"))
        case 5:
            node.call(c.TypingSet(room=room))
        case 6:
            node.crash()
            world.run(chance.random() * 5)
            node.start()
        case 7:
            names = [[one.name] for one in nodes]
            world.partition(*names)
            node.call(c.UserMessage(room=room, message="alone"))
            world.run(chance.random() * 90)
            world.heal()
        case 8:
            world.loss = 0.05 * chance.random()
        case 9:
            node.call(c.RoomUpdate(room=room, topic=str(chance.random())))
        case 10:
            node.call(c.RoomRekey(room=room))
        case 11 | 12:
            overtaken(world, node, other, room)
        case _:
            world.run(chance.random() * 200)


def overtaken(world: Simulation, node: SimNode, other: SimNode, room: str) -> None:
    """Let a message reach somebody long before the one that it follows."""
    world.partition([node.name], [other.name])
    node.call(c.UserMessage(room=room, message="first"))
    before = envelopes(node)
    node.call(c.UserMessage(room=room, message="second"))
    give(other, [envelope.parse(raw) for raw in envelopes(node) - before])
    world.run(30)
    world.heal()


@pytest.mark.parametrize("seed", range(6))
def test_deadlines_that_are_kept_are_those_that_asking_everybody_gives(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, chance = watched(monkeypatch), Random(seed)
    world = Simulation(f"deadlines {seed}")
    ann = world.add("ann")
    bob, cat = world.add("bob", peers=["ann"]), world.add("cat", peers=["ann", "bob"])
    world.run(2)
    for one, other in ((ann, bob), (ann, cat), (bob, cat)):
        befriend(world, one, other)
    rooms = [ann.call(c.RoomCreate(name=name))["room"] for name in ("one", "two")]
    for room in rooms:
        for guest in (bob, cat):
            invite(world, ann, guest, room)
    world.run(5)
    for _ in range(100):
        try:
            acts(world, [ann, bob, cat], rooms, chance)
        except CallError:
            continue
        world.run(chance.random() * 3)
    world.run(300)
    assert len(given) > 1_000


def test_an_envelope_that_is_only_passed_on_asks_no_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Simulation("passed on")
    ann, bob, cat = world.add("ann", peers=["cat"]), world.add("bob", peers=["cat"]), world.add("cat")
    world.run(2)
    befriend(world, ann, bob)
    own = cat.call(c.RoomCreate(name="own"))["room"]
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    world.run(5)
    asked: list[bytes] = []
    look = Deadlines._look

    def looked(self: Deadlines, room_id: bytes) -> float | None:
        asked.append(room_id)
        return look(self, room_id)

    monkeypatch.setattr(Deadlines, "_look", looked)
    engine_of(ann).chores.touched(None)
    ann.call(c.UserMessage(room=room, message="past cat"))
    assert world.run_until(lambda: bob.store.messages() != [], 5)
    world.run(0.5)
    heard = [room_id for room_id in asked if room_id.hex() == own.replace("-", "")]
    assert asked and not heard

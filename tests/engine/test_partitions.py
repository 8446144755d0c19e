"""A mesh of whole engines falls in two and heals: gossip and sync run at once, and nothing is lost."""

from __future__ import annotations

from collections import Counter

import pytest

from node.chat import commands as c
from node.sim import SimNode, Simulation
from tests.engine.test_mesh_of_engines import NAMES, club, shown


def accepted(node: SimNode, since_ms: int) -> set[bytes]:
    """Return the ids of a node's accepted envelopes from `since_ms` on."""
    assert node.engine is not None
    index = node.engine.mesh._index
    return {eid for ts_ms, eid in index._by_prefix.values() if ts_ms >= since_ms}


def say(world: Simulation, room: str, names: tuple[str, ...], count: int, said: list[str]) -> None:
    for at in range(count):
        name = names[at % len(names)]
        said.append(f"{name} {len(said)}")
        world.nodes[name].call(c.UserMessage(room=room, message=said[-1]))
        world.run(0.2)


@pytest.mark.mesh_attack("N12")
@pytest.mark.parametrize("seed", ["one", "two"])
def test_both_halves_talk_apart_and_while_they_heal_and_all_is_shown_once(seed: str) -> None:
    """M1 and M5, for whole engines: live messages come by gossip while sync brings what was missed."""
    world, room = club(seed)
    said: list[str] = []
    for halves in ((["ann", "dan"], ["bob", "cat"]), (["ann"], ["bob", "cat", "dan"])):
        world.partition(*halves)
        for _ in range(6):
            say(world, room, ("ann", "bob", "cat"), 6, said)
        world.run(40)
        world.heal()
        world.loss = 0.005
        say(world, room, ("cat", "ann", "bob"), 30, said)
        world.loss = 0.0
    members = [world.nodes[name] for name in NAMES[:3]]
    world.run_until(lambda: all(set(said) <= set(shown(node)) for node in members), 700)
    for node in members:
        assert Counter(shown(node)) == Counter(said)
        for name in NAMES[:3]:
            mine = [text for text in said if text.startswith(name)]
            assert [text for text in shown(node) if text in set(mine)] == mine, "out of order"
    world.run(700)
    every = [accepted(node, 0) for node in world.nodes.values()]
    assert max(map(len, every)) > len(said)
    for ids in every:
        assert ids >= set.union(*every) - young(world), "M5: after quiet all accepted the same"


def young(world: Simulation) -> set[bytes]:
    """What is on its way at this moment: envelopes of the last seconds."""
    found: set[bytes] = set()
    for node in world.nodes.values():
        found |= accepted(node, node.now().wall_ms - 10_000)
    return found


@pytest.mark.mesh_attack("N12")
def test_a_node_that_falls_in_the_middle_of_a_catch_up_goes_on_where_it_was() -> None:
    """Killed between two pages of a round, and its peer in the next."""
    world, room = club("middle")
    said: list[str] = []
    world.partition(["ann"], ["bob", "cat", "dan"])
    say(world, room, ("bob", "cat"), 60, said)
    world.heal()
    ann, bob, dan = (world.nodes[name] for name in ("ann", "bob", "dan"))
    for victim in (ann, dan, ann, bob):
        victim.effects_left = 40
        world.run(1.5)
        victim.effects_left = None
        if not victim.up:
            victim.start()
    world.run_until(lambda: set(said) <= set(shown(ann)), 700)
    assert Counter(shown(ann)) == Counter(said)

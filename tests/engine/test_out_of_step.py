"""Direct sessions whose sides are put back to an earlier state, at every step of a conversation (A34)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.chat import commands as c
from node.chat import events
from node.sim import SimNode, SimSession, Simulation
from tests.engine.hostile import engine_of, no_late_faults
from tests.engine.worlds import befriend, texts

LATENCY = 0.1
ONE_ROUND_TRIP = 2 * LATENCY
SETTLED = 3.0
"""Seconds in which links open and a sync ends."""


def pair(seed: str) -> tuple[Simulation, SimNode, SimNode, str]:
    world = Simulation(seed, latency=(LATENCY, LATENCY))
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    room = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    world.run(1)
    return world, ann, bob, room


SCRIPT = ["ann", "bob", "bob", "ann", "ann", "bob"]


def say(node: SimNode, room: str, words: str) -> None:
    node.call(c.UserMessage(room=room, message=words))


@pytest.mark.attack("A34")
@pytest.mark.parametrize("who", ["ann", "bob"])
@pytest.mark.parametrize("first", ["ann", "bob", "both"])
def test_whoever_is_put_back_to_whatever_step_all_that_is_said_then_arrives_in_a_round_trip(
    who: str, first: str
) -> None:
    for step in range(len(SCRIPT)):
        for later in range(step + 1, len(SCRIPT) + 1):
            world, ann, bob, room = pair(f"{who} {first} {step} {later}")
            nodes = {"ann": ann, "bob": bob}
            kept = None
            for at, speaker in enumerate(SCRIPT[:later]):
                if at == step:
                    kept = nodes[who].snapshot()
                say(nodes[speaker], room, f"{at}")
                world.run(0.5)
            assert kept is not None
            nodes[who].rollback(kept)
            world.run(SETTLED)
            seen = {name: node.attach() for name, node in nodes.items()}
            speakers = ["ann", "bob"] if first == "both" else [first]
            for name in speakers:
                say(nodes[name], room, f"after by {name}")
            world.run(LATENCY + ONE_ROUND_TRIP + 0.05)
            for name in speakers:
                other = "bob" if name == "ann" else "ann"
                assert f"after by {name}" in texts(seen[other]), (step, later)
            for name in ("ann", "bob"):
                say(nodes[name], room, f"later by {name}")
            world.run(LATENCY + ONE_ROUND_TRIP + 0.05)
            for name, other in (("ann", "bob"), ("bob", "ann")):
                assert texts(seen[other]).count(f"later by {name}") == 1, (step, later)
            no_late_faults(ann, bob)

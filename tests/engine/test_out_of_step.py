"""Direct sessions whose sides are put back to an earlier state, at every step of a conversation (A34)."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from node.chat import commands as c
from node.sim import SimNode, Simulation
from node.store.memory import Snapshot
from tests.engine.hostile import no_late_faults
from tests.engine.worlds import befriend, texts

LATENCY = 0.1
ONE_ROUND_TRIP = 2 * LATENCY
SETTLED = 3.0
"""Seconds in which links open and a sync ends."""
SCRIPT = ["ann", "bob", "bob", "ann", "ann", "bob"]


def pair(seed: str) -> tuple[Simulation, dict[str, SimNode], str]:
    """Ann and bob, linked, contacts, with their direct room open."""
    world = Simulation(seed, latency=(LATENCY, LATENCY))
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    room = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    world.run(1)
    return world, {"ann": ann, "bob": bob}, room


def say(node: SimNode, room: str, words: str) -> None:
    node.call(c.UserMessage(room=room, message=words))


def other_than(name: str) -> str:
    return "bob" if name == "ann" else "ann"


def logged(node: SimNode, by: str) -> list[str]:
    """Return what a node's log shows of somebody, in order."""
    every = [json.loads(body) for _, body in node.store.events_after(0, 10**6)]
    return [e["message"] for e in every if e["event"] == "user_message" and e["username"] == by]


def converse(
    world: Simulation, nodes: dict[str, SimNode], room: str, step: int, later: int, who: str
) -> Snapshot:
    """Speak the script up to `later`; return the store of `who` before `step`."""
    kept = None
    for at, speaker in enumerate(SCRIPT[:later]):
        if at == step:
            kept = nodes[who].snapshot()
        say(nodes[speaker], room, f"{at}")
        world.run(0.5)
    assert kept is not None
    return kept


STEPS = [(step, later) for step in range(len(SCRIPT)) for later in range(step + 1, len(SCRIPT) + 1)]


@pytest.mark.attack("A34")
@pytest.mark.parametrize("who", ["ann", "bob"])
@pytest.mark.parametrize("speakers", [["ann"], ["bob"], ["ann", "bob"]])
def test_whoever_is_put_back_to_any_step_all_that_is_said_then_arrives_after_one_round_trip(
    who: str, speakers: list[str]
) -> None:
    for step, later in STEPS:
        world, nodes, room = pair(f"{who} {speakers} {step} {later}")
        nodes[who].rollback(converse(world, nodes, room, step, later, who))
        world.run(SETTLED)
        seen = {name: node.attach() for name, node in nodes.items()}
        for name in speakers:
            say(nodes[name], room, f"after by {name}")
        world.run(LATENCY + ONE_ROUND_TRIP + 0.05)
        for name in speakers:
            assert texts(seen[other_than(name)]).count(f"after by {name}") == 1, (step, later)
        for name in nodes:
            say(nodes[name], room, f"later by {name}")
        world.run(LATENCY + ONE_ROUND_TRIP + 0.05)
        for name in nodes:
            assert texts(seen[other_than(name)]).count(f"later by {name}") == 1, (step, later)
        no_late_faults(*nodes.values())


@pytest.mark.attack("A34")
@pytest.mark.parametrize("who", ["ann", "bob"])
def test_what_the_other_said_in_the_lost_time_is_shown_once_more_and_once(who: str) -> None:
    for step, later in STEPS:
        world, nodes, room = pair(f"lost {who} {step} {later}")
        other = other_than(who)
        nodes[who].rollback(converse(world, nodes, room, step, later, who))
        say(nodes[who], room, "at once")
        world.run(SETTLED)
        say(nodes[other], room, "so what")
        say(nodes[who], room, "well")
        world.run(70)
        wanted = [str(at) for at, speaker in enumerate(SCRIPT[:later]) if speaker == other]
        assert logged(nodes[who], other) == [*wanted, "so what"], (step, later)
        heard = Counter(logged(nodes[other], who))
        assert heard["at once"] == heard["well"] == 1 and set(heard.values()) == {1}, (step, later)
        no_late_faults(*nodes.values())


@pytest.mark.attack("A34")
@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_kill_at_any_moment_of_the_healing_loses_nothing(who: str) -> None:
    for killed in ("ann", "bob"):
        for effects in range(0, 40, 3):
            world, nodes, room = pair(f"killed {who} {killed} {effects}")
            nodes[who].rollback(converse(world, nodes, room, 1, 5, who))
            nodes[killed].effects_left = effects
            for name in nodes:
                if nodes[name].up:
                    try:
                        say(nodes[name], room, f"after by {name}")
                    except Exception:  # it may be killed before it can answer
                        assert name == killed
                world.run(0.5)
            world.run(SETTLED)
            nodes[killed].effects_left = None
            if nodes[killed].up:
                nodes[killed].crash()
            nodes[killed].start()
            world.run(SETTLED)
            for name in nodes:
                say(nodes[name], room, f"later by {name}")
            world.run(70)
            other = other_than(killed)
            heard = Counter(logged(nodes[killed], other))
            assert heard[f"after by {other}"] == heard[f"later by {other}"] == 1, (killed, effects)
            assert set(heard.values()) == {1}, (killed, effects)
            told = Counter(logged(nodes[other], killed))
            assert told[f"later by {killed}"] == 1 and set(told.values()) == {1}, (killed, effects)


def hours_later(world: Simulation, *nodes: SimNode) -> None:
    """Let two hours go by in which nobody runs."""
    for node in nodes:
        node.crash()
    world.run(1)
    world.time += 2 * 3600
    for node in nodes:
        node.start()


WHAT = ("say ann", "say bob", "keep ann", "keep bob", "back ann", "back bob", "kill ann", "part", "meet")


@pytest.mark.attack("A34")
@settings(max_examples=40, deadline=None)
@given(acts=st.lists(st.tuples(st.sampled_from(WHAT), st.sampled_from([0.0, 0.05, 0.3, 2.0])), max_size=16))
def test_whatever_happens_to_both_both_hear_each_other_again_within_the_hour(
    acts: list[tuple[str, float]],
) -> None:
    world, nodes, room = pair("anything")
    kept = {name: node.snapshot() for name, node in nodes.items()}
    for number, (act, pause) in enumerate(acts):
        what, _, name = act.partition(" ")
        if what == "say":
            say(nodes[name], room, f"{number}")
        elif what == "keep":
            kept[name] = nodes[name].snapshot()
        elif what == "back":
            nodes[name].rollback(kept[name])
        elif what == "kill":
            nodes[name].crash()
            nodes[name].start()
        elif what == "part":
            world.partition(["ann"], ["bob"])
        else:
            world.heal()
        world.run(pause)
    world.heal()
    for turn in range(3):
        hours_later(world, *nodes.values())
        world.run(SETTLED)
        for name in nodes:
            say(nodes[name], room, f"last {turn} by {name}")
        world.run(10)
    hours_later(world, *nodes.values())
    world.run(90)
    for name, node in nodes.items():
        heard = Counter(logged(node, other_than(name)))
        assert [heard[f"last {turn} by {other_than(name)}"] for turn in range(3)] == [1, 1, 1], heard
        assert set(heard.values()) == {1}, heard
    no_late_faults(*nodes.values())

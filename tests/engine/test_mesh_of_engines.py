"""Property tests over the simulator: whatever fails, what was acknowledged is shown once, in order."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings, strategies as st

from node.chat import commands as c, events
from node.sim import CallError, SimNode, Simulation
from tests.engine.worlds import befriend, invite

NAMES = ("ann", "bob", "cat", "dan")

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(NAMES[:3])),
        st.tuples(st.just("crash"), st.sampled_from(NAMES), st.integers(0, 12)),
        st.tuples(st.just("start"), st.sampled_from(NAMES)),
        st.tuples(st.just("part"), st.sampled_from(NAMES)),
        st.tuples(st.just("heal")),
        st.tuples(st.just("lose"), st.sampled_from((0.0, 0.02, 0.2))),
        st.tuples(st.just("wait"), st.sampled_from((0.01, 0.3, 3.0, 40.0))),
    ),
    min_size=5,
    max_size=30,
)


def club(seed: str) -> tuple[Simulation, str]:
    """Ann, bob and cat in a room, dan only carrying; a ring of links."""
    world = Simulation(seed)
    world.add("dan")
    for name, peers in (("ann", ["dan"]), ("bob", ["dan", "ann"]), ("cat", ["dan", "bob"])):
        world.add(name, peers=peers)
    world.run(2)
    ann = world.nodes["ann"]
    room = ann.call(c.RoomCreate(name="club"))["room"]
    for guest in ("bob", "cat"):
        befriend(world, ann, world.nodes[guest])
        invite(world, ann, world.nodes[guest], room)
    world.run(5)
    return world, room


def shown(node: SimNode) -> list[str]:
    """Return the messages of a node's event log, in order."""
    logged = [json.loads(body) for _, body in node.store.events_after(0, 10**6)]
    assert [e["seq"] for e in logged] == list(range(1, len(logged) + 1))
    return [e["message"] for e in logged if e["event"] == "user_message"]


def act(world: Simulation, room: str, step: tuple[object, ...], said: dict[str, list[str]]) -> None:
    match step:
        case ("say", str(name)) if world.nodes[name].up:
            text = f"{name} {len(said[name])} at {world.time:.3f}"
            try:
                world.nodes[name].call(c.UserMessage(room=room, message=text))
            except CallError as fault:
                assert fault.code == "no_answer"
            else:
                said[name].append(text)
        case ("crash", str(name), int(effects)) if world.nodes[name].up:
            world.nodes[name].effects_left = effects
        case ("start", str(name)) if not world.nodes[name].up:
            world.nodes[name].effects_left = None
            world.nodes[name].start()
        case ("part", str(name)):
            world.partition([name], [other for other in NAMES if other != name])
        case ("heal",):
            world.heal()
        case ("lose", float(share)):
            world.loss = share
        case ("wait", float(seconds)):
            world.run(seconds)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(ACTS, st.integers(0, 1000))
def test_after_any_failures_everybody_has_what_was_acknowledged_once_and_in_order(
    steps: list[tuple[object, ...]], seed: int
) -> None:
    world, room = club(str(seed))
    said: dict[str, list[str]] = {name: [] for name in NAMES}
    for step in steps:
        act(world, room, step, said)
    world.heal()
    world.loss = 0.0
    for node in world.nodes.values():
        node.effects_left = None
        if not node.up:
            node.start()
    everything = {text for texts in said.values() for text in texts}
    members = [world.nodes[name] for name in NAMES[:3]]
    world.run_until(lambda: all(everything <= set(shown(node)) for node in members), 700)
    for node in members:
        texts = shown(node)
        assert everything <= set(texts), "acknowledged and lost"
        assert len(texts) == len(set(texts)), "shown twice"
        for name in NAMES[:3]:
            mine = [text for text in texts if text in set(said[name])]
            assert mine == said[name], "out of order"


def test_a_message_crosses_a_line_of_ten_nodes() -> None:
    world = Simulation("line")
    names = [f"n{i}" for i in range(10)]
    for before, name in zip([None, *names], names, strict=False):
        world.add(name, peers=[before] if before else [])
    world.run(3)
    first, last = world.nodes["n0"], world.nodes["n9"]
    befriend(world, first, last)
    room = first.call(c.RoomCreate(name="far"))["room"]
    seen = invite(world, first, last, room)
    first.call(c.UserMessage(room=room, message="hello"))
    assert world.run_until(lambda: bool(seen.of(events.UserMessage)), 3)


def test_clocks_a_day_off_lose_nothing() -> None:
    world, room = club("clocks")
    world.nodes["bob"].skew_s = 86_400.0
    world.nodes["cat"].skew_s = -86_400.0
    for name in ("bob", "cat"):
        world.nodes[name].crash()
        world.nodes[name].start()
    world.run(5)
    for name in ("ann", "bob", "cat"):
        world.nodes[name].call(c.UserMessage(room=room, message=f"from {name}"))
        world.run(2)
    world.run(30)
    for name in ("ann", "bob", "cat"):
        assert sorted(shown(world.nodes[name])) == ["from ann", "from bob", "from cat"]


def test_somebody_silent_is_shown_as_gone_and_then_as_back() -> None:
    world, room = club("presence")
    world.run(70)
    seen = world.nodes["ann"].attach()
    world.nodes["bob"].crash()
    world.run(240)
    gone = [e for e in seen.of(events.UserLeave) if e.username == "bob"]
    assert [(e.reason, e.room) for e in gone] == [("disconnect", room)]
    world.nodes["bob"].start()
    world.run(70)
    back = [e for e in seen.of(events.UserJoin) if e.username == "bob"]
    assert [(e.reason, e.room) for e in back] == [("reconnect", room)]


def test_what_nodes_bring_that_the_owner_named_lies_apart_from_what_strangers_bring() -> None:
    world = Simulation("shelves")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    mid = world.add("mid", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    held = mid.call(c.NodeStatus())["held"]
    assert held["known"]["envelopes"] > 0 and held["other"]["envelopes"] == held["own"]["envelopes"] == 0
    ann.crash()
    bob.crash()
    eve, fay = world.add("eve", peers=["mid"]), world.add("fay", peers=["eve"])
    world.run(2)
    befriend(world, eve, fay)
    after = mid.call(c.NodeStatus())["held"]
    assert after["other"]["envelopes"] > 0 and after["known"] == held["known"]

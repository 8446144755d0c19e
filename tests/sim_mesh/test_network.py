"""The wires and nodes of the simulated mesh, two or three of them at a time."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from node.mesh.limits import authority_of, is_near
from node.mesh.ports import AddAddress, DialFailed, LinkBytes, MeshInput, Publish
from node.sim_mesh.messages import Author, Messages
from node.sim_mesh.network import (
    DIAL_TIMEOUT,
    RETRANSMIT,
    Clock,
    End,
    Physics,
    SimMesh,
    World,
    address_of,
    number_of,
)

LATENCY = 0.020


def world_of(
    *dials: list[int], loss: float = 0.0, jitter: float = 0.0, sybils: tuple[int, ...] = ()
) -> World:
    """Nodes that dial these others, started."""
    physics = Physics("1", LATENCY, LATENCY, jitter, loss, private=True)
    world = World(physics, Messages(len(dials)), real=False)
    for number, others in enumerate(dials):
        world.add([world.address_of(other) for other in others], sybil=number in sybils)
    for node in world.nodes:
        node.start()
    world.clock.run(2.0)
    return world


def say(world: World, number: int) -> None:
    envelope = Author(f"{world.clock.time}", rooms=1, size=30).write(world.clock.now.wall_ms)
    world.messages.add(envelope, number, world.clock.time, counted=True)
    world.nodes[number].feed(Publish((envelope,)))


def peers(node: SimMesh) -> int:
    assert node.mesh is not None
    return len(node.mesh.peers(node.world.clock.now))


@given(st.integers(0, (1 << 22) - 1))
def test_an_address_tells_whose_it_is(number: int) -> None:
    for private in (True, False):
        address = address_of(number, private=private)
        assert number_of(address) == number
        assert is_near(authority_of(address)) == private


def test_nobody_answers_at_an_address_that_is_no_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert number_of("ws://example.org:1") > 1 << 22
    world = world_of([], [0])
    feed, seen = SimMesh.feed, list[MeshInput]()
    monkeypatch.setattr(SimMesh, "feed", lambda self, event: (seen.append(event), feed(self, event)))
    world.dial(world.nodes[0], "ws://example.org:1")
    world.clock.run(2.0 + DIAL_TIMEOUT)
    assert DialFailed("ws://example.org:1", "timed out") in seen


def test_time_goes_by_what_is_due_and_ties_go_by_order() -> None:
    clock, seen = Clock(), list[tuple[float, str]]()
    for moment, name in ((0.3, "c"), (0.1, "a"), (0.1, "b"), (9.0, "late")):
        clock.later(moment, lambda name=name: seen.append((clock.time, name)))  # type: ignore[misc]
    clock.run(1.0)
    assert seen == [(0.1, "a"), (0.1, "b"), (0.3, "c")]
    assert clock.time == 1.0


def test_a_message_takes_the_latency_of_the_link() -> None:
    world = world_of([], [0])
    start = world.clock.time
    say(world, 0)
    world.clock.run(start + 1.0)
    (message,) = world.messages.all
    assert message.times[1] == start + LATENCY
    assert (message.hops[1], message.copies, world.deliveries) == (1, 1, 1)


def test_what_is_lost_comes_later_and_nothing_overtakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of([], [0], loss=0.3, jitter=0.004)
    node = world.nodes[0]
    (end,) = node.ends.values()
    heard: list[tuple[float, bytes]] = []
    monkeypatch.setattr(
        SimMesh,
        "feed",
        lambda _self, event: (
            heard.append((world.clock.time, event.data)) if isinstance(event, LinkBytes) else None
        ),
    )
    start = world.clock.time
    sent = [bytes([number]) for number in range(200)]
    for data in sent:
        world.send(node, end.number, data)
    world.clock.run(start + 5)
    assert [data for _, data in heard] == sent
    assert max(moment for moment, _ in heard) >= start + LATENCY + RETRANSMIT
    assert min(moment for moment, _ in heard) >= start + LATENCY


def test_the_end_of_a_killed_process_is_heard_after_what_it_sent() -> None:
    world = world_of([], [0])
    start = world.clock.time
    say(world, 0)
    world.nodes[0].stop()
    world.clock.run(start + LATENCY + 0.001)
    assert world.messages.all[0].has(1)
    assert peers(world.nodes[1]) == 0
    assert world.nodes[1].ends == {}


def test_a_machine_that_falls_silent_is_found_out_by_keepalive_alone() -> None:
    world = world_of([], [0])
    world.nodes[0].stop(silent=True)
    world.clock.run(20.0)
    assert peers(world.nodes[1]) == 1
    world.clock.run(60.0)
    assert peers(world.nodes[1]) == 0


def test_who_comes_back_has_what_was_stored_and_gets_the_rest() -> None:
    world = world_of([], [0])
    say(world, 0)
    world.clock.run(3.0)
    world.nodes[1].stop()
    say(world, 0)
    world.clock.run(4.0)
    assert not world.messages.all[1].has(1)
    world.nodes[1].start()
    world.clock.run(8.0)
    assert all(message.has(1) for message in world.messages.all)
    assert world.messages.all[0].times[1] < 3.0


def test_through_a_short_cut_tcp_brings_all_and_the_link_stays() -> None:
    world = world_of([], [0])
    ends = list(world.nodes[0].ends)
    world.part([world.nodes[0]])
    say(world, 0)
    world.clock.run(10.0)
    assert not world.messages.all[0].has(1)
    world.heal()
    world.clock.run(10.5)
    assert world.messages.all[0].has(1)
    assert list(world.nodes[0].ends) == ends


def test_in_a_long_cut_links_end_dials_time_out_and_sync_brings_what_was_missed() -> None:
    world = world_of([], [0])
    world.part([world.nodes[0]])
    say(world, 0)
    world.clock.run(60.0)
    assert [peers(node) for node in world.nodes] == [0, 0]
    world.heal()
    world.clock.run(60.0 + DIAL_TIMEOUT + 20.0)
    assert [peers(node) for node in world.nodes] == [1, 1]
    assert world.messages.all[0].has(1)


def test_nobody_is_reached_through_a_cut() -> None:
    world = world_of([], [], [])
    one, two, three = world.nodes
    three.feed(AddAddress(two.address, "configured"))  # on its way when the cable is cut
    world.part([two])
    one.feed(AddAddress(two.address, "configured"))
    world.clock.run(2.0 + DIAL_TIMEOUT - 0.1)
    assert [len(node.ends) for node in world.nodes] == [0, 0, 0]
    world.heal()
    world.clock.run(60.0)
    assert [peers(node) for node in world.nodes] == [1, 2, 1]


def test_a_link_that_one_side_ended_in_a_cut_ends_at_the_other_when_it_is_mended() -> None:
    world = world_of([], [0])
    world.part([world.nodes[0]])
    world.nodes[1].stop()
    world.clock.run(4.0)
    assert peers(world.nodes[0]) == 1
    world.heal()
    world.clock.run(4.1)
    assert peers(world.nodes[0]) == 0


def test_a_sybil_takes_and_passes_nothing_on_not_even_by_sync() -> None:
    world = world_of([], [0], [1], sybils=(1,))
    say(world, 0)
    world.clock.run(400.0)
    message = world.messages.all[0]
    assert message.has(1)
    assert not message.has(2)
    assert world.deliveries == 0
    assert world.graph() == {0: [], 2: []}


def test_a_node_waits_for_its_next_wake_up_and_for_few_others() -> None:
    world = world_of([], [0], [0, 1])
    for _ in range(300):
        say(world, 0)
        world.clock.run(world.clock.time + 0.1)
    waiting = [target for *_, target, _ in world.clock._heap if not isinstance(target, End)]
    assert len(waiting) < 10 * len(world.nodes)


def test_an_idle_mesh_costs_a_keepalive_and_no_more() -> None:
    world = world_of([], [0])
    world.clock.run(100.0)
    before = sum(world.tally.frames)
    world.clock.run(1000.0)
    assert sum(world.tally.frames) - before < 2 * 2 * 2 * 900 / 15

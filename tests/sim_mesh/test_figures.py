"""The figures of runs that were made up, reckoned by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.mesh.ports import AddAddress
from node.sim_mesh.figures import Figures, Marks, figures
from node.sim_mesh.messages import Author, Message, Messages
from node.sim_mesh.network import Physics, World
from node.sim_mesh.scenario import Scenario

ASKED = Scenario(nodes=4, sybils=1)


def world_of(now: float) -> World:
    """Four nodes without links, the last a sybil."""
    world = World(Physics("1", 0.1, 0.1), Messages(4), real=False)
    for number in range(4):
        world.add([], sybil=number == 3)
        world.nodes[number].start()
    world.clock.run(now)
    return world


def said(world: World, at: float, times: dict[int, float], copies: int, shortest: float = 0.1) -> Message:
    author = Author(str(len(world.messages.all)), rooms=1, size=30)
    message = world.messages.add(author.write(5), 0, at, counted=True)
    for node, took in times.items():
        world.messages.arrived(message.envelope.eid, node, node - 1, at + took)
        world.deliveries += node != 3
    message.copies, message.shortest = copies, shortest
    return message


def told(world: World, marks: Marks | None = None) -> Figures:
    return figures(ASKED, world, world.messages, marks or Marks())


def test_deliveries_copies_and_times_are_those_of_honest_nodes() -> None:
    world = world_of(30.0)
    said(world, 1.0, {1: 0.1, 2: 0.2, 3: 0.9}, copies=3)
    said(world, 2.0, {1: 0.3}, copies=1, shortest=0.2)
    world.bytes, world.tally.ids = 3_000, 6
    seen = told(world)
    assert (seen.nodes, seen.live, seen.messages) == (4, 3, 2)
    assert seen.delivered == seen.delivered_5s == 0.75
    assert seen.copies == pytest.approx(4 / 3, abs=0.001)
    assert (seen.p50_ms, seen.p99_ms, seen.max_ms) == (200.0, 300.0, 300.0)
    assert (seen.last_over_shortest, seen.last_over_shortest_max) == (1.75, 2.0)
    assert (seen.bytes_per_delivery, seen.control_ids) == (1000.0, 2.0)
    assert seen.hops_max == 2
    assert seen.recovered_ms is None
    assert seen.phases == []


def test_late_deliveries_count_as_delivered_but_not_as_soon() -> None:
    world = world_of(30.0)
    said(world, 1.0, {1: 0.1, 2: 9.0}, copies=2)
    seen = told(world)
    assert (seen.delivered, seen.delivered_5s) == (1.0, 0.5)


def test_who_was_away_when_it_was_said_has_to_get_it_but_is_not_timed() -> None:
    world = world_of(30.0)
    said(world, 1.0, {1: 0.1, 2: 9.0}, copies=2)
    world.nodes[2].since = 5.0
    seen = told(world)
    assert (seen.delivered, seen.delivered_5s, seen.max_ms) == (1.0, 1.0, 100.0)
    world.nodes[2].stop()
    assert told(world).live == 2


def test_what_was_just_said_is_not_yet_missed() -> None:
    world = world_of(3.0)
    said(world, 1.0, {1: 0.1, 2: 0.1}, copies=2)
    assert (told(world).delivered, told(world).delivered_5s) == (1.0, 0.0)


def test_recovery_is_told_by_the_last_that_took_twice_as_long_as_usual() -> None:
    world = world_of(80.0)
    said(world, 1.0, {1: 0.1, 2: 0.2}, copies=2)
    said(world, 9.9, {1: 0.1, 2: 1.6}, copies=2)
    said(world, 12.0, {1: 0.1, 2: 0.3}, copies=4)
    said(world, 18.0, {1: 0.1, 2: 5.0}, copies=2)
    said(world, 50.0, {1: 0.1, 2: 0.2}, copies=3)
    seen = told(world, Marks(event_at=10.0))
    assert seen.recovered_ms == 1500.0
    assert [(phase.name, phase.messages, phase.copies) for phase in seen.phases] == [
        ("before", 2, 1.0), ("meanwhile", 2, 1.5), ("after", 1, 1.5)
    ]  # fmt: skip
    assert [phase.max_ms for phase in seen.phases] == [1600.0, 5000.0, 200.0]


def test_nothing_held_up_means_no_time_to_recover() -> None:
    world = world_of(30.0)
    said(world, 1.0, {1: 0.1, 2: 0.2}, copies=2)
    said(world, 11.0, {1: 0.1, 2: 0.3}, copies=2)
    assert told(world, Marks(event_at=10.0)).recovered_ms == 0.0


def test_a_partition_is_recovered_from_its_healing_and_has_no_shortest_way() -> None:
    world = world_of(80.0)
    said(world, 1.0, {1: 0.1, 2: 0.2}, copies=2)
    said(world, 7.0, {1: 0.1, 2: 4.0}, copies=2)
    seen = told(world, Marks(parted_at=5.0, event_at=10.0))
    assert seen.recovered_ms == 1000.0
    assert seen.last_over_shortest_max == 2.0
    assert [(phase.name, phase.messages) for phase in seen.phases] == [("before", 1), ("meanwhile", 1)]


def test_churn_has_phases_and_nothing_to_recover_from() -> None:
    world = world_of(80.0)
    for at in (1.0, 39.0, 41.0):
        said(world, at, {1: 0.1, 2: 0.2}, copies=2)
    seen = told(world, Marks(begun=1.0, calm_at=10.0, left=3))
    assert [(phase.name, phase.messages) for phase in seen.phases] == [("meanwhile", 2), ("after", 1)]
    assert (seen.left, seen.recovered_ms) == (3, None)


def test_links_are_those_that_lead_to_honest_nodes_that_run() -> None:
    world = world_of(1.0)
    for number in (0, 2, 3):
        world.nodes[number].feed(AddAddress(world.nodes[1].address, "configured"))
    world.clock.run(3.0)
    assert told(world).links == pytest.approx(4 / 3, abs=0.01)
    world.nodes[2].stop(silent=True)
    assert told(world).links == 1.0


def test_a_run_that_has_not_begun_has_figures_too() -> None:
    seen = figures(replace(ASKED, nodes=4), world_of(0.0), Messages(4), Marks())
    assert (seen.delivered, seen.copies, seen.p99_ms, seen.last_over_shortest) == (0.0, 0.0, 0.0, 0.0)


def test_churn_that_begins_when_the_kill_is_over_has_phases_of_its_own() -> None:
    world = world_of(300.0)
    for at in (1.0, 12.0, 41.0, 42.0, 60.0, 139.0, 141.0):
        said(world, at, {1: 0.1, 2: 0.2}, copies=2)
    marks = Marks(event_at=10.0, churn_at=55.0, calm_at=110.0)
    parts = [("before", 1), ("meanwhile", 1), ("between", 2), ("churn", 2), ("after", 1)]
    assert [(phase.name, phase.messages) for phase in told(world, marks).phases] == parts
    cut = [(p.name, p.messages) for p in told(world, Marks(event_at=10.0, churn_at=55.0)).phases]
    assert cut == [*parts[:3], ("churn", 3)]
    early = Marks(event_at=10.0, churn_at=39.0, calm_at=110.0)
    assert [phase.name for phase in told(world, early).phases] == ["before", "meanwhile", "after"]

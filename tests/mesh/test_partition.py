"""Two halves of a mesh that were parted and come together while both go on talking."""

from __future__ import annotations

from collections import Counter

import pytest

from node.mesh.ports import SyncFinished
from tests.mesh.meshnet import Net, Node, envelope

LONG = 40.0
"""Seconds: longer than a link lasts of which nothing is heard."""


def halves(net: Net) -> tuple[list[Node], list[Node]]:
    """Eight nodes in a ring with chords, each half of it connected in itself."""
    nodes = [net.node(f"n{number}") for number in range(8)]
    for at, node in enumerate(nodes):
        for step in (1, 2, 4):
            node.add(nodes[at - step].address)
    net.run(3)
    return nodes[:4], nodes[4:]


def speak(net: Net, nodes: list[Node], seconds: float, every: float) -> list[tuple[float, bytes]]:
    """Let nodes in turn say something, and return what was said when."""
    said, end, turn = [], net.time + seconds, 0
    while net.time < end:
        env = envelope(net.rng, net.wall_ms)
        nodes[turn % len(nodes)].publish(env)
        said.append((net.time, env.eid))
        turn += 1
        net.run(every)
    return said


@pytest.mark.mesh_attack("N12")
@pytest.mark.parametrize("parted", [10.0, LONG])
def test_m5_halves_that_talked_apart_and_go_on_agree_and_m1_nothing_is_shown_twice(parted: float) -> None:
    net = Net(5, latency=0.02)
    left, right = halves(net)
    everyone = left + right
    speak(net, everyone, 5.0, 0.5)
    net.cut |= {frozenset((a.name, b.name)) for a in left for b in right}
    apart = speak(net, [left[0], right[0], left[2], right[3]], parted, 0.4)
    assert len(left[0].store) < len(left[0].store.keys() | right[0].store.keys())
    net.cut.clear()
    for node in everyone:
        node.effects.clear()
    arrivals: dict[tuple[str, bytes], float] = {}
    together = []
    for _ in range(50):
        together += speak(net, everyone, 0.5, 0.25)
        for node in everyone:
            for eid in node.store:
                arrivals.setdefault((node.name, eid), net.time)
    net.run(5)
    assert any(isinstance(effect, SyncFinished) for node in everyone for effect in node.effects)
    assert net.agree()
    assert {eid for _, eid in apart + together} <= set(left[0].store)
    for node in everyone:
        shown = Counter(env.eid for env in node.arrived())
        assert max(shown.values()) == 1
    healed = together[0][0]
    late = [
        (at - healed, arrivals.get((node.name, eid), 1e9) - at)
        for at, eid in together
        if healed + 17 < at < net.time - 10  # a dial may have been put off for 15 s
        for node in everyone
        if arrivals.get((node.name, eid), 1e9) - at > 2.0
    ]
    assert late == []

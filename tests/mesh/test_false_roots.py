"""A peer with many links that says to be near all others, and passes nothing on."""

from __future__ import annotations

import pytest

from node.mesh.beacons import EVERY, OPEN_FOR, SETTLE, SOON
from node.mesh.missing import FIRST_WAIT, JITTER
from node.wire.frames import Beacon
from tests.mesh.meshnet import Net, Node, envelope
from tests.mesh.test_hostile import Hostile

LINKS = 5


def pieces(nodes: list[Node]) -> int:
    """How many parts of the mesh the eager links leave."""
    ends = {
        (node.name, wire.other(link)[1].name)
        for node in nodes
        for link, wire in node.wires.items()
        if wire.open and node.mesh._exchange.spreading.tree.is_eager(link)
    }
    left, found = {node.name for node in nodes}, 0
    while left:
        found += 1
        reached = [left.pop()]
        for name in reached:
            more = {other for other in left if {(name, other), (other, name)} <= ends}
            left -= more
            reached += sorted(more)
    return found


@pytest.mark.mesh_attack("N22")
def test_one_beacon_on_many_links_cuts_the_tree_until_an_envelope_has_passed_and_no_longer() -> None:
    net = Net(2)
    nodes = [net.node(f"n{number}") for number in range(20)]
    for number, node in enumerate(nodes):
        node.add(nodes[number - 1].address)
        node.add(net.rng.choice([n for n in nodes if n is not node]).address)
    net.run(EVERY)
    false = [
        Hostile(node, 90 + number, link=7_000 + number)
        for number, node in enumerate(net.rng.sample(nodes, LINKS))
    ]
    for growth in range(3):
        net.run(2 * EVERY)
        while net.time < nodes[0].mesh._exchange.spreading._beacons._begun + SOON:
            net.run(1)
        for one in false:
            one.say(Beacon(0, growth.to_bytes(8, "big")))
        net.run(OPEN_FOR + SETTLE)
        assert 1 < pieces(nodes) <= LINKS
        nodes[growth].publish(envelope(net.rng, net.wall_ms))
        net.run((LINKS - 1) * (FIRST_WAIT + JITTER + 0.1))
        assert net.agree() and pieces(nodes) == 1
        nodes[-1].publish(envelope(net.rng, net.wall_ms))
        net.run(FIRST_WAIT / 2)
        assert net.agree(), "it waits for nobody"
    assert all(len(node.mesh.peers(node.now)) >= 2 for node in nodes), "nobody has blamed an honest peer"

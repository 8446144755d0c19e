"""Two processes with one node key are told from one that has started anew."""

from __future__ import annotations

import pytest

from node.mesh.ports import Cloned, Dial
from tests.mesh.meshnet import Net, Node, chain


def linked(a: Node, b: Node) -> bool:
    return b.key.hex() in {peer.peer for peer in a.mesh.peers(a.now)}


def twin(net: Net, node: Node, name: str) -> Node:
    """Another process with the key of `node`."""
    other = net.node(name)
    other.seed, other.boots = node.seed, 50
    other.start()
    return other


@pytest.mark.mesh_attack("N16")
def test_the_newer_of_two_clones_is_sent_away_and_its_owner_told() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    clone = twin(net, b, "copy")
    clone.add(a.address)
    net.run(6)
    assert [e for e in clone.effects if isinstance(e, Cloned)] == [Cloned(a.address)]
    assert not any(isinstance(e, Cloned) for e in b.effects)
    assert len(a.mesh.peers(a.now)) == 1 and linked(b, a) and not linked(clone, a)


@pytest.mark.mesh_attack("N16")
def test_two_clones_do_not_fight_for_the_link() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    clone = twin(net, b, "copy")
    clone.add(a.address)
    net.run(250)
    assert sum(isinstance(e, Dial) for e in clone.effects) == 1
    assert sum(isinstance(e, Dial) for e in b.effects) == 1
    net.run(3_000)
    assert sum(isinstance(e, Dial) for e in clone.effects) <= 14
    assert sum(isinstance(e, Cloned) for e in clone.effects) == 1


def test_a_restart_is_no_clone() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    b.alive = False
    b.start()
    b.add(a.address)
    net.run(10)
    assert not any(isinstance(e, Cloned) for e in b.effects)
    assert len(a.mesh.peers(a.now)) == 1 and linked(a, b) and linked(b, a)


def test_clones_that_are_dialled_are_told_as_well() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    clone = twin(net, b, "copy")
    a.add(clone.address)
    net.run(6)
    assert any(isinstance(e, Cloned) for e in clone.effects)
    assert linked(a, b) and len(a.mesh.peers(a.now)) == 1

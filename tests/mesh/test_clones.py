"""Two processes with one node key are told from one that has started anew."""

from __future__ import annotations

import pytest

from node.mesh.clones import DOUBT_FOR, MAX_DOUBTS, Clones
from node.mesh.ports import Cloned, Dial
from tests.mesh.meshnet import Net, Node, chain, envelope


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


@pytest.mark.mesh_attack("N16")
def test_a_restart_is_no_clone() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    b.alive = False
    b.start()
    b.add(a.address)
    net.run(10)
    assert not any(isinstance(e, Cloned) for e in b.effects)
    assert len(a.mesh.peers(a.now)) == 1 and linked(a, b) and linked(b, a)


@pytest.mark.mesh_attack("N16")
def test_clones_that_are_dialled_are_told_as_well() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    clone = twin(net, b, "copy")
    a.add(clone.address)
    net.run(6)
    assert any(isinstance(e, Cloned) for e in clone.effects)
    assert linked(a, b) and len(a.mesh.peers(a.now)) == 1


@pytest.mark.mesh_attack("N16")
def test_one_key_does_not_hold_many_links_by_starting_anew_on_each() -> None:
    """M4: a link whose HELLO names another start is doubted, and few of them at once."""
    net = Net()
    a = net.node("a")
    many = [net.node(f"m{number}") for number in range(30)]
    for number, node in enumerate(many):
        node.seed, node.boots = 77, 100 + number
        node.start()
        node.add(a.address)
    most = 0
    for _ in range(80):
        net.run(0.1)
        most = max(most, len(a.mesh.peers(a.now)))
    assert most <= 3
    assert len(a.mesh.peers(a.now)) == 1


@pytest.mark.mesh_attack("N16")
def test_clones_that_dial_each_other_leave_it_and_keep_their_other_links() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    clone = twin(net, b, "copy")
    c = net.node("c")
    clone.add(c.address)
    clone.add(b.address)
    b.add(clone.address)
    net.run(60)
    assert linked(b, a) and linked(clone, c)
    assert sum(isinstance(e, Dial) and e.address == clone.address for e in b.effects) == 1
    env = envelope(net.rng, net.wall_ms)
    a.add(c.address)
    net.run(2)
    a.publish(env)
    net.run(2)
    assert all(env.eid in node.store for node in (b, c, clone))


def test_only_pings_that_left_after_the_newer_hello_prove_that_both_live() -> None:
    clones = Clones()
    assert clones.doubt(1, 2, pings=(1, 0), now=0.0)
    assert clones.doubts(1) and clones.doubts(2) and not clones.doubts(3)
    assert clones.answered(1, now=1.0) == ([1], []), "that one had left before"
    assert clones.answered(1, now=1.0) == ([], []), "the other has not answered"
    assert clones.answered(1, now=1.0) == ([], []), "nor is it waited for any more"
    assert clones.answered(2, now=1.0) == ([], [2])
    assert clones.deadline is None


def test_who_answers_too_late_does_not_count_and_the_silent_one_is_left() -> None:
    clones = Clones()
    for older, newer, alive in ((1, 2, 2), (3, 4, 3)):
        clones.doubt(older, newer, pings=(0, 0), now=0.0)
        clones.answered(alive, now=1.0)
    assert clones.due(now=DOUBT_FOR - 0.1) == [] and clones.deadline == DOUBT_FOR
    assert clones.answered(1, now=DOUBT_FOR) == ([], [])
    assert clones.due(now=DOUBT_FOR) == [1, 4] and clones.due(now=DOUBT_FOR) == []


def test_no_more_pairs_are_looked_at_than_there_are_links() -> None:
    clones = Clones()
    assert all(clones.doubt(2 * n, 2 * n + 1, pings=(0, 0), now=0.0) for n in range(MAX_DOUBTS))
    assert not clones.doubt(1_000, 1_001, pings=(0, 0), now=0.0)
    assert not clones.doubts(1_000)
    clones.closed(1)
    assert clones.doubt(1_000, 1_001, pings=(0, 0), now=0.0)

"""Payloads over the tree, announcements beside it, and peers that abuse either."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest

from node.mesh.missing import FIRST_WAIT, JITTER, MAX_GRAFTS
from node.mesh.plumtree import BACKOFF, SLOW_BACKOFF
from node.mesh.ports import Taken
from node.mesh.spreading import NOT_COMING
from node.wire.frames import Batch, Gone, Graft, IHave, Ping, Prune, Push, Want
from tests.mesh.meshnet import Net, Node, envelope
from tests.mesh.test_hostile import Hostile

LATE = FIRST_WAIT + JITTER + 0.01


@pytest.fixture
def node() -> Iterator[Node]:
    made = Net().node("a")
    made.reads = []
    yield made


def full(net: Net, size: int) -> list[Node]:
    """Nodes of which each is linked to all others."""
    nodes = [net.node(f"n{number}") for number in range(size)]
    for one, two in combinations(nodes, 2):
        one.add(two.address)
    net.run(2)
    return nodes


def copies(nodes: list[Node]) -> int:
    return sum(peer.copies for node in nodes if node.alive for peer in node.mesh.peers(node.now))


def settled(net: Net, nodes: list[Node], messages: int = 5) -> None:
    """Send some envelopes, far enough apart that each may shape the tree."""
    for number in range(messages):
        nodes[number % len(nodes)].publish(envelope(net.rng, net.wall_ms))
        net.run(2.5)


def test_in_a_settled_mesh_each_node_gets_each_envelope_once() -> None:
    net = Net()
    nodes = full(net, 12)
    settled(net, nodes)
    before = copies(nodes)
    for number in range(60):
        nodes[number % 12].publish(envelope(net.rng, net.wall_ms))
        net.run(0.05)
    net.run(1)
    assert copies(nodes) - before == 60 * 11
    assert net.agree()


def test_one_envelope_is_enough_to_find_the_tree() -> None:
    net = Net()
    nodes = full(net, 8)
    nodes[0].publish(envelope(net.rng, net.wall_ms))
    net.run(2)
    assert sum(len(node.mesh._exchange.spreading.tree.eager) for node in nodes) == 2 * 7


def test_when_nodes_vanish_the_rest_have_the_next_envelopes_within_two_seconds() -> None:
    net = Net(3)
    nodes = [net.node(f"n{number}") for number in range(20)]
    for node in nodes:
        for other in net.rng.sample([n for n in nodes if n is not node], 3):
            node.add(other.address)
    net.run(2)
    settled(net, nodes)
    for node in nodes[16:]:
        node.alive = False  # without a word: its links seem open
    env = envelope(net.rng, net.wall_ms)
    nodes[0].publish(env)
    net.run(2)
    assert all(env.eid in node.store for node in nodes[:16])


def test_ephemerals_find_a_gap_in_the_tree_too() -> None:
    net = Net()
    nodes = full(net, 4)
    settled(net, nodes)
    for node in nodes:
        tree = node.mesh._exchange.spreading.tree
        for way in tree._ways.values():
            way.eager = False
    env = envelope(net.rng, net.wall_ms, ephemeral=True)
    nodes[0].publish(env)
    net.run(2)
    assert all(node.arrived().count(env) == 1 for node in nodes[1:])


def test_who_publishes_learns_of_peers_on_lazy_links_that_they_have_it() -> None:
    net = Net()
    nodes = full(net, 6)
    settled(net, nodes)
    assert any(len(node.mesh._exchange.spreading.tree.eager) < 5 for node in nodes)
    for node in nodes:
        env = envelope(net.rng, net.wall_ms)
        node.effects.clear()
        node.publish(env, watched=True)
        net.run(3)
        told = [e for e in node.effects if isinstance(e, Taken)]
        assert {e.node_key for e in told} == {other.key for other in nodes if other is not node}
        assert all(e.prefixes == (env.eid[:16],) for e in told)


def test_an_announcement_is_given_time_and_then_asked_for_by_graft(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    peer = Hostile(node)
    peer.say(IHave(((env.eid[:16], 1),)))
    node.net.run(FIRST_WAIT - 0.01)
    assert peer.of(Graft) == []
    node.net.run(JITTER + 0.02)
    assert peer.of(Graft) == [Graft(env.eid[:16])] and peer.of(Want) == []
    peer.say(Push(1, env.raw))
    assert node.arrived() == [env]
    node.net.run(40)
    assert peer.of(Graft) == [Graft(env.eid[:16])] and peer.of(Want) == []


def test_what_will_not_come_by_the_tree_is_wanted_at_once(node: Node) -> None:
    peer = Hostile(node)
    ids = tuple(node.net.rng.randbytes(16) for _ in range(200))
    peer.say(IHave(tuple((prefix, NOT_COMING) for prefix in ids)))
    assert [want.ids for want in peer.of(Want)] == [ids]


def test_many_overdue_envelopes_of_one_link_are_one_graft_and_wants(node: Node) -> None:
    peer = Hostile(node)
    ids = tuple(bytes([7]) + node.net.rng.randbytes(15) for _ in range(200))
    peer.say(IHave(tuple((prefix, 1) for prefix in ids)))
    node.net.run(LATE)
    assert len(peer.of(Graft)) == 1
    assert {prefix for want in peer.of(Want) for prefix in want.ids} >= set(ids) - {peer.of(Graft)[0].prefix}


def test_a_graft_is_answered_by_a_push_at_once_and_later_from_the_store(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    peer = Hostile(node)
    peer.say(Prune(60))
    node.publish(env)
    node.net.run(0.03)
    assert [frame.ids[0][0] for frame in peer.of(IHave)] == [env.eid[:16]] and peer.of(Push) == []
    peer.say(Graft(env.eid[:16]))
    assert [push.envelope for push in peer.of(Push)] == [env.raw]
    node.net.run(61)
    node.publish(envelope(node.net.rng, node.net.wall_ms))
    assert len(peer.of(Push)) == 2, "the link is eager again"
    peer.say(Graft(env.eid[:16]))
    peer.answer_reads()
    assert [batch.envelopes for batch in peer.of(Batch)] == [(env.raw,)] and len(peer.of(Push)) == 2


def test_a_pruned_link_carries_announcements_until_it_is_grafted(node: Node) -> None:
    peer = Hostile(node)
    for frame, pushed in ((Prune(60), False), (Graft(None), True), (Prune(60), False)):
        peer.heard.clear()
        peer.say(frame)
        node.publish(envelope(node.net.rng, node.net.wall_ms))
        node.net.run(0.03)
        assert bool(peer.of(Push)) is pushed and bool(peer.of(IHave)) is not pushed


@pytest.mark.mesh_attack("N02")
def test_the_same_envelope_is_pushed_to_a_peer_three_times_and_more_is_held_against_it(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    node.publish(env)
    peer = Hostile(node)
    for _ in range(MAX_GRAFTS + 30):
        peer.say(Graft(env.eid[:16]))
    assert len(peer.of(Push)) == 3 and peer.closed == "a GRAFT for the same again"


@pytest.mark.mesh_attack("N04")
def test_grafts_in_the_time_of_a_prune_are_held_against_a_peer(node: Node) -> None:
    first, second = Hostile(node), Hostile(node, 98, link=78)
    env = envelope(node.net.rng, node.net.wall_ms)
    first.say(Push(0, env.raw))
    second.say(Push(0, env.raw))
    node.net.run(1)
    assert second.of(Prune) == [Prune(BACKOFF)] and first.of(Prune) == []
    for _ in range(30):
        second.say(Graft(None))
    assert second.closed == "a GRAFT in the time of a PRUNE"
    assert not first.closed


@pytest.mark.mesh_attack("N02")
def test_a_flood_of_grafts_for_what_nobody_has_is_held_against_a_peer(node: Node) -> None:
    peer = Hostile(node)
    for _ in range(60):
        peer.say(Graft(node.net.rng.randbytes(16)))
    assert peer.closed and len(node.reads or ()) == 1


@pytest.mark.mesh_attack("N03")
def test_who_announces_what_it_does_not_send_is_asked_last_and_then_refused(node: Node) -> None:
    liar = Hostile(node)
    told = 0
    for _ in range(60):
        if liar.closed:
            break
        prefix = node.net.rng.randbytes(16)
        liar.say(IHave(((prefix, 1),)))
        node.net.run(5)
        liar.say(Gone((prefix,)))
        liar.say(Batch(0, (), False))
        liar.say(Ping(0))
        told += 1
    assert liar.closed == "announced what it did not send" and told >= 20
    assert all(len(frame.ids) == 1 for frame in liar.of(Want))


def test_who_does_not_answer_grafts_is_made_lazy(node: Node) -> None:
    honest, slow = Hostile(node), Hostile(node, 98, link=78)
    for _ in range(10):
        slow.say(IHave(((node.net.rng.randbytes(16), 1),)))
        node.net.run(5)
        slow.say(Ping(0))
        honest.say(Ping(0))
    assert slow.of(Prune) == [Prune(SLOW_BACKOFF)] and honest.of(Prune) == []


def test_an_honest_announcer_is_asked_when_a_liar_does_not_send(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    liar, honest = Hostile(node), Hostile(node, 98, link=78)
    liar.say(IHave(((env.eid[:16], 1),)))
    honest.say(IHave(((env.eid[:16], 1),)))
    node.net.run(LATE + 1.1)
    assert liar.of(Graft) == honest.of(Graft) == [Graft(env.eid[:16])]
    honest.say(Push(1, env.raw))
    assert node.arrived() == [env]


@pytest.mark.mesh_attack("N07")
def test_a_forged_payload_does_not_end_the_search_for_the_real_one(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    liar, honest = Hostile(node), Hostile(node, 98, link=78)
    liar.say(IHave(((env.eid[:16], 1),)))
    honest.say(IHave(((env.eid[:16], 1),)))
    node.net.run(LATE)
    liar.say(Push(1, env.raw[:-1] + bytes([env.raw[-1] ^ 1])))
    node.net.run(1.1)
    assert honest.of(Graft) == [Graft(env.eid[:16])]


@pytest.mark.mesh_attack("N03")
def test_floods_of_announcements_cost_bounded_memory_and_few_frames(node: Node) -> None:
    peer = Hostile(node)
    for _ in range(200):
        before = len(peer.heard)
        peer.say(IHave(tuple((node.net.rng.randbytes(16), 1) for _ in range(256))))
        assert len(peer.heard) - before <= 3
    exchange = node.mesh._exchange
    assert len(exchange.spreading._missing) <= 2_048 and len(exchange.wants) <= 8_192 + 512

"""What holds of gossip whatever the topology, the latency and the damage (docs/protocol.md section 5)."""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from node.mesh.ports import LinkBytes
from node.wire import frame_bytes
from node.wire.frames import Batch, Days, Frame, Gone, Graft, IHave, Prune, Push, Want
from tests.mesh.meshnet import Net, Node, envelope
from tests.mesh.test_hostile import Hostile

ANY = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def mesh(seed: int, size: int, degree: int, latency: float) -> tuple[Net, list[Node]]:
    """A random connected mesh: a ring, and `degree` - 1 more links that each node dials."""
    net = Net(seed, latency=latency)
    nodes = [net.node(f"n{number}") for number in range(size)]
    for at, node in enumerate(nodes):
        node.add(nodes[at - 1].address)
        for other in net.rng.sample(nodes, degree - 1):
            if other is not node:
                node.add(other.address)
    net.run(3)
    return net, nodes


def links_of(net: Net) -> set[frozenset[str]]:
    """Return the pairs of living nodes that push to each other, either way."""
    by_key = {node.key.hex(): node for node in net.nodes.values() if node.alive}
    pairs = set()
    for node in by_key.values():
        tree = node.mesh._exchange.spreading.tree
        for number, near in node.mesh._near.items():
            if near.link.live and tree.is_eager(number) and near.link.node_key.hex() in by_key:
                pairs.add(frozenset((node.name, by_key[near.link.node_key.hex()].name)))
    return pairs


def connected(names: set[str], pairs: set[frozenset[str]]) -> bool:
    reached, edge = set(), {min(names)}
    while edge:
        reached |= edge
        edge = {name for pair in pairs if pair & edge for name in pair} - reached
    return reached == names


@ANY
@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(1, 4), st.sampled_from((0.001, 0.02, 0.08)))
def test_the_eager_links_connect_the_living_and_nothing_is_shown_twice(
    seed: int, size: int, degree: int, latency: float
) -> None:
    """M1 and M3."""
    net, nodes = mesh(seed, size, degree, latency)
    sent = []
    for _ in range(30):
        sent.append(envelope(net.rng, net.wall_ms))
        net.rng.choice(nodes).publish(sent[-1])
        net.run(net.rng.choice((0.0, 0.02, 0.3, 2.0)))
    net.run(10)
    assert connected({node.name for node in nodes}, links_of(net))
    for node in nodes:
        shown = Counter(env.eid for env in node.arrived())
        assert not shown or max(shown.values()) == 1
        assert {env.eid for env in sent} <= set(node.store)


@ANY
@given(st.integers(0, 10_000), st.integers(6, 14), st.sampled_from((0.002, 0.03)), st.booleans())
def test_whatever_is_killed_or_parted_the_living_get_the_next_envelopes(
    seed: int, size: int, latency: float, silent: bool
) -> None:
    """M3."""
    net, nodes = mesh(seed, size, 3, latency)
    for _ in range(8):
        net.rng.choice(nodes).publish(envelope(net.rng, net.wall_ms))
        net.run(0.4)
    for node in net.rng.sample(nodes, size // 4):
        if silent:
            node.alive = False
        else:
            node.stop()
    half = {node.name for node in net.rng.sample(nodes, size // 2)}
    net.cut |= {frozenset((a, b)) for a in half for b in net.nodes if b not in half}
    living = [node for node in nodes if node.alive]
    for _ in range(4):
        net.rng.choice(living).publish(envelope(net.rng, net.wall_ms))
        net.run(1)
    net.cut.clear()
    net.run(60)
    names = {node.name for node in living}
    if not connected(names, linked(living)):
        return  # the damage has cut the mesh itself
    assert net.agree()
    last = envelope(net.rng, net.wall_ms)
    living[0].publish(last)
    net.run(3)
    assert all(last.eid in node.store for node in living)
    for _ in range(3):
        net.rng.choice(living).publish(envelope(net.rng, net.wall_ms))
        net.run(3)
    assert connected(names, links_of(net))


def linked(living: list[Node]) -> set[frozenset[str]]:
    """Return the pairs of these nodes that have a live link."""
    keys = {node.key.hex(): node.name for node in living}
    return {
        frozenset((node.name, keys[peer.peer]))
        for node in living
        for peer in node.mesh.peers(node.now)
        if peer.peer in keys
    }


IDS = st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True)
FRAMES = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 5)),
    st.tuples(st.just("ihave"), IDS, st.integers(0, 127)),
    st.tuples(st.just("graft"), st.one_of(st.none(), st.integers(0, 5))),
    st.tuples(st.just("prune"), st.integers(0, 100)),
    st.tuples(st.just("want"), IDS),
    st.tuples(st.just("gone"), IDS),
    st.tuples(st.just("batch"), IDS),
    st.tuples(st.just("days"), st.integers(1, 9)),
    st.tuples(st.just("wait"), st.sampled_from((0.01, 0.7, 3.0))),
)


def frame_of(step: tuple[Any, ...], raws: list[bytes], ids: list[bytes]) -> Frame:
    kind, what, *rest = step
    match kind:
        case "push":
            return Push(1, raws[what])
        case "graft":
            return Graft(None if what is None else ids[what])
        case "prune":
            return Prune(what)
        case "days":
            return Days(what, ())
        case "ihave":
            return IHave(tuple((ids[n], rest[0]) for n in what))
        case "batch":
            return Batch(0, tuple(raws[n] for n in what), False)
        case _:
            found = tuple(ids[n] for n in what)
            return Want(found) if kind == "want" else Gone(found)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 100), st.lists(st.tuples(st.integers(0, 2), FRAMES), max_size=40))
def test_no_frame_makes_us_send_more_than_three_and_nothing_unproven_goes_on(
    seed: int, steps: list[tuple[int, tuple[Any, ...]]]
) -> None:
    """M2 and M6."""
    net = Net(seed)
    node = net.node("a")
    node.reads = []
    peers = [Hostile(node, 90 + n, link=77 + n) for n in range(3)]
    for peer in peers:
        peer.answering = False
    envs = [envelope(net.rng, net.wall_ms) for _ in range(6)]
    envs[4] = envelope(net.rng, net.wall_ms - 36 * 86_400_000)
    raws = [env.raw for env in envs]
    raws[5] = raws[5][:-1] + bytes([raws[5][-1] ^ 1])
    ids = [env.eid[:16] for env in envs]
    for who, step in steps:
        if step[0] == "wait":
            net.run(step[1])
            continue
        heard = [len(peer.heard) for peer in peers]
        peers[who].say(frame_of(step, raws, ids))
        new = [f for peer, at in zip(peers, heard, strict=True) for f in peer.heard[at:]]
        assert sum(not isinstance(f, Push) for f in new) <= 3, (step, new)
    passed = {f.envelope for peer in peers for f in peer.of(Push)} | {e.raw for e in node.arrived()}
    assert passed <= set(raws[:4])
    shown = Counter(env.eid for env in node.arrived())
    assert not shown or max(shown.values()) == 1


def test_the_same_seed_gives_the_same_run_of_a_mesh_that_is_damaged() -> None:
    """M9."""

    def trace() -> list[str]:
        net, nodes = mesh(7, 8, 3, 0.02)
        for _ in range(10):
            net.rng.choice(nodes).publish(envelope(net.rng, net.wall_ms))
            net.run(0.5)
        nodes[3].stop()
        net.run(20)
        return [repr(effect) for node in nodes for effect in node.effects]

    assert trace() == trace()


def test_a_frame_of_gossip_costs_little_however_much_is_held() -> None:
    net = Net()
    node = net.node("a")
    peer = Hostile(node)
    rng = random.Random(1)
    for _ in range(3_000):
        node.mesh._index.add(rng.randbytes(32), net.wall_ms, net.wall_ms + 10**9)
    calls = 0

    def count(*_args: object) -> None:
        nonlocal calls
        calls += 1

    frames = [frame_bytes.encode(IHave(((rng.randbytes(16), 1),))) for _ in range(50)]
    sys.setprofile(count)
    for frame in frames:
        peer.link.send_control(frame)
        for message in peer.link.flush(now=0.0):
            node.mesh.handle(LinkBytes(peer.number, message), now=node.now)
    sys.setprofile(None)
    assert calls / len(frames) < 400

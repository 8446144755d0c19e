"""What it costs us that a peer asks for envelopes by id, as many and as often as it likes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from node.clock import DAY_MS
from node.mesh.answers import CREDIT, MAX_VAIN, MAX_WANTS, READ_IDS
from node.wire.envelope import MAX_BYTES
from node.wire.frames import MAX_IDS, Batch, Gone, IHave, Ping, Want
from tests.mesh.meshnet import START, Net, Node, envelope
from tests.mesh.test_hostile import Hostile


@pytest.fixture
def node() -> Iterator[Node]:
    made = Net().node("a")
    for at in range(600):
        made.publish(envelope(made.net.rng, START.wall_ms - at * 1_000))
    made.reads = []
    yield made


@pytest.mark.mesh_attack("N01")
def test_ids_that_nobody_has_cost_no_read_and_two_frames_a_want(node: Node) -> None:
    """M6: no frame makes us send more than three."""
    peer = Hostile(node)
    rng = random.Random(1)
    for _ in range(MAX_VAIN):
        before = len(peer.heard)
        asked = tuple(rng.randbytes(16) for _ in range(MAX_IDS))
        peer.say(Want(asked))
        assert [type(frame) for frame in peer.heard[before:]] == [Gone, Batch]
        assert set(peer.of(Gone)[-1].ids) == set(asked)
    for _ in range(20):
        assert not peer.closed
        peer.say(Want(asked))
    assert peer.closed == "too many WANTs" and len(peer.of(Gone)) == MAX_VAIN
    assert not node.reads


@pytest.mark.mesh_attack("N01")
def test_bodies_that_are_gone_are_told_in_one_frame_a_want(node: Node) -> None:
    """M6, for what is accepted and was let go since."""
    ids = tuple(eid[:16] for eid in list(node.store)[:MAX_IDS])
    node.store.clear()
    peer = Hostile(node)
    for near in node.mesh._near.values():
        assert near.sync is not None
        near.sync.answers.at_hand = lambda _prefix: None  # nor are they at hand for a GRAFT any more
    peer.say(Want(ids))
    peer.answer_reads()
    assert [type(frame) for frame in peer.heard[1:] if not isinstance(frame, Ping)] == [Gone, Batch]
    assert peer.of(Gone)[0].ids == ids


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_was_announced_is_given_for_a_minute_though_the_store_had_no_room(
    node: Node, forgotten: bool
) -> None:
    """Or else who WANTs it would take the announcement for a broken promise."""
    (eid, env), *_ = node.store.items()
    node.store.clear()
    if forgotten:
        node.mesh.forget([eid])
    peer = Hostile(node)
    peer.say(Want((eid[:16],)))
    peer.answer_reads()
    assert [batch.envelopes for batch in peer.of(Batch)] == [(env.raw,)] and not peer.of(Gone)


@pytest.mark.mesh_attack("N01")
def test_a_flood_of_wants_waits_in_line_and_is_held_against_who_sends_it(node: Node) -> None:
    ids = tuple(eid[:16] for eid in list(node.store)[:MAX_IDS])
    peer = Hostile(node)
    for _ in range(MAX_WANTS):
        peer.say(Want(ids))
    assert node.reads is not None and len(node.reads) == 1, "one read at a time for one peer"
    for _ in range(20):
        assert not peer.closed
        peer.say(Want(ids))
    assert peer.closed == "too many WANTs"
    peer.answer_reads()
    assert not peer.of(Batch)


@pytest.mark.mesh_attack("N01")
def test_who_wants_everything_and_grants_nothing_gets_its_credit_and_holds_little(node: Node) -> None:
    """M4: what waits for one peer is a page of the store, however large its envelopes."""
    ids = tuple(eid[:16] for eid in node.store)
    peer = Hostile(node)
    for _ in range(5):
        for at in range(0, 600, 200):
            peer.say(Want(ids[at : at + 200]))
            peer.answer_reads()
    sent = sum(len(raw) for batch in peer.of(Batch) for raw in batch.envelopes)
    assert CREDIT <= sent <= CREDIT + 2 * 61_440 and not node.reads
    assert 3 * READ_IDS * MAX_BYTES <= 4 << 20, "two rounds and the WANTs"


@pytest.mark.mesh_attack("N01")
def test_other_peers_are_answered_beside_a_flood(node: Node) -> None:
    ids = tuple(eid[:16] for eid in list(node.store)[:MAX_IDS])
    flood, other = Hostile(node), Hostile(node, 98, link=78)
    for _ in range(MAX_WANTS):
        flood.say(Want(ids))
    other.say(Want(ids[:50]))
    peer_reads = len(node.reads or [])
    assert peer_reads == 2
    other.answer_reads()
    assert sum(len(batch.envelopes) for batch in other.of(Batch)) == 50


@pytest.mark.mesh_attack("N01")
def test_what_is_wanted_comes_whatever_is_gone_and_from_whoever_is_left() -> None:
    net = Net(latency=0.02)
    every = [envelope(net.rng, net.wall_ms - DAY_MS - at) for at in range(300)]
    a, b, z = net.node("a"), net.node("b"), net.node("z")
    for one in (a, b):
        one.store |= {env.eid: env for env in every}
        one.start()
    for env in every[:150]:
        del a.store[env.eid]
    z.add(a.address)
    z.add(b.address)
    net.run(1)
    for env in every:
        for number in z.wires:
            near = z.mesh._near[number]
            z.mesh._exchange.on_gossip(near, IHave(((env.eid[:16], 1),)), z.now)
    net.run(60)
    assert z.store.keys() == b.store.keys()


def test_who_wants_ephemerals_alone_wants_nothing_in_vain(node: Node) -> None:
    node.store.clear()
    peer = Hostile(node)
    for _ in range(2 * MAX_VAIN):
        env = envelope(node.net.rng, node.net.wall_ms, ephemeral=True)
        node.publish(env)
        peer.say(Want((env.eid[:16],)))
    peer.say(Want((bytes(16),)))
    assert not peer.closed and not node.mesh._scores._scores

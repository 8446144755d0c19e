"""Payloads over the tree, announcements beside it, and peers that abuse either."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest

from node.mesh.beacons import MAX_TAKEN
from node.mesh.missing import FIRST_WAIT, JITTER, MAX_GRAFTS
from node.mesh.plumtree import BACKOFF, SLOW_BACKOFF
from node.mesh.ports import Taken
from node.mesh.spreading import NOT_COMING
from node.wire.envelope import Envelope
from node.wire.frames import Batch, Beacon, Days, Gone, Graft, Hello, IHave, Ping, Prune, Push, Want
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


def grown(nodes: list[Node]) -> int:
    """How many links are eager."""
    return sum(len(node.mesh._exchange.spreading.tree.eager) for node in nodes) // 2


def test_a_mesh_has_its_tree_before_anybody_says_a_word() -> None:
    net = Net()
    nodes = full(net, 8)
    assert grown(nodes) == 8 * 7 / 2
    net.run(2)
    assert grown(nodes) == 7
    nodes[3].publish(envelope(net.rng, net.wall_ms))
    net.run(1)
    assert net.agree() and copies(nodes) == 7


def test_while_a_tree_is_grown_anew_nothing_is_late() -> None:
    net = Net(3)
    nodes = [net.node(f"n{number}") for number in range(16)]
    for number, node in enumerate(nodes):
        node.add(nodes[number - 1].address)
        for other in net.rng.sample([n for n in nodes if n is not node], 2):
            node.add(other.address)
    net.run(5)
    assert grown(nodes) == 15
    before = copies(nodes)
    trees = {tuple(tuple(node.mesh._exchange.spreading.tree.eager) for node in nodes)}
    for at in (57.0, 56.0):
        net.run(at)
        for node in nodes:
            node.mesh._exchange.spreading._beacons._reigns = False  # as if another had come nearer
        for told in range(40):
            nodes[told % 16].publish(envelope(net.rng, net.wall_ms))
            net.run(0.1)
            assert net.agree(), "within a quarter of the time after which it would be asked for"
        trees.add(tuple(tuple(node.mesh._exchange.spreading.tree.eager) for node in nodes))
    assert len(trees) > 1, "from another root"
    assert grown(nodes) == 15
    assert copies(nodes) - before <= 1.4 * 80 * 15, "for a moment there are two trees"


@pytest.mark.mesh_attack("N22")
def test_of_a_flood_of_beacons_few_are_passed_on_and_nothing_is_kept(node: Node) -> None:
    flood, other = Hostile(node), Hostile(node, 98, link=78)
    for second in range(60):
        for number in range(100):
            flood.say(Beacon(max(0, 1_000 - number), (second * 100 + number).to_bytes(8, "big")))
        node.net.run(1)
        for peer in (flood, other):
            peer.say(Ping(0))
    assert 1 <= len(other.of(Beacon)) <= 5 * MAX_TAKEN, "of 6,000: after 5, 10, 20 and 40 s"
    assert not flood.closed and not flood.of(Beacon)


@pytest.mark.mesh_attack("N22")
def test_who_falsely_says_to_be_near_and_passes_nothing_on_is_led_around(node: Node) -> None:
    false, honest = Hostile(node), Hostile(node, 98, link=78)
    false.say(Beacon(0, b"falsely."))
    honest.say(Beacon(0, b"falsely."))
    node.net.run(2)
    assert honest.of(Prune) == [Prune(BACKOFF)] and not false.of(Prune)
    env = envelope(node.net.rng, node.net.wall_ms)
    honest.say(IHave(((env.eid[:16], 1),)))
    node.net.run(LATE)
    assert honest.of(Graft) == [Graft(env.eid[:16])]
    honest.say(Push(1, env.raw))
    for _ in range(20):
        env = envelope(node.net.rng, node.net.wall_ms)
        honest.say(Push(1, env.raw))
        assert node.arrived()[-1] == env
        node.net.run(1.3)
    assert len(honest.of(Prune)) == 1, "what the liar does not bring is no duplicate"


def test_a_tree_grows_over_no_link_on_which_we_may_not_ask(node: Node) -> None:
    """Else whoever brings the beacon next would hear of it from us and prune us: nobody would push to us."""
    barred, other, behind = Hostile(node), Hostile(node, 98, link=78), Hostile(node, 97, link=79)
    barred.say(Prune(BACKOFF))
    for peer in (barred, other):
        peer.say(Beacon(0, b"the best"))
    node.net.run(1)
    assert not other.of(Beacon) and not other.of(Prune) and not barred.of(Graft)
    assert barred.of(Beacon) == behind.of(Beacon) == [Beacon(0, b"the best")]
    barred.say(Prune(0))
    node.net.run(5)
    barred.say(Beacon(0, b"the next"))
    assert barred.of(Graft) == [Graft(None)] and other.of(Beacon) == [Beacon(0, b"the next")]


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
    assert peer.closed == "a GRAFT for what was never here" and node.reads == [] and len(peer.heard) < 30


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


def held(node: Node, seconds: float) -> Envelope:
    """An envelope that is so old already."""
    return envelope(node.net.rng, node.net.wall_ms - round(1000 * seconds))


@pytest.mark.mesh_attack("N19")
@pytest.mark.parametrize("age", [0.0, 1800.0])
def test_what_came_after_all_is_held_against_nobody(node: Node, age: float) -> None:
    slow = Hostile(node)
    for _ in range(40):
        env = held(node, age)
        slow.say(IHave(((env.eid[:16], 1),)))
        node.net.run(6)
        assert slow.of(Want)[-1].ids == (env.eid[:16],)
        slow.say(Batch(0, (env.raw,), False))
        slow.say(Ping(0))
    for _ in range(6):
        node.net.run(6)
        slow.say(Ping(0))
    assert not slow.closed and len(node.arrived()) == 40


def test_the_rest_of_what_is_overdue_on_a_link_is_wanted_together_with_the_graft(node: Node) -> None:
    peer = Hostile(node)
    ids = [bytes([7]) + node.net.rng.randbytes(15) for _ in range(200)]
    peer.say(IHave(tuple((prefix, 1) for prefix in ids)))
    while not peer.of(Graft):
        node.net.run(0.005)
    wanted = [prefix for want in peer.of(Want) for prefix in want.ids]
    assert [peer.of(Graft)[0].prefix, *wanted] == sorted(ids)


def liars(node: Node, count: int) -> list[Hostile]:
    return [Hostile(node, 110 + n, link=110 + n) for n in range(count)]


@pytest.mark.mesh_attack("N03")
@pytest.mark.parametrize("count", [3, 12])
def test_an_honest_announcer_is_asked_at_once_when_liars_that_let_us_down_announce_first(
    node: Node, count: int
) -> None:
    many, honest = liars(node, count), Hostile(node, 98, link=78)
    asked_after = []
    for _ in range(8):
        env = envelope(node.net.rng, node.net.wall_ms)
        for peer in (*many, honest):
            peer.say(IHave(((env.eid[:16], 1),)))
        for tenths in range(400):
            node.net.run(0.1)
            if any(frame.prefix == env.eid[:16] for frame in honest.of(Graft)) or any(
                env.eid[:16] in frame.ids for frame in honest.of(Want)
            ):
                honest.say(Push(1, env.raw))
                asked_after.append(tenths / 10)
                break
        for peer in (*many, honest):
            peer.say(Ping(0))
    assert len(node.arrived()) >= 8 - (count - 1) // MAX_GRAFTS
    assert max(asked_after[-3:]) <= LATE + 0.2


@pytest.mark.mesh_attack("N13")
def test_what_liars_announce_and_withhold_is_found_by_sync_with_the_others(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    many, other = liars(node, 6), Hostile(node, 98, link=78)
    node.net.run(3)
    before = len(other.of(Days)), len(many[0].of(Days))
    for peer in many:
        peer.say(IHave(((env.eid[:16], 1),)))
    for _ in range(4):
        node.net.run(10)
        for peer in (*many, other):
            peer.say(Ping(0))
    assert len(other.of(Days)) == before[0] + 1, "who broke no promise is asked for all it has"
    assert len(many[0].of(Days)) == before[1], "who did is not"


@pytest.mark.mesh_attack("N19")
def test_who_asks_for_more_than_its_link_may_carry_is_told_to_want_it_and_not_blamed(node: Node) -> None:
    peer = Hostile(node, hello=False)
    peer.say(Hello(0, b"hostile!", (), frozenset(), 65_519, 0, node.now.wall_ms, 40))
    peer.say(Prune(60))
    envs = [envelope(node.net.rng, node.net.wall_ms) for _ in range(100)]
    for env in envs:
        node.publish(env)
    node.net.run(0.1)
    peer.heard.clear()
    for env in envs:
        peer.say(Graft(env.eid[:16]))
    node.net.run(0.03)
    pushed = {push.envelope for push in peer.of(Push)}
    told = {prefix for frame in peer.of(IHave) for prefix, hop in frame.ids if hop == NOT_COMING}
    assert len(pushed) >= 20 and len(told) >= 30
    assert {env.eid[:16] for env in envs if env.raw not in pushed} == told
    assert not peer.closed and node.reads == []


@pytest.mark.mesh_attack("N19")
def test_of_a_flood_of_ephemerals_no_more_is_announced_than_can_be_sent_to_who_asks(node: Node) -> None:
    peer = Hostile(node, hello=False)
    peer.say(Hello(0, b"hostile!", (), frozenset(), 65_519, 0, node.now.wall_ms, 40))
    peer.say(Prune(60))
    fleeting = [envelope(node.net.rng, node.net.wall_ms, ephemeral=True) for _ in range(30)]
    kept = [envelope(node.net.rng, node.net.wall_ms) for _ in range(60)]
    for env in (*fleeting, *kept):
        node.publish(env)
    node.net.run(0.1)
    told = {prefix for frame in peer.of(IHave) for prefix, _ in frame.ids}
    promised = [env for env in fleeting if env.eid[:16] in told]
    assert 1 <= len(promised) <= 10 and told >= {env.eid[:16] for env in kept}
    for env in (*kept, *promised):
        peer.say(Graft(env.eid[:16]))
    pushed = {push.envelope for push in peer.of(Push)}
    assert {env.raw for env in promised} <= pushed, "no store has them: who asks gets them, or is let down"
    assert not {env.raw for env in kept} <= pushed and not peer.closed

"""Who gets linked to whom: views, exchange of node records, degree, sybils, the death of many."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from node.crypto import noderec
from node.mesh.degree import target_degree
from node.mesh.limits import MAX_LINKS, is_public
from node.mesh.ports import AddAddress, CloseLink, Dial, MeshEffect, PeerDown, Resumed, SendBytes
from node.mesh.spreading import Unasked
from node.wire import frame_bytes
from node.wire.frames import PeerExchange
from tests.mesh.meshnet import Net, Node, chain

SETTLED = 200.0
"""Seconds after which a mesh of a few dozen has found itself."""


def degree(node: Node) -> int:
    return len({peer.peer for peer in node.mesh.peers(node.now)})


def islands(net: Net) -> list[set[str]]:
    """The parts into which live links divide the living nodes."""
    names = {node.key.hex(): node.name for node in net.nodes.values() if node.alive}
    links = {
        node.name: {names[p.peer] for p in node.mesh.peers(node.now) if p.peer in names}
        for node in net.nodes.values()
        if node.alive
    }
    parts: list[set[str]] = []
    left = set(links)
    while left:
        part, edge = set(), {min(left)}
        while edge:
            part |= edge
            edge = {there for name in edge for there in links[name]} - part
        parts.append(part)
        left -= part
    return parts


def crowd(net: Net, count: int) -> list[Node]:
    return [net.node(f"n{number}.x{number}") for number in range(count)]


@st.composite
def introductions(draw: st.DrawFn) -> tuple[int, int, list[int]]:
    """A seed, and for each node but the first an earlier one that introduces it: a connected graph."""
    count = draw(st.integers(5, 16))
    return draw(st.integers(0, 99)), count, [draw(st.integers(0, n)) for n in range(count - 1)]


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(introductions())
def test_from_any_introductions_a_connected_mesh_of_bounded_degree_grows(
    plan: tuple[int, int, list[int]],
) -> None:
    seed, count, introduced_by = plan
    net = Net(seed)
    nodes = crowd(net, count)
    for number, earlier in enumerate(introduced_by, 1):
        nodes[number].add(nodes[earlier].address)
    net.run(SETTLED)
    assert len(islands(net)) == 1
    least = min(target_degree(count), count - 1)
    for node in nodes:
        assert min(least, 3) <= degree(node) <= MAX_LINKS
        assert sum(isinstance(e, Dial) for e in node.effects) <= 8 * count + SETTLED / 2
    assert sum(degree(n) >= least for n in nodes) >= count * 3 // 4


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(introductions())
def test_the_rest_finds_together_again_after_half_of_the_nodes_die(plan: tuple[int, int, list[int]]) -> None:
    seed, count, introduced_by = plan
    net = Net(seed)
    nodes = crowd(net, count)
    for number, earlier in enumerate(introduced_by, 1):
        nodes[number].add(nodes[earlier].address)
    net.run(SETTLED)
    for node in net.rng.sample(nodes, count // 2):
        node.stop()
    net.run(120)
    assert len(islands(net)) == 1


def test_a_star_becomes_a_mesh_that_outlives_its_middle() -> None:
    net = Net()
    nodes = crowd(net, 24)
    for node in nodes[1:]:
        node.add(nodes[0].address)
    net.run(SETTLED)
    nodes[0].stop()
    net.run(30)
    assert len(islands(net)) == 1
    assert all(3 <= degree(node) <= 16 for node in nodes[1:])


@pytest.mark.mesh_attack("N12")
def test_halves_that_are_content_find_together_again_when_they_can() -> None:
    """M3: no half lacks a link, nor has named nodes of the other: one more is dialled now and then."""
    net = Net(3)
    nodes = crowd(net, 20)
    for number, node in enumerate(nodes[1:], 1):
        node.add(nodes[net.rng.randrange(number)].address, "px")
    net.run(150)
    net.cut |= {frozenset((a.name, b.name)) for a in nodes[:10] for b in nodes[10:]}
    net.run(400)
    assert [len(part) for part in islands(net)] == [10, 10]
    net.cut.clear()
    net.run(700)
    assert len(islands(net)) == 1
    assert all(degree(node) <= target_degree(20) + 8 for node in nodes)


def test_only_what_strangers_named_is_dialled_as_such() -> None:
    net = Net()
    nodes = crowd(net, 6)
    for node in nodes[1:]:
        node.add(nodes[0].address, "contact" if node is nodes[1] else "configured")
    net.run(60)
    dials = [e for node in nodes for e in node.effects if isinstance(e, Dial)]
    assert len(dials) > 8
    assert all(dial.public_only == (dial.address != nodes[0].address) for dial in dials)


def test_up_to_six_nodes_are_all_linked_to_all() -> None:
    net = Net()
    nodes = crowd(net, 6)
    for earlier, later in pairwise(nodes):
        later.add(earlier.address)
    net.run(SETTLED)
    assert [degree(node) for node in nodes] == [5] * 6


def test_the_same_seed_gives_the_same_links() -> None:
    def run() -> list[tuple[str, str]]:
        net = Net(7)
        nodes = crowd(net, 10)
        for node in nodes[1:]:
            node.add(nodes[0].address)
        net.run(90)
        return [(node.name, peer.peer) for node in nodes for peer in node.mesh.peers(node.now)]

    assert run() == run()


def test_half_of_the_links_are_of_our_own_choice() -> None:
    net = Net()
    nodes = crowd(net, 30)
    for number, node in enumerate(nodes[1:], 1):
        node.add(nodes[net.rng.randrange(number)].address)
    net.run(300)
    for node in nodes:
        out = sum(peer.direction == "out" for peer in node.mesh.peers(node.now))
        assert out >= ceil(target_degree(30) / 2) - 1, node.name


def test_surplus_links_go_gently_and_never_those_to_friends() -> None:
    net = Net()
    nodes = crowd(net, 16)
    hub = nodes[0]
    for node in nodes[1:]:
        hub.add(node.address, "contact" if node in nodes[1:7] else "px")
        hub.mesh._book.target = 15  # dialled when more were wanted
        hub.mesh._overlay.settle = lambda: None  # type: ignore[method-assign] # of a test
    net.run(5)
    assert degree(hub) == 15
    del hub.mesh._overlay.settle
    hub.mesh._overlay.settle()
    before = sum(isinstance(e, CloseLink) for e in hub.effects)
    net.run(20)
    assert sum(isinstance(e, CloseLink) for e in hub.effects) == before, "links are left alone at first"
    net.run(20)
    assert sum(isinstance(e, CloseLink) for e in hub.effects) - before in {1, 2}, "one after the other"
    net.run(200)
    assert degree(hub) <= target_degree(16) + 4
    linked = {peer.peer for peer in hub.mesh.peers(hub.now)}
    assert all(friend.key.hex() in linked for friend in nodes[1:7])


def test_a_node_that_nobody_can_dial_keeps_the_two_relays_it_dialled() -> None:
    net = Net()
    hub = net.node("hub")
    nodes = [
        net.node(f"n{n}.x{n}", roles=frozenset({"relay"} if n in {4, 9} else {"hold"})) for n in range(16)
    ]
    hub.mesh._book.target = 16  # dialled when more were wanted
    hub.mesh._overlay.settle = lambda: None  # type: ignore[method-assign] # of a test
    for node in nodes:
        hub.add(node.address, "px")
    net.run(5)
    del hub.mesh._overlay.settle
    hub.mesh._overlay.settle()
    assert degree(hub) == 16 and not hub.mesh._overlay.reached
    net.run(250)
    linked = {peer.peer for peer in hub.mesh.peers(hub.now)}
    assert degree(hub) <= target_degree(17) + 2
    assert {nodes[4].key.hex(), nodes[9].key.hex()} <= linked
    assert set(hub.mesh.relays()) == {nodes[4].address, nodes[9].address}


# peer exchange


def px_answers(node: Node, asker: Node, net: Net, monkey: list[PeerExchange]) -> None:
    """Let `asker` put one question, and keep what it is answered in `monkey`."""
    inner = asker.mesh._overlay.on_px

    def spy(near: object, frame: PeerExchange, now: object) -> None:
        if frame.records is not None:
            monkey.append(frame)
        inner(near, frame, now)  # type: ignore[arg-type] # passed through

    asker.mesh._overlay.on_px = spy  # type: ignore[method-assign] # of a test


@pytest.mark.mesh_attack("N21")
def test_an_answer_does_not_depend_on_who_is_linked() -> None:
    """Of two nodes that heard the same, one links to what it heard of, and both give the same answers."""
    net = Net()
    told = [
        noderec.make_record(
            bytes([n]) * 32,
            addresses=(f"ws://h{n}.x{n}:1",),
            roles=frozenset(),
            seq=1,
            now=net.node(f"x{n}").now,
        )
        for n in range(100, 104)
    ]
    from node.mesh.passive import PassiveView

    views = [PassiveView(b"o" * 32, (), lambda: 0.3) for _ in range(2)]
    now = next(iter(net.nodes.values())).now
    for view in views:
        for raw in told:
            record = view.check(raw, now)
            assert record is not None
            view.take(record, b"t" * 32, now=now.mono)
    views[0].was_linked(noderec.read_record(told[0]).node_key, now=now.mono)
    assert views[0].sample(16, leave_out=b"") == views[1].sample(16, leave_out=b"")


@pytest.mark.mesh_attack("N21")
def test_nobody_is_told_of_who_has_not_told_of_itself() -> None:
    """Contacts' and configured nodes, and who has no public address, are in no answer."""
    net = Net()
    hub = net.node("hub.net")
    hidden = [net.node(f"h{n}") for n in range(3)]
    for node in hidden:
        hub.add(node.address, "contact")
    asker = net.node("asker.org")
    asker.add(hub.address)
    answers: list[PeerExchange] = []
    px_answers(hub, asker, net, answers)
    net.run(200)
    told = {noderec.read_record(raw).node_key for a in answers for raw in a.records or ()}
    assert told == {hub.key}


@pytest.mark.mesh_attack("N21")
def test_records_of_private_addresses_are_neither_kept_nor_dialled() -> None:
    net = Net()
    a, b = net.node("a.net"), net.node("b.org")
    b.add(a.address)
    net.run(3)
    addresses = ("ws://10.0.0.1:1", "ws://127.0.0.1:80", "ws://[fe80::1]:1", "ws://router.local:1")
    record = noderec.make_record(bytes([77]) * 32, addresses=addresses, roles=frozenset(), seq=5, now=a.now)
    b.mesh._overlay.passive.sample = lambda *_a, **_k: [record]  # type: ignore[method-assign] # of a test
    net.run(200)
    assert {e.address for e in a.effects if isinstance(e, Dial)} <= {b.address}
    assert all(is_public(e.address) for e in a.effects if isinstance(e, Dial))


def ask(node: Node, link: int, frame: PeerExchange) -> list[MeshEffect]:
    """Give a node a PX frame as if it had come over a link; faults are blamed on the peer."""
    near = node.mesh._near[link]
    before = len(node.mesh._effects)
    node.mesh._on_frame(near, frame_bytes.encode(frame), node.now)
    node.mesh._flush(node.now)
    effects = list(node.mesh._effects[before:])
    node.mesh._effects.clear()
    return effects


@pytest.mark.mesh_attack("N21")
def test_questions_beyond_the_rate_are_not_answered_and_end_in_refusal() -> None:
    net = Net()
    a, _ = chain(net, "a", "b")
    (link,) = a.mesh._near
    sent = [sum(isinstance(e, SendBytes) for e in ask(a, link, PeerExchange(None))) for _ in range(19)]
    assert sum(sent) <= 3
    for _ in range(6):
        if link in a.mesh._near:
            ask(a, link, PeerExchange(None))
    assert link not in a.mesh._near


@pytest.mark.mesh_attack("N21")
def test_records_that_nobody_asked_for_are_held_against_a_peer() -> None:
    net = Net()
    a, _ = chain(net, "a", "b")
    net.run(5)
    (link,) = a.mesh._near
    for _ in range(20):
        ask(a, link, PeerExchange(()))
    assert a.mesh._near == {}


@pytest.mark.mesh_attack("N21")
def test_a_forged_record_is_a_fault_and_changes_nothing() -> None:
    net = Net()
    a, b = net.node("a.net"), net.node("b.org")
    b.add(a.address)
    net.run(3)
    good = noderec.make_record(
        bytes([77]) * 32, addresses=("ws://e.example:1",), roles=frozenset(), seq=5, now=a.now
    )
    forged = good[:-1] + bytes([good[-1] ^ 1])
    b.mesh._overlay.passive.sample = lambda *_a, **_k: [forged]  # type: ignore[method-assign] # of a test
    net.run(400)
    assert a.mesh._book.source_of("ws://e.example:1") is None


# attacks


@pytest.mark.mesh_attack("N13")
def test_sybils_that_know_only_each_other_do_not_get_all_links() -> None:
    """12 sybils dial the victim and tell of one another alone: half of its links stay of its own choice."""
    net = Net()
    honest = crowd(net, 12)
    for node in honest[1:]:
        node.add(honest[0].address)
    net.run(SETTLED)
    sybils = [net.node(f"s{n}.of.evil") for n in range(12)]
    records = [s.mesh._overlay._own_record(s.now) for s in sybils]
    victim = honest[5]
    for sybil in sybils:
        sybil.mesh._overlay.passive.sample = (  # type: ignore[method-assign] # of a test
            lambda count, **_k: [r for r in records if r is not None][:count]
        )
        sybil.add(victim.address)
    net.run(240)
    good = {node.key.hex() for node in honest}
    linked = {peer.peer for peer in victim.mesh.peers(victim.now)}
    assert len(linked & good) >= 4
    known = [k for k in victim.mesh._overlay.passive if k.node_key.hex() not in good]
    assert len(known) <= 2, "one domain has two places in the view"


@pytest.mark.mesh_attack("N13")
def test_a_friend_is_let_in_when_strangers_hold_every_place() -> None:
    net = Net()
    a = net.node("a")
    friend = net.node("friend")
    a.add(friend.address, "contact")
    net.run(2)
    friend_key = friend.key
    for number in range(MAX_LINKS + 4):
        net.node(f"s{number}").add(a.address)
    friend.stop()
    net.run(10)
    assert degree(a) == MAX_LINKS or degree(a) > MAX_LINKS * 3 // 4
    friend.start()
    friend.add(a.address)
    net.run(3)
    assert friend_key.hex() in {peer.peer for peer in a.mesh.peers(a.now)}
    assert degree(a) <= MAX_LINKS


@pytest.mark.mesh_attack("N13")
def test_a_contact_is_let_in_when_co_members_hold_every_place() -> None:
    """Anybody may enter an open room, with as many accounts as they like: none shuts a contact out."""
    net = Net()
    a, contact = net.node("a"), net.node("contact")
    a.add(contact.address, "contact")
    net.run(2)
    contact.stop()
    for number in range(MAX_LINKS):
        sybil = net.node(f"s{number}")
        a.put(AddAddress(f"ws://gone{number}.example:1", "room", sybil.key))
        sybil.add(a.address)
    net.run(20)
    assert degree(a) == MAX_LINKS
    contact.start()
    contact.add(a.address)
    net.run(3)
    assert contact.key.hex() in {peer.peer for peer in a.mesh.peers(a.now)}
    assert degree(a) <= MAX_LINKS


def test_a_machine_that_slept_redials_within_a_second() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    for wire in set(b.wires.values()):
        wire.open = False  # gone while asleep: nobody says so
    b.effects.clear()
    net.run(1)
    b.put(Resumed())
    net.run(1.0)
    assert sum(isinstance(e, PeerDown) for e in b.effects) == 1
    assert any(isinstance(e, Dial) for e in b.effects)
    net.run(1.0)
    assert degree(b) == 1
    assert a.alive


def test_a_gap_in_the_clocks_is_taken_for_sleep() -> None:
    net = Net()
    _, b = chain(net, "a", "b")
    for wire in set(b.wires.values()):
        wire.open = False
    net.time += 3_600
    net.wall_ms += 3_600_000
    net.run(1.0)
    assert sum(isinstance(e, PeerDown) for e in b.effects) == 1
    net.run(1.0)
    assert degree(b) == 1


def test_a_clock_that_is_set_costs_a_ping_and_no_link() -> None:
    net = Net()
    _, b = chain(net, "a", "b")
    b.skew_ms = 86_400_000
    net.run(20)
    b.skew_ms = 0
    net.run(20)
    assert degree(b) == 1 and not any(isinstance(e, PeerDown) for e in b.effects)


@pytest.mark.mesh_attack("N15")
def test_a_node_whose_clock_is_a_day_and_more_off_is_told_of_and_learns() -> None:
    """Records are dated by mesh time: for a clock 30 hours off they would be out of their time."""
    for skew_h in (30, -30):
        net = Net()
        net.wall_ms += 10 * 3_600_000  # 30 hours later it is the day after tomorrow
        nodes = crowd(net, 8)
        odd = nodes[3]
        odd.skew_ms = skew_h * 3_600_000
        for node in nodes[1:]:
            node.add(nodes[0].address)
        net.run(SETTLED)
        assert odd.key in {known.node_key for known in nodes[6].mesh._overlay.passive}
        assert len(odd.mesh._overlay.passive) >= 6
        assert len(islands(net)) == 1


def test_two_answers_that_come_late_and_together_are_no_violation() -> None:
    net = Net(latency=0.001)
    a, b = net.node("a.net"), net.node("b.org")
    b.add(a.address)
    net.run(3)
    (near,) = a.mesh._near.values()
    a.mesh._overlay._talks[near.link.number].asked_at = float("-inf")
    a.mesh._overlay._ask(near, a.now.mono)
    a.mesh._overlay._talks[near.link.number].asked_at = float("-inf")
    a.mesh._overlay._ask(near, a.now.mono)
    for _ in range(2):
        a.mesh._overlay.on_px(near, PeerExchange(()), a.now)
    with pytest.raises(Unasked):
        a.mesh._overlay.on_px(near, PeerExchange(()), a.now)


@pytest.mark.parametrize(("nodes", "wanted"), [(1, 3), (2, 3), (5, 4), (6, 5), (7, 4), (30, 6), (1_000, 8)])
def test_the_target_grows_with_the_logarithm(nodes: int, wanted: int) -> None:
    assert target_degree(nodes) == wanted

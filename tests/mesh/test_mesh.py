"""Meshes among themselves, on a virtual clock."""

from __future__ import annotations

import pytest

from node.clock import DAY_MS
from node.mesh.ports import (
    Arrived,
    CloseLink,
    Dial,
    HeldRead,
    InStep,
    LinkBytes,
    LinkClosed,
    LinkDrained,
    PeerDown,
    PeerUp,
    Publish,
    RemoveAddress,
    SendBytes,
    SyncFinished,
    Taken,
)
from tests.mesh.meshnet import Net, Node, chain, envelope

HOUR_MS = 3_600_000


def kinds(node: Node, kind: type) -> int:
    return sum(isinstance(effect, kind) for effect in node.effects)


def test_two_nodes_find_each_other_and_sync() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    assert [e.node_key for e in a.effects if isinstance(e, PeerUp)] == [b.key]
    assert [e.node_key for e in b.effects if isinstance(e, PeerUp)] == [a.key]
    assert a.mesh.connectivity == b.mesh.connectivity == "synced"
    (info,) = b.mesh.peers(b.now)
    assert (info.peer, info.address, info.direction) == (a.key.hex(), a.address, "out")
    assert info.rtt_ms is not None and 9 <= info.rtt_ms <= 11
    assert kinds(a, SyncFinished) == kinds(b, SyncFinished) == 1


def test_an_envelope_travels_down_a_chain_and_arrives_once_everywhere() -> None:
    net = Net()
    nodes = chain(net, *"abcde")
    env = envelope(net.rng, net.wall_ms)
    nodes[0].publish(env)
    net.run(0.1)
    assert [node.arrived() for node in nodes] == [[], [env], [env], [env], [env]]
    assert all(node.verified == 1 for node in nodes[1:])


def test_someone_elses_envelope_is_passed_on_in_the_same_step() -> None:
    net = Net()
    a, b, _ = chain(net, "a", "b", "c")
    a.publish(envelope(net.rng, net.wall_ms))
    b.effects.clear()
    net.run(0.006)
    assert [type(e) for e in b.effects if isinstance(e, Arrived | SendBytes)] == [Arrived, SendBytes]


def test_in_a_full_mesh_each_node_shows_an_envelope_once() -> None:
    net = Net()
    nodes = [net.node(name) for name in "abcdef"]
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.add(other.address)
    net.run(3)
    assert [len(node.mesh.peers(node.now)) for node in nodes] == [5] * 6
    for node in nodes:
        node.publish(envelope(net.rng, net.wall_ms))
    net.run(1)
    assert net.agree() and all(len(node.arrived()) == 5 for node in nodes)


def test_mutual_dials_leave_one_link() -> None:
    for seed in range(20):
        net = Net(seed)
        a, b = net.node("a"), net.node("b")
        a.add(b.address)
        net.run(net.rng.random() * 0.03)
        b.add(a.address)
        net.run(5)
        assert len(a.mesh.peers(a.now)) == len(b.mesh.peers(b.now)) == 1
        assert kinds(a, PeerUp) - kinds(a, PeerDown) == kinds(b, PeerUp) - kinds(b, PeerDown) == 1
        dials = kinds(a, Dial) + kinds(b, Dial)
        net.run(120)
        assert kinds(a, Dial) + kinds(b, Dial) == dials


def test_a_node_does_not_keep_dialling_itself() -> None:
    net = Net()
    a = net.node("a")
    a.add(a.address)
    net.run(60)
    assert kinds(a, Dial) == 1 and a.mesh.peers(a.now) == [] and kinds(a, PeerUp) == 0
    assert a.mesh.addresses() == [] and a.mesh.connectivity == "alone"


def test_a_peer_that_restarts_is_back_within_two_seconds() -> None:
    for dialler in (0, 1):
        net = Net(dialler)
        nodes = chain(net, "a", "b")
        net.run(30)
        nodes[1 - dialler].stop()
        net.run(0.7)
        nodes[1 - dialler].start()
        if dialler == 0:
            nodes[1].add(nodes[0].address)
        net.run(2)
        assert all(len(node.mesh.peers(node.now)) == 1 for node in nodes)
        env = envelope(net.rng, net.wall_ms)
        nodes[0].publish(env)
        net.run(0.1)
        assert env in nodes[1].arrived()


def test_a_peer_that_restarts_while_the_old_link_seems_open_replaces_it() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    b.alive = False
    b.start()  # the old link is not closed: a does not know
    b.add(a.address)
    net.run(6)  # for 5 s it might be a clone
    assert len(a.mesh.peers(a.now)) == len(b.mesh.peers(b.now)) == 1
    assert kinds(a, PeerUp) == 1 and kinds(a, PeerDown) == 0
    env = envelope(net.rng, net.wall_ms)
    a.publish(env)
    net.run(0.1)
    assert b.arrived() == [env]


def test_dials_back_off_to_fifteen_seconds_and_start_over_when_the_owner_asks() -> None:
    net = Net()
    a = net.node("a")
    a.add("ws://nobody:1")
    net.run(60)
    assert 6 <= kinds(a, Dial) <= 9
    before = kinds(a, Dial)
    a.add("ws://nobody:1")
    net.run(0.5)
    assert kinds(a, Dial) == before + 1


def test_a_removed_address_is_left_and_not_dialled_again() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    b.put(RemoveAddress(a.address))
    net.run(60)
    assert a.mesh.peers(a.now) == b.mesh.peers(b.now) == []
    assert kinds(a, PeerDown) == kinds(b, PeerDown) == 1 and b.mesh.addresses() == []


@pytest.mark.parametrize("missing", [3, 1_500])
def test_a_newcomer_catches_up_from_one_holder(missing: int) -> None:
    net = Net()
    a, b = net.node("a"), net.node("b")
    for at in range(missing):
        env = envelope(net.rng, net.wall_ms - at * HOUR_MS // 4, size=net.rng.choice([40, 3_000]))
        a.publish(env)
    b.add(a.address)
    net.run(5)
    assert net.agree() and len(b.store) == missing
    assert [e.missing_answered for e in b.effects if isinstance(e, SyncFinished)] == [True]
    assert [e.missing_answered for e in a.effects if isinstance(e, SyncFinished)] == [True]


def test_a_short_absence_costs_little_reconciliation() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    for _ in range(2_000):
        a.publish(envelope(net.rng, net.wall_ms))
        net.run(0.002)
    net.run(1)
    assert net.agree()
    b.stop()
    net.run(1)
    late = [envelope(net.rng, net.wall_ms + n) for n in range(10)]
    for env in late:
        a.publish(env)
    b.start()
    net.traffic = 0
    b.add(a.address)
    net.run(1)
    assert net.agree()
    assert net.traffic < sum(len(e.raw) + 40 for e in late) + 3_000


def test_both_sides_lack_something_of_the_same_day() -> None:
    net = Net()
    a, b = net.node("a"), net.node("b")
    shared = [envelope(net.rng, net.wall_ms - n * 1_000) for n in range(300)]
    for env in shared:
        a.publish(env)
        b.publish(env)
    for n in range(700):
        (a if n % 2 else b).publish(envelope(net.rng, net.wall_ms - net.rng.randrange(300_000)))
    b.add(a.address)
    net.run(5)
    assert net.agree() and len(a.store) == 1_000


def test_catch_up_resumes_after_a_broken_link() -> None:
    net = Net()
    a, b = net.node("a"), net.node("b")
    for at in range(2_000):
        a.publish(envelope(net.rng, net.wall_ms - at * 20_000))
    b.add(a.address)
    for _ in range(200):
        net.run(0.06)
        for wire in list(b.wires.values()):
            net.close(wire, "broken")
        if len(b.store) == 2_000:
            break
        net.run(0.9)
    net.run(5)
    assert net.agree()
    assert b.verified == 2_000


def test_live_envelopes_pass_a_catch_up_under_way() -> None:
    net = Net(latency=0.05)
    a, b = net.node("a"), net.node("b")
    for at in range(5_000):
        a.publish(envelope(net.rng, net.wall_ms - at * 1_000))
    b.add(a.address)
    net.run(0.6)
    assert 0 < len(b.store) < 4_000
    env = envelope(net.rng, net.wall_ms)
    a.publish(env)
    net.run(0.051)
    assert env.eid in b.store and len(b.store) < 4_500


def test_what_a_sync_brought_reaches_the_third_node() -> None:
    net = Net()
    a, b, c = net.node("a"), net.node("b"), net.node("c")
    c.add(b.address)
    net.run(1)
    for at in range(400):
        a.publish(envelope(net.rng, net.wall_ms - at * HOUR_MS))
    b.add(a.address)
    net.run(3)
    assert net.agree() and len(c.store) == 400


@pytest.mark.mesh_attack("N06")
def test_an_old_envelope_by_push_is_asked_for_by_id() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    env = envelope(net.rng, net.wall_ms - 2 * HOUR_MS)
    a.publish(env)
    net.run(0.006)
    assert b.arrived() == []
    net.run(0.1)
    assert b.arrived() == [env]


def test_time_windows_are_kept() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    good = [
        envelope(net.rng, net.wall_ms - 100_000, ephemeral=True),
        envelope(net.rng, net.wall_ms + 100_000, ephemeral=True),
        envelope(net.rng, net.wall_ms + 47 * HOUR_MS),
        envelope(net.rng, net.wall_ms - 34 * DAY_MS),
    ]
    bad = [
        envelope(net.rng, net.wall_ms - 130_000, ephemeral=True),
        envelope(net.rng, net.wall_ms + 130_000, ephemeral=True),
        envelope(net.rng, net.wall_ms + 49 * HOUR_MS),
        envelope(net.rng, net.wall_ms - 36 * DAY_MS),
        envelope(net.rng, net.wall_ms - 2 * DAY_MS, ttl_days=1),
    ]
    for env in good + bad:
        a.put(Publish((env,)))
        a.store[env.eid] = env
    net.run(1)
    assert {e.eid for e in b.arrived()} == {e.eid for e in good}
    assert len(b.mesh.peers(b.now)) == 1, "nobody is blamed for the time"


def test_ephemerals_are_gossiped_once_and_never_synced() -> None:
    net = Net()
    a, _, c = chain(net, "a", "b", "c")
    env = envelope(net.rng, net.wall_ms, ephemeral=True)
    a.publish(env)
    a.publish(env)
    net.run(0.1)
    assert c.arrived() == [env] and c.store == {}
    d = net.node("d")
    d.add(a.address)
    net.run(5)
    assert d.arrived() == []


@pytest.mark.mesh_attack("N07")
def test_a_forged_envelope_goes_nowhere_and_costs_one_check() -> None:
    """M2."""
    net = Net()
    a, b, c = chain(net, "a", "b", "c")
    env = envelope(net.rng, net.wall_ms)
    forged = type(env)(**{f: getattr(env, f) for f in env.__slots__} | {"raw": env.raw[:-1] + b"\0"})
    for _ in range(3):
        a.put(Publish((forged,)))
        net.run(0.1)
    assert b.arrived() == c.arrived() == [] and b.verified == 1
    assert len(b.mesh.peers(b.now)) == 2


@pytest.mark.mesh_attack("N07")
def test_five_forgeries_get_a_peer_refused() -> None:
    net = Net()
    a, b, _ = chain(net, "a", "b", "c")
    for _ in range(5):
        env = envelope(net.rng, net.wall_ms)
        a.put(
            Publish(
                (type(env)(**{f: getattr(env, f) for f in env.__slots__} | {"raw": env.raw[:-1] + b"\0"}),)
            )
        )
    net.run(60)
    assert [p.peer for p in b.mesh.peers(b.now)] == [net.nodes["c"].key.hex()]


def test_nodes_of_two_networks_do_not_link() -> None:
    net = Net()
    a, b = net.node("a", psk=b"p" * 32), net.node("b")
    c = net.node("c", psk=b"p" * 32)
    b.add(a.address)
    c.add(a.address)
    net.run(5)
    assert [p.peer for p in a.mesh.peers(a.now)] == [c.key.hex()]
    assert b.mesh.peers(b.now) == []


def test_an_inbound_link_can_be_removed_by_where_it_comes_from() -> None:
    net = Net()
    a, _ = chain(net, "a", "b")
    (info,) = a.mesh.peers(a.now)
    a.put(RemoveAddress(info.address))
    assert a.mesh.peers(a.now) == []


def test_a_silent_peer_is_given_up_after_25_seconds() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    net.cut.add(frozenset("ab"))
    net.run(14)
    assert len(a.mesh.peers(a.now)) == 1
    net.run(13)
    assert a.mesh.peers(a.now) == b.mesh.peers(b.now) == []
    net.cut.clear()
    net.run(16)
    assert len(a.mesh.peers(a.now)) == len(b.mesh.peers(b.now)) == 1


def test_request_sync_finds_what_gossip_lost() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    net.run(20)
    env = envelope(net.rng, net.wall_ms)
    a.store[env.eid] = env
    a.mesh._index.add(env.eid, env.ts_ms, env.expires_ms)  # accepted, but never pushed
    net.run(10)
    assert b.arrived() == []
    b.mesh.request_sync(b.now)
    net.run(2)
    assert b.arrived() == [env]


def test_regular_rounds_find_it_too() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    env = envelope(net.rng, net.wall_ms)
    a.store[env.eid] = env
    a.mesh._index.add(env.eid, env.ts_ms, env.expires_ms)
    net.run(400)
    assert b.arrived() == [env]


def test_expired_envelopes_are_not_counted_or_asked_for() -> None:
    net = Net()
    a, b = net.node("a"), net.node("b")
    env = envelope(net.rng, net.wall_ms - DAY_MS + 2_000, ttl_days=1)
    a.publish(env)
    net.run(3)
    b.add(a.address)
    net.run(3)
    assert b.arrived() == [] and kinds(b, SyncFinished) == 1
    a.mesh.forget([env.eid])
    assert b.verified == 0


def test_a_link_over_its_budget_still_gets_everything() -> None:
    net = Net()
    a, b = net.node("a"), net.node("b")
    b.add(a.address, "px")
    net.run(1)
    for _ in range(1_000):
        a.publish(envelope(net.rng, net.wall_ms))
    net.run(3)
    assert net.agree() and len(b.store) == 1_000


@pytest.mark.mesh_attack("N10")
def test_a_stuck_reader_costs_bounded_memory_and_is_left() -> None:
    """M4."""
    net = Net()
    a, b = chain(net, "a", "b")
    net.cut.add(frozenset("ab"))
    sent = sum(len(e.data) for e in a.effects if isinstance(e, SendBytes))
    for _ in range(300):
        a.publish(envelope(net.rng, net.wall_ms, size=32_000))
    assert sum(len(e.data) for e in a.effects if isinstance(e, SendBytes)) - sent < 330_000
    (near,) = a.mesh._near.values()
    assert near.link._live_bytes <= 1 << 20
    net.run(21)
    assert any(isinstance(e, CloseLink) for e in a.effects)
    net.cut.clear()
    net.run(30)
    assert net.agree()


def test_the_same_seed_gives_the_same_run() -> None:
    def trace(seed: int) -> list[str]:
        net = Net(seed)
        nodes = chain(net, "a", "b", "c")
        for node in nodes:
            node.publish(envelope(net.rng, net.wall_ms))
        net.run(60)
        return [repr(effect) for node in nodes for effect in node.effects]

    assert trace(1) == trace(1)


def test_an_unknown_link_is_ignored() -> None:
    net = Net()
    a = net.node("a")
    for event in (LinkBytes(9, b"x"), LinkClosed(9, ""), LinkDrained(9, 5), HeldRead(9, ())):
        assert a.put(event) == []


def test_who_published_learns_which_peers_have_it_and_which_keep_it_for_others() -> None:
    net = Net()
    a, b, _ = chain(net, "a", "b", "c")
    d = net.node("d", roles=frozenset())
    d.add(a.address)
    net.run(1)
    env, other = envelope(net.rng, net.wall_ms), envelope(net.rng, net.wall_ms)
    a.publish(env, watched=True)
    a.publish(other)
    net.run(0.5)
    told = {e.node_key: (e.holds, e.prefixes) for e in a.effects if isinstance(e, Taken)}
    assert told == {b.key: (True, (env.eid[:16],)), d.key: (False, (env.eid[:16],))}
    assert not [e for e in b.effects if isinstance(e, Taken)]


def test_a_peer_that_takes_nothing_in_is_not_said_to_have_it() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    net.cut.add(frozenset("ab"))
    a.publish(envelope(net.rng, net.wall_ms), watched=True)
    net.run(5)
    assert not [e for e in a.effects if isinstance(e, Taken)]


def test_a_sync_says_that_both_have_the_same_only_when_they_have() -> None:
    net = Net()
    a, b = net.node("a"), net.node("b")
    a.publish(envelope(net.rng, net.wall_ms - HOUR_MS))
    b.add(a.address)
    net.run(0.5)
    assert [type(e) for e in a.effects if isinstance(e, InStep | SyncFinished)] == [SyncFinished]
    net.run(3)
    a.mesh.compare(a.now)
    net.run(3)
    (said,) = (e for e in a.effects if isinstance(e, InStep))
    assert (said.node_key, said.holds) == (b.key, True) and said.until_ms <= net.wall_ms


def test_a_mesh_is_congested_when_every_link_is_and_not_without_links() -> None:
    net = Net()
    assert not net.node("alone").mesh.congested
    _, a, _ = chain(net, "b", "a", "c")
    one, other = (near.link for near in a.mesh._near.values())
    for link, expected in ((one, False), (other, True)):
        while not link.congested:
            assert link.send_promised(bytes(30_000))
        assert a.mesh.congested is expected, "the quickest link counts"

"""Who sends too much is read more slowly and blamed for nothing; a flood leaves others their part."""

from __future__ import annotations

import random

import pytest

from node.mesh import link as links, policing
from node.mesh.limits import BUDGET_STRANGER, MAX_LINKS, TokenBucket
from node.mesh.policing import BURST, FAIR_WITHIN, LENIENCE, MAX_PAUSE, RESERVED, Meter, Shares
from node.mesh.ports import CloseLink, PauseReading
from node.wire.frame_bytes import encode, encode_push
from node.wire.frames import Batch, Ping
from tests.mesh.meshnet import Net, Node, envelope

PUSH = encode_push(1, bytes(700))


def test_the_live_queues_of_all_links_are_64_mib_at_most() -> None:
    assert MAX_LINKS * links.MAX_LIVE_BYTES <= 64 << 20


def test_a_link_at_its_budget_is_always_read_and_one_far_above_it_at_twice_the_budget() -> None:
    meter = Meter(200, now=0.0)
    for second in range(60):
        for _ in range(200):
            meter.took(PUSH)
        assert meter.pause(now=float(second)) == 0.0
    now, taken = 60.0, 0
    while now < 160.0:
        for _ in range(50):
            meter.took(PUSH)
        taken += 50
        now += 0.001 + meter.pause(now=now)
    assert taken == pytest.approx(100 * LENIENCE * 200, rel=0.1)


def test_a_pause_is_short_and_what_is_owed_is_forgotten() -> None:
    meter = Meter(200, now=0.0)
    for _ in range(1_000_000):
        meter.took(PUSH)
    assert meter.pause(now=0.0) == MAX_PAUSE
    assert meter.pause(now=MAX_PAUSE + BURST) == 0.0


def test_what_was_asked_for_costs_nothing_and_small_frames_little() -> None:
    meter = Meter(200, now=0.0)
    for _ in range(100_000):
        meter.took(encode(Batch(0, (), more=False)))
    assert meter.pause(now=0.0) == 0.0
    for _ in range(100_000):
        meter.took(encode(Ping(0)))
    assert meter.pause(now=0.0) == MAX_PAUSE


@pytest.mark.parametrize("flooders", [1, 3])
def test_a_flood_leaves_every_other_origin_its_part_of_a_budget(flooders: int) -> None:
    bucket, shares = TokenBucket(200, now=0.0), Shares(200, now=0.0)
    rng, sent = random.Random(1), dict.fromkeys((b"quiet", *(b"%d" % n for n in range(flooders))), 0)

    def send(origin: bytes, now: float) -> bool:
        left = bucket.left(now=now)
        done = left >= 1 and shares.may(origin, 1, left=left, now=now) and bucket.take(1, now=now)
        sent[origin] += done
        return done

    for step in range(10_000):
        now = step / 1000
        for n in rng.sample(range(flooders), flooders):
            send(b"%d" % n, now)
        if step % 50 == 0:
            assert send(b"quiet", now), "20 a second of 200 found no room"
    assert sum(sent.values()) >= 200 * (9 + RESERVED), "what one leaves, others have"


def test_of_the_reserve_each_origin_has_an_equal_share_and_no_more() -> None:
    shares = Shares(300, now=0.0)
    for origin in (b"one", b"two"):
        assert shares.may(origin, 0.0, left=300.0, now=0.0)
    of_two, of_three = 150 * FAIR_WITHIN, 100 * FAIR_WITHIN
    assert not shares.may(b"three", of_three + 1, left=0.0, now=0.0), "it would be one of three"
    assert not shares.may(b"one", of_two + 1, left=0.0, now=0.0)
    assert shares.may(b"one", of_two, left=0.0, now=0.0)
    assert not shares.may(b"one", 1, left=0.0, now=0.0)
    assert shares.may(b"one", 1, left=300.0, now=0.0), "while more than the reserve is left, anybody may"


def test_origins_that_have_gone_are_forgotten() -> None:
    shares = Shares(200, now=0.0)
    for step in range(10_000):
        shares.may(b"%d" % step, 1, left=200.0, now=step * FAIR_WITHIN / 10)
    assert len(shares._had) <= 20


def star(net: Net) -> tuple[Node, list[Node], Node]:
    """One node in the middle, dialled by three strangers to it; it has dialled a fifth."""
    hub, end = net.node("hub"), net.node("end")
    others = [net.node(name) for name in ("ann", "bob", "cat")]
    for other in others:
        other.add(hub.address)
    hub.add(end.address)
    net.run(1.0)
    return hub, others, end


def paced(net: Net, node: Node, rate: int, seconds: float, *, seed: int) -> list[bytes]:
    """Let a node publish at a rate; returns the ids."""
    rng = random.Random(seed)
    sent = []

    def publish() -> None:
        env = envelope(rng, net.wall_ms)
        sent.append(env.eid)
        node.publish(env)

    for n in range(int(rate * seconds)):
        net.later(n / rate, publish)
    return sent


@pytest.mark.mesh_attack("N19")
def test_an_honest_node_that_is_fed_at_the_limit_on_three_links_is_banned_by_nobody() -> None:
    net = Net()
    hub, others, end = star(net)
    sent = [paced(net, other, BUDGET_STRANGER, 1.5, seed=n) for n, other in enumerate(others)]
    net.run(10.0)
    everything = {eid for part in sent for eid in part}
    assert len(everything) == 900
    for node in (hub, end, *others):
        assert set(node.store) == everything
        assert not [e for e in node.effects if isinstance(e, CloseLink | PauseReading)], node.name
        assert len(node.mesh.peers(node.now)) == (4 if node is hub else 1)


def test_a_sender_without_restraint_is_read_more_slowly_and_not_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policing, "BURST", 1.0)
    net = Net()
    hub, (ann, bob, _), _ = star(net)
    for near in ann.mesh._near.values():
        near.link._budget = TokenBucket(1e9, now=net.time)
        near.link._shares = Shares(1e9, now=net.time)
    paced(net, ann, 3_000, 0.3, seed=1)
    bobs = paced(net, bob, 20, 0.9, seed=2)
    net.run(4.0)
    pauses = {e.link for e in hub.effects if isinstance(e, PauseReading)}
    assert [hub.wires[number].other(number)[1].name for number in pauses] == ["ann"]
    assert not [e for e in hub.effects if isinstance(e, CloseLink)]
    assert set(bobs) <= set(hub.store)


def test_a_flood_from_one_link_does_not_hold_up_what_another_brings() -> None:
    net = Net()
    hub, (ann, bob, _), end = star(net)
    for near in ann.mesh._near.values():
        near.link._budget = TokenBucket(1e9, now=net.time)
        near.link._shares = Shares(1e9, now=net.time)
    paced(net, ann, 700, 1.0, seed=1)
    bobs, late = paced(net, bob, 20, 1.0, seed=2), []
    for n in range(20):
        net.later(n / 20 + 0.03, lambda: late.extend(eid for eid in bobs if eid not in end.store))
    net.run(8.0)
    assert late == [], "two links take 10 ms; what is announced and asked for takes 40 and more"
    assert set(hub.store) == set(end.store)

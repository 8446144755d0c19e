"""When a round is begun: once gossip brings no more of what is missing, or does not in five seconds."""

from __future__ import annotations

import pytest

from node.mesh.ports import DeadlineReached
from node.mesh.rounds import AGAIN_AFTER, LOOK_AFTER, LOOK_UNTIL, SYNC_EVERY
from node.wire.frame_bytes import encode
from node.wire.frames import MAX_HOP, Days, IHave
from tests.mesh.meshnet import Net, Node, chain, envelope
from tests.mesh.test_sync import Heard


def pair() -> tuple[Net, Node, Node]:
    net = Net(latency=0.01)
    a, b = chain(net, "a", "b")
    net.run(20)
    return net, a, b


def test_what_is_missing_is_asked_for_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    net, _, b = pair()
    heard, since = Heard(net, monkeypatch), net.time
    b.mesh.request_sync(b.now)
    net.run(10)
    assert heard.first(Days) - since == pytest.approx(LOOK_AFTER + 0.01, abs=0.02)
    assert len(heard.of(Days)) == 4, "and once more, when nothing from before can be on its way"
    assert heard.last(Days) - since == pytest.approx(LOOK_AFTER + AGAIN_AFTER + 0.02, abs=0.02)


def test_what_was_said_just_before_is_found_as_well() -> None:
    net, a, b = pair()
    lost = envelope(net.rng, net.wall_ms)
    a.store[lost.eid] = lost
    a.mesh._index.add(lost.eid, lost.ts_ms, lost.expires_ms)  # accepted, but never pushed
    b.mesh.request_sync(b.now)
    net.run(LOOK_AFTER + AGAIN_AFTER + 0.5)
    assert b.arrived() == [lost]


def test_a_second_sign_does_not_put_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    net, _, b = pair()
    heard, since = Heard(net, monkeypatch), net.time
    for _ in range(10):
        b.mesh.request_sync(b.now)
        net.run(0.1)
    assert heard.first(Days) - since == pytest.approx(LOOK_AFTER + 0.01, abs=0.02)


def announced(net: Net, a: Node, b: Node, hop: int) -> None:
    """Let `a` announce to `b` what it has not sent: at 127 hops it is wanted, otherwise waited for."""
    env = envelope(net.rng, net.wall_ms)
    a.store[env.eid] = env
    a.mesh._exchange._gossip.accept(env, now=net.time)
    (near,) = a.mesh._near.values()
    near.link.send_control(encode(IHave(((env.eid[:16], hop),))))
    a.put(DeadlineReached())
    net.run(0.05)
    assert b.mesh._exchange.waits


def test_it_waits_for_what_gossip_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    net, a, b = pair()
    heard = Heard(net, monkeypatch)
    announced(net, a, b, 3)
    since = net.time
    b.mesh.request_sync(b.now)
    net.run(10)
    assert not b.mesh._exchange.waits and len(b.arrived()) == 1
    assert 0.4 < heard.first(Days) - since < 1.2, "T1, the GRAFT, and the look after it"


def test_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    net, a, b = pair()
    a.reads = []  # what is asked for does not come
    heard, since = Heard(net, monkeypatch), net.time
    announced(net, a, b, MAX_HOP)
    b.mesh.request_sync(b.now)
    net.run(10)
    assert b.mesh._exchange.waits
    assert heard.first(Days) - since == pytest.approx(LOOK_UNTIL + 0.06, abs=0.02)


def test_now_and_then_one_peer_is_asked_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    net, _, _ = pair()
    heard = Heard(net, monkeypatch)
    net.run(4 * SYNC_EVERY)
    begun = len(heard.of(Days)) // 2
    assert 2 * 3 <= begun <= 2 * 5, "by each of two, 300 s apart, give or take a fifth"

"""Catching up: what it costs, and that whatever went wrong is made good once, from anybody who has it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given as hypothesis_given, settings, strategies as st

from node.clock import DAY_MS
from node.mesh import mesh as mesh_module
from node.mesh.ports import HeldRead, InStep, LinkDrained, SyncFinished
from node.mesh.tried import AGAIN_AFTER
from node.wire import frame_bytes, frames
from node.wire.envelope import Envelope
from node.wire.frames import Batch, Days, Frame, Gone, IHave, NegEnd, NegMsg, NegOpen, Tail, Want
from tests.mesh.meshnet import Net, Node, chain, envelope

SPOKEN = (Days, Tail, NegOpen, NegMsg, NegEnd, Want, Gone, IHave)
COMPARED = (NegOpen, NegMsg, NegEnd)
LEAST_MAX_FRAME = 33_427
"""Of a HELLO: the largest envelope, and what is around it."""


class Heard:
    """Every frame that any node took in, with the time."""

    def __init__(self, net: Net, patch: pytest.MonkeyPatch) -> None:
        self.all: list[tuple[float, Frame, int]] = []

        def decode(data: bytes) -> Frame:
            frame = frame_bytes.decode(data)
            self.all.append((net.time, frame, len(data)))
            return frame

        patch.setattr(mesh_module, "frame_bytes", type("Spy", (), {**vars(frame_bytes), "decode": decode}))

    def spent(self) -> int:
        return sum(size for _, frame, size in self.all if isinstance(frame, SPOKEN))

    def of(self, *kinds: type[Frame]) -> list[Frame]:
        return [frame for _, frame, _ in self.all if isinstance(frame, kinds)]

    def first(self, kind: type[Frame]) -> float:
        return next(at for at, frame, _ in self.all if isinstance(frame, kind))

    def last(self, kind: type[Frame]) -> float:
        return next(at for at, frame, _ in reversed(self.all) if isinstance(frame, kind))


def given(node: Node, envelopes: Iterable[Envelope]) -> None:
    """Let a node have accepted these before it started."""
    node.store |= {env.eid: env for env in envelopes}
    node.start()


def spread(net: Net, count: int, span_ms: int, *, seed: int = 5) -> list[Envelope]:
    rng = random.Random(seed)
    return [envelope(rng, net.wall_ms - 10_000 - rng.randrange(span_ms)) for _ in range(count)]


def two(net: Net, ours: Iterable[Envelope], theirs: Iterable[Envelope]) -> tuple[Node, Node]:
    a, b = net.node("a"), net.node("b")
    given(a, ours)
    given(b, theirs)
    return a, b


@pytest.mark.parametrize("missing", [10, 300])
@pytest.mark.parametrize("days", [0.4, 30])
def test_a_tail_costs_less_than_a_kilobyte_and_two_round_trips(
    missing: int, days: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net(latency=0.05)
    every = sorted(spread(net, 3_000, int(days * DAY_MS)), key=lambda env: env.ts_ms)
    _, b = two(net, every, every[:-missing])
    heard = Heard(net, monkeypatch)
    b.add("ws://a:1")
    net.run(5)
    assert net.agree() and not heard.of(*COMPARED)
    assert heard.spent() <= 1_024
    assert heard.first(Batch) - heard.first(Days) == pytest.approx(
        0.15, abs=0.01
    )  # two round trips, from arrival


@pytest.mark.parametrize("begins", ["a", "b"])
def test_scattered_differences_cost_four_round_trips_whoever_begins(
    begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net(latency=0.05)
    every = spread(net, 4_000, DAY_MS // 3)
    a, b = two(net, every, every[40:])
    heard = Heard(net, monkeypatch)
    (b if begins == "b" else a).add("ws://a:1" if begins == "b" else "ws://b:1")
    net.run(5)
    assert net.agree() and heard.spent() < 50_000
    assert len(heard.of(NegOpen)) == 1
    took = heard.first(Batch) - heard.first(Days)
    assert took == pytest.approx(0.35, abs=0.01)  # four round trips, from arrival
    assert bool(heard.of(Want)) is (begins == "a") and not heard.of(IHave)


def test_no_frame_is_larger_than_the_other_side_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(latency=0.02)
    every = spread(net, 4_000, DAY_MS // 3)
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", LEAST_MAX_FRAME)  # what a HELLO says
    _, b = two(net, every[1_000:], every[:-1_000])
    heard = Heard(net, monkeypatch)
    b.add("ws://a:1")
    net.run(20)
    assert net.agree() and len(heard.of(NegMsg)) > 2 and len(heard.of(Batch)) > 10
    assert max(size for _, _, size in heard.all) <= LEAST_MAX_FRAME


def test_both_sides_lack_something_and_one_comparison_shows_it_to_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Net(latency=0.02)
    every = spread(net, 3_000, DAY_MS // 3)
    a, b = two(net, every[30:], every[:-30])
    heard = Heard(net, monkeypatch)
    b.add(a.address)
    net.run(5)
    assert net.agree() and len(a.store) == 3_000
    assert len(heard.of(NegOpen)) == 1
    assert [e.missing_answered for n in (a, b) for e in n.effects if isinstance(e, SyncFinished)] == [
        True,
        True,
    ]
    net.run(2)
    a.mesh.compare(a.now)
    net.run(3)
    assert any(isinstance(e, InStep) for e in a.effects)


def test_differences_in_many_days_are_compared_a_day_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(latency=0.02)
    every = spread(net, 1_500, 30 * DAY_MS)
    a, b = two(net, every[40:], every[:-40])
    heard = Heard(net, monkeypatch)
    b.add(a.address)
    net.run(15)
    assert net.agree() and len(a.store) == 1_500
    opened = Counter(frame.day for frame in heard.of(NegOpen) if isinstance(frame, NegOpen))
    assert max(opened.values()) == 1


def test_who_comes_back_to_six_peers_is_sent_what_it_missed_once() -> None:
    net = Net(latency=0.03)
    every = spread(net, 2_000, 5 * DAY_MS)
    for name in "abcdef":
        given(net.node(name), every)
    z = net.node("z")
    for name in "abcdef":
        z.add(f"ws://{name}:1")
    net.run(10)
    assert net.agree()
    copies = {info.peer: info.copies for info in z.mesh.peers(z.now)}
    assert sum(copies.values()) <= 2_100
    assert sum(count > 100 for count in copies.values()) >= 3, (
        "the days are shared out among those who have them"
    )


def test_what_gossip_brings_meanwhile_makes_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(latency=0.05)
    every = sorted(spread(net, 2_000, DAY_MS // 3), key=lambda env: env.ts_ms)
    a = net.node("a")
    given(a, every)
    c = net.node("c")
    given(c, every)
    b = net.node("b")
    given(b, every[:500])
    c.add(a.address)
    net.run(3)
    heard = Heard(net, monkeypatch)
    b.add(a.address)
    b.add(c.address)
    for _ in range(20):
        a.publish(envelope(net.rng, net.wall_ms))
        net.run(0.02)
    net.run(5)
    assert net.agree() and not heard.of(*COMPARED)
    assert len(heard.of(Tail)) <= 3


@pytest.mark.mesh_attack("N14")
def test_a_peer_that_withholds_delays_a_day_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(latency=0.02)
    every = spread(net, 300, DAY_MS // 3)
    a, b = two(net, every, every)
    a.reads = []  # never answered: it says what it has and gives nothing
    z = net.node("z")
    z.add(a.address)
    net.run(0.3)
    z.add(b.address)
    net.run(2)
    assert not z.store
    net.run(3)
    assert len(z.store) == 300
    assert not any(e.missing_answered for e in z.effects if isinstance(e, SyncFinished) and e.link in a.wires)


def test_bodies_that_are_gone_are_not_asked_for_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(latency=0.02)
    every = spread(net, 1_000, DAY_MS // 3)
    a, b = two(net, every, every[100:])
    for env in every[:50]:
        del a.store[env.eid]  # accepted, and evicted since
    heard = Heard(net, monkeypatch)
    b.add(a.address)
    net.run(20)
    assert len(b.store) == 950
    for _ in range(5):
        b.mesh.request_sync(b.now)
        a.mesh.request_sync(a.now)
        net.run(20)
    before = len(heard.of(NegOpen))
    assert before <= 3
    for _ in range(8):
        b.mesh.request_sync(b.now)
        net.run(50)
    for wire in list(b.wires.values()):
        net.close(wire, "broken")
    net.run(20)
    assert len(heard.of(NegOpen)) == before, "a new link changes nothing"
    net.run(AGAIN_AFTER)
    b.mesh.request_sync(b.now)
    net.run(5)
    assert len(heard.of(NegOpen)) <= before + 2
    b.publish(envelope(net.rng, net.wall_ms - 20_000))
    net.run(20)
    assert [e.missing_answered for e in b.effects if isinstance(e, SyncFinished)][-1]


def test_the_newest_seconds_are_left_to_gossip() -> None:
    net = Net(latency=0.02)
    a, b = chain(net, "a", "b")
    net.run(5)
    old, new = envelope(net.rng, net.wall_ms - 60_000), envelope(net.rng, net.wall_ms - 1_000)
    for env in (old, new):
        a.store[env.eid] = env
        a.mesh._index.add(env.eid, env.ts_ms, env.expires_ms)
    b.mesh.compare(b.now)
    net.run(2.5)
    assert b.arrived() == [old, new], "a day is streamed to its end"


@pytest.mark.mesh_attack("N18")
def test_a_day_that_ends_while_two_are_linked_is_two_days_for_both() -> None:
    net = Net(latency=0.02)
    net.wall_ms += DAY_MS // 2 - 20_000  # START is at noon
    a, b = chain(net, "a", "b")
    net.cut.add(frozenset("ab"))
    for _ in range(40):
        for node in (a, b):
            node.publish(envelope(net.rng, net.wall_ms))
        net.run(1)
    net.cut.clear()
    net.run(60)
    assert net.agree() and len(a.store) == 80
    assert len(a.mesh._index.numbers()) == 2
    net.run(700)
    a.mesh.compare(a.now)
    net.run(5)
    assert [e for e in a.effects if isinstance(e, InStep)]


@pytest.mark.mesh_attack("N15")
def test_at_the_edge_of_the_horizon_both_leave_out_the_same() -> None:
    net = Net(latency=0.02)
    edge = net.wall_ms - 35 * DAY_MS
    rng = random.Random(1)
    every = [envelope(rng, edge + at * 100 - 5_000) for at in range(200)]
    a, b = two(net, every, [])
    b.add(a.address)
    net.run(10)
    alive = {env.eid for env in every if env.expires_ms > net.wall_ms}
    assert alive <= set(b.store) and len(b.store) < 200
    net.run(30)
    assert len(a.mesh._index) == len(b.mesh._index) == 0 or a.mesh._index.numbers() == b.mesh._index.numbers()


@pytest.mark.mesh_attack("N15")
@pytest.mark.parametrize("hours", [-26, 26])
def test_a_clock_that_is_stepped_by_a_day_loses_nothing(hours: int) -> None:
    """M10."""
    net = Net(latency=0.02)
    a, b = chain(net, "a", "b")
    for step in (0, hours, 0):
        a.skew_ms = step * 3_600_000
        net.cut.add(frozenset("ab"))
        for node in (a, b):
            for _ in range(5):
                node.publish(envelope(net.rng, node.mesh.mesh_time_ms(node.now)))
        net.run(40)
        net.cut.clear()
        net.run(40)
    for node in (a, b):
        node.mesh.request_sync(node.now)
    net.run(30)
    assert net.agree() and len(a.store) == 30


def reached(net: Net, pairs: list[tuple[str, str]], held: set[str], gone: set[str]) -> set[str]:
    """The nodes that an envelope can come to: who evicted it neither fetches it again nor passes it on."""
    found = set(held)
    while more := {two for one, two in pairs if one in found and two not in found | gone}:
        found |= more
    return found


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@hypothesis_given(st.integers(0, 1 << 30), st.sampled_from(["ab bc", "ab bc ca", "ab ac ad", "ab bc cd da"]))
def test_after_quiet_all_have_accepted_what_their_peers_can_give(seed: int, shape: str) -> None:
    """M5."""
    net, rng = Net(seed, latency=0.02), random.Random(seed)
    every = spread(net, 200, rng.choice([DAY_MS // 3, 3 * DAY_MS, 10 * DAY_MS]), seed=seed)
    names = sorted(set(shape) - {" "})
    evicted: dict[bytes, set[str]] = {env.eid: set() for env in every}
    for name in names:
        share = rng.choice([0.0, 0.5, 0.97, 1.0])
        given(net.node(name), [env for env in every if rng.random() < share])
        for eid in [eid for eid in net.nodes[name].store if rng.random() < 0.03]:
            del net.nodes[name].store[eid]  # it counts as accepted, and cannot be sent
            evicted[eid].add(name)
    holders = {eid: {n for n in names if eid in net.nodes[n].store} for eid in evicted}
    links = [(pair[0], pair[1]) for pair in shape.split()]
    for one, two in links:
        net.nodes[one].add(net.nodes[two].address)
    for _ in range(6):
        net.run(rng.uniform(0, 1))
        for wire in list(net.nodes[rng.choice(names)].wires.values()):
            if rng.random() < 0.2:
                net.close(wire, "broken")
        net.nodes[rng.choice(names)].publish(envelope(net.rng, net.wall_ms))
    for _ in range(len(names)):
        net.run(25)
        for node in net.nodes.values():
            node.mesh.request_sync(node.now)
    net.run(25)
    both_ways = links + [(two, one) for one, two in links]
    for eid, gone in evicted.items():
        for name in reached(net, both_ways, holders[eid], gone):
            assert eid[:16] in net.nodes[name].mesh._index, (name, eid)
    for node in net.nodes.values():
        shown = Counter(env.eid for env in node.arrived())
        assert not shown or max(shown.values()) == 1


def answer_late(node: Node) -> None:
    """The store of a node has answered nothing for a while, and now does."""
    orders, node.reads = node.reads or [], None
    for order in orders:
        node.put(HeldRead(order.ticket, *node.read(order.spec)))


@pytest.mark.mesh_attack("N19")
@pytest.mark.parametrize("named", [False, True])
def test_who_answers_too_late_is_not_blamed_and_what_it_sends_counts(named: bool) -> None:
    net = Net(latency=0.02)
    every = [envelope(net.rng, net.wall_ms - 600_000 + at, size=900) for at in range(1_500)]
    a, z = two(net, every, [])
    a.reads = []
    z.add(a.address)
    net.run(0.5)
    if named:
        for env in every[:600]:
            z.mesh._exchange.wants.announced(next(iter(z.wires)), env.eid[:16])
    (link,) = z.wires
    for stall in range(4):
        net.run(21)
        before = len(z.store)
        answer_late(a)
        net.run(0.1)
        assert len(z.store) > before, stall
        a.reads = []
        z.mesh.request_sync(z.now)
        net.run(3)
    assert z.mesh.peers(z.now) and link in z.wires and z.wires[link].open
    score = z.mesh._scores._scores.get(a.key)
    assert score is None or score.violation <= 8
    answer_late(a)
    z.mesh.request_sync(z.now)
    net.run(30)
    assert net.agree()


@pytest.mark.mesh_attack("N14")
def test_a_peer_that_is_owed_nothing_more_is_blamed_for_what_it_sends() -> None:
    net = Net(latency=0.02)
    a, z = two(net, [], [])
    z.add(a.address)
    net.run(1)
    ((number, near),) = a.mesh._near.items()
    for at in range(25):
        envs = tuple(envelope(net.rng, net.wall_ms - at).raw for _ in range(8))
        near.link.send_bulk(frame_bytes.encode(Batch(at % 2, envs, True)))
    a.put(LinkDrained(number, 0))
    net.run(1)
    assert not z.mesh.peers(z.now) and not z.store


@pytest.mark.mesh_attack("N15")
@pytest.mark.parametrize("hours", [-26, 26])
def test_a_day_off_at_the_edge_of_the_horizon_shows_nothing_twice_and_loses_nothing(hours: int) -> None:
    """M1 and M10: one of three has a wrong clock for an hour, and its links break meanwhile."""
    net = Net(latency=0.02)
    edge = net.wall_ms - 34 * DAY_MS - 12 * 3_600_000
    rng = random.Random(1)
    every = [envelope(rng, edge + at * 1_000) for at in range(60)]
    every += [envelope(rng, net.wall_ms - at * 1_000) for at in range(60)]
    a, b = two(net, every, every[::2])
    c = net.node("c")
    for node in (b, c):
        node.add(a.address)
    c.add(b.address)
    net.run(10)
    assert net.agree()
    a.skew_ms = hours * 3_600_000
    for step in range(6):
        net.run(300)
        for wire in list(a.wires.values()):
            net.close(wire, "broken")
        for node in (a, b, c):
            node.publish(envelope(net.rng, node.mesh.mesh_time_ms(node.now)))
        if step == 3:
            a.skew_ms = 0
    net.run(700)
    for node in (a, b, c):
        node.mesh.request_sync(node.now)
    net.run(30)
    assert net.agree() and len(a.store) == 120 + 18
    for node in (a, b, c):
        shown = Counter(env.eid for env in node.arrived())
        assert not shown or max(shown.values()) == 1


@pytest.mark.mesh_attack("N18")
@pytest.mark.parametrize("before", [0.03, 0.07, 0.11, 0.5])
def test_a_round_that_begins_on_one_day_and_ends_on_the_next_gives_all_of_both(before: float) -> None:
    """Missing at both ends of midnight, on both sides, live envelopes beside."""
    net = Net(latency=0.02)
    net.wall_ms += DAY_MS // 2 - 1_000  # START is at noon
    rng = random.Random(2)
    every = [envelope(rng, net.wall_ms + 900 - at * 20) for at in range(1, 600)]
    a, b = two(net, every[::2], every[::3])
    net.run(1 - before - 0.02)
    b.add(a.address)
    for _ in range(30):
        net.run(0.02)
        for node in (a, b):
            node.publish(envelope(net.rng, node.now.wall_ms))
    net.run(20)
    assert net.agree() and len(a.mesh._index.numbers()) == 2
    for node in (a, b):
        assert max(Counter(env.eid for env in node.arrived()).values()) == 1


@pytest.mark.mesh_attack("N18")
@pytest.mark.parametrize("ahead", [0.0, 2.0, 90.0])
def test_at_midnight_a_peer_whose_clock_is_in_the_next_day_already_agrees(ahead: float) -> None:
    net = Net(latency=0.02)
    net.wall_ms += DAY_MS // 2 - 30_000
    a, b = net.node("a"), net.node("b")
    b.skew_ms = round(ahead * 1_000)
    b.add(a.address)
    for _ in range(60):
        net.run(1)
        for node in (a, b):
            node.publish(envelope(net.rng, node.mesh.mesh_time_ms(node.now)))
        if net.rng.random() < 0.1:
            for wire in list(b.wires.values()):
                net.close(wire, "broken")
    net.run(120)
    a.mesh.compare(a.now)
    net.run(10)
    assert net.agree() and len(a.store) == 120
    assert any(isinstance(effect, InStep) for effect in a.effects)


def test_rows_that_vanish_while_a_day_is_streamed_end_it_all_the_same() -> None:
    """Evicted and expired between two pages: the last page is empty, and the round is answered."""
    net = Net(latency=0.02)
    every = sorted(spread(net, 900, DAY_MS // 3), key=lambda env: env.ts_ms)
    a, z = two(net, every, [])
    z.add(a.address)
    while len(z.store) < 100:
        net.run(0.005)
    for env in every[400:]:
        a.store.pop(env.eid, None)
    a.mesh.forget(env.eid for env in every[600:])
    net.run(10)
    assert a.store.keys() <= z.store.keys()
    assert next(e.missing_answered for e in z.effects if isinstance(e, SyncFinished))


@pytest.mark.mesh_attack("N15")
def test_a_link_that_came_up_with_the_clock_a_day_ahead_still_gives_the_oldest_day() -> None:
    """M10: the floor of a link is as wrong as the clock was, for as long as the link is up."""
    net = Net(latency=0.02)
    a, z = net.node("a"), net.node("z")
    edge = net.wall_ms - 34 * DAY_MS - 12 * 3_600_000
    for at in range(20):
        a.publish(envelope(net.rng, edge + at * 1_000))
    z.skew_ms = 26 * 3_600_000
    z.add(a.address)
    net.run(2)
    z.skew_ms = 0
    net.run(700)
    z.mesh.request_sync(z.now)
    net.run(10)
    assert net.agree() and len(z.store) == 20


def test_a_peer_that_asks_in_the_middle_of_a_flood_is_not_asked_for_all_that_we_have_ourselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Net(latency=0.01)
    a, b = two(net, [], [])
    b.add(a.address)
    net.run(20)
    lost = envelope(net.rng, net.wall_ms)
    a.store[lost.eid] = lost
    a.mesh._index.add(lost.eid, lost.ts_ms, lost.expires_ms)  # accepted, and on its way to nobody
    net.run(6)
    for _ in range(300):
        a.publish(envelope(net.rng, net.wall_ms))
        net.run(0.005)
    heard = Heard(net, monkeypatch)
    b.mesh.request_sync(b.now)
    net.run(3)
    assert net.agree() and len(b.store) == 301
    sent = [raw for frame in heard.of(Batch) if isinstance(frame, Batch) for raw in frame.envelopes]
    assert sent == [lost.raw], "nobody got what it had"

"""Whatever happens to links and nodes: after quiet, all agree on what was accepted, each shown once."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import HealthCheck, given, settings, strategies as st

from tests.mesh.meshnet import Net, envelope

NAMES = "abcde"
HOUR_MS = 3_600_000
NODE = st.sampled_from(NAMES)
PAIR = st.sampled_from([frozenset(pair) for pair in combinations(NAMES, 2)])
STEP = st.one_of(
    st.tuples(st.just("publish"), NODE, st.integers(1, 60)),
    st.tuples(st.just("publish"), NODE, st.integers(1, 60)),
    st.tuples(st.just("old"), NODE, st.integers(1, 40)),
    st.tuples(st.just("cut"), PAIR, st.just(0)),
    st.tuples(st.just("heal"), PAIR, st.just(0)),
    st.tuples(st.just("break"), NODE, st.just(0)),
    st.tuples(st.just("crash"), NODE, st.just(0)),
    st.tuples(st.just("start"), NODE, st.just(0)),
    st.tuples(st.just("skew"), NODE, st.integers(-20 * HOUR_MS, 20 * HOUR_MS)),
    st.tuples(st.just("wait"), NODE, st.integers(1, 60)),
)


def link_up(net: Net) -> None:
    """A ring and a chord, as addresses that the owner gave."""
    for one, two in ("ab", "bc", "cd", "de", "ea", "ac"):
        if net.nodes[one].alive:
            net.nodes[one].add(net.nodes[two].address)


def apply(net: Net, what: str, who: str | frozenset[str], number: int) -> None:
    if isinstance(who, frozenset):
        (net.cut.add if what == "cut" else net.cut.discard)(who)
        return
    node = net.nodes[who]
    match what:
        case "publish" | "old" if node.alive:
            for _ in range(number):
                age = net.rng.randrange(30 * 24 * HOUR_MS) if what == "old" else 0
                node.publish(envelope(net.rng, node.mesh.mesh_time_ms(node.now) - age))
        case "break":
            for wire in list(node.wires.values()):
                net.close(wire, "broken")
        case "crash" if node.alive:
            node.stop()
        case "start" if not node.alive:
            node.start()
            link_up(net)
        case "skew":
            node.skew_ms = number
        case "wait":
            net.run(number)
        case _:
            pass


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1_000), st.lists(STEP, min_size=5, max_size=25))
def test_after_quiet_all_nodes_agree(seed: int, steps: list[tuple[str, str | frozenset[str], int]]) -> None:
    """M5."""
    net = Net(seed, latency=0.02)
    for name in NAMES:
        net.node(name)
    link_up(net)
    net.run(1)
    for step in steps:
        apply(net, *step)
        net.run(0.1)
    net.cut.clear()
    for node in net.nodes.values():
        apply(net, "start", node.name, 0)
    net.run(60)
    for node in net.nodes.values():
        node.mesh.request_sync(node.now)
    net.run(60)
    assert net.agree(), {name: len(node.store) for name, node in net.nodes.items()}
    for node in net.nodes.values():
        assert len(node.mesh._index) == len(node.store)
        shown = Counter(env.eid for env in node.arrived())
        assert not shown or max(shown.values()) == 1

from __future__ import annotations

from itertools import product

from hypothesis import given, strategies as st

from node.sim_mesh.dice import Dice
from node.sim_mesh.graph import dials, distances, longest, percentile

WEIGHED = st.dictionaries(st.tuples(st.integers(0, 7), st.integers(0, 7)), st.floats(0.001, 1.0), max_size=20)


def both_ways(chosen: list[list[int]]) -> dict[int, list[tuple[int, float]]]:
    found: dict[int, list[tuple[int, float]]] = {node: [] for node in range(len(chosen))}
    for node, others in enumerate(chosen):
        for other in others:
            found[node].append((other, 1.0))
            found[other].append((node, 1.0))
    return found


@given(st.integers(2, 60), st.integers(2, 9), st.integers())
def test_all_are_connected_and_nobody_dials_itself_or_one_node_twice(
    count: int, degree: int, seed: int
) -> None:
    chosen = dials(count, degree, Dice(str(seed)))
    pairs = [frozenset((node, other)) for node, others in enumerate(chosen) for other in others]
    assert all(len(pair) == 2 for pair in pairs)
    assert len(set(pairs)) == len(pairs)
    assert len(distances(both_ways(chosen), 0)) == count


def test_two_links_each_make_a_ring() -> None:
    assert {len(near) for near in both_ways(dials(50, 2, Dice("1"))).values()} == {2}


def test_every_node_has_about_as_many_links_as_asked_for() -> None:
    for degree in (2, 5, 6, 8):
        links = [len(near) for near in both_ways(dials(500, degree, Dice("1"))).values()]
        assert max(links) <= degree
        assert sum(links) / 500 > degree - 0.2


@given(WEIGHED)
def test_shortest_ways_are_those_of_trying_all(weighed: dict[tuple[int, int], float]) -> None:
    far = {
        (a, b): (0.0 if a == b else weighed.get((a, b), float("inf"))) for a, b in product(range(8), range(8))
    }
    for via, a, b in product(range(8), range(8), range(8)):
        far[a, b] = min(far[a, b], far[a, via] + far[via, b])
    graph: dict[int, list[tuple[int, float]]] = {}
    for (a, b), seconds in weighed.items():
        graph.setdefault(a, []).append((b, seconds))
    found = distances(graph, 0)
    reached = {b: seconds for (a, b), seconds in far.items() if a == 0 and seconds < float("inf")}
    assert found.keys() == reached.keys()
    assert all(abs(found[b] - reached[b]) < 1e-9 for b in found)
    assert longest(graph, 0) == max(found.values())


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(100)]
    assert [percentile(values, share) for share in (0, 0.5, 0.99, 1.0)] == [0, 50, 99, 99]
    assert percentile([3.0], 0.99) == 3.0

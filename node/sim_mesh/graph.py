"""Who dials whom, and how far apart they are at best."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from node.sim_mesh.dice import Dice

Graph = Mapping[int, Iterable[tuple[int, float]]]
"""For each node its neighbours, with the seconds to each."""


def dials(count: int, degree: int, dice: Dice) -> list[list[int]]:
    """Return whom each of `count` nodes dials so that each has about `degree` links.

    `degree // 2` random rounds through all nodes, each dialling the next of the round: every node dials as
    many as dial it, and all are connected. An odd degree adds random pairs. A pair drawn twice is one link.
    """
    chosen: list[list[int]] = [[] for _ in range(count)]
    order = list(range(count))
    for _ in range(degree // 2):
        dice.shuffle(order)
        for place, node in enumerate(order):
            _link(chosen, node, order[(place + 1) % count])
    if degree % 2:
        dice.shuffle(order)
        for first, second in zip(order[::2], order[1::2], strict=False):
            _link(chosen, first, second)
    return chosen


def _link(chosen: list[list[int]], node: int, other: int) -> None:
    if node != other and other not in chosen[node] and node not in chosen[other]:
        chosen[node].append(other)


def longest(graph: Graph, source: int) -> float:
    """Return the seconds of the longest of all shortest ways from a node to those that can be reached."""
    far = distances(graph, source)
    return max(far.values(), default=0.0)


def distances(graph: Graph, source: int) -> dict[int, float]:
    """Return the seconds of the shortest way to each node that can be reached (Dijkstra)."""
    done: dict[int, float] = {}
    heap = [(0.0, source)]
    while heap:
        far, node = heapq.heappop(heap)
        if node in done:
            continue
        done[node] = far
        for other, seconds in graph.get(node, ()):
            if other not in done:
                heapq.heappush(heap, (far + seconds, other))
    return done


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ordered values lie; at least one value."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

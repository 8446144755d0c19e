"""When announcements leave: gathered beside a tree that stands, soon where it has changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.mesh.missing import FIRST_WAIT, JITTER
from node.mesh.neighbour import ANNOUNCE_AFTER, ANNOUNCE_SOON
from node.mesh.ports import DeadlineReached, LinkClosed
from node.mesh.spreading import CALM, NOT_COMING
from node.wire.frames import Graft, IHave, Prune
from tests.mesh.meshnet import Net, Node, envelope
from tests.mesh.test_hostile import Hostile


@pytest.fixture
def node() -> Iterator[Node]:
    yield Net().node("a")


def quiet(node: Node) -> tuple[Hostile, Hostile]:
    """Peers on a lazy and an eager link of a tree that has not changed for a while."""
    lazy, eager = Hostile(node), Hostile(node, 98, link=78)
    lazy.say(Prune(60))
    node.net.run(CALM)
    lazy.heard.clear()
    return lazy, eager


def publish(node: Node) -> bytes:
    env = envelope(node.net.rng, node.net.wall_ms)
    node.publish(env)
    return env.eid[:16]


def told(peer: Hostile) -> list[list[bytes]]:
    """The ids of each announcement."""
    return [[prefix for prefix, _ in frame.ids] for frame in peer.of(IHave)]


def test_beside_a_tree_that_stands_what_comes_in_a_while_is_announced_in_one_frame(node: Node) -> None:
    lazy, _ = quiet(node)
    ids = []
    for _ in range(10):
        ids.append(publish(node))
        node.net.run((ANNOUNCE_AFTER - 0.01) / 10)
    assert told(lazy) == []
    node.net.run(0.02)
    assert told(lazy) == [ids]


@pytest.mark.parametrize("change", ["it is grafted", "it is pruned", "a gap is grafted", "it breaks"])
def test_where_a_link_of_the_tree_has_changed_announcements_leave_soon_for_a_while(
    node: Node, change: str
) -> None:
    lazy, eager = quiet(node)
    match change:
        case "it is grafted":
            eager.say(Graft(None))
        case "it is pruned":
            eager.say(Prune(60))
        case "a gap is grafted":
            eager.say(IHave(((node.net.rng.randbytes(16), 1),)))
            node.net.run(FIRST_WAIT + JITTER + 0.01)
            assert eager.of(Graft)
        case _:
            node.put(LinkClosed(78, "gone"))
    for _ in range(2):
        lazy.heard.clear()
        ids = [publish(node)]
        node.net.run(ANNOUNCE_SOON + 0.01)
        assert told(lazy) == [ids]
        node.net.run(CALM / 2 - 0.1)
    node.net.run(0.2)
    lazy.heard.clear()
    publish(node)
    node.net.run(ANNOUNCE_SOON + 0.01)
    assert told(lazy) == []


def test_what_no_payload_follows_is_announced_soon_and_what_waits_goes_with_it(node: Node) -> None:
    lazy, _ = quiet(node)
    waits, lacking = publish(node), node.net.rng.randbytes(16)
    node.mesh._near[77].announce(lacking, NOT_COMING, now=node.net.time)
    node.put(DeadlineReached())
    node.net.run(ANNOUNCE_SOON + 0.01)
    assert told(lazy) == [[waits, lacking]]

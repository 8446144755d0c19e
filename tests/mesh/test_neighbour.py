"""When announcements leave: gathered beside a tree that stands, soon where it has changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.mesh.beacons import EVERY
from node.mesh.missing import FIRST_WAIT, JITTER
from node.mesh.neighbour import ANNOUNCE_AFTER, ANNOUNCE_EVERY, ANNOUNCE_SOON, ANNOUNCE_SPREAD
from node.mesh.ports import DeadlineReached, LinkClosed
from node.mesh.spreading import CALM, NOT_COMING
from node.wire.frames import Beacon, Graft, IHave, Prune
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


def pace(node: Node) -> float:
    """How much longer or shorter than others a node gathers announcements."""
    return 1 + ANNOUNCE_SPREAD * (node.mesh._exchange.spreading._share - 0.5)


def test_beside_a_tree_that_stands_what_comes_in_a_while_is_announced_in_one_frame(node: Node) -> None:
    lazy, _ = quiet(node)
    ids = []
    for _ in range(10):
        ids.append(publish(node))
        node.net.run((ANNOUNCE_AFTER * pace(node) - 0.01) / 10)
    assert told(lazy) == []
    node.net.run(0.02)
    assert told(lazy) == [ids]


def test_of_a_stream_one_frame_in_a_while_is_sent_on_a_link(node: Node) -> None:
    lazy, _ = quiet(node)
    publish(node)
    node.net.run(ANNOUNCE_AFTER * pace(node) + 0.01)
    for _ in range(3):
        lazy.heard.clear()
        ids = []
        for _ in range(19):
            ids.append(publish(node))
            node.net.run(ANNOUNCE_EVERY * pace(node) / 20)
        assert told(lazy) == []
        node.net.run(ANNOUNCE_EVERY * pace(node) / 20)
        assert told(lazy) == [ids]


def test_not_all_nodes_announce_at_the_same_moment() -> None:
    net, moments = Net(), set[int]()
    for number in range(8):
        node = net.node(f"n{number}")
        lazy, _ = quiet(node)
        publish(node)
        since = net.time
        while not told(lazy):
            net.run(0.005)
        assert net.time - since >= ANNOUNCE_AFTER * (1 - ANNOUNCE_SPREAD / 2)
        assert net.time - since <= ANNOUNCE_AFTER * (1 + ANNOUNCE_SPREAD / 2) + 0.01
        moments.add(round((net.time - since) / 0.005))
    assert len(moments) > 3


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


@pytest.mark.parametrize("sign", ["a link of the tree breaks", "a beacon comes before its time"])
def test_what_waits_to_be_announced_leaves_soon_when_the_tree_is_damaged(node: Node, sign: str) -> None:
    lazy, eager = quiet(node)
    eager.say(Beacon(0, b"in time."))
    node.net.run(CALM + ANNOUNCE_EVERY)
    publish(node)
    node.net.run(ANNOUNCE_AFTER * pace(node) + 0.01)
    lazy.heard.clear()
    waits = publish(node)
    node.net.run(ANNOUNCE_SOON + 0.01)
    assert told(lazy) == []
    if sign == "a link of the tree breaks":
        node.put(LinkClosed(78, "gone"))
    else:
        eager.say(Beacon(0, b"too soon"))
    node.net.run(ANNOUNCE_SOON + 0.01)
    assert told(lazy) == [[waits]]


def test_a_beacon_in_its_time_hurries_nothing(node: Node) -> None:
    lazy, eager = quiet(node)
    eager.say(Beacon(0, b"in time."))
    node.net.run(EVERY + 1)
    publish(node)
    eager.say(Beacon(0, b"the next"))
    node.net.run(ANNOUNCE_SOON + 0.01)
    assert told(lazy) == []

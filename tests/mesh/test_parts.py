"""Blocks of attachments between whole meshes: fetched, given, offered, and what a hostile peer gets of it."""

from __future__ import annotations

import random

import pytest

from node.crypto.attachment import bid
from node.mesh.giving import MAX_ASKED
from node.mesh.limits import INVALID_LIMIT, VIOLATION_LIMIT
from node.mesh.ports import (
    BlockCame,
    BlockInput,
    BlockTaken,
    CloseLink,
    Dial,
    DropBlocks,
    MeshEffect,
    OfferBlocks,
    Offered,
    PartsRead,
    ReadParts,
    SeekBlocks,
)
from node.mesh.visits import LINGER
from node.wire.frames import MAX_PART_BYTES, Fetch, Goodbye, Offer, Part
from tests.mesh.meshnet import Net, Node, chain
from tests.mesh.test_hostile import Hostile

BLOCKS = [random.Random(n).randbytes(5 * MAX_PART_BYTES + n) for n in range(4)]
NAMES = {bid(block): block for block in BLOCKS}
WANTED = tuple((name, len(block)) for name, block in NAMES.items())
ONE = WANTED[0][0]


class Shelf:
    """The disk of a node: gives what it has, takes what comes."""

    def __init__(self, node: Node, has: dict[bytes, bytes]) -> None:
        self.node, self.has, self.came = node, has, dict[bytes, bytes]()
        self.reads: list[ReadParts] = []
        self.reading = True
        self._others = node._do
        node._do = self._do  # type: ignore[method-assign] # a disk that meshnet has not

    def _do(self, effect: MeshEffect) -> None:
        match effect:
            case ReadParts():
                self.reads.append(effect)
                if self.reading:
                    self.node.net.later(0.001, self.answer)
            case BlockCame(_, name, data):
                self.came[name] = data
                self.node.net.later(0.001, lambda: self.node.put(BlockInput(BlockTaken(name))))
            case _:
                self._others(effect)

    def answer(self) -> None:
        if not self.reads:
            return
        asked = self.reads.pop(0)
        data, start = self.has.get(asked.block), asked.index * MAX_PART_BYTES
        span = None if data is None else data[start : start + asked.count * MAX_PART_BYTES]
        self.node.put(BlockInput(PartsRead(asked.ticket, span)))


def seek(node: Node, *holders: Node, addresses: tuple[str, ...] = (), only: int | None = None) -> None:
    keys = frozenset(holder.key for holder in holders)
    node.put(BlockInput(SeekBlocks(b"e", WANTED, keys, addresses, only)))


def test_blocks_come_from_a_linked_peer_and_the_link_carries_little_else() -> None:
    net = Net()
    giver, taker = chain(net, "a", "b")
    Shelf(giver, NAMES)
    shelf, before = Shelf(taker, {}), net.traffic
    seek(taker, giver)
    net.run(5)
    assert shelf.came == NAMES
    assert net.traffic - before < 1.03 * sum(map(len, BLOCKS))


def test_an_address_is_dialled_for_it_and_left_afterwards() -> None:
    net = Net()
    giver, taker = net.node("a"), net.node("b")
    Shelf(giver, NAMES)
    shelf = Shelf(taker, {})
    seek(taker, giver, addresses=("ws://nobody:1", giver.address))
    net.run(5)
    assert shelf.came == NAMES
    assert [e.address for e in taker.effects if isinstance(e, Dial)] == ["ws://nobody:1", giver.address]
    assert len(taker.mesh.peers(taker.now)) == 1
    taker.put(BlockInput(DropBlocks(b"e")))
    net.run(LINGER + 5)
    assert taker.mesh.peers(taker.now) == []
    net.run(100)
    assert taker.mesh.peers(taker.now) == [] and len([e for e in taker.effects if isinstance(e, Dial)]) == 2


def test_a_link_that_breaks_in_the_middle_is_dialled_again_and_what_came_stays() -> None:
    net = Net(latency=0.02)
    giver, taker = net.node("a"), net.node("b")
    Shelf(giver, NAMES)
    shelf = Shelf(taker, {})
    seek(taker, giver, addresses=(giver.address,))
    while not shelf.came:
        net.run(0.05)
    for wire in list(taker.wires.values()):
        net.close(wire, "cut")
    net.run(60)
    assert shelf.came == NAMES


def test_offers_go_to_relays_alone_which_fetch_only_from_who_offered() -> None:
    net = Net()
    author, relay = net.node("a"), net.node("r", roles=frozenset({"relay", "hold"}))
    other = net.node("o")
    for node in (relay, other):
        author.add(node.address)
    net.run(1)
    Shelf(author, NAMES)
    shelf = Shelf(relay, {})
    author.put(BlockInput(OfferBlocks(WANTED)))
    net.run(1)
    assert [e for e in other.effects if isinstance(e, Offered)] == []
    (offered,) = [e for e in relay.effects if isinstance(e, Offered)]
    assert (offered.blocks, offered.node_key) == (WANTED, author.key)
    seek(relay, only=offered.link)
    net.run(5)
    assert shelf.came == NAMES


def test_a_fetch_of_what_is_not_here_brings_one_empty_part_each() -> None:
    node = Net().node("a")
    shelf = Shelf(node, {})
    peer = Hostile(node)
    for index in range(3):
        peer.say(Fetch(b"x" * 32, index))
        while shelf.reads:
            shelf.answer()
    assert peer.of(Part) == [Part(b"x" * 32, index, b"") for index in range(3)]


@pytest.mark.mesh_attack("N20")
def test_a_flood_of_fetches_reads_one_run_at_a_time_and_ends_the_link() -> None:
    node = Net().node("a")
    shelf = Shelf(node, NAMES)
    shelf.reading = False
    peer = Hostile(node)
    for count in range(MAX_ASKED + VIOLATION_LIMIT):
        assert not peer.closed, count
        peer.say(Fetch(ONE, 0))
        assert len(shelf.reads) == 1
    assert peer.closed and peer.of(Goodbye)
    shelf.answer()  # too late, and for nobody
    assert peer.of(Part) == []


def test_a_peer_that_asks_and_reads_nothing_costs_no_more_than_a_few_runs() -> None:
    node = Net().node("a")
    shelf = Shelf(node, NAMES)
    peer = Hostile(node)
    peer.reading = False
    total = 0
    for count in range(MAX_ASKED):
        peer.say(Fetch(ONE, count % 5))
        while shelf.reads:
            total += shelf.reads[0].count
            shelf.answer()
    line = node.mesh._exchange.parts._giving._lines[77]
    assert total <= 20 and sum(len(part.data) for part in line.ready) < 1 << 20


@pytest.mark.mesh_attack("N20")
def test_parts_that_nobody_asked_for_end_the_link() -> None:
    node = Net().node("a")
    shelf = Shelf(node, {})
    peer = Hostile(node)
    for count in range(VIOLATION_LIMIT):
        assert not peer.closed, count
        peer.say(Part(ONE, 0, BLOCKS[0][:MAX_PART_BYTES]))
    assert peer.closed and shelf.came == {}


@pytest.mark.mesh_attack("N20")
def test_a_holder_that_sends_false_bytes_is_refused_in_the_end() -> None:
    node = Net().node("a")
    shelf = Shelf(node, {})
    peer = Hostile(node)
    for count in range(INVALID_LIMIT):
        assert not peer.closed, count
        node.put(BlockInput(SeekBlocks(bytes([count]), WANTED, frozenset({peer.key}))))
        node.net.run(0.1)
        asked = peer.of(Fetch)[-1]
        peer.say(Part(asked.object, asked.index, b"x"))
        node.put(BlockInput(DropBlocks(bytes([count]))))
    assert peer.closed and shelf.came == {}


@pytest.mark.mesh_attack("N20")
def test_an_offer_to_a_node_that_is_no_relay_brings_nothing_about() -> None:
    node = Net().node("a")
    peer = Hostile(node)
    before = len(peer.heard)
    for _ in range(5):
        peer.say(Offer(WANTED))
    assert peer.heard[before:] == [] and not peer.closed
    assert not [e for e in node.effects if isinstance(e, CloseLink)]

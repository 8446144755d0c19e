"""Attacks on attachments between nodes: FETCH, PART and OFFER floods, lying and dripping peers (N20)."""

from __future__ import annotations

import pytest

from node.crypto.attachment import bid
from node.errors import CryptoFault
from node.mesh.depot import LEAST, SHARE, Depot, Held
from node.mesh.fetching import Came, errand_for
from node.mesh.ports import BlockInput, OfferBlocks, Offered, SeekBlocks
from node.wire.frame_bytes import encode
from node.wire.frames import MAX_PART_BYTES, Fetch, Goodbye, Hello, Leave, Offer, Part
from tests.mesh.meshnet import Net
from tests.mesh.test_depot import name
from tests.mesh.test_fetching import HOLDER, NAMES, OTHER, RELAY, WANTED, Peer, World
from tests.mesh.test_hostile import Hostile

pytestmark = pytest.mark.mesh_attack("N20")
PART = MAX_PART_BYTES
BIGGER = {bid(block): block for block in (bytes([n]) * 40 * PART for n in range(2))}
BIG = tuple((name, len(block)) for name, block in BIGGER.items())


def offers(world: World, number: int) -> None:
    """Have what a link offered fetched of it, as a relay does."""
    made = errand_for(number.to_bytes(8, "big"), WANTED, only=number)
    world.fetching.seek(made, now=world.now)


def big(world: World, *, only: int | None = None) -> None:
    """Seek two blocks of 40 parts."""
    holders = frozenset({HOLDER} if only is None else ())
    made = errand_for(b"big" if only is None else only.to_bytes(8, "big"), BIG, holders=holders, only=only)
    world.fetching.seek(made, now=world.now)


def send(world: World, peer: Peer) -> Came | None:
    """Let a peer send the next part that it was asked for."""
    if not peer.asked:
        return None
    asked = peer.asked.pop(0)
    data = BIGGER[asked.object][asked.index * PART : (asked.index + 1) * PART]
    came = world.fetching.on_part(peer.number, Part(asked.object, asked.index, data), now=world.now)
    world.ask(peer)
    if came is not None:
        world.fetching.taken(came.name, now=world.now)
    return came


def test_an_offer_of_a_link_that_is_gone_leaves_nothing_behind() -> None:
    world = World()
    for number in range(300):
        offers(world, number)
    assert world.fetching._errands == {}


def test_who_offers_and_leaves_in_one_breath_keeps_no_place_at_a_relay() -> None:
    node = Net().node("r", roles=frozenset({"relay", "hold"}))
    peer = Hostile(node)
    peer.link.send_control(encode(Offer(WANTED)))
    peer.say(Goodbye(Leave.LEAVING, 0))
    (offered,) = [e for e in node.effects if isinstance(e, Offered)]
    node.put(BlockInput(SeekBlocks(b"l" * 8, offered.blocks, only=offered.link)))
    assert node.mesh._exchange.parts._fetching._errands == {}


def test_as_many_as_offer_at_a_relay_its_own_errands_and_the_memory_stand() -> None:
    world = World()
    for number in range(1, 257):
        Peer(world, number, number.to_bytes(32, "big"), set())
        offers(world, number)
    world.run(1)
    assert 0 < world.fetching._brought_for_others <= 64
    holder = Peer(world, 999, HOLDER, set(NAMES))
    world.seek()
    world.settle(holder, turns=60)
    assert set(world.came) == set(NAMES)


def test_who_drips_what_it_offered_gives_its_place_to_others_for_good() -> None:
    world = World()
    slow = Peer(world, 1, OTHER, set())
    big(world, only=1)
    for _ in range(25):
        world.run(15)
        send(world, slow)
    assert world.fetching._errands == {} and world.fetching._brought_for_others == 0
    slow.asked.clear()
    big(world, only=1)
    world.run(60)
    assert not slow.asked


def test_false_bytes_of_an_offer_are_a_fault_each_time_and_the_next_offer_counts() -> None:
    world = World()
    giver = Peer(world, 1, OTHER, set(NAMES))
    giver.liar = True
    offers(world, 1)
    with pytest.raises(CryptoFault):
        world.settle(giver)
    assert world.fetching._errands == {}
    giver.liar = False
    giver.asked.clear()
    world.fetching.closed(1, now=world.now)
    world.fetching.opened(1, OTHER, "", relay=False, now=world.now)
    offers(world, 1)
    world.settle(giver)
    assert world.came == NAMES


def test_a_holder_that_drips_does_not_keep_the_last_blocks_from_coming() -> None:
    world = World()
    slow = Peer(world, 1, HOLDER, set())
    big(world)
    world.run(1)
    assert slow.asked
    honest, came = Peer(world, 2, RELAY, set(), relay=True), set[bytes]()
    for _ in range(16):  # four minutes: the two blocks take the slow one twenty
        world.run(15)
        send(world, slow)
        while honest.asked:
            whole = send(world, honest)
            came |= {whole.name} if whole else set()
    assert came == set(BIGGER)


def test_two_slow_holders_do_not_take_a_block_from_each_other_for_ever() -> None:
    world = World()
    peers = [Peer(world, n, HOLDER if n == 1 else RELAY, set(NAMES), relay=n == 2) for n in (1, 2)]
    world.seek()
    for _ in range(600):  # each brings a part in 15 s, a block of three or four in a minute
        world.run(15)
        for peer in peers:
            if peer.asked:
                asked = peer.asked.pop(0)
                whole = world.fetching.on_part(peer.number, world.part(asked), now=world.now)
                world.ask(peer)
                if whole is not None:
                    world.came[whole.name] = whole.data
                    world.fetching.taken(whole.name, now=world.now)
    assert world.came == NAMES


def test_a_stranger_that_says_it_is_a_relay_is_offered_nothing_and_asked_like_anybody() -> None:
    node = Net().node("a")
    peer = Hostile(node, hello=False)
    peer.say(Hello(0, b"hostile!", (), frozenset({"relay"}), 65_519, 0, node.now.wall_ms, 10_000))
    node.put(BlockInput(OfferBlocks(WANTED)))
    node.put(BlockInput(OfferBlocks(WANTED, peer.key)))
    assert peer.of(Offer) == []
    net = node.net
    holder = net.node("h")
    node.add(holder.address)
    net.run(1)
    node.put(BlockInput(SeekBlocks(b"e", WANTED, frozenset({holder.key}))))
    net.run(1)
    assert peer.of(Fetch) == []


def test_a_relay_that_cannot_make_enough_room_changes_nothing() -> None:
    depot = Depot(4 * SHARE * LEAST)
    givers = [b"4", b"5", *(bytes([n]) for n in range(8))]
    for number in range(32):  # two with four parts, eight with three
        giver = givers[number // 4] if number < 8 else givers[2 + (number - 8) // 3]
        assert depot.keep(name(number), Held(LEAST, 0, giver)) == []
    before = dict(depot.held)
    assert depot.keep(name(99), Held(3 * LEAST, 0, b"new")) is None
    assert depot.held == before and depot.used == depot.quota
    assert depot.keep(name(98), Held(2 * LEAST, 0, b"new")) == [name(0), name(4)]
    assert name(98) in depot.held and depot.used == depot.quota

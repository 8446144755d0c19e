"""Who is asked for which part, and what becomes of it: errands on a clock that is a number."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from node.crypto.attachment import bid
from node.errors import CryptoFault
from node.mesh.errands import MAX_REST, REST
from node.mesh.fetching import (
    ANSWER_WITHIN,
    AT_ONCE,
    LOOK_AFTER,
    MAX_BEGUN,
    MAX_BLOCKS_OF_LINK,
    MAX_UNTAKEN,
    WINDOW,
    Came,
    Fetching,
    errand_for,
)
from node.mesh.spreading import Unasked
from node.mesh.visits import LINGER, RETRY
from node.wire.frames import MAX_PART_BYTES, Fetch, Part

BLOCKS = [random.Random(n).randbytes(3 * MAX_PART_BYTES + 100 * n) for n in range(6)]
NAMES = {bid(block): block for block in BLOCKS}
WANTED = tuple((name, len(block)) for name, block in NAMES.items())
HOLDER, RELAY, OTHER = b"h" * 32, b"r" * 32, b"o" * 32


class Peer:
    """A link whose far end has some blocks, and answers when it is told to."""

    def __init__(
        self,
        world: World,
        number: int,
        key: bytes,
        has: set[bytes],
        *,
        relay: bool = False,
        address: str = "",
    ) -> None:
        self.world, self.number, self.has = world, number, has
        self.asked: list[Fetch] = []
        self.liar = False
        world.fetching.opened(number, key, address, relay=relay, now=world.now)
        world.peers[number] = self

    def answer(self) -> list[Came]:
        """Answer everything that was asked, in order."""
        came = []
        while self.asked:
            asked = self.asked.pop(0)
            part = (
                self.world.part(asked) if asked.object in self.has else Part(asked.object, asked.index, b"")
            )
            if self.liar and part.data:
                part = Part(part.object, part.index, bytes(len(part.data)))
            whole = self.world.fetching.on_part(self.number, part, now=self.world.now)
            self.world.ask(self)
            if whole is not None:
                came.append(whole)
                self.world.came[whole.name] = whole.data
                self.world.fetching.taken(whole.name, now=self.world.now)
        return came


class World:
    """A fetching machine and its peers."""

    def __init__(self) -> None:
        self.fetching = Fetching()
        self.now = 100.0
        self.peers: dict[int, Peer] = {}
        self.came: dict[bytes, bytes] = {}
        self.dialled: list[str] = []

    @staticmethod
    def part(asked: Fetch) -> Part:
        block = NAMES[asked.object]
        start = asked.index * MAX_PART_BYTES
        return Part(asked.object, asked.index, block[start : start + MAX_PART_BYTES])

    def seek(self, *, addresses: tuple[str, ...] = (), only: int | None = None) -> None:
        errand = errand_for(b"e", WANTED, holders=frozenset({HOLDER}), addresses=addresses, only=only)
        self.fetching.seek(errand, now=self.now)

    def ask(self, peer: Peer) -> None:
        asked = list(self.fetching.ask(peer.number, now=self.now))
        assert len(asked) <= AT_ONCE
        peer.asked += asked

    def run(self, seconds: float) -> None:
        """Let time pass; nobody answers."""
        end = self.now + seconds
        while self.fetching.deadline is not None and self.fetching.deadline <= end:
            self.now = max(self.now, self.fetching.deadline)
            self.dialled += self.fetching.due(now=self.now)
            assert self.fetching.deadline is None or self.fetching.deadline > self.now
            for number in self.fetching.numbers:
                self.ask(self.peers[number])
        self.now = end

    def settle(self, *peers: Peer, turns: int = 200) -> None:
        """Let peers answer until nothing is asked any more."""
        for _ in range(turns):
            self.run(2 * LOOK_AFTER)
            for peer in peers:
                peer.answer()

    def close(self, peer: Peer) -> None:
        self.fetching.closed(peer.number, now=self.now)
        del self.peers[peer.number]


def test_everything_comes_from_the_one_who_has_it_each_part_asked_for_once() -> None:
    world = World()
    holder = Peer(world, 1, HOLDER, set(NAMES))
    world.seek()
    asked: list[Fetch] = []
    for _ in range(200):
        world.run(2 * LOOK_AFTER)
        asked += holder.asked
        holder.answer()
        asked += [fetch for fetch in holder.asked if fetch not in asked]
    assert world.came == NAMES
    assert world.fetching.deadline is None or world.fetching.deadline > world.now


def test_the_window_grows_and_is_never_exceeded() -> None:
    world = World()
    holder = Peer(world, 1, HOLDER, set(NAMES))
    world.seek()
    most = 0
    while world.came != NAMES:
        world.run(2 * LOOK_AFTER)
        first = holder.asked.pop(0)
        whole = world.fetching.on_part(1, world.part(first), now=world.now)
        if whole is not None:
            world.came[whole.name] = whole.data
            world.fetching.taken(whole.name, now=world.now)
        world.ask(holder)
        most = max(most, len(holder.asked))
        line = world.fetching._lines[1]
        assert len(line.owed) <= WINDOW and len(line.bringing) <= MAX_BLOCKS_OF_LINK
    assert 2 < most <= WINDOW


def test_holders_are_asked_before_relays_share_the_work_and_others_only_when_there_is_neither() -> None:
    world = World()
    holder = Peer(world, 1, HOLDER, set(NAMES))
    relay = Peer(world, 2, RELAY, set(NAMES), relay=True)
    other = Peer(world, 3, OTHER, set(NAMES))
    world.seek()
    world.run(1)
    assert holder.asked and relay.asked and not other.asked
    world.close(holder)
    world.close(relay)
    world.settle(other)
    assert world.came == NAMES


def test_who_has_not_got_it_rests_longer_each_time_and_is_asked_again() -> None:
    world = World()
    relay = Peer(world, 2, RELAY, set(), relay=True)
    world.seek()
    times = []
    for _ in range(4_000):
        world.run(1)
        if relay.asked:
            times.append(world.now)
            relay.answer()
    gaps = [later - earlier for earlier, later in pairwise(times) if later - earlier > 2]
    assert gaps[0] >= REST - 2 and max(gaps) <= MAX_REST + 2 and gaps == sorted(gaps)
    assert len(times) < 60
    relay.has = set(NAMES)
    for _ in range(700):
        world.run(1)
        relay.answer()
    world.settle(relay)
    assert world.came == NAMES


def test_a_relay_that_has_some_gives_these_and_the_rest_when_it_has_them() -> None:
    world = World()
    relay = Peer(world, 2, RELAY, set(list(NAMES)[3:]), relay=True)
    world.seek()
    world.settle(relay)
    relay.has = set(NAMES)
    for _ in range(100):
        world.run(1)
        relay.answer()
    assert world.came == NAMES


def test_what_a_silent_peer_was_asked_for_comes_from_another() -> None:
    world = World()
    holder = Peer(world, 1, HOLDER, set(NAMES))
    world.seek()
    world.run(1)
    assert holder.asked
    relay = Peer(world, 2, RELAY, set(NAMES), relay=True)
    world.settle(relay)
    assert len(world.came) >= len(NAMES) - MAX_BLOCKS_OF_LINK
    world.run(ANSWER_WITHIN + 1)
    world.settle(relay)
    assert world.came == NAMES
    late = list(holder.asked)
    holder.asked.clear()
    for fetch in late:  # what was asked for is no fault, however late
        assert world.fetching.on_part(1, world.part(fetch), now=world.now) is None


def test_a_peer_that_goes_is_replaced_at_once() -> None:
    world = World()
    holder = Peer(world, 1, HOLDER, set(NAMES))
    relay = Peer(world, 2, RELAY, set(NAMES), relay=True)
    world.seek()
    world.run(1)
    world.close(holder)
    world.settle(relay)
    assert world.came == NAMES


@pytest.mark.mesh_attack("N20")
def test_false_bytes_are_blamed_on_their_sender_who_is_not_asked_again() -> None:
    world = World()
    liar = Peer(world, 1, HOLDER, set(NAMES))
    liar.liar = True
    world.seek()
    with pytest.raises(CryptoFault):
        world.settle(liar)
    liar.asked.clear()
    world.run(3_600)
    assert not liar.asked and not world.came
    world.settle(Peer(world, 2, RELAY, set(NAMES), relay=True))
    assert world.came == NAMES


@pytest.mark.parametrize("change", [-1, 1])
def test_a_part_of_another_length_is_false(change: int) -> None:
    world = World()
    holder = Peer(world, 1, HOLDER, set(NAMES))
    world.seek()
    world.run(1)
    asked = holder.asked[0]
    data = world.part(asked).data
    wrong = data[:change] if change < 0 else data + b"x"
    with pytest.raises(CryptoFault):
        world.fetching.on_part(1, Part(asked.object, asked.index, wrong), now=world.now)


def test_what_nobody_asked_for_is_a_fault_and_changes_nothing() -> None:
    world = World()
    holder = Peer(world, 1, HOLDER, set(NAMES))
    world.seek()
    world.run(1)
    for part in (world.part(Fetch(WANTED[-1][0], 2)), Part(b"x" * 32, 0, b"junk")):
        with pytest.raises(Unasked):
            world.fetching.on_part(1, part, now=world.now)
    world.settle(holder)
    assert world.came == NAMES


def test_a_slow_disk_slows_the_asking() -> None:
    world = World()
    many = {bid(bytes([n]) * 10): bytes([n]) * 10 for n in range(40)}
    peers = [Peer(world, number, HOLDER, set()) for number in range(1, 8)]
    wanted = tuple((name, 10) for name in many)
    world.fetching.seek(errand_for(b"m", wanted, holders=frozenset({HOLDER})), now=world.now)
    came: dict[int, list[Came | None]] = {peer.number: [] for peer in peers}
    for _ in range(100):
        world.run(2 * LOOK_AFTER)
        for peer in peers:
            while peer.asked:
                asked, number = peer.asked.pop(0), peer.number
                part = Part(asked.object, 0, many[asked.object])
                came[number].append(world.fetching.on_part(number, part, now=world.now))
                world.ask(peer)
    whole = [one for ones in came.values() for one in ones if one is not None]
    assert MAX_UNTAKEN <= len(whole) <= MAX_UNTAKEN + len(peers)
    assert {len(ones) for ones in came.values()} <= {1, MAX_BLOCKS_OF_LINK}, (
        "none of one link fills the memory"
    )
    for one in whole[: len(whole) - MAX_UNTAKEN + 1]:
        assert world.fetching.taken(one.name, now=world.now) in came
    world.run(1)
    assert any(peer.asked for peer in peers)


def test_little_of_a_second_block_is_asked_for_while_a_part_of_the_first_is_kept_back() -> None:
    """M4: who keeps back the last part of each block has us hold one block and the beginning of the next."""
    world = World()
    wanted = tuple((bytes([n]) * 32, 40 * MAX_PART_BYTES) for n in range(3))
    peer = Peer(world, 1, HOLDER, set())
    world.fetching.seek(errand_for(b"m", wanted, holders=frozenset({HOLDER})), now=world.now)
    for _ in range(200):
        world.run(2 * LOOK_AFTER)
        for asked in [one for one in peer.asked if one.index != 39]:
            peer.asked.remove(asked)
            world.fetching.on_part(1, Part(*asked_of(asked), bytes(MAX_PART_BYTES)), now=world.now)
            world.ask(peer)
    blocks = [block for _, block in world.fetching._lines[1].bringing.values()]
    assert [len(block.parts) for block in blocks] == [39, MAX_BEGUN]


def asked_of(fetch: Fetch) -> tuple[bytes, int]:
    return fetch.object, fetch.index


def test_an_errand_to_one_link_ends_with_it_and_drops_what_it_has_not_got() -> None:
    world = World()
    giver = Peer(world, 7, OTHER, set(list(NAMES)[:2]))
    Peer(world, 8, HOLDER, set(NAMES))
    world.seek(only=7)
    world.settle(giver)
    assert set(world.came) == set(list(NAMES)[:2])
    assert not world.peers[8].asked
    world.seek(only=7)
    world.close(giver)
    world.run(60)
    assert world.fetching._errands == {}


def test_addresses_are_dialled_while_nobody_who_has_it_is_linked_and_left_when_it_is_here() -> None:
    world = World()
    world.seek(addresses=("ws://a:1", "ws://b:1"))
    world.run(1)
    assert world.dialled == ["ws://a:1", "ws://b:1"]
    for address in world.dialled:
        world.fetching.visits.ended(address, now=world.now)
    world.fetching._soon(world.now + LOOK_AFTER)
    world.run(RETRY + 1)
    assert world.dialled == ["ws://a:1", "ws://b:1"] * 2
    holder = Peer(world, 1, HOLDER, set(NAMES), address="ws://a:1")
    world.settle(holder)
    world.run(600)
    assert world.dialled == ["ws://a:1", "ws://b:1"] * 2
    world.fetching.drop(b"e", now=world.now)
    world.run(LINGER - 1)
    assert world.fetching.visits.to_leave(now=world.now) == []
    world.now += 2
    assert world.fetching.visits.to_leave(now=world.now) == [1]
    assert "ws://a:1" not in world.fetching.visits and "ws://b:1" not in world.fetching.visits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.sets(st.sampled_from(["liar", "empty", "silent", "leaves"])))
def test_whatever_the_others_do_it_comes_from_the_one_honest_peer(seed: int, troubles: set[str]) -> None:
    world, rng = World(), random.Random(seed)
    honest = Peer(world, 1, HOLDER, set(NAMES))
    for number, trouble in enumerate(sorted(troubles), 2):
        peer = Peer(world, number, RELAY + bytes([number]), set(NAMES), relay=True)
        peer.liar = trouble == "liar"
        peer.has = set() if trouble == "empty" else peer.has
    world.seek()
    for _ in range(100):
        world.run(rng.choice([2 * LOOK_AFTER, 0.5, 2.0, 8.0]))
        for number, trouble in enumerate(sorted(troubles), 2):
            if number not in world.peers or rng.random() < 0.5 or trouble == "silent":
                continue
            if trouble == "leaves":
                world.close(world.peers[number])
                continue
            try:
                world.peers[number].answer()
            except CryptoFault:
                assert trouble == "liar"
                world.close(world.peers[number])
        honest.answer()
    for _ in range(30):
        world.run(1.0)
        honest.answer()
    assert world.came == NAMES
    assert all(not line.bringing for line in world.fetching._lines.values())


def test_of_the_largest_blocks_no_more_than_a_window_is_under_way() -> None:
    world = World()
    blocks = [random.Random(n).randbytes(43 * MAX_PART_BYTES) for n in range(3)]
    large = {bid(block): block for block in blocks}
    peer = Peer(world, 1, HOLDER, set())
    errand = errand_for(b"l", tuple((name, len(block)) for name, block in large.items()))
    errand.holders = frozenset({HOLDER})
    world.fetching.seek(errand, now=world.now)
    world.run(1)
    came, most = {}, 0
    while peer.asked:
        most = max(most, len(peer.asked))
        asked = peer.asked.pop(0)
        start = asked.index * MAX_PART_BYTES
        data = large[asked.object][start : start + MAX_PART_BYTES]
        whole = world.fetching.on_part(1, Part(asked.object, asked.index, data), now=world.now)
        if whole is not None:
            came[whole.name] = whole.data
            world.fetching.taken(whole.name, now=world.now)
        world.ask(peer)
    assert most == WINDOW and came == large


def test_a_link_that_was_dialled_for_something_else_is_not_left() -> None:
    world = World()
    Peer(world, 1, HOLDER, set(NAMES), address="ws://a:1")
    world.fetching.visits.want(b"e", ("ws://a:1", "ws://b:1"), now=world.now)
    world.fetching.visits.opened("ws://b:1", 2, OTHER)
    world.fetching.visits.done(b"e", now=world.now)
    assert world.fetching.visits.to_leave(now=world.now + LINGER) == []

"""What one peer can make us hold, in every way at once (docs/protocol.md section 11, M4)."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from node.clock import DAY_MS
from node.mesh import link as links, neighbour, recent
from node.mesh.answers import READ_BYTES
from node.mesh.depot import LEAST, QUOTA, Depot, Held
from node.mesh.holding import MAX_ASKED
from node.mesh.missing import MAX_MISSING_OF_LINK
from node.mesh.ports import BlockInput, ByIds, DeadlineReached, HeldRead, PartsRead, ReadParts, SeekBlocks
from node.mesh.spreading import NOT_COMING
from node.mesh.sync import EVERYTHING
from node.mesh.wants import MAX_WANTED_OF_LINK
from node.wire.frames import (
    MAX_BLOCK_BYTES,
    MAX_NEG_BYTES,
    MAX_PART_BYTES,
    Days,
    Fetch,
    Graft,
    IHave,
    NegMsg,
    NegOpen,
    Part,
    PeerExchange,
    Ping,
    Tail,
    Want,
)
from node.wire.negentropy import END, Range, write
from tests.mesh.meshnet import START, Net, envelope
from tests.mesh.test_hostile import Hostile
from tests.mesh.test_intake import READ, WRITTEN

DAY = START.wall_ms // DAY_MS
BOUND = 6 << 20
SHELL = READ + WRITTEN
"""What the shell holds at most, as tests/mesh/test_intake.py measures it."""
NOTHING = write([Range(END, ids=())])
RNG = random.Random(5)
LARGEST = 32_000


class Target:
    """A relay with a day of more ids than a comparison shows; a peer links to it that reads nothing."""

    def __init__(self) -> None:
        self.net = Net()
        self.node = self.net.node("a", roles=frozenset({"hold", "relay"}))
        self.node.reads = []
        self.index = self.node.mesh._index
        self.large = [
            envelope(self.net.rng, START.wall_ms - 40_000_000 + at, size=LARGEST) for at in range(99)
        ]
        self.small = [envelope(self.net.rng, START.wall_ms - 10 * at) for at in range(1_200)]
        for env in (*self.large, *self.small):
            self.node.publish(env, watched=True)
        for at in range(20_000):
            self.index.add(RNG.randbytes(32), START.wall_ms - at * 100, START.wall_ms + DAY_MS)
        self.peer, self.rest = Hostile(self.node), Hostile(self.node, 98, link=78)
        self.peer.reading = False
        self.near = self.node.mesh._near[self.peer.number]
        self.rows: dict[str, int] = {}

    @contextmanager
    def row(self, name: str, least: int) -> Iterator[None]:
        """Count what Python holds more after something than before it: what there is to fill is filled."""
        before = self.held()
        yield
        self.rows[name] = self.held() - before
        assert self.rows[name] >= least, (name, self.rows[name])

    def held(self) -> int:
        self.node.effects.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def wake(self) -> None:
        self.node.put(DeadlineReached())

    def answer_reads(self) -> None:
        """The store gives what it has, each time anew, as from a disk; some reads it still owes."""
        for order in self.node.reads[:]:
            assert isinstance(order.spec, ByIds)
            found, size = [], 0
            for env in self.node.read(order.spec)[0]:
                if size < order.spec.max_bytes:
                    found.append(bytes(bytearray(env)))
                    size += len(env)
            self.node.reads.remove(order)
            self.node.put(HeldRead(order.ticket, tuple(found), False))


def fill_sealed(target: Target) -> None:
    """All the peer's queues, and the window of what is sealed and not written, which the shell holds."""
    link = target.near.link
    while link.send_promised(bytes(663)):
        if link._in_flight < links.WINDOW:
            target.wake()
    assert link._in_flight >= links.WINDOW


def fill_answers(target: Target) -> None:
    """Two rounds whose comparisons are over and have shown all they can, and as many WANTs as may wait."""
    peer, here = target.peer, [env.eid[:16] for env in target.large]
    target.near.sync.wish(until_ms=EVERYTHING)
    target.near.sync.poll(now=target.net.time)
    peer.say(Days(2, ()))
    peer.say(Days(1, ((DAY - 1, 500, b"f" * 16),)))
    for session in (1, 2):
        peer.say(Tail(session, DAY, START.wall_ms, b"f" * 16))
        peer.say(NegMsg(session, DAY, NOTHING))
    for _ in range(8):
        peer.say(Want(tuple(here + [RNG.randbytes(16) for _ in range(100)])))
    for _ in range(4):
        target.answer_reads()
    peer.say(NegOpen(1, DAY - 1, write([Range(END, ids=tuple(RNG.randbytes(32) for _ in range(1_900)))])))
    target.near.link.send_bulk(bytes(MAX_NEG_BYTES))  # what a frame may add where there is just room
    target.near.link.send_asked(bytes(READ_BYTES + LARGEST), ts_ms=0)  # and what a page may


def fill_blocks(target: Target) -> None:
    """The last part of each block is kept back."""
    blocks = tuple((RNG.randbytes(32), MAX_BLOCK_BYTES) for _ in range(64))
    target.node.put(BlockInput(SeekBlocks(b"link 77.", blocks, only=target.peer.number)))
    target.net.run(0.1)
    target.wake()
    line = target.node.mesh._exchange.parts._fetching._lines[target.peer.number]
    for _ in range(80):
        for name, index in sorted(line.owed):
            if index != 42:
                target.peer.say(Part(name, index, RNG.randbytes(MAX_PART_BYTES)))


def fill_parts(target: Target) -> None:
    for index in range(32):
        target.peer.say(Fetch(b"b" * 32, index))
    for _ in range(8):
        for asked in [one for one in target.node.effects if isinstance(one, ReadParts)]:
            target.node.effects.remove(asked)
            data = RNG.randbytes(asked.count * MAX_PART_BYTES)
            target.node.put(BlockInput(PartsRead(asked.ticket, data)))


def test_all_that_one_peer_can_make_us_hold_at_once_is_less_than_6_mib() -> None:
    """M4: of what is read and written the shell's part is added, the rest is measured here."""
    target = Target()
    node, peer, near, net = target.node, target.peer, target.near, target.net
    tracemalloc.start()
    begun = target.held()
    with target.row("live frames", links.MAX_LIVE_BYTES):
        fill_sealed(target)
    with target.row("answers to rounds and WANTs", 500_000):
        fill_answers(target)
    with target.row("ids waited for", MAX_MISSING_OF_LINK * 16):
        for _ in range(12):
            peer.say(IHave(tuple((RNG.randbytes(16), 1) for _ in range(256))))
    with target.row("ids wanted", MAX_WANTED_OF_LINK * 16):
        for _ in range(60):
            peer.say(IHave(tuple((RNG.randbytes(16), NOT_COMING) for _ in range(256))))
    with target.row("ids to be announced", neighbour.MAX_ANNOUNCED * 17):
        for _ in range(neighbour.MAX_ANNOUNCED + 10):
            near.announce(RNG.randbytes(16), 1, now=net.time)
    with target.row("ids of ours that it may have", MAX_ASKED * 16):
        for _ in range(2):
            for env in target.small * 4:
                peer.say(IHave(((bytes(bytearray(env.eid[:16])), 1),)))
            node.mesh._exchange.holding.asked(peer.number, now=net.time)
            peer.say(IHave(tuple((env.eid[:16], 1) for env in target.small[:256])))
    with target.row("GRAFTs answered", recent.MAX_COUNTED * 16):
        for env in target.small:
            peer.say(Graft(bytes(bytearray(env.eid[:16]))))
    with target.row("blocks on their way", MAX_BLOCK_BYTES + 150_000):
        fill_blocks(target)
    with target.row("parts asked of us", 7 * MAX_PART_BYTES):
        fill_parts(target)
    with target.row("blocks that a relay has of it", 0):
        depot = Depot(QUOTA)
        while depot.keep(RNG.randbytes(32), Held(LEAST, 1_700_000_000_000 + len(depot.held), peer.key)) == []:
            pass
    with target.row("control frames", 0):
        for _ in range(3):
            peer.say(PeerExchange(None))
        for number in range(links.MAX_CONTROL - len(near.link._control) - 1):
            peer.say(Ping(number))
    held = target.held() - begun
    tracemalloc.stop()
    assert not peer.closed, peer.closed
    assert held + SHELL < BOUND, target.rows

"""What one peer can make us hold, in every way at once (docs/protocol.md section 11, M4)."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.clock import DAY_MS
from node.mesh import link as links, neighbour
from node.mesh.ports import BlockInput, ByIds, HeldRead, PartsRead, ReadParts, SeekBlocks
from node.mesh.spreading import NOT_COMING
from node.wire.frames import (
    MAX_BLOCK_BYTES,
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
    Prune,
    Tail,
    Want,
)
from node.wire.negentropy import END, Range, write
from tests.mesh.meshnet import START, Net, Node, envelope
from tests.mesh.test_hostile import Hostile

DAY = START.wall_ms // DAY_MS
BOUND = 6 << 20
NOTHING = write([Range(END, ids=())])
LIE = write([Range(END, fingerprint=b"l" * 16)])
RNG = random.Random(5)


class Bill:
    """What each way costs, in bytes that Python holds for it."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    @contextmanager
    def row(self, name: str) -> Iterator[None]:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        yield
        gc.collect()
        self.rows[name] = tracemalloc.get_traced_memory()[0] - before


def days_that_are_here(net: Net, node: Node) -> None:
    """More ids than a comparison shows, of which the peer says to have none."""
    for at in range(40_000):
        node.mesh._index.add(RNG.randbytes(32), START.wall_ms - at * 100, START.wall_ms + DAY_MS)


def answer_reads(node: Node) -> None:
    """The store gives the largest envelopes there are."""
    while node.reads:
        order = node.reads.pop(0)
        assert isinstance(order.spec, ByIds)
        node.put(HeldRead(order.ticket, tuple(RNG.randbytes(32_915) for _ in order.spec.ids16), False))


def compare(peer: Hostile, session: int) -> None:
    peer.say(Tail(session, DAY, START.wall_ms, b"f" * 16))
    peer.say(NegMsg(session, DAY, NOTHING))


def fill(node: Node, peer: Hostile, bill: Bill) -> None:
    net, mesh = node.net, node.mesh
    near = mesh._near[peer.number]
    with bill.row("comparisons"):
        mesh.request_sync(node.now)
        near.sync.poll(now=net.time)
        peer.say(Days(2, ()))
        peer.say(Days(1, ((DAY - 1, 500, b"f" * 16),)))
        for session in (1, 2):
            compare(peer, session)
    with bill.row("envelopes read"):
        peer.say(Want(tuple(entry[0] for entry in list(mesh._index._by_prefix.items())[:256])))
        answer_reads(node)
    with bill.row("WANTs of the peer"):
        for _ in range(7):
            peer.say(Want(tuple(bytes(bytearray(p)) for p in list(mesh._index._by_prefix)[:256])))
    with bill.row("messages of comparisons"):
        peer.say(NegOpen(1, DAY - 1, LIE.ljust(len(LIE))))
    with bill.row("announced and missing"):
        for _ in range(12):
            peer.say(IHave(tuple((RNG.randbytes(16), 1) for _ in range(256))))
    with bill.row("announced and wanted"):
        for _ in range(60):
            peer.say(IHave(tuple((RNG.randbytes(16), NOT_COMING) for _ in range(256))))
    with bill.row("announcements to the peer"):
        for _ in range(neighbour.MAX_ANNOUNCED + 10):
            near.announce(RNG.randbytes(16), 1, now=net.time)
    with bill.row("live frames"):
        for _ in range(2_000):
            near.link.send_promised(bytes(663))
    with bill.row("blocks on their way"):
        blocks = tuple((RNG.randbytes(32), MAX_BLOCK_BYTES) for _ in range(64))
        mesh.handle(BlockInput(SeekBlocks(b"link77..", blocks, only=peer.number)), now=node.now)
        net.run(0.1)
        line = mesh._exchange.parts._fetching._lines[peer.number]
        for _ in range(400):
            for name, index in sorted(line.owed):
                if index != 42:
                    peer.say(Part(name, index, RNG.randbytes(MAX_PART_BYTES)))
    with bill.row("parts asked of us"):
        for n in range(32):
            for effect in node.effects:
                pass
            node.effects.clear()
            peer.say(Fetch(b"b" * 32, n))
            for effect in [e for e in node.effects if isinstance(e, ReadParts)]:
                node.put(BlockInput(PartsRead(effect.ticket, RNG.randbytes(effect.count * MAX_PART_BYTES))))
    with bill.row("control frames"):
        for _ in range(10):
            peer.say(PeerExchange(None))
        for n in range(links.MAX_CONTROL - len(near.link._control) - 1):
            peer.say(Ping(n))


def test_all_that_one_peer_can_make_us_hold() -> None:
    net = Net()
    node = net.node("a", roles=frozenset({"hold", "relay"}))
    node.reads = []
    days_that_are_here(net, node)
    peer, rest = Hostile(node), Hostile(node, 98, link=78)
    peer.reading = False
    bill = Bill()
    tracemalloc.start()
    with bill.row("sum"):
        fill(node, peer, bill)
        node.effects.clear()
        peer.heard.clear()
    tracemalloc.stop()
    near = node.mesh._near[peer.number]
    print()
    for name, size in bill.rows.items():
        print(f"{size:>10,} {name}")
    print("inflight", near.link._in_flight, "bulk", near.link._bulk_bytes, "live", near.link._live_bytes, "control", len(near.link._control), sum(map(len, near.link._control)))
    for n, lane in near.sync.answers._lanes.items():
        print(n, [type(j).__name__ for j in lane.jobs], lane.credit, [(len(j.ids), sum(map(len,j.ready))) for j in lane.jobs if hasattr(j,'ids')], lane.reading)
    assert not peer.closed, peer.closed
    assert bill.rows["sum"] < BOUND

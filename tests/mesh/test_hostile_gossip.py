"""What peers could do to gossip, or to honest nodes by way of it, and cannot."""

from __future__ import annotations

import gc
import inspect
import random
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import pytest

from node.clock import DAY_MS
from node.errors import DecodeError
from node.mesh import transport
from node.mesh.gossip import EPHEMERAL_WINDOW_MS, SEEN_FOR
from node.mesh.hops import Hops
from node.mesh.limits import TokenBucket
from node.mesh.policing import Meter
from node.mesh.ports import CloseLink, DeadlineReached, LinkBytes
from node.mesh.spreading import NOT_COMING
from node.mesh.wants import ANSWER_WITHIN
from node.wire import codec, frame_bytes, frames
from node.wire.frames import Batch, Graft, IHave, Number, Ping, Prune, Push, Want
from tests.mesh.meshnet import START, Net, Node, chain, envelope
from tests.mesh.test_hostile import Hostile


@pytest.fixture
def node() -> Iterator[Node]:
    made = Net().node("a")
    made.reads = []
    yield made


def faults(node: Node, of: Node) -> float:
    """What one node holds against another."""
    score = node.mesh._scores._scores.get(of.key)
    return 0.0 if score is None else score.invalid + score.violation


@pytest.mark.mesh_attack("N03")
def test_a_flood_of_ephemerals_makes_no_honest_node_break_a_promise() -> None:
    """What a node announces of a flood it can still give: nobody holds the flood against it."""
    net = Net()
    a, b = chain(net, "a", "b")
    peer = Hostile(a)
    lazy = next(near.link.number for near in a.mesh._near.values() if near.link.node_key == b.key)
    a.mesh._exchange.spreading.tree.on_prune(lazy, 3_600, now=net.time)
    for number in b.mesh._near:
        b.mesh._exchange.spreading.tree.on_prune(number, 3_600, now=net.time)
    for _ in range(40):
        for _ in range(60):
            peer.say(Push(1, envelope(net.rng, net.wall_ms, ephemeral=True).raw))
        net.run(1)
        a.mesh._exchange.spreading.tree.on_prune(lazy, 3_600, now=net.time)
    net.run(40)
    assert faults(b, a) == 0 and not [e for e in b.effects if isinstance(e, CloseLink)]


@pytest.mark.mesh_attack("N03")
def test_no_more_ephemerals_are_announced_than_would_be_pushed(node: Node) -> None:
    """What is announced has to be given when it is asked for, in time."""
    peer = Hostile(node)
    peer.say(Prune(60))
    node.mesh._near[peer.number].link._ephemeral_budget = TokenBucket(5, now=node.net.time)
    for _ in range(50):
        node.publish(envelope(node.net.rng, node.net.wall_ms, ephemeral=True))
    node.publish(envelope(node.net.rng, node.net.wall_ms))
    node.net.run(0.1)
    assert sum(len(frame.ids) for frame in peer.of(IHave)) == 5 + 1


def test_answers_that_come_late_are_taken_and_held_against_nobody(node: Node) -> None:
    """Who was stopped, or asked somebody slow, finds the answers behind the time they had."""
    net = node.net
    envs = [envelope(net.rng, net.wall_ms - 7_200_000) for _ in range(30)]
    peer = Hostile(node)
    peer.say(IHave(tuple((env.eid[:16], NOT_COMING) for env in envs)))
    assert len(peer.of(Want)) == 1
    net.run(ANSWER_WITHIN - 5)
    peer.say(Ping(0))
    net.run(6)
    more = envelope(net.rng, net.wall_ms - 7_200_000)
    peer.say(IHave(((more.eid[:16], NOT_COMING),)))
    assert len(peer.of(Want)) == 2
    for env in envs:
        peer.say(Batch(0, (env.raw,), True))
    peer.say(Batch(0, (), False))
    peer.say(Batch(0, (more.raw,), False))
    assert {env.eid for env in node.arrived()} == {env.eid for env in (*envs, more)}
    assert not peer.closed and not node.mesh._scores._scores


def test_who_never_answers_is_not_asked_on_and_on(node: Node) -> None:
    net, peer = node.net, Hostile(node)
    for _ in range(40):
        peer.say(IHave(((net.rng.randbytes(16), NOT_COMING),)))
        net.run(7)
        peer.say(Ping(0))
    assert peer.closed == "" and len(peer.of(Want)) <= 8


def test_wants_are_not_kept_from_others_by_answers_with_nothing_in_them(node: Node) -> None:
    net = node.net
    env = envelope(net.rng, net.wall_ms - 7_200_000)
    liar, honest = Hostile(node), Hostile(node, 98, link=78)
    for peer in (liar, honest):
        peer.say(IHave(((env.eid[:16], NOT_COMING),)))
    for _ in range(5):
        net.run(5)
        liar.say(Batch(0, (envelope(net.rng, net.wall_ms - 40 * 86_400_000).raw,), True))
        liar.say(Ping(0))
        honest.say(Ping(0))
    assert [want.ids for want in honest.of(Want)] == [(env.eid[:16],)]
    for _ in range(30):
        liar.say(Batch(0, (), True))
    assert liar.closed == "BATCH that nobody asked for"


@pytest.mark.mesh_attack("N05")
def test_an_empty_frame_is_no_handshake(node: Node) -> None:
    peer = Hostile(node)
    heard = len(peer.heard)
    peer.say_bytes(b"")
    assert peer.closed and not peer.of(Prune) and len(peer.heard) <= heard + 1


@pytest.mark.mesh_attack("N05")
@pytest.mark.parametrize("head", [b"\xdc\xff\xee", b"\xdd\x00\x00\xff\xee", b"\xdc\x04\x01"])
def test_arrays_that_claim_more_than_any_frame_has_are_not_made_room_for(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame of 64 KiB took a fifth of a second: 1,000 lists of 64 Ki entries within each other."""
    limits = []
    real = codec.msgpack.unpackb

    def watched(data: bytes, **options: int) -> object:
        limits.append(options["max_array_len"])
        return real(data, **options)

    monkeypatch.setattr(codec.msgpack, "unpackb", watched)
    with pytest.raises(DecodeError):
        frame_bytes.decode((head * 1_000).ljust(65_519, b"\0"))
    assert limits == [frame_bytes.MAX_ITEMS]
    with pytest.raises(DecodeError):
        frame_bytes.decode(head.ljust(3 + 65_519, b"\0"))
    assert len(limits) == 1, "what is too long is not even looked at"


@pytest.mark.mesh_attack("N05")
def test_no_frame_is_read_for_nothing_because_it_looks_like_an_answer() -> None:
    """0xdc 0x0b: an array of 2,8xx entries, unknown to us, whose second byte is the number of BATCH."""
    meter = Meter(200, now=0.0)
    for kind in (Number.BATCH, Number.PART):
        for _ in range(1_000):
            meter.took(bytes((0xDC, kind, 0)) + bytes(30_000))
    assert meter.pause(now=0.0) > 0


@pytest.mark.mesh_attack("N05")
def test_every_way_in_is_bounded_before_anything_is_read(node: Node) -> None:
    """The websocket message, the Noise message in it, the frame in that: each has its limit."""
    peer = Hostile(node)
    with pytest.raises(DecodeError):
        frame_bytes.decode(bytes(frames.MAX_FRAME_BYTES + 1))
    node.put(LinkBytes(peer.number, b"\xff\xff" + bytes(100)))
    assert peer.closed
    assert node.mesh._near == {} and node.verified == 0
    source = inspect.getsource(transport)
    assert source.count("max_size=MAX_MESSAGE_BYTES") == 2, "both who listens and who dials"


@pytest.mark.parametrize("lazy", [False, True])
def test_a_peer_sees_no_difference_between_what_we_wrote_and_what_we_pass_on(lazy: bool) -> None:
    """M8 for who wrote it: no frame follows our own envelopes that does not follow those of others."""

    def heard(own: bool) -> list[str]:
        net = Net()
        node = net.node("a")
        other, peer = Hostile(node), Hostile(node, 98, link=78)
        if lazy:
            peer.say(Prune(60))
        net.run(5)
        trace: list[str] = []
        for gap in (0.5, 1.0, 0.05, 5.0, 8.0):
            env = envelope(net.rng, net.wall_ms)
            peer.heard.clear()
            if own:
                node.publish(env, watched=True)
            else:
                other.say(Push(2, env.raw))
            if lazy:
                net.run(0.03)
                peer.say(IHave(((env.eid[:16], 3),)))
                peer.say(Graft(env.eid[:16]))
                peer.say(Prune(60))
            for _ in range(round(gap / 0.05)):
                net.run(0.05)
                trace += [f"{net.time:.2f} {type(frame).__name__}" for frame in peer.heard]
                peer.heard.clear()
        assert not peer.closed and any("Ping" in line for line in trace)
        return trace

    assert heard(own=True) == heard(own=False)


def test_no_count_of_hops_is_an_authors_alone_and_many_messages_tell_no_more_than_one() -> None:
    rng = random.Random(1)
    env = envelope(rng, 20_000 * DAY_MS)
    hops = [Hops(bytes([n]) * 32) for n in range(100)]
    first = Counter(one.first(env) for one in hops)
    assert set(first) == {0, 1, 2, 3}
    for said in range(4):
        assert any(one.onward(env, said) == said for one in hops), said
        assert any(one.onward(env, said) == said + 1 for one in hops), said
    assert all(one.onward(env, 4) == 5 for one in hops)
    assert len({(hops[0].first(e), hops[0].onward(e, 0)) for e in (envelope(rng, env.ts_ms), env)}) == 1


def test_a_graft_is_answered_with_the_hops_that_were_announced(node: Node) -> None:
    """A PUSH of one hop more than was announced would be an author's."""
    peer = Hostile(node)
    peer.say(Prune(60))
    for _ in range(5):
        env = envelope(node.net.rng, node.net.wall_ms)
        node.publish(env)
        node.net.run(0.03)
        peer.say(Graft(env.eid[:16]))
        peer.say(Prune(60))
        assert peer.of(IHave)[-1].ids[0][1] == peer.of(Push)[-1].hop


def test_what_one_peer_gives_back_is_asked_of_many_others_but_not_by_one_frame(node: Node) -> None:
    """M6: no frame makes us send more than three."""
    ids = [node.net.rng.randbytes(16) for _ in range(200)]
    liar = Hostile(node)
    liar.say(IHave(tuple((prefix, NOT_COMING) for prefix in ids)))
    others = [Hostile(node, 10 + n, link=100 + n) for n in range(20)]
    for n, other in enumerate(others):
        other.say(IHave(tuple((prefix, NOT_COMING) for prefix in ids[n::20])))
    assert [other.of(Want) for other in others] == [[]] * 20
    liar.say(frames.Gone(tuple(ids)))
    assert sum(len(other.of(Want)) for other in others) <= 3
    node.net.run(0.1)
    assert [set(other.of(Want)[0].ids) for other in others] == [set(ids[n::20]) for n in range(20)]


@pytest.mark.mesh_attack("N10")
def test_a_slow_reader_costs_6_mib_and_no_time(node: Node) -> None:
    """M4: all that one peer can make us hold at once, and nobody wakes us for a link that takes nothing."""
    net, mesh = node.net, node.mesh
    rng = random.Random(3)
    large = [envelope(rng, net.wall_ms, size=30_000) for _ in range(300)]
    small = [envelope(rng, net.wall_ms) for _ in range(3_000)]
    for env in (*large, *small):
        node.publish(env)
    peer, rest = Hostile(node), Hostile(node, 98, link=78)
    peer.reading = False
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(8):
        peer.say(Want(tuple(env.eid[:16] for env in large[:256])))
    peer.answer_reads()
    for _ in range(12):
        peer.say(IHave(tuple((b"7" + rng.randbytes(15), 1) for _ in range(256))))
    for _ in range(40):
        peer.say(IHave(tuple((rng.randbytes(16), NOT_COMING) for _ in range(256))))
    for env in large[:32]:
        peer.say(Graft(env.eid[:16]))
    for _ in range(80):
        peer.say(Ping(0))
    peer.say(Prune(60))
    for env in small:
        mesh._near[peer.number].announce(env.eid[:16], 1, now=net.time)
    for _ in range(40):
        for _ in range(256):
            mesh._near[peer.number].announce(rng.randbytes(16), 1, now=net.time)
        peer.say(IHave(tuple((env.eid[:16], 1) for env in small[:256])))
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert peer.number in mesh._near and not peer.closed
    assert held < 6 << 20, held
    wakes = 0
    handle = mesh.handle

    def counted(event: Any, **options: Any) -> Any:
        nonlocal wakes
        wakes += isinstance(event, DeadlineReached)
        return handle(event, **options)

    mesh.handle = counted  # type: ignore[method-assign] # counts
    net.run(8)
    peer.say(Ping(0))
    wakes = 0
    net.run(5)
    assert peer.number in mesh._near and wakes < 60, wakes
    peer.say(Ping(0))
    net.run(9)
    assert peer.closed == "reads nothing" and not rest.closed


@pytest.mark.mesh_attack("N06")
def test_what_is_replayed_after_the_seen_cache_forgot_it_is_taken_once() -> None:
    """M1: ephemerals are too old by then, kept ones known for as long as they live, forged ones forged."""
    net = Net()
    node = net.node("a")
    fleeting = envelope(net.rng, net.wall_ms, ephemeral=True)
    kept = envelope(net.rng, net.wall_ms, ttl_days=1)
    forged = kept.raw[:-1] + bytes([kept.raw[-1] ^ 1])
    raws, verified = (fleeting.raw, kept.raw, forged), []
    for hour in (0, 1, 23, 24, 30):
        net.run(START.mono + hour * 3_600 - net.time)
        peer = Hostile(node, 50 + hour, link=200 + hour)
        node.mesh._index.expire(net.wall_ms)
        peer.say(Push(0, envelope(net.rng, net.wall_ms, ephemeral=True).raw))  # turns the cache
        before = node.verified
        for raw in raws:
            for _ in range(2):
                peer.say(Push(0, raw))
        for raw in raws:
            peer.say(IHave(((blake2b(raw, digest_size=32).digest()[:16], NOT_COMING),)))
        if peer.of(Want):
            peer.say(Batch(0, raws, False))
        verified.append(node.verified - before)
    assert Counter(env.eid for env in node.arrived() if env.raw in raws) == {fleeting.eid: 1, kept.eid: 1}
    assert verified[0] == 3 and max(verified[1:]) <= 1, verified
    assert kept.eid[:16] not in node.mesh._exchange._gossip.index, "it has expired, and is not taken again"


@pytest.mark.mesh_attack("N06")
def test_an_ephemeral_cannot_be_shown_again_while_it_is_fresh(node: Node) -> None:
    """M1: the seen ids last longer than the time in which an ephemeral is taken."""
    assert 2 * EPHEMERAL_WINDOW_MS <= SEEN_FOR * 1000
    env = envelope(node.net.rng, node.net.wall_ms + EPHEMERAL_WINDOW_MS, ephemeral=True)
    for at in range(30):
        node.net.run(10)
        Hostile(node, 10 + at, link=100 + at).say(Push(0, env.raw))
    assert node.arrived() == [env]


@pytest.mark.mesh_attack("N07")
def test_a_relay_that_flips_any_bit_forges_nothing_and_hides_nothing() -> None:
    """M2: what is passed on is what was signed; the genuine envelope is taken whatever came before it."""
    net = Net()
    node = net.node("a")
    honest, other = Hostile(node), Hostile(node, 98, link=78)
    real = envelope(net.rng, net.wall_ms)
    spots = [0, 1, 2, 9, 10, 11, 42, 43, 106, 107, 130, 131, len(real.raw) - 1]
    for n, spot in enumerate(spots):
        for bit in (1, 128):
            raw = bytearray(real.raw)
            raw[spot] ^= bit
            relay = Hostile(node, 10 + n, link=200 + 2 * n + bit)
            relay.say(Push(1, bytes(raw)))
            net.run(0.05)
    assert node.arrived() == [] and not other.of(Push) and not other.of(IHave)
    honest.say(Push(1, real.raw))
    assert node.arrived() == [real] and [push.envelope for push in other.of(Push)] == [real.raw]


@pytest.mark.mesh_attack("N07")
def test_a_relay_that_forges_is_refused(node: Node) -> None:
    relay = Hostile(node)
    for _ in range(5):
        assert not relay.closed
        raw = envelope(node.net.rng, node.net.wall_ms).raw
        relay.say(Push(1, raw[:60] + bytes([raw[60] ^ 1]) + raw[61:]))
    assert relay.closed and Hostile(node, link=78).closed == "refused for its faults"

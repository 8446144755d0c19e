"""What a peer that breaks the rules can and cannot do to a mesh."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from node.clock import DAY_MS
from node.crypto.channel import network_id
from node.crypto.handshake import make_link_keys
from node.errors import PeerFault
from node.mesh import wants
from node.mesh.link import Link
from node.mesh.ports import (
    CloseLink,
    Dial,
    HeldRead,
    LinkBytes,
    LinkDrained,
    LinkOpened,
    MeshEffect,
    PeerUp,
    SendBytes,
    SyncFinished,
)
from node.mesh.spreading import NOT_COMING
from node.mesh.sync import EMPTY
from node.wire import codec, frame_bytes, frames
from node.wire.frames import (
    Batch,
    Credit,
    Days,
    Frame,
    Goodbye,
    Hello,
    IHave,
    Ping,
    Pong,
    Tail,
    Unknown,
    Want,
)
from tests.mesh.meshnet import Net, Node, chain, envelope

SIZE = 659


class Hostile:
    """A peer that speaks the link but says what it likes; it dialled `node` under link number 77."""

    def __init__(self, node: Node, seed: int = 99, *, hello: bool = True, link: int = 77) -> None:
        self.node, self.number = node, link
        rng = random.Random(seed)
        keys = make_link_keys(
            bytes([seed]) * 32, network_id=network_id(None), psk=None, entropy=rng.randbytes
        )
        self.link = Link(
            link, outbound=True, address="", remote="", keys=keys, entropy=rng.randbytes, now=0.0
        )
        self.key = keys.node_pub
        self.heard: list[Frame] = []
        self.closed = ""
        self.reading = self.answering = True
        others = node.outside
        node.outside = lambda effect: self._take(effect) if effect.link == link else others(effect)  # type: ignore[union-attr] # only effects of links come here
        node.put(LinkOpened(link, False, "", "8.8.8.8:9"))
        self._exchange()
        if hello:
            self.say(Hello(0, b"hostile!", (), frozenset(), 65_519, 0, node.now.wall_ms, 10_000))

    def _take(self, effect: MeshEffect) -> None:
        match effect:
            case SendBytes(_, data) if self.reading:
                for frame in self.link.receive(data, now=0.0):
                    if frame:
                        self.heard.append(frame_bytes.decode(frame))
                self.node.put(LinkDrained(self.number, len(data)))
                if self.answering and isinstance(self.heard[-1] if self.heard else None, Ping):
                    self.say(Pong(self.node.now.wall_ms))
            case CloseLink(_, reason):
                self.closed = reason
            case _:
                pass

    def say(self, frame: Frame) -> None:
        self.say_bytes(frame_bytes.encode(frame))

    def say_bytes(self, frame: bytes) -> None:
        self.link.send_control(frame)
        self._exchange()

    def _exchange(self) -> None:
        while messages := self.link.flush(now=0.0):
            for message in messages:
                self.link.drained(len(message), now=0.0)
                self.node.put(LinkBytes(self.number, message))

    def of(self, kind: type) -> list:  # type: ignore[type-arg] # of any frame
        return [frame for frame in self.heard if isinstance(frame, kind)]

    def answer_reads(self) -> None:
        while self.node.reads:
            order = self.node.reads.pop(0)
            self.node.put(HeldRead(order.ticket, *self.node.read(order.spec)))


@pytest.fixture
def node() -> Iterator[Node]:
    made = Net().node("a")
    made.reads = []
    yield made


def test_the_hostile_peer_is_taken_for_a_peer_at_first(node: Node) -> None:
    peer = Hostile(node)
    assert [e.outbound for e in node.effects if isinstance(e, PeerUp)] == [False]
    assert isinstance(peer.heard[0], Hello) and peer.heard[0].budget == 200


@pytest.mark.mesh_attack("N05")
def test_three_malformed_frames_close_a_link_and_unknown_ones_do_not(node: Node) -> None:
    peer = Hostile(node)
    for number in range(22, 60):
        peer.say_bytes(codec.pack([number, b"x"]))
    peer.say(Unknown(99))
    for count in range(3):
        assert not peer.closed, count
        peer.say_bytes(b"\xc1")
    assert peer.closed == "malformed frames"
    assert isinstance(peer.heard[-1], Goodbye)


def test_nothing_but_hello_may_come_first_and_it_comes_once(node: Node) -> None:
    early = Hostile(node, hello=False)
    early.say(Ping(1))
    assert early.closed == "no HELLO"
    twice = Hostile(node, 98, link=78)
    for _ in range(3):
        twice.say(Hello(0, b"hostile!", (), frozenset(), 65_519, 0, 0, 200))
    assert twice.closed == "malformed frames"


@pytest.mark.mesh_attack("N05")
def test_envelopes_of_impossible_size_close_the_link(node: Node) -> None:
    peer = Hostile(node)
    for size in (660, 1_000, 32_000):
        peer.say_bytes(frame_bytes.encode_push(0, bytes(size)))
    assert peer.closed and node.verified == 0


def test_a_peer_refused_for_its_faults_stays_out_for_an_hour(node: Node) -> None:
    first = Hostile(node)
    for _ in range(20):
        first.say(Batch(0, (), False))
    assert first.closed == "BATCH that nobody asked for"
    assert Hostile(node, link=78).closed == "refused for its faults"
    node.net.run(3_601)
    assert not Hostile(node, link=79).closed


@pytest.mark.mesh_attack("N09")
def test_a_thousand_half_open_links_leave_room_for_an_honest_one(node: Node) -> None:
    for number in range(1_000):
        remote = f"9.{number // 250}.{number % 250}.1:7"
        node.put(LinkOpened(1_000 + number, False, "", remote))
    assert len(node.mesh._near) == 64
    assert not Hostile(node).closed
    node.net.run(11)
    assert [near.link.number for near in node.mesh._near.values()] == [77]


@pytest.mark.mesh_attack("N09")
def test_one_network_holds_eight_half_open_links(node: Node) -> None:
    for number in range(50):
        node.put(LinkOpened(1_000 + number, False, "", f"9.9.9.{number}:7"))
    assert len(node.mesh._near) == 8
    for number in range(50):
        node.put(LinkOpened(2_000 + number, False, "", f"192.168.1.{number}:7"))
    assert len(node.mesh._near) == 58, "private networks are not counted"


@pytest.mark.parametrize(
    "data", [bytes(2_049), b"\x00\x00", b"\x00", b"\x04\x01" + bytes(1_025), b"\x00\x20" + bytes(31), b""]
)
def test_junk_before_the_handshake_closes_or_does_nothing(node: Node, data: bytes) -> None:
    node.put(LinkOpened(5, False, "", "9.9.9.9:1"))
    for _ in range(4):
        effects = node.put(LinkBytes(5, data))
    assert node.mesh._near == {} and not any(isinstance(e, SendBytes) for e in effects)


@pytest.mark.mesh_attack("N10")
def test_who_reads_nothing_is_sent_no_more_than_its_credit(node: Node) -> None:
    for at in range(3_000):
        node.publish(envelope(node.net.rng, node.net.wall_ms - at * 1_000))
    peer = Hostile(node)
    peer.say(Days(1, ()))
    days = peer.of(Days)[0].days
    assert sum(count for _, count, _ in days) == 3_000
    for _ in range(40):
        peer.say(Tail(1, days[-1][0], days[-1][0] * DAY_MS, EMPTY))
    peer.answer_reads()
    sent = sum(len(raw) for batch in peer.of(Batch) for raw in batch.envelopes)
    assert 262_144 - 61_440 <= sent <= 262_144 + 61_440
    peer.say(Credit(1, 100_000))
    peer.answer_reads()
    more = sum(len(raw) for batch in peer.of(Batch) for raw in batch.envelopes)
    assert 0 < more - sent <= 100_000 + 2 * 61_440


@pytest.mark.mesh_attack("N01")
def test_wants_and_tails_beyond_the_limits_are_held_against_a_peer(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    node.publish(env)
    peer = Hostile(node)
    for _ in range(40):
        peer.say(Want((env.eid[:16],) * 256))
    assert peer.closed == "too many WANTs"
    assert len(node.reads or ()) == 1
    other = Hostile(node, 98, link=78)
    for _ in range(20):
        other.say(Tail(5, 20_000, 0, bytes(16)))
    assert other.closed == "TAIL of no round"


def test_what_is_gone_is_said_to_be_gone(node: Node) -> None:
    env = envelope(node.net.rng, node.net.wall_ms)
    node.publish(env)
    peer = Hostile(node)
    peer.say(Want((b"x" * 16, env.eid[:16])))
    peer.answer_reads()
    assert [g.ids for g in peer.of(frames.Gone)] == [(b"x" * 16,)]
    assert [b.envelopes for b in peer.of(Batch)] == [(env.raw,)]


@pytest.mark.mesh_attack("N03")
def test_announcements_of_nothing_cost_bounded_memory_and_do_not_crowd_out_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wants, "MAX_WANTED_OF_LINK", 1_000)
    net = Net()
    a, b = chain(net, "a", "b")
    peer = Hostile(a)
    for _ in range(50):
        peer.say(IHave(tuple((net.rng.randbytes(16), 0) for _ in range(256))))
    assert len(a.mesh._exchange.wants) <= 1_000 + 512
    env = envelope(net.rng, net.wall_ms - 2 * 3_600_000)
    b.publish(env)
    net.run(1)
    assert a.arrived() == [env]
    net.run(300)
    assert len(a.mesh._exchange.wants) <= 1_000


@pytest.mark.mesh_attack("N03")
def test_a_promise_that_is_broken_is_kept_by_another(node: Node) -> None:
    net = node.net
    env = envelope(net.rng, net.wall_ms - 100_000)
    liar = Hostile(node)
    liar.say(IHave(((env.eid[:16], NOT_COMING),)))
    assert [w.ids for w in liar.of(Want)] == [(env.eid[:16],)]
    honest = Hostile(node, 98, link=78)
    honest.say(IHave(((env.eid[:16], NOT_COMING),)))
    assert honest.of(Want) == []
    net.run(10)
    honest.say(Ping(0))
    liar.say(Ping(0))
    net.run(10.5)
    assert node.mesh._exchange.wants._holders[env.eid[:16]] == (78,)
    honest.say(Batch(0, (env.raw,), False))
    assert node.arrived() == [env]


def test_a_peer_that_never_answers_ends_no_round_but_its_own(node: Node) -> None:
    peer = Hostile(node)
    peer.say(Days(1, ((20_000, 5, bytes(16)),)))
    assert len(peer.of(Tail)) == 1
    for _ in range(5):
        node.net.run(4.5)
        peer.say(Ping(0))
    assert [e.missing_answered for e in node.effects if isinstance(e, SyncFinished)] == [False]
    peer.say(Days(1, ()))
    peer.say(Days(3, ()))
    assert [e.missing_answered for e in node.effects if isinstance(e, SyncFinished)] == [False, True]


def test_endless_rounds_are_held_against_a_peer(node: Node) -> None:
    peer = Hostile(node)
    for number in range(1, 60, 2):
        peer.say(Days(number, ()))
    assert peer.closed == "DAYS out of turn" and len(peer.of(Days)) == 1


def test_credit_is_granted_as_envelopes_are_taken_in(node: Node) -> None:
    peer = Hostile(node)
    peer.say(Days(1, ((20_000, 10_000, bytes(16)),)))
    for _ in range(10):
        raws = [envelope(node.net.rng, 20_000 * DAY_MS).raw for _ in range(90)]
        peer.say(Batch(1, tuple(raws), True))
    granted = sum(credit.nbytes for credit in peer.of(Credit))
    assert 900 * SIZE - 65_536 - 90 * SIZE <= granted <= 900 * SIZE
    assert len(node.arrived()) == 900 and not peer.closed


@pytest.mark.mesh_attack("N10")
def test_pings_that_are_never_read_close_the_link(node: Node) -> None:
    peer = Hostile(node)
    peer.reading = False
    for _ in range(20_000):
        peer.say(Ping(5))
        if peer.closed:
            break
    assert peer.closed == "reads nothing"
    assert node.mesh._near == {}


def test_ephemerals_in_a_batch_are_not_taken(node: Node) -> None:
    peer = Hostile(node)
    env = envelope(node.net.rng, node.net.wall_ms, ephemeral=True)
    peer.say(IHave(((env.eid[:16], 0),)))
    peer.say(Batch(0, (env.raw,), False))
    assert node.arrived() == []


@pytest.mark.mesh_attack("N05")
def test_ten_thousand_damaged_frames_raise_nothing_and_forge_nothing() -> None:
    net = Net()
    node = net.node("a")
    rng = random.Random(4)
    env = envelope(rng, net.wall_ms)
    corpus = [
        frame_bytes.encode(frame)
        for frame in (
            IHave(((b"i" * 16, 1),)),
            Want((b"i" * 16,)),
            Days(1, ((20_000, 5, b"f" * 16),)),
            Tail(1, 20_000, 20_000 * DAY_MS, b"f" * 16),
            Batch(0, (env.raw,), True),
            Credit(1, 5),
            frames.Gone((b"i" * 16,)),
            Ping(1),
            frames.Push(1, env.raw),
            Hello(0, b"hostile!", (), frozenset(), 65_519, 0, 0, 200),
        )
    ]
    links = 0
    peer = Hostile(node, 90)
    for _ in range(10_000):
        if peer.closed or not node.mesh._near:
            links += 1
            net.run(3_700)
            peer = Hostile(node, 90, link=100 + links)
            assert not peer.closed
        raw = bytearray(rng.choice(corpus))
        raw[rng.randrange(min(len(raw), 200))] ^= 1 << rng.randrange(8)
        if bytes(raw[-len(env.raw) :]) != env.raw:
            peer.say_bytes(bytes(raw))
    assert links > 100 and node.arrived() == []


def test_any_damage_on_the_wire_ends_the_link_not_the_node() -> None:
    net = Net()
    a, b = chain(net, "a", "b")
    rng = random.Random(8)

    def damage(_from: str, _to: str, data: bytes) -> bytes:
        if rng.random() < 0.03:
            spot = rng.randrange(len(data))
            return data[:spot] + bytes([data[spot] ^ 4]) + data[spot + 1 :]
        return data

    net.on_wire = damage
    sent = []
    for _ in range(200):
        sent.append(envelope(net.rng, net.wall_ms))
        a.publish(sent[-1])
        net.run(1)
    net.on_wire = lambda _from, _to, data: data
    net.run(400)
    assert net.agree() and len(b.store) == 200 and sum(isinstance(e, Dial) for e in b.effects) > 3


def test_a_capture_holds_no_plaintext_and_no_header() -> None:
    """M8."""
    net = Net()
    seen = bytearray()

    def record(_from: str, _to: str, data: bytes) -> bytes:
        seen.extend(data)
        return data

    net.on_wire = record
    a, b = chain(net, "a", "b")
    env = envelope(net.rng, net.wall_ms)
    a.publish(env)
    net.run(1)
    assert b.arrived() == [env]
    for secret in (a.key, b.key, env.rk, env.raw[:40], env.raw[-40:], b"ws://"):
        assert secret not in seen


def test_a_handshake_that_is_replayed_authenticates_nobody(node: Node) -> None:
    record: list[bytes] = []
    rng = random.Random(99)
    keys = make_link_keys(b"c" * 32, network_id=network_id(None), psk=None, entropy=rng.randbytes)
    link = Link(5, outbound=True, address="", remote="", keys=keys, entropy=rng.randbytes, now=0.0)
    for number in (5, 6):
        node.put(LinkOpened(number, False, "", "9.9.9.9:1"))
        if number == 6:
            for data in record:
                effects = node.put(LinkBytes(6, data))
            assert any(isinstance(e, CloseLink) for e in effects)
            break
        (first,) = link.flush(now=0.0)
        record.append(first)
        answer = [e.data for e in node.put(LinkBytes(5, first)) if isinstance(e, SendBytes)]
        list(link.receive(answer[0], now=0.0))
        link.send_control(frame_bytes.encode(Hello(0, b"12345678", (), frozenset(), 65_519, 0, 0, 200)))
        record += link.flush(now=0.0)
        node.put(LinkBytes(5, record[-1]))
    with pytest.raises(PeerFault):
        list(link.receive(b"\x00\x10" + bytes(16), now=0.0))
    assert sum(isinstance(e, PeerUp) for e in node.effects) == 1

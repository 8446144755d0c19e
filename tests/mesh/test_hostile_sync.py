"""What a peer that lies while it compares days can and cannot do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from node.clock import DAY_MS
from node.mesh import answers, ranges, wants
from node.mesh.answers import CREDIT
from node.mesh.comparing import MAX_MESSAGES, MAX_SPENT, WORK_BURST
from node.mesh.ports import ByTime, SyncFinished
from node.mesh.ranges import work_of
from node.mesh.sync import EMPTY
from node.mesh.turns import HELD_FOR, QUIET_FOR
from node.mesh.wants import MAX_FLIGHTS, MAX_WANTED_OF_LINK
from node.wire.frames import Batch, Credit, Days, NegEnd, NegMsg, NegOpen, Ping, Tail, Want
from node.wire.negentropy import END, Bound, Range, Writer, read, write
from tests.mesh.meshnet import START, Net, Node, envelope
from tests.mesh.test_hostile import Hostile

DAY = START.wall_ms // DAY_MS
LIE = write([Range(END, fingerprint=b"l" * 16)])
NOTHING = write([Range(END, ids=())])


@pytest.fixture
def node() -> Iterator[Node]:
    made = Net().node("a")
    for at in range(300):
        made.publish(envelope(made.net.rng, START.wall_ms - at * 1_000))
    made.reads = []
    yield made


def asked(node: Node, *, days: int = 1, number: int = 77) -> Hostile:
    """A peer that says it has something else of a day, and was asked for it."""
    peer = Hostile(node, 22 + number, link=number)
    peer.say(Days(1, tuple((DAY - days + 1 + at, 500, b"f" * 16) for at in range(days))))
    assert [tail.day for tail in peer.of(Tail)] == list(range(DAY - days + 1, DAY + 1))[:2]
    return peer


def opened(node: Node) -> Hostile:
    """A peer that asked for a day in a way that makes the node compare it."""
    peer = Hostile(node)
    peer.say(Days(1, ()))
    peer.say(Tail(1, DAY, START.wall_ms, b"f" * 16))
    assert len(peer.of(NegOpen)) == 1
    return peer


@pytest.mark.mesh_attack("N14")
def test_comparisons_without_end_are_ended_and_held_against_a_peer(node: Node) -> None:
    peer = asked(node)
    peer.say(NegOpen(1, DAY, LIE))
    for _ in range(MAX_MESSAGES + 40):
        peer.say(NegMsg(1, DAY, LIE))
    assert len(peer.of(NegMsg)) == MAX_MESSAGES and peer.closed == "a comparison out of turn"


@pytest.mark.mesh_attack("N14")
def test_a_comparison_of_ours_ends_within_64_messages_whatever_the_fingerprints_say(node: Node) -> None:
    """M7: sync ends within 64 rounds whatever the peer says."""
    peer = opened(node)
    before = len(node.mesh._index)
    for _ in range(MAX_MESSAGES + 5):
        if peer.of(NegEnd):
            break
        peer.say(NegMsg(1, DAY, LIE))
    assert peer.of(NegEnd) and len(peer.of(NegOpen)) + len(peer.of(NegMsg)) <= MAX_MESSAGES
    peer.answer_reads()
    assert [batch.more for batch in peer.of(Batch)][-1] is False
    assert len(node.mesh._index) == before and not peer.closed


@pytest.mark.mesh_attack("N14")
def test_bytes_without_end_end_it_too(node: Node) -> None:
    peer = opened(node)
    rng = random.Random(1)
    fat = write(
        [
            Range((START.wall_ms, b""), fingerprint=b"l" * 16),
            Range(END, ids=tuple(rng.randbytes(32) for _ in range(1_900))),
        ]
    )
    for _ in range(2 * MAX_MESSAGES):
        if peer.of(NegEnd):
            break
        peer.say(NegMsg(1, DAY, fat))
    assert peer.of(NegEnd)
    spent = sum(len(frame.message) for frame in peer.of(NegMsg))
    assert spent < MAX_SPENT and len(peer.of(NegMsg)) <= MAX_MESSAGES


@pytest.mark.mesh_attack("N14")
def test_ids_that_nobody_has_fill_no_more_than_a_links_share(node: Node) -> None:
    peer = opened(node)
    rng = random.Random(2)
    for _ in range(12):
        ids = tuple(rng.randbytes(32) for _ in range(1_900))
        peer.say(
            NegMsg(1, DAY, write([Range((START.wall_ms, b""), fingerprint=b"l" * 16), Range(END, ids=ids)]))
        )
    wanted = node.mesh._exchange.wants
    assert len(wanted) <= MAX_WANTED_OF_LINK + MAX_FLIGHTS * 256
    assert len(peer.of(Want)) == MAX_FLIGHTS
    node.net.run(100)
    assert len(wanted) == 0


@pytest.mark.mesh_attack("N14")
def test_who_claims_to_lack_everything_is_sent_no_more_than_its_credit(node: Node) -> None:
    for at in range(700):
        node.publish(envelope(node.net.rng, START.wall_ms - at * 1_000 - 1))
    peer = opened(node)
    peer.say(NegMsg(1, DAY, NOTHING))
    peer.answer_reads()
    sent = sum(len(raw) for batch in peer.of(Batch) for raw in batch.envelopes)
    assert CREDIT - 61_440 <= sent <= CREDIT + 61_440
    for _ in range(10):
        peer.say(Credit(1, 1 << 20))
        peer.answer_reads()
    shown = [raw for batch in peer.of(Batch) for raw in batch.envelopes]
    assert len(shown) == len(set(shown)) == 1_000
    times = [raw[2:10] for raw in shown]
    assert times == sorted(times), "in order of time, as every answer"


@pytest.mark.parametrize(
    "frame",
    [
        NegMsg(1, DAY, LIE),
        NegMsg(7, DAY, LIE),
        NegOpen(1, DAY - 3, LIE),
        NegOpen(3, DAY, LIE),
        NegMsg(1, DAY - 1, LIE),
    ],
)
def test_what_has_no_place_in_a_round_is_held_against_a_peer(node: Node, frame: NegOpen | NegMsg) -> None:
    peer = asked(node)
    for _ in range(20):
        peer.say(frame)
    assert peer.closed == "a comparison out of turn" and not peer.of(NegMsg)


def test_a_day_cannot_be_opened_twice_at_once(node: Node) -> None:
    peer = asked(node)
    for _ in range(21):
        peer.say(NegOpen(1, DAY, LIE))
    assert peer.closed and len(peer.of(NegMsg)) == 1


@pytest.mark.parametrize(
    "message",
    [
        b"\x60",
        LIE + b"\x01",
        b"\x61\x05\x00\x00\x01\x01\x00\x00\x01",
        b"\x61\x05\x01b\x00\x01\x01a\x00",
        b"\x61\x00\x00\x02\xff\xff\x7f",
        b"\x61\x00\x00\x03",
    ],
)
def test_a_malformed_message_ends_the_comparison_and_changes_nothing(node: Node, message: bytes) -> None:
    before = node.mesh._index.summary(DAY, 0, 1 << 62)
    one = asked(node)
    one.say(NegOpen(1, DAY, message))
    assert not one.of(NegMsg) and not one.closed
    one.say(NegMsg(1, DAY, LIE))
    assert not one.of(NegMsg), "it is over"
    other = Hostile(node, 98, link=78)
    other.say(Days(1, ()))
    other.say(Tail(1, DAY, START.wall_ms, b"f" * 16))
    other.say(NegMsg(1, DAY, message))
    assert len(other.of(NegEnd)) == 1
    assert node.mesh._index.summary(DAY, 0, 1 << 62) == before
    for _ in range(3):
        one.say(NegOpen(1, DAY, message))
    assert one.closed == "malformed frames"


@pytest.mark.mesh_attack("N14")
def test_bounds_beyond_the_day_show_nothing_of_other_days(node: Node) -> None:
    other_day = envelope(node.net.rng, START.wall_ms - DAY_MS)
    node.publish(other_day)
    peer = asked(node)
    peer.say(NegOpen(1, DAY, write([Range((START.wall_ms - DAY_MS + 5, b""), ids=()), Range(END, ids=())])))
    (said,) = peer.of(NegMsg)
    assert other_day.eid not in said.message
    assert sum(env.eid in said.message for env in node.store.values()) == 300


@pytest.mark.mesh_attack("N14")
def test_who_never_answers_a_comparison_costs_a_round_and_blocks_nobody(node: Node) -> None:
    peer = opened(node)
    env = envelope(node.net.rng, START.wall_ms - 7_000)
    other = Hostile(node, 98, link=78)
    other.say(Days(1, ((DAY, 1, b"g" * 16),)))
    assert len(other.of(Tail)) == 1
    other.say(Batch(1, (env.raw,), False))
    assert env.eid in node.store
    for _ in range(6):
        node.net.run(4.5)
        peer.say(Ping(0))
        other.say(Ping(0))
    peer.say(Days(3, ()))
    peer.say(Tail(3, DAY, DAY * DAY_MS, EMPTY))
    peer.answer_reads()
    assert sum(len(batch.envelopes) for batch in peer.of(Batch)) == 301


def test_answers_wait_for_a_peer_that_does_not_read(node: Node) -> None:
    peer = asked(node)
    peer.reading = False
    peer.say(NegOpen(1, DAY, NOTHING))
    near = node.mesh._near[77]
    for _ in range(40):
        assert near.link._bulk_bytes < 2 * 65_536
        peer.say(NegMsg(1, DAY, NOTHING))
    assert peer.closed == "a comparison out of turn"


def test_an_empty_answer_that_goes_on_is_none(node: Node) -> None:
    peer = asked(node)
    for _ in range(20):
        peer.say(Batch(1, (), True))
    assert peer.closed == "BATCH that nobody asked for"


def test_looking_up_ranges_is_rationed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "WORK_BURST", 20_000)
    monkeypatch.setattr(answers, "WORK_PER_S", 1_000)
    peer = Hostile(node)
    step = write([Range((START.wall_ms + at, b""), fingerprint=b"l" * 16) for at in range(3_000)])
    for session in range(1, 9, 2):
        peer.say(Days(session, ((DAY, 500 + session, b"f" * 16),)))
        peer.say(NegOpen(session, DAY, step))
        for _ in range(20):
            peer.say(NegMsg(session, DAY, step))
            if peer.of(NegEnd):
                break
        peer.say(NegEnd(session, DAY, b""))
        node.net.run(0.6)
    assert 5 <= len(peer.of(NegMsg)) <= 6 and len(peer.of(NegEnd)) >= 3
    assert not peer.closed, "it may be honest"


def test_no_frame_of_a_round_makes_us_send_more_than_three(node: Node) -> None:
    """M6."""
    peer = Hostile(node)
    envs = [envelope(node.net.rng, START.wall_ms - 400_000 - at) for at in range(80)]
    script = [
        Days(1, tuple((DAY - at, 5, b"f" * 16) for at in range(30, -1, -1))),
        Batch(1, tuple(env.raw for env in envs), True),
        Batch(1, (), False),
        NegOpen(1, DAY - 29, LIE),
        NegMsg(1, DAY - 29, NOTHING),
        NegEnd(1, DAY - 29, b""),
        Batch(1, (), False),
        Tail(1, DAY, START.wall_ms, b"f" * 16),
        NegMsg(1, DAY, write([Range(END, ids=tuple(bytes([at]) * 32 for at in range(200)))])),
        Want(tuple(env.eid[:16] for env in envs)),
    ]
    for frame in script:
        before = len(peer.heard)
        peer.say(frame)
        assert len(peer.heard) - before <= 3, frame
    assert not peer.closed


@pytest.mark.mesh_attack("N14")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.one_of(
            st.builds(
                NegOpen,
                st.integers(0, 4),
                st.integers(DAY - 1, DAY + 1),
                st.sampled_from([LIE, NOTHING, b"a"]),
            ),
            st.builds(
                NegMsg,
                st.integers(0, 4),
                st.integers(DAY - 1, DAY + 1),
                st.sampled_from([LIE, NOTHING, b"a", b"b"]),
            ),
            st.builds(NegEnd, st.integers(0, 4), st.integers(DAY - 1, DAY + 1), st.just(b"")),
            st.builds(
                Days, st.integers(0, 6), st.sampled_from([(), ((DAY, 5, b"f" * 16),), ((DAY, 0, b"f" * 16),)])
            ),
            st.builds(
                Tail,
                st.integers(0, 6),
                st.integers(DAY - 1, DAY + 1),
                st.integers(0, 1 << 62),
                st.binary(min_size=16, max_size=16),
            ),
            st.builds(Batch, st.integers(0, 4), st.just(()), st.booleans()),
            st.just(Ping(0)),
        ),
        max_size=30,
    )
)
def test_no_order_of_frames_breaks_a_node_or_keeps_a_round_open(
    frames: list[NegOpen | NegMsg | NegEnd | Days | Tail | Batch | Ping],
) -> None:
    """M7."""
    net = Net()
    node = net.node("a")
    for at in range(40):
        node.publish(envelope(net.rng, START.wall_ms - at * 1_000))
    peer = Hostile(node)
    for frame in frames:
        if peer.closed:
            break
        peer.say(frame)
        net.run(0.6)
    for _ in range(6):
        net.run(4.5)
        if not peer.closed:
            peer.say(Ping(0))
    assert len(node.mesh._index) == 40
    if not peer.closed:
        assert not node.mesh._near[77].sync.running  # type: ignore[union-attr] # live since its HELLO
        begun = [e for e in node.effects if isinstance(e, SyncFinished)]
        assert len(begun) <= len(frames)


@pytest.mark.mesh_attack("N14")
@pytest.mark.parametrize("day", [DAY - 3, DAY, (1 << 32) - 1])
def test_a_tail_from_beyond_its_day_never_reads_beyond_what_a_store_can_be_asked(
    node: Node, day: int
) -> None:
    peer = Hostile(node)
    peer.say(Days(1, ()))
    held = node.mesh._index.summary(day, 0, 1 << 63)[1]
    peer.say(Tail(1, day, (1 << 64) - 1, held))
    assert node.reads is not None
    for order in node.reads:
        assert isinstance(order.spec, ByTime)
        assert 0 <= order.spec.t0_ms <= order.spec.t1_ms < 1 << 63, "SQLite knows no larger numbers"
    peer.answer_reads()
    assert [batch.envelopes for batch in peer.of(Batch)] == [()] and not peer.closed


def kept_from(liars: int, *, junk: bool = False, answering: bool = False, seconds: float = 130.0) -> float:
    """Return how long it takes to get two days of an honest peer, beside liars that were linked before it.

    They begin a round whenever they may, say that they have more of these days, and give nothing of it; or
    empty answers at the last moment; or now and then an envelope of their own making.
    """
    net = Net(latency=0.02)
    every = [envelope(net.rng, START.wall_ms - 60_000 - at % 2 * DAY_MS - at) for at in range(100)]
    honest, node = net.node("b"), net.node("a")
    honest.store |= {env.eid: env for env in every}
    honest.start()
    peers = [Hostile(node, 90 + at, link=77_000 + at) for at in range(liars)]
    net.later(0.01, lambda: node.add(honest.address))
    began, round_of = net.time, 1

    def lie(peer: Hostile, session: int) -> None:
        if answering:
            for _ in range(2):
                peer.say(Batch(session - 2, (), False))
        said = session.to_bytes(16, "big")
        peer.say(Days(session, ((DAY - 1, 5_000, said), (DAY, 5_000, said))))
        if junk and any(tail.session == session for tail in peer.of(Tail)):
            mine = envelope(net.rng, START.wall_ms - 30_000)
            peer.say(Batch(session, (mine.raw,), True))
        peer.say(Ping(0))

    while net.time < began + seconds:
        for peer in peers:
            lie(peer, round_of)
        round_of += 2
        net.run(0.7)
        if len(node.store.keys() & {env.eid for env in every}) == 100:
            return net.time - began
    return float("inf")


@pytest.mark.mesh_attack("N14")
@pytest.mark.parametrize("liars", [1, 3])
@pytest.mark.parametrize("junk", [False, True])
@pytest.mark.parametrize("answering", [False, True])
def test_who_begins_round_after_round_and_gives_nothing_keeps_a_day_from_us_once(
    liars: int, junk: bool, answering: bool
) -> None:
    assert kept_from(liars, junk=junk, answering=answering) < 5 + liars * (HELD_FOR if junk else QUIET_FOR)


@pytest.mark.mesh_attack("N14")
@pytest.mark.parametrize("said", [Range, partial(Range, ids=())])
def test_a_message_of_thousands_of_empty_ranges_is_counted_as_the_work_it_makes(
    node: Node, said: Callable[[Bound], Range]
) -> None:
    writer, at = Writer(), DAY * DAY_MS
    while len(writer) < 59_990:
        at += 1
        writer.add(said((at, b"")))
    message = writer.message()
    assert work_of(message) >= len(read(message)) > 14_000
    peer = opened(node)
    for _ in range(MAX_MESSAGES):
        if peer.of(NegEnd):
            break
        peer.say(NegMsg(1, DAY, message))
    peer = asked(node, number=78)
    for _ in range(MAX_MESSAGES):
        peer.say(NegOpen(1, DAY, message))
        peer.say(NegMsg(1, DAY, message))
    assert len(peer.of(NegMsg)) <= WORK_BURST // 14_000 + 1


@pytest.mark.mesh_attack("N14")
def test_who_says_that_it_lacks_a_huge_day_makes_us_keep_a_part_of_its_ids_only(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "MAX_HAVE", 100)
    peer = opened(node)
    peer.say(NegMsg(1, DAY, NOTHING))
    assert peer.of(NegEnd)
    peer.answer_reads()
    assert sum(len(batch.envelopes) for batch in peer.of(Batch)) == 100
    assert ranges.MAX_HAVE * 100 < 6 << 20, "what an id costs here"


def test_who_lacks_more_of_a_day_than_one_comparison_shows_asks_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranges, "MAX_HAVE", 100)
    net = Net(latency=0.02)
    every = [envelope(net.rng, START.wall_ms - 60_000 - at * 1_000) for at in range(1_000)]
    one, two = net.node("a"), net.node("b")
    one.store |= {env.eid: env for env in every}
    two.store |= {env.eid: env for env in every[::2]}
    for made in (one, two):
        made.start()
    two.add(one.address)
    net.run(20)
    assert net.agree()


def test_halves_that_differ_by_more_than_may_be_wanted_agree_after_some_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However little is remembered of what one lacks, it comes: the next round finds the rest."""
    monkeypatch.setattr(ranges, "MAX_HAVE", 150)
    monkeypatch.setattr(wants, "MAX_WANTED_OF_LINK", 100)
    net = Net(latency=0.02)
    every = [envelope(net.rng, START.wall_ms - 60_000 - at * 1_000) for at in range(1_000)]
    one, two = net.node("a"), net.node("b")
    one.store |= {env.eid: env for env in every[::2]}
    two.store |= {env.eid: env for env in every[1::2]}
    for made in (one, two):
        made.start()
    two.add(one.address)
    net.run(40)
    assert net.agree() and len(one.store) == len(two.store) == 1_000

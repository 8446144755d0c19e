"""The small parts: clock, scores, buckets, seen cache, wants, which link stays."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from node.clock import Instant
from node.crypto.channel import network_id
from node.crypto.handshake import make_link_keys
from node.errors import CryptoFault
from node.mesh import gossip as gossip_module
from node.mesh.gossip import Gossip, Seen, Verdict
from node.mesh.greeting import redundant
from node.mesh.index import Index
from node.mesh.limits import Scores, TokenBucket, authority_of, is_loopback, is_near, subnet_of
from node.mesh.link import Link
from node.mesh.meshclock import MeshClock
from node.mesh.wants import ANSWER_WITHIN, Wants
from node.wire.envelope import Envelope
from node.wire.frames import Hello
from tests.mesh.meshnet import START, envelope

HOUR = 3_600_000


def clock(*offsets: int, relay: bool = False, peers_relay: bool = False) -> MeshClock:
    made = MeshClock(relay=relay)
    for link, offset in enumerate(offsets):
        made.heard(link, theirs_ms=1_000_000 + offset, ours_ms=1_000_000, relay=peers_relay)
    return made


def test_two_equals_meet_half_way_and_so_agree() -> None:
    assert clock(10_000).correction_ms == 5_000
    assert clock(-10_000).correction_ms == -5_000


def test_a_leaf_follows_a_relay_and_a_relay_no_leaf() -> None:
    assert clock(10_000, peers_relay=True).correction_ms == 10_000
    assert clock(10_000, relay=True).correction_ms == 0


def test_of_several_clocks_our_own_among_them_the_median_counts() -> None:
    assert clock(50_000, 60_000).correction_ms == 50_000
    assert clock(0, 70_000_000).correction_ms == 0
    assert clock(5, 9, -1_000_000_000, 2_000_000_000).correction_ms == 5


def test_a_correction_of_more_than_36_hours_is_refused_and_shown() -> None:
    wrong = clock(40 * HOUR, 41 * HOUR)
    assert wrong.correction_ms == 0 and wrong.skew_to_report(now=0.0) == 40 * 3_600.0


def test_a_skewed_clock_is_reported_once_an_hour() -> None:
    wrong = clock(61_000, 62_000)
    assert [wrong.skew_to_report(now=t) for t in (0.0, 3_599.0, 3_600.0)] == [61.0, None, 61.0]
    assert clock(59_000, 59_000).skew_to_report(now=0.0) is None


def test_the_correction_outlives_the_links() -> None:
    made = clock(8_000, 8_000, 8_000)
    for link in range(3):
        made.lost(link)
    assert made.correction_ms in (8_000, 4_000)
    assert made.mesh_ms(Instant(0.0, 1_000)) == 1_000 + made.correction_ms


def test_faults_fade_and_enough_of_them_shut_a_peer_out_for_an_hour() -> None:
    scores = Scores()
    assert [scores.invalid(b"a", now=float(t)) for t in range(5)] == [False] * 4 + [True]
    assert scores.refuses(b"a", now=3_000.0) and not scores.refuses(b"a", now=3_700.0)
    assert not any(scores.invalid(b"b", now=t * 600.0) for t in range(50))
    assert [scores.violation(b"c", now=0.0) for _ in range(20)].index(True) == 19


def test_scores_are_bounded() -> None:
    scores = Scores()
    for number in range(5_000):
        scores.invalid(number.to_bytes(4, "big"), now=0.0)
    assert len(scores._scores) == 1_024


@given(st.lists(st.floats(0, 10), max_size=50))
def test_a_bucket_gives_no_more_than_its_rate(pauses: list[float]) -> None:
    bucket = TokenBucket(10, now=0.0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.take(1, now=now):
            taken += 1
    assert taken <= 10 + now * 10 + 1e-6


def test_addresses_are_told_apart() -> None:
    near = [
        "127.0.0.1:5",
        "[::1]:5",
        "10.1.2.3:5",
        "192.168.0.1:1",
        "[fe80::1%eth0]:5",
        "[::ffff:10.0.0.1]:5",
    ]
    assert all(is_near(remote) for remote in near)
    assert not any(is_near(remote) for remote in ("8.8.8.8:5", "[2001:4860::1]:5", "host:5"))
    assert is_loopback("[::ffff:127.0.0.1]:5") and not is_loopback("10.0.0.1:5")
    assert subnet_of("8.8.8.8:5") == subnet_of("8.8.8.200:9") != subnet_of("8.8.9.8:5")
    assert subnet_of("[2001:4860:1:2::1]:5") == subnet_of("[2001:4860:1:3::1]:5")
    assert authority_of("ws://host:5/path") == "host:5" and authority_of("wss://host") == "host:443"
    assert authority_of("ws://[::1]") == "[::1]:80"


@pytest.mark.mesh_attack("N06")
def test_seen_ids_are_forgotten_after_five_to_ten_minutes_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Seen(now=0.0)
    seen.add(b"a", now=1.0)
    seen.add(b"b", now=301.0)
    assert b"a" in seen
    seen.add(b"c", now=602.0)
    assert b"a" not in seen and b"b" in seen
    monkeypatch.setattr(gossip_module, "MAX_SEEN", 10)
    for number in range(100):
        seen.add(bytes([number]), now=602.0)
    assert len(seen._new) + len(seen._old) <= 20


def test_a_bad_signature_is_checked_once() -> None:
    checked: list[Envelope] = []

    def refuse(env: Envelope) -> None:
        checked.append(env)
        raise CryptoFault("no")

    gossip = Gossip(Index([]), refuse, now=0.0)
    env = envelope(random.Random(1), START.wall_ms)
    with pytest.raises(CryptoFault):
        gossip.judge(env, mesh_ms=START.wall_ms, pushed=True, now=0.0)
    assert gossip.judge(env, mesh_ms=START.wall_ms, pushed=True, now=1.0) is Verdict.KNOWN
    assert len(checked) == 1 and env.eid[:16] not in gossip.index


def test_an_early_envelope_is_not_remembered_and_is_taken_in_its_time() -> None:
    gossip = Gossip(Index([]), lambda _env: None, now=0.0)
    env = envelope(random.Random(1), START.wall_ms + 50 * HOUR)
    for mesh_ms, verdict in ((0, Verdict.EARLY), (3 * HOUR, Verdict.NEW)):
        assert gossip.judge(env, mesh_ms=START.wall_ms + mesh_ms, pushed=True, now=0.0) is verdict


def test_a_wanted_id_goes_from_holder_to_holder() -> None:
    wants = Wants()
    for link in (1, 2, 3):
        wants.opened(link)
        assert wants.announced(link, b"x")
    assert list(wants.to_ask(1, now=0.0)) == [(b"x",)] and wants.idle(2)
    assert wants.gone(1, (b"x",)) == {2}
    assert list(wants.to_ask(2, now=0.0)) == [(b"x",)]
    assert wants.gone(1, (b"x",)) == set(), "it was not asked of link 1 any more"
    assert wants.closed(2) == {3}
    assert list(wants.to_ask(3, now=0.0)) == [(b"x",)]
    assert wants.answered(3) == set() and len(wants) == 0
    assert wants.answered(1) == set() and wants.idle(1)


def test_overdue_wants_are_taken_from_a_link() -> None:
    wants = Wants()
    for link in (1, 2):
        wants.opened(link)
    wants.announced(1, b"x")
    wants.announced(2, b"x")
    wants.announced(1, b"y")
    assert [len(ids) for ids in wants.to_ask(1, now=0.0)] == [2]
    assert wants.deadline == ANSWER_WITHIN
    wants.moved(1, now=10.0)
    assert wants.overdue(now=29.0) == set()
    assert wants.overdue(now=30.0) == {1, 2}
    assert len(wants) == 1


def test_at_most_two_wants_of_256_are_under_way() -> None:
    wants = Wants()
    wants.opened(1)
    for number in range(1_000):
        wants.announced(1, number.to_bytes(16, "big"))
    assert [len(ids) for ids in wants.to_ask(1, now=0.0)] == [256, 256]
    assert list(wants.to_ask(1, now=0.0)) == []
    wants.answered(1)
    assert [len(ids) for ids in wants.to_ask(1, now=0.0)] == [256]


def live_link(number: int, *, outbound: bool, boot: bytes = b"12345678", heard: float = 0.0) -> Link:
    rng = random.Random(number)
    keys = make_link_keys(bytes(32), network_id=network_id(None), psk=None, entropy=rng.randbytes)
    link = Link(number, outbound=outbound, address="", remote="", keys=keys, entropy=rng.randbytes, now=0.0)
    link.node_key = b"m" * 32
    link.greeted(Hello(0, boot, (), frozenset(), 65_519, 0, 0, 200), now=0.0)
    link.heard = heard
    return link


@pytest.mark.parametrize("own_key", [b"a" * 32, b"z" * 32])
@pytest.mark.parametrize("new_is_ours", [True, False])
def test_both_ends_keep_the_link_dialled_by_the_larger_key(own_key: bytes, new_is_ours: bool) -> None:
    new, old = live_link(2, outbound=new_is_ours), live_link(1, outbound=not new_is_ours)
    (going,) = redundant(new, [old], own_key=own_key, now=1.0)
    kept = old if going is new else new
    assert kept.outbound == (own_key > b"m" * 32)


def test_a_silent_link_and_one_of_an_earlier_start_go_first() -> None:
    new = live_link(2, outbound=False)
    for old in (live_link(1, outbound=True, boot=b"earlier!"), live_link(1, outbound=True, heard=-40.0)):
        assert redundant(new, [old], own_key=b"z" * 32, now=1.0) == [old]


def test_of_two_links_that_we_dialled_the_older_stays_and_the_peer_waits_for_that() -> None:
    old, new = live_link(1, outbound=True), live_link(2, outbound=True)
    assert redundant(new, [old], own_key=b"a" * 32, now=1.0) == [new]
    old, new = live_link(1, outbound=False), live_link(2, outbound=False)
    assert redundant(new, [old], own_key=b"a" * 32, now=1.0) == []
    third = live_link(3, outbound=False)
    assert redundant(third, [old, new], own_key=b"a" * 32, now=1.0) == [third]

"""What is kept of the nodes that strangers tell of."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings, strategies as st

from node.clock import Instant
from node.crypto import noderec
from node.crypto.noderec import NodeRecord
from node.crypto.primitives import ed25519_keypair
from node.errors import PeerFault
from node.mesh.limits import is_public, network_of
from node.mesh.passive import MAX_A_NETWORK, MAX_A_TELLER, MAX_KNOWN, PassiveView
from tests.mesh.meshnet import START

OWN = ed25519_keypair(b"o" * 32)[0]


def signed(number: int, *addresses: str, seq: int = 1, now: Instant = START) -> bytes:
    seed = number.to_bytes(32, "big")
    addresses = addresses or (f"ws://{number}.n{number}:1",)
    return noderec.make_record(seed, addresses=addresses, roles=frozenset(), seq=seq, now=now)


def view(seed: int = 1, own: tuple[str, ...] = ()) -> PassiveView:
    return PassiveView(OWN, own, random.Random(seed).random)


def give(known: PassiveView, raw: bytes, teller: bytes = b"t", *, now: Instant = START) -> bool:
    record = known.check(raw, now)
    return record is not None and known.take(record, teller, now=now.mono) is not None


def test_the_newest_record_of_a_node_counts() -> None:
    known = view()
    assert give(known, signed(1, "ws://a.a:1", seq=5))
    assert not give(known, signed(1, "ws://b.b:1", seq=5))
    assert not give(known, signed(1, "ws://b.b:1", seq=4))
    assert give(known, signed(1, "ws://c.c:1", seq=6))
    assert [k.record.addresses for k in known] == [("ws://c.c:1",)]


@pytest.mark.mesh_attack("N21")
def test_forged_and_cut_records_are_faults_and_old_ones_are_nothing() -> None:
    known, raw = view(), signed(1)
    for bad in (raw[:-1] + bytes([raw[-1] ^ 1]), raw[:80], b"", b"x" * 2_000):
        with pytest.raises(PeerFault):
            known.check(bad, START)
    assert known.check(raw, START.after(9 * 86_400)) is None
    assert len(known) == 0


def test_our_own_record_and_addresses_are_never_kept() -> None:
    known = view(own=("ws://me.example:1",))
    own = noderec.make_record(b"o" * 32, addresses=("ws://o.o:1",), roles=frozenset(), seq=9, now=START)
    assert known.check(own, START) is None
    assert not give(known, signed(2, "ws://me.example:1"))
    assert give(known, signed(3, "ws://me.example:1", "ws://x.y:1"))
    assert [k.record.addresses for k in known] == [("ws://x.y:1",)]


@pytest.mark.mesh_attack("N21")
def test_one_network_and_one_domain_have_two_places() -> None:
    known = view()
    got = [give(known, signed(n, f"ws://8.8.8.{n}:1"), bytes([n])) for n in range(1, 6)]
    assert sum(got) == MAX_A_NETWORK
    got = [give(known, signed(n, f"ws://h{n}.evil.example:1"), bytes([n])) for n in range(11, 16)]
    assert sum(got) == MAX_A_NETWORK


@pytest.mark.mesh_attack("N21")
def test_one_peer_fills_four_places_and_takes_nobody_elses() -> None:
    known = view()
    assert all(give(known, signed(n), bytes([n])) for n in range(10))
    for number in range(100, 200):
        give(known, signed(number), b"liar")
    assert sum(k.told_by == b"liar" for k in known) == MAX_A_TELLER and len(known) == 14


@pytest.mark.mesh_attack("N21")
def test_who_fills_the_view_takes_no_place_of_a_node_that_was_linked() -> None:
    known = view()
    for number in range(MAX_KNOWN):
        give(known, signed(number), bytes([number]))
    proven = [k.node_key for k in known][:50]
    for key in proven:
        known.was_linked(key, now=START.mono)
    for number in range(100, 400):
        give(known, signed(number), number.to_bytes(2, "big"))
    assert len(known) == MAX_KNOWN and {k.node_key for k in known} >= set(proven)


def test_a_record_that_never_leads_to_a_link_is_let_go() -> None:
    known = view()
    give(known, signed(1))
    (one,) = known
    assert [known.failed(one.node_key) for _ in range(3)] == [False, False, True]
    assert len(known) == 0


def test_what_was_written_down_is_there_again_without_what_has_expired() -> None:
    known = view()
    give(known, signed(1))
    give(known, signed(2))
    (one, _) = known
    known.was_linked(one.node_key, now=START.mono + 50)
    rows = known.rows(START.after(100))
    later = Instant(5.0, START.wall_ms + 3_600_000)  # after a boot: the clocks begin anew
    again = view()
    again.restore(rows, later)
    (back, other) = again
    assert back.record == one.record and other.linked is None
    assert back.linked is not None and later.mono - back.linked == pytest.approx(3_550, abs=2)
    empty = view()
    empty.restore(rows, Instant(5.0, START.wall_ms + 9 * 86_400_000))
    assert len(empty) == 0


def test_rows_that_were_damaged_are_left_out() -> None:
    again = view()
    again.restore([(b"junk", b"", 1, 0), (signed(1), b"t", 1, 0)], START)
    assert len(again) == 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 120), st.integers(0, 9), st.integers(0, 30), st.integers(1, 3)), max_size=90
    ),
    st.integers(0, 9),
)
def test_whatever_comes_the_limits_hold(told: list[tuple[int, int, int, int]], seed: int) -> None:
    known = view(seed)
    for number, teller, net, seq in told:
        address = f"ws://9.9.{net}.{number + 1}:1"
        record = NodeRecord(bytes([number]) * 32, (address,), frozenset(), seq, 20_005, b"r")
        known.take(record, bytes([teller]), now=float(number))
        if number % 3 == 0:
            known.was_linked(bytes([number]) * 32, now=1.0)
        for kind, most in (("told_by", MAX_A_TELLER),):
            counts = [getattr(k, kind) for k in known]
            assert all(counts.count(c) <= most for c in counts)
        networks = [network for k in known for network in k.networks]
        assert all(networks.count(n) <= MAX_A_NETWORK for n in networks)
        assert len(known) <= MAX_KNOWN


@pytest.mark.mesh_attack("N21")
@pytest.mark.parametrize(
    "address",
    [
        "ws://127.0.0.1:1", "ws://10.0.0.1:1", "ws://192.168.0.1:1", "ws://[::1]:1", "ws://[fd00::1]:1",
        "ws://0.0.0.0:1", "ws://224.0.0.1:1", "ws://100.64.0.1:1", "ws://169.254.169.254:80", "ws://localhost:1",
        "ws://host:1", "ws://printer.local:1", "ws://2130706433:1", "ws://127.1:1", "http://a.example:1",
        "ws://u:p@a.example:1", "ws://a.example:1/\n", "ws://[::ffff:10.0.0.1]:1", "ws://a.localhost:1", "ws://a.b:99999",
    ],
)  # fmt: skip
def test_private_and_misspelled_addresses_are_not_for_strangers_to_name(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["ws://1.1.1.1:1", "wss://a.example", "ws://[2606:4700::1]:7118/mesh"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


def test_a_domain_is_a_network() -> None:
    assert network_of("a.b.example.org:1") == network_of("example.org:9") == "example.org"
    assert network_of("8.8.8.8:1") == network_of("8.8.8.9:1") != network_of("8.8.9.8:1")

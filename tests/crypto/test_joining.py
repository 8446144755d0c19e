"""Join requests and welcomes: only who holds the invite asks, only who was meant reads."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from node.crypto import joining, prekeys, welcome
from node.crypto.labels import Label
from node.crypto.ops import Leaf
from node.crypto.primitives import SEAL_OVERHEAD, sign
from node.crypto.welcome import Welcome
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire.codec import MAX_BYTES, pack, unpack
from tests.chat.room_samples import NOW, TODAY, Person, person

ADA, BEN, CYD = (person(n) for n in range(1, 4))
ROOM, INVITE, SEED = b"r" * 16, b"i" * 16, b"s" * 32
INVITE_PK, INVITE_SK = joining.invite_keypair(SEED)


def request(who: Person = BEN, seed: bytes = SEED, leaf: Leaf | None = None) -> bytes:
    prekey = prekeys.new_prekey(Random(5).randbytes, 1, TODAY)
    return joining.make_join_request(
        who.keys,
        room_id=ROOM,
        invite_seed=seed,
        invite_id=INVITE,
        cert=who.cert,
        devices=who.devices,
        bundle=prekeys.make_bundle(who.keys, 1, prekey),
        node_record=b"record",
        leaf=leaf or who.leaf,
        name="ben",
        ts_ms=NOW,
    )


def test_a_request_comes_back_as_it_went_out() -> None:
    got = joining.parse_join_request(request(), INVITE_PK)
    assert (got.room_id, got.invite_id, got.account, got.name, got.ts_ms) == (
        ROOM,
        INVITE,
        BEN.account,
        "ben",
        NOW,
    )
    assert (got.cert, got.devices, got.leaf, got.node_record) == (BEN.cert, BEN.devices, BEN.leaf, b"record")
    assert got.bundle.device_id == BEN.device
    assert request()[1] == 6


@pytest.mark.attack("A23")
def test_every_flipped_bit_of_a_request_is_refused() -> None:
    inner = request()
    for bit in range(len(inner) * 8):
        changed = bytearray(inner)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerFault):
            joining.parse_join_request(bytes(changed), INVITE_PK)


@pytest.mark.attack("A23")
def test_who_does_not_hold_the_invite_cannot_ask() -> None:
    with pytest.raises(CryptoFault):
        joining.parse_join_request(request(seed=b"t" * 32), INVITE_PK)


@pytest.mark.attack("A23")
def test_the_proof_of_one_request_does_not_serve_another_person() -> None:
    proof = unpack(request())[1][-128:-64]
    theirs = unpack(request(CYD))[1][:-128]
    rest = theirs + proof
    stolen = pack([6, rest + sign(Label.JOINREQ, CYD.keys.dsk_sk, rest)])
    with pytest.raises(CryptoFault):
        joining.parse_join_request(stolen, INVITE_PK)


def test_a_leaf_that_nothing_can_be_agreed_with_is_refused() -> None:
    with pytest.raises(CryptoFault):
        joining.parse_join_request(request(leaf=Leaf(1, bytes(32))), INVITE_PK)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_give_a_typed_error(raw: bytes) -> None:
    for data in (raw, pack([6, raw])):
        with pytest.raises(DecodeError):
            joining.parse_join_request(data, INVITE_PK)


def test_greeters_take_turns_in_one_order_everywhere() -> None:
    greeters = [person(n).device for n in range(1, 6)]
    ranks = [joining.join_rank(b"q" * 32, greeters, device) for device in greeters]
    again = [joining.join_rank(b"q" * 32, reversed(greeters), device) for device in greeters]
    assert sorted(ranks) == [0, 1, 2, 3, 4]
    assert ranks == again
    with pytest.raises(CryptoFault):
        joining.join_rank(b"q" * 32, greeters, person(9).device)


def sample() -> Welcome:
    return Welcome(
        ROOM, (b"op one", b"op two"), (b"cert",), b"announce", b"slots", (b"record",), (b"m" * 16,)
    )


def test_a_welcome_opens_for_the_newcomer_alone() -> None:
    content = welcome.seal_welcome(sample(), BEN.keys.intro_pub, Random(1).randbytes)
    assert welcome.open_welcome(BEN.keys, content) == sample()
    with pytest.raises(CryptoFault):
        welcome.open_welcome(CYD.keys, content)


def test_every_flipped_bit_of_a_welcome_is_refused() -> None:
    content = welcome.seal_welcome(sample(), BEN.keys.intro_pub, Random(1).randbytes)
    for bit in range(len(content) * 8):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerFault):
            welcome.open_welcome(BEN.keys, bytes(changed))


def test_a_welcome_over_its_limits_is_not_made_or_taken() -> None:
    huge = Welcome(ROOM, (bytes(24_000),) * 180, (), b"a", b"s")
    with pytest.raises(DecodeError):
        welcome.seal_welcome(huge, BEN.keys.intro_pub, Random(1).randbytes)
    with pytest.raises(DecodeError):
        welcome.open_welcome(BEN.keys, bytes(MAX_BYTES + 1))
    with pytest.raises(DecodeError):
        welcome.parse_welcome(Welcome(ROOM, (), (), b"a", b"s").encode())
    with pytest.raises(DecodeError):
        welcome.parse_welcome(Welcome(ROOM, (b"o",), (), b"a", b"s", (b"r",) * 9).encode())
    assert SEAL_OVERHEAD == 48

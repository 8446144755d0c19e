"""Epochs: everyone named gets the same keys, nobody else any, and a creator who cheats is found out."""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from node.crypto import epoch as epochs
from node.crypto.channel import room_channel
from node.crypto.epoch import (
    MAX_ANNOUNCE_BYTES,
    EpochAnnounce,
    EpochSecrets,
    NewEpoch,
    SlotOmitted,
    SplitEpoch,
)
from node.crypto.labels import Label
from node.crypto.ops import Leaf
from node.crypto.primitives import box_open, box_seal, dh, digest, kdf, sign, x25519_public
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire.codec import pack, unpack
from tests.chat.room_samples import NOW, Person, person

ADA, BEN, CYD, DOT = (person(n) for n in range(1, 5))
ROOM = b"r" * 16
HEADS = (b"h" * 32,)


def make(*members: Person, **changes: Any) -> NewEpoch:
    options: dict[str, Any] = {
        "room_id": ROOM,
        "gen": 1,
        "parents": (),
        "heads": HEADS,
        "members": [(m.device, m.leaf) for m in members],
        "now_ms": NOW,
        "reason": epochs.REASON_CREATE,
        "entropy": Random(7).randbytes,
    }
    return epochs.create_epoch(ADA.keys, **{**options, **changes})


def opened(
    new: NewEpoch, who: Person, *members: Person, announce: EpochAnnounce | None = None, slots: bytes = b""
) -> EpochSecrets:
    return epochs.open_epoch(
        announce or new.parsed,
        slots or new.slots,
        device_id=who.device,
        leaf_secrets={who.leaf.leaf_id: who.leaf_secret},
        device_ids=[m.device for m in members],
    )


def resigned(new: NewEpoch, **changes: Any) -> EpochAnnounce:
    """Return the announce with fields changed by position and signed again by its creator."""
    body = unpack(new.announce[:-64])
    for name, value in changes.items():
        body[int(name[1:])] = value
    raw = pack(body)
    return epochs.parse_announce(raw + sign(Label.EPSIG, ADA.keys.dsk_sk, raw))


def secret_of(new: NewEpoch, who: Person) -> bytes:
    """Return the epoch secret, as only a holder of a leaf can."""
    slots = unpack(new.slots)
    box = next(box for leaf_id, box in slots if leaf_id == who.leaf.leaf_id)
    key = slot_key(new.parsed, who, dh(who.leaf_secret, new.parsed.ek_pub))
    return box_open(box, bytes(24), key)


def slot_key(announce: EpochAnnounce, who: Person, shared: bytes) -> bytes:
    info = announce.salt + announce.commitment + ROOM + who.device
    return kdf(Label.SLOT, shared, info + who.leaf.leaf_id.to_bytes(4, "big") + announce.ek_pub, 32)


def test_every_member_opens_the_same_keys() -> None:
    new = make(ADA, BEN, CYD)
    epochs.verify_announce(new.parsed, ADA.keys.dsk_pub)
    for who in (ADA, BEN, CYD):
        assert opened(new, who, CYD, ADA, BEN) == new.epoch
    assert set(new.epoch.chains) == {ADA.device, BEN.device, CYD.device}
    assert len(set(new.epoch.chains.values())) == 3


def test_the_inner_carries_announce_and_slots() -> None:
    new = make(ADA, BEN)
    assert epochs.parse_announce_inner(new.inner) == (new.parsed, new.slots)


def test_the_keys_are_those_of_the_formulas() -> None:
    new = make(ADA, BEN)
    secret, epoch_id = secret_of(new, BEN), new.epoch.epoch_id
    assert epoch_id == digest(Label.EPID, new.announce)
    assert new.epoch.channel_secret == kdf(Label.CHAN, secret, epoch_id, 32)
    assert room_channel(secret, epoch_id).secret == new.epoch.channel_secret
    assert new.epoch.ephemeral_key == kdf(Label.EPH, secret, epoch_id, 32)
    assert new.epoch.chains[BEN.device] == kdf(Label.SCHAIN, secret, epoch_id + BEN.device, 32)
    assert new.parsed.roster_hash == digest(Label.ROSTER, b"".join(sorted([ADA.device, BEN.device])))


def test_the_secret_itself_is_kept_nowhere() -> None:
    new = make(ADA, BEN)
    secret = secret_of(new, BEN)
    for kept in (new, new.epoch, opened(new, BEN, ADA, BEN), new.parsed):
        for field in fields(kept):
            value = getattr(kept, field.name)
            for data in value.values() if isinstance(value, dict) else (value,):
                assert not isinstance(data, bytes) or secret not in data
    assert new.epoch.channel_secret.hex() not in repr(new)


def test_two_epochs_share_nothing() -> None:
    one, two = make(ADA, BEN), make(ADA, BEN, entropy=Random(8).randbytes)
    assert one.epoch.channel_secret != two.epoch.channel_secret
    assert one.epoch.chains[BEN.device] != two.epoch.chains[BEN.device]


def test_a_repeated_source_of_randomness_gives_another_secret_at_another_time_or_on_another_device() -> None:
    one, later = make(ADA), make(ADA, now_ms=NOW + 1)
    assert secret_of(one, ADA) != secret_of(later, ADA)


def test_the_slot_of_another_device_does_not_open() -> None:
    new = make(ADA, BEN)
    slots = unpack(new.slots)
    order = sorted([ADA, BEN], key=lambda p: p.device)
    theirs = next(box for leaf_id, box in slots if leaf_id == BEN.leaf.leaf_id)
    shared = dh(ADA.leaf_secret, new.parsed.ek_pub)
    with pytest.raises(CryptoFault):
        box_open(theirs, bytes(24), slot_key(new.parsed, ADA, shared))
    swapped = pack([slots[1], slots[0]])
    announce = resigned(new, f14=digest(Label.SLOTS, swapped))
    with pytest.raises(SlotOmitted):
        opened(new, order[0], ADA, BEN, announce=announce, slots=swapped)


def test_a_stranger_is_told_that_the_epoch_is_not_for_it() -> None:
    new = make(ADA, BEN)
    with pytest.raises(CryptoFault) as caught:
        opened(new, CYD, ADA, BEN)
    assert not isinstance(caught.value, SlotOmitted | SplitEpoch)


@pytest.mark.attack("A22")
def test_a_member_whose_slot_was_left_out_or_spoilt_is_told_so() -> None:
    short = make(ADA, BEN)
    everyone = epochs.roster_hash([ADA.device, BEN.device, CYD.device])
    with pytest.raises(SlotOmitted):
        opened(short, CYD, ADA, BEN, CYD, announce=resigned(short, f7=everyone))
    whole = make(ADA, BEN, CYD)
    spoilt = unpack(whole.slots)
    at = sorted([ADA.device, BEN.device, CYD.device]).index(CYD.device)
    for slot in ([CYD.leaf.leaf_id, bytes(48)], [999, spoilt[at][1]]):
        slots = pack([*spoilt[:at], slot, *spoilt[at + 1 :]])
        announce = resigned(whole, f14=digest(Label.SLOTS, slots))
        with pytest.raises(SlotOmitted):
            opened(whole, CYD, ADA, BEN, CYD, announce=announce, slots=slots)
    assert SlotOmitted.code != CryptoFault.code


@pytest.mark.attack("A22")
def test_a_creator_who_gives_one_member_another_secret_is_found_out() -> None:
    new = make(ADA, BEN, CYD)
    devices = sorted([ADA.device, BEN.device, CYD.device])
    ek_secret = b"\x33" * 32
    ek_pub = x25519_public(ek_secret)
    announce = resigned(new, f9=ek_pub)
    slots = unpack(new.slots)
    key = slot_key(announce, CYD, dh(ek_secret, CYD.leaf.public))
    slots[devices.index(CYD.device)] = [CYD.leaf.leaf_id, box_seal(b"\x55" * 32, bytes(24), key)]
    packed = pack(slots)
    announce = resigned(new, f9=ek_pub, f14=digest(Label.SLOTS, packed))
    with pytest.raises(SplitEpoch):
        opened(new, CYD, ADA, BEN, CYD, announce=announce, slots=packed)


@pytest.mark.attack("A01")
def test_an_epoch_for_another_roster_than_the_signed_one_is_refused() -> None:
    new = make(ADA, BEN, DOT)
    for members in ((ADA, BEN), (ADA, BEN, CYD)):
        with pytest.raises(CryptoFault) as caught:
            opened(new, BEN, *members)
        assert type(caught.value) is CryptoFault


def test_every_flipped_bit_of_an_announce_is_refused() -> None:
    raw = make(ADA, BEN).announce
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerFault):
            epochs.verify_announce(epochs.parse_announce(bytes(changed)), ADA.keys.dsk_pub)


def test_every_flipped_bit_of_the_slots_is_refused() -> None:
    new = make(ADA, BEN)
    for bit in range(len(new.slots) * 8):
        changed = bytearray(new.slots)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CryptoFault):
            opened(new, BEN, ADA, BEN, slots=bytes(changed))


def test_an_announce_signed_by_another_device_is_refused() -> None:
    with pytest.raises(CryptoFault):
        epochs.verify_announce(make(ADA, BEN).parsed, BEN.keys.dsk_pub)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_give_a_typed_error(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        epochs.parse_announce(raw)
    with pytest.raises(DecodeError):
        epochs.parse_announce_inner(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"f0": 1},
        {"f4": 0},
        {"f4": 2},
        {"f5": [b"p" * 16]},
        {"f6": []},
        {"f6": [b"b" * 32, b"a" * 32]},
        {"f11": NOW},
        {"f11": NOW + epochs.RECEIVE_MS + 1},
        {"f13": 0},
        {"f13": 1001},
    ],
)
def test_an_announce_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        resigned(make(ADA), **changes)


def test_the_longest_announce_stays_within_its_limit() -> None:
    many = [bytes([n]) * 32 for n in range(16)]
    big = (1 << 32) - 1
    new = make(ADA, gen=big, parents=[m[:16] for m in many[:4]], heads=many, now_ms=1 << 60, reason=255)
    assert len(new.announce) < MAX_ANNOUNCE_BYTES


def test_a_generation_follows_that_of_its_parents() -> None:
    new = make(ADA, gen=5, parents=[b"p" * 16, b"q" * 16]).parsed
    epochs.check_generation(new, {b"p" * 16: 4, b"q" * 16: 2})
    epochs.check_generation(new, {b"p" * 16: 3})
    epochs.check_generation(new, {})
    for known in ({b"p" * 16: 3, b"q" * 16: 2}, {b"p" * 16: 5}):
        with pytest.raises(CryptoFault):
            epochs.check_generation(new, known)


def test_a_member_with_an_unusable_leaf_cannot_hold_up_the_others() -> None:
    bad = replace(CYD, leaf=Leaf(3, bytes(32)))
    new = make(ADA, BEN, bad)
    assert opened(new, BEN, ADA, BEN, CYD) == new.epoch


def test_a_thousand_slots_cost_little_more_than_their_agreements() -> None:
    random = Random(3)
    members = [(random.randbytes(16), Leaf(n, x25519_public(random.randbytes(32)))) for n in range(1000)]

    def bare() -> float:
        start = perf_counter()
        for _, leaf in members:
            dh(b"\x07" * 32, leaf.public)
        return perf_counter() - start

    def whole() -> float:
        start = perf_counter()
        new = make(members=members)
        took = perf_counter() - start
        assert len(new.slots) < 57_000
        return took

    ratio = min(whole() / bare() for _ in range(5))
    assert ratio < 1.5

"""First contact: both sides derive one session, and nobody else's words are taken for theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from node.crypto import keys, prekeys
from node.crypto.keys import DeviceCert, DeviceList, Identity
from node.crypto.labels import Label
from node.crypto.prekeys import Agreement, ContactRequest, Intro, PrekeyBundle, SignedPrekey
from node.crypto.primitives import dh, digest, kdf, seal_open, seal_to, sign, x25519_public
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire.codec import pack, unpack

TODAY = 20_000
EK = b"\x42" * 32


@dataclass
class Person:
    keys: Identity
    cert: DeviceCert
    devices: DeviceList
    spk: SignedPrekey
    bundle: PrekeyBundle


def person(seed: int, day: int = TODAY) -> Person:
    entropy = Random(seed).randbytes
    identity = Identity.generate(entropy, day)
    cert = keys.make_cert(identity, day, day + 365)
    spk = prekeys.new_prekey(entropy, 5, day)
    return Person(
        identity,
        cert,
        keys.make_list(identity, 1, bytes(32), [cert.cert_hash], [], day),
        spk,
        prekeys.make_bundle(identity, 1, spk),
    )


ALICE, BOB, EVE = person(1), person(2), person(3)


def ask(a: Person = ALICE, b: Person = BOB, *, signer: Identity | None = None, name: str = "alice") -> bytes:
    """The inner with which `a` asks `b`."""
    return prekeys.seal_request(
        signer or a.keys,
        cert=a.cert,
        devices=a.devices,
        bundle=a.bundle,
        node_record=b"record",
        name=name,
        token=b"T" * 16,
        ts_ms=123,
        hello="it is me",
        to_account=b.keys.account,
        to_intro=b.keys.intro_pub,
        entropy=Random(9).randbytes,
    )


def answer(a: Person = ALICE, b: Person = BOB, *, ek: bytes = EK, old: bytes | None = None) -> bytes:
    """The inner with which `b` answers `a`."""
    return prekeys.seal_intro(
        b.keys,
        cert=b.cert,
        devices=b.devices,
        bundle=b.bundle,
        node_record=b"record",
        ek_seed=ek,
        spk_id=a.bundle.spk_id,
        old_session=old,
        first_message=b"first",
        to_intro=a.keys.intro_pub,
        entropy=Random(9).randbytes,
    )


def initiate(a: Person = ALICE, b: Person = BOB, *, ek: bytes = EK, old: bytes | None = None) -> Agreement:
    return prekeys.agree_as_initiator(
        b.keys, ek_seed=ek, peer_cert=a.cert, peer_bundle=a.bundle, old_session=old
    )


def flips(data: bytes, step: int = 1) -> list[bytes]:
    return [
        data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
        for bit in range(0, 8 * len(data), step)
    ]


def plain_of(inner: bytes, reader: Person) -> bytes:
    return seal_open(reader.keys.intro_secret, reader.keys.intro_pub, unpack(inner)[1])


def resealed(kind: int, plain: bytes, reader: Person) -> bytes:
    return pack([kind, seal_to(reader.keys.intro_pub, plain, b"\x55" * 32)])


def test_a_request_says_who_asks_and_what() -> None:
    request = prekeys.open_request(BOB.keys, ask(), TODAY)
    expected = ContactRequest(
        ALICE.cert, ALICE.devices, ALICE.bundle, b"record", "alice", b"T" * 16, 123, "it is me"
    )
    assert request == expected


def test_both_sides_derive_the_same_session() -> None:
    request = prekeys.open_request(BOB.keys, ask(), TODAY)
    made = prekeys.agree_as_initiator(
        BOB.keys, ek_seed=EK, peer_cert=request.cert, peer_bundle=request.bundle, old_session=None
    )
    intro = prekeys.open_intro(ALICE.keys, answer(), TODAY)
    assert intro.first_message == b"first"
    assert prekeys.agree_as_responder(ALICE.keys, intro, ALICE.spk) == made
    assert (len(made.rk0), len(made.transcript)) == (32, 64)
    assert made.session_id == made.transcript[:16]


def test_the_session_is_the_one_the_specification_derives() -> None:
    b, a = BOB.keys, ALICE.keys
    s = b"\xff" * 32 + dh(b.dik_secret, ALICE.spk.public) + dh(EK, a.dik_pub) + dh(EK, ALICE.spk.public)
    t: list[Any] = [1, b.account, b.device_id, b.dik_pub, x25519_public(EK)]
    t += [a.account, a.device_id, a.dik_pub, 5, ALICE.spk.public, None]
    transcript = digest(Label.X3DHT, pack(t), 64)
    assert initiate().rk0 == kdf(Label.X3DH, digest(Label.X3DHS, s, 64), transcript, 32)


def test_a_long_name_is_cut_by_its_owner_and_refused_from_a_peer() -> None:
    inner = ask(name="é" * 40)
    assert prekeys.open_request(BOB.keys, inner, TODAY).name == "é" * 32
    plain = plain_of(inner, BOB)[:-64]
    fields = unpack(plain)
    fields[5] = "a" * 33
    body = pack(fields)
    signature = sign(Label.REQ, ALICE.keys.dsk_sk, body + BOB.keys.account + BOB.keys.intro_pub)
    with pytest.raises(DecodeError):
        prekeys.open_request(BOB.keys, resealed(4, body + signature, BOB), TODAY)


@pytest.mark.attack("A15")
def test_whatever_the_two_disagree_on_gives_them_different_sessions() -> None:
    intro = prekeys.open_intro(ALICE.keys, answer(), TODAY)
    made = initiate()
    changed: list[Intro] = [
        replace(intro, ek_pub=x25519_public(b"\x01" * 32)),
        replace(intro, old_session=bytes(16)),
        replace(intro, cert=replace(intro.cert, account=EVE.keys.account)),
        replace(intro, cert=replace(intro.cert, device_id=EVE.keys.device_id)),
        replace(intro, cert=replace(intro.cert, dik=EVE.keys.dik_pub)),
    ]
    heard = [prekeys.agree_as_responder(ALICE.keys, other, ALICE.spk) for other in changed]
    heard.append(prekeys.agree_as_responder(EVE.keys, intro, ALICE.spk))
    heard.append(prekeys.agree_as_responder(ALICE.keys, intro, EVE.spk))
    assert len({made.rk0, *(other.rk0 for other in heard)}) == len(heard) + 1
    assert len({made.session_id, *(other.session_id for other in heard)}) == len(heard) + 1


@pytest.mark.attack("A16")
def test_a_stolen_agreement_key_alone_opens_no_session_to_its_owner() -> None:
    """Eve holds Alice's DIK but not her prekey; to speak to Alice as Bob she needs DH(DIK_b, SPK_a)."""
    honest = initiate()
    eve_as_bob = digest(
        Label.X3DHS,
        b"\xff" * 32
        + dh(ALICE.keys.dik_secret, BOB.keys.dik_pub)
        + dh(EK, ALICE.keys.dik_pub)
        + dh(EK, ALICE.spk.public),
        64,
    )
    assert kdf(Label.X3DH, eve_as_bob, honest.transcript, 32) != honest.rk0


@pytest.mark.attack("A16")
def test_a_stolen_agreement_key_and_live_prekey_do_allow_it_which_is_documented() -> None:
    with_spk = digest(
        Label.X3DHS,
        b"\xff" * 32
        + dh(ALICE.spk.secret, BOB.keys.dik_pub)
        + dh(EK, ALICE.keys.dik_pub)
        + dh(EK, ALICE.spk.public),
        64,
    )
    assert kdf(Label.X3DH, with_spk, initiate().transcript, 32) == initiate().rk0


@pytest.mark.attack("A10")
def test_our_own_words_coming_back_are_refused() -> None:
    with pytest.raises(CryptoFault):
        prekeys.open_request(ALICE.keys, ask(ALICE, ALICE), TODAY)
    with pytest.raises(CryptoFault):
        prekeys.open_intro(ALICE.keys, answer(ALICE, ALICE), TODAY)


def test_a_request_or_intro_for_someone_else_does_not_open() -> None:
    with pytest.raises(CryptoFault):
        prekeys.open_request(EVE.keys, ask(), TODAY)
    with pytest.raises(CryptoFault):
        prekeys.open_intro(EVE.keys, answer(), TODAY)


@pytest.mark.attack("A15")
def test_a_request_passed_on_to_another_reader_is_refused() -> None:
    with pytest.raises(CryptoFault):
        prekeys.open_request(EVE.keys, resealed(4, plain_of(ask(), BOB), EVE), TODAY)


def test_a_request_signed_by_another_device_is_refused() -> None:
    with pytest.raises(CryptoFault):
        prekeys.open_request(BOB.keys, ask(signer=EVE.keys), TODAY)


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_a_sealed_request_or_intro_is_refused() -> None:
    for bad in flips(ask()):
        with pytest.raises(PeerFault):
            prekeys.open_request(BOB.keys, bad, TODAY)
    for bad in flips(answer()):
        with pytest.raises(PeerFault):
            prekeys.open_intro(ALICE.keys, bad, TODAY)


@pytest.mark.attack("A07")
def test_flipped_bits_under_the_seal_of_a_request_are_refused() -> None:
    for bad in flips(plain_of(ask(), BOB), step=5):
        with pytest.raises(PeerFault):
            prekeys.open_request(BOB.keys, resealed(4, bad, BOB), TODAY)


@pytest.mark.attack("A15")
def test_flipped_bits_under_the_seal_of_an_intro_give_no_session_with_the_one_it_names() -> None:
    """An intro is not signed; what it may change without notice is the record and message it carries."""
    plain = plain_of(answer(), ALICE)
    honest, carried = initiate(), {b"record", b"first"}
    for bad in flips(plain, step=5):
        try:
            intro = prekeys.open_intro(ALICE.keys, resealed(5, bad, ALICE), TODAY)
            heard = prekeys.agree_as_responder(ALICE.keys, intro, ALICE.spk)
        except PeerFault:
            continue
        assert heard.rk0 != honest.rk0 or {intro.node_record, intro.first_message} != carried


@pytest.mark.attack("A05")
def test_a_request_is_no_intro_and_an_intro_no_request() -> None:
    for kind, inner, reader, other in ((5, ask(), BOB, 4), (4, answer(), ALICE, 5)):
        plain = plain_of(inner, reader)
        openers = {4: prekeys.open_request, 5: prekeys.open_intro}
        for outer in (kind, other):
            with pytest.raises(PeerFault):
                openers[kind](reader.keys, resealed(outer, plain, reader), TODAY)


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_a_bundle_is_refused() -> None:
    for bad in flips(ALICE.bundle.raw):
        with pytest.raises(PeerFault):
            prekeys.parse_bundle(bad, ALICE.cert, TODAY)


@pytest.mark.attack("A17")
@pytest.mark.parametrize(("day", "good"), [(-2, False), (-1, True), (0, True), (7, True), (8, False)])
def test_a_bundle_counts_on_its_days_alone(day: int, good: bool) -> None:
    if good:
        assert prekeys.parse_bundle(ALICE.bundle.raw, ALICE.cert, TODAY + day) == ALICE.bundle
        prekeys.open_request(BOB.keys, ask(), TODAY + day)
    else:
        with pytest.raises(CryptoFault):
            prekeys.parse_bundle(ALICE.bundle.raw, ALICE.cert, TODAY + day)
        with pytest.raises(CryptoFault):
            prekeys.open_request(BOB.keys, ask(), TODAY + day)


def test_an_intro_that_was_long_on_its_way_still_opens() -> None:
    intro = prekeys.open_intro(ALICE.keys, answer(), TODAY + 30)
    assert prekeys.agree_as_responder(ALICE.keys, intro, ALICE.spk) == initiate()
    assert not intro.bundle.valid_on(TODAY + 30)
    assert ALICE.spk.erase_day == TODAY + 42


def test_a_bundle_of_another_device_is_refused() -> None:
    with pytest.raises(CryptoFault):
        prekeys.parse_bundle(EVE.bundle.raw, ALICE.cert, TODAY)
    same_signer = replace(ALICE.cert, device_id=EVE.cert.device_id)
    with pytest.raises(CryptoFault):
        prekeys.parse_bundle(ALICE.bundle.raw, same_signer, TODAY)


def test_a_bundle_offered_for_too_long_is_refused() -> None:
    long = replace(ALICE.spk, expires_day=TODAY + 8)
    with pytest.raises(CryptoFault):
        prekeys.make_bundle(ALICE.keys, 2, long)


@pytest.mark.attack("A25")
@pytest.mark.parametrize("reserved", [7, 8])
def test_a_reserved_field_that_is_set_is_refused(reserved: int) -> None:
    a = ALICE
    fields: list[Any] = [1, a.keys.device_id, 1, 5, a.spk.public, TODAY, TODAY + 7, None, None]
    fields[reserved] = b"later"
    body = pack(fields)
    with pytest.raises(DecodeError):
        prekeys.parse_bundle(body + sign(Label.PREKEY, a.keys.dsk_sk, body), a.cert, TODAY)


def test_an_intro_for_another_prekey_is_refused() -> None:
    intro = prekeys.open_intro(ALICE.keys, answer(), TODAY)
    with pytest.raises(CryptoFault):
        prekeys.agree_as_responder(ALICE.keys, intro, replace(ALICE.spk, spk_id=6))


@pytest.mark.attack("A02")
def test_a_request_from_a_device_that_its_account_does_not_list_is_refused() -> None:
    ghost = replace(ALICE, devices=keys.make_list(ALICE.keys, 1, bytes(32), [EVE.cert.cert_hash], [], TODAY))
    with pytest.raises(CryptoFault):
        prekeys.open_request(BOB.keys, ask(ghost), TODAY)


@pytest.mark.attack("A13")
def test_an_unusable_key_of_a_peer_is_its_fault() -> None:
    low = bytes(32)
    with pytest.raises(CryptoFault):
        prekeys.agree_as_initiator(
            BOB.keys,
            ek_seed=EK,
            peer_cert=replace(ALICE.cert, dik=low),
            peer_bundle=ALICE.bundle,
            old_session=None,
        )
    intro = prekeys.open_intro(ALICE.keys, answer(), TODAY)
    with pytest.raises(CryptoFault):
        prekeys.agree_as_responder(ALICE.keys, replace(intro, ek_pub=low), ALICE.spk)


def test_a_repr_shows_no_secret() -> None:
    assert repr(ALICE.spk.secret) not in repr(ALICE.spk)
    assert repr(initiate().rk0) not in repr(initiate())
    request = prekeys.open_request(BOB.keys, ask(), TODAY)
    assert "it is me" not in repr(request) and "TTTT" not in repr(request)

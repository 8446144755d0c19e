"""Accounts, devices, certificates and lists: what is signed, and what is refused."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from node.crypto import keys
from node.crypto.keys import Identity
from node.crypto.labels import Label
from node.crypto.primitives import digest, sign
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire.codec import pack

TODAY = 20_000
ZERO = bytes(32)


def person(seed: int = 1) -> Identity:
    return Identity.generate(Random(seed).randbytes, TODAY)


def first_list(who: Identity) -> keys.DeviceList:
    return keys.make_list(who, 1, ZERO, [keys.make_cert(who, TODAY, TODAY + 365).cert_hash], [], TODAY)


def flips(raw: bytes) -> list[bytes]:
    return [
        raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]
        for bit in range(8 * len(raw))
    ]


def test_an_identity_survives_being_written_down() -> None:
    who = person()
    again = Identity.from_bytes(who.to_bytes())
    assert again == who
    assert (again.account, again.device_id, again.intro_pub) == (who.account, who.device_id, who.intro_pub)


def test_no_two_keys_of_an_identity_are_the_same() -> None:
    who = person()
    publics = {who.account, who.dsk_pub, who.dik_pub, who.intro_pub, who.node_pub}
    secrets = {who.account_seed, who.device_seed, who.dik_secret, who.intro_secret, who.node_seed}
    assert len(publics) == len(secrets) == 5


def test_a_repr_shows_no_secret() -> None:
    who = person()
    shown = repr(who)
    for secret in (who.account_seed, who.device_seed, who.dik_secret, who.intro_secret, who.node_seed):
        assert repr(secret) not in shown
    assert "_sk" not in shown and "seed" not in shown and "secret" not in shown


@pytest.mark.parametrize("data", [b"", b"\x90", bytes(200), pack([2, ZERO, ZERO, ZERO, ZERO, ZERO, 1])])
def test_a_damaged_identity_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Identity.from_bytes(data)


def test_a_certificate_says_what_it_was_made_of() -> None:
    who = person()
    cert = keys.parse_cert(keys.make_cert(who, TODAY, TODAY + 365).raw)
    assert (cert.account, cert.dsk, cert.dik, cert.intro) == (
        who.account,
        who.dsk_pub,
        who.dik_pub,
        who.intro_pub,
    )
    assert (cert.created_day, cert.expires_day, cert.caps) == (TODAY, TODAY + 365, 0)
    assert cert.device_id == who.device_id == digest(Label.DEV, who.dsk_pub + who.dik_pub)[:16]
    assert cert.cert_hash == digest(Label.CERTID, cert.raw)


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_a_certificate_is_refused() -> None:
    for bad in flips(keys.make_cert(person(), TODAY, TODAY + 365).raw):
        with pytest.raises(PeerFault):
            keys.parse_cert(bad)


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_a_device_list_is_refused() -> None:
    for bad in flips(first_list(person()).raw):
        with pytest.raises(PeerFault):
            keys.parse_list(bad)


@pytest.mark.attack("A02")
def test_a_certificate_needs_both_the_account_and_the_device() -> None:
    victim, thief = person(1), person(2)
    mixed: list[Any] = [1, victim.account, thief.dsk_pub, thief.dik_pub, thief.intro_pub, TODAY, TODAY + 9, 0]
    body = pack(mixed)
    by_thief = sign(Label.DEVCERT, thief.dsk_sk, body)
    for by_account in (by_thief, sign(Label.DEVCERT, thief.account_sk, body)):
        with pytest.raises(CryptoFault):
            keys.parse_cert(body + by_account + by_thief)
    other = pack([1, thief.account, victim.dsk_pub, victim.dik_pub, victim.intro_pub, TODAY, TODAY + 9, 0])
    with pytest.raises(CryptoFault):  # the victim's device never agreed to be the thief's
        keys.parse_cert(other + sign(Label.DEVCERT, thief.account_sk, other) + by_thief)


@pytest.mark.attack("A26")
def test_a_certificate_is_no_device_list_and_a_list_no_certificate() -> None:
    cert, devices = keys.make_cert(person(), TODAY, TODAY + 1), first_list(person())
    with pytest.raises(PeerFault):
        keys.parse_list(cert.raw)
    with pytest.raises(PeerFault):
        keys.parse_cert(devices.raw)


def test_a_certificate_that_expires_before_it_begins_is_refused() -> None:
    with pytest.raises(DecodeError):
        keys.make_cert(person(), TODAY, TODAY - 1)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 128, 4096, 100_000])
def test_a_structure_of_an_impossible_size_is_refused(size: int) -> None:
    for parse in (keys.parse_cert, keys.parse_list):
        with pytest.raises(DecodeError):
            parse(bytes(size))


@pytest.mark.parametrize(
    "fields",
    [
        [0, ZERO, [ZERO], []],
        [1, b"\x01" * 32, [ZERO], []],
        [2, ZERO, [ZERO], []],
        [1, ZERO, [], []],
        [1, ZERO, [ZERO, ZERO], []],
        [1, ZERO, [b"\x02" * 32, b"\x01" * 32], []],
        [1, ZERO, [ZERO], [b"\x02" * 16, b"\x01" * 16]],
    ],
)
def test_a_list_that_is_signed_but_makes_no_sense_is_refused(fields: list[Any]) -> None:
    who = person()
    seq, prev, hashes, revoked = fields
    body = pack([1, who.account, seq, prev, hashes, revoked, TODAY])
    with pytest.raises(DecodeError):
        keys.parse_list(body + sign(Label.DEVLIST, who.account_sk, body))


def test_a_listed_device_is_taken_and_an_unlisted_or_revoked_one_refused() -> None:
    who = person()
    cert = keys.make_cert(who, TODAY, TODAY + 365)
    other = keys.make_cert(who, TODAY, TODAY + 366)
    keys.check_listed(cert, first_list(who), TODAY)
    with pytest.raises(CryptoFault):
        keys.check_listed(other, first_list(who), TODAY)
    revoking = keys.make_list(who, 1, ZERO, [cert.cert_hash], [who.device_id], TODAY)
    with pytest.raises(CryptoFault):
        keys.check_listed(cert, revoking, TODAY)
    with pytest.raises(CryptoFault):
        keys.check_listed(cert, first_list(person(2)), TODAY)


@pytest.mark.parametrize(("day", "good"), [(-2, False), (-1, True), (0, True), (365, True), (366, False)])
def test_a_certificate_counts_on_its_days_alone(day: int, good: bool) -> None:
    who = person()
    cert, devices = keys.make_cert(who, TODAY, TODAY + 365), first_list(who)
    if good:
        keys.check_listed(cert, devices, TODAY + day)
    else:
        with pytest.raises(CryptoFault):
            keys.check_listed(cert, devices, TODAY + day)


@pytest.mark.attack("A02")
def test_a_device_list_never_goes_back_forks_or_skips_its_link() -> None:
    who = person()
    cert = keys.make_cert(who, TODAY, TODAY + 365)
    one = first_list(who)
    two = keys.make_list(who, 2, one.list_hash, [cert.cert_hash], [], TODAY + 1)
    fork = keys.make_list(who, 2, one.list_hash, [cert.cert_hash], [], TODAY + 2)
    unlinked = keys.make_list(who, 3, one.list_hash, [cert.cert_hash], [], TODAY + 3)
    pinned = (two.seq, two.list_hash)
    assert keys.supersedes(one, None)
    assert keys.supersedes(two, (one.seq, one.list_hash))
    assert not keys.supersedes(two, pinned)
    for bad in (one, fork, unlinked):
        with pytest.raises(CryptoFault):
            keys.supersedes(bad, pinned)


def test_a_user_is_known_by_a_uuid_and_letters_of_its_key_alone() -> None:
    one, other = person(1).account, person(2).account
    assert keys.user_uuid(one) != keys.user_uuid(other)
    assert keys.user_uuid(one)[6] >> 4 == 8 and keys.user_uuid(one)[8] >> 6 == 2
    assert len(keys.fingerprint(one)) == 52 and keys.fingerprint(one) == keys.fingerprint(one).lower()
    assert keys.fingerprint(one) != keys.fingerprint(other)

"""The primitives against the literal vectors of their specifications, through our own functions."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import pytest
from hypothesis import given, strategies as st
from nacl import bindings as sodium

from node.crypto import primitives as p
from node.crypto.labels import Label
from node.errors import CryptoFault

h = bytes.fromhex


# RFC 7748 5.2 and 6.1
@pytest.mark.parametrize(
    ("scalar", "point", "result"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ],
)
def test_x25519_agrees_with_rfc_7748_5_2(scalar: str, point: str, result: str) -> None:
    assert p.dh(h(scalar), h(point)) == h(result)


def test_x25519_iterated_agrees_with_rfc_7748_5_2() -> None:
    k = u = h("09" + "00" * 31)
    for count in range(1, 1001):
        k, u = p.dh(k, u), k
        if count == 1:
            assert k == h("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
    assert k == h("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")


ALICE = h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUB = h("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUB = h("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")


def test_diffie_hellman_agrees_with_rfc_7748_6_1() -> None:
    assert (p.x25519_public(ALICE), p.x25519_public(BOB)) == (ALICE_PUB, BOB_PUB)
    shared = h("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert p.dh(ALICE, BOB_PUB) == shared == p.dh(BOB, ALICE_PUB)


LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.attack("A13")
@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_low_order_point_is_a_peers_fault_and_nothing_worse(point: str) -> None:
    with pytest.raises(CryptoFault):
        p.dh(ALICE, h(point))
    with pytest.raises(CryptoFault):
        p.seal_to(h(point), b"words", BOB)
    with pytest.raises(CryptoFault):
        p.seal_open(ALICE, ALICE_PUB, h(point) + bytes(64))


@pytest.mark.attack("A13")
@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_a_wrong_size_is_a_peers_fault_and_read_no_further(size: int) -> None:
    with pytest.raises(CryptoFault):
        p.dh(ALICE, (BOB_PUB * 2)[:size])
    with pytest.raises(CryptoFault):
        p.seal_to((BOB_PUB * 2)[:size], b"words", ALICE)
    with pytest.raises(CryptoFault):
        p.verify_raw((BOB_PUB * 2)[:size], b"words", bytes(64))


# RFC 8032 7.1, tests 1 to 3
ED25519 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), ED25519)
def test_ed25519_agrees_with_rfc_8032_7_1(seed: str, public: str, message: str, signature: str) -> None:
    assert p.ed25519_keypair(h(seed))[0] == h(public)
    p.verify_raw(h(public), h(message), h(signature))
    with pytest.raises(CryptoFault):
        p.verify_raw(h(public), h(message) + b"x", h(signature))


def test_a_labelled_signature_is_ed25519_over_label_and_hash() -> None:
    public, secret = p.ed25519_keypair(h(ED25519[0][0]))
    hashed = blake2b(b"words", digest_size=64, person=Label.OP).digest()
    p.verify_raw(public, Label.OP + hashed, p.sign(Label.OP, secret, b"words"))


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + b"\0", lambda s: b""])
def test_a_signature_of_a_wrong_size_is_refused(change: Callable[[bytes], bytes]) -> None:
    public, secret = p.ed25519_keypair(bytes(32))
    with pytest.raises(CryptoFault):
        p.verify(Label.OP, public, b"words", change(p.sign(Label.OP, secret, b"words")))


@pytest.mark.attack("A14")
def test_a_malleated_signature_is_refused() -> None:
    public, message, signature = (h(field) for field in ED25519[1][1:])
    order = 2**252 + 27742317777372353535851937790883648493
    shifted = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    with pytest.raises(CryptoFault):
        p.verify_raw(public, message, signature[:32] + shifted)


# RFC 7693 appendix A and E
def test_blake2b_agrees_with_rfc_7693_appendix_a() -> None:
    assert p.plain_digest(b"abc", 64) == h(
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
    )


def _sequence(size: int, seed: int) -> bytes:
    a, b = (0xDEAD4BAD * seed) & 0xFFFFFFFF, 1
    out = bytearray()
    for _ in range(size):
        a, b = b, (a + b) & 0xFFFFFFFF
        out.append(b >> 24)
    return bytes(out)


def test_blake2b_plain_and_keyed_agree_with_rfc_7693_appendix_e() -> None:
    no_label = bytes(16)
    total = b""
    for out in (20, 32, 48, 64):
        for size in (0, 3, 128, 129, 255, 1024):
            data = _sequence(size, size)
            total += p.plain_digest(data, out) + p.kdf(no_label, _sequence(out, out), data, out)
    assert p.plain_digest(total) == h("c23a7800d98123bd10f506c61e29da5603d763b8bbad2e737f5e765a7bccd475")


# NaCl's own test of crypto_box and crypto_secretbox (tests/box.c, secretbox.c)
NACL_NONCE = h("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
NACL_KEY = h("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
NACL_PLAIN = h(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129"
    "6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde"
    "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705"
)
NACL_BOX = h(
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a"
    "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae"
    "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74"
    "e355a5"
)


def test_the_secretbox_is_nacls() -> None:
    assert p.box_seal(NACL_PLAIN, NACL_NONCE, NACL_KEY) == NACL_BOX
    assert p.box_open(NACL_BOX, NACL_NONCE, NACL_KEY) == NACL_PLAIN


def test_a_box_under_an_agreed_key_is_nacls_box() -> None:
    assert sodium.crypto_box_beforenm(BOB_PUB, ALICE) == NACL_KEY
    assert sodium.crypto_box(NACL_PLAIN, NACL_NONCE, BOB_PUB, ALICE) == NACL_BOX


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_a_box_or_its_nonce_is_refused() -> None:
    for at in range(8 * len(NACL_BOX)):
        with pytest.raises(CryptoFault):
            p.box_open(flip(NACL_BOX, at), NACL_NONCE, NACL_KEY)
    for at in range(8 * 24):
        with pytest.raises(CryptoFault):
            p.box_open(NACL_BOX, flip(NACL_NONCE, at), NACL_KEY)


def test_the_link_cipher_agrees_with_rfc_8439_2_8_2() -> None:
    key = bytes(range(0x80, 0xA0))
    nonce = h("070000004041424344454647")
    aad = h("50515253c0c1c2c3c4c5c6c7")
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    boxed = p.aead_seal(plain, aad, nonce, key)
    assert boxed.startswith(h("d31a8d34648e60db7b86afbc53ef7ec2"))
    assert boxed.endswith(h("1ae10b594f09e26a7e902ecbd0600691"))
    assert p.aead_open(boxed, aad, nonce, key) == plain
    with pytest.raises(CryptoFault):
        p.aead_open(boxed, aad + b"x", nonce, key)


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_to_a_key_opens_with_nacls_own_function(plain: bytes, ephemeral: bytes) -> None:
    sealed = p.seal_to(BOB_PUB, plain, ephemeral)
    assert len(sealed) == len(plain) + p.SEAL_OVERHEAD
    assert sodium.crypto_box_seal_open(sealed, BOB_PUB, BOB) == plain
    assert p.seal_open(BOB, BOB_PUB, sodium.crypto_box_seal(plain, BOB_PUB)) == plain


@given(st.binary(max_size=200))
def test_padding_comes_off_again(data: bytes) -> None:
    padded = p.pad(data, 256)
    assert len(padded) == 256
    assert p.unpad(padded) == data == sodium.sodium_unpad(padded, 256)


@pytest.mark.parametrize("data", [b"", bytes(64), b"words", b"\x80x" + bytes(9)])
def test_what_has_no_padding_is_refused(data: bytes) -> None:
    with pytest.raises(CryptoFault):
        p.unpad(data)


def test_argon2id_agrees_with_the_reference_library() -> None:
    made = p.argon2id(b"password", b"somesalt" * 2, passes=3, memory_bytes=64 * 1024)
    assert made == sodium.crypto_pwhash_alg(
        32, b"password", b"somesalt" * 2, 3, 64 * 1024, sodium.crypto_pwhash_ALG_ARGON2ID13
    )
    assert made != p.argon2id(b"Password", b"somesalt" * 2, passes=3, memory_bytes=64 * 1024)


def flip(data: bytes, bit: int) -> bytes:
    at, mask = bit // 8, 1 << bit % 8
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


@pytest.mark.parametrize("wrong", [0, 31, 33, 63, 65])
def test_nothing_is_read_past_the_end_of_a_key_or_nonce_of_ours(wrong: int) -> None:
    """Straight calls of libsodium take a pointer: what is too short would be read on from memory."""
    with pytest.raises(ValueError, match="wrong size"):
        p.sign(b"gossamer/1/test", bytes(wrong), b"data")
    for calls in (
        lambda: p.box_seal(b"plain", bytes(24), bytes(wrong)),
        lambda: p.box_seal(b"plain", bytes(wrong), bytes(32)),
        lambda: p.aead_seal(b"plain", b"", bytes(12), bytes(wrong)),
        lambda: p.aead_open(bytes(32), b"", bytes(wrong), bytes(32)),
    ):
        with pytest.raises(ValueError, match="wrong size"):
            calls()
    for opens in (
        lambda: p.box_open(bytes(40), bytes(24), bytes(wrong)),
        lambda: p.box_open(bytes(wrong % 16), bytes(24), bytes(32)),
    ):
        with pytest.raises(CryptoFault):
            opens()

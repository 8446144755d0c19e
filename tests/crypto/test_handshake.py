"""The handshake of a link, against the `noiseprotocol` package and against damage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings, strategies as st
from noise.connection import Keypair, NoiseConnection

from node.crypto import handshake
from node.crypto.handshake import Cipher, Handshake, LinkKeys, Noise, make_link_keys
from node.crypto.primitives import ed25519_keypair
from node.errors import CryptoFault, DecodeError, PeerFault

NETWORK = b"n" * 32
PSK = b"p" * 32


def keys(seed: int, *, network: bytes = NETWORK, psk: bytes | None = None) -> LinkKeys:
    return make_link_keys(
        bytes([seed]) * 32, network_id=network, psk=psk, entropy=random.Random(seed).randbytes
    )


def pair(a: LinkKeys, b: LinkKeys) -> tuple[Handshake, Handshake]:
    one = Handshake(a, initiator=True, entropy=random.Random(1).randbytes)
    two = Handshake(b, initiator=False, entropy=random.Random(2).randbytes)
    return one, two


def shake(one: Handshake, two: Handshake) -> None:
    two.read(one.write())
    one.read(two.write())
    two.read(one.write())


@pytest.mark.parametrize("psk", [None, PSK])
def test_both_sides_learn_the_node_key_of_the_other_and_can_talk(psk: bytes | None) -> None:
    one, two = pair(keys(1, psk=psk), keys(2, psk=psk))
    shake(one, two)
    assert one.done and two.done
    assert one.peer == ed25519_keypair(bytes([2]) * 32)[0]
    assert two.peer == ed25519_keypair(bytes([1]) * 32)[0]
    (send1, receive1), (send2, receive2) = one.split(), two.split()
    for number in range(5):
        text = b"frame %d" % number
        assert receive2.open(send1.seal(text)) == text
        assert receive1.open(send2.seal(text)) == text


@pytest.mark.parametrize("psk", [None, PSK])
def test_message_sizes_are_as_documented(psk: bytes | None) -> None:
    one, two = pair(keys(1, psk=psk), keys(2, psk=psk))
    first = one.write()
    two.read(first)
    second = two.write()
    one.read(second)
    assert [len(first), len(second), len(one.write())] == [32 if psk is None else 48, 192, 160]


@pytest.mark.parametrize("psk", [None, PSK])
@pytest.mark.parametrize("initiator", [True, False])
def test_the_noise_part_agrees_with_the_noiseprotocol_package(psk: bytes | None, initiator: bool) -> None:
    name = b"Noise_XX_25519_ChaChaPoly_BLAKE2b" if psk is None else b"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b"
    oracle = NoiseConnection.from_name(name)
    if initiator:
        oracle.set_as_responder()
    else:
        oracle.set_as_initiator()
    oracle.set_prologue(b"prologue")
    if psk is not None:
        oracle.set_psks(psk)
    oracle.set_keypair_from_private_bytes(Keypair.STATIC, b"s" * 32)
    oracle.start_handshake()
    ours = Noise(initiator=initiator, prologue=b"prologue", psk=psk, static=b"t" * 32, ephemeral=b"u" * 32)
    for payload in (b"", b"second payload", b"third"):
        if ours.writes_next:
            assert bytes(oracle.read_message(ours.write(payload))) == payload
        else:
            assert ours.read(bytes(oracle.write_message(payload))) == payload
    send, receive = ours.split()
    assert bytes(oracle.decrypt(send.seal(b"to the oracle"))) == b"to the oracle"
    assert receive.open(bytes(oracle.encrypt(b"from the oracle"))) == b"from the oracle"


def test_rekeying_agrees_with_the_noiseprotocol_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "REKEY_AFTER", 3)
    oracle = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_BLAKE2b")
    oracle.set_as_responder()
    oracle.set_keypair_from_private_bytes(Keypair.STATIC, b"s" * 32)
    oracle.start_handshake()
    ours = Noise(initiator=True, prologue=b"", psk=None, static=b"t" * 32, ephemeral=b"u" * 32)
    oracle.read_message(ours.write(b""))
    ours.read(bytes(oracle.write_message(b"")))
    oracle.read_message(ours.write(b""))
    send, _ = ours.split()
    for number in range(10):
        assert bytes(oracle.decrypt(send.seal(b"%d" % number))) == b"%d" % number
        if number % 3 == 2:
            oracle.rekey_inbound_cipher()


def test_a_key_lasts_65536_messages() -> None:
    send, receive = Cipher(b"k" * 32), Cipher(b"k" * 32)
    assert handshake.REKEY_AFTER == 65_536
    for number in (handshake.REKEY_AFTER - 1, handshake.REKEY_AFTER):
        send._nonce = receive._nonce = number
        before = send._key
        assert receive.open(send.seal(b"x")) == b"x"
        assert (send._key != before) == (number == handshake.REKEY_AFTER - 1)


def test_the_ends_of_two_networks_do_not_meet() -> None:
    for other in (keys(2, network=b"m" * 32), keys(2, psk=PSK), keys(2, psk=b"q" * 32)):
        mine = keys(1, psk=PSK if other.psk == b"q" * 32 else None)
        with pytest.raises(PeerFault):
            shake(*pair(mine, other))


def test_a_node_key_cannot_vouch_for_the_static_key_of_another() -> None:
    honest, thief = keys(1), keys(2)
    stolen = LinkKeys(honest.node_pub, thief.static, thief.static_pub, honest.proof, NETWORK, None)
    with pytest.raises(CryptoFault):
        shake(*pair(stolen, keys(3)))
    with pytest.raises(CryptoFault):
        shake(*pair(keys(3), stolen))


def test_a_low_order_ephemeral_key_is_a_peer_fault() -> None:
    _, two = pair(keys(1), keys(2))
    two.read(bytes(32))
    with pytest.raises(CryptoFault):
        two.write()


def test_a_payload_before_encryption_is_refused() -> None:
    one, two = pair(keys(1), keys(2))
    with pytest.raises(DecodeError):
        two.read(one.write() + b"x")


def test_damaged_ciphertext_moves_no_counter() -> None:
    one, two = pair(keys(1), keys(2))
    shake(one, two)
    send, receive = one.split()[0], two.split()[1]
    boxed = send.seal(b"hello")
    with pytest.raises(CryptoFault):
        receive.open(boxed[:-1] + bytes([boxed[-1] ^ 1]))
    assert receive.open(boxed) == b"hello"
    with pytest.raises(CryptoFault):
        receive.open(boxed)


def test_secrets_are_in_no_repr() -> None:
    mine = keys(1, psk=PSK)
    assert repr(mine.static) not in repr(mine) and repr(PSK) not in repr(mine)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_thousands_of_damaged_handshakes_all_end_in_a_peer_fault(at: int) -> None:
    rng = random.Random(at)
    mine, theirs = keys(1), keys(2)
    for _ in range(400):
        one, two = pair(mine, theirs)
        sides = (one, two, one)
        with pytest.raises(PeerFault):
            for step in range(3):
                message = sides[step].write()
                if step == at:
                    message = damage(rng, message)
                (one if step == 1 else two).read(message)


def damage(rng: random.Random, message: bytes) -> bytes:
    """Flip a bit that X25519 does not ignore, cut, or lengthen."""
    match rng.randrange(3):
        case 0:
            spot = rng.randrange(len(message))
            bit = rng.randrange(7 if spot == 31 else 8)
            return message[:spot] + bytes([message[spot] ^ (1 << bit)]) + message[spot + 1 :]
        case 1:
            return message[: rng.randrange(len(message))]
        case _:
            return message + rng.randbytes(rng.randrange(1, 40))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=2))
def test_arbitrary_bytes_never_authenticate(messages: list[bytes]) -> None:
    _, two = pair(keys(1), keys(2))
    with pytest.raises(PeerFault):
        for message in messages:
            if two.writes_next:
                two.write()
            two.read(message)
        if two.peer is None:
            raise CryptoFault("not authenticated")

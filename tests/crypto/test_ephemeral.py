"""Ephemerals: who signed them, which channel they belong to, and that every changed bit shows."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from node.crypto import ephemeral, primitives
from node.crypto.ephemeral import Ephemeral
from node.crypto.labels import Label
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire import codec

ES, EPOCH_ID, CS = b"s" * 32, b"i" * 32, b"c" * 32
EPOCH, DEVICE, PEER = b"e" * 16, b"d" * 16, b"p" * 16
DSK_PUB, DSK_SK = primitives.ed25519_keypair(b"k" * 32)
ROOM_KEY = ephemeral.ephemeral_key(ES, EPOCH_ID)
CS_KEY = ephemeral.ephemeral_dm_key(CS)
SAID = Ephemeral(1_700_000_000_000, 1, [b"x", 2])


def entropy(seed: int = 1) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def room() -> bytes:
    return ephemeral.seal_room_ephemeral(
        ROOM_KEY, EPOCH, DEVICE, ts_ms=SAID.ts_ms, type=1, body=SAID.body, dsk_sk=DSK_SK, entropy=entropy()
    )


def presence() -> bytes:
    return ephemeral.seal_presence(
        CS_KEY, DEVICE, ts_ms=SAID.ts_ms, type=1, body=SAID.body, dsk_sk=DSK_SK, entropy=entropy()
    )


def direct(device: bytes = DEVICE) -> bytes:
    return ephemeral.seal_dm_ephemeral(
        CS_KEY, device, ts_ms=SAID.ts_ms, type=1, body=SAID.body, entropy=entropy()
    )


def open_room(inner: bytes) -> Ephemeral:
    return ephemeral.open_room_ephemeral(ROOM_KEY, ephemeral.parse_ephemeral(inner), DSK_PUB)


def open_presence(inner: bytes) -> Ephemeral:
    return ephemeral.open_presence(CS_KEY, ephemeral.parse_ephemeral(inner), DSK_PUB)


def open_direct(inner: bytes) -> Ephemeral:
    return ephemeral.open_dm_ephemeral(CS_KEY, ephemeral.parse_ephemeral(inner), DEVICE)


FORMS = {"room": (room, open_room), "presence": (presence, open_presence), "direct": (direct, open_direct)}


@pytest.mark.parametrize("form", FORMS)
def test_what_was_sealed_opens(form: str) -> None:
    make, read = FORMS[form]
    assert read(make()) == SAID


@pytest.mark.attack("A05")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", FORMS)
def test_one_form_is_never_read_as_another(form: str, reader: str) -> None:
    if form == reader:
        return
    with pytest.raises(CryptoFault):
        FORMS[reader][1](FORMS[form][0]())


@pytest.mark.attack("A07")
@pytest.mark.parametrize("form", FORMS)
def test_every_flipped_bit_is_refused(form: str) -> None:
    make, read = FORMS[form]
    inner = make()
    for bit in range(len(inner) * 8):
        changed = bytearray(inner)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerFault):
            read(bytes(changed))


@pytest.mark.attack("A10")
def test_our_own_direct_ephemeral_sent_back_is_refused() -> None:
    msg = ephemeral.parse_ephemeral(direct(DEVICE))
    with pytest.raises(CryptoFault, match="another device"):
        ephemeral.open_dm_ephemeral(CS_KEY, msg, PEER)


def test_a_room_ephemeral_of_another_device_is_refused() -> None:
    other_pub, _ = primitives.ed25519_keypair(b"o" * 32)
    with pytest.raises(CryptoFault):
        ephemeral.open_room_ephemeral(ROOM_KEY, ephemeral.parse_ephemeral(room()), other_pub)


def test_a_direct_ephemeral_carries_no_signature() -> None:
    assert ephemeral.parse_ephemeral(direct()).sig is None
    assert ephemeral.parse_ephemeral(room()).sig is not None


def test_a_room_ephemeral_has_exactly_the_documented_bytes() -> None:
    msg = ephemeral.parse_ephemeral(room())
    nonce = entropy()(24)
    ct = primitives.box_seal(codec.pack([SAID.ts_ms, 1, [b"x", 2]]), nonce, ROOM_KEY)
    assert (msg.epoch16, msg.device16, msg.nonce, msg.ct) == (EPOCH, DEVICE, nonce, ct)
    sig = primitives.sign(Label.SIGEPH, DSK_SK, EPOCH + DEVICE + nonce + ct)
    assert room() == codec.pack([10, EPOCH, DEVICE, nonce, ct, sig])


def test_two_minutes_either_way_are_timely() -> None:
    assert ephemeral.is_timely(1_000_000, 1_120_000)
    assert ephemeral.is_timely(1_120_000, 1_000_000)
    assert not ephemeral.is_timely(1_000_000, 1_120_001)
    assert not ephemeral.is_timely(1_120_001, 1_000_000)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=250))
def test_random_bytes_are_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ephemeral.parse_ephemeral(data)


def test_a_box_that_holds_something_else_is_a_decode_error() -> None:
    nonce = bytes(24)
    for plain in (b"", b"\xc1", codec.pack([1]), codec.pack([-1, 1, None]), codec.pack([1, 256, None])):
        ct = primitives.box_seal(plain, nonce, CS_KEY)
        msg = ephemeral.parse_ephemeral(codec.pack([10, bytes(16), DEVICE, nonce, ct, None]))
        with pytest.raises(DecodeError):
            ephemeral.open_dm_ephemeral(CS_KEY, msg, DEVICE)


def test_a_signed_ephemeral_without_an_epoch_is_not_a_rooms_even_under_its_key() -> None:
    inner = ephemeral.seal_presence(
        ROOM_KEY, DEVICE, ts_ms=SAID.ts_ms, type=1, body=None, dsk_sk=DSK_SK, entropy=entropy()
    )
    with pytest.raises(CryptoFault, match="no epoch"):
        open_room(inner)

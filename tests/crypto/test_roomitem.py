"""One message with its key: opens as it was sent, and not when anything of it is another."""

from __future__ import annotations

import pytest

from node.crypto import roommsg
from node.crypto.chain import RecvChain, SendChain
from node.crypto.primitives import ed25519_keypair
from node.crypto.roomitem import make_item, open_item, parse_item
from node.crypto.roommsg import Kind
from node.errors import CryptoFault, PeerFault
from node.sim import stream

PUBLIC, SECRET = ed25519_keypair(bytes(32))
PAYLOAD = b"what was said"


def item(chain: SendChain | None = None) -> bytes:
    chain = SendChain(b"k" * 32, 3) if chain is None else chain
    _, inner = roommsg.seal(
        chain,
        kind=Kind.MESSAGE,
        room_id=bytes(16),
        epoch16=bytes(16),
        device_id=bytes(16),
        view16=bytes(16),
        payload=PAYLOAD,
        dsk_sk=SECRET,
        entropy=stream("item"),
    )
    msg = roommsg.parse(inner)
    return make_item(msg, roommsg.key_of(RecvChain(chain.key, chain.index), msg, day=0))


def test_an_item_opens_to_the_payload_and_says_the_same_core() -> None:
    read = parse_item(item())
    assert open_item(read, PUBLIC) == PAYLOAD
    assert read.msg.core.index == 3


def test_the_key_of_a_message_that_was_jumped_to_is_the_same() -> None:
    msg = parse_item(item(SendChain(b"k" * 32))).msg
    assert roommsg.key_of(RecvChain(b"k" * 32), msg, day=0) == parse_item(item(SendChain(b"k" * 32))).mk


@pytest.mark.attack("A38")
def test_no_bit_of_an_item_can_be_changed() -> None:
    whole = item()
    for at in range(len(whole) * 8):
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        with pytest.raises(PeerFault):
            open_item(parse_item(bytes(data)), PUBLIC)


@pytest.mark.attack("A04")
def test_an_item_is_nobody_elses() -> None:
    with pytest.raises(CryptoFault):
        open_item(parse_item(item()), ed25519_keypair(b"o" * 32)[0])


def test_the_key_does_not_show_in_a_repr() -> None:
    assert repr(parse_item(item()).mk) not in repr(parse_item(item()))

"""Node records: signed, short-lived, bounded."""

from __future__ import annotations

import pytest

from node.clock import DAY_MS, Instant
from node.crypto.noderec import MAX_BYTES, make_record, parse_record
from node.crypto.primitives import ed25519_keypair
from node.errors import CryptoFault, DecodeError, PeerFault

NOW = Instant(0.0, 20_000 * DAY_MS + 5)
SEED = b"s" * 32
ROLES = frozenset({"relay", "hold"})


def record(*addresses: str) -> bytes:
    return make_record(SEED, addresses=addresses, roles=ROLES, seq=3, now=NOW)


def test_a_record_says_where_a_node_is() -> None:
    read = parse_record(record("ws://a:1", "wss://b"), NOW)
    assert (read.node_key, read.addresses) == (ed25519_keypair(SEED)[0], ("ws://a:1", "wss://b"))
    assert (read.roles, read.seq, read.expires_day) == (ROLES, 3, 20_007)


def test_a_record_lives_seven_days() -> None:
    raw = record("ws://a:1")
    parse_record(raw, NOW.after(7 * 86_400))
    with pytest.raises(CryptoFault):
        parse_record(raw, NOW.after(8 * 86_400))
    with pytest.raises(CryptoFault):
        parse_record(raw, NOW.after(-2 * 86_400))


def test_the_largest_record_fits_and_longer_ones_are_refused() -> None:
    raw = record(*("x" * 255 for _ in range(9)))
    assert len(raw) <= MAX_BYTES and len(parse_record(raw, NOW).addresses) == 4
    with pytest.raises(DecodeError):
        parse_record(raw + bytes(MAX_BYTES), NOW)


def test_every_flipped_byte_is_noticed() -> None:
    raw = record("ws://a:1")
    for spot in range(len(raw)):
        with pytest.raises(PeerFault):
            parse_record(raw[:spot] + bytes([raw[spot] ^ 1]) + raw[spot + 1 :], NOW)

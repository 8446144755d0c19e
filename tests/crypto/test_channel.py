"""Channels: who can post, who can open, and what an envelope may carry."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, strategies as st

from node.clock import DAY_MS
from node.crypto import channel
from node.crypto.channel import INNER_TYPES, MAX_INNER_BYTES, Channel, ChannelKind, Inner
from node.crypto.labels import Label
from node.crypto.primitives import ed25519_keypair, kdf, sign
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire import envelope
from node.wire.codec import pack
from node.wire.envelope import BUCKETS, OVERHEAD

NOON = 20_000 * DAY_MS + DAY_MS // 2
INNER = pack([Inner.DM.value, b"hdr", b"box"])
ENTROPY = Random(7).randbytes


def dm(secret: int = 1) -> Channel:
    return Channel(ChannelKind.DM, bytes([secret]) * 32)


def seal(ch: Channel, inner: bytes = INNER, ts_ms: int = NOON) -> bytes:
    return ch.seal(inner, ts_ms=ts_ms, ttl_days=35, entropy=ENTROPY)


def test_a_member_opens_what_another_member_sealed() -> None:
    env = envelope.parse(seal(dm()))
    reader = dm()
    channel.verify_envelope(env)
    reader.verify(env)
    assert reader.open(env) == INNER


@given(st.integers(0, MAX_INNER_BYTES - 6))
def test_an_inner_of_any_size_fits_its_bucket_exactly(size: int) -> None:
    inner = pack([Inner.DM.value, bytes(size)])
    raw = seal(dm(), inner[:MAX_INNER_BYTES])
    assert len(raw) == OVERHEAD + min(bucket for bucket in BUCKETS if bucket > len(inner))
    assert dm().open(envelope.parse(raw)) == inner


def test_an_ephemeral_envelope_says_so_and_is_never_held() -> None:
    inner = pack([Inner.EPHEMERAL.value, b""])
    raw = dm().seal(inner, ts_ms=NOON, ttl_days=0, ephemeral=True, entropy=ENTROPY)
    env = envelope.parse(raw)
    assert (env.kind, env.ttl_days, env.expires_ms) == (envelope.EPHEMERAL, 0, NOON)
    assert dm().open(env) == inner


def test_the_posting_key_is_the_one_the_specification_derives() -> None:
    seed = kdf(Label.POST, bytes([1]) * 32, (20_000).to_bytes(4), 32)
    assert dm().rk(20_000) == ed25519_keypair(seed)[0]
    assert envelope.parse(seal(dm())).rk == dm().rk(20_000)


@pytest.mark.attack("A29")
def test_posting_keys_of_other_days_and_channels_all_differ() -> None:
    keys = {dm(secret).rk(day) for secret in range(5) for day in range(200)}
    assert len(keys) == 1000


@pytest.mark.attack("A29")
def test_two_envelopes_of_one_inner_share_nothing_but_the_day() -> None:
    one, two = envelope.parse(seal(dm())), envelope.parse(seal(dm()))
    assert one.rk == two.rk
    assert one.eid != two.eid and one.body[:24] != two.body[:24] and one.body[24:] != two.body[24:]


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_an_envelope_is_refused_by_strangers_and_members() -> None:
    raw, member = seal(dm()), dm()
    for bit in range(8 * len(raw)):
        at = bit // 8
        bad = raw[:at] + bytes([raw[at] ^ 1 << bit % 8]) + raw[at + 1 :]
        try:
            env = envelope.parse(bad)
        except DecodeError:
            continue
        with pytest.raises(CryptoFault):
            channel.verify_envelope(env)
        with pytest.raises(CryptoFault):
            member.verify(env)


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_the_body_fails_to_open_even_unverified() -> None:
    raw, member = seal(dm()), dm()
    for bit in range(8 * envelope.HEADER_BYTES, 8 * len(raw)):
        at = bit // 8
        bad = raw[:at] + bytes([raw[at] ^ 1 << bit % 8]) + raw[at + 1 :]
        with pytest.raises(CryptoFault):
            member.open(envelope.parse(bad))


def test_another_channel_neither_verifies_nor_opens() -> None:
    env = envelope.parse(seal(dm(1)))
    for act in (dm(2).verify, dm(2).open):
        with pytest.raises(CryptoFault):
            act(env)


def test_an_envelope_posted_under_another_days_key_is_refused() -> None:
    """A member could stamp any time it likes; the key binds the day, so holders can drop by it."""
    member = dm()
    raw = seal(member)
    moved = envelope.head(envelope.KEPT, NOON + DAY_MS, 35, member.rk(20_000))
    seed = kdf(Label.POST, member.secret, (20_000).to_bytes(4), 32)
    body = raw[envelope.HEADER_BYTES :]
    env = envelope.parse(moved + sign(Label.ENV, ed25519_keypair(seed)[1], moved + body) + body)
    channel.verify_envelope(env)
    for act in (member.verify, member.open):
        with pytest.raises(CryptoFault):
            act(env)


@pytest.mark.attack("A05")
@pytest.mark.parametrize("kind", ChannelKind)
def test_a_channel_opens_only_the_inners_of_its_kind(kind: ChannelKind) -> None:
    for number in range(0, 20):
        carrier = next((k for k, types in INNER_TYPES.items() if number in types), None)
        smuggler = _sealing_anything(kind, pack([number, b"x"]))
        if number in INNER_TYPES[kind]:
            assert Channel(kind, bytes(32)).open(smuggler) == pack([number, b"x"])
        else:
            assert carrier is not kind
            with pytest.raises(DecodeError):
                Channel(kind, bytes(32)).open(smuggler)


@pytest.mark.attack("A27")
@pytest.mark.parametrize(
    "inner", [b"", b"\x93", b"\x90\x03", b"\x93\xcc\x03", b"\xdc\x00\x01\x03", b"\x03\x03"]
)
def test_an_inner_that_does_not_begin_with_its_type_is_refused(inner: bytes) -> None:
    with pytest.raises(DecodeError):
        Channel(ChannelKind.DM, bytes(32)).open(_sealing_anything(ChannelKind.DM, inner))


def test_every_inner_type_has_a_channel_and_every_channel_its_types() -> None:
    assert set(INNER_TYPES) == set(ChannelKind)
    assert set().union(*INNER_TYPES.values()) == {inner.value for inner in Inner}


def test_constructors_of_different_channels_never_share_a_secret() -> None:
    x = bytes(range(32))
    made = [
        channel.room_channel(x, x),
        channel.dm_channel(x, x),
        channel.inbox_channel(x),
        channel.join_channel(channel.join_channel_secret(x)),
        channel.presence_channel(x),
        channel.directory_channel(x),
    ]
    assert {ch.kind for ch in made} == set(ChannelKind) - {ChannelKind.ATTACHMENT}  # its secret is random
    assert len({ch.secret for ch in made}) == len({ch.rk(1) for ch in made}) == 6


def test_a_network_is_its_secret_and_the_public_one_has_none() -> None:
    ids = {channel.network_id(None), channel.network_id(b"\x01" * 32), channel.network_id(b"\x02" * 32)}
    assert len(ids) == 3 and all(len(network) == 32 for network in ids)


def test_the_key_cache_stays_small_over_a_long_life() -> None:
    ch = dm()
    first = ch.rk(0)
    for day in range(1000):
        ch.rk(day)
    assert len(ch._days) <= channel._MAX_CACHED_DAYS
    assert ch.rk(0) == first


def test_a_repr_shows_no_secret() -> None:
    assert repr(Channel(ChannelKind.ROOM, b"S" * 32)) == "Channel(ROOM)"


@given(st.binary(min_size=OVERHEAD + 512, max_size=OVERHEAD + 512))
def test_junk_of_the_right_size_is_a_peers_fault(data: bytes) -> None:
    valid_front = envelope.head(envelope.KEPT, NOON, 35, dm().rk(20_000))
    with pytest.raises(PeerFault):
        dm().open(envelope.parse(valid_front + data[43:]))


def _sealing_anything(kind: ChannelKind, inner: bytes) -> envelope.Envelope:
    """What a member that does not keep the rules could post on a channel of this kind."""
    from node.crypto.primitives import box_seal, pad

    ch = Channel(kind, bytes(32))
    body = bytes(24) + box_seal(pad(inner, 512), bytes(24), kdf(Label.OUTER, ch.secret, b"", 32))
    front = envelope.head(envelope.KEPT, NOON, 35, ch.rk(20_000))
    seed = kdf(Label.POST, ch.secret, (20_000).to_bytes(4), 32)
    return envelope.parse(front + sign(Label.ENV, ed25519_keypair(seed)[1], front + body) + body)

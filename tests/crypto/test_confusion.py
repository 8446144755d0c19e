"""Every kind against the reader of every other; every inner against every channel and every other type."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

import pytest

from node.chat.direct import direct_id
from node.crypto import (
    chain as chains,
    channel,
    ephemeral,
    epoch as epochs,
    joining,
    keys,
    links,
    ratchet,
    roommsg,
    safety,
    vault,
)
from node.crypto.channel import INNER_TYPES, Channel, ChannelKind, Inner
from node.crypto.labels import Label
from node.crypto.primitives import box_seal, kdf, pad, seal_open, seal_to, sign
from node.errors import CryptoFault, DecodeError
from node.wire import envelope, frame_bytes, frames
from node.wire.codec import pack, unpack
from tests.chat.room_samples import NOW
from tests.crypto.all_artefacts import FRAMES, KINDS
from tests.crypto.artefacts import BEN, INNERS, NAMES_ALONE, OP, TRANSCRIPT, Artefact, K

PAGE = (Path(__file__).parents[2] / "docs" / "crypto.md").read_text("utf-8")
SEALED_TO_A_KEY = {
    Inner.CONTACT_REQUEST: INNERS["contact request"],
    Inner.INTRO: INNERS["intro"],
    Inner.WELCOME: INNERS["welcome inner"],
}


def takes(kind: Artefact, raw: bytes) -> bool:
    """Say whether a reader takes the bytes; whatever is not a typed refusal escapes and fails the test."""
    try:
        kind.read(raw)
    except (DecodeError, CryptoFault):
        return False
    return True


def test_every_kind_is_taken_by_its_own_reader() -> None:
    assert [name for name, kind in KINDS.items() if not takes(kind, kind.raw)] == []
    made = {kind.inner for kind in INNERS.values()}
    assert made | NAMES_ALONE == set(Inner) and not made & NAMES_ALONE


@pytest.mark.attack("A05")
def test_nothing_made_for_one_reader_is_taken_by_another() -> None:
    taken = [pair for pair in permutations(KINDS, 2) if takes(KINDS[pair[1]], KINDS[pair[0]].raw)]
    assert len(KINDS) >= 45 and taken == []


@pytest.mark.attack("A05")
def test_what_is_no_frame_is_none_or_one_that_is_ignored() -> None:
    for name in KINDS.keys() - FRAMES.keys():
        try:
            found = frame_bytes.decode(KINDS[name].raw)
        except DecodeError:
            continue
        assert isinstance(found, frames.Unknown), name


@pytest.mark.attack("A05")
def test_an_inner_under_the_type_of_another_is_taken_by_no_reader() -> None:
    for name, kind in INNERS.items():
        for number in set(Inner) - {kind.inner}:
            renamed = kind.raw[:1] + bytes([number]) + kind.raw[2:]
            assert channel.inner_type(renamed) == number
            assert [reader for reader, other in INNERS.items() if takes(other, renamed)] == [], name


@pytest.mark.attack("A05")
def test_what_is_sealed_to_a_key_for_one_purpose_serves_no_other_though_sealed_again() -> None:
    me = BEN.keys
    for made, reader in permutations(SEALED_TO_A_KEY, 2):
        plain = seal_open(me.intro_secret, me.intro_pub, unpack(SEALED_TO_A_KEY[made].raw)[1])
        moved = pack([int(reader), seal_to(me.intro_pub, plain, K)])
        assert not takes(SEALED_TO_A_KEY[reader], moved)
        again = pack([int(made), seal_to(me.intro_pub, plain, K)])
        assert takes(SEALED_TO_A_KEY[made], again)


# -- channels -------------------------------------------------------------------------------------


def posted(kind: ChannelKind, inner: bytes) -> envelope.Envelope:
    """Return what a member that keeps no rule can post: anything, well sealed and signed."""
    box = box_seal(pad(inner, envelope.bucket_for(len(inner))), bytes(24), kdf(Label.OUTER, K, b"", 32))
    front = envelope.head(envelope.KEPT, NOW, 35, Channel(kind, K).rk(20_000))
    secret = keys.ed25519_keypair(kdf(Label.POST, K, (20_000).to_bytes(4, "big"), 32))[1]
    body = bytes(24) + box
    return envelope.parse(front + sign(Label.ENV, secret, front + body) + body)


@pytest.mark.attack("A05")
@pytest.mark.parametrize("kind", ChannelKind)
def test_a_channel_gives_out_the_real_inners_of_its_types_and_no_others(kind: ChannelKind) -> None:
    for made in INNERS.values():
        ch, env = Channel(kind, K), posted(kind, made.raw)
        ch.verify(env)
        if made.inner in INNER_TYPES[kind]:
            assert ch.open(env) == made.raw
        else:
            with pytest.raises(DecodeError, match="does not carry"):
                ch.open(env)
            with pytest.raises(AssertionError):
                ch.seal(made.raw, ts_ms=NOW, ttl_days=35, entropy=bytes)


def test_the_types_of_each_channel_are_those_of_the_specification() -> None:
    line = re.search(r"A kind of channel carries its types only: (.+?)\.", PAGE, re.S)
    assert line is not None
    said = {}
    for entry in line[1].split(","):
        kind, *numbers = entry.split()
        said[{"direct": "DM"}.get(kind, kind.upper())] = frozenset(map(int, numbers))
    assert said == {kind.name: types for kind, types in INNER_TYPES.items()}


# -- everything derived from one secret ------------------------------------------------------------


def from_channels() -> dict[str, bytes]:
    return {
        "room channel": channel.room_channel(K, K).secret,
        "direct channel": channel.dm_channel(K, K).secret,
        "inbox": channel.inbox_channel(K).secret,
        "join channel": channel.join_channel_secret(K),
        "directory": channel.directory_channel(K).secret,
        "network": channel.network_id(K),
        "posting key": channel.presence_channel(K).rk(1),
        "outer key": channel.presence_channel(K)._outer,
        "room ephemerals": ephemeral.ephemeral_key(K, K),
        "other ephemerals": ephemeral.ephemeral_dm_key(K),
        "invite key": joining.invite_keypair(K)[0],
    }


def from_chains() -> dict[str, bytes]:
    state = ratchet.start_initiator(K, TRANSCRIPT, keys.x25519_public(K), lambda size: bytes([7]) * size)
    steps = {name: chains.step(label, K) for name, label in (("dm", Label.CHAIN), ("room", Label.RCHAIN))}
    root = ratchet._root_step(K, K, 0)
    return {
        "first chain": chains.first_chain(K, K, b""),
        **{f"{name} chain": step[0] for name, step in steps.items()},
        **{f"{name} seed": step[1] for name, step in steps.items()},
        "root": root[0],
        "chain of the root": root[1],
        "direct message key": ratchet._message_key(state, K, b"", 0),
        "room message key": roommsg._message_key(K, b""),
        "epoch commitment": epochs._commitment(K, b"", b"", b"", K),
        "slot key": epochs._slot_key(K, b"", b"", 0, b""),
    }


def from_identities() -> dict[str, bytes]:
    return {
        "account key": keys.ed25519_keypair(K)[0],
        "agreement key": keys.x25519_public(K),
        "device id": keys.device_id_of(K, b""),
        "user": keys.user_uuid(K),
        "roster": epochs.roster_hash([K]),
        "direct room": direct_id(K, b""),
        "room": OP.room_id,
        "link check": links._check("", K),
        "fingerprint": safety.room_fingerprint([(K, 1)]).encode(),
        "safety": safety.side_digits(K).encode(),
        "row id": vault.row_id(K, "", b""),
        "cell": vault.cell_key(K, "", "", b""),
        "shredded cell": vault.shred_cell_key(K, b"", "", b""),
    }


@pytest.mark.attack("A05")
def test_whatever_is_derived_from_one_secret_for_two_purposes_differs() -> None:
    """The same 32 bytes as every secret and every input: labels alone keep the results apart."""
    found = {**from_channels(), **from_chains(), **from_identities()}
    assert len({value[:8] for value in found.values()}) == len(found)


@pytest.mark.attack("A06")
def test_an_id_is_never_taken_for_the_key_it_names() -> None:
    account = BEN.account
    names = (keys.user_uuid(account) * 2, BEN.device * 2, BEN.cert.cert_hash, BEN.devices.list_hash, OP.op_id)
    shown = safety.safety_number(account, K)
    assert all(safety.safety_number(name, K) != shown for name in names)
    code = safety.verification_code(account, K)
    assert safety.matches(code, K, account)
    assert not any(safety.matches(code, K, name) or safety.matches(code, name, account) for name in names)

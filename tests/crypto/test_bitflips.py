"""One bit anywhere: what no neighbouring test flips bit by bit, and that between them nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from node.crypto import ops, prekeys
from node.crypto.channel import Inner
from node.crypto.ops import Invite, InviteRevoke, Leave, Meta, OpType, Policy, PolicyChange, Remove, Role
from node.crypto.primitives import seal_open, seal_to
from node.errors import PeerFault
from node.wire import envelope
from node.wire.codec import pack, unpack
from tests.chat.room_samples import NOW, TODAY, add_of, create
from tests.crypto.all_artefacts import FRAMES, KINDS
from tests.crypto.artefacts import (
    ADA,
    BEN,
    BEN_SPK,
    CHANNEL,
    CYD,
    INNERS,
    Artefact,
    K,
    entropy,
    make_envelope,
    make_ephemeral,
    read_envelope,
    read_op,
)

HERE = (
    "announce inner",
    "object part",
    "welcome inner",
    "node record",
    "handshake message 1",
    "handshake message 2",
    "handshake message 3",
    "link message",
    "safety code",
    "wrap record",
    "cell",
    "shredded cell",
    "backup",
)
ELSEWHERE = {
    "test_channel.py": {"envelope"},
    "test_ephemeral.py": {"room ephemeral", "presence ephemeral", "direct ephemeral"},
    "test_epoch.py": {"announce", "slots"},
    "test_joining.py": {"join request", "sealed welcome"},
    "test_keys.py": {"certificate", "device list"},
    "test_links.py": {"contact link", "room link"},
    "test_listing.py": {"listing"},
    "test_ops.py": {"op"},
    "test_profile_listing.py": {"profile listing"},
    "test_prekeys.py": {"contact request", "intro", "prekey bundle"},
    "test_ratchet.py": {"direct message"},
    "test_roommsg.py": {"room message"},
    "test_stream.py": {"chunk stream"},
}
INSIDE = {"payload", "open welcome", "identity", "ops", *FRAMES}
"""What carries no proof of its own: it is only ever read out of one of the others, or holds only them."""
BUCKETS_FLIPPED_WHOLE = 4096


def flipped(raw: bytes, bit: int) -> bytes:
    return raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]


def survivors(kind: Artefact, bits: Iterable[int] | None = None) -> list[int]:
    """Return the bits whose flip the reader takes; anything but a typed fault escapes and fails the test."""
    kind.read(kind.raw)
    taken = []
    for bit in range(8 * len(kind.raw)) if bits is None else bits:
        try:
            kind.read(flipped(kind.raw, bit))
        except PeerFault:
            continue
        taken.append(bit)
    return taken


def a_bit_a_byte(size: int, seed: int, step: int = 1) -> list[int]:
    rng = Random(seed)
    return [8 * at + rng.randrange(8) for at in range(0, size, step)]


def test_every_kind_that_proves_anything_is_flipped_bit_by_bit_somewhere() -> None:
    assert {*HERE, *INSIDE, *set().union(*ELSEWHERE.values())} == KINDS.keys()
    for name in ELSEWHERE:
        assert "def test_every_flipped_bit" in (Path(__file__).parent / name).read_text("utf-8"), name


@pytest.mark.attack("A07")
@pytest.mark.parametrize("name", HERE)
def test_every_flipped_bit_is_refused(name: str) -> None:
    assert survivors(KINDS[name]) == []


BODIES = [
    Invite(b"i" * 16, b"p" * 32, K, 3, NOW, Role.GREETER),
    InviteRevoke(b"i" * 16),
    add_of(CYD),
    Leave(((b"a" * 16, b"b" * 16, 7),)),
    Remove(BEN.account, "spam", ((b"a" * 16, b"b" * 16, -1),)),
    ops.RoleChange(BEN.account, Role.ADMIN),
    ops.Delete(),
    ops.Device(ADA.cert.raw, ADA.devices.raw, ADA.leaf),
    PolicyChange(Policy(history=200)),
    Meta("new name", "topic"),
]
OPS = [
    create(ADA),
    *(
        ops.make_op(ADA.keys, room_id=b"r" * 16, author_seq=2, parents=(K,), lamport=1, ts_ms=NOW, body=body)
        for body in BODIES
    ),
]


@pytest.mark.attack("A07")
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.type.name)
def test_every_flipped_bit_of_an_op_of_any_type_is_refused(op: ops.Op) -> None:
    assert {made.type for made in OPS} == set(OpType)
    assert survivors(Artefact(op.raw, read_op)) == []


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_an_ephemeral_envelope_is_refused() -> None:
    raw = make_envelope(make_ephemeral("room"), brief=True)
    assert survivors(Artefact(raw, read_envelope)) == []


@pytest.mark.attack("A07")
@pytest.mark.parametrize("size", envelope.BUCKETS)
def test_a_bit_in_any_byte_of_an_envelope_of_any_size_is_refused(size: int) -> None:
    """In the three largest sizes in every 37th byte, the header whole."""
    raw = make_envelope(pack([int(Inner.ROOM_MESSAGE), bytes(size - 20)]))
    assert len(raw) == envelope.OVERHEAD + size
    bits = a_bit_a_byte(len(raw), size, 1 if size <= BUCKETS_FLIPPED_WHOLE else 37)
    header = range(8 * envelope.HEADER_BYTES)
    assert survivors(Artefact(raw, read_envelope), [*header, *bits]) == []


@pytest.mark.attack("A07")
@pytest.mark.parametrize("name", ["room message", "room ephemeral"])
def test_a_bit_of_what_an_envelope_holds_is_refused_though_a_member_seals_it_again(name: str) -> None:
    """Whoever has the channel's keys can make a new envelope; what is inside answers for itself."""
    kind = INNERS[name]

    def through_an_envelope(inner: bytes) -> object:
        try:
            raw = CHANNEL.seal(inner, ts_ms=NOW, ttl_days=35, entropy=entropy())
        except AssertionError:
            raise PeerFault("not an inner of this channel") from None
        return kind.read(read_envelope(raw))

    assert survivors(Artefact(kind.raw, through_an_envelope)) == []


# -- under a seal that anybody can make ------------------------------------------------------------


def under_the_seal(name: str) -> Artefact:
    """Return what is inside a request or intro, and a reader of it sealed to Ben once more."""
    kind, me = INNERS[name], BEN.keys
    number, sealed = unpack(kind.raw)
    plain = seal_open(me.intro_secret, me.intro_pub, sealed)
    return Artefact(plain, lambda raw: kind.read(pack([number, seal_to(me.intro_pub, raw, K)])))


@pytest.mark.attack("A07")
@pytest.mark.parametrize("name", ["contact request", "intro"])
def test_every_flipped_bit_under_the_seal_of_a_first_contact_is_refused(name: str) -> None:
    """Of an intro too, which nobody signs: its first message opens for what both sides agree on alone."""
    assert survivors(under_the_seal(name)) == []


@pytest.mark.attack("A15")
def test_every_flipped_bit_of_an_intros_key_gives_another_session_even_the_one_that_x25519_ignores() -> None:
    inside, me = under_the_seal("intro"), BEN.keys
    honest = prekeys.open_intro(me, INNERS["intro"].raw, TODAY)
    at = inside.raw.index(honest.ek_pub)
    sessions = {prekeys.agree_as_responder(me, honest, BEN_SPK).session_id}
    for bit in range(8 * at, 8 * (at + 32)):
        sealed = pack([5, seal_to(me.intro_pub, flipped(inside.raw, bit), K)])
        intro = prekeys.open_intro(me, sealed, TODAY)
        sessions.add(prekeys.agree_as_responder(me, intro, BEN_SPK).session_id)
    assert len(sessions) == 8 * 32 + 1

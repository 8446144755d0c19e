"""One of each sealed or signed thing of the protocol, made once with valid keys, and the reader it is for.

Ada made all of it for Ben. Where a key is symmetric it is the same one everywhere, so that only labels and
shapes keep the kinds apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from node.chat import op_exchange
from node.chat.objects import Assembly, split
from node.clock import Instant
from node.crypto import (
    ephemeral,
    epoch as epochs,
    joining,
    keys,
    listing,
    ops,
    prekeys,
    profile_listing,
    ratchet,
    roommsg,
    welcome as welcomes,
)
from node.crypto.chain import RecvChain, SendChain
from node.crypto.channel import Channel, ChannelKind, Inner, verify_envelope
from node.crypto.labels import Label
from node.crypto.noderec import make_record, parse_record
from node.crypto.primitives import digest, sign
from node.errors import DecodeError
from node.wire import envelope, payload
from node.wire.codec import array, blob_upto, decode, literal, pack, unpack
from tests.chat.room_samples import NOW, TODAY, add_of, person

ADA, BEN, CYD = (person(n) for n in range(1, 4))
K = b"k" * 32
ROOM, EPOCH, VIEW, INVITE = b"r" * 16, b"e" * 16, b"v" * 16, b"i" * 16
TRANSCRIPT = b"t" * 64
AT = Instant(0.0, NOW)
INVITE_PK, INVITE_SK = joining.invite_keypair(K)
ADA_SPK, BEN_SPK = (prekeys.new_prekey(Random(n).randbytes, 5, TODAY) for n in (11, 12))
ADA_BUNDLE, BEN_BUNDLE = (
    prekeys.make_bundle(who.keys, 1, spk) for who, spk in ((ADA, ADA_SPK), (BEN, BEN_SPK))
)
CARD: dict[str, Any] = {"cert": ADA.cert, "devices": ADA.devices, "bundle": ADA_BUNDLE}
CHANNEL = Channel(ChannelKind.ROOM, K)


@dataclass(frozen=True)
class Artefact:
    """Bytes and their reader, which returns what they say and raises PeerFault; `inner` if they are one."""

    raw: bytes
    read: Callable[[bytes], object]
    inner: Inner | None = None


def entropy() -> Callable[[int], bytes]:
    return Random(4).randbytes


RECORD = make_record(ADA.keys.node_seed, addresses=("ws://a:1",), roles=frozenset({"relay"}), seq=1, now=AT)
PAYLOAD = payload.Payload(b"m" * 16, NOW, 1, payload.Type.TEXT, ["hello", "text", None]).encode()
NEW_EPOCH = epochs.create_epoch(
    ADA.keys,
    room_id=ROOM,
    gen=1,
    parents=(),
    heads=(b"h" * 32,),
    members=[(who.device, who.leaf) for who in (ADA, BEN)],
    now_ms=NOW,
    reason=epochs.REASON_CREATE,
    entropy=entropy(),
)
WELCOME = welcomes.Welcome(ROOM, (b"op",), (ADA.cert.raw,), NEW_EPOCH.announce, NEW_EPOCH.slots, (RECORD,))
SEALED_WELCOME = welcomes.seal_welcome(WELCOME, BEN.keys.intro_pub, entropy())
OP = ops.make_op(
    ADA.keys, room_id=ROOM, author_seq=2, parents=(b"q" * 32,), lamport=1, ts_ms=NOW, body=add_of(CYD)
)


# -- inners ---------------------------------------------------------------------------------------


def make_room_message() -> bytes:
    return roommsg.seal(
        SendChain(K),
        kind=roommsg.Kind.MESSAGE,
        room_id=ROOM,
        epoch16=EPOCH,
        device_id=ADA.device,
        view16=VIEW,
        payload=PAYLOAD,
        dsk_sk=ADA.keys.dsk_sk,
        entropy=entropy(),
    )[1]


def read_room_message(raw: bytes) -> object:
    msg = roommsg.parse(raw)
    roommsg.verify(msg, ADA.keys.dsk_pub)
    return roommsg.open_message(RecvChain(K), msg, day=TODAY)[1]


def read_announce(raw: bytes) -> epochs.EpochAnnounce:
    announce = epochs.parse_announce(raw)
    epochs.verify_announce(announce, ADA.keys.dsk_pub)
    return announce


def read_announce_inner(raw: bytes) -> object:
    announce, slots = epochs.parse_announce_inner(raw)
    return open_epoch(read_announce(announce.raw), slots)


def open_epoch(announce: epochs.EpochAnnounce, slots: bytes) -> epochs.EpochSecrets:
    return epochs.open_epoch(
        announce,
        slots,
        device_id=BEN.device,
        leaf_secrets={BEN.leaf.leaf_id: BEN.leaf_secret},
        device_ids=[ADA.device, BEN.device],
    )


def read_slots(raw: bytes) -> object:
    """Take the slots as if Ada had signed an announce for these very bytes: only their own shape is left."""
    body = unpack(NEW_EPOCH.announce[:-64])
    body[14] = digest(Label.SLOTS, raw)
    signed = pack(body)
    return open_epoch(read_announce(signed + sign(Label.EPSIG, ADA.keys.dsk_sk, signed)), raw)


def make_direct() -> bytes:
    state = ratchet.start_initiator(K, TRANSCRIPT, BEN_SPK.public, entropy())
    return ratchet.encrypt(state, PAYLOAD, entropy())[1]


def read_direct(raw: bytes) -> object:
    state = ratchet.start_responder(K, TRANSCRIPT, BEN_SPK.secret)
    return ratchet.decrypt(state, raw, day=TODAY, entropy=entropy())[1]


def make_request() -> bytes:
    return prekeys.seal_request(
        ADA.keys,
        **CARD,
        node_record=RECORD,
        name="ada",
        token=b"T" * 16,
        ts_ms=NOW,
        hello="it is me",
        to_account=BEN.account,
        to_intro=BEN.keys.intro_pub,
        entropy=entropy(),
    )


def read_request(raw: bytes) -> object:
    return prekeys.open_request(BEN.keys, raw, TODAY)


def make_intro() -> bytes:
    """Ada answers Ben, who asked."""
    made = prekeys.agree_as_initiator(
        ADA.keys, ek_seed=K, peer_cert=BEN.cert, peer_bundle=BEN_BUNDLE, old_session=None
    )
    state = ratchet.start_initiator(made.rk0, made.transcript, BEN_SPK.public, entropy())
    return prekeys.seal_intro(
        ADA.keys,
        **CARD,
        node_record=RECORD,
        ek_seed=K,
        spk_id=BEN_SPK.spk_id,
        old_session=None,
        first_message=ratchet.encrypt(state, PAYLOAD, entropy())[1],
        to_intro=BEN.keys.intro_pub,
        entropy=entropy(),
    )


def read_intro(raw: bytes) -> object:
    """As a node does: a session counts once its first message opens, a record by its own signature."""
    intro = prekeys.open_intro(BEN.keys, raw, TODAY)
    made = prekeys.agree_as_responder(BEN.keys, intro, BEN_SPK)
    state = ratchet.start_responder(made.rk0, made.transcript, BEN_SPK.secret)
    _, plain = ratchet.decrypt(state, intro.first_message, day=TODAY, entropy=entropy())
    return payload.decode(plain), parse_record(intro.node_record, AT)


def make_join_request() -> bytes:
    return joining.make_join_request(
        ADA.keys,
        room_id=ROOM,
        invite_seed=K,
        invite_id=INVITE,
        **CARD,
        node_record=RECORD,
        leaf=ADA.leaf,
        name="ada",
        ts_ms=NOW,
    )


LISTED = ops.make_create(
    ADA.keys,
    policy=ops.Policy(ops.Visibility.OPEN, 200),
    salt16=listing.seed_invite(K)[0],
    cert=ADA.cert,
    devices=ADA.devices,
    leaf=ADA.leaf,
    name="square",
    creator_name="ada",
    ts_ms=NOW,
)


def make_listing(**changes: Any) -> bytes:
    """Ben lists Ada's open room; `changes` replace what it says."""
    fields: dict[str, Any] = {
        "create": LISTED.raw, "seed": K, "name": "square", "count": 2, "node_records": [RECORD], "ts_ms": NOW,
        "cert": BEN.cert,
    }  # fmt: skip
    return listing.make_listing(BEN.keys, **{**fields, **changes})


def read_listing(raw: bytes) -> object:
    return listing.verify_listing(listing.parse_listing(raw))


def make_profile(**changes: Any) -> bytes:
    """Ada lists herself; `changes` replace what she says."""
    fields: dict[str, Any] = {
        "cert": ADA.cert, "devices": ADA.devices, "nickname": "Ada", "avatar": "a", "status": None,
        "listed": True, "ts_ms": NOW,
    }  # fmt: skip
    return profile_listing.make_profile(ADA.keys, **{**fields, **changes})


def read_profile(raw: bytes) -> object:
    return profile_listing.verify_profile(profile_listing.parse_profile(raw))


def read_op(raw: bytes) -> object:
    op = ops.parse_op(raw)
    ops.verify_op(op, ADA.keys.dsk_pub)
    return op, ops.card_of(op)


def read_ops(raw: bytes) -> object:
    return [read_op(op) for op in decode(raw, op_exchange._OPS)[1]]


def read_object(raw: bytes) -> object:
    content = Assembly().take(raw)
    if content is None:
        raise DecodeError("kept until the other parts come: nothing is taken yet")
    return content


def read_welcome_inner(raw: bytes) -> object:
    return read_welcome(decode(raw, array(literal(Inner.WELCOME), blob_upto(32 * 1024)))[1])


def read_welcome(content: bytes) -> object:
    return welcomes.open_welcome(BEN.keys, content)


def make_ephemeral(form: str) -> bytes:
    said: dict[str, Any] = {"ts_ms": NOW, "type": 1, "body": None, "entropy": entropy()}
    if form == "room":
        return ephemeral.seal_room_ephemeral(K, EPOCH, ADA.device, dsk_sk=ADA.keys.dsk_sk, **said)
    if form == "presence":
        return ephemeral.seal_presence(K, ADA.device, dsk_sk=ADA.keys.dsk_sk, **said)
    return ephemeral.seal_dm_ephemeral(K, ADA.device, **said)


def read_room_ephemeral(raw: bytes) -> object:
    return ephemeral.open_room_ephemeral(K, ephemeral.parse_ephemeral(raw), ADA.keys.dsk_pub)


def read_presence(raw: bytes) -> object:
    return ephemeral.open_presence(K, ephemeral.parse_ephemeral(raw), ADA.keys.dsk_pub)


def read_direct_ephemeral(raw: bytes) -> object:
    return ephemeral.open_dm_ephemeral(K, ephemeral.parse_ephemeral(raw), ADA.device)


INNERS = {
    "room message": Artefact(make_room_message(), read_room_message, Inner.ROOM_MESSAGE),
    "announce inner": Artefact(NEW_EPOCH.inner, read_announce_inner, Inner.ANNOUNCE),
    "direct message": Artefact(make_direct(), read_direct, Inner.DM),
    "contact request": Artefact(make_request(), read_request, Inner.CONTACT_REQUEST),
    "intro": Artefact(make_intro(), read_intro, Inner.INTRO),
    "join request": Artefact(
        make_join_request(), lambda raw: joining.parse_join_request(raw, INVITE_PK), Inner.JOIN_REQUEST
    ),
    "object part": Artefact(split(b"content")[0], read_object, Inner.OBJECT_PART),
    "welcome inner": Artefact(pack([8, SEALED_WELCOME]), read_welcome_inner, Inner.WELCOME),
    "listing": Artefact(make_listing(), read_listing, Inner.LISTING),
    "profile listing": Artefact(make_profile(), read_profile, Inner.PROFILE_LISTING),
    "ops": Artefact(pack([12, [OP.raw]]), read_ops, Inner.OPS),
    "room ephemeral": Artefact(make_ephemeral("room"), read_room_ephemeral, Inner.EPHEMERAL),
    "presence ephemeral": Artefact(make_ephemeral("presence"), read_presence, Inner.EPHEMERAL),
    "direct ephemeral": Artefact(make_ephemeral("direct"), read_direct_ephemeral, Inner.EPHEMERAL),
}
NAMES_ALONE = {Inner.OP_WANT}
"""Asks for ops by name: there is nothing in it to sign, and it is sealed by its channel alone."""


# -- envelopes, and what inners are made of -------------------------------------------------------


def make_envelope(inner: bytes, *, brief: bool = False) -> bytes:
    return CHANNEL.seal(inner, ts_ms=NOW, ttl_days=0 if brief else 35, ephemeral=brief, entropy=entropy())


def read_envelope(raw: bytes) -> bytes:
    env = envelope.parse(raw)
    verify_envelope(env)
    CHANNEL.verify(env)
    return CHANNEL.open(env)


PARTS = {
    "envelope": Artefact(make_envelope(INNERS["room message"].raw), read_envelope),
    "payload": Artefact(PAYLOAD, payload.decode),
    "op": Artefact(OP.raw, read_op),
    "certificate": Artefact(ADA.cert.raw, keys.parse_cert),
    "device list": Artefact(ADA.devices.raw, keys.parse_list),
    "prekey bundle": Artefact(ADA_BUNDLE.raw, lambda raw: prekeys.parse_bundle(raw, ADA.cert, TODAY)),
    "announce": Artefact(NEW_EPOCH.announce, read_announce),
    "slots": Artefact(NEW_EPOCH.slots, read_slots),
    "sealed welcome": Artefact(SEALED_WELCOME, read_welcome),
    "open welcome": Artefact(WELCOME.encode(), welcomes.parse_welcome),
    "node record": Artefact(RECORD, lambda raw: parse_record(raw, AT)),
}

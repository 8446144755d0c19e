"""Epochs: a new secret for a room, handed to exactly the devices of a signed roster (docs/crypto.md 3.7).

The announce is signed by its creator's device and commits to the secret (C), to the roster and to all slots.
A slot is the secret boxed under an agreement between the announce's one-time key (EK) and a device's leaf:
it needs no session, and one agreement a device. From the secret come the room's channel, the key of its
ephemerals and a first chain key for each device; then the secret is gone, and nothing here returns it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.clock import DAY_MS, HORIZON_DAYS
from node.crypto.chain import first_chain
from node.crypto.channel import Inner, room_channel
from node.crypto.ephemeral import ephemeral_key
from node.crypto.keys import Identity, split_signed
from node.crypto.labels import Label
from node.crypto.ops import MAX_PARENTS as MAX_HEADS, Leaf
from node.crypto.primitives import (
    BOX_OVERHEAD,
    KEY_BYTES,
    NONCE_BYTES,
    SIG_BYTES,
    Entropy,
    box_open,
    box_seal,
    dh,
    digest,
    kdf,
    same,
    sign,
    verify,
    x25519_public,
)
from node.errors import CryptoFault, DecodeError
from node.wire.codec import array, blob, blob_upto, decode, literal, many, pack, uint

MAX_SLOTS = 1_000
"""The largest room."""
MAX_SLOTS_BYTES = 64 * 1024
"""A slot is at most 56 bytes, the list's head 3."""
MAX_ANNOUNCE_BYTES = 1024
MAX_EPOCH_PARENTS = 4
RENEW_MS = 7 * DAY_MS
"""Older than this, the next sender makes a new epoch."""
LIFE_MS = 2 * RENEW_MS
"""Nobody sends under an older one: a quiet or divided room can speak while its renewal is under way."""
RECEIVE_MS = HORIZON_DAYS * DAY_MS
"""How long messages under an epoch that is no longer sent under are still accepted."""
REASON_CREATE = 1
REASON_ROSTER = 2
REASON_RENEWAL = 3
_KIND = 2
_BOX_BYTES = KEY_BYTES + BOX_OVERHEAD
_SLOT_NONCE = bytes(NONCE_BYTES)
"""Each slot key is used once."""

_ANNOUNCE = array(
    literal(_KIND),
    blob(16),
    blob(16),
    blob(32),
    uint(32),
    many(blob(16), MAX_EPOCH_PARENTS),
    many(blob(32), MAX_HEADS, least=1),
    blob(32),
    blob(32),
    blob(32),
    uint(63),
    uint(63),
    uint(8),
    uint(16),
    blob(32),
)
_SLOTS = many(array(uint(32), blob(_BOX_BYTES)), MAX_SLOTS, least=1)
_INNER = array(
    literal(Inner.ANNOUNCE), blob_upto(MAX_ANNOUNCE_BYTES, least=1), blob_upto(MAX_SLOTS_BYTES, least=1)
)


class SlotOmitted(CryptoFault):
    """The roster names this device, but no slot opens for it: ask for the epoch, and say so."""

    code = "epoch_slot_omitted"


class SplitEpoch(CryptoFault):
    """A slot holds another secret than the announce commits to: its creator gives out two."""

    code = "epoch_split"


@dataclass(frozen=True, slots=True)
class EpochAnnounce:
    """A parsed announce. `parents` are epoch16s, `heads` whole op ids, both sorted; times in ms.

    `commitment` is C, `ek_pub` EK, `epoch_id` 32 bytes. `reason` is one of REASON_*, unknown ones allowed.
    """

    raw: bytes = field(repr=False)
    epoch_id: bytes
    room_id: bytes
    creator_device: bytes
    salt: bytes = field(repr=False)
    gen: int
    parents: tuple[bytes, ...]
    heads: tuple[bytes, ...]
    roster_hash: bytes
    commitment: bytes = field(repr=False)
    ek_pub: bytes = field(repr=False)
    created_ms: int
    expires_ms: int
    reason: int
    n_slots: int
    slots_hash: bytes = field(repr=False)

    @property
    def epoch16(self) -> bytes:
        """The first 16 bytes of the id: how messages name the epoch."""
        return self.epoch_id[:16]


@dataclass(frozen=True, slots=True)
class EpochSecrets:
    """What is left of an epoch's secret: channel, ephemeral key, the first chain key of each device."""

    epoch_id: bytes
    epoch16: bytes
    channel_secret: bytes = field(repr=False)
    ephemeral_key: bytes = field(repr=False)
    chains: dict[bytes, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """An epoch just made: signed announce, packed slots, the inner `[2, announce, slots]`, the keys."""

    announce: bytes = field(repr=False)
    slots: bytes = field(repr=False)
    inner: bytes = field(repr=False)
    epoch: EpochSecrets
    parsed: EpochAnnounce


def roster_hash(device_ids: Iterable[bytes]) -> bytes:
    """Return the 32-byte hash of a roster: of its device ids in order."""
    return digest(Label.ROSTER, b"".join(sorted(device_ids)))


def create_epoch(
    identity: Identity,
    *,
    room_id: bytes,
    gen: int,
    parents: Sequence[bytes],
    heads: Sequence[bytes],
    members: Sequence[tuple[bytes, Leaf]],
    now_ms: int,
    reason: int,
    entropy: Entropy,
) -> NewEpoch:
    """Make an epoch for exactly `members` (device id and leaf), who are the roster at `heads`.

    `gen` is one above the highest of the parents, 1 for a room's first; `heads` are whole op ids, at most 16;
    `now_ms` is mesh time. Costs one agreement a member.
    """
    roster = sorted(members, key=lambda member: member[0])
    devices = [device for device, _ in roster]
    assert 1 <= len(roster) <= MAX_SLOTS and len(set(devices)) == len(devices)
    salt, created = entropy(32), now_ms
    secret = _new_secret(identity, salt, created, entropy)
    named = roster_hash(devices)
    commitment = _commitment(secret, room_id, identity.device_id, salt, named)
    ek_secret = entropy(KEY_BYTES)
    ek_pub = x25519_public(ek_secret)
    salted = salt + commitment + room_id
    boxes: list[Any] = [
        [leaf.leaf_id, _slot(secret, (ek_secret, ek_pub), salted, device, leaf)] for device, leaf in roster
    ]
    slots = pack(boxes)
    head: list[Any] = [
        _KIND,
        room_id,
        identity.device_id,
        salt,
        gen,
        sorted(set(parents)),
        sorted(set(heads)),
    ]
    times = [created, created + LIFE_MS]
    body = pack([*head, named, commitment, ek_pub, *times, reason, len(boxes), digest(Label.SLOTS, slots)])
    raw = body + sign(Label.EPSIG, identity.dsk_sk, body)
    parsed = parse_announce(raw)
    return NewEpoch(raw, slots, announce_inner(raw, slots), _derive(secret, parsed.epoch_id, devices), parsed)


def parse_announce(raw: bytes) -> EpochAnnounce:
    """Read an announce; shape only, the signature is `verify_announce`'s. Raises DecodeError."""
    body, _ = split_signed(raw, 1, MAX_ANNOUNCE_BYTES)
    _, room_id, creator, salt, gen, parents, heads, *rest = decode(body, _ANNOUNCE)
    named, commitment, ek_pub, created, expires, reason, n_slots, slots_hash = rest
    if any(items != sorted(set(items)) for items in (parents, heads)):
        raise DecodeError("an announce whose parents or heads are not in order")
    if not created < expires <= created + RECEIVE_MS or not 1 <= n_slots <= MAX_SLOTS:
        raise DecodeError("an announce that lives too long or has too many slots")
    if gen < 1 or (gen == 1) != (not parents):
        raise DecodeError("an announce whose generation does not fit its parents")
    place = (raw, digest(Label.EPID, raw), room_id, creator, salt, gen, tuple(parents), tuple(heads))
    return EpochAnnounce(*place, named, commitment, ek_pub, created, expires, reason, n_slots, slots_hash)


def verify_announce(announce: EpochAnnounce, dsk_pub: bytes) -> None:
    """Raise CryptoFault unless the device whose signing key this is signed `announce`."""
    verify(Label.EPSIG, dsk_pub, announce.raw[:-SIG_BYTES], announce.raw[-SIG_BYTES:])


def check_generation(announce: EpochAnnounce, known: Mapping[bytes, int]) -> None:
    """Raise CryptoFault if a generation does not fit those of its parents, as far as they are known.

    `known` is epoch16 to generation. It is one above the highest parent's, so that nobody jumps the queue.
    """
    gens = [known[parent] for parent in announce.parents if parent in known]
    whole = len(gens) == len(announce.parents)
    highest = max(gens, default=0)
    if announce.gen <= highest or (whole and announce.gen != highest + 1):
        raise CryptoFault("an announce whose generation does not follow its parents'")


def announce_inner(announce: bytes, slots: bytes) -> bytes:
    """Return the inner `[2, announce, slots]` of a signed announce and its packed slots."""
    return pack([int(Inner.ANNOUNCE), announce, slots])


def parse_announce_inner(inner: bytes) -> tuple[EpochAnnounce, bytes]:
    """Split an inner `[2, announce, slots]` into parsed announce and packed slots; raises DecodeError."""
    _, raw, slots = decode(inner, _INNER, max_bytes=MAX_ANNOUNCE_BYTES + MAX_SLOTS_BYTES + 16)
    return parse_announce(raw), slots


def open_epoch(
    announce: EpochAnnounce,
    slots: bytes,
    *,
    device_id: bytes,
    leaf_secrets: Mapping[int, bytes],
    device_ids: Iterable[bytes],
) -> EpochSecrets:
    """Open this device's slot of a verified announce; `device_ids` is the roster at the announce's heads.

    Raises:
        DecodeError: If the slots are malformed.
        SlotOmitted: If the roster names this device and its slot is missing, foreign or does not open.
        SplitEpoch: If the slot holds another secret than the one committed to.
        CryptoFault: If slots or roster are not those of the announce, or do not name this device.
    """
    devices = sorted(device_ids)
    if not same(digest(Label.SLOTS, slots), announce.slots_hash):
        raise CryptoFault("slots that are not those of the announce")
    if not same(roster_hash(devices), announce.roster_hash):
        raise CryptoFault("an announce for another roster than that of its heads")
    if device_id not in devices:
        raise CryptoFault("an epoch that is not for this device")
    secret = _open_slot(announce, slots, devices, device_id, leaf_secrets)
    expected = _commitment(
        secret, announce.room_id, announce.creator_device, announce.salt, announce.roster_hash
    )
    if not same(expected, announce.commitment):
        raise SplitEpoch("a slot with another secret than the announce commits to")
    return _derive(secret, announce.epoch_id, devices)


def _slot(secret: bytes, ek: tuple[bytes, bytes], salted: bytes, device_id: bytes, leaf: Leaf) -> bytes:
    """Box the secret for one leaf; an unusable leaf gets a dead slot, so that it cannot hold up a rekey."""
    ek_secret, ek_pub = ek
    try:
        shared = dh(ek_secret, leaf.public)
    except CryptoFault:
        return bytes(_BOX_BYTES)
    return box_seal(secret, _SLOT_NONCE, _slot_key(shared, salted, device_id, leaf.leaf_id, ek_pub))


def _open_slot(
    announce: EpochAnnounce,
    packed: bytes,
    devices: Sequence[bytes],
    device_id: bytes,
    leaf_secrets: Mapping[int, bytes],
) -> bytes:
    slots = decode(packed, _SLOTS, max_bytes=MAX_SLOTS_BYTES)
    if len(slots) != announce.n_slots:
        raise CryptoFault("another number of slots than the announce says")
    if len(slots) != len(devices):
        raise SlotOmitted("fewer or more slots than the roster has devices")
    leaf_id, box = slots[devices.index(device_id)]
    leaf_secret = leaf_secrets.get(leaf_id)
    if leaf_secret is None:
        raise SlotOmitted("the slot of this device is for a leaf it does not have")
    salted = announce.salt + announce.commitment + announce.room_id
    key = _slot_key(dh(leaf_secret, announce.ek_pub), salted, device_id, leaf_id, announce.ek_pub)
    try:
        return box_open(box, _SLOT_NONCE, key)
    except CryptoFault as exc:
        raise SlotOmitted("the slot of this device does not open") from exc


def _new_secret(identity: Identity, salt: bytes, created_ms: int, entropy: Entropy) -> bytes:
    """Mix fresh randomness with the device's seed: neither a bad source nor a stolen seed is enough."""
    fresh = entropy(32)
    return kdf(Label.ES, identity.device_seed, fresh + salt + created_ms.to_bytes(8, "big"), 32)


def _commitment(secret: bytes, room_id: bytes, creator: bytes, salt: bytes, named: bytes) -> bytes:
    return kdf(Label.ESCOMMIT, secret, room_id + creator + salt + named, 32)


def _slot_key(shared: bytes, salted: bytes, device_id: bytes, leaf_id: int, ek_pub: bytes) -> bytes:
    return kdf(Label.SLOT, shared, salted + device_id + leaf_id.to_bytes(4, "big") + ek_pub, 32)


def _derive(secret: bytes, epoch_id: bytes, devices: Sequence[bytes]) -> EpochSecrets:
    return EpochSecrets(
        epoch_id,
        epoch_id[:16],
        room_channel(secret, epoch_id).secret,
        ephemeral_key(secret, epoch_id),
        {device: first_chain(secret, epoch_id, device) for device in devices},
    )

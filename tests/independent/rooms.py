"""Epochs, room messages, ephemerals, joining: docs/crypto.md 3.7 to 3.10."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.independent.boxes import box_open, box_seal, seal_open, seal_to
from tests.independent.curves import ed25519_public, x25519, x25519_public
from tests.independent.notation import h, kdf, sig, u32, u64, uuid8
from tests.independent.people import Person
from tests.independent.sessions import chain_step
from tests.independent.spelling import read, read_signed, write

NONCE_OF_SLOTS = bytes(24)
DEAD_SLOT = bytes(48)
"""What a member gets whose leaf nothing can be agreed with."""


@dataclass(frozen=True)
class NewEpoch:
    """An announce with its slots, the epoch's id, and its secret."""

    announce: bytes
    slots: bytes
    epoch_id: bytes
    secret: bytes

    @property
    def inner(self) -> bytes:
        return write([2, self.announce, self.slots])


@dataclass(frozen=True)
class Place:
    """What an epoch is for: the room, its generation and parents, the heads of the log, when and why."""

    room_id: bytes
    gen: int
    parents: list[bytes]
    heads: list[bytes]
    created_ms: int
    expires_ms: int
    reason: int


def roster_hash(devices: list[bytes]) -> bytes:
    return h("roster", b"".join(sorted(devices)))


def new_epoch(
    who: Person, place: Place, members: list[tuple[bytes, int, bytes]], draws: tuple[bytes, bytes, bytes]
) -> NewEpoch:
    """`members` are (device id, leaf id, leaf), `draws` the salt, the fresh 32 bytes and EK's secret."""
    salt, fresh, ek = draws
    members = sorted(members)
    secret = kdf("es", who.device_seed, fresh + salt + u64(place.created_ms))
    named, ek_pub = roster_hash([device for device, _, _ in members]), x25519_public(ek)
    commitment = kdf("escommit", secret, place.room_id + who.device_id + salt + named)
    slots = []
    for device, leaf_id, leaf in members:
        shared = x25519(ek, leaf)
        key = _slot_key(shared, salt + commitment + place.room_id, device, leaf_id, ek_pub)
        slots.append([leaf_id, box_seal(secret, NONCE_OF_SLOTS, key) if any(shared) else DEAD_SLOT])
    packed = write(slots)
    head = [2, place.room_id, who.device_id, salt, place.gen, sorted(place.parents), sorted(place.heads)]
    times = [place.created_ms, place.expires_ms, place.reason]
    body = write([*head, named, commitment, ek_pub, *times, len(slots), h("slots", packed)])
    announce = body + sig("epsig", who.device_seed, body)
    return NewEpoch(announce, packed, h("epid", announce), secret)


def open_slot(announce: bytes, slots: bytes, at: int, device: bytes, leaf_secret: bytes) -> bytes:
    """Return the epoch's secret out of slot number `at`, checked against the commitment."""
    _, room, creator, salt, _, _, _, named, commitment, ek, _, _, _, _, hashed = read_signed(announce, 1)[0]
    if h("slots", slots) != hashed:
        raise ValueError("other slots than announced")
    leaf_id, box = read(slots)[at]
    key = _slot_key(x25519(leaf_secret, ek), salt + commitment + room, device, leaf_id, ek)
    secret = box_open(box, NONCE_OF_SLOTS, key)
    if kdf("escommit", secret, room + creator + salt + named) != commitment:
        raise ValueError("another secret than committed to")
    return secret


def first_chain(secret: bytes, epoch_id: bytes, device: bytes) -> bytes:
    return kdf("schain", secret, epoch_id + device)


def payload(head: list[Any], kind: int, body: Any) -> bytes:
    """protocol.md 9; `head` is mid, ts_ms, lamport, refs, refs_before, leaf."""
    return write([1, *head, kind, body])


def seal_message(
    who: Person, chain: bytes, core: list[Any], plain: bytes, nonce: bytes
) -> tuple[bytes, bytes]:
    """Return (the next chain key, inner); `core` is without its version."""
    after, seed = chain_step("rchain", chain)
    packed = write([1, *core])
    mk = kdf("rmk", seed, h("rhdr", packed))
    kc, ct = kdf("rkc", mk, b""), box_seal(plain, nonce, mk)
    return after, write([1, packed, kc, nonce, ct, sig("sigroom", who.device_seed, packed + kc + nonce + ct)])


def open_message(first: bytes, inner: bytes) -> tuple[list[Any], bytes]:
    """Return (core, payload) of a message of the chain that begins with `first`."""
    _, packed, kc, nonce, ct, _ = read(inner)
    core, key, seed = read(packed), first, b""
    for _ in range(core[5] + 1):
        key, seed = chain_step("rchain", key)
    mk = kdf("rmk", seed, h("rhdr", packed))
    if kdf("rkc", mk, b"") != kc:
        raise ValueError("not the key committed to")
    return core, box_open(ct, nonce, mk)


def ephemeral(
    key: bytes, epoch16: bytes, device: bytes, said: list[Any], nonce: bytes, signer: bytes | None
) -> bytes:
    ct = box_seal(write(said), nonce, key)
    signature = sig("sigeph", signer, epoch16 + device + nonce + ct) if signer else None
    return write([10, epoch16, device, nonce, ct, signature])


def open_ephemeral(key: bytes, inner: bytes) -> list[Any]:
    _, _, _, nonce, ct, _ = read(inner)
    return list(read(box_open(ct, nonce, key)))


def invite_seed_key(seed: bytes) -> bytes:
    """Return the Ed25519 seed of an invite."""
    return kdf("invkey", seed, b"")


def join_request(who: Person, seed: bytes, fields: list[Any]) -> bytes:
    """`fields` is the body without its version; room id, leaf and time are its 1st, 7th and 9th."""
    room, (leaf_id, leaf), ts_ms = fields[0], fields[6], fields[8]
    body = write([1, *fields])
    claim = room + who.account + who.device_id + u32(leaf_id) + leaf + u64(ts_ms)
    rest = body + sig("invite", invite_seed_key(seed), claim)
    return write([6, rest + sig("joinreq", who.device_seed, rest)])


def invite_key(seed: bytes) -> bytes:
    return ed25519_public(invite_seed_key(seed))


def standing_invite(seed: bytes) -> bytes:
    """Return the id of an open room's standing invite, which its first op has as its salt."""
    return uuid8(invite_key(seed))


def listing(who: Person, fields: list[Any]) -> bytes:
    """`fields` is the body without its version: create op, seed, name, count, records, time, certificate."""
    body = write([1, *fields])
    return write([9, body + sig("listing", who.device_seed, body)])


def join_order(request: bytes, greeters: list[bytes]) -> list[bytes]:
    """Return whose turn it is to answer, first to last."""
    return sorted(greeters, key=lambda device: h("joinrank", h("inner", request) + device))


def welcome(intro_pub: bytes, fields: list[Any], ephemeral_secret: bytes) -> bytes:
    return seal_to(intro_pub, write([1, *fields]), ephemeral_secret)


def open_welcome(who: Person, content: bytes) -> list[Any]:
    return list(read(seal_open(who.intro_secret, content)))[1:]


def _slot_key(shared: bytes, salted: bytes, device: bytes, leaf_id: int, ek: bytes) -> bytes:
    return kdf("slot", shared, salted + device + u32(leaf_id) + ek)

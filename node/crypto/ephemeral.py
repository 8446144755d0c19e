"""Decides how typing and presence are sealed: short-lived, never touching a chain (docs/crypto.md 3.9).

    ct    = secretbox([ts_ms, type, body], nonce24, key)
    inner = [10, epoch16, dev16, nonce24, ct, SIG(sigeph, DSK, epoch16 || dev16 || nonce || ct) | nil]

Room: key = KDF(eph, ES, epoch_id), signed. Presence: epoch16 zero, key = KDF(ephdm, CS, ""), signed.
Direct message: the same key and zero epoch16, unsigned (nil), so that it stays deniable. One key an epoch:
these have no forward secrecy inside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from node.crypto.labels import Label
from node.crypto.primitives import (
    BOX_OVERHEAD,
    NONCE_BYTES,
    SIG_BYTES,
    box_open,
    box_seal,
    kdf,
    same,
    sign,
    verify,
)
from node.errors import CryptoFault
from node.wire import codec
from node.wire.codec import array, blob, blob_upto, literal, optional, uint

TYPE = 10
"""First field of the inner structure."""
MAX_SKEW_MS = 120_000
"""An ephemeral further than this from mesh time says nothing about now, and may be a replay."""
MAX_BODY_BYTES = 4 * 1024
"""Typing takes 40 bytes, presence under 1 KiB; no ephemeral needs a larger bucket than 8 KiB."""
NO_EPOCH = bytes(16)
"""The epoch16 of what belongs to no room."""

_INNER = array(
    literal(TYPE),
    blob(16),
    blob(16),
    blob(NONCE_BYTES),
    blob_upto(MAX_BODY_BYTES + BOX_OVERHEAD, least=BOX_OVERHEAD),
    optional(blob(SIG_BYTES)),
)
_PLAIN = array(uint(63), uint(8), lambda _body: True)


@dataclass(frozen=True, slots=True)
class EphemeralInner:
    """One parsed ephemeral; `sig` is None for a direct message."""

    epoch16: bytes
    device16: bytes
    nonce: bytes
    ct: bytes = field(repr=False)
    sig: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """What an ephemeral says; the receiver takes it only if `ts_ms` is the newest of (device, type)."""

    ts_ms: int
    type: int
    body: Any


def ephemeral_key(es: bytes, epoch_id: bytes) -> bytes:
    """Return the 32-byte ephemeral key of a room epoch."""
    return kdf(Label.EPH, es, epoch_id, 32)


def ephemeral_dm_key(cs: bytes) -> bytes:
    """Return the 32-byte ephemeral key of a direct message or presence channel with secret `cs`."""
    return kdf(Label.EPHDM, cs, b"", 32)


def is_timely(ts_ms: int, mesh_ms: int) -> bool:
    """Say whether an ephemeral of `ts_ms` may be taken at mesh time `mesh_ms`."""
    return abs(mesh_ms - ts_ms) <= MAX_SKEW_MS


def parse_ephemeral(inner: bytes) -> EphemeralInner:
    """Read the inner bytes of an ephemeral; nothing is verified yet. Raises DecodeError."""
    _, epoch16, device16, nonce, ct, sig = codec.decode(inner, _INNER, max_bytes=MAX_BODY_BYTES + 512)
    return EphemeralInner(epoch16, device16, nonce, ct, sig)


def seal_room_ephemeral(
    key: bytes,
    epoch16: bytes,
    device_id: bytes,
    *,
    ts_ms: int,
    type: int,
    body: codec.Value,
    dsk_sk: bytes,
    entropy: Callable[[int], bytes],
) -> bytes:
    """Return the inner bytes of a signed room ephemeral; `key` is `ephemeral_key` of the epoch."""
    assert epoch16 != NO_EPOCH
    return _seal(
        key, epoch16, device_id, plain=codec.pack([ts_ms, type, body]), dsk_sk=dsk_sk, entropy=entropy
    )


def open_room_ephemeral(key: bytes, msg: EphemeralInner, dsk_pub: bytes) -> Ephemeral:
    """Check the device's signature and open; the caller has looked key and device up by `msg`'s ids.

    Raises:
        CryptoFault: Signature or box does not hold, or it is not a room's.
        DecodeError: What the box holds is malformed.
    """
    if same(msg.epoch16, NO_EPOCH):
        raise CryptoFault("ephemeral names no epoch")
    return _open_signed(key, msg, dsk_pub)


def seal_presence(
    key: bytes,
    device_id: bytes,
    *,
    ts_ms: int,
    type: int,
    body: codec.Value,
    dsk_sk: bytes,
    entropy: Callable[[int], bytes],
) -> bytes:
    """Return the inner bytes of a signed presence ephemeral; `key` is `ephemeral_dm_key` of its channel."""
    return _seal(
        key, NO_EPOCH, device_id, plain=codec.pack([ts_ms, type, body]), dsk_sk=dsk_sk, entropy=entropy
    )


def open_presence(key: bytes, msg: EphemeralInner, dsk_pub: bytes) -> Ephemeral:
    """Check the device's signature and open a presence ephemeral; raises as `open_room_ephemeral`."""
    if not same(msg.epoch16, NO_EPOCH):
        raise CryptoFault("presence names an epoch")
    return _open_signed(key, msg, dsk_pub)


def seal_dm_ephemeral(
    key: bytes,
    device_id: bytes,
    *,
    ts_ms: int,
    type: int,
    body: codec.Value,
    entropy: Callable[[int], bytes],
) -> bytes:
    """Return the inner bytes of an unsigned direct-message ephemeral; `key` is `ephemeral_dm_key`."""
    return _seal(
        key, NO_EPOCH, device_id, plain=codec.pack([ts_ms, type, body]), dsk_sk=None, entropy=entropy
    )


def open_dm_ephemeral(key: bytes, msg: EphemeralInner, peer_device: bytes) -> Ephemeral:
    """Open what the other side of a direct-message session sent; raises as `open_room_ephemeral`.

    Both sides hold the key, so one that names our own device has been reflected and is refused.
    """
    if msg.sig is not None or not same(msg.epoch16, NO_EPOCH):
        raise CryptoFault("not a direct-message ephemeral")
    if not same(msg.device16, peer_device):
        raise CryptoFault("ephemeral of another device")
    return _open(key, msg)


def _seal(
    key: bytes,
    epoch16: bytes,
    device_id: bytes,
    *,
    plain: bytes,
    dsk_sk: bytes | None,
    entropy: Callable[[int], bytes],
) -> bytes:
    assert len(plain) <= MAX_BODY_BYTES
    nonce = entropy(NONCE_BYTES)
    ct = box_seal(plain, nonce, key)
    sig = None
    if dsk_sk is not None:
        sig = sign(Label.SIGEPH, dsk_sk, b"".join((epoch16, device_id, nonce, ct)))
    return codec.pack([TYPE, epoch16, device_id, nonce, ct, sig])


def _open_signed(key: bytes, msg: EphemeralInner, dsk_pub: bytes) -> Ephemeral:
    if msg.sig is None:
        raise CryptoFault("ephemeral is not signed")
    signed = b"".join((msg.epoch16, msg.device16, msg.nonce, msg.ct))
    verify(Label.SIGEPH, dsk_pub, signed, msg.sig)
    return _open(key, msg)


def _open(key: bytes, msg: EphemeralInner) -> Ephemeral:
    plain = box_open(msg.ct, msg.nonce, key)
    ts_ms, number, body = codec.decode(plain, _PLAIN, max_bytes=MAX_BODY_BYTES)
    return Ephemeral(ts_ms, number, body)

"""Decides how a room message is sealed, who wrote it, and whether it opens (docs/crypto.md 3.8).

    core  = [1, kind, room_id16, epoch16, dev16, idx u32, prev16, view16]
    CK' || seed = KDF(rchain, CK, 0x01, 64)
    mk    = KDF(rmk, seed, H(rhdr, core), 32)              kc = KDF(rkc, mk, "", 32)
    ct    = secretbox(payload, nonce24, mk)
    inner = [1, core, kc, nonce24, ct, SIG(sigroom, DSK, core || kc || nonce || ct)]

One box and one signature a message, whatever the size of the room. The key says only who may read; the
author is the device whose signature `verify` has checked, so `verify` comes before `open_message`. `kc`
commits to the key, because a bare secretbox can be made to open under two.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from node.crypto import chain as chains
from node.crypto.chain import RecvChain, SendChain
from node.crypto.labels import Label
from node.crypto.primitives import (
    BOX_OVERHEAD,
    NONCE_BYTES,
    box_open,
    box_seal,
    digest,
    kdf,
    same,
    sign,
    verify as verify_signature,
)
from node.errors import CryptoFault
from node.values import Value
from node.wire import codec
from node.wire.codec import U32, Blob16, Blob24, Blob32, Blob64, Layout, Record

TYPE = 1
"""First field of the inner structure."""
MAX_BYTES = 32 * 1024
"""The largest bucket of an envelope."""
MAX_CORE_BYTES = 128
"""Five ids of 16 bytes and three small numbers take at most 95."""


class Kind(IntEnum):
    """What the payload of a room message is."""

    MESSAGE = 1
    OP = 2


class Core(Record, frozen=True, tag=1):
    """The signed and key-bound header: 16-byte ids, `index` below 2^32.

    `prev16` names the device's previous inner in this epoch (zero at first), `view16` the newest op it had
    applied.
    """

    kind: Kind
    room: Blob16
    epoch16: Blob16
    device16: Blob16
    index: U32
    prev16: Blob16
    view16: Blob16


class _Inner(Record, frozen=True, tag=TYPE):
    """What is posted."""

    core: Annotated[bytes, Meta(min_length=1, max_length=MAX_CORE_BYTES)]
    kc: Blob32
    nonce: Blob24
    ct: Annotated[bytes, Meta(min_length=BOX_OVERHEAD, max_length=MAX_BYTES)]
    sig: Blob64


_CORE = Layout(Core, max_bytes=MAX_CORE_BYTES)
_INNER = Layout(_Inner, max_bytes=MAX_BYTES)


class RoomInner(Value, frozen=True):
    """One parsed room message; `inner_hash` is H(inner, its bytes), 32 bytes."""

    core: Core
    core_bytes: bytes
    kc: bytes
    nonce: bytes
    ct: bytes
    sig: bytes
    inner_hash: bytes

    @property
    def hash16(self) -> bytes:
        """What the next message of this device carries as `prev16`."""
        return self.inner_hash[:16]


def seal(
    chain: SendChain,
    *,
    kind: Kind,
    room_id: bytes,
    epoch16: bytes,
    device_id: bytes,
    view16: bytes,
    payload: bytes,
    dsk_sk: bytes,
    entropy: Callable[[int], bytes],
) -> tuple[SendChain, bytes]:
    """Return (the chain after this message, the inner bytes); the chain is stored before they leave.

    One secretbox and one signature. `dsk_sk` is the 64-byte device signing key.
    """
    assert chain.index < 1 << 32
    core = codec.pack(Core(kind, room_id, epoch16, device_id, chain.index, chain.prev16, view16))
    key, seed = chains.step(Label.RCHAIN, chain.key)
    mk = _message_key(seed, core)
    kc = kdf(Label.RKC, mk, b"", 32)
    nonce = entropy(NONCE_BYTES)
    ct = box_seal(payload, nonce, mk)
    signature = sign(Label.SIGROOM, dsk_sk, b"".join((core, kc, nonce, ct)))
    inner = codec.pack(_Inner(core, kc, nonce, ct, signature))
    return SendChain(key, chain.index + 1, digest(Label.INNER, inner)[:16]), inner


def parse(inner: bytes) -> RoomInner:
    """Read the inner bytes of a room message; nothing is verified yet. Raises DecodeError."""
    read = _INNER.decode(inner)
    core, hashed = _CORE.decode(read.core), digest(Label.INNER, inner)
    return RoomInner(core, read.core, read.kc, read.nonce, read.ct, read.sig, hashed)


def verify(msg: RoomInner, dsk_pub: bytes) -> None:
    """Raise CryptoFault unless the device with this signing key wrote `msg`."""
    signed = b"".join((msg.core_bytes, msg.kc, msg.nonce, msg.ct))
    verify_signature(Label.SIGROOM, dsk_pub, signed, msg.sig)


def open_message(chain: RecvChain, msg: RoomInner, *, day: int) -> tuple[RecvChain, bytes]:
    """Return (the chain after this message, its payload); call `verify` first. `day` dates skipped seeds.

    Raises:
        AlreadyConsumed: Its index was opened or given up before.
        CryptoFault: It is too far ahead, or does not open under its own key.
    """
    after, seed = chains.seek(Label.RCHAIN, chain, msg.core.index, day=day)
    mk = _message_key(seed, msg.core_bytes)
    if not same(kdf(Label.RKC, mk, b"", 32), msg.kc):
        raise CryptoFault("message key is not the one committed to")
    return after, box_open(msg.ct, msg.nonce, mk)


def key_of(chain: RecvChain, msg: RoomInner, *, day: int) -> bytes:
    """Return the 32-byte key of a message that opened, from the chain before it: for rooms that keep it."""
    return _message_key(chains.seek(Label.RCHAIN, chain, msg.core.index, day=day)[1], msg.core_bytes)


def _message_key(seed: bytes, core: bytes) -> bytes:
    return kdf(Label.RMK, seed, digest(Label.RHDR, core), 32)

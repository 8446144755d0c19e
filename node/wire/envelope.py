"""The sealed unit that nodes gossip and hold: its outside, byte for byte (docs/protocol.md section 2).

    ver u8 = 1 | kind u8 | ts_ms u64 | ttl_days u8 | rk 32 | sig 64 | body

Everything a stranger may know of a message is on this page. The signature, and what is inside the body,
are the business of docs/crypto.md 3.3 (node/crypto/channel.py).
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from node.clock import DAY_MS, HORIZON_DAYS
from node.errors import DecodeError
from node.values import Value

VERSION = 1
KEPT = 0
"""Kind of an envelope that is held for the absent, 1 to 35 days."""
EPHEMERAL = 1
"""Kind of an envelope that is gossiped while fresh and never held: its ttl is 0."""

BUCKETS = (512, 1024, 2048, 4096, 8192, 16384, 32768)
"""The only sizes a padded inner has, so that an envelope's size tells little of what is in it."""
HEADER_BYTES = 107
OVERHEAD = HEADER_BYTES + 24 + 16
"""What surrounds the padded inner: the header, the box's nonce and its authenticator."""
MAX_BYTES = OVERHEAD + BUCKETS[-1]
MAX_TS_MS = DAY_MS * (1 << 32) - 1
"""The day number is a u32 wherever it is used; every such time also fits SQLite's integers."""

_SIZES = frozenset(OVERHEAD + bucket for bucket in BUCKETS)
_HEAD = Struct(">BBQB32s")
_HEAD_BYTES = _HEAD.size


class Envelope(Value, frozen=True):
    """One sealed envelope of well-formed outside; its signature is not checked yet.

    `rk` is the 32-byte posting key, `sig` 64 bytes, `body` 40 bytes longer than a bucket, `eid` the 32-byte
    id that is recomputed on arrival and never carried.
    """

    raw: bytes
    kind: int
    ts_ms: int
    ttl_days: int
    rk: bytes
    sig: bytes
    body: bytes
    eid: bytes

    @property
    def signed(self) -> bytes:
        """The bytes that the signature covers: everything but itself."""
        return self.raw[:_HEAD_BYTES] + self.raw[HEADER_BYTES:]

    @property
    def expires_ms(self) -> int:
        """When a holder may drop it, in UNIX milliseconds; its own time for an ephemeral one."""
        return self.ts_ms + self.ttl_days * DAY_MS


def head(kind: int, ts_ms: int, ttl_days: int, rk: bytes) -> bytes:
    """Return the 43 bytes before the signature."""
    assert 0 <= ts_ms <= MAX_TS_MS and _kind_and_ttl_agree(kind, ttl_days) and len(rk) == 32
    return _HEAD.pack(VERSION, kind, ts_ms, ttl_days, rk)


def bucket_for(size: int) -> int:
    """Return the smallest bucket that holds `size` bytes and at least one byte of padding.

    `size` is at most 32,767: what is larger travels as an Object, in parts.
    """
    for bucket in BUCKETS:
        if size < bucket:
            return bucket
    raise AssertionError("an inner over the largest bucket travels as an Object")


def parse(raw: bytes) -> Envelope:
    """Read the outside of an envelope, in a few comparisons and one hash.

    Raises:
        DecodeError: If the size is no bucket's, the version or kind unknown, or the time or ttl impossible.
    """
    if len(raw) not in _SIZES:
        raise DecodeError("an envelope of no known size")
    version, kind, ts_ms, ttl_days, rk = _HEAD.unpack_from(raw)
    if version != VERSION:
        raise DecodeError("an envelope of an unknown version")
    if not _kind_and_ttl_agree(kind, ttl_days):
        raise DecodeError("an envelope of an unknown kind, or whose ttl does not fit its kind")
    if ts_ms > MAX_TS_MS:
        raise DecodeError("an envelope from an impossible time")
    sig, body = raw[_HEAD_BYTES:HEADER_BYTES], raw[HEADER_BYTES:]
    return Envelope(raw, kind, ts_ms, ttl_days, rk, sig, body, blake2b(raw, digest_size=32).digest())


def _kind_and_ttl_agree(kind: int, ttl_days: int) -> bool:
    if kind == EPHEMERAL:
        return ttl_days == 0
    return kind == KEPT and 1 <= ttl_days <= HORIZON_DAYS

"""Where a node can be reached, said by the node itself (docs/protocol.md section 7).

    record = [1, node_key, addresses, roles, seq, expires_day] || SIG(noderec, node key, the array)

Records travel inside encrypted rooms and first contacts, never in the clear of the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.clock import Instant, day_of
from node.crypto.labels import Label
from node.crypto.primitives import KEY_BYTES, SIG_BYTES, ed25519_keypair, sign, verify
from node.errors import CryptoFault, DecodeError
from node.wire.codec import array, blob, decode, literal, many, pack, string, uint
from node.wire.frames import MAX_ADDRESS_BYTES, MAX_ADDRESSES, pack_roles, unpack_roles

MAX_BYTES = 4 + KEY_BYTES + MAX_ADDRESSES * (MAX_ADDRESS_BYTES + 2) + 32 + SIG_BYTES
MAX_AGE_DAYS = 7
"""An address older than that is more likely somebody else's than ours."""
_VERSION = 1
_SHAPE = array(
    literal(_VERSION),
    blob(KEY_BYTES),
    many(string(MAX_ADDRESS_BYTES, least=1), MAX_ADDRESSES),
    uint(8),
    uint(32),
    uint(32),
)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A verified record: `node_key` is 32 bytes, `seq` rises with each change."""

    node_key: bytes
    addresses: tuple[str, ...]
    roles: frozenset[str]
    seq: int
    expires_day: int
    raw: bytes = field(repr=False)


def make_record(
    node_seed: bytes, *, addresses: tuple[str, ...], roles: frozenset[str], seq: int, now: Instant
) -> bytes:
    """Return our own signed record, valid for 7 days; only the first 4 addresses fit."""
    node_key, secret = ed25519_keypair(node_seed)
    fitting = tuple(a for a in addresses if 0 < len(a.encode()) <= MAX_ADDRESS_BYTES)[:MAX_ADDRESSES]
    expires_day = day_of(now.wall_ms) + MAX_AGE_DAYS
    body = pack([_VERSION, node_key, fitting, pack_roles(roles), seq, expires_day])
    return body + sign(Label.NODEREC, secret, body)


def parse_record(raw: bytes, now: Instant) -> NodeRecord:
    """Read and verify a record.

    Raises:
        DecodeError: If it is not of this form.
        CryptoFault: If the signature does not hold, it has expired, or claims to live longer than 7 days.
    """
    record = read_record(raw)
    check_record(record)
    if not in_time(record, now):
        raise CryptoFault("a node record out of its time")
    return record


def read_record(raw: bytes) -> NodeRecord:
    """Read a record that nothing has proven yet; raises DecodeError if it is not of this form."""
    if not SIG_BYTES < len(raw) <= MAX_BYTES:
        raise DecodeError("a node record of an impossible size")
    _, node_key, addresses, roles, seq, expires_day = decode(raw[:-SIG_BYTES], _SHAPE, max_bytes=MAX_BYTES)
    return NodeRecord(node_key, tuple(addresses), unpack_roles(roles), seq, expires_day, raw)


def check_record(record: NodeRecord) -> None:
    """Raise CryptoFault unless a record is signed by the node that it speaks of."""
    verify(Label.NODEREC, record.node_key, record.raw[:-SIG_BYTES], record.raw[-SIG_BYTES:])


def in_time(record: NodeRecord, now: Instant) -> bool:
    """Whether a record holds today: it has not expired, nor claims to live longer than 7 days."""
    today = day_of(now.wall_ms)
    return today <= record.expires_day <= today + MAX_AGE_DAYS + 1  # a day of grace for a clock ahead of ours

"""What stands in the directory of open rooms: one room, as one of its members lists it (docs/crypto.md 3.10).

    listing = [9, body || SIG(listing, device, body)]
    body    = [1, create op, seed 32, name, count, node_records, ts_ms, certificate]

The room's `create` op makes its id, says that it is open, and commits to the seed: its `salt16` is the id of
the standing invite that the seed makes. So nobody lists a room under a false id or with a false seed. The
name and the number of members are the lister's word; whether it is a member, only members can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.clock import day_of
from node.crypto import noderec, ops
from node.crypto.channel import Inner
from node.crypto.joining import invite_keypair, link_invite_id
from node.crypto.keys import MAX_CERT_BYTES, DeviceCert, Identity, parse_cert, split_signed
from node.crypto.labels import Label
from node.crypto.ops import Create, Op, Visibility
from node.crypto.primitives import same, sign, verify
from node.errors import CryptoFault, DecodeError
from node.wire.codec import array, blob, blob_upto, decode, literal, many, pack, string, uint
from node.wire.payload import MAX_NAME_BYTES

MAX_RECORDS = 8
MAX_COUNT = 1_000
"""Members of a room; 0 says that the room is over."""
MAX_CREATE_BYTES = 4 * 1024
"""A certificate and a device list at their limits, two names, and the rest."""
MAX_LISTING_BYTES = 16 * 1024
"""All of its parts at their limits come to 14 KiB: one envelope always, never an Object."""
_VERSION = 1
_BODY = array(
    literal(_VERSION),
    blob_upto(MAX_CREATE_BYTES, least=64),
    blob(32),
    string(MAX_NAME_BYTES, least=1),
    uint(16),
    many(blob_upto(noderec.MAX_BYTES, least=64), MAX_RECORDS),
    uint(63),
    blob_upto(MAX_CERT_BYTES, least=1),
)
_INNER = array(literal(Inner.LISTING), blob_upto(MAX_LISTING_BYTES))


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing as read: its shape holds, its signatures and its seed are `verify_listing`'s question.

    `ts_ms` is when its lister made it, in mesh time; `node_records` are unchecked.
    """

    create: Op = field(repr=False)
    seed: bytes = field(repr=False)
    name: str
    count: int
    node_records: tuple[bytes, ...] = field(repr=False)
    ts_ms: int
    cert: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def room_id(self) -> bytes:
        """The room, 16 bytes: it follows from the `create` op."""
        return self.create.room_id

    @property
    def invite_id(self) -> bytes:
        """The room's standing invite, 16 bytes."""
        body = self.create.body
        assert isinstance(body, Create)
        return body.salt16

    @property
    def history(self) -> int:
        """How many of its messages a newcomer may read, as it was made."""
        body = self.create.body
        assert isinstance(body, Create)
        return body.policy.history

    @property
    def creator(self) -> bytes:
        """The account that made the room, 32 bytes."""
        return self.create.author


def seed_invite(seed: bytes) -> tuple[bytes, bytes]:
    """Return (invite_id 16, invite_pk 32) of a standing invite; the id is the `create` op's `salt16`."""
    public = invite_keypair(seed)[0]
    return link_invite_id(public), public


def make_listing(
    identity: Identity,
    *,
    create: bytes,
    seed: bytes,
    name: str,
    count: int,
    node_records: Sequence[bytes],
    ts_ms: int,
    cert: DeviceCert,
) -> bytes:
    """Return the inner that lists a room, for the directory; `create` is the op, signature included."""
    body = pack([_VERSION, create, seed, name, count, list(node_records), ts_ms, cert.raw])
    return pack([int(Inner.LISTING), body + sign(Label.LISTING, identity.dsk_sk, body)])


def parse_listing(inner: bytes) -> Listing:
    """Read a listing; shape only, in a few comparisons and two hashes.

    Raises:
        DecodeError: If it is malformed, or lists what is no open room.
    """
    _, raw = decode(inner, _INNER, max_bytes=MAX_LISTING_BYTES + 16)
    body, _ = split_signed(raw, 1, MAX_LISTING_BYTES)
    _, create, seed, name, count, records, ts_ms, cert = decode(body, _BODY)
    op = ops.parse_op(create)
    if not isinstance(op.body, Create) or op.body.policy.visibility is not Visibility.OPEN:
        raise DecodeError("a listing of something else than an open room")
    if count > MAX_COUNT:
        raise DecodeError(f"a listing of a room of over {MAX_COUNT}")
    return Listing(op, seed, name, count, tuple(records), ts_ms, cert, raw)


def verify_listing(listing: Listing) -> DeviceCert:
    """Return the certificate of the device that made a listing, once all of its signatures hold.

    Seven verifications: whoever calls this limits how often. The lister's own come first, so that the rest
    is only looked at for what somebody signed.

    Raises:
        DecodeError: If the certificate is malformed.
        CryptoFault: If a signature does not hold, the certificate is not of its day, or the seed is not the
            one that the room was made with.
    """
    cert = parse_cert(listing.cert)
    verify(Label.LISTING, cert.dsk, listing.raw[:-64], listing.raw[-64:])
    if not cert.created_day - 1 <= day_of(listing.ts_ms) <= cert.expires_day:
        raise CryptoFault("a listing by a device whose certificate is not of that day")
    if not same(seed_invite(listing.seed)[0], listing.invite_id):
        raise CryptoFault("a listing whose seed is not the room's")
    card = ops.card_of(listing.create)
    if card is None or card.cert.device_id != listing.create.device_id:
        raise CryptoFault("a room that was not made by a device of its creator")
    ops.verify_op(listing.create, card.cert.dsk)
    return cert

"""Coming into a room: the join request, and the welcome that answers it (docs/crypto.md 3.10).

    request = [1, room_id, invite_id, cert, devices, bundle, node_record, leaf, name, ts_ms]
              || SIG(invite, invite key, room_id || account || device_id || leaf || ts)
              || SIG(joinreq, device, all before it)

An invite is a seed: from it come its signing key, whose public half stands in the log, and its join channel.
The first signature proves the seed to every greeter and binds it to one device; the second is that device's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from node.clock import day_of
from node.crypto.channel import Inner
from node.crypto.keys import (
    MAX_CERT_BYTES,
    MAX_LIST_BYTES,
    DeviceCert,
    DeviceList,
    Identity,
    check_listed,
    parse_cert,
    parse_list,
    split_signed,
)
from node.crypto.labels import Label
from node.crypto.ops import Leaf, check_leaf
from node.crypto.prekeys import MAX_BUNDLE_BYTES, MAX_NODE_RECORD_BYTES, PrekeyBundle, parse_bundle
from node.crypto.primitives import SIG_BYTES, digest, ed25519_keypair, kdf, sign, verify
from node.errors import CryptoFault
from node.ids import uuid8
from node.wire.codec import array, blob, blob_upto, decode, literal, pack, string, uint
from node.wire.payload import MAX_NAME_BYTES

MAX_REQUEST_BYTES = 8 * 1024
"""All of its parts at their limits come to 7.4 KiB: one envelope."""
_VERSION = 1
_BODY = array(
    literal(_VERSION),
    blob(16),
    blob(16),
    blob_upto(MAX_CERT_BYTES),
    blob_upto(MAX_LIST_BYTES),
    blob_upto(MAX_BUNDLE_BYTES),
    blob_upto(MAX_NODE_RECORD_BYTES),
    array(uint(32), blob(32)),
    string(MAX_NAME_BYTES),
    uint(63),
)
_INNER = array(literal(Inner.JOIN_REQUEST), blob_upto(MAX_REQUEST_BYTES))


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A verified join request. `req_hash` (32 bytes) is what the `add` op names; `node_record` is unchecked.

    Whether room and invite are the ones asked for, and still open, is `RoomLog.judge_join`'s question.
    """

    room_id: bytes
    invite_id: bytes
    cert: DeviceCert
    devices: DeviceList
    bundle: PrekeyBundle
    node_record: bytes = field(repr=False)
    leaf: Leaf
    name: str
    ts_ms: int
    req_hash: bytes

    @property
    def account(self) -> bytes:
        """Who asks."""
        return self.cert.account


def invite_keypair(invite_seed: bytes) -> tuple[bytes, bytes]:
    """Return the (public 32, secret 64) signing key of an invite seed of 32 bytes."""
    return ed25519_keypair(kdf(Label.INVKEY, invite_seed, b"", 32))


def link_invite_id(invite_pk: bytes) -> bytes:
    """Return the id of the invite of a room link, made of its public key: the link carries the seed alone.

    An invite to one person has a random id (UUIDv4), so the log tells everybody which is which.
    """
    return uuid8(invite_pk)


def make_join_request(
    identity: Identity,
    *,
    room_id: bytes,
    invite_seed: bytes,
    invite_id: bytes,
    cert: DeviceCert,
    devices: DeviceList,
    bundle: PrekeyBundle,
    node_record: bytes,
    leaf: Leaf,
    name: str,
    ts_ms: int,
) -> bytes:
    """Return the inner that asks to join, for the invite's join channel."""
    card = [cert.raw, devices.raw, bundle.raw, node_record]
    body = pack([_VERSION, room_id, invite_id, *card, [leaf.leaf_id, leaf.public], name, ts_ms])
    claim = _claim(room_id, identity.account, identity.device_id, leaf, ts_ms)
    rest = body + sign(Label.INVITE, invite_keypair(invite_seed)[1], claim)
    return pack([int(Inner.JOIN_REQUEST), rest + sign(Label.JOINREQ, identity.dsk_sk, rest)])


def parse_join_request(inner: bytes, invite_pk: bytes) -> JoinRequest:
    """Read a join request made with the invite whose public key this is; days are those of its own `ts_ms`.

    Raises:
        DecodeError: If it is malformed.
        CryptoFault: If the device is not its account's, its leaf unusable, or a signature does not hold.
    """
    _, raw = decode(inner, _INNER, max_bytes=MAX_REQUEST_BYTES + 16)
    body, (by_invite, by_device) = split_signed(raw, 2, MAX_REQUEST_BYTES)
    _, room_id, invite_id, cert_raw, list_raw, bundle_raw, record, pair, name, ts_ms = decode(body, _BODY)
    cert, devices, leaf, day = parse_cert(cert_raw), parse_list(list_raw), Leaf(*pair), day_of(ts_ms)
    verify(Label.INVITE, invite_pk, _claim(room_id, cert.account, cert.device_id, leaf, ts_ms), by_invite)
    verify(Label.JOINREQ, cert.dsk, raw[:-SIG_BYTES], by_device)
    check_listed(cert, devices, day)
    check_leaf(leaf)
    bundle = parse_bundle(bundle_raw, cert, day)
    req_hash = digest(Label.INNER, inner)
    return JoinRequest(room_id, invite_id, cert, devices, bundle, record, leaf, name, ts_ms, req_hash)


def join_rank(req_hash: bytes, greeters: Iterable[bytes], device_id: bytes) -> int:
    """Return which greeter's turn `device_id` has with this request, from 0; the same on every node.

    Raises:
        CryptoFault: If the device is not among the greeters.
    """
    order = sorted(greeters, key=lambda device: digest(Label.JOINRANK, req_hash + device))
    try:
        return order.index(device_id)
    except ValueError as exc:
        raise CryptoFault("only a greeter answers a join request") from exc


def _claim(room_id: bytes, account: bytes, device_id: bytes, leaf: Leaf, ts_ms: int) -> bytes:
    key = leaf.leaf_id.to_bytes(4, "big") + leaf.public
    return room_id + account + device_id + key + ts_ms.to_bytes(8, "big")

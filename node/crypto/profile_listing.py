"""What stands in the directory of a person who wants to be found (docs/crypto.md 3.10).

    listing = [13, body || SIG(pres, device, body)]
    body    = [1, account, certificate, device list, nickname, avatar, status, listed, ts_ms]

It has what a stranger needs to ask them: the certificate names the key of their inbox.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.clock import day_of
from node.crypto import keys
from node.crypto.channel import Inner
from node.crypto.keys import (
    MAX_CERT_BYTES,
    MAX_LIST_BYTES,
    DeviceCert,
    DeviceList,
    Identity,
    parse_cert,
    parse_list,
    split_signed,
)
from node.crypto.labels import Label
from node.crypto.primitives import same, sign, verify
from node.errors import CryptoFault
from node.wire.codec import array, blob, blob_upto, decode, literal, optional, pack, string, uint
from node.wire.payload import MAX_NAME_BYTES, MAX_STATUS_BYTES

MAX_AVATAR_BYTES = 256
"""Letters or an id: no pictures, for everybody keeps everybody's."""
MAX_LISTING_BYTES = 4 * 1024
"""All of its parts at their limits come to 3.7 KiB."""
_VERSION = 1
_BODY = array(
    literal(_VERSION),
    blob(32),
    blob_upto(MAX_CERT_BYTES, least=1),
    blob_upto(MAX_LIST_BYTES, least=1),
    string(MAX_NAME_BYTES),
    optional(string(MAX_AVATAR_BYTES)),
    optional(string(MAX_STATUS_BYTES)),
    uint(1),
    uint(63),
)
_INNER = array(literal(Inner.PROFILE_LISTING), blob_upto(MAX_LISTING_BYTES))


@dataclass(frozen=True, slots=True)
class ProfileListing:
    """A listing as read: its shape holds, its signatures are `verify_profile`'s question.

    `ts_ms` is when it was made, in mesh time; without `listed` the person does not want to be found any more.
    """

    account: bytes
    cert: bytes = field(repr=False)
    devices: bytes = field(repr=False)
    nickname: str
    avatar: str | None
    status: str | None
    listed: bool
    ts_ms: int
    raw: bytes = field(repr=False)


def make_profile(
    identity: Identity,
    *,
    cert: DeviceCert,
    devices: DeviceList,
    nickname: str,
    avatar: str | None,
    status: str | None,
    listed: bool,
    ts_ms: int,
) -> bytes:
    """Return the inner that lists a person, or says that they are listed no more, for the directory."""
    said = [nickname, avatar, status, int(listed), ts_ms]
    body = pack([_VERSION, identity.account, cert.raw, devices.raw, *said])
    return pack([int(Inner.PROFILE_LISTING), body + sign(Label.PRES, identity.dsk_sk, body)])


def parse_profile(inner: bytes) -> ProfileListing:
    """Read a listing; shape only, in a few comparisons. Raises DecodeError."""
    _, raw = decode(inner, _INNER, max_bytes=MAX_LISTING_BYTES + 16)
    body, _ = split_signed(raw, 1, MAX_LISTING_BYTES)
    _, account, cert, devices, nickname, avatar, status, listed, ts_ms = decode(body, _BODY)
    return ProfileListing(account, cert, devices, nickname, avatar, status, bool(listed), ts_ms, raw)


def verify_profile(listing: ProfileListing) -> tuple[DeviceCert, DeviceList]:
    """Return the certificate and the device list of who is listed, once all signatures hold.

    Four verifications: whoever calls this limits how often.

    Raises:
        DecodeError: If certificate or list is malformed.
        CryptoFault: If a signature does not hold, or the device is not one of that account on that day.
    """
    cert = parse_cert(listing.cert)
    verify(Label.PRES, cert.dsk, listing.raw[:-64], listing.raw[-64:])
    if not same(cert.account, listing.account):
        raise CryptoFault("a listing of a person by the device of another")
    devices = parse_list(listing.devices)
    keys.check_listed(cert, devices, day_of(listing.ts_ms))
    return cert, devices

"""Who someone is: account, device, certificate, device list (docs/crypto.md 3.2).

The account key is the person; a device's keys do the daily work, and a certificate signed by both ties
them together. The account signs the list of its devices; a list never goes back. Raw form of both:
canonical msgpack body, then 64-byte signatures; ids and signatures are over the bytes as received.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.crypto.labels import Label
from node.crypto.primitives import SIG_BYTES, Entropy, digest, ed25519_keypair, sign, verify, x25519_public
from node.errors import CryptoFault, DecodeError
from node.ids import uuid8
from node.wire.codec import array, blob, decode, literal, many, pack, uint

MAX_CERT_BYTES = 512
"""A certificate is 273 bytes today; the limit leaves room for larger numbers alone."""
MAX_DEVICES = 16
"""More devices than one person carries; today every account has one."""
MAX_REVOKED = 64
MAX_LIST_BYTES = 2048
"""Sixteen certificate hashes and 64 revoked ids, and room for the rest."""
_VERSION = 1
_NO_HASH = bytes(32)

_IDENTITY = array(literal(_VERSION), *[blob(32)] * 5, uint(32))
_CERT = array(literal(_VERSION), *[blob(32)] * 4, uint(32), uint(32), uint(32))
_LIST = array(
    literal(_VERSION),
    blob(32),
    uint(32),
    blob(32),
    many(blob(32), MAX_DEVICES, least=1),
    many(blob(16), MAX_REVOKED),
    uint(32),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """All secret keys of one account on one device, and their public halves, each used for one purpose.

    Seeds and X25519 secrets are 32 bytes, the derived Ed25519 secrets 64. `account_*` signs certificates
    and lists, `dsk_*` everything a device says, `dik_*` agrees on sessions, `intro_*` opens what strangers
    seal, `node_*` names the node to its peers and has nothing to do with the person.
    """

    account_seed: bytes = field(repr=False)
    device_seed: bytes = field(repr=False)
    dik_secret: bytes = field(repr=False)
    intro_secret: bytes = field(repr=False)
    node_seed: bytes = field(repr=False)
    created_day: int
    account: bytes = field(init=False)
    account_sk: bytes = field(init=False, repr=False)
    dsk_pub: bytes = field(init=False)
    dsk_sk: bytes = field(init=False, repr=False)
    dik_pub: bytes = field(init=False)
    intro_pub: bytes = field(init=False)
    device_id: bytes = field(init=False)
    node_pub: bytes = field(init=False)
    node_sk: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        account, account_sk = ed25519_keypair(self.account_seed)
        dsk_pub, dsk_sk = ed25519_keypair(self.device_seed)
        node_pub, node_sk = ed25519_keypair(self.node_seed)
        dik_pub = x25519_public(self.dik_secret)
        derived = {
            "account": account,
            "account_sk": account_sk,
            "dsk_pub": dsk_pub,
            "dsk_sk": dsk_sk,
            "dik_pub": dik_pub,
            "intro_pub": x25519_public(self.intro_secret),
            "device_id": device_id_of(dsk_pub, dik_pub),
            "node_pub": node_pub,
            "node_sk": node_sk,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @classmethod
    def generate(cls, entropy: Entropy, day: int) -> Identity:
        """Make a new person on a new device; `day` is the UTC day number."""
        return cls(entropy(32), entropy(32), entropy(32), entropy(32), entropy(32), day)

    def to_bytes(self) -> bytes:
        """Return all secrets as bytes, for the identity file alone."""
        secrets = (self.account_seed, self.device_seed, self.dik_secret, self.intro_secret, self.node_seed)
        return pack([_VERSION, *secrets, self.created_day])

    @classmethod
    def from_bytes(cls, data: bytes) -> Identity:
        """Read what `to_bytes` wrote; raises DecodeError."""
        _, account, device, dik, intro, node, day = decode(data, _IDENTITY, max_bytes=512)
        return cls(account, device, dik, intro, node, day)


@dataclass(frozen=True, slots=True)
class DeviceCert:
    """A device's keys, vouched for by its account and by itself.

    `cert_hash` (32 bytes) is what a device list names; `device_id` is 16 bytes; days are UTC day numbers;
    `caps` is a bit set of capabilities, none defined yet.
    """

    account: bytes
    dsk: bytes
    dik: bytes
    intro: bytes
    created_day: int
    expires_day: int
    caps: int
    raw: bytes = field(repr=False)
    device_id: bytes
    cert_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceList:
    """The devices an account has and has revoked, numbered and linked to the list before.

    `cert_hashes` (32 bytes each) and `revoked` (device ids) are sorted and without duplicates; the first
    list has seq 1 and a `prev_hash` of zeros.
    """

    account: bytes
    seq: int
    prev_hash: bytes = field(repr=False)
    cert_hashes: tuple[bytes, ...]
    revoked: tuple[bytes, ...]
    day: int
    raw: bytes = field(repr=False)
    list_hash: bytes


def device_id_of(dsk_pub: bytes, dik_pub: bytes) -> bytes:
    """Return the 16-byte id of the device with these two public keys."""
    return digest(Label.DEV, dsk_pub + dik_pub)[:16]


def split_signed(raw: bytes, signatures: int, max_bytes: int) -> tuple[bytes, list[bytes]]:
    """Split a signed structure into its body and its trailing signatures; raises DecodeError."""
    if not signatures * SIG_BYTES < len(raw) <= max_bytes:
        raise DecodeError("a signed structure of an impossible size")
    cut = len(raw) - signatures * SIG_BYTES
    return raw[:cut], [raw[at : at + SIG_BYTES] for at in range(cut, len(raw), SIG_BYTES)]


def make_cert(identity: Identity, created_day: int, expires_day: int) -> DeviceCert:
    """Certify this device: both its account and its own signing key sign."""
    keys = (identity.account, identity.dsk_pub, identity.dik_pub, identity.intro_pub)
    body = pack([_VERSION, *keys, created_day, expires_day, 0])
    by_account = sign(Label.DEVCERT, identity.account_sk, body)
    return parse_cert(body + by_account + sign(Label.DEVCERT, identity.dsk_sk, body))


def parse_cert(raw: bytes) -> DeviceCert:
    """Read a certificate and check both signatures. Whether it is of today is `check_listed`'s question.

    Raises:
        DecodeError: If it is malformed or expires before it begins.
        CryptoFault: If a signature does not hold.
    """
    body, (by_account, by_device) = split_signed(raw, 2, MAX_CERT_BYTES)
    _, account, dsk, dik, intro, created, expires, caps = decode(body, _CERT)
    if expires < created:
        raise DecodeError("a certificate that expires before it begins")
    verify(Label.DEVCERT, account, body, by_account)
    verify(Label.DEVCERT, dsk, body, by_device)
    cert_hash = digest(Label.CERTID, raw)
    return DeviceCert(
        account, dsk, dik, intro, created, expires, caps, raw, device_id_of(dsk, dik), cert_hash
    )


def make_list(  # noqa: PLR0917 - the fields of a list, in their order
    identity: Identity,
    seq: int,
    prev_hash: bytes,
    cert_hashes: Sequence[bytes],
    revoked: Sequence[bytes],
    day: int,
) -> DeviceList:
    """Sign the list number `seq` (from 1) of this account's devices, linked to the one before by hash."""
    hashes = tuple(sorted(set(cert_hashes)))
    gone = tuple(sorted(set(revoked)))
    body = pack([_VERSION, identity.account, seq, prev_hash, hashes, gone, day])
    return parse_list(body + sign(Label.DEVLIST, identity.account_sk, body))


def parse_list(raw: bytes) -> DeviceList:
    """Read a device list and check its signature.

    Raises:
        DecodeError: If it is malformed, unsorted, or its number and link do not agree.
        CryptoFault: If the account's signature does not hold.
    """
    body, (signature,) = split_signed(raw, 1, MAX_LIST_BYTES)
    _, account, seq, prev_hash, hashes, revoked, day = decode(body, _LIST)
    if any(items != sorted(set(items)) for items in (hashes, revoked)):
        raise DecodeError("a device list that is not sorted")
    if seq < 1 or (seq == 1) != (prev_hash == _NO_HASH):
        raise DecodeError("a device list whose number does not fit its predecessor")
    verify(Label.DEVLIST, account, body, signature)
    return DeviceList(
        account, seq, prev_hash, tuple(hashes), tuple(revoked), day, raw, digest(Label.LISTID, raw)
    )


def check_listed(cert: DeviceCert, devices: DeviceList, today: int) -> None:
    """Raise CryptoFault unless `devices` is that account's list, names `cert`, and `cert` is of today.

    A clock may be a day behind the one that signed.
    """
    if cert.account != devices.account:
        raise CryptoFault("a certificate and a device list of two accounts")
    if cert.cert_hash not in devices.cert_hashes or cert.device_id in devices.revoked:
        raise CryptoFault("a device that its account does not list")
    if not cert.created_day - 1 <= today <= cert.expires_day:
        raise CryptoFault("a certificate that is not valid today")


def supersedes(offered: DeviceList, pinned: tuple[int, bytes] | None) -> bool:
    """Say whether `offered` is news to someone who pinned `(seq, list_hash)`; False if it is the same list.

    Raises:
        CryptoFault: If it goes back, or contradicts the pinned list: keep the old one and show a changed key.
    """
    if pinned is None:
        return True
    seq, list_hash = pinned
    if offered.seq == seq and offered.list_hash == list_hash:
        return False
    if offered.seq <= seq:
        raise CryptoFault("a device list that goes back")
    if offered.seq == seq + 1 and offered.prev_hash != list_hash:
        raise CryptoFault("a device list that does not follow the pinned one")
    return True


def user_uuid(account: bytes) -> bytes:
    """Return the 16 bytes of the UUIDv8 by which frontends know an account."""
    return uuid8(digest(Label.USER, account))


def fingerprint(account: bytes) -> str:
    """Return the 52 lowercase base32 letters of an account; the first of them mark a name that is taken."""
    return b32encode(digest(Label.USER, account)).decode().rstrip("=").lower()

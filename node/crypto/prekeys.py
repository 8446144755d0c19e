"""First contact: how two strangers come to share a session without any server (docs/crypto.md 3.4).

One asks with a signed request sealed to the other's intro key; the other answers with an intro that carries
a fresh key, and both derive the session from three Diffie-Hellman results, in the manner of X3DH. The
answerer is the session's initiator. PQ fields exist in the format, are nil, and refused when set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from node.clock import HORIZON_DAYS
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
from node.crypto.primitives import Entropy, dh, digest, kdf, seal_open, seal_to, sign, verify, x25519_public
from node.errors import CryptoFault, DecodeError
from node.wire.codec import (
    array,
    blob,
    blob_upto,
    decode,
    literal,
    nil,
    optional,
    pack,
    string,
    uint,
)

PREKEY_DAYS = 7
"""How long a signed prekey is offered; its private half is kept a horizon longer, for what is on its way."""
MAX_BUNDLE_BYTES = 256
MAX_NODE_RECORD_BYTES = 4096
MAX_NAME_CHARS = 32
MAX_HELLO_BYTES = 256
MAX_FIRST_MESSAGE_BYTES = 16 * 1024
"""The first message is a profile; certificates and the node record must fit beside it in one envelope."""
MAX_SEALED_BYTES = 32 * 1024
_VERSION = 1
_SESSION_BYTES = 16

_BUNDLE = array(literal(_VERSION), blob(16), uint(32), uint(32), blob(32), uint(32), uint(32), nil, nil)
_CARD = (
    blob_upto(MAX_CERT_BYTES),
    blob_upto(MAX_LIST_BYTES),
    blob_upto(MAX_BUNDLE_BYTES),
    blob_upto(MAX_NODE_RECORD_BYTES),
)
_REQUEST = array(
    literal(Inner.CONTACT_REQUEST),
    *_CARD,
    string(4 * MAX_NAME_CHARS),
    optional(blob(16)),
    uint(64),
    string(MAX_HELLO_BYTES),
)
_INTRO = array(
    literal(Inner.INTRO),
    *_CARD,
    blob(32),
    uint(32),
    optional(blob(_SESSION_BYTES)),
    blob_upto(MAX_FIRST_MESSAGE_BYTES, least=1),
)


@dataclass(frozen=True, slots=True)
class SignedPrekey:
    """A device's medium-term X25519 key: what makes a first message forward secret, within days."""

    spk_id: int
    secret: bytes = field(repr=False)
    public: bytes
    created_day: int
    expires_day: int

    @property
    def erase_day(self) -> int:
        """The first day on which the private half must be gone: 42 days after it was made."""
        return self.expires_day + HORIZON_DAYS


@dataclass(frozen=True, slots=True)
class PrekeyBundle:
    """The public half of a signed prekey, signed by its device; the highest `seq` wins."""

    device_id: bytes
    seq: int
    spk_id: int
    spk_pub: bytes
    created_day: int
    expires_day: int
    raw: bytes = field(repr=False)

    def valid_on(self, today: int) -> bool:
        """Say whether a session may be started on it; a clock may be a day behind the one that signed."""
        return self.created_day - 1 <= today <= self.expires_day


@dataclass(frozen=True, slots=True)
class ContactRequest:
    """Someone asks to be a contact; signed, so it is really theirs.

    `name` is at most 32 characters, `hello` at most 256 bytes, `token` 16 bytes of a link of ours or the id
    of a room both are in, or None. `node_record` is raw and unchecked.
    """

    cert: DeviceCert
    devices: DeviceList
    bundle: PrekeyBundle
    node_record: bytes = field(repr=False)
    name: str
    token: bytes | None = field(repr=False)
    ts_ms: int
    hello: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Intro:
    """The answer to a request: what its reader needs to derive the session, and the first message in it.

    Nothing here is proof that the named account sent it, until the first message opens under the session:
    that needs the device's own agreement key. `first_message` is a whole inner of a DM channel.
    """

    cert: DeviceCert
    devices: DeviceList
    bundle: PrekeyBundle
    node_record: bytes = field(repr=False)
    ek_pub: bytes
    spk_id: int
    old_session: bytes | None
    first_message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two devices agreed on: first root key (32), transcript hash (64), session id (16 bytes)."""

    rk0: bytes = field(repr=False)
    transcript: bytes
    session_id: bytes


def new_prekey(entropy: Entropy, spk_id: int, day: int) -> SignedPrekey:
    """Make the signed prekey number `spk_id` on UTC day `day`; offer it for 7 days."""
    secret = entropy(32)
    return SignedPrekey(spk_id, secret, x25519_public(secret), day, day + PREKEY_DAYS)


def make_bundle(identity: Identity, seq: int, prekey: SignedPrekey) -> PrekeyBundle:
    """Sign the public half of `prekey` as this device's bundle number `seq`."""
    body = pack(
        [
            _VERSION,
            identity.device_id,
            seq,
            prekey.spk_id,
            prekey.public,
            prekey.created_day,
            prekey.expires_day,
            None,
            None,
        ]
    )
    return _bundle(body + sign(Label.PREKEY, identity.dsk_sk, body), identity.device_id, identity.dsk_pub)


def parse_bundle(raw: bytes, cert: DeviceCert, today: int) -> PrekeyBundle:
    """Read a bundle of the device that `cert` names.

    Raises:
        DecodeError: If it is malformed or a reserved field is set.
        CryptoFault: If it is another device's, badly signed, expired, of the future or offered for too long.
    """
    bundle = _bundle(raw, cert.device_id, cert.dsk)
    if not bundle.valid_on(today):
        raise CryptoFault("a prekey that is not valid today")
    return bundle


def newer(bundle: PrekeyBundle, known: bytes) -> bool:
    """Say whether a bundle is to be kept instead of a `known` raw one: a higher number, or another device."""
    body, _ = split_signed(known, 1, MAX_BUNDLE_BYTES)
    _, device, seq, *_rest = decode(body, _BUNDLE)
    return bool(device != bundle.device_id or bundle.seq > seq)


def _bundle(raw: bytes, device_id: bytes, dsk_pub: bytes) -> PrekeyBundle:
    body, (signature,) = split_signed(raw, 1, MAX_BUNDLE_BYTES)
    _, device, seq, spk_id, spk_pub, created, expires, _, _ = decode(body, _BUNDLE)
    if device != device_id:
        raise CryptoFault("a prekey of another device")
    verify(Label.PREKEY, dsk_pub, body, signature)
    if expires - created > PREKEY_DAYS:
        raise CryptoFault("a prekey that is offered for too long")
    return PrekeyBundle(device, seq, spk_id, spk_pub, created, expires, raw)


def seal_request(
    identity: Identity,
    *,
    cert: DeviceCert,
    devices: DeviceList,
    bundle: PrekeyBundle,
    node_record: bytes,
    name: str,
    token: bytes | None,
    ts_ms: int,
    hello: str,
    to_account: bytes,
    to_intro: bytes,
    entropy: Entropy,
) -> bytes:
    """Return the inner of a contact request, for the inbox of `to_intro`; signed for that reader alone.

    A `name` of more than 32 characters is cut; `hello` is at most 256 bytes, `node_record` 4 KiB.

    Raises:
        CryptoFault: If `to_intro` is not a usable key.
    """
    card = [cert.raw, devices.raw, bundle.raw, node_record]
    fields: list[Any] = [Inner.CONTACT_REQUEST.value, *card, name[:MAX_NAME_CHARS], token, ts_ms, hello]
    assert _REQUEST(fields)
    body = pack(fields)
    signature = sign(Label.REQ, identity.dsk_sk, body + to_account + to_intro)
    return _seal(Inner.CONTACT_REQUEST, body + signature, to_intro, entropy)


def open_request(identity: Identity, inner: bytes, today: int) -> ContactRequest:
    """Open a contact request made for this identity and check all its signatures.

    Raises:
        DecodeError: If it is malformed.
        CryptoFault: If it is not for us, is this device's own, is badly signed, or out of date in some part.
    """
    body, (signature,) = split_signed(_open(identity, Inner.CONTACT_REQUEST, inner), 1, MAX_SEALED_BYTES)
    _, raw_cert, raw_list, raw_bundle, node_record, name, token, ts_ms, hello = decode(body, _REQUEST)
    if len(name) > MAX_NAME_CHARS:
        raise DecodeError("a name that is too long")
    cert, devices = _read_card(identity, raw_cert, raw_list, today, elsewhere=True)
    bundle = parse_bundle(raw_bundle, cert, today)
    verify(Label.REQ, cert.dsk, body + identity.account + identity.intro_pub, signature)
    return ContactRequest(cert, devices, bundle, node_record, name, token, ts_ms, hello)


def agree_as_initiator(
    identity: Identity,
    *,
    ek_seed: bytes,
    peer_cert: DeviceCert,
    peer_bundle: PrekeyBundle,
    old_session: bytes | None,
) -> Agreement:
    """Derive the session that our intro opens, from the asker's certificate and bundle.

    `ek_seed` is a fresh X25519 secret of 32 bytes, to be forgotten after. Raises CryptoFault for an
    unusable key of the peer.
    """
    assert peer_bundle.device_id == peer_cert.device_id
    shared = (
        dh(identity.dik_secret, peer_bundle.spk_pub),
        dh(ek_seed, peer_cert.dik),
        dh(ek_seed, peer_bundle.spk_pub),
    )
    initiator = [identity.account, identity.device_id, identity.dik_pub, x25519_public(ek_seed)]
    responder = [
        peer_cert.account,
        peer_cert.device_id,
        peer_cert.dik,
        peer_bundle.spk_id,
        peer_bundle.spk_pub,
    ]
    return _agree(shared, [*initiator, *responder, old_session])


def agree_as_responder(identity: Identity, intro: Intro, spk: SignedPrekey) -> Agreement:
    """Derive the session of an intro that used our prekey `spk`.

    Raises:
        CryptoFault: If the intro used another prekey, or a key in it is unusable.
    """
    if intro.spk_id != spk.spk_id:
        raise CryptoFault("an intro for another prekey")
    shared = (
        dh(spk.secret, intro.cert.dik),
        dh(identity.dik_secret, intro.ek_pub),
        dh(spk.secret, intro.ek_pub),
    )
    initiator = [intro.cert.account, intro.cert.device_id, intro.cert.dik, intro.ek_pub]
    responder = [identity.account, identity.device_id, identity.dik_pub, spk.spk_id, spk.public]
    return _agree(shared, [*initiator, *responder, intro.old_session])


def seal_intro(
    identity: Identity,
    *,
    cert: DeviceCert,
    devices: DeviceList,
    bundle: PrekeyBundle,
    node_record: bytes,
    ek_seed: bytes,
    spk_id: int,
    old_session: bytes | None,
    first_message: bytes,
    to_intro: bytes,
    entropy: Entropy,
) -> bytes:
    """Return the inner of an intro, for the inbox of `to_intro`.

    `ek_seed`, `spk_id` and `old_session` are those of the agreement that `first_message` was sealed under;
    it is at most 16 KiB. Only the public half of `ek_seed` is in the intro.
    """
    assert cert.device_id == identity.device_id
    ek_pub = x25519_public(ek_seed)
    card = [cert.raw, devices.raw, bundle.raw, node_record]
    fields: list[Any] = [Inner.INTRO.value, *card, ek_pub, spk_id, old_session, first_message]
    assert _INTRO(fields)
    return _seal(Inner.INTRO, pack(fields), to_intro, entropy)


def open_intro(identity: Identity, inner: bytes, today: int) -> Intro:
    """Open an intro sealed to this identity and check the signatures of certificate, list and bundle.

    Who sent it is known only once its first message opens. An intro may have been on its way for the
    whole horizon, so its own bundle may be out of date: ask `valid_on` before starting a session on it.

    Raises:
        DecodeError: If it is malformed.
        CryptoFault: If it is not for us, is our own, is badly signed, or something in it is out of date.
    """
    fields = decode(_open(identity, Inner.INTRO, inner), _INTRO, max_bytes=MAX_SEALED_BYTES)
    _, raw_cert, raw_list, raw_bundle, node_record, ek_pub, spk_id, old_session, first_message = fields
    cert, devices = _read_card(identity, raw_cert, raw_list, today)
    bundle = _bundle(raw_bundle, cert.device_id, cert.dsk)
    return Intro(cert, devices, bundle, node_record, ek_pub, spk_id, old_session, first_message)


def _agree(shared: tuple[bytes, bytes, bytes], parties: list[Any]) -> Agreement:
    """Bind the three shared secrets to everything both sides believe about each other."""
    transcript = digest(Label.X3DHT, pack([_VERSION, *parties]), 64)
    secret = digest(Label.X3DHS, b"\xff" * 32 + b"".join(shared), 64)
    return Agreement(kdf(Label.X3DH, secret, transcript, 32), transcript, transcript[:_SESSION_BYTES])


def _read_card(
    identity: Identity, raw_cert: bytes, raw_list: bytes, today: int, *, elsewhere: bool = False
) -> tuple[DeviceCert, DeviceList]:
    """Read a card of somebody else; `elsewhere` lets one of our own account through, if of another device."""
    cert, devices = parse_cert(raw_cert), parse_list(raw_list)
    if cert.account == identity.account and not (elsewhere and cert.device_id != identity.device_id):
        raise CryptoFault("our own words come back")
    check_listed(cert, devices, today)
    return cert, devices


def _seal(kind: Inner, plain: bytes, to_intro: bytes, entropy: Entropy) -> bytes:
    return pack([kind.value, seal_to(to_intro, plain, entropy(32))])


def _open(identity: Identity, kind: Inner, inner: bytes) -> bytes:
    shape = array(literal(kind), blob_upto(MAX_SEALED_BYTES))
    _, sealed = decode(inner, shape, max_bytes=MAX_SEALED_BYTES)
    return seal_open(identity.intro_secret, identity.intro_pub, sealed)

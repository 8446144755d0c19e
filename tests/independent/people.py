"""Accounts, devices, prekeys, links, what people compare: docs/crypto.md 3.2, 3.4; protocol.md 3, 7."""

from __future__ import annotations

from base64 import b32encode
from dataclasses import dataclass
from hashlib import sha512

from tests.independent.curves import ed25519_public, x25519_public
from tests.independent.notation import base64url, h, sig, uuid8
from tests.independent.spelling import write


@dataclass(frozen=True)
class Person:
    """The five secrets of an account on its one device."""

    account_seed: bytes
    device_seed: bytes
    dik_secret: bytes
    intro_secret: bytes
    node_seed: bytes

    @property
    def account(self) -> bytes:
        return ed25519_public(self.account_seed)

    @property
    def dsk(self) -> bytes:
        return ed25519_public(self.device_seed)

    @property
    def dik(self) -> bytes:
        return x25519_public(self.dik_secret)

    @property
    def intro(self) -> bytes:
        return x25519_public(self.intro_secret)

    @property
    def device_id(self) -> bytes:
        return h("dev", self.dsk + self.dik)[:16]


def certificate(who: Person, created: int, expires: int) -> bytes:
    body = write([1, who.account, who.dsk, who.dik, who.intro, created, expires, 0])
    return body + sig("devcert", who.account_seed, body) + sig("devcert", who.device_seed, body)


def device_list(
    who: Person, seq: int, previous: bytes, certs: list[bytes], revoked: list[bytes], day: int
) -> bytes:
    hashes = sorted(h("certid", cert) for cert in certs)
    link = h("listid", previous) if previous else bytes(32)
    body = write([1, who.account, seq, link, hashes, sorted(revoked), day])
    return body + sig("devlist", who.account_seed, body)


def prekey_bundle(who: Person, seq: int, spk_id: int, spk_secret: bytes, created: int) -> bytes:
    public = x25519_public(spk_secret)
    body = write([1, who.device_id, seq, spk_id, public, created, created + 7, None, None])
    return body + sig("prekey", who.device_seed, body)


def user_uuid(account: bytes) -> bytes:
    return uuid8(h("user", account))


def fingerprint(account: bytes) -> str:
    return b32encode(h("user", account)).decode().rstrip("=").lower()


def safety_number(one: bytes, other: bytes) -> str:
    return _grouped("".join(sorted(_side(account) for account in (one, other))))


def verification_code(own: bytes, peer: bytes) -> str:
    return "gossamer:s/" + base64url(b"\x01" + own + peer)


def room_fingerprint(members: list[tuple[bytes, int]]) -> str:
    return _grouped(_digits(h("rosterfp", write(sorted(members)))))


def contact_link(account: bytes, intro: bytes, token: bytes, exp_day: int, addresses: list[str]) -> str:
    return _link("gossamer:c/", b"\x01" + account + intro + token + exp_day.to_bytes(2), addresses)


def room_link(room_id: bytes, seed: bytes, inviter: bytes, addresses: list[str]) -> str:
    return _link("gossamer:i/", b"\x01" + room_id + seed + inviter, addresses)


def node_proof(node_seed: bytes, network_id: bytes, static: bytes) -> bytes:
    return ed25519_public(node_seed) + sig("nodekey", node_seed, network_id + x25519_public(static))


def node_record(node_seed: bytes, addresses: list[str], roles: int, seq: int, expires_day: int) -> bytes:
    body = write([1, ed25519_public(node_seed), addresses, roles, seq, expires_day])
    return body + sig("noderec", node_seed, body)


def direct_room_id(one: bytes, other: bytes) -> bytes:
    return uuid8(h("dm", min(one, other) + max(one, other)))


def _side(account: bytes) -> str:
    value = b"gsmr1/safety".ljust(16, b"\0") + b"\x01" + account
    for _ in range(5200):
        value = sha512(value + account).digest()
    return _digits(value)


def _digits(value: bytes) -> str:
    return "".join(f"{int.from_bytes(value[at : at + 5]) % 10**5:05}" for at in range(0, 30, 5))


def _grouped(digits: str) -> str:
    return " ".join(digits[at : at + 5] for at in range(0, len(digits), 5))


def _link(prefix: str, raw: bytes, addresses: list[str]) -> str:
    raw += b"".join(bytes([len(a)]) + a.encode() for a in addresses)
    return prefix + base64url(raw + h("link", prefix.encode() + raw)[:4])

"""H, KDF and SIG of docs/crypto.md 3.1, and the little that goes with them."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b

from tests.independent.curves import ed25519_sign, ed25519_verify


def label(name: str) -> bytes:
    return f"gsmr1/{name}".encode().ljust(16, b"\0")


def h(name: str, data: bytes, size: int = 32) -> bytes:
    return blake2b(data, digest_size=size, person=label(name)).digest()


def kdf(name: str, key: bytes, data: bytes, size: int = 32) -> bytes:
    return blake2b(data, digest_size=size, key=key, person=label(name)).digest()


def sig(name: str, seed: bytes, data: bytes) -> bytes:
    return ed25519_sign(seed, label(name) + h(name, data, 64))


def holds(name: str, public: bytes, data: bytes, signature: bytes) -> bool:
    return ed25519_verify(public, label(name) + h(name, data, 64), signature)


def u32(number: int) -> bytes:
    return number.to_bytes(4)


def u64(number: int) -> bytes:
    return number.to_bytes(8)


def uuid8(digest: bytes) -> bytes:
    """RFC 9562 5.8 of the first 16 bytes: version 8 and the variant written over them."""
    number = int.from_bytes(digest[:16])
    number = number & ~(0xF << 76) | 8 << 76
    return (number & ~(3 << 62) | 2 << 62).to_bytes(16)


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")

"""XSalsa20-Poly1305 as NaCl's papers have it: Salsa20, HSalsa20, Poly1305; secretbox and sealed box."""

from __future__ import annotations

from hashlib import blake2b
from struct import pack, unpack

from tests.independent.curves import x25519, x25519_public

SIGMA = unpack("<4I", b"expand 32-byte k")
MASK = 0xFFFFFFFF
_COLUMNS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_ROWS = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))


def _rounds(key: bytes, block16: bytes) -> tuple[list[int], list[int]]:
    """Return (the 16 words at first, the same after 20 rounds of Salsa20)."""
    k, n = unpack("<8I", key), unpack("<4I", block16)
    first = [SIGMA[0], *k[:4], SIGMA[1], *n, SIGMA[2], *k[4:], SIGMA[3]]
    x = list(first)
    for _ in range(10):
        for a, b, c, d in _COLUMNS + _ROWS:
            xa, xb, xc, xd = x[a], x[b], x[c], x[d]
            t = xa + xd & MASK
            xb ^= t << 7 & MASK | t >> 25
            t = xb + xa & MASK
            xc ^= t << 9 & MASK | t >> 23
            t = xc + xb & MASK
            xd ^= t << 13 & MASK | t >> 19
            t = xd + xc & MASK
            xa ^= t << 18 & MASK | t >> 14
            x[a], x[b], x[c], x[d] = xa, xb, xc, xd
    return first, x


def hsalsa20(key: bytes, block16: bytes) -> bytes:
    x = _rounds(key, block16)[1]
    return pack("<8I", x[0], x[5], x[10], x[15], x[6], x[7], x[8], x[9])


def xsalsa20(key: bytes, nonce: bytes, size: int) -> bytes:
    """Return `size` bytes of key stream."""
    subkey, out = hsalsa20(key, nonce[:16]), []
    for counter in range((size + 63) // 64):
        first, x = _rounds(subkey, nonce[16:] + counter.to_bytes(8, "little"))
        out.append(pack("<16I", *(a + b & MASK for a, b in zip(first, x, strict=True))))
    return b"".join(out)[:size]


def poly1305(key: bytes, message: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def box_seal(plain: bytes, nonce: bytes, key: bytes) -> bytes:
    """NaCl's secretbox: the tag, then the ciphertext."""
    stream = xsalsa20(key, nonce, 32 + len(plain))
    boxed = _xor(plain, stream[32:])
    return poly1305(stream[:32], boxed) + boxed


def box_open(boxed: bytes, nonce: bytes, key: bytes) -> bytes:
    stream = xsalsa20(key, nonce, 16 + len(boxed))
    if poly1305(stream[:32], boxed[16:]) != boxed[:16]:
        raise ValueError("box does not open")
    return _xor(boxed[16:], stream[32:])


def seal_to(public: bytes, plain: bytes, ephemeral: bytes) -> bytes:
    """NaCl's sealed box, from a given ephemeral secret."""
    epk = x25519_public(ephemeral)
    return epk + box_seal(plain, _sealed_nonce(epk, public), _agreed(ephemeral, public))


def seal_open(secret: bytes, sealed: bytes) -> bytes:
    epk = sealed[:32]
    return box_open(sealed[32:], _sealed_nonce(epk, x25519_public(secret)), _agreed(secret, epk))


def _agreed(secret: bytes, public: bytes) -> bytes:
    return hsalsa20(x25519(secret, public), bytes(16))


def _sealed_nonce(epk: bytes, public: bytes) -> bytes:
    return blake2b(epk + public, digest_size=24).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one)) if one else b""

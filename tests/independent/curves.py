"""X25519 (RFC 7748) and Ed25519 (RFC 8032) in integers: slow, not constant in time, for comparison alone."""

from __future__ import annotations

from functools import cache
from hashlib import sha512
from typing import TypeAlias

Point: TypeAlias = tuple[int, int, int, int]
"""A point of edwards25519 as X, Y, Z, T with x = X/Z, y = Y/Z, T = XY/Z."""

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
IDENTITY: Point = (0, 1, 1, 0)


def x25519(secret: bytes, public: bytes) -> bytes:
    """The Montgomery ladder of RFC 7748 section 5; an all-zero result is the caller's to refuse."""
    k = _clamped(secret)
    x1 = int.from_bytes(public, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for at in range(254, -1, -1):
        bit = k >> at & 1
        if swap ^ bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


@cache
def x25519_public(secret: bytes) -> bytes:
    """By way of Ed25519's base point, whose multiples are at hand (RFC 7748 4.1): u = (1 + y) / (1 - y)."""
    _, y, z, _ = _times_base(_clamped(secret))
    return ((z + y) * pow(z - y, P - 2, P) % P).to_bytes(32, "little")


@cache
def ed25519_public(seed: bytes) -> bytes:
    return _compress(_times_base(_clamped(sha512(seed).digest()[:32])))


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    wide, public = sha512(seed).digest(), ed25519_public(seed)
    nonce = _scalar(wide[32:] + message)
    first = _compress(_times_base(nonce))
    second = (nonce + _scalar(first + public + message) * _clamped(wide[:32])) % ORDER
    return first + second.to_bytes(32, "little")


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Without cofactor, as RFC 8032 allows; the edge cases where verifiers differ are not its business."""
    first, second = signature[:32], int.from_bytes(signature[32:], "little")
    key = _decompress(public)
    if key is None or len(signature) != 64 or second >= ORDER:
        return False
    minus = (-key[0] % P, key[1], key[2], -key[3] % P)
    challenge = _scalar(first + public + message)
    return _compress(_add(_times_base(second), _times(challenge, minus))) == first


def _clamped(secret: bytes) -> int:
    return int.from_bytes(secret, "little") & (1 << 254) - 8 | 1 << 254


def _scalar(data: bytes) -> int:
    return int.from_bytes(sha512(data).digest(), "little") % ORDER


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * one[3] * other[3] * D % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: Point) -> Point:
    result = IDENTITY
    for at in range(scalar.bit_length() - 1, -1, -1):
        result = _add(result, result)
        if scalar >> at & 1:
            result = _add(result, point)
    return result


@cache
def _base_powers() -> tuple[tuple[Point, ...], ...]:
    """For each of the 64 nibbles of a scalar, the 16 multiples of the base point that it can stand for."""
    y = 4 * pow(5, -1, P) % P
    base = _decompress(y.to_bytes(32, "little"))
    assert base is not None
    rows = []
    for _ in range(64):
        row = [IDENTITY]
        for _ in range(15):
            row.append(_add(row[-1], base))
        rows.append(tuple(row))
        base = _add(row[-1], base)
    return tuple(rows)


def _times_base(scalar: int) -> Point:
    result = IDENTITY
    for at, row in enumerate(_base_powers()):
        result = _add(result, row[scalar >> 4 * at & 15])
    return result


def _compress(point: Point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decompress(raw: bytes) -> Point | None:
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if x * x % P != square or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P

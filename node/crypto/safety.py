"""Numbers that people compare to be sure of each other's keys (docs/crypto.md 3.2).

The safety number is built as Signal's is: 5,200 rounds of SHA-512 over one account key give 30 digits, the
two sides are sorted, and both people see the same 60. It covers keys, never ids.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha512

from node.crypto.labels import Label
from node.crypto.primitives import digest, same
from node.wire.codec import pack

ROUNDS = 5200
"""What makes looking for a second key with the same 30 digits (about 100 bits) 5,200 times dearer."""
CODE_PREFIX = "gossamer:s/"
_VERSION = b"\x01"


@lru_cache(maxsize=1024)
def side_digits(account: bytes) -> str:
    """Return the 30 digits of one account key (32 bytes); about 5 ms of hashing, once."""
    value = sha512(Label.SAFETY + _VERSION + account + account).digest()
    for _ in range(ROUNDS - 1):
        value = sha512(value + account).digest()
    return _digits(value)


def safety_number(one: bytes, other: bytes) -> str:
    """Return the 60 digits that two people compare, in 12 groups of 5; the same from both sides."""
    digits = "".join(sorted((side_digits(one), side_digits(other))))
    return _grouped(digits)


def room_fingerprint(members: Iterable[tuple[bytes, int]]) -> str:
    """Return 30 digits over a room's (account, role) pairs, in 6 groups of 5; their order does not matter."""
    roster = pack([[account, role] for account, role in sorted(members)])
    return _grouped(_digits(digest(Label.ROSTERFP, roster)))


def verification_code(own: bytes, peer: bytes) -> str:
    """Return the text of the QR code that `own` shows to `peer`: both account keys whole."""
    return CODE_PREFIX + urlsafe_b64encode(_VERSION + own + peer).decode().rstrip("=")


def matches(code: str, own: bytes, peer: bytes) -> bool:
    """Say whether a code scanned from `peer`'s screen shows that both hold the right keys of each other."""
    return same(code.strip().encode(), verification_code(peer, own).encode())


def _digits(value: bytes) -> str:
    chunks = (value[at : at + 5] for at in range(0, 30, 5))
    return "".join(f"{int.from_bytes(chunk) % 100_000:05d}" for chunk in chunks)


def _grouped(digits: str) -> str:
    return " ".join(digits[at : at + 5] for at in range(0, len(digits), 5))

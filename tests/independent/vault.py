"""What lies on disk: docs/crypto.md 3.11; Argon2id itself is not done again here."""

from __future__ import annotations

from tests.independent.boxes import box_open, box_seal
from tests.independent.notation import kdf
from tests.independent.spelling import read, write


def row_id(master: bytes, table: str, key: bytes) -> bytes:
    return kdf("row", master, table.encode() + b"\0" + key, 16)


def cell_key(master: bytes, table: str, column: str, place: bytes) -> bytes:
    return kdf("cell", master, table.encode() + b"\0" + column.encode() + b"\0" + place + b"\x01")


def shredded_key(master: bytes, shred: bytes, table: str, place: bytes) -> bytes:
    return kdf("shred", master, shred + table.encode() + b"\0" + place + b"\x01")


def cell(key: bytes, plain: bytes, nonce: bytes) -> bytes:
    return nonce + box_seal(plain, nonce, key)


def wrap(stretched: bytes, cost: list[int], salt: bytes, nonce: bytes, plain: bytes) -> bytes:
    """`stretched` is what Argon2id makes of the passphrase; `cost` its passes and bytes."""
    header = [1, *cost, salt]
    key = kdf("wrap", stretched, write(header))
    return write([*header, kdf("wrapkc", stretched, b""), nonce, box_seal(plain, nonce, key)])


def unwrap(stretched: bytes, wrapped: bytes) -> bytes:
    version, passes, memory, salt, commitment, nonce, box = read(wrapped)
    if kdf("wrapkc", stretched, b"") != commitment:
        raise ValueError("wrong passphrase")
    return box_open(box, nonce, kdf("wrap", stretched, write([version, passes, memory, salt])))

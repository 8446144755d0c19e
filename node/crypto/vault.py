"""What lies on disk, and under which key: cells of the database, names of its rows, the passphrase wrap.

Every sealed cell has its own key, made of the master key and the cell's place, so that a moved row or column
does not open. Rows of forward-secret keys hang on the shred key as well: when that is gone, so are they. A
passphrase never keys a box without a commitment to the key it made (docs/crypto.md 3.11).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.crypto import primitives
from node.crypto.labels import Label
from node.crypto.primitives import KEY_BYTES, NONCE_BYTES, Entropy
from node.errors import CryptoFault, DecodeError
from node.tables import SHREDDED
from node.wire import codec

CELL_VERSION = b"\x01"
"""Version of the sealed form; part of every cell's key."""
ROW_ID_BYTES = 16
SALT_BYTES = 16
MAX_PASSES = 16
MAX_MEMORY = 2 * 1024 * 1024 * 1024
"""A damaged header must not make a start ask for more than this."""
MAX_WRAPPED = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at a passphrase costs: Argon2id passes, and memory in bytes."""

    passes: int
    memory_bytes: int


MODERATE = Cost(3, 256 * 1024 * 1024)
"""libsodium's MODERATE: about 0.7 s a guess."""

_WRAP = codec.array(
    codec.literal(1),
    codec.uint(8),
    codec.uint(32),
    codec.blob(SALT_BYTES),
    codec.blob(KEY_BYTES),
    codec.blob(NONCE_BYTES),
    codec.blob_upto(MAX_WRAPPED),
)


def wrap(passphrase: bytes, plain: bytes, *, cost: Cost = MODERATE, entropy: Entropy) -> bytes:
    """Seal `plain` under a passphrase.

    Form: `[1, passes, memory_bytes, salt16, commitment32, nonce24, box]`; the box key binds the first four.
    """
    salt, nonce = entropy(SALT_BYTES), entropy(NONCE_BYTES)
    commitment, key = _wrap_keys(passphrase, cost, salt)
    box = primitives.box_seal(plain, nonce, key)
    return codec.pack([1, cost.passes, cost.memory_bytes, salt, commitment, nonce, box])


def unwrap(passphrase: bytes, wrapped: bytes) -> bytes:
    """Open what `wrap` made.

    Raises:
        DecodeError: If `wrapped` is no wrap record, or asks for an absurd cost.
        CryptoFault: If the passphrase is wrong or the record damaged.
    """
    _, passes, memory, salt, commitment, nonce, box = codec.decode(wrapped, _WRAP)
    if not (1 <= passes <= MAX_PASSES and 8192 <= memory <= MAX_MEMORY):
        raise DecodeError("passphrase cost out of bounds")
    expected, key = _wrap_keys(passphrase, Cost(passes, memory), salt)
    if not primitives.same(commitment, expected):
        raise CryptoFault("wrong passphrase")
    return primitives.box_open(box, nonce, key)


def _wrap_keys(passphrase: bytes, cost: Cost, salt: bytes) -> tuple[bytes, bytes]:
    kek = primitives.argon2id(passphrase, salt, passes=cost.passes, memory_bytes=cost.memory_bytes)
    header = codec.pack([1, cost.passes, cost.memory_bytes, salt])
    return (
        primitives.kdf(Label.WRAPKC, kek, b"", KEY_BYTES),
        primitives.kdf(Label.WRAP, kek, header, KEY_BYTES),
    )


def row_id(master: bytes, table: str, key: bytes) -> bytes:
    """Name a row without telling its key: a keyed hash of table and key, 16 bytes."""
    return primitives.kdf(Label.ROW, master, table.encode() + b"\0" + key, ROW_ID_BYTES)


def cell_key(master: bytes, table: str, column: str, place: bytes) -> bytes:
    """Return the key of one cell; `place` is the row's id and whatever else must not be exchanged."""
    data = b"\0".join((table.encode(), column.encode(), place + CELL_VERSION))
    return primitives.kdf(Label.CELL, master, data, KEY_BYTES)


def shred_cell_key(master: bytes, shred: bytes, table: str, place: bytes) -> bytes:
    """Return the key of one cell of a shredded table."""
    data = shred + b"\0".join((table.encode(), place + CELL_VERSION))
    return primitives.kdf(Label.SHRED, master, data, KEY_BYTES)


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """What opens a database: the master key, and the shred keys that may be in force, the likeliest first."""

    master: bytes = field(repr=False)
    shred: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cells:
    """Seals and opens the cells of one database; a sealed cell is `nonce24 || box`, 40 bytes longer."""

    master: bytes = field(repr=False)
    shred: bytes = field(repr=False)
    entropy: Entropy = field(repr=False)

    def row_id(self, table: str, key: bytes) -> bytes:
        """Return the 16-byte id under which a row is stored."""
        return row_id(self.master, table, key)

    def seal(self, table: str, column: str, place: bytes, plain: bytes) -> bytes:
        """Seal one cell for its place."""
        nonce = self.entropy(NONCE_BYTES)
        return nonce + primitives.box_seal(plain, nonce, self._key(table, column, place))

    def open(self, table: str, column: str, place: bytes, sealed: bytes) -> bytes:
        """Open one cell; raises CryptoFault if it is damaged or was sealed for another place or key."""
        nonce = sealed[:NONCE_BYTES]
        return primitives.box_open(sealed[NONCE_BYTES:], nonce, self._key(table, column, place))

    def opener(self, table: str, column: str) -> Callable[[bytes, bytes], bytes]:
        """Return what opens many cells of one column, by (place, sealed); not of a shredded table."""
        assert table not in SHREDDED
        begun = primitives.begun_kdf(
            Label.CELL, self.master, b"\0".join((table.encode(), column.encode(), b""))
        )

        def opened(place: bytes, sealed: bytes) -> bytes:
            keyed = begun.copy()
            keyed.update(place + CELL_VERSION)
            return primitives.box_open(sealed[NONCE_BYTES:], sealed[:NONCE_BYTES], keyed.digest())

        return opened

    def seal_row(self, table: str, key: bytes, value: bytes) -> tuple[bytes, bytes]:
        """Return (row id, sealed row); the key travels inside the seal."""
        rowid = row_id(self.master, table, key)
        return rowid, self.seal(table, "row", rowid, len(key).to_bytes(2, "big") + key + value)

    def open_row(self, table: str, rowid: bytes, sealed: bytes) -> tuple[bytes, bytes]:
        """Return (key, value) of a sealed row; raises CryptoFault."""
        plain = self.open(table, "row", rowid, sealed)
        cut = 2 + int.from_bytes(plain[:2], "big")
        return plain[2:cut], plain[cut:]

    def _key(self, table: str, column: str, place: bytes) -> bytes:
        if table in SHREDDED:
            return shred_cell_key(self.master, self.shred, table, place)
        return cell_key(self.master, table, column, place)

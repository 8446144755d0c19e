"""The file `identity.key`: the master key and the secret keys of this node, sealed or plain.

With a passphrase the content is the wrap record of docs/crypto.md 3.11; without one it lies open in a 0600
file, with a checksum so that damage is told from absence. What the secrets are is not known here.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

from node.crypto import vault
from node.crypto.primitives import KEY_BYTES, Entropy
from node.crypto.vault import MODERATE, Cost
from node.errors import CryptoFault, DecodeError, Fatal, StoreFull
from node.store import files
from node.wire import codec

FILE_NAME = "identity.key"
MAX_SECRETS = 16 * 1024
EXIT_NOT_ALLOWED = 4
_MAGIC = b"gossamer identity 1\n"
_PLAIN, _SEALED = 0, 1
_SECRETS = codec.array(codec.blob(KEY_BYTES), codec.blob_upto(MAX_SECRETS))
_FILE = codec.array(codec.uint(1), codec.blob_upto(vault.MAX_WRAPPED), codec.uint(32))


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """What the file holds: the 32-byte master key of the database, and `secrets`, opaque here (16 KiB)."""

    master: bytes = field(repr=False)
    secrets: bytes = field(repr=False)


def exists(home: Path) -> bool:
    """Say whether this home has an identity."""
    return _read(home) is not None


def sealed(home: Path) -> bool:
    """Say whether opening needs a passphrase; raises Fatal if the file is damaged or absent."""
    return _parse(home)[0] == _SEALED


def create(home: Path, secrets: bytes, *, passphrase: bytes | None, entropy: Entropy) -> StoredIdentity:
    """Make a home and its identity file, with a new master key; an existing identity is never replaced.

    Raises:
        Fatal: If the home has an identity already (`identity_exists`).
    """
    files.prepare_home(home)
    if exists(home):
        raise Fatal(f"{home / FILE_NAME} exists already", code="identity_exists", exit_code=7)
    identity = StoredIdentity(entropy(KEY_BYTES), secrets)
    write(home, identity, passphrase=passphrase, entropy=entropy)
    return identity


def write(
    home: Path,
    identity: StoredIdentity,
    *,
    passphrase: bytes | None,
    entropy: Entropy,
    cost: Cost = MODERATE,
) -> None:
    """Write the file whole, under this passphrase or none; what it was before is overwritten first."""
    body = codec.pack([identity.master, identity.secrets])
    kind = _PLAIN
    if passphrase is not None:
        kind, body = _SEALED, vault.wrap(passphrase, body, cost=cost, entropy=entropy)
    files.replace(home / FILE_NAME, _MAGIC + codec.pack([kind, body, _checksum(kind, body)]))


def open_identity(home: Path, passphrase: bytes | None) -> StoredIdentity:
    """Read the identity; the passphrase of a plain one is not looked at.

    Raises:
        Fatal: If there is none (`no_identity`), it is damaged (`identity_corrupt`), or the passphrase is
            missing or wrong (`wrong_passphrase`, exit 4).
    """
    kind, body = _parse(home)
    if kind == _SEALED:
        body = _unwrap(body, passphrase)
    try:
        master, secrets = codec.decode(body, _SECRETS)
    except DecodeError as exc:
        raise _damaged(home) from exc
    return StoredIdentity(master, secrets)


def change(
    home: Path,
    current: bytes | None,
    passphrase: bytes | None,
    *,
    entropy: Entropy,
    cost: Cost = MODERATE,
) -> None:
    """Seal the identity under another passphrase, or none; a crash leaves the old file or the new.

    Raises:
        Fatal: As `open_identity` with `current`; nothing has changed.
        StoreFull: If the disk did not take it.
    """
    identity = open_identity(home, current)
    try:
        write(home, identity, passphrase=passphrase, entropy=entropy, cost=cost)
    except OSError as exc:
        raise StoreFull(f"identity.key could not be written: {exc}") from exc


def settle(home: Path) -> None:
    """Finish a change that a crash cut off: no second copy, under another passphrase or none, is left."""
    if _read(home) is not None and _parse(home):
        files.discard_staged(home / FILE_NAME)


def _unwrap(body: bytes, passphrase: bytes | None) -> bytes:
    if passphrase is None:
        raise Fatal(
            "this home is sealed: give its passphrase", code="wrong_passphrase", exit_code=EXIT_NOT_ALLOWED
        )
    try:
        return vault.unwrap(passphrase, body)
    except (CryptoFault, DecodeError) as exc:
        raise Fatal("wrong passphrase", code="wrong_passphrase", exit_code=EXIT_NOT_ALLOWED) from exc


def _read(home: Path) -> bytes | None:
    return files.read(home / FILE_NAME, lambda data: _fields(data) is not None)


def _parse(home: Path) -> tuple[int, bytes]:
    data = _read(home)
    if data is None:
        raise Fatal(f"there is no identity in {home}", code="no_identity")
    found = _fields(data)
    if found is None:
        raise _damaged(home)
    return found


def _fields(data: bytes) -> tuple[int, bytes] | None:
    if not data.startswith(_MAGIC):
        return None
    try:
        kind, body, checksum = codec.decode(data[len(_MAGIC) :], _FILE)
    except DecodeError:
        return None
    return (kind, body) if _checksum(kind, body) == checksum else None


def _checksum(kind: int, body: bytes) -> int:
    return zlib.crc32(bytes([kind]) + body)


def _damaged(home: Path) -> Fatal:
    return Fatal(
        f"{home / FILE_NAME} is damaged: keep a copy of it, and restore a backup", code="identity_corrupt"
    )

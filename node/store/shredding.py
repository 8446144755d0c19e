"""The file `ratchets.key` and the round that replaces it: how forward secrecy reaches the disk.

Chain and ratchet rows are sealed under the shred key in this file. A round seals the living rows again
under a new one and destroys the old, so that whatever was deleted since the last round opens for nobody. The
order (docs/crypto.md 3.11) is such that after a crash at any point one of the two files fits the database.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from node.crypto.primitives import KEY_BYTES, Entropy
from node.store import files

FILE_NAME = "ratchets.key"


class Resealed(Protocol):
    """The part of a store that a round needs."""

    @property
    def shred_key(self) -> bytes:
        """The shred key in force."""
        ...

    async def reseal(self, shred_key: bytes) -> bool:
        """Seal the shredded rows again under a new key."""
        ...


class ShredFile:
    """The shred key of one home, and the next one while a round is under way."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE_NAME

    def keys(self, entropy: Entropy = os.urandom) -> tuple[bytes, ...]:
        """Return the keys that may be in force, the likeliest first; makes the file of a new home."""
        found = tuple(k for k in (_key(self.path), _key(files.staged(self.path))) if k is not None)
        if found or self.path.exists():
            return found
        fresh = entropy(KEY_BYTES)
        files.replace(self.path, fresh)
        return (fresh,)

    def stage(self, entropy: Entropy = os.urandom) -> bytes:
        """Return the next key, on disk before it is used; one that an earlier round left behind is taken."""
        waiting = _key(files.staged(self.path))
        if waiting is not None:
            return waiting
        fresh = entropy(KEY_BYTES)
        files.write_synced(files.staged(self.path), fresh)
        return fresh

    def settle(self, in_force: bytes) -> None:
        """Finish a round that a crash cut off: if the staged key is in force, destroy the old one."""
        if _key(files.staged(self.path)) == in_force:
            files.adopt(self.path)


async def shred_round(store: Resealed, file: ShredFile, entropy: Entropy = os.urandom) -> bool:
    """Replace the shred key once; False if the write-ahead log could not be emptied at once.

    Raises:
        StoreFull: If the disk did not take it; the old key stays in force and the round can be tried again.
    """
    file.settle(store.shred_key)
    emptied = await store.reseal(file.stage(entropy))
    file.settle(store.shred_key)
    return emptied


def _key(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return data if len(data) == KEY_BYTES else None

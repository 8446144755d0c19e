"""The vault of one home: the identity file and the store it opens (docs/operations.md, "Locking").

A guess at a passphrase costs Argon2id's 0.7 s and 256 MiB; they are spent in a thread, one guess at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from node.clock import day_of
from node.crypto.keys import Identity
from node.crypto.vault import StoreKeys
from node.errors import Fatal, Refused, StoreFull
from node.store import files, identity
from node.store.shredding import ShredFile
from node.store.sqlite import SqliteStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open vault holds: its owner's keys, and the store."""

    owner: Identity = field(repr=False)
    store: SqliteStore = field(repr=False)


class Vault:
    """Opens the home's vault and changes what seals it; nothing secret stays here."""

    def __init__(self, home: Path) -> None:
        self.home = home

    async def settle(self) -> bool:
        """Finish a change of passphrase that a crash cut off, if there is room; say if there is a vault."""
        try:
            with files.written(self.home):
                await asyncio.to_thread(identity.settle, self.home)
        except StoreFull as full:
            log.warning("what was left of a change of passphrase stays until the next start: %s", full)
        return (self.home / identity.FILE_NAME).exists()

    async def sealed(self) -> bool:
        """Say whether opening needs a passphrase; a home without identity is not sealed."""
        return await asyncio.to_thread(lambda: identity.exists(self.home) and identity.sealed(self.home))

    async def open(self, passphrase: bytes | None, *, now_ms: int) -> Opened:
        """Open the identity and the store; a new home gets both.

        Raises:
            Fatal: If the passphrase is wrong, or a file is damaged.
            StoreFull: If the disk does not take what has to be written first.
        """
        with files.written(self.home):
            owner, master = await asyncio.to_thread(self._owner, passphrase, now_ms)
            shred = ShredFile(self.home)
            keys = StoreKeys(master, await asyncio.to_thread(shred.keys))
            store = await SqliteStore.open(self.home / "gossamer.db", keys)
            try:
                await asyncio.to_thread(shred.settle, store.shred_key)
            except BaseException:
                await store.close()
                raise
        return Opened(owner, store)

    async def change(self, current: str | None, passphrase: str | None) -> bool:
        """Seal the identity under another passphrase, or none; returns whether it is sealed now.

        Raises:
            Refused: If `current` is not what opens it (`wrong_passphrase`), or the disk did not take it
                (`storage_full`); nothing has changed.
        """
        before = None if current is None else current.encode()
        after = None if passphrase is None else passphrase.encode()
        try:
            await asyncio.to_thread(identity.change, self.home, before, after, entropy=os.urandom)
        except (Fatal, StoreFull) as fault:
            raise refusal(fault, "current") from fault
        return passphrase is not None

    def _owner(self, phrase: bytes | None, now_ms: int) -> tuple[Identity, bytes]:
        if not identity.exists(self.home):
            fresh = Identity.generate(os.urandom, day_of(now_ms))
            stored = identity.create(self.home, fresh.to_bytes(), passphrase=phrase, entropy=os.urandom)
        else:
            stored = identity.open_identity(self.home, phrase)
        return Identity.from_bytes(stored.secrets), stored.master


def refusal(fault: Fatal | StoreFull, field: str) -> Refused:
    """Return what a frontend is answered where a start would have ended; `field` is the passphrase's key."""
    meant = field if fault.code == "wrong_passphrase" else None
    return Refused(fault.code, str(fault), field=meant, retryable=isinstance(fault, StoreFull))

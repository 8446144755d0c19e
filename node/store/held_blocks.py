"""The folder of what a relay holds for others: a file for each sealed block, whole or not there.

It is a folder of its own, so that what is another's never counts against the owner's attachments.
"""

from __future__ import annotations

from contextlib import suppress

from node.chat.filing import BlockHeld, BlocksSwept, DropBlock, HeldOrder, HoldBlock, SweepBlocks
from node.store.folders import Folder

NEW = ".part"


class HeldBlocks:
    """The folder; its methods block."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def carry_out(self, order: HeldOrder) -> BlockHeld | BlocksSwept | None:
        """Do what the engine asked; what the disk does not take is an answer, not an error."""
        match order:
            case HoldBlock(name, data):
                return BlockHeld(name, self._keep(name.hex(), data))
            case DropBlock(name):
                self._remove(name.hex())
            case SweepBlocks(names):
                return self._sweep({name.hex() for name in names})
        return None

    def read(self, name: str, offset: int, size: int) -> bytes | None:
        """Read so many bytes of a block, None if it is not there."""
        try:
            return self._folder.read(name, offset, size)
        except OSError:
            return None

    def _keep(self, name: str, data: bytes) -> bool:
        try:
            self._folder.write(name + NEW, 0, data)
            self._folder.publish(name + NEW, name)
        except OSError:
            self._remove(name + NEW)
            return False
        return True

    def _remove(self, name: str) -> None:
        with suppress(OSError):
            self._folder.remove(name)

    def _sweep(self, kept: set[str]) -> BlocksSwept:
        try:
            there = set(self._folder.sizes())
        except OSError:
            there = set()
        for name in there - kept:
            self._remove(name)
        return BlocksSwept(frozenset(bytes.fromhex(name) for name in kept - there))

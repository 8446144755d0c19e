"""Sealed attachments at rest: streamed in and out, named by hash, whole or not there (docs/crypto.md 3.14).

    NAME      a whole one: NAME is 64 hex digits, the hash by which its parts travel
    NAME.part one that is still coming
    *.new     one that is being sealed; what a crash left of it goes at the next start

What lies here is the very stream that travels. Its key is in the manifest, which is in the database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from node.chat.filing import (
    BlockResult,
    BlockWritten,
    DropBlock,
    DropFile,
    DropUnfinished,
    FileFinished,
    FileOrder,
    FileResult,
    FileSealed,
    FilesSwept,
    FindParts,
    FinishFile,
    HoldBlock,
    PartRead,
    PartsFound,
    ReadPart,
    ReadSlice,
    SealFile,
    SliceRead,
    SweepBlocks,
    SweepFiles,
    WriteBlock,
    WritePart,
)
from node.crypto.attachment import (
    READ_BYTES,
    AttachmentSealer,
    block_names,
    check_block,
    object_of,
    opened,
)
from node.crypto.primitives import Entropy
from node.errors import PeerFault, Refused, StoreFull
from node.store.folders import Folder
from node.store.held_blocks import HeldBlocks
from node.wire.manifest import Manifest

QUOTA = 2 * 1024 * 1024 * 1024
"""Bytes of all attachments; beyond it nothing more is taken in."""
OURS = 4
"""A quarter of it is for what the owner stores: whoever is in a room with us can fill the rest."""
PART, NEW = ".part", ".new"


class Upload:
    """One content on its way in: `add` pieces, then `finish`; or `abandon`."""

    def __init__(self, store: AttachmentFiles, temporary: str, entropy: Entropy) -> None:
        self._store, self._temporary = store, temporary
        self._sealer = AttachmentSealer(entropy)
        self._lock = threading.Lock()
        self._given_up = False
        self._kept: Manifest | None = None
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Seal and write a piece; raises StoreFull, Refused `locked`."""
        with self._lock:
            self.size += len(piece)
            self._write(self._sealer.add(piece), self._sealer.sealed)

    def finish(self, name: str, kind: str) -> Manifest:
        """Make it durable under its own name; raises StoreFull, Refused `locked`."""
        with self._lock:
            self._write(self._sealer.finish(), self._sealer.sealed)
            self._kept = self._store.adopt(self._temporary, self._sealer, name, kind)
            return self._kept

    def abandon(self) -> None:
        """Erase what there is of it, once a thread that still works at it is done; nothing comes after."""
        with self._lock:
            self._given_up = True
            self._store.remove(self._temporary)
            if self._kept is not None:
                self._store.carry_out(DropFile(object_of(self._kept)))

    def _write(self, data: bytes, end: int) -> None:
        if self._given_up:
            raise StoreFull("the upload was given up")
        if data:
            self._store.write(self._temporary, end - len(data), data)


class AttachmentFiles:
    """The folder of attachments; its methods block, so a daemon calls them on a thread, from any one."""

    def __init__(self, folder: Folder, entropy: Entropy, quota: int = QUOTA) -> None:
        self._folder, self._entropy, self.quota = folder, entropy, quota
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._used = 0
        self._fresh: set[str] = set()
        self._closed = False
        self.held: HeldBlocks | None = None
        """What a relay keeps for others."""

    def open(self) -> None:
        """Count what is there, and erase what a crash left of uploads; raises StoreFull."""
        with _disk():
            self._sizes = self._folder.sizes()
            self._used = sum(self._sizes.values())
            for name in [name for name in self._sizes if name.endswith(NEW)]:
                self.remove(name)

    def close(self) -> None:
        """Write, finish and give out nothing more: the vault is locked, and another may open the folder."""
        self._closed = True

    def _stay_open(self) -> None:
        if self._closed:
            raise Refused("locked", "the vault was locked meanwhile", retryable=True)

    @property
    def used(self) -> int:
        """Bytes of all attachments, whole and partial."""
        return self._used

    # -- in ---------------------------------------------------------------------------------------

    def upload(self) -> Upload:
        """Begin to take a content in."""
        return Upload(self, self._entropy(16).hex() + NEW, self._entropy)

    def adopt(self, temporary: str, sealer: AttachmentSealer, name: str, kind: str) -> Manifest:
        """Give a sealed stream its name, durably."""
        blocks = block_names(sealer.sealed, self._pieces(temporary, sealer.sealed))
        manifest = sealer.manifest(name, kind, blocks)
        final = object_of(manifest).hex()
        self._fresh.add(final)
        self._publish(temporary, final)
        return manifest

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at a place; raises StoreFull where the quota or the disk is."""
        self._stay_open()
        grown = max(0, offset + len(data) - self._sizes.get(name, 0))
        room = self.quota - (self.quota // OURS if name.endswith(PART) else 0)
        with self._lock:
            if grown and self._used + grown > room:
                raise StoreFull("the attachments take all the room that they may")
            self._sizes[name] = self._sizes.get(name, 0) + grown
            self._used += grown
        try:
            with _disk():
                self._folder.write(name, offset, data)
        except StoreFull:
            with self._lock:
                self._sizes[name] -= grown
                self._used -= grown
            raise

    def _publish(self, name: str, final: str) -> None:
        self._stay_open()
        with _disk():
            self._folder.publish(name, final)
        with self._lock:
            self._used -= self._sizes.get(final, 0)
            self._sizes[final] = self._sizes.pop(name)

    def remove(self, name: str) -> None:
        """Erase one file, if it is there."""
        with _disk():
            self._folder.remove(name)
        with self._lock:
            self._used -= self._sizes.pop(name, 0)

    # -- out --------------------------------------------------------------------------------------

    def content(self, manifest: Manifest) -> Iterator[bytes]:
        """Give out the content of a whole attachment; raises PeerFault where it is damaged, StoreFull."""
        return opened(manifest, self._pieces(object_of(manifest).hex(), manifest.sealed))

    def _pieces(self, name: str, sealed: int) -> Iterator[bytes]:
        """Give out a stored stream; one byte more than it has is asked for, so that growth is seen."""
        at = 0
        while at <= sealed:
            self._stay_open()
            with _disk():
                piece = self._folder.read(name, at, min(READ_BYTES, sealed + 1 - at))
            if not piece:
                return
            yield piece
            at += len(piece)

    # -- orders of the engine ---------------------------------------------------------------------

    def carry_out(self, order: FileOrder) -> FileResult | BlockResult | None:
        """Do what the engine asked; what the disk does not take is an answer, not an error."""
        match order:
            case FindParts(name, manifest):
                return self._find(name, manifest)
            case WritePart(name, offset, data):
                return self._part(name, offset, data)
            case WriteBlock(name, index, offset, data):
                return BlockWritten(name, index, "full" if self._part(name, offset, data) else None)
            case ReadSlice(ticket, name, offset, size, held):
                return SliceRead(ticket, (self._others if held else self._read)(name.hex(), offset, size))
            case HoldBlock() | DropBlock() | SweepBlocks():
                return None if self.held is None else self.held.carry_out(order)
            case FinishFile(name, manifest):
                return self._finish(name, manifest)
            case ReadPart(name, index, offset, size):
                return PartRead(name, index, self._read(name.hex(), offset, size))
            case SealFile():
                return self._seal(order)
            case DropFile(name):
                self._drop(name.hex())
            case DropUnfinished(kept):
                self._drop_unfinished({name.hex() + PART for name in kept})
            case SweepFiles(whole, unfinished):
                return self._sweep(whole, unfinished)
        return None

    def _find(self, name: bytes, manifest: Manifest) -> PartsFound:
        if name.hex() in self._sizes:
            return PartsFound(name, frozenset(), whole=True)
        found = set()
        for index in range(len(manifest.blocks) if name.hex() + PART in self._sizes else 0):
            data = self._read(name.hex() + PART, *manifest.span(index))
            try:
                check_block(manifest, index, data or b"")
            except PeerFault:
                continue
            found.add(index)
        return PartsFound(name, frozenset(found), whole=False)

    def _part(self, name: bytes, offset: int, data: bytes) -> FileResult | None:
        try:
            self.write(name.hex() + PART, offset, data)
        except StoreFull:
            return FileFinished(name, "full")
        return None

    def _finish(self, name: bytes, manifest: Manifest) -> FileFinished:
        """Open the whole once: only then it gets the name of a whole one."""
        coming = name.hex() + PART
        try:
            for _ in opened(manifest, self._pieces(coming, manifest.sealed)):
                pass
            self._publish(coming, name.hex())
        except PeerFault:
            self._drop(name.hex())
            return FileFinished(name, "bad")
        except StoreFull:
            return FileFinished(name, "full")
        return FileFinished(name)

    def _read(self, name: str, offset: int, size: int) -> bytes | None:
        try:
            return self._folder.read(name, offset, size)
        except OSError:
            return None

    def _others(self, name: str, offset: int, size: int) -> bytes | None:
        return None if self.held is None else self.held.read(name, offset, size)

    def _seal(self, order: SealFile) -> FileSealed:
        upload = self.upload()
        try:
            upload.add(order.data)
            return FileSealed(order.asked, upload.finish(order.name, order.type))
        except StoreFull:
            _quietly(upload.abandon)
            return FileSealed(order.asked, None)

    def _drop(self, name: str) -> None:
        self._fresh.discard(name)
        for one in (name, name + PART):
            if one in self._sizes:
                _quietly(partial(self.remove, one))

    def _drop_unfinished(self, kept: set[str]) -> None:
        for name in [name for name in list(self._sizes) if name.endswith(PART) and name not in kept]:
            _quietly(partial(self.remove, name))

    def _sweep(self, whole: frozenset[bytes], unfinished: frozenset[bytes]) -> FilesSwept:
        """Erase what nobody names; an upload that ended meanwhile is not known to the engine yet."""
        awaited = {name.hex() for name in unfinished}  # whole already, if a crash came before that was kept
        kept = {name.hex() for name in whole} | awaited | {name + PART for name in awaited} | self._fresh
        for name in [name for name in list(self._sizes) if name not in kept and not name.endswith(NEW)]:
            _quietly(partial(self.remove, name))
        return FilesSwept(frozenset(name for name in whole if name.hex() not in self._sizes))


@contextmanager
def _disk() -> Iterator[None]:
    """Turn what a disk raises into StoreFull."""
    try:
        yield
    except OSError as fault:
        raise StoreFull(f"the folder of attachments could not be used: {fault.strerror}") from fault


def _quietly(act: Callable[[], None]) -> None:
    """Try to erase; what stays is swept at the next start."""
    with suppress(StoreFull):
        act()

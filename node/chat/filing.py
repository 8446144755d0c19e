"""What is asked of the folder of attachments, and what it answers (docs/architecture.md, "One shape").

Attachments are the one thing that is not in the database: they are large, sealed already, and read in pieces.
The engine decides, the folder does: orders go out after the commit that they belong to, answers come back as
inputs. `name` is an attachment's 32 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from node.wire.manifest import Manifest

Why: TypeAlias = Literal["bad", "full"]
"""Not what its manifest says; or the disk did not take it."""


@dataclass(frozen=True, slots=True)
class FindParts:
    """Say which blocks of an attachment are here."""

    name: bytes
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class PartsFound:
    """Those blocks are here, each as the manifest says; `whole`: the attachment is ready."""

    name: bytes
    blocks: frozenset[int]
    whole: bool


@dataclass(frozen=True, slots=True)
class WritePart:
    """Put a block where it belongs."""

    name: bytes
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FinishFile:
    """All blocks are here: see whether the whole is what the manifest says, and make it durable."""

    name: bytes
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class FileFinished:
    """The attachment is ready, or `why` it is not."""

    name: bytes
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class ReadPart:
    """Read a block, to be posted."""

    name: bytes
    index: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class PartRead:
    """A block; None if it is not there."""

    name: bytes
    index: int
    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealFile:
    """Seal a small content that a command brought; `asked` is the command, and comes back with the answer."""

    asked: Any = field(repr=False)
    name: str
    type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileSealed:
    """A content is sealed and durable; without `manifest` the disk did not take it."""

    asked: Any = field(repr=False)
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class DropFile:
    """Erase an attachment."""

    name: bytes


@dataclass(frozen=True, slots=True)
class DropUnfinished:
    """Erase what has come of all attachments but these: there is no room, and nobody is bringing the rest."""

    kept: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class SweepFiles:
    """Erase whatever is none of these; say which of `whole` are missing. Once, at a start."""

    whole: frozenset[bytes]
    partial: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class FilesSwept:
    """Those that should be whole and are not there."""

    missing: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class WriteBlock:
    """Put a block that peers brought where it belongs; `index` is its place in the manifest."""

    name: bytes
    index: int
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BlockWritten:
    """A block is there, or `why` it is not."""

    name: bytes
    index: int
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class ReadSlice:
    """Read so many bytes of an attachment, or of a block that is held for others (`held`), for a peer."""

    ticket: int
    name: bytes
    offset: int
    size: int
    held: bool = False


@dataclass(frozen=True, slots=True)
class SliceRead:
    """What was read; None if it is not there."""

    ticket: int
    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class HoldBlock:
    """Keep a block for others."""

    name: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BlockHeld:
    """A block is kept for others, or the disk did not take it."""

    name: bytes
    kept: bool


@dataclass(frozen=True, slots=True)
class DropBlock:
    """Keep a block no longer."""

    name: bytes


@dataclass(frozen=True, slots=True)
class SweepBlocks:
    """Erase what is held for others and is none of these; say which are missing. Once, at a start."""

    names: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class BlocksSwept:
    """Those that should be held and are not there."""

    missing: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Seek:
    """Have the blocks of an attachment fetched from peers; said again it is looked anew who may have them."""

    name: bytes
    manifest: Manifest
    blocks: tuple[tuple[bytes, int], ...]
    rooms: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SeekNoMore:
    """An attachment is here, or wanted no more."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Share:
    """Let relays have an attachment, for those who come when we are away."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a block that came."""

    block: bytes


PeerOrder: TypeAlias = Seek | SeekNoMore | Share | Settled
"""What is asked of peers about attachments above 1 MiB."""
HeldOrder: TypeAlias = HoldBlock | DropBlock | SweepBlocks
FileOrder: TypeAlias = (
    HeldOrder
    | WriteBlock
    | ReadSlice
    | FindParts
    | WritePart
    | FinishFile
    | ReadPart
    | SealFile
    | DropFile
    | DropUnfinished
    | SweepFiles
)
BlockResult: TypeAlias = BlockWritten | SliceRead | BlockHeld | BlocksSwept
FileResult: TypeAlias = PartsFound | FileFinished | PartRead | FileSealed | FilesSwept

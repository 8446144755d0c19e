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
class SweepFiles:
    """Erase whatever is none of these; say which of `whole` are missing. Once, at a start."""

    whole: frozenset[bytes]
    partial: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class FilesSwept:
    """Those that should be whole and are not there."""

    missing: frozenset[bytes]


FileOrder: TypeAlias = FindParts | WritePart | FinishFile | ReadPart | SealFile | DropFile | SweepFiles
FileResult: TypeAlias = PartsFound | FileFinished | PartRead | FileSealed | FilesSwept

"""What is known of one attachment: its manifest, whether it is here, who names it (docs/crypto.md 3.14)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from node import ids
from node.wire import manifest as manifests
from node.wire.manifest import Manifest

State: TypeAlias = Literal["pending", "ready", "failed"]
PENDING: Final = "pending"
READY: Final = "ready"
FAILED: Final = "failed"


@dataclass(frozen=True)
class Record:
    """One attachment, `name` its file's; `named` messages name it, in `rooms`, the last at `since_ms`.

    `asked`: a frontend wants it, however large.
    """

    name: bytes
    manifest: bytes = field(repr=False)
    state: State
    since_ms: int
    named: int = 0
    rooms: tuple[bytes, ...] = ()
    posted_ms: int = 0
    asked: bool = False

    @property
    def parsed(self) -> Manifest:
        """The manifest as first named here."""
        return manifests.parse(self.manifest)


def described(ident: bytes, record: Record, received: int) -> dict[str, Any]:
    """Return what a frontend is told of an attachment."""
    manifest = record.parsed
    told = {"id": ids.text(ident), "name": manifest.name, "type": manifest.type, "size": manifest.size}
    return {**told, "state": record.state, "received": received, "hash": manifest.hash.hex()}

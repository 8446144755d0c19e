"""What goes into the engine and what comes out beside the ports of mesh and bridge (docs/architecture.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from node.bridge.ports import BridgeEffect, BridgeInput, CommandReceived
from node.chat.behind import Key
from node.chat.filing import BlockResult, FileOrder, FileResult
from node.mesh.ports import CloseLink, Dial, MeshInput, PauseReading, ReadHeld, SendBytes
from node.store.records import Claim, ForgetGone, LetGo, PutEnvelope, Write


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit these writes before anything that follows leaves; always the first effect of an input."""

    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep somebody else's envelope, make room for it, or claim it; within a second will do."""

    write: PutEnvelope | LetGo | ForgetGone | Claim


@dataclass(frozen=True, slots=True)
class ReadChannel:
    """Read the held envelopes with these posting keys, from `since_ms` on, oldest first.

    A channel has become known, or has messages that were left unopened; `final` says that whatever is still
    missing before them will not come.
    """

    channel: Key
    keys: tuple[bytes, ...]
    since_ms: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class FindMessages:
    """Say which of these message ids a room's history has."""

    room: bytes
    mids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FetchMessages:
    """Bring what a room's history has under these message ids; `to_change` comes back with the answer."""

    room: bytes
    mids: tuple[bytes, ...]
    to_change: bool = False


@dataclass(frozen=True, slots=True)
class FetchAfter:
    """Bring a message of a room's history, and up to `limit` of those after it."""

    room: bytes
    mid: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class AnswerStatus:
    """Answer `node_status` with these fields and the store's figures."""

    session: int
    req: str | int | None
    fields: dict[str, Any] = field(default_factory=dict)
    nonced: CommandReceived | None = None


@dataclass(frozen=True, slots=True)
class ShredSoon:
    """Somebody left or was removed: seal the ratchet rows anew, so that what was erased is gone from disk."""


@dataclass(frozen=True, slots=True)
class StopNode:
    """The owner asked the node to stop, cleanly."""


@dataclass(frozen=True, slots=True)
class LockVault:
    """The owner asked to close the vault; the shell answers and takes this engine down."""

    session: int
    req: str | int | None


@dataclass(frozen=True, slots=True)
class SealVault:
    """The owner asked for another passphrase, or none: a `vault_passphrase` for the shell to do."""

    received: CommandReceived


@dataclass(frozen=True, slots=True)
class WriteBackup:
    """The owner asked for a backup: a `backup_create` for the shell to do; `username` is the owner's."""

    received: CommandReceived
    username: str


@dataclass(frozen=True, slots=True)
class KeepToken:
    """The owner asked for another admin token: this one goes into the file, in the old one's place."""

    received: CommandReceived
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenVault:
    """The owner asked to open the vault, with this passphrase."""

    session: int
    req: str | int | None
    passphrase: str = field(repr=False)


VaultOrder: TypeAlias = LockVault | SealVault | OpenVault | WriteBackup | KeepToken


@dataclass(frozen=True, slots=True)
class VaultSealed:
    """What `vault_passphrase` asked for is on disk: `sealed` under a passphrase, or not."""

    received: CommandReceived
    sealed: bool


@dataclass(frozen=True, slots=True)
class BackupWritten:
    """What `backup_create` asked for is on disk; `fields` go into its `ok`."""

    received: CommandReceived
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TokenKept:
    """The admin token that KeepToken named is in the file at `path`."""

    kept: KeepToken
    path: str


@dataclass(frozen=True, slots=True)
class ChannelRead:
    """A page of the held envelopes of a channel, oldest first, as ReadChannel asked; `done`: the last."""

    channel: Key
    envelopes: tuple[bytes, ...]
    final: bool
    done: bool


@dataclass(frozen=True, slots=True)
class MessagesFound:
    """These message ids are in a room's history already."""

    room: bytes
    mids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MessagesFetched:
    """(message id, JSON of its `user_message`, or None) as FetchMessages asked."""

    room: bytes
    found: tuple[tuple[bytes, bytes | None], ...] = field(repr=False)
    to_change: bool = False


@dataclass(frozen=True, slots=True)
class AfterFetched:
    """JSON of the `user_message` that FetchAfter named, None if there is none, and of those after it.

    `more`: there are others after these.
    """

    room: bytes
    mid: bytes
    body: bytes | None = field(repr=False)
    after: tuple[bytes, ...] = field(repr=False)
    more: bool = False


@dataclass(frozen=True, slots=True)
class Woke:
    """The engine's deadline has come."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The node is about to stop: say so to those who watch for our beats."""


Input: TypeAlias = (
    MeshInput
    | BridgeInput
    | ChannelRead
    | MessagesFound
    | MessagesFetched
    | AfterFetched
    | VaultSealed
    | BackupWritten
    | FileResult
    | BlockResult
    | TokenKept
    | Woke
    | Stopping
)
Effect: TypeAlias = (
    Persist
    | Hold
    | ReadChannel
    | FindMessages
    | FetchMessages
    | FetchAfter
    | AnswerStatus
    | StopNode
    | LockVault
    | SealVault
    | WriteBackup
    | KeepToken
    | ShredSoon
    | SendBytes
    | CloseLink
    | PauseReading
    | Dial
    | ReadHeld
    | FileOrder
    | BridgeEffect
)

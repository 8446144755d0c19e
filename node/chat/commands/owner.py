"""What is the owner's: the node, its peers, tokens, origins, backups and the vault (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from node.chat.commands.base import Address, Base, Count, Limit, Name, Passphrase, Scope

DialectName: TypeAlias = Literal["001", "002", "003", "004"]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]


class NodeStatus(Base, frozen=True, kw_only=True):
    """Say how the node is."""


class NodeStop(Base, frozen=True, kw_only=True):
    """Stop the node cleanly."""


class PeerList(Base, frozen=True, kw_only=True):
    """List peers and addresses."""


class PeerAdd(Base, frozen=True, kw_only=True):
    """Dial an address from now on: `ws://HOST:PORT` or `wss://HOST:PORT`."""

    address: Address


class PeerRemove(Base, frozen=True, kw_only=True):
    """Dial an address no longer."""

    address: Address


class TokenCreate(Base, frozen=True, kw_only=True):
    """Make a child token; `expires_in` in seconds."""

    name: Name
    scope: Scope
    expires_in: Annotated[int, Meta(ge=1, le=10 * 366 * 86_400)] | None = None


class TokenList(Base, frozen=True, kw_only=True):
    """List child tokens, without the tokens."""


class TokenRevoke(Base, frozen=True, kw_only=True):
    """End a child token and the sessions that use it."""

    name: Name


class TokenRotate(Base, frozen=True, kw_only=True):
    """Put another token in the place of a child token, or of the admin token where no name is given."""

    name: Name | None = None


class AuditList(Base, frozen=True, kw_only=True):
    """Say which frontend did what, newest entries or those before one, oldest first."""

    limit: Limit | None = None
    before: Count | None = None


class OriginList(Base, frozen=True, kw_only=True):
    """List the web origins that may connect."""


class OriginAllow(Base, frozen=True, kw_only=True):
    """Let pages of an origin connect, given that they have a token."""

    origin: Address


class OriginRemove(Base, frozen=True, kw_only=True):
    """Take an origin off the list and close its sessions."""

    origin: Address


class DialectList(Base, frozen=True, kw_only=True):
    """List the dialects of other frontends, which are on, and where they listen."""


class DialectEnable(Base, frozen=True, kw_only=True):
    """Let frontends of a dialect in, or change how: what is not given stays; an origin is added."""

    dialect: DialectName
    origin: Address | None = None
    port: Port | None = None
    rooms: Literal["open", "private"] | None = None
    serve: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    tls: bool | None = None


class DialectDisable(Base, frozen=True, kw_only=True):
    """Turn a dialect off, or take one origin from it; sessions that lose their right are closed."""

    dialect: DialectName
    origin: Address | None = None


class LoginLinkCreate(Base, frozen=True, kw_only=True):
    """Make a link that logs one browser in, once, within five minutes; with `dialect`, at that one's port."""

    dialect: DialectName | None = None


class BackupCreate(Base, frozen=True, kw_only=True):
    """Write a backup, sealed under `passphrase`, into the home's folder for them."""

    passphrase: Passphrase

    def __repr__(self) -> str:
        """Show everything but the passphrase."""
        return "BackupCreate()"


class VaultPassphrase(Base, frozen=True, kw_only=True):
    """Seal the identity under `passphrase`, or under none; `current` is needed where one is in force."""

    passphrase: Passphrase | None = None
    current: Passphrase | None = None

    def __repr__(self) -> str:
        """Show neither."""
        return "VaultPassphrase()"


class VaultLock(Base, frozen=True, kw_only=True):
    """Close the vault: keys, store and mesh go, the bridge stays."""


class VaultUnlock(Base, frozen=True, kw_only=True):
    """Open the vault again."""

    passphrase: Passphrase

    def __repr__(self) -> str:
        """Show everything but the passphrase."""
        return "VaultUnlock()"


OwnerCommand: TypeAlias = (
    NodeStatus
    | NodeStop
    | PeerList
    | PeerAdd
    | PeerRemove
    | TokenCreate
    | TokenList
    | TokenRevoke
    | TokenRotate
    | AuditList
    | OriginList
    | OriginAllow
    | OriginRemove
    | DialectList
    | DialectEnable
    | DialectDisable
    | LoginLinkCreate
    | BackupCreate
    | VaultPassphrase
    | VaultLock
    | VaultUnlock
)

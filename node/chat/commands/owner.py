"""What is the owner's: the node, its peers, tokens, origins, backups and the vault (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from node.chat.commands.base import Address, Base, Count, Limit, Name, Passphrase, Scope


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


class LoginLinkCreate(Base, frozen=True, kw_only=True):
    """Make a link that logs one browser in, once, within five minutes."""


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
    | LoginLinkCreate
    | BackupCreate
    | VaultPassphrase
    | VaultLock
    | VaultUnlock
)

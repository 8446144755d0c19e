"""Answers to the owner: the node, its peers, tokens, origins, backups and the vault."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET, UnsetType

from node.chat.answers.base import Answer, Row


class HeldOnShelf(Row):
    """What lies on one shelf."""

    envelopes: int
    bytes: int


class Held(Answer):
    """The shelves: of channels of ours, brought by nodes that we know, by any other."""

    own: HeldOnShelf
    known: HeldOnShelf
    other: HeldOnShelf


class NodeFacts(Answer):
    """How the node is; of a locked one, most is empty."""

    version: str
    uptime_s: int
    connectivity: Literal["alone", "connecting", "meshed", "synced", "locked"]
    links: int
    came_in: int
    contacts: int
    rooms: int
    held_envelopes: int
    db_bytes: int
    clients: int
    username: str
    user_id: str
    addresses: list[str]
    log_epoch: str
    seq: int
    clock_skew_s: float | None
    held: Held
    held_quota_bytes: int
    held_ids: int
    oldest_held_ms: int | None
    revoked: bool


class Done(Answer):
    """Nothing more."""


class PeerRow(Row):
    """One link, or an address to which none stands."""

    peer: str | None
    address: str | None
    direction: Literal["in", "out"] | None
    rtt_ms: float | None
    age_s: float | None
    copies: int
    state: Literal["live", "syncing", "down"]
    source: Literal["configured", "contact", "room", "lan", "px"] | None
    known_as: str | None
    last_error: str | None
    retry_s: float | None


class PeerRows(Answer):
    """Peers."""

    peers: list[PeerRow]


class PeerAddress(Answer):
    """Which address it was."""

    address: str


class TokenMade(Answer):
    """A token, shown this once."""

    token: str
    name: str
    scope: Literal["read", "chat", "owner"]
    expires_at: int | None


class TokenReplaced(Answer):
    """A child's new `token`, shown this once; or the `path` of the file that has the new admin token."""

    name: str
    scope: Literal["read", "chat", "owner"]
    expires_at: int | None
    token: str | UnsetType = UNSET
    path: str | UnsetType = UNSET


class TokenRow(Row):
    """One child token, without the token."""

    name: str
    scope: Literal["read", "chat", "owner"]
    created_at: int
    expires_at: int | None


class TokenRows(Answer):
    """Child tokens."""

    tokens: list[TokenRow]


class TokenNamed(Answer):
    """Which token it was."""

    name: str


class AuditRow(Row):
    """What a frontend did, `count` times up to `ts_ms`; `code` is `ok` or that of the error."""

    entry: int
    ts_ms: int
    who: str | None
    via: Literal["token", "unix", "login"] | None
    client: str | None
    session: int | None
    command: str
    code: str
    count: int


class AuditPage(Answer):
    """Entries of the audit log, oldest first, and whether there are older ones."""

    entries: list[AuditRow]
    more: bool


class Origins(Answer):
    """Origins that may connect."""

    origins: list[str]


class OriginNamed(Answer):
    """Which origin it was, as browsers write it."""

    origin: str


class DialectRow(Row):
    """One dialect and where it is spoken; `why` says what is wrong where `state` is `failed`."""

    dialect: Literal["001", "002", "003", "004"]
    enabled: bool
    origins: list[str]
    port: int | None
    rooms: Literal["open", "private"]
    serve: str | None
    tls: bool
    state: Literal["off", "on", "listening", "failed"]
    why: str | None
    address: str | None
    fingerprint: str | None
    cron_secret: str | None


class DialectRows(Answer):
    """All dialects but the native one, which is always on."""

    dialects: list[DialectRow]


class DialectFacts(Answer):
    """How a dialect is now."""

    dialect: Literal["001", "002", "003", "004"]
    enabled: bool
    origins: list[str]
    port: int | None
    rooms: Literal["open", "private"]
    serve: str | None
    tls: bool
    state: Literal["off", "on", "listening", "failed"]
    why: str | None
    address: str | None
    fingerprint: str | None
    cron_secret: str | None


class LoginLink(Answer):
    """A link that logs one browser in, once."""

    url: str
    expires_at: int


class BackupFacts(Answer):
    """Where the backup is, its bytes, and what it holds."""

    path: str
    size: int
    rooms: int
    contacts: int
    messages: int


class Sealed(Answer):
    """Whether the next start needs a passphrase."""

    sealed: bool


class VaultState(Answer):
    """Whether the vault is locked."""

    locked: bool


ANSWERS: Final[dict[str, type[Answer]]] = {
    "node_status": NodeFacts,
    "node_stop": Done,
    "peer_list": PeerRows,
    "peer_add": PeerAddress,
    "peer_remove": PeerAddress,
    "token_create": TokenMade,
    "token_list": TokenRows,
    "token_revoke": TokenNamed,
    "token_rotate": TokenReplaced,
    "audit_list": AuditPage,
    "origin_list": Origins,
    "origin_allow": OriginNamed,
    "origin_remove": OriginNamed,
    "dialect_list": DialectRows,
    "dialect_enable": DialectFacts,
    "dialect_disable": DialectFacts,
    "login_link_create": LoginLink,
    "backup_create": BackupFacts,
    "vault_passphrase": Sealed,
    "vault_lock": VaultState,
    "vault_unlock": VaultState,
}

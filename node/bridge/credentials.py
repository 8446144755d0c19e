"""What a credential opens, and every token that opens something (docs/bridge.md section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from node.bridge.ports import ADMIN, Scope, TokenRecord, Via, hash_token
from node.crypto.primitives import same

RANK: Final[dict[Scope, int]] = {"read": 0, "chat": 1, "owner": 2}
"""A scope may whatever those of a lower rank may."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a credential opens; `limited` means the rate of child tokens, `expires_ms` is UNIX time.

    `mark` is the hash of the token it rests on: when that token goes, so does the session.
    """

    scope: Scope
    name: str
    limited: bool = False
    expires_ms: int | None = None
    via: Via = field(default="token", compare=False)
    mark: bytes = field(default=b"", repr=False, compare=False)


OWNER: Final = Grant("owner", ADMIN, via="unix")
"""What the unix socket opens: it rests on no token."""
SWEEPER: Final = Grant("read", "cron", limited=True)
"""What the secret of dialect 003's cron path opens: that path, and nothing else."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Every token that opens something, as hashes."""

    admin_hash: bytes = field(repr=False)
    tokens: tuple[TokenRecord, ...] = ()

    def lookup(self, token: str, now_ms: int) -> Grant | None:
        """Return what `token` opens; the time taken says nothing about where it differs."""
        mark = hash_token(token)
        found = Grant("owner", ADMIN, mark=mark) if same(mark, self.admin_hash) else None
        for record in self.tokens:
            alive = record.expires_ms is None or now_ms < record.expires_ms
            if same(mark, record.token_hash) and alive:
                found = Grant(
                    record.scope, record.name, limited=True, expires_ms=record.expires_ms, mark=mark
                )
        return found

    @property
    def login(self) -> Grant:
        """What a login opens: the owner's, for as long as the admin token stays."""
        return Grant("owner", ADMIN, via="login", mark=self.admin_hash)

    def stands(self, grant: Grant, now_ms: int) -> bool:
        """Say whether what a grant rests on is still there, and opens as much: of a capability, more."""
        if grant.via == "unix" or same(grant.mark, self.admin_hash):
            return True
        return any(
            same(grant.mark, record.token_hash) and RANK[record.scope] >= RANK[grant.scope]
            for record in self.tokens
            if record.expires_ms is None or now_ms < record.expires_ms
        )

"""The guard: one pure function that decides about every request on every transport (docs/bridge.md 4).

Order: where it came from (Host, or the unix peer's uid), which page asks (Origin), who asks (credential),
and only then what is asked for. What is not allowed here is refused before any handler sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from node.bridge.ports import ADMIN, Scope, TokenRecord, hash_token
from node.crypto.primitives import same

NATIVE_PATHS: Final = frozenset({"/", "/bridge"})
"""Where the native dialect is spoken over websockets."""
PUBLIC: Final = frozenset({("GET", "/"), ("GET", "/api/v1/health"), ("GET", "/api/v1/login")})
"""What needs no credential: the page itself, health, and the login link, whose code is one. HEAD as GET."""
PROTOCOLS: Final = ("gossamer.v1.json", "gossamer.v1.msgpack")
"""Subprotocols of the native dialect; any other entry of Sec-WebSocket-Protocol is taken for a token."""

SCOPES: Final[dict[str, Scope]] = {
    **dict.fromkeys(
        ("hello", "ack", "room_list", "room_get", "invite_list", "contact_list", "history_get", "profile_get",
         "node_status", "peer_list", "token_list", "origin_list", "message_why", "receipts_get",
         "ledger_get"),
        "read",
    ),
    **dict.fromkeys(
        ("room_create", "room_read", "room_mute", "message_read",
         "user_join", "user_leave", "member_remove", "member_role",
         "room_update", "room_delete", "room_rekey", "user_message", "message_edit",
         "message_delete", "reaction_set", "typing_set",
         "user_invite", "user_invite_response", "invite_cancel", "contact_add", "contact_rename",
         "contact_verify", "contact_policy", "contact_link_create", "contact_link_reset",
         "dm_open", "profile_set",
         "room_link_create", "room_link_use", "room_link_revoke"),
        "chat",
    ),
    **dict.fromkeys(
        ("node_stop", "peer_add", "peer_remove", "token_create", "token_revoke", "origin_allow",
         "origin_remove", "login_link_create", "backup_create",
         "vault_passphrase", "vault_lock", "vault_unlock", "receipts_set"),
        "owner",
    ),
}  # fmt: skip
"""The least scope that may use a command; a command without an entry is nobody's."""
_RANK: Final[dict[Scope, int]] = {"read": 0, "chat": 1, "owner": 2}


def may(scope: Scope, command: str) -> bool:
    """Say whether a session of `scope` may use the command of this name."""
    least = SCOPES.get(command)
    return least is not None and _RANK[scope] >= _RANK[least]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a credential opens; `limited` means the rate of child tokens, `expires_ms` is UNIX time."""

    scope: Scope
    name: str
    limited: bool = False
    expires_ms: int | None = None


OWNER: Final = Grant("owner", ADMIN)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Every token that opens something, as hashes."""

    admin_hash: bytes = field(repr=False)
    tokens: tuple[TokenRecord, ...] = ()

    def lookup(self, token: str, now_ms: int) -> Grant | None:
        """Return what `token` opens; the time taken says nothing about where it differs."""
        mark = hash_token(token)
        found = OWNER if same(mark, self.admin_hash) else None
        for record in self.tokens:
            alive = record.expires_ms is None or now_ms < record.expires_ms
            if same(mark, record.token_hash) and alive:
                found = Grant(record.scope, record.name, limited=True, expires_ms=record.expires_ms)
        return found


@dataclass(frozen=True, slots=True)
class Policy:
    """What the owner allows: Host values and own origins with their port, and the origin allow list."""

    hosts: frozenset[str]
    own_origins: frozenset[str]
    origins: frozenset[str]
    credentials: Credentials
    cookie_valid: Callable[[str, int], bool]
    own_uid: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the guard sees it; header values are given as often as they came."""

    method: str
    path: str
    websocket: bool = False
    unix: bool = False
    peer_uid: int | None = None
    hosts: tuple[str, ...] = ()
    target_host: str | None = None
    origins: tuple[str, ...] = ()
    authorization: tuple[str, ...] = field(default=(), repr=False)
    query_tokens: tuple[str, ...] = field(default=(), repr=False)
    protocols: tuple[str, ...] = field(default=(), repr=False)
    cookie: str | None = field(default=None, repr=False)
    content_type: str = ""
    has_body: bool = False
    fetch_site: str | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """Let it through; `grant` is None where no credential is needed or a `hello{token}` has to follow."""

    grant: Grant | None
    cors_origin: str | None = None


@dataclass(frozen=True, slots=True)
class Preflight:
    """Answer 204 with exactly this origin."""

    origin: str


@dataclass(frozen=True, slots=True)
class Deny:
    """Answer with this status and stable code; `origin` is the one to name to the owner."""

    status: int
    code: str
    message: str
    origin: str | None = None


Decision: TypeAlias = Admit | Preflight | Deny


def decide(request: Request, policy: Policy, now_ms: int) -> Decision:
    """Judge one request; the only way to any handler."""
    place = _place(request, policy)
    if place is not None:
        return place
    origin = request.origins[0] if request.origins else None
    if origin is not None and (len(request.origins) > 1 or not _known(origin, policy)):
        return Deny(403, "origin_not_allowed", "pages of this origin may not connect to this node", origin)
    cors = origin if origin in policy.origins else None
    if request.method == "OPTIONS" and origin is not None:
        return Preflight(origin)
    if request.unix:
        return Admit(OWNER, cors)
    return _credential(request, policy, origin, cors, now_ms)


def _place(request: Request, policy: Policy) -> Deny | None:
    if request.unix:
        if request.peer_uid == policy.own_uid:
            return None
        return Deny(403, "forbidden", "this socket belongs to another user")
    named = [host.lower() for host in request.hosts]
    if request.target_host is not None:
        named.append(request.target_host.lower())
    if len(request.hosts) == 1 and all(host in policy.hosts for host in named):
        return None
    return Deny(421, "wrong_host", "the Host header names no address of this bridge")


def _known(origin: str, policy: Policy) -> bool:
    return origin != "null" and (origin in policy.own_origins or origin in policy.origins)


def _credential(
    request: Request, policy: Policy, origin: str | None, cors: str | None, now_ms: int
) -> Decision:
    offered = offered_tokens(request)
    if offered:
        grants = [policy.credentials.lookup(token, now_ms) for token in offered]
        if any(grant is None or grant != grants[0] for grant in grants):
            return Deny(401, "unauthorized", "the token is not valid")
        return _write_rules(request, grants[0], cors, by_cookie=False)
    public = _is_public(request)
    # A cookie rides along unasked, so it counts only where the browser says which page asks.
    if request.cookie is not None and origin is not None:
        if policy.cookie_valid(request.cookie, now_ms):
            return _write_rules(request, OWNER, cors, by_cookie=True)
        if not public:
            return Deny(401, "unauthorized", "the login is over: make a new login link")
    if public:
        return Admit(None, cors)
    if request.websocket and request.path in NATIVE_PATHS:
        if origin is None:
            return Admit(None)
        return Deny(403, "credential_missing", "an allowed origin needs a token or a login besides")
    return Deny(401, "unauthorized", "a token is needed")


def offered_tokens(request: Request) -> tuple[str, ...]:
    """Return every token that the handshake carries, wherever; all of them must hold."""
    bearer = tuple(
        value.split(" ", 1)[1].strip()
        for value in request.authorization
        if value.lower().startswith("bearer ")
    )
    return bearer + request.query_tokens + tuple(p for p in request.protocols if p not in PROTOCOLS)


def _is_public(request: Request) -> bool:
    method = "GET" if request.method == "HEAD" else request.method
    return not request.websocket and (method, request.path) in PUBLIC


def _write_rules(request: Request, grant: Grant | None, cors: str | None, *, by_cookie: bool) -> Decision:
    if request.websocket or request.method in {"GET", "HEAD", "OPTIONS"}:
        return Admit(grant, cors)
    if by_cookie and request.fetch_site not in {"same-origin", "none"}:
        return Deny(403, "cross_site", "a login may write only from the node's own page")
    if request.has_body and request.content_type.split(";")[0].strip().lower() != "application/json":
        return Deny(415, "unsupported_media_type", "a body has to be application/json")
    return Admit(grant, cors)


def hosts_of(port: int, extra: tuple[str, ...] = ()) -> frozenset[str]:
    """Return the Host values this bridge answers to: loopback names with its port, and the owner's own."""
    names = {f"127.0.0.1:{port}", f"[::1]:{port}", f"localhost:{port}"}
    for name in extra:
        names.add(name.lower() if re.search(r":\d+\Z", name) else f"{name.lower()}:{port}")
    if port == 80:
        names |= {name.removesuffix(":80") for name in names}
    return frozenset(names)


def own_origins_of(hosts: frozenset[str]) -> frozenset[str]:
    """Return the origins of the node's own page under these Host values."""
    return frozenset(f"http://{host}" for host in hosts)

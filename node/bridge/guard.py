"""The guard: one pure function that decides about every request on every transport (docs/bridge.md 4).

Order: where it came from (Host, or the unix peer's uid), which page asks (Origin), who asks (credential),
and only then what is asked for. What is not allowed here is refused before any handler sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from node.bridge.credentials import OWNER, RANK as _RANK, SWEEPER, Credentials, Grant
from node.bridge.dialect_routes import CRON, DIALECT_ROUTES, DIALECTS, EVENTS, SOCKET_IO, pattern_of, speakers
from node.bridge.ports import Scope

__all__ = ("OWNER", "SWEEPER", "Credentials", "Grant")  # what is judged by, at hand where it is judged

NATIVE_PATHS: Final = frozenset({"/", "/bridge"})
"""Where the native dialect is spoken over websockets."""
ROUTES: Final[dict[tuple[str, str], Scope | None]] = {
    ("GET", "/"): None,
    ("GET", "/bridge"): "read",
    ("GET", "/api/v1/health"): None,
    ("GET", "/api/v1/login"): None,
    ("GET", "/api/v1/metrics"): "read",
    ("POST", "/api/v1/attachments"): "chat",
    ("GET", "/api/v1/attachments/{id}"): "read",
    ("GET", "/api/v1/schema"): "read",
    **DIALECT_ROUTES,
}
"""The least scope of every route; None: it needs no credential. `{name}` in a path stands for one part of it.

Public are the page itself, health, and the login link, whose code is a credential. HEAD goes as GET.
"""
LOGIN_PATH: Final = "/api/v1/login"
DOWNLOADS: Final = "/api/v1/attachments/"
PUBLIC: Final = frozenset(route for route, scope in ROUTES.items() if scope is None)
MAX_BODY: Final = 1024 * 1024
"""Bytes of an HTTP body; what takes more has an entry in BODIES."""
BODIES: Final[dict[tuple[str, str], int]] = {("POST", "/api/v1/attachments"): 64 * 1024 * 1024}
"""Routes with a limit of their own, by method and path as in ROUTES."""
PROTOCOLS: Final = ("gossamer.v1.json", "gossamer.v1.msgpack")
"""Subprotocols of the native dialect; any other entry of Sec-WebSocket-Protocol is taken for a token."""

SCOPES: Final[dict[str, Scope]] = {
    **dict.fromkeys(
        ("hello", "ack", "room_list", "room_get", "invite_list", "contact_list", "history_get", "profile_get",
         "search", "batch", "consumer_list", "user_search", "attachment_get", "message_why", "receipts_get",
         "ledger_get", "node_status", "peer_list", "token_list", "origin_list", "dialect_list"),
        "read",
    ),
    **dict.fromkeys(
        ("room_create", "room_read", "room_mute", "message_read",
         "user_join", "user_leave", "member_remove", "member_role",
         "room_update", "room_delete", "room_rekey", "user_message", "message_edit",
         "message_delete", "reaction_set", "typing_set",
         "user_invite", "user_invite_response", "invite_cancel", "contact_add", "contact_rename",
         "contact_request", "contact_accept", "contact_reject", "contact_cancel", "contact_remove",
         "contact_block", "contact_unblock",
         "contact_verify", "contact_policy", "contact_link_create", "contact_link_reset",
         "dm_open", "profile_set", "presence_set", "presence_sweep", "attachment_put",
         "room_link_create", "room_link_use", "room_link_revoke"),
        "chat",
    ),
    **dict.fromkeys(
        ("node_stop", "peer_add", "peer_remove", "token_create", "token_revoke", "token_rotate",
         "origin_allow", "origin_remove", "dialect_enable", "dialect_disable",
         "consumer_remove", "login_link_create", "audit_list",
         "backup_create", "vault_passphrase", "vault_lock", "vault_unlock", "receipts_set"),
        "owner",
    ),
    "notification_list": "read",
    **dict.fromkeys(("notification_read", "notification_read_all", "announcement_send"), "chat"),
}  # fmt: skip
"""The least scope that may use a command; a command without an entry is nobody's."""
SHOWN: Final[dict[str, Scope]] = dict.fromkeys(
    ("hello", "ok", "error", "warning", "caught_up", "lagged",
     "user_join", "user_leave", "user_message", "attachment", "message_healed", "message_status", "typing",
     "message_edited", "message_deleted", "reaction",
     "user_invite", "invite_result", "room_created", "room_updated", "room_deleted", "room_listed",
     "contact_added", "contact_requested", "contact_request_cancelled", "contact_rejected", "contact_removed",
     "contact_updated", "key_changed", "profile", "presence",
     "notification", "notifications_read", "announcement", "peer_up", "peer_down", "connectivity"),
    "read",
)  # fmt: skip
"""The least scope that is shown an event; one without an entry is shown to nobody."""


def may(scope: Scope, command: str) -> bool:
    """Say whether a session of `scope` may use the command of this name."""
    least = SCOPES.get(command)
    return least is not None and _RANK[scope] >= _RANK[least]


def may_see(scope: Scope, event: str) -> bool:
    """Say whether a session of `scope` is shown events of this name."""
    least = SHOWN.get(event)
    return least is not None and _RANK[scope] >= _RANK[least]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A dialect that is on. With a port of its own it has Host values and own origins of that port, too.

    `origins` may speak this dialect and do nothing else; `serves` means that a build is shown at the port.
    """

    name: str
    origins: frozenset[str] = frozenset()
    port: int | None = None
    hosts: frozenset[str] = frozenset()
    own_origins: frozenset[str] = frozenset()
    serves: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What the owner allows: Host values and own origins with their port, and the origin allow list."""

    hosts: frozenset[str]
    own_origins: frozenset[str]
    origins: frozenset[str]
    credentials: Credentials
    cookie_valid: Callable[[str, int, int], bool]
    """By its value, the time, and the dialect's own port that it came in at; 0 at the bridge's."""
    own_uid: int
    capability: Callable[[str, str, int], Grant | None] = lambda _path, _capability, _now_ms: None
    """What a capability opens at a path, if it is good for exactly that one."""
    dialects: tuple[Spoken, ...] = ()
    cron_valid: Callable[[str], bool] = lambda _secret: False

    def at(self, port: int | None) -> Spoken | None:
        """Return the dialect whose own port this is; None for the bridge's."""
        return next((one for one in self.dialects if port is not None and one.port == port), None)

    def welcome(self, dialect: str, port: int | None, origin: str | None) -> bool:
        """Say whether a socket that was opened so may stay; `dialect` is `native`, or names with spaces."""
        there = self.at(port)
        if there is None and port is not None and f"localhost:{port}" not in self.hosts:
            return False
        own = self.own_origins if there is None else there.own_origins
        if dialect == "native":
            return origin is None or origin in own or (there is None and origin in self.origins)
        spoken = [one for one in self.dialects if one.name in dialect.split() and there in {None, one}]
        return bool(spoken) and (origin is None or origin in own or any(origin in o.origins for o in spoken))


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the guard sees it; header values are given as often as they came."""

    method: str
    path: str
    port: int | None = None
    """Of this machine, that it came in on."""
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
    body_bytes: int | None = None
    capabilities: tuple[str, ...] = field(default=(), repr=False)
    fetch_site: str | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """Let it through; `grant` is None where no credential is needed or one has to follow on the connection.

    `dialects` are those that are on and spoken at this path; `build` names the one whose build is asked for.
    """

    grant: Grant | None
    cors_origin: str | None = None
    dialects: tuple[str, ...] = ()
    build: str | None = None


@dataclass(frozen=True, slots=True)
class Preflight:
    """Answer 204 with exactly this origin."""

    origin: str


@dataclass(frozen=True, slots=True)
class Deny:
    """Answer with this status and stable code; `origin` is the one to name to the owner.

    `dialects` are those that it could be let in to; none where the general list would.
    """

    status: int
    code: str
    message: str
    origin: str | None = None
    dialects: tuple[str, ...] = ()


Decision: TypeAlias = Admit | Preflight | Deny


def decide(request: Request, policy: Policy, now_ms: int) -> Decision:
    """Judge one request; the only way to any handler."""
    place = _place(request, policy)
    if not isinstance(place, Place):
        return place
    origin = request.origins[0] if request.origins else None
    if origin is not None and (len(request.origins) > 1 or not place.knows(origin)):
        text = "pages of this origin may not connect to this node"
        return Deny(403, "origin_not_allowed", text, origin, place.whose)
    cors = origin if origin in place.listed else None
    if request.method == "OPTIONS" and origin is not None:
        return Preflight(origin)
    if place.dialects and _is_cron(request):
        decision = _by_secret(request, policy, cors)
    elif request.unix:
        decision = Admit(OWNER, cors)
    else:
        decision = _credential(request, policy, place, now_ms, origin=origin)
    if not isinstance(decision, Admit):
        return decision
    return _within(request, replace(decision, dialects=place.dialects, build=place.build))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request arrives: whose pages may ask there, and which dialects are spoken there."""

    own: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    dialects: tuple[str, ...] = ()
    build: str | None = None
    extra: str | None = None
    """The dialect whose own port it is."""

    @property
    def whose(self) -> tuple[str, ...]:
        """The dialects whose origins count here; none where the general list does."""
        return self.dialects or (() if self.extra is None else (self.extra,))

    def knows(self, origin: str) -> bool:
        """Say whether pages of this origin may ask here, given a credential."""
        return origin != "null" and (origin in self.own or origin in self.listed)


def _place(request: Request, policy: Policy) -> Place | Deny:
    there = policy.at(request.port)
    if request.unix:
        if request.peer_uid != policy.own_uid:
            return Deny(403, "forbidden", "this socket belongs to another user")
    elif not _named(request, policy.hosts if there is None else there.hosts):
        return Deny(421, "wrong_host", "the Host header names no address of this bridge")
    spoken = speakers(request.path)
    if spoken:
        return _spoken_place(policy, spoken, there)
    if there is not None:
        return _extra_place(request, there)
    listed = policy.origins
    if _by_link(request):  # of the pages that were given the link, and it opens nothing else
        listed |= frozenset().union(*(one.origins for one in policy.dialects))
    return Place(policy.own_origins, listed)


def _named(request: Request, hosts: frozenset[str]) -> bool:
    named = [host.lower() for host in request.hosts]
    if request.target_host is not None:
        named.append(request.target_host.lower())
    return len(request.hosts) == 1 and all(host in hosts for host in named)


def _spoken_place(policy: Policy, spoken: frozenset[str], there: Spoken | None) -> Place | Deny:
    """The path of a dialect: its own port speaks it alone, the bridge's port all that are on."""
    here = policy.dialects if there is None else (there,)
    on = [one for one in here if one.name in spoken]
    if on:
        own = policy.own_origins if there is None else there.own_origins
        listed = frozenset[str]().union(*(one.origins for one in on))
        return Place(own, listed, tuple(one.name for one in on), extra=None if there is None else there.name)
    if there is not None:
        return _not_here(there)
    which = " or ".join(name for name in DIALECTS if name in spoken)
    return Deny(404, "not_enabled", f"this dialect is off: gossamer bridge enable {which}")


def _extra_place(request: Request, there: Spoken) -> Place | Deny:
    """A port of a dialect's own has the login link, links of attachments, the build, and nothing else."""
    reads = not request.websocket and request.method in {"GET", "HEAD", "OPTIONS"}
    if (reads and request.path == LOGIN_PATH) or _by_link(request):
        return Place(there.own_origins, there.origins, extra=there.name)
    if reads and there.serves and not request.path.startswith("/api/"):
        build = None if request.method == "OPTIONS" else there.name
        return Place(there.own_origins, there.origins, build=build, extra=there.name)
    return _not_here(there)


def _not_here(there: Spoken) -> Deny:
    return Deny(404, "not_here", f"this port is for dialect {there.name} alone")


def _by_link(request: Request) -> bool:
    """Say whether an attachment is asked for by its capability and by nothing else."""
    reads = not request.websocket and request.method in {"GET", "HEAD", "OPTIONS"}
    plain = reads and bool(request.capabilities) and not offered_tokens(request)
    return plain and request.path.startswith(DOWNLOADS)


def _is_cron(request: Request) -> bool:
    return (request.method, request.path.removesuffix("/")) == CRON


def _by_secret(request: Request, policy: Policy, cors: str | None) -> Decision:
    """The secret of the cron path, as the only credential there is."""
    offered = offered_tokens(request)
    if len(offered) == len(request.authorization) == 1 and policy.cron_valid(offered[0]):
        return _write_rules(request, SWEEPER, cors, by_cookie=False)
    return Deny(401, "unauthorized", "this path needs the secret in the file `cron_secret`")


def _credential(
    request: Request, policy: Policy, place: Place, now_ms: int, *, origin: str | None
) -> Decision:
    cors = origin if origin in place.listed else None
    offered = offered_tokens(request)
    if offered:
        grants = [policy.credentials.lookup(token, now_ms) for token in offered]
        if any(grant is None or grant != grants[0] for grant in grants):
            return Deny(401, "unauthorized", "the token is not valid")
        return _write_rules(request, grants[0], cors, by_cookie=False)
    if request.capabilities and not request.websocket and request.method in {"GET", "HEAD"}:
        return _by_capability(request, policy, cors, now_ms)
    # Of Socket.IO the token may come in the first packet; a page of the events protocol is told its lack by
    # a close code, for it cannot see a status. The shells do nothing before, and nothing else. A page of
    # another origin that asks as for a picture, and so without saying which it is, could fill their places.
    foreign = origin is None and request.fetch_site in {"cross-site", "same-site"}
    waits = not foreign and (request.path in SOCKET_IO or (request.websocket and request.path in EVENTS))
    public = place.build is not None or _is_public(request)
    # A cookie rides along unasked, so it counts only where the browser says which page asks. Of what a page
    # reads from its own origin, only Sec-Fetch-Site does.
    asked = origin is not None or (bool(place.dialects) and request.fetch_site == "same-origin")
    # Another origin's polling cannot write by a login, so it does not read by one: a token is to come.
    polls = request.path in SOCKET_IO and not request.websocket
    asked &= not polls or origin is None or origin in place.own
    if request.cookie is not None and asked:
        if policy.cookie_valid(request.cookie, now_ms, (request.port or 0) if place.extra else 0):
            login = policy.credentials.login
            grant = replace(login, scope="chat") if place.whose else login
            return _write_rules(request, grant, cors, by_cookie=True)
        if not (public or waits):
            return Deny(401, "unauthorized", "the login is over: make a new login link")
    if public or waits:
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


def _by_capability(request: Request, policy: Policy, cors: str | None, now_ms: int) -> Decision:
    """A capability is a credential for exactly one path: it opens that one to be read, and nothing else."""
    if len(request.capabilities) == 1:
        grant = policy.capability(request.path, request.capabilities[0], now_ms)
        if grant is not None:
            return Admit(grant, cors)
    return Deny(401, "unauthorized", "this link is not valid, or no longer")


def route_of(method: str, path: str) -> tuple[str, str] | None:
    """Return the key of ROUTES that a request is for, if there is one."""
    method = "GET" if method == "HEAD" else method
    found = (key for key, pattern in _PATTERNS.items() if key[0] == method and pattern.fullmatch(path))
    return next(found, None)


_PATTERNS: Final = {key: pattern_of(key[1]) for key in ROUTES}


def _within(request: Request, admit: Admit) -> Decision:
    """Hold what is admitted to the scope of its route, and a body to its size."""
    route = route_of(request.method, request.path)
    least = None if route is None else ROUTES[route]
    if least is not None and admit.grant is not None and _RANK[admit.grant.scope] < _RANK[least]:
        return Deny(403, "forbidden", f"a token of scope {admit.grant.scope} may not use this path")
    most = MAX_BODY if route is None else BODIES.get(route, MAX_BODY)
    if request.body_bytes is not None and request.body_bytes > most:
        code = "attachment_too_large" if route in BODIES else "too_large"
        return Deny(413, code, f"a body has at most {most} bytes here")
    return admit


def _is_public(request: Request) -> bool:
    return not request.websocket and route_of(request.method, request.path) in PUBLIC


def _write_rules(request: Request, grant: Grant | None, cors: str | None, *, by_cookie: bool) -> Decision:
    if request.websocket or request.method in {"GET", "HEAD", "OPTIONS"}:
        return Admit(grant, cors)
    if by_cookie and request.fetch_site not in {"same-origin", "none"}:
        return Deny(403, "cross_site", "a login may write only from the node's own page")
    # Any kind of content is uploaded, and polling's is text; it is no form's, for a form's cookie is refused.
    uploads = request.path in SOCKET_IO or route_of(request.method, request.path) in BODIES
    if (
        request.has_body
        and not uploads
        and request.content_type.split(";")[0].strip().lower() != "application/json"
    ):
        return Deny(415, "unsupported_media_type", "a body has to be application/json")
    return Admit(grant, cors)


def hosts_of(port: int, extra: tuple[str, ...] = (), *, tls: bool = False) -> frozenset[str]:
    """Return the Host values this bridge answers to: loopback names with its port, and the owner's own."""
    names = {f"127.0.0.1:{port}", f"[::1]:{port}", f"localhost:{port}"}
    for name in extra:
        names.add(name.lower() if re.search(r":\d+\Z", name) else f"{name.lower()}:{port}")
    usual = 443 if tls else 80
    if port == usual:
        names |= {name.removesuffix(f":{usual}") for name in names}
    return frozenset(names)


def own_origins_of(hosts: frozenset[str], *, tls: bool = False) -> frozenset[str]:
    """Return the origins of the node's own page under these Host values."""
    return frozenset(f"http{'s' if tls else ''}://{host}" for host in hosts)

"""The bridge's shell: one localhost port and one unix socket, many frontends, one engine behind.

It listens, hands every request to the guard, gives websockets a session, and carries out what the engine
orders without ever waiting for a frontend (docs/bridge.md sections 3 to 5).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, assert_never

import msgspec
from aiohttp import web

from node import ids
from node.bridge import audit, capabilities, guard, http_routes
from node.bridge.audit import Audit
from node.bridge.dialects.base import Dialect
from node.bridge.dialects.native import NativeJson, NativeMsgpack
from node.bridge.guard import Admit, Credentials, Decision, Deny, Policy, Request
from node.bridge.http_attachments import Attachments, Nowhere, Shelf
from node.bridge.http_reading import Reader
from node.bridge.http_routes import VIEW, Runner, make_app, problem
from node.bridge.http_socket import CLOSE_SECONDS, Connection, Surroundings
from node.bridge.logins import COOKIE_SECONDS, LINK_MS, MAX_LINKS, Logins
from node.bridge.media import Dresser
from node.bridge.metrics import Meter, Shown, counters, gauge, render
from node.bridge.ports import (
    ADMIN,
    BridgeEffect,
    BridgeInput,
    CredentialsChanged,
    Deliver,
    EndSession,
    GiveAttachment,
    ReadHistory,
    ReadSearch,
    StartReplay,
    TokenRecord,
    UploadKept,
    hash_token,
)
from node.bridge.session import Phase, Session
from node.chat import commands
from node.chat.attachments import FAILED
from node.clock import Instant
from node.crypto.primitives import Entropy
from node.errors import Refused

log = logging.getLogger(__name__)

MAX_FRAME = 1024 * 1024
"""Bytes of one frame; a longer one closes the socket with 1009."""
MAX_SESSIONS = 512
"""Open sockets; an owner has a handful of frontends."""
MAX_NAMELESS = 64
"""Of these, sockets that have not said hello yet."""
MAX_REFUSED_ORIGINS = 256
"""Refused origins remembered so that each is logged once."""
RESTARTING, ORIGIN_GONE, TOKEN_GONE = 1012, 4403, 4401
STOP_SECONDS = 4.0
LOGIN: Final = audit.Who(ADMIN, "login")


class BridgeServer:
    """Listens for frontends; `perform` carries out one order of the engine and never blocks."""

    def __init__(
        self,
        submit: Callable[[BridgeInput], None],
        reader: Reader,
        *,
        admin_token: str,
        host: str,
        port: int,
        socket_path: Path | None,
        entropy: Entropy,
        clock: Callable[[], Instant],
        backlog: Callable[[], int] = lambda: 0,
        locked: Callable[[], bool] = lambda: False,
        tokens: tuple[TokenRecord, ...] = (),
        origins: tuple[str, ...] = (),
        extra_hosts: tuple[str, ...] = (),
        audit_store: audit.Store | None = None,
        state: Callable[[], str] = lambda: "ok",
        figures: Callable[[], Awaitable[list[Shown]]] | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._socket_path = socket_path
        self._extra_hosts = extra_hosts
        self._clock = clock
        self._entropy = entropy
        self._logins = Logins(admin_token, entropy)
        self._links: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._credentials = Credentials(hash_token(admin_token), tokens)
        self._origins = frozenset(origins)
        self._policy = self._make_policy(frozenset())
        self._kept: audit.Store = audit.Forgetful() if audit_store is None else audit_store
        self._audit = Audit()
        self._meter = Meter()
        self._state, self._figures = state, figures
        self._around = Surroundings(
            submit, reader, clock, backlog, self._lookup, self._own, self._record, self._meter, locked
        )
        self._shelf: Shelf = Nowhere() if shelf is None else shelf
        self.attachments = Attachments(self._shelf, submit, self._stands, self._record_http)
        self._around.dress = self._dress
        self._around.content = lambda manifest: b"".join(self._shelf.content(manifest))
        self._connections: dict[int, Connection] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._next = 1
        self._refused: set[str] = set()
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._stopping = False

    # -- life -------------------------------------------------------------------------------------

    async def start(self, *, tries: int = 1) -> tuple[str, int]:
        """Listen and return (host, port); of `tries` ports the first free one. Raises OSError if none is."""
        runner = Runner(
            make_app(self),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=http_routes.IDLE_SECONDS,
            auto_decompress=False,  # it comes before the guard
        )
        self._audit.last = await asyncio.to_thread(self._kept.last)
        listener = self._bind(tries)
        self._port = listener.getsockname()[1]
        named = () if self._host in {"0.0.0.0", "::", ""} else (_bracketed(self._host),)  # noqa: S104
        self._policy = self._make_policy(guard.hosts_of(self._port, (*self._extra_hosts, *named)))
        await runner.setup()
        self._runner = runner
        await web.SockSite(runner, listener).start()
        if self._socket_path is not None:
            await self._listen_unix(runner, self._socket_path)
        self._ticker = asyncio.create_task(self._tick(), name="bridge-ticker")
        return self._host, self._port

    async def stop(self, code: int = RESTARTING) -> None:
        """Close every frontend with `code` after what is queued for it, at most 5 s, and stop listening."""
        self._stopping = True
        for connection in tuple(self._connections.values()):
            connection.close(code, "the node is stopping")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS - 1):
                await self._empty.wait()
        for connection in tuple(self._connections.values()):
            connection.abort()
        self._audit.close()
        self._kept.append(self._audit.take())
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._socket_path is not None:
            await asyncio.to_thread(self._socket_path.unlink, missing_ok=True)

    def login_url(self) -> str:
        """Return a link that logs one browser in, once, within five minutes."""
        return self._login_link()[0]

    # -- orders of the engine ---------------------------------------------------------------------

    def perform(self, effect: BridgeEffect) -> None:
        """Carry out one order; orders for sessions that are gone are forgotten."""
        if isinstance(effect, CredentialsChanged):
            self._on_credentials(effect)
            return
        if isinstance(effect, UploadKept):
            self.attachments.kept(effect)
            return
        connection = self._connections.get(effect.session)
        if connection is None:
            return
        match effect:
            case Deliver():
                connection.deliver(effect.event)
            case StartReplay():
                connection.start_replay(effect)
            case ReadHistory() | ReadSearch():
                connection.read(effect)
            case GiveAttachment():
                connection.give_attachment(effect)
            case EndSession():
                connection.close(effect.code, effect.reason)
            case _:
                assert_never(effect)

    def _on_credentials(self, change: CredentialsChanged) -> None:
        admin_hash = self._credentials.admin_hash
        if change.admin_token is not None:
            admin_hash, self._logins = (
                hash_token(change.admin_token),
                Logins(change.admin_token, self._entropy),
            )
            self._links.clear()
        self._credentials = Credentials(admin_hash, change.tokens)
        self._origins = frozenset(change.origins)
        self._policy = self._make_policy(self._policy.hosts)
        self._refused -= self._origins
        now_ms = self._clock().wall_ms
        for connection in tuple(self._connections.values()):
            grant, origin = connection.session.grant, connection.origin
            if grant is not None and not self._credentials.stands(grant, now_ms):
                connection.close(TOKEN_GONE, "the token was revoked or replaced")
            elif origin is not None and origin not in self._policy.own_origins | self._origins:
                connection.close(ORIGIN_GONE, "the origin was taken off the list")

    # -- requests (http_routes.Door) --------------------------------------------------------------

    @property
    def cookie_name(self) -> str:
        """The name of the login cookie of this node on this port."""
        return self._logins.cookie_name(self._port)

    def judge(self, request: Request) -> Decision:
        """Ask the guard; tell the owner once about each origin it refuses."""
        decision = guard.decide(request, self._policy, self._clock().wall_ms)
        if isinstance(decision, Deny):
            self._meter.refused[(decision.code,)] += 1
            self._record(audit.NOBODY, "connect", decision.code)
            if decision.origin is not None:
                self._tell_refused(decision.origin)
        return decision

    def redeem(self, code: str) -> tuple[str, int] | None:
        """Turn a login code into the cookie's value and its seconds, once."""
        value = self._logins.redeem(code, self._clock().wall_ms)
        self._record(LOGIN if value else audit.NOBODY, "login", audit.OK if value else "unauthorized")
        return None if value is None else (value, COOKIE_SECONDS)

    async def serve(self, request: web.Request, admit: Admit) -> web.StreamResponse:
        """Serve one websocket until it is closed."""
        if self._stopping or len(self._connections) >= MAX_SESSIONS:
            return problem(503, "busy", "too many frontends are connected, or the node is stopping")
        if admit.grant is None and self._nameless() >= MAX_NAMELESS:
            return problem(503, "busy", "too many connections wait for a hello")
        view = request[VIEW]
        known = tuple(entry for entry in view.protocols if entry in guard.PROTOCOLS)
        ws = web.WebSocketResponse(
            protocols=known or view.protocols,  # a browser insists on one of those it offered
            max_msg_size=MAX_FRAME + 1,
            compress=False,
            timeout=CLOSE_SECONDS,
        )
        number, self._next = self._next, self._next + 1
        dialect: Dialect = NativeMsgpack() if known[:1] == ("gossamer.v1.msgpack",) else NativeJson()
        session = Session(
            number,
            grant=admit.grant,
            announced="hello" in request.query,
            dialect=dialect,
            lookup=self._lookup,
            now=self._clock(),
        )
        stream = await ws.prepare(request)
        if not self._stands(admit.grant):
            await ws.close(code=TOKEN_GONE)
            return ws
        origin = view.origins[0] if view.origins else None
        connection = Connection(ws, stream, session, self._around, origin=origin, transport=request.transport)
        self._connections[number] = connection
        self._empty.clear()
        try:
            await connection.run()
        finally:
            del self._connections[number]
            if not self._connections:
                self._empty.set()
        return ws

    @property
    def health(self) -> str:
        """`ok`, `locked` or `starting`."""
        return self._state()

    async def metrics(self) -> str:
        """Return what was counted and measured, as Prometheus reads it."""
        found = [] if self._figures is None else await self._figures()
        phases = Counter((c.session.phase.name.lower(),) for c in self._connections.values())
        boxes = [c.outbox for c in self._connections.values()]
        bridge: list[Shown] = [
            counters("sessions", "Connections of frontends.", ("phase",), phases, "gauge"),
            gauge("bridge_backlog", "Commands that wait for the engine.", self._around.backlog()),
            gauge("outbox_events", "Frames that wait for frontends.", sum(map(len, boxes))),
            gauge("outbox_bytes", "Bytes of them.", sum(box.bytes for box in boxes)),
        ]
        return render([*bridge, *self._meter.figures(), *found])

    # -- what the bridge does itself ----------------------------------------------------------------

    def _own(self, asked: commands.Command) -> Awaitable[dict[str, Any]] | None:
        match asked:
            case commands.LoginLinkCreate():
                return self._login_answer(asked.nonce)
            case commands.AuditList():
                return self._audit_answer(asked)
            case _:
                return None

    async def _login_answer(self, nonce: str | None) -> dict[str, Any]:
        url, expires = self._login_link(nonce)
        return {"url": url, "expires_at": expires}

    async def _audit_answer(self, asked: commands.AuditList) -> dict[str, Any]:
        limit = commands.MAX_HISTORY if asked.limit is None else asked.limit
        found, more = await asyncio.to_thread(self._kept.page, asked.before, limit)
        return {"entries": [msgspec.to_builtins(entry) for entry in found], "more": more}

    def _record_http(self, grant: guard.Grant | None, command: str, code: str) -> None:
        who = audit.NOBODY if grant is None else audit.Who(grant.name, grant.via)
        self._record(who, command, code)

    def _record(self, who: audit.Who, command: str, code: str) -> None:
        self._audit.saw(who, command, code, self._clock())
        self._keep_record()

    def _keep_record(self) -> None:
        lines = self._audit.take()
        if lines:
            self._kept.append(lines)

    # -- inside -----------------------------------------------------------------------------------

    def _lookup(self, token: str, now_ms: int) -> guard.Grant | None:
        return self._credentials.lookup(token, now_ms)

    def _stands(self, grant: guard.Grant | None) -> bool:
        return grant is None or self._credentials.stands(grant, self._clock().wall_ms)

    def _login_link(self, nonce: str | None = None) -> tuple[str, int]:
        """Return a new login link and the second it ends; the same nonce again gives the same link."""
        if nonce is not None and nonce in self._links:
            return self._links[nonce]
        link = self._new_link()
        if nonce is not None:
            self._links[nonce] = link
            while len(self._links) > MAX_LINKS:
                self._links.popitem(last=False)
        return link

    def _new_link(self) -> tuple[str, int]:
        now_ms = self._clock().wall_ms
        host = "127.0.0.1" if self._host in {"0.0.0.0", ""} else self._host  # noqa: S104
        at = f"{_bracketed('::1' if host == '::' else host)}:{self._port}"
        return f"http://{at}/api/v1/login?code={self._logins.create(now_ms)}", (now_ms + LINK_MS) // 1000

    def _dress(self, grant: guard.Grant) -> Dresser:
        """Return what dresses events for a session with this grant."""

        def state(ident: str) -> str | None:
            try:
                found = self._shelf.attachment(ids.parse(ident))
            except (ValueError, Refused):
                return None
            return FAILED if found is None else found[1]

        return Dresser(
            state,
            lambda ident: capabilities.url(ident, grant, self._credentials, self._clock().wall_ms),
        )

    def _nameless(self) -> int:
        return sum(c.session.phase is Phase.NAMELESS for c in self._connections.values())

    def _make_policy(self, hosts: frozenset[str]) -> Policy:
        return Policy(
            hosts=hosts,
            own_origins=guard.own_origins_of(hosts),
            origins=self._origins,
            credentials=self._credentials,
            cookie_valid=self._logins.valid,
            capability=lambda path, cap, now_ms: capabilities.opened(path, cap, self._credentials, now_ms),
            own_uid=os.getuid() if hasattr(os, "getuid") else -1,
        )

    def _tell_refused(self, origin: str) -> None:
        if origin in self._refused or len(self._refused) >= MAX_REFUSED_ORIGINS:
            return
        self._refused.add(origin)
        if origin == "null":
            log.warning("refused a page without an origin (null); serve it over http, and allow that origin")
            return
        shown = origin[:200].encode("ascii", "backslashreplace").decode().replace("'", "")
        log.warning("refused a page of origin %s; to allow it: gossamer bridge allow '%s'", shown, shown)

    def _bind(self, tries: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        for port in range(self._port, self._port + tries):
            try:
                return socket.create_server((self._host, port), family=family)
            except OSError:
                if port == self._port + tries - 1:
                    raise
        raise AssertionError("at least one try")

    async def _listen_unix(self, runner: web.AppRunner, path: Path) -> None:
        listener = _bind_unix(path)
        await web.SockSite(runner, listener).start()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = self._clock()
            self._audit.due(now)
            self._keep_record()
            for connection in tuple(self._connections.values()):
                with contextlib.suppress(ConnectionError):
                    connection.tick(now)


def _bind_unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # a killed node's: the lock of the home says that it is gone
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host

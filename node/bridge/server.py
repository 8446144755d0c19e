"""The bridge's shell: one localhost port and one unix socket, many frontends, one engine behind.

It listens, hands every request to the guard, gives websockets a session, and carries out what the engine
orders without ever waiting for a frontend (docs/bridge.md sections 3 to 5).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never

import msgspec
from aiohttp import web

from node import ids
from node.bridge import audit, capabilities, guard, http_routes, http_websockets, static
from node.bridge.audit import Audit
from node.bridge.certificates import Keep
from node.bridge.close_codes import ORIGIN_GONE, RESTARTING, UNAUTHORIZED
from node.bridge.guard import Admit, Credentials, Decision, Deny, Policy, Request
from node.bridge.http_attachments import Attachments, Nowhere, Shelf
from node.bridge.http_frontend import Frontend, Surroundings
from node.bridge.http_reading import Reader
from node.bridge.http_routes import Dress, Runner, make_app, problem
from node.bridge.http_talks import Talks
from node.bridge.http_welcome import welcome
from node.bridge.listeners import Listeners, bind, bind_unix, bracketed, shown_host
from node.bridge.logins import COOKIE_SECONDS, Logins
from node.bridge.media import Dresser
from node.bridge.metrics import Meter, Shown, attached, render
from node.bridge.ports import (
    ADMIN,
    BridgeEffect,
    BridgeInput,
    CommandReceived,
    CredentialsChanged,
    Deliver,
    DialectRecord,
    EndSession,
    GiveAttachment,
    ReadHistory,
    ReadSearch,
    StartReplay,
    TokenRecord,
    UploadKept,
    hash_token,
)
from node.bridge.refusals import Refusals
from node.chat import commands
from node.chat.attachment_record import FAILED
from node.clock import Instant
from node.crypto.primitives import Entropy
from node.errors import Refused

if TYPE_CHECKING:
    from node.bridge.http_socketio import SocketIo

log = logging.getLogger(__name__)
A = TypeVar("A", bound=Frontend)

MAX_SESSIONS = 512
"""Open sockets; an owner has a handful of frontends."""
MAX_NAMELESS = 64
"""Of these, sockets that have not said hello yet."""
STOP_SECONDS = 4.0
LOGIN: Final = audit.Who(ADMIN, "login")
ABOUT: Final = (commands.DialectList, commands.DialectEnable, commands.DialectDisable)
"""Commands that the engine does with what the bridge knows of its listeners."""


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
        home: Path | None = None,
        keep: Keep | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._socket_path = socket_path
        self._extra_hosts = extra_hosts
        self._clock = clock
        self._entropy = entropy
        self._logins = Logins(admin_token, entropy)
        self._credentials = Credentials(hash_token(admin_token), tokens)
        self._origins = frozenset(origins)
        self._hosts = frozenset[str]()
        self._listeners = Listeners(
            host, extra_hosts, entropy=entropy, keep=keep, home=home, changed=self._renew_policy
        )
        self._builds = static.Builds(home)
        self._renew_policy()
        self._kept: audit.Store = audit.Forgetful() if audit_store is None else audit_store
        self._audit = Audit()
        self._meter = Meter()
        self._state, self._figures = state, figures
        self._hand_on, self._locked = submit, locked
        self.around = self._around = Surroundings(
            self._submit, reader, clock, backlog, self._lookup, self._own, self._record, self._meter, locked
        )
        self._shelf: Shelf = Nowhere() if shelf is None else shelf
        self.attachments = Attachments(self._shelf, submit, self.stands, self._record_http)
        self._around.dress = self._dress
        self._around.content = lambda manifest: b"".join(self._shelf.content(manifest))
        self._begin()

    def _begin(self) -> None:
        """Begin with nobody connected."""
        self._connections: dict[int, Frontend] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._next = 1
        self._socket_io: SocketIo | None = None
        self.talks = Talks(self)
        self._refusals = Refusals()
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
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
        listener = bind(self._host, self._port, tries)
        self._port = self._listeners.port = listener.getsockname()[1]
        named = () if self._host in {"0.0.0.0", "::", ""} else (bracketed(self._host),)  # noqa: S104
        self._hosts = guard.hosts_of(self._port, (*self._extra_hosts, *named))
        self._renew_policy()
        await runner.setup()
        self._runner = runner
        await web.SockSite(runner, listener).start()
        if self._socket_path is not None:
            await web.SockSite(runner, bind_unix(self._socket_path)).start()
        await self._listeners.settle(runner)
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
        tasks = {task for task in (self._ticker, *self._tasks) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listeners.close()
        if self._socket_io is not None:
            await self._socket_io.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._socket_path is not None:
            await asyncio.to_thread(self._socket_path.unlink, missing_ok=True)

    def login_url(self) -> str:
        """Return a link that logs one browser in, once, within five minutes."""
        return self._logins.link(self._own_address, None, self._clock().wall_ms)[0]

    # -- orders of the engine ---------------------------------------------------------------------

    def behind(self) -> int:
        """Return how many events wait in the longest of the frontends' queues."""
        return max((len(one.outbox) for one in self._connections.values()), default=0)

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
                self._around.encoded(effect)
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
        self._credentials = Credentials(admin_hash, change.tokens)
        self._origins = frozenset(change.origins)
        self._listeners.records = {record.name: record for record in change.dialects}
        self._renew_policy()
        self._refusals.forget(self._origins.union(*(record.origins for record in change.dialects)))
        if self._runner is not None:
            self._soon(self._listeners.settle(self._runner))
        now_ms = self._clock().wall_ms
        for connection in tuple(self._connections.values()):
            grant, at = connection.grant, (connection.dialect, connection.port)
            if grant is not None and not self._credentials.stands(grant, now_ms):
                connection.close(UNAUTHORIZED, "the token was revoked or replaced")
            elif not self._policy.welcome(*at, connection.origin):
                connection.close(ORIGIN_GONE, "the origin or the dialect was taken off the list")

    # -- requests (http_routes.Door) --------------------------------------------------------------

    def cookie_at(self, port: int | None) -> str:
        """Return the name of the login cookie of this node on a port."""
        return self._logins.cookie_name(self._port if port is None else port)

    def judge(self, request: Request) -> Decision:
        """Ask the guard; tell the owner once about each origin it refuses."""
        decision = guard.decide(request, self._policy, self._clock().wall_ms)
        if isinstance(decision, Deny):
            self._meter.refused[(decision.code,)] += 1
            self._record(audit.NOBODY, "connect", decision.code)
            if decision.origin is not None:
                text = self._refusals.told(decision.origin, decision.dialects)
                if text is not None:
                    log.warning("%s", text)
        return decision

    def redeem(self, code: str, port: int | None) -> tuple[str, int] | None:
        """Turn a login code for a port into the cookie's value and its seconds, once."""
        there = self._policy.at(port)
        at = 0 if there is None or there.port is None else there.port
        value = self._logins.redeem(code, self._clock().wall_ms, at)
        self._record(LOGIN if value else audit.NOBODY, "login", audit.OK if value else "unauthorized")
        return None if value is None else (value, COOKIE_SECONDS)

    def end_login(self, cookie: str) -> None:
        """Let a login cookie be good for nothing any more."""
        self._logins.end(cookie)

    async def serve(self, request: web.Request, admit: Admit) -> web.StreamResponse:
        """Serve one websocket until it is closed."""
        return await http_websockets.serve(self, request, admit)

    @property
    def records(self) -> Mapping[str, DialectRecord]:
        """What the owner set of the dialects that are on."""
        return self._listeners.records

    def room(self, grant: guard.Grant | None) -> bool:
        """Say whether one more frontend may be attached."""
        full = self._stopping or len(self._connections) >= MAX_SESSIONS
        return not full and (grant is not None or self._nameless() < MAX_NAMELESS)

    async def socket_io(self, request: web.Request, admit: Admit) -> web.StreamResponse:
        """Answer a request of Socket.IO."""
        if self._socket_io is None:
            from node.bridge.http_socketio import SocketIo  # only who speaks it waits for the library

            self._socket_io = SocketIo(self)
        found = welcome(request, admit, lambda: self._policy, lambda: self._listeners.records)
        return await self._socket_io.serve(request, found)

    def attach(self, grant: guard.Grant | None, make: Callable[[int], A]) -> A | None:
        """Keep a frontend that gets the next number; None if there are too many."""
        if not self.room(grant):
            return None
        number, self._next = self._next, self._next + 1
        made = self._connections[number] = make(number)
        self._empty.clear()
        return made

    def detach(self, number: int) -> None:
        """Forget a frontend that is gone."""
        self._connections.pop(number, None)
        if not self._connections:
            self._empty.set()

    async def build(self, request: web.Request, dialect: str, dress: Dress) -> web.StreamResponse:
        """Give a file of the static build that is served for a dialect."""
        folder = self._listeners.folder(dialect)
        if self._builds.full:
            return problem(503, "busy", "too many files of builds are being given")
        found = None if folder is None else await self._builds.give(request, folder, dress)
        return problem(404, "http_error", "the build has no such file") if found is None else found

    def lands(self, port: int | None) -> bool:
        """Say whether there is a page at `/` of a port."""
        there = self._policy.at(port)
        return there is None or there.serves

    @property
    def health(self) -> str:
        """`ok`, `locked` or `starting`."""
        return self._state()

    async def metrics(self) -> str:
        """Return what was counted and measured, as Prometheus reads it."""
        found = [] if self._figures is None else await self._figures()
        bridge = attached(self._connections.values(), self._around.backlog())
        return render([*bridge, *self._meter.figures(), *found])

    # -- what the bridge does itself ----------------------------------------------------------------

    def _own(self, asked: commands.Command) -> Awaitable[dict[str, Any]] | None:
        match asked:
            case commands.LoginLinkCreate():
                return self._login_answer(asked)
            case commands.AuditList():
                return self._audit_answer(asked)
            case _:
                return None

    def _login_answer(self, asked: commands.LoginLinkCreate) -> Awaitable[dict[str, Any]] | None:
        """Make a link; None where it cannot be, which the engine says better."""
        address = self._own_address if asked.dialect is None else self._listeners.address(asked.dialect)
        if address is None:
            return None
        at = 0 if asked.dialect is None else self.records[asked.dialect].port or 0

        async def answer() -> dict[str, Any]:
            url, expires = self._logins.link(address, asked.nonce, self._clock().wall_ms, at)
            return {"url": url, "expires_at": expires}

        return answer()

    async def _audit_answer(self, asked: commands.AuditList) -> dict[str, Any]:
        limit = commands.MAX_HISTORY if asked.limit is None else asked.limit
        found, more = await asyncio.to_thread(self._kept.page, asked.before, limit)
        return {"entries": [msgspec.to_builtins(entry) for entry in found], "more": more}

    def _submit(self, event: BridgeInput) -> None:
        """Hand on what frontends ask; what is about dialects brings along what the bridge knows of them."""
        if isinstance(event, CommandReceived) and isinstance(event.command, ABOUT) and not self._locked():
            self._soon(self._submit_found(event))
        else:
            self._hand_on(event)

    async def _submit_found(self, event: CommandReceived) -> None:
        asked = event.command
        found = self._listeners.found()
        if isinstance(asked, commands.DialectEnable):
            try:
                found = await self._listeners.check(asked)
            except Exception:
                log.exception("a dialect could not be checked")
                fault = Refused("internal", "this could not be checked; the log says why")
                found = replace(found, fault=fault)
        self._hand_on(replace(event, found=found))

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the listeners could not be changed", exc_info=task.exception())

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

    def stands(self, grant: guard.Grant | None) -> bool:
        """Say whether what a grant rests on is still there."""
        return grant is None or self._credentials.stands(grant, self._clock().wall_ms)

    @property
    def _own_address(self) -> str:
        return f"http://{shown_host(self._host)}:{self._port}"

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
        return sum(c.grant is None for c in self._connections.values())

    def _renew_policy(self) -> None:
        self._policy = Policy(
            hosts=self._hosts,
            own_origins=guard.own_origins_of(self._hosts),
            origins=self._origins,
            credentials=self._credentials,
            cookie_valid=self._logins.valid,
            capability=lambda path, cap, now_ms: capabilities.opened(path, cap, self._credentials, now_ms),
            own_uid=os.getuid() if hasattr(os, "getuid") else -1,
            dialects=self._listeners.spoken(),
            cron_valid=self._listeners.cron_valid,
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = self._clock()
            self._audit.due(now)
            self._keep_record()
            for connection in tuple(self._connections.values()):
                with contextlib.suppress(ConnectionError):
                    connection.tick(now)

"""The composition root: takes a home, keeps its bridge up, opens and locks its vault, until told to stop.

Order of a start: lock, vault, engine, mesh listener, bridge, `runtime.json`; a vault that nobody opens starts
locked, with the bridge alone. What is made last is taken down first (docs/operations.md, "Locking").
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, assert_never

from node import backups
from node.auditfile import AuditFile
from node.bridge.ports import CommandReceived, Deliver, SessionStarted
from node.bridge.server import BridgeServer
from node.chat import commands, events
from node.config import Settings, load as load_settings
from node.engine.effects import (
    BackupWritten,
    KeepToken,
    LockVault,
    OpenVault,
    SealVault,
    TokenKept,
    VaultOrder,
    VaultSealed,
    WriteBackup,
)
from node.engine.locked import Locked
from node.errors import Fatal, NodeError, Refused, StoreFull
from node.gate import Gate
from node.loop import PROBE_SECONDS
from node.mesh import lan
from node.mesh.certificates import Certificates
from node.mesh.ports import AddAddress
from node.places import RuntimeFile, admin_token, socket_path, start_log
from node.running import TRIES, Running, clock, port_taken
from node.store import files
from node.store.lock import HomeLock
from node.store.writer import PROBE_BYTES
from node.vault import Vault, refusal

log = logging.getLogger(__name__)

STOP_SECONDS = 4.5
"""For frontends and links to take what is queued; the store needs the rest of the five seconds."""
COLLECT_AFTER = (10_000, 20, 20)
"""New objects between two looks for cycles: a message makes some hundred, which a commit lets go again."""
PRIVATE = 0o077
"""The umask: whatever is made in the home, a rotated log too, is the owner's alone."""
WORK_SECONDS = 2.0
"""For an order about the vault that is being done when the node is told to stop."""
Ready: TypeAlias = Callable[[], Awaitable[None]]


def run(
    settings: Settings, *, on_ready: Ready | None = None, ask: Callable[[], bytes | None] = lambda: None
) -> int:
    """Run a node in the foreground; returns 0 after a clean stop. `ask` may ask the owner for the passphrase.

    Raises:
        NodeError: If it cannot start, or cannot go on: Fatal has the exit code.
    """
    os.umask(PRIVATE)
    gc.freeze()  # what was imported stays: a collection has only to look at the node
    gc.set_threshold(*COLLECT_AFTER)
    daemon = Daemon(settings, ask())  # nowhere else: what was typed is dropped when the vault is open
    return asyncio.run(daemon.serve(on_ready))


class Daemon:
    """One running node: a bridge that stays, and behind it an open node or a locked vault."""

    def __init__(self, settings: Settings, passphrase: bytes | None = None) -> None:
        self.settings = settings
        self.vault = Vault(settings.home)
        self._passphrase = passphrase
        self._certificates = Certificates()
        self._runtime = RuntimeFile(settings.home)
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._gate = Gate(clock, self._stopping, self.perform)
        self._bridge: BridgeServer | None = None
        self._bridge_at = ("", 0)
        self._node: Running | None = None
        self._mesh_port: int | None = None
        self._work: asyncio.Task[None] | None = None

    @property
    def bridge(self) -> BridgeServer:
        """The bridge, which there is from the start to the end."""
        assert self._bridge is not None
        return self._bridge

    # -- a start and a stop -----------------------------------------------------------------------

    async def serve(self, on_ready: Ready | None) -> int:
        """Start, run until a signal, `node_stop` or a fault, and stop cleanly."""
        home = self.settings.home
        lock = await self._take_home()
        try:
            start_log(home, self.settings.log_level)
            self.settings.network_key()
            if self.settings.lan:
                lan.installed()
            self._certificates = await asyncio.to_thread(self.settings.certificates)
            with files.written(home):
                token = await asyncio.to_thread(admin_token, home)
            self._gate.bridge = self._bridge = self._make_bridge(token)
            self._heed_signals()
            await self._start()
            try:
                return await self._until_stopped(on_ready)
            finally:
                await self._take_down()
        finally:
            if self._node is not None:
                await self._node.store.close()
            await self._runtime.remove()
            lock.release()

    async def _take_home(self) -> HomeLock:
        path = self.settings.home
        try:
            await asyncio.to_thread(files.prepare_home, path)
            return await asyncio.to_thread(HomeLock.take, path)
        except OSError as exc:
            raise Fatal(f"{path} cannot be the home: {exc.strerror}", code="home_unusable") from exc

    async def _start(self) -> None:
        """Open the vault and let the node begin; one that nobody can open now starts locked."""
        made = await self.vault.settle()
        phrase, self._passphrase = self._passphrase or self.settings.passphrase(), None
        if phrase is None and await self.vault.sealed():
            await self._listen_bridge()
            self._gate.lock(await self._locked(()))
            say("the vault is locked; open it:  gossamer unlock")
            await self._say_where()
            return
        while self._node is None and not self._stopping.is_set():
            try:
                await self._open_now(phrase)
            except StoreFull as full:
                if not made:
                    raise
                await self._await_room(full)

    async def _open_now(self, phrase: bytes | None) -> None:
        """Open the vault and let the node begin; raises StoreFull if that needs room which there is not."""
        node = await self._opened(phrase)
        try:
            self.bridge.perform(node.prepare(await node.listen(), self._gate.kept))
            self._gate.open(node.loop, node.store)
            await self._listen_bridge()
            self._node = node
        except BaseException:
            await node.discard()
            raise
        await self._begin(node)

    async def _await_room(self, full: StoreFull) -> None:
        """Let the bridge say that there is no room, until there is some or the node is to stop."""
        log.error("the node cannot start for want of room, and will try again: %s", full)
        if not self._bridge_at[1]:
            say(f"there is no room; the node starts when there is some: {full}")
            await self._listen_bridge()
            self._gate.lock(await self._locked((), full=True))
            await self._say_where()
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PROBE_SECONDS)
            if await asyncio.to_thread(files.has_room, self.settings.home, PROBE_BYTES):
                return

    async def _opened(self, phrase: bytes | None) -> Running:
        opened = await self.vault.open(phrase, now_ms=clock().wall_ms)
        return Running(self.settings, opened, self._stopping, self._certificates)

    async def _begin(self, node: Running) -> None:
        await node.begin(self.bridge, self)
        self._changed.set()
        self._say_mesh(node)
        if node.mesh_at is not None:
            self._mesh_port = node.mesh_at[1]
        await self._say_where()

    def _make_bridge(self, token: str) -> BridgeServer:
        return BridgeServer(
            self._gate.submit,
            self._gate,
            admin_token=token,
            host=self.settings.bridge.host,
            port=self.settings.bridge.port,
            socket_path=socket_path(self.settings.home),
            entropy=os.urandom,
            clock=clock,
            backlog=self._gate.backlog,
            locked=lambda: self._gate.is_locked,
            shelf=self._gate,
            home=self.settings.home,
            keep=partial(files.kept, self.settings.home),
            extra_hosts=self.settings.bridge_hosts,
            audit_store=AuditFile(self.settings.home),
            state=lambda: self._gate.state,
            figures=self._gate.figures,
        )

    async def _listen_bridge(self) -> None:
        wanted = self.settings.bridge
        if self._bridge_at[1]:
            return  # it does already, where there was no room to start
        try:
            self._bridge_at = await self.bridge.start(tries=1 if wanted.given else TRIES)
        except OSError as exc:
            raise port_taken("bridge", wanted, exc) from exc
        if wanted.port not in {0, self._bridge_at[1]}:
            say(f"port {wanted.port} is taken: the bridge listens on {self._bridge_at[1]}")

    def _heed_signals(self) -> None:
        """Stop cleanly, or read the configuration again; set before `runtime.json` says that we are up."""
        running = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                running.add_signal_handler(number, self._stopping.set)
        with contextlib.suppress(NotImplementedError, AttributeError):
            running.add_signal_handler(signal.SIGHUP, self._reload)

    async def _until_stopped(self, on_ready: Ready | None) -> int:
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        greeting = asyncio.create_task(greeted(on_ready), name="greeting")
        try:
            while not stop.done():
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                owner = None if self._node is None else self._node.task
                work = self._work
                waited = {task for task in (stop, changed, owner, work) if task is not None}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._judge(owner, work)
            return 0
        finally:
            for task in (stop, greeting):
                task.cancel()
            await asyncio.gather(stop, greeting, return_exceptions=True)

    def _judge(self, owner: asyncio.Task[None] | None, work: asyncio.Task[None] | None) -> None:
        """Raise what ended the engine, or an order about the vault, and makes going on unsafe."""
        if work is not None and work.done() and self._work is work:
            self._work = None
            work.result()
        if owner is not None and owner.done() and self._node is not None and self._node.task is owner:
            log.critical("the node cannot go on", exc_info=owner.exception())
            owner.result()

    def _reload(self) -> None:
        """SIGHUP: read the configuration again; peers and log level take effect at once."""
        try:
            fresh = load_settings(self.settings.home)
        except NodeError as fault:
            log.error("the configuration was not read again: %s", fault)
            return
        logging.getLogger("node").setLevel(fresh.log_level.upper())
        if self._node is not None:
            for address in fresh.peers:
                self._node.loop.submit(AddAddress(address, "configured"))
        self._reload_certificate()
        log.info("configuration read again")

    def _reload_certificate(self) -> None:
        try:
            if self._certificates.reload():
                log.info("certificate read again")
        except Refused as fault:
            log.error("the certificate was not read again: %s", fault)

    async def _take_down(self) -> None:
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=WORK_SECONDS)
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        node = self._node
        owner = None if node is None else node.task
        if node is None or owner is None:
            await self._stop_shells()
            return
        healthy = not owner.done()
        await self._stop_shells(node)
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
        if healthy:
            await node.loop.settle()

    async def _stop_shells(self, node: Running | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                mesh = [] if node is None else [node.stop_mesh()]
                await asyncio.gather(self.bridge.stop(), *mesh)

    # -- the vault --------------------------------------------------------------------------------

    def perform(self, order: VaultOrder) -> None:
        """Do what the owner asked about the vault; one order at a time, another is refused `busy`."""
        if isinstance(order, SealVault | WriteBackup | KeepToken):
            session, req = order.received.session, order.received.command.req
        else:
            session, req = order.session, order.req
        if self._work is not None and not self._work.done():
            text = "another command about the vault is being done; ask again"
            self._refuse(session, req, Refused("busy", text, retryable=True))
            return
        self._work = asyncio.create_task(self._do(order, session, req), name="vault")
        self._changed.set()

    async def _do(self, order: VaultOrder, session: int, req: str | int | None) -> None:
        try:
            match order:
                case SealVault(received):
                    await self._seal(received)
                case WriteBackup(received, username):
                    await self._back_up(received, username)
                case KeepToken():
                    await self._keep_token(order)
                case LockVault():
                    await self._lock()
                    self._answer(session, req, {"locked": True})
                case OpenVault(passphrase=phrase):
                    await self._unlock(phrase)
                    self._answer(session, req, {"locked": False})
                case _:
                    assert_never(order)
        except Refused as fault:
            self._refuse(session, req, fault)

    async def _seal(self, received: CommandReceived) -> None:
        asked = received.command
        assert isinstance(asked, commands.VaultPassphrase)
        sealed = await self.vault.change(asked.current, asked.passphrase)
        if self._node is not None:
            self._node.loop.submit(VaultSealed(received, sealed))

    async def _keep_token(self, order: KeepToken) -> None:
        path, node = self.settings.home / "token", self._node
        assert node is not None
        try:
            await asyncio.to_thread(files.replace, path, order.token.encode())
        except OSError as exc:
            raise Refused("storage_full", f"{path} could not be written: {exc.strerror}") from exc
        node.loop.submit(TokenKept(order, str(path)))

    async def _back_up(self, received: CommandReceived, username: str) -> None:
        asked, node = received.command, self._node
        assert isinstance(asked, commands.BackupCreate) and node is not None
        source = node.source(username, sealed=await self.vault.sealed())
        stop = threading.Event()
        write = partial(backups.create, source, asked.passphrase.encode(), stopped=stop.is_set)
        try:
            facts = await asyncio.to_thread(write, now_ms=clock().wall_ms)
        except StoreFull as fault:
            raise refusal(fault, "passphrase") from fault
        finally:
            stop.set()
        told = {"path": str(facts.path), "size": facts.size, "rooms": facts.rooms}
        told |= {"contacts": facts.contacts, "messages": facts.messages}
        node.loop.submit(BackupWritten(received, told))

    async def _lock(self) -> None:
        if not await self.vault.sealed():
            raise Refused("not_sealed", "no passphrase seals this home: gossamer passphrase set")
        node, self._node = self._node, None
        assert node is not None
        self._gate.hold()
        try:
            sessions = await node.wind_down()
        except BaseException:
            self._node = node  # it goes down with the process
            raise
        waiting = node.loop.engine.desk.unanswered()
        del node
        self._gate.lock(await self._locked(sessions))
        for received in waiting:
            self._gate.submit(received)  # to be told so
        gc.collect()  # what refers to itself, and so to keys, goes now
        await self._say_where()
        log.info("the vault is locked")

    async def _locked(self, sessions: tuple[SessionStarted, ...], *, full: bool = False) -> Locked:
        path = self.settings.home / "gossamer.db"
        size = await asyncio.to_thread(lambda: path.stat().st_size if path.exists() else 0)
        return Locked(clock(), sessions=sessions, db_bytes=size, full=full)

    async def _unlock(self, phrase: str) -> None:
        try:
            node = await self._opened(phrase.encode())
        except (Fatal, StoreFull) as fault:
            raise refusal(fault, "passphrase") from fault
        try:
            loaded = await node.listen(self._mesh_port)
            self.bridge.perform(node.prepare(loaded, self._gate.kept))
        except (Fatal, StoreFull) as fault:
            await node.discard()
            raise refusal(fault, "passphrase") from fault
        except BaseException:
            await node.discard()
            raise
        self._node = node
        self._gate.open(node.loop, node.store)
        await self._begin(node)
        log.info("the vault is open")

    def _answer(self, session: int, req: str | int | None, fields: dict[str, Any]) -> None:
        self.bridge.perform(Deliver(session, events.Ok(req=req, fields=fields)))

    def _refuse(self, session: int, req: str | int | None, fault: Refused) -> None:
        self.bridge.perform(Deliver(session, events.error_of(fault, req)))

    # -- what the owner and other programs are told -----------------------------------------------

    def _say_mesh(self, node: Running) -> None:
        listen, at = self.settings.listen, node.mesh_at
        if listen is not None and at is not None and listen.port not in {0, at[1]}:
            say(f"port {listen.port} is taken: the mesh listens on {at[1]}")
        if listen is not None and at is not None and listen.host == "::" and at[0] == "0.0.0.0":  # noqa: S104
            say("no IPv6 here: the mesh listens on 0.0.0.0")

    async def _say_where(self) -> None:
        at, node = socket_path(self.settings.home), self._node
        mesh = None if node is None else node.mesh_at
        runtime = {
            "pid": os.getpid(),
            "bridge": {"host": self._bridge_at[0], "port": self._bridge_at[1]},
            "mesh": None if mesh is None else {"host": mesh[0], "port": mesh[1]},
            "socket": None if at is None else str(at),
            "log_epoch": "" if node is None else node.store.log_epoch,
        }
        await self._runtime.write(runtime)


async def greeted(on_ready: Ready | None) -> None:
    """Greet the owner; a greeting that fails is logged, the node runs on."""
    if on_ready is None:
        return
    try:
        await on_ready()
    except NodeError as fault:
        log.warning("the greeting failed: %s", fault)


def say(line: str) -> None:
    """Tell the owner something on standard error, which may be a file on a full disk."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)

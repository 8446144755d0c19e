"""The composition root: opens a home, builds engine, store, bridge and mesh, and runs until told to stop.

Order of a start: lock, identity, store, engine, mesh listener, bridge, `runtime.json`. What is made last is
taken down first (docs/operations.md, "A start and a stop").
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import logging
import logging.handlers
import os
import secrets
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from node import addresses
from node.bridge.server import BridgeServer
from node.clock import Instant, day_of
from node.config import Settings
from node.config import load as load_settings
from node.crypto.channel import network_id
from node.crypto.keys import Identity
from node.crypto.vault import StoreKeys
from node.engine.effects import Stopping
from node.engine.engine import Engine, Setup
from node.engine.node_commands import credentials
from node.errors import Fatal, NodeError
from node.loop import EngineLoop
from node.mesh.ports import AddAddress
from node.mesh.transport import Transport
from node.store import files, identity
from node.store.lock import HomeLock
from node.store.shredding import ShredFile, shred_round
from node.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

TRIES = 20
"""Ports tried after a default one that is taken."""
MAX_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 108 (Linux) or 104 (BSD)."""
LOG_BYTES, LOG_FILES = 2 * 1024 * 1024, 4
STOP_SECONDS = 4.5
"""For frontends and links to take what is queued; the store needs the rest of the five seconds."""
PRIVATE = 0o077
"""The umask: whatever is made in the home, a rotated log too, is the owner's alone."""
Ready = Callable[[], Awaitable[None]]


def clock() -> Instant:
    """Read both clocks: CLOCK_BOOTTIME where there is one, so that sleep counts."""
    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Instant(time.clock_gettime(boot), time.time_ns() // 1_000_000)


def boot_id() -> str:
    """Return what changes with every boot of this machine; a random value where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)


def run(settings: Settings, *, on_ready: Ready | None = None, passphrase: bytes | None = None) -> int:
    """Run a node in the foreground; returns 0 after a clean stop. `passphrase` was typed by the owner.

    Raises:
        NodeError: If it cannot start, or cannot go on: Fatal has the exit code.
    """
    os.umask(PRIVATE)
    return asyncio.run(Daemon(settings, passphrase).serve(on_ready))


@dataclass
class Home:
    """An opened home: its lock, its owner's keys, its store, its admin token."""

    path: Path
    lock: HomeLock
    owner: Identity
    store: SqliteStore
    token: str = field(repr=False)


class Daemon:
    """One running node."""

    def __init__(self, settings: Settings, passphrase: bytes | None = None) -> None:
        self.settings = settings
        self._passphrase = passphrase
        self._home: Home | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self, on_ready: Ready | None) -> int:
        """Start, run until a signal, `node_stop` or a fault, and stop cleanly."""
        home = await self._open()
        self._home = home
        try:
            return await self._run(home, on_ready)
        finally:
            await home.store.close()
            await asyncio.to_thread((home.path / "runtime.json").unlink, missing_ok=True)
            home.lock.release()

    async def _open(self) -> Home:
        path = self.settings.home
        try:
            await asyncio.to_thread(files.prepare_home, path)
            lock = await asyncio.to_thread(HomeLock.take, path)
        except OSError as exc:
            raise Fatal(f"{path} cannot be the home: {exc.strerror}", code="home_unusable") from exc
        try:
            start_log(path, self.settings.log_level)
            owner, master = await asyncio.to_thread(self._owner, path)
            shred = ShredFile(path)
            keys = StoreKeys(master, await asyncio.to_thread(shred.keys))
            store = await SqliteStore.open(path / "gossamer.db", keys)
            await asyncio.to_thread(shred.settle, store.shred_key)
            token = await asyncio.to_thread(admin_token, path)
            return Home(path, lock, owner, store, token)
        except BaseException:
            lock.release()
            raise

    def _owner(self, path: Path) -> tuple[Identity, bytes]:
        phrase = self._passphrase or self.settings.passphrase()
        if not identity.exists(path):
            fresh = Identity.generate(os.urandom, day_of(clock().wall_ms))
            stored = identity.create(path, fresh.to_bytes(), passphrase=phrase, entropy=os.urandom)
        else:
            stored = identity.open_identity(path, phrase)
        return Identity.from_bytes(stored.secrets), stored.master

    async def _run(self, home: Home, on_ready: Ready | None) -> int:
        secret = self.settings.network_key()
        loop = EngineLoop(home.store, clock)
        transport, mesh_at = await self._listen(loop)
        engine = await self._engine(home, secret, mesh_at)
        bridge = self._bridge(home, loop, engine)
        loop.bridge, loop.mesh = bridge, transport
        loop.shred = partial(shred_round, home.store, ShredFile(home.path))
        tries = 1 if self.settings.bridge.given else TRIES
        try:
            bridge_at = await bridge.start(tries=tries)
        except OSError as exc:
            await transport.stop()
            raise port_taken("bridge", self.settings.bridge, exc) from exc
        await loop.begin(engine)
        owner = asyncio.create_task(loop.run(), name="engine")
        try:
            self._heed_signals(loop)
            self._say_ports(bridge_at, mesh_at)
            await asyncio.to_thread(self._write_runtime, home, bridge_at, mesh_at)
            return await self._until_stopped(loop, owner, on_ready)
        finally:
            loop.submit(Stopping())
            await self._take_down(loop, owner, bridge, transport)

    def _bridge(self, home: Home, loop: EngineLoop, engine: Engine) -> BridgeServer:
        """Make the bridge; it knows child tokens and origins before its first connection."""
        known = credentials(engine.desk)
        return BridgeServer(
            loop.submit,
            home.store,
            admin_token=home.token,
            host=self.settings.bridge.host,
            port=self.settings.bridge.port,
            socket_path=socket_path(home.path),
            entropy=os.urandom,
            clock=clock,
            backlog=loop.backlog,
            tokens=known.tokens,
            origins=known.origins,
        )

    async def _listen(self, loop: EngineLoop) -> tuple[Transport, tuple[str, int] | None]:
        """Open the mesh listener; of a default port that is taken, the next free one."""
        at = self.settings.listen
        last = 0 if at is None or at.given else TRIES - 1
        for step in range(last + 1):
            where = None if at is None else (at.host, at.port + step if at.port else 0)
            transport = Transport(loop.submit, listen=where, backlog=loop.mesh_backlog)
            try:
                return transport, await transport.start()
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or step == last:
                    raise port_taken("mesh", at, exc) from exc
        raise AssertionError("the loop returns or raises")

    async def _engine(self, home: Home, secret: bytes | None, mesh_at: tuple[str, int] | None) -> Engine:
        told = () if mesh_at is None else addresses.reachable(*mesh_at)
        name = self.settings.name or f"user-{home.owner.account.hex()[:4]}"
        setup = Setup(
            identity=home.owner,
            boot_id=boot_id(),
            boot_nonce=os.urandom(8),
            entropy=os.urandom,
            name=name,
            network_id=network_id(secret),
            psk=secret,
            roles=frozenset({"relay", "hold"} if self.settings.relay else {"hold"}),
            addresses=told,
            peers=self.settings.peers,
        )
        return Engine(setup, await home.store.load(), clock())

    def _heed_signals(self, loop: EngineLoop) -> None:
        """Stop cleanly, or read the configuration again: from before anybody learns that we run."""
        running = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                running.add_signal_handler(number, loop.stopping.set)
        with contextlib.suppress(NotImplementedError, AttributeError):
            running.add_signal_handler(signal.SIGHUP, self._reload, loop)

    async def _until_stopped(
        self, loop: EngineLoop, owner: asyncio.Task[None], on_ready: Ready | None
    ) -> int:
        stop = asyncio.create_task(loop.stopping.wait(), name="stop")
        greeting = asyncio.create_task(greeted(on_ready), name="greeting")
        try:
            await asyncio.wait({stop, owner}, return_when=asyncio.FIRST_COMPLETED)
            if owner.done():
                log.critical("the node cannot go on", exc_info=owner.exception())
                owner.result()
            return 0
        finally:
            for task in (stop, greeting):
                task.cancel()
            await asyncio.gather(stop, greeting, return_exceptions=True)

    def _reload(self, loop: EngineLoop) -> None:
        """SIGHUP: read the configuration again; peers and log level take effect at once."""
        try:
            fresh = load_settings(self.settings.home)
        except NodeError as fault:
            log.error("the configuration was not read again: %s", fault)
            return
        logging.getLogger("node").setLevel(fresh.log_level.upper())
        for address in fresh.peers:
            loop.submit(AddAddress(address, "configured"))
        log.info("configuration read again")

    async def _take_down(
        self, loop: EngineLoop, owner: asyncio.Task[None], bridge: BridgeServer, transport: Transport
    ) -> None:
        healthy = not owner.done()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                if healthy:
                    await asyncio.sleep(0.05)
                await asyncio.gather(bridge.stop(), transport.stop())
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
        if healthy:
            await loop.settle()

    def _say_ports(self, bridge_at: tuple[str, int], mesh_at: tuple[str, int] | None) -> None:
        wanted = self.settings.bridge.port
        if wanted not in {0, bridge_at[1]}:
            say(f"port {wanted} is taken: the bridge listens on {bridge_at[1]}")
        listen = self.settings.listen
        if listen is not None and mesh_at is not None and listen.port not in {0, mesh_at[1]}:
            say(f"port {listen.port} is taken: the mesh listens on {mesh_at[1]}")
        if listen is not None and mesh_at is not None and listen.host == "::" and mesh_at[0] == "0.0.0.0":  # noqa: S104
            say("no IPv6 here: the mesh listens on 0.0.0.0")

    def _write_runtime(self, home: Home, bridge_at: tuple[str, int], mesh_at: tuple[str, int] | None) -> None:
        at = socket_path(home.path)
        runtime = {
            "pid": os.getpid(),
            "bridge": {"host": bridge_at[0], "port": bridge_at[1]},
            "mesh": None if mesh_at is None else {"host": mesh_at[0], "port": mesh_at[1]},
            "socket": None if at is None else str(at),
            "log_epoch": home.store.log_epoch,
        }
        files.replace(home.path / "runtime.json", json.dumps(runtime).encode())


def port_taken(what: str, asked: object, fault: OSError) -> Fatal:
    """Return the Fatal for a listener that cannot be had; exit code 7."""
    reason = fault.strerror or str(fault)
    return Fatal(f"the {what} cannot listen on {asked}: {reason}", code="port_taken", exit_code=7)


async def greeted(on_ready: Ready | None) -> None:
    """Greet the owner; a greeting that fails is logged, the node runs on."""
    if on_ready is None:
        return
    try:
        await on_ready()
    except NodeError as fault:
        log.warning("the greeting failed: %s", fault)


def say(line: str) -> None:
    """Tell the owner something on standard error."""
    print(line, file=sys.stderr, flush=True)


def admin_token(home: Path) -> str:
    """Return the admin token of a home, made on the first run: 256 bits in a 0600 file."""
    path = home / "token"
    data = files.read(path, lambda content: len(content.strip()) >= 43)
    if data is None:
        data = secrets.token_urlsafe(32).encode()
        files.replace(path, data)
    return data.decode("ascii").strip()


def socket_path(home: Path) -> Path | None:
    """Return where the unix socket goes: the runtime directory, else the home, else a private temp folder."""
    if sys.platform == "win32":
        return None
    mark = hashlib.blake2b(os.fsencode(home), digest_size=4).hexdigest()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK | os.X_OK):
        at = Path(runtime) / f"gossamer-{mark}.sock"
        if len(os.fsencode(at)) <= MAX_SOCKET_PATH:
            return at
    at = home / "gossamer.sock"
    if len(os.fsencode(at)) <= MAX_SOCKET_PATH:
        return at
    folder = Path(tempfile.gettempdir()) / f"gossamer-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    held = folder.lstat()
    if not stat.S_ISDIR(held.st_mode) or held.st_uid != os.getuid() or held.st_mode & 0o077:
        raise Fatal(f"{folder} is not private: remove it, or set XDG_RUNTIME_DIR", code="socket_unsafe")
    return folder / f"{mark}.sock"


def start_log(home: Path, level: str) -> None:
    """Log to `gossamer.log` in the home, rotated; never to the terminal."""
    path = home / "gossamer.log"
    files.private_file(path)
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger("node")
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False

"""An open node, from the opening of its vault to its closing: store, engine, loop, mesh.

It is made in two steps, so that the bridge can listen between them: `prepare` listens for the mesh and makes
the engine, `begin` lets everything go.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import time
from functools import partial
from pathlib import Path
from typing import Final

from node import addresses
from node.backups import Source
from node.bridge.ports import CredentialsChanged, SessionStarted
from node.bridge.server import BridgeServer
from node.clock import Instant
from node.config import Endpoint, Settings
from node.crypto.channel import network_id
from node.engine.effects import Stopping
from node.engine.engine import Engine, Setup
from node.engine.node_commands import credentials
from node.errors import Fatal
from node.loop import EngineLoop, Outlet
from node.mesh.certificates import Certificates
from node.mesh.lan import Lan
from node.mesh.ports import ListensAt, Resumed
from node.mesh.transport import Transport
from node.store.attachments import AttachmentFiles
from node.store.files import written
from node.store.folders import DiskFolder
from node.store.held_blocks import HeldBlocks
from node.store.records import Loaded
from node.store.shredding import ShredFile, shred_round
from node.vault import Opened

_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
TRIES = 20
"""Ports tried after a default one that is taken."""
GOODBYE_SECONDS = 0.05
"""For the last beat to leave before the links are closed."""
WATCH_SECONDS = 10.0
"""Between two looks at the addresses of this machine; asking the system for them sends nothing."""
READ_SECONDS = 2.0
"""For reads under way when the vault is locked."""


def clock() -> Instant:
    """Read both clocks: CLOCK_BOOTTIME where there is one, so that sleep counts."""
    return Instant(time.clock_gettime(_BOOT), time.time_ns() // 1_000_000)


def boot_id() -> str:
    """Return what changes with every boot of this machine; a random value where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)


class Running:
    """One open node."""

    def __init__(
        self, settings: Settings, opened: Opened, stopping: asyncio.Event, certificates: Certificates
    ) -> None:
        self.settings = settings
        self.certificates = certificates
        self.store = opened.store
        self.folder = DiskFolder(settings.home / "attachments")
        self.others = DiskFolder(settings.home / "parts")
        self.loop = EngineLoop(opened.store, clock, stopping)
        self.loop.shred = partial(shred_round, opened.store, ShredFile(settings.home))
        self.transport: Transport | None = None
        self.mesh_at: tuple[str, int] | None = None
        self.task: asyncio.Task[None] | None = None
        self.engine: Engine | None = None
        self._owner = opened.owner
        self._watch: asyncio.Task[None] | None = None
        self._lan: Lan | None = None

    async def listen(self, port: int | None = None) -> Loaded:
        """Open the mesh listener, at `port` if it is free, and read the store for `prepare`."""
        self.transport, self.mesh_at = await self._listen(port)
        self.loop.reads.files = await asyncio.to_thread(self._open_folder)
        return await self.store.load()

    def _open_folder(self) -> AttachmentFiles:
        """Open the folder of attachments; raises Fatal if it cannot be one, StoreFull without room."""
        files = AttachmentFiles(self.folder, os.urandom)
        try:
            with written(self.folder.path):
                self.folder.prepare()
                files.open()
                if self.settings.relay or self.others.path.exists():  # a relay once: what it held is erased
                    self.others.prepare()
                    files.held = HeldBlocks(self.others)
        except OSError as exc:
            raise Fatal(f"{self.folder.path} cannot be used: {exc}", code="home_unusable") from exc
        return files

    def prepare(self, loaded: Loaded, sessions: tuple[SessionStarted, ...] = ()) -> CredentialsChanged:
        """Make the engine, with these frontends attached; returns the credentials that the bridge needs."""
        return credentials(self.rebuild(loaded, sessions).desk)

    def rebuild(
        self, loaded: Loaded, sessions: tuple[SessionStarted, ...], *, read_only: bool = False
    ) -> Engine:
        """Make the engine, or one in its place: of what the store has, with these frontends attached."""
        secret = self.settings.network_key()
        setup = Setup(
            identity=self._owner,
            boot_id=boot_id(),
            boot_nonce=os.urandom(8),
            entropy=os.urandom,
            name=self.settings.name or f"user-{self._owner.account.hex()[:4]}",
            network_id=network_id(secret),
            psk=secret,
            roles=frozenset({"relay", "hold"} if self.settings.relay else {"hold"}),
            addresses=self._addresses(),
            peers=self.settings.peers,
            quota=self.settings.quota,
            sessions=sessions,
            read_only=read_only,
            fetch_bytes=self.settings.fetch_mib * 1024 * 1024,
        )
        self.engine = Engine(setup, loaded, clock())
        return self.engine

    def _addresses(self) -> tuple[str, ...]:
        """Return what others are told: what the owner says, else where this machine thinks it is."""
        if self.settings.announce or self.mesh_at is None:
            return self.settings.announce
        scheme = "ws" if self.certificates.listening is None else "wss"
        return addresses.reachable(*self.mesh_at, scheme)

    async def begin(self, bridge: BridgeServer, vault: Outlet) -> None:
        """Carry out what the start causes, and own the engine from now on."""
        assert self.engine is not None
        self.loop.bridge, self.loop.mesh, self.loop.vault = bridge, self.transport, vault
        self.loop.rebuild = self.rebuild
        await self.loop.begin(self.engine)
        if self.settings.lan:
            self._lan = Lan(self.loop.submit, None if self.certificates.listening else self.mesh_at)
            self._lan.start()
        self.task = asyncio.create_task(self.loop.run(), name="engine")
        self._watch = asyncio.create_task(self._watch_network(), name="network")

    async def _watch_network(self) -> None:
        """Tell the mesh when this machine has another address: failures before it mean nothing any more."""
        assert self.engine is not None
        known = self.engine.addresses
        while self.mesh_at is not None:
            await asyncio.sleep(WATCH_SECONDS)
            found = await asyncio.to_thread(self._addresses)
            if found != known:
                known = found
                self.loop.submit(ListensAt(found))
                self.loop.submit(Resumed())

    def source(self, username: str, *, sealed: bool) -> Source:
        """Return what a backup of this node is made from."""
        owner = self._owner
        return Source(self.settings.home, self.store, owner.account, owner.account_seed, username, sealed)

    async def stop_mesh(self) -> None:
        """Say goodbye and close every link."""
        if self._watch is not None:
            self._watch.cancel()
        if self._lan is not None:
            await self._lan.stop()
        self.loop.submit(Stopping())
        await asyncio.sleep(GOODBYE_SECONDS)
        if self.transport is not None:
            await self.transport.stop()

    async def wind_down(self) -> tuple[SessionStarted, ...]:
        """Take everything down with nothing lost or left undelivered; returns the sessions attached."""
        await self.stop_mesh()
        if self.task is not None:
            self.loop.finish()
            await self.task
        await self.loop.settle(READ_SECONDS)
        await self.store.close()
        return tuple(self.loop.engine.state.sessions.values())

    async def discard(self) -> None:
        """Give back what was opened, where the node could not be begun."""
        if self.transport is not None:
            await self.transport.stop()
        await self.store.close()

    async def _listen(self, port: int | None) -> tuple[Transport, tuple[str, int] | None]:
        """Listen at `port`, else as the settings say; a default port that is taken gives way to the next."""
        at = self.settings.listen
        last = 0 if at is None or at.given else TRIES - 1
        ports = [] if at is None else [at.port + step if at.port else 0 for step in range(last + 1)]
        if at is not None and port is not None:
            ports = [port, *(p for p in ports if p != port)]
        for where in [(at.host, p) for p in ports] if at is not None else [None]:
            transport = Transport(
                self.loop.submit,
                listen=where,
                ssl=self.certificates.listening,
                trust=self.certificates.dialling,
                backlog=self.loop.mesh_backlog,
            )
            try:
                return transport, await transport.start()
            except OSError as exc:
                fault = exc
                if exc.errno != errno.EADDRINUSE:
                    break
        raise port_taken("mesh", at, fault) from fault


def port_taken(what: str, asked: Endpoint | None, fault: OSError) -> Fatal:
    """Return the Fatal for a listener that cannot be had: exit code 7, or 2 for what is no place of ours."""
    wrong = isinstance(fault, socket.gaierror) or fault.errno == errno.EADDRNOTAVAIL
    reason = str(fault.strerror or fault).partition(" (while")[0]
    where = f"--{what if what == 'bridge' else 'listen'}"
    text = f"the {what} cannot listen on {asked}: {reason}; choose another by {where} or in config.toml"
    return Fatal(text, code="invalid_config" if wrong else "port_taken", exit_code=2 if wrong else 7)

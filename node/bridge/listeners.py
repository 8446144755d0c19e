"""Where the bridge listens: its own port and unix socket, and the ports that dialects have of their own.

A port is taken before the engine is asked to keep it, so that what is told `ok` listens. One that cannot be
had later, at a start, is said once in the log and in `dialect_list`, and the node goes on (docs/bridge.md 5).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aiohttp import web

from node.bridge import certificates, guard, static
from node.bridge.certificates import Keep
from node.bridge.enabling import enabled
from node.bridge.http_tls import TlsSite
from node.bridge.ports import DialectRecord, Found, Listening, hash_token
from node.chat import commands
from node.crypto.primitives import Entropy, same
from node.errors import Refused

log = logging.getLogger(__name__)

HELD_SECONDS = 10.0
"""A port that was taken for a command is given back if the command changes nothing."""
MAX_CHECKS = 16
"""Commands that are checked at a time; an owner enables one after the other."""
SECRET_FILE: Final = "cron_secret"  # noqa: S105 - a file's name
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Site:
    """A port that is listened at for a dialect."""

    port: int
    tls: bool
    site: web.SockSite

    def serves(self, record: DialectRecord) -> bool:
        """Say whether this is how the record wants it."""
        return (self.port, self.tls) == (record.port, record.tls)


class Listeners:
    """The dialects that are on and their ports; `changed` is called when the guard has to know others."""

    def __init__(
        self,
        host: str,
        names: tuple[str, ...],
        *,
        entropy: Entropy,
        keep: Keep | None,
        home: Path | None,
        changed: Callable[[], None],
    ) -> None:
        self.records: dict[str, DialectRecord] = {}
        self.port = 0
        self._host, self._home = host, home
        named = () if host in {"0.0.0.0", "::", ""} else (bracketed(host),)  # noqa: S104 - compared, not bound
        self._names = (
            *named,
            *(name for name in names if ":" not in name),
        )  # those with a port are of another
        self._entropy, self._keep, self._changed = entropy, keep, changed
        self._sites: dict[str, Site] = {}
        self._held: dict[int, socket.socket] = {}
        self._failed: dict[str, str] = {}
        self._prints: dict[str, str] = {}
        self._secret: tuple[str, bytes] | None = None
        self._checks = 0
        self._lock = asyncio.Lock()

    # -- what others ask --------------------------------------------------------------------------

    def spoken(self) -> tuple[guard.Spoken, ...]:
        """Return the dialects as the guard knows them; a port counts while it is listened at."""
        return tuple(map(self._spoken, self.records.values()))

    def _spoken(self, record: DialectRecord) -> guard.Spoken:
        known, site = guard.Spoken(record.name, frozenset(record.origins)), self._sites.get(record.name)
        if site is None or not site.serves(record):
            return known
        hosts = guard.hosts_of(site.port, self._names, tls=site.tls)
        own = guard.own_origins_of(hosts, tls=site.tls)
        serves = record.serve is not None
        return replace(known, port=site.port, hosts=hosts, own_origins=own, serves=serves)

    def cron_valid(self, secret: str) -> bool:
        """Say whether this is the secret of the cron path."""
        return self._secret is not None and same(hash_token(secret), self._secret[1])

    def address(self, name: str) -> str | None:
        """Return where a dialect is reached at its own port, if it listens there or is about to."""
        record = self.records.get(name)
        if record is None or record.port is None or name in self._failed:
            return None
        return self._address(record)

    def folder(self, name: str) -> Path | None:
        """Return the folder of the build that is served for a dialect."""
        record = self.records.get(name)
        return None if record is None or record.serve is None else Path(record.serve)

    def found(self) -> Found:
        """Return how all listen."""
        listening = {name: self._listening(record) for name, record in self.records.items()}
        return Found(None, listening, None if self._secret is None else self._secret[0])

    def _listening(self, record: DialectRecord) -> Listening:
        why = self._failed.get(record.name)
        state = "failed" if why is not None else "on" if record.port is None else "listening"
        mark = self._prints.get(record.name) if record.tls else None
        return Listening(state, self._address(record), why, mark)

    def _address(self, record: DialectRecord) -> str:
        port = self.port if record.port is None else record.port
        return f"http{'s' if record.tls else ''}://{shown_host(self._host)}:{port}"

    # -- before a command -------------------------------------------------------------------------

    async def check(self, asked: commands.DialectEnable) -> Found:
        """Return how all will listen after `asked`, or why it cannot be; its port is taken then."""
        if self._checks >= MAX_CHECKS:
            return Found(Refused("busy", "others are being enabled; ask again", retryable=True))
        self._checks += 1
        try:
            async with self._lock:
                record = enabled(asked, self.records.values())
                why = await self._can(asked, record)
        except Refused as fault:
            return replace(self.found(), fault=fault)
        finally:
            self._checks -= 1
        state = "on" if record.port is None else "listening" if why is None else "failed"
        seen, found = replace(self._listening(record), state=state, why=why), self.found()
        return replace(found, listening={**found.listening, record.name: seen})

    async def _can(self, asked: commands.DialectEnable, record: DialectRecord) -> str | None:
        """Make sure of what is asked; return why it will not listen where that has not been asked for."""
        if asked.serve is not None:
            await asyncio.to_thread(static.check, Path(asked.serve), self._home)
        if record.name == "003":
            await self._read_secret()
        site = self._sites.get(record.name)
        if record.tls and not (site and site.serves(record)):  # one that listens shows what it began with
            self._prints[record.name] = (await self._certificate())[1]
        if record.port is None or record.port in self._held or (site and site.port == record.port):
            return None
        try:
            self._hold(record.port)
        except Refused as fault:
            if asked.port is not None:
                raise
            return str(fault)
        return None

    def _hold(self, port: int) -> None:
        try:
            self._held[port] = bind(self._host, port)
        except OSError as exc:
            text = f"port {port} cannot be had: {_reason(exc)}"
            code = "port_taken" if exc.errno == errno.EADDRINUSE else "invalid"
            raise Refused(code, text, field="port") from exc
        asyncio.get_running_loop().call_later(HELD_SECONDS, self._give_back, port)

    def _give_back(self, port: int) -> None:
        held = self._held.pop(port, None)
        if held is not None:
            held.close()

    async def _certificate(self) -> certificates.Loaded:
        keep = self._keep
        if keep is None:
            raise Refused("tls_missing", "there is no home to keep a certificate in", field="tls")
        return await asyncio.to_thread(certificates.load, keep, self._names)

    async def _read_secret(self) -> None:
        """Read the secret of the cron path, made when dialect 003 is first on."""
        keep = self._keep
        if keep is None or self._secret is not None:
            return
        try:
            path, data = await asyncio.to_thread(
                keep, SECRET_FILE, _is_secret, lambda: self._entropy(_SECRET_BYTES).hex().encode()
            )
        except OSError as exc:
            text = f"{SECRET_FILE} could not be written: {exc.strerror}"
            raise Refused("storage_full", text, field="dialect") from exc
        self._secret = str(path), hash_token(data.decode().strip())

    # -- after it ---------------------------------------------------------------------------------

    async def settle(self, runner: web.AppRunner) -> None:
        """Listen where the records say, and nowhere else."""
        async with self._lock:
            for name, site in tuple(self._sites.items()):
                record = self.records.get(name)
                if record is None or not site.serves(record):
                    del self._sites[name]
                    await site.site.stop()
            self._failed = {name: why for name, why in self._failed.items() if name in self.records}
            for record in tuple(self.records.values()):
                if record.port is None or record.name not in self._sites:
                    await self._begin(record, runner)
            self._changed()

    async def _begin(self, record: DialectRecord, runner: web.AppRunner) -> None:
        before = self._failed.pop(record.name, None)
        try:
            if record.name == "003":
                await self._read_secret()
            if record.port is not None:
                await self._listen(record, record.port, runner)
        except (OSError, Refused) as exc:
            why = str(exc) if isinstance(exc, Refused) else f"port {record.port}: {_reason(exc)}"
            self._failed[record.name] = why
            self._sites.pop(record.name, None)
            if why != before:
                log.warning("dialect %s does not listen: %s", record.name, why)

    async def _listen(self, record: DialectRecord, port: int, runner: web.AppRunner) -> None:
        context = None
        if record.tls:
            context, self._prints[record.name] = await self._certificate()
        held = self._held.pop(port, None)
        kind = web.SockSite if context is None else TlsSite
        site = kind(runner, held or bind(self._host, port), ssl_context=context)
        self._sites[record.name] = Site(port, record.tls, site)
        self._changed()  # before anybody is let in there
        await site.start()

    def close(self) -> None:
        """Give back what was taken for nothing; the runner closes what is listened at."""
        for port in tuple(self._held):
            self._give_back(port)


def _reason(fault: OSError) -> str:
    return str(fault) if fault.errno is None else os.strerror(fault.errno)


def _is_secret(data: bytes) -> bool:
    """Say whether it is one, and can stand in a header."""
    return re.fullmatch(rb"\s*[!-~]{%d,}\s*" % _SECRET_BYTES, data) is not None


def bind(host: str, port: int, tries: int = 1) -> socket.socket:
    """Listen at the first free of `tries` ports; raises OSError if none is."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for at in range(port, port + tries):
        try:
            return socket.create_server((host, at), family=family)
        except OSError:
            if at == port + tries - 1:
                raise
    raise AssertionError("at least one try")


def bind_unix(path: Path) -> socket.socket:
    """Listen at a unix socket that is the owner's alone; blocks."""
    path.unlink(missing_ok=True)  # a killed node's: the lock of the home says that it is gone
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener


def bracketed(host: str) -> str:
    """Return a host as it stands in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def shown_host(host: str) -> str:
    """Return where a browser on this machine reaches what listens at `host`."""
    if host in {"0.0.0.0", ""}:  # noqa: S104 - it is compared, not bound
        return "127.0.0.1"
    return bracketed("::1" if host == "::" else host)

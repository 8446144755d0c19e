"""Nodes on the same network find each other: DNS-SD over multicast DNS (RFC 6762, 6763), the extra `lan`.

`node/mesh/nearby.py` decides what is said and what is dialled; this talks to the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from node.errors import extra_missing
from node.mesh.nearby import MAX_FOUND, SERVICE, Found, Network, announced, dialled, record
from node.mesh.ports import MeshInput

if TYPE_CHECKING:
    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncZeroconf

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 15.0
"""Seconds between two looks at the interfaces: a laptop that moved is found at its new place."""
ASK_SECONDS: Final = 3.0
"""For a service that is known by name to say where it is."""
STOP_SECONDS: Final = 1.0


def installed() -> None:
    """Raise Refused `lan_missing` where the extra is not there."""
    try:
        import zeroconf  # noqa: F401 - it is there or not
    except ImportError as exc:
        what = "finding nodes on this network"
        raise extra_missing("lan_missing", what, "zeroconf", sys.executable, "lan") from exc


class Lan:
    """Announces this node and looks for others until stopped; what is found goes to `submit`.

    `at` is where the mesh listens, None where it does not: then nothing is announced, as under TLS, whose
    certificates vouch for names and not for addresses that change.
    """

    def __init__(self, submit: Callable[[MeshInput], None], at: tuple[str, int] | None) -> None:
        self._submit = submit
        self._at = at
        self._found = Found()
        self._asking: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; what goes wrong later is logged, the node runs on without."""
        self._task = asyncio.create_task(self._run(), name="lan")
        self._task.add_done_callback(_ended)

    async def stop(self) -> None:
        """Take the announcement back and look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)

    async def _run(self) -> None:
        from zeroconf import Error

        told = ""
        while True:
            try:
                await self._while_same(_interfaces())
            except (OSError, RuntimeError, Error) as exc:  # RuntimeError: there is no interface at all
                if str(exc) != told:
                    told = str(exc)
                    log.warning("nodes on this network are not looked for: %s", exc)
                await asyncio.sleep(LOOK_AGAIN)

    async def _while_same(self, seen: dict[str, Network]) -> None:
        """Announce and look until the interfaces change."""
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

        zeroconf = AsyncZeroconf()
        own = tuple(seen.values())
        try:
            if self._at is not None and (addresses := announced(self._at[0], seen)):
                facts = record(self._at[1], addresses, token=secrets.token_hex(8))
                self._found.own.add(facts["name"])
                await zeroconf.async_register_service(AsyncServiceInfo(**facts))

            def changed(zeroconf: Zeroconf, name: str, state_change: Any, **_: object) -> None:
                self._changed(zeroconf, name, state_change.name, own)

            browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[changed])
            try:
                while _interfaces() == seen:  # noqa: ASYNC110 - nothing tells of a change
                    await asyncio.sleep(LOOK_AGAIN)
            finally:
                await browser.async_cancel()
        finally:
            self._tell(self._found.all_gone())
            self._closing = asyncio.ensure_future(_close(zeroconf, self._asking))
            await asyncio.shield(self._closing)  # half closed, its sockets would be nobody's

    def _changed(self, zeroconf: Zeroconf, name: str, change: str, own: tuple[Network, ...]) -> None:
        if change == "Removed":
            self._tell(self._found.went(name))
        elif name not in self._found.own and len(self._asking) < MAX_FOUND:
            task = asyncio.ensure_future(self._ask(zeroconf, name, own))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, zeroconf: Zeroconf, name: str, own: tuple[Network, ...]) -> None:
        """Ask a service where it is."""
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo

        try:
            info = AsyncServiceInfo(SERVICE, name)
            found = await info.async_request(zeroconf, ASK_SECONDS * 1000)
        except Error as exc:  # a name that is none, say
            log.debug("an announcement is of no use: %s", type(exc).__name__)
            return
        if found and info.port:
            self._tell(self._found.came(name, dialled(info.parsed_addresses(), info.port, own=own)))

    def _tell(self, facts: list[MeshInput]) -> None:
        for fact in facts:
            log.debug("on this network: %s", type(fact).__name__)
            self._submit(fact)


def _interfaces() -> dict[str, Network]:
    """Return the addresses of this machine that others on its networks can use, and those networks."""
    import ifaddr  # comes with zeroconf

    found: dict[str, Network] = {}
    for adapter in ifaddr.get_adapters():
        for at in adapter.ips:
            text = at.ip if isinstance(at.ip, str) else at.ip[0]
            address = ipaddress.ip_address(text)
            if not address.is_link_local and not address.is_loopback:
                found[text] = ipaddress.ip_network(f"{text}/{at.network_prefix}", strict=False)
    return found


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("nodes on this network are looked for no more", exc_info=task.exception())


async def _close(zeroconf: AsyncZeroconf, asking: set[asyncio.Task[None]]) -> None:
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await zeroconf.async_unregister_all_services()
    await zeroconf.async_close()

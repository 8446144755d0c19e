"""Who can use the addresses of a node: said beside every contact link, so that nobody waits for nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

MACHINE, NETWORK, ANYWHERE = "only on this machine", "only on this network", "from anywhere"


def reach(address: str) -> str:
    """Return who can dial `address` (`ws://HOST:PORT`): on this machine, on this network, from anywhere."""
    host = (urlsplit(address).hostname or "").lower()
    if host == "localhost":
        return MACHINE
    try:
        at = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ANYWHERE if "." in host and not host.endswith((".local", ".lan", ".internal")) else NETWORK
    if at.is_loopback:
        return MACHINE
    return ANYWHERE if at.is_global else NETWORK


def describe(addresses: Sequence[str]) -> list[str]:
    """Return what to tell the owner of a link that carries `addresses`: who can use each; what to do."""
    lines = [f"  {address}  {reach(address)}" for address in addresses]
    if not lines:
        lines = ["  no address: the link works for nodes that already share a peer with yours"]
    if all(reach(address) != ANYWHERE for address in addresses):
        lines.append("To be reached from elsewhere: `gossamer run --relay` on any reachable machine,")
        lines.append("and `gossamer run --peer ws://it:7118` here.")
    return lines

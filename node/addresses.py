"""Which addresses this node tells others: those of its own interfaces, as far as they make sense there."""

from __future__ import annotations

import ipaddress
import socket

MAX_ADDRESSES = 4
"""A contact link stays short; a host with more interfaces names the likeliest."""
_PROBES = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Documentation addresses (RFC 5737, RFC 3849): connecting a UDP socket to one sends nothing."""


def reachable(host: str, port: int, scheme: str = "ws") -> tuple[str, ...]:
    """Return the addresses under which a listener on `host` can be dialled, the widest first."""
    if not _is_any(host):
        return (_spell(scheme, host, port),)
    found = [spoken for family, probe in _PROBES if (spoken := _own_address(family, probe))]
    spelled = [_spell(scheme, address, port) for address in dict.fromkeys(found) if not _is_loopback(address)]
    return tuple(spelled[:MAX_ADDRESSES]) or (_spell(scheme, "127.0.0.1", port),)


def _own_address(family: socket.AddressFamily, probe: str) -> str | None:
    """Return the address that the system would send from; None where there is no route."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((probe, 9))
            return str(sock.getsockname()[0])
    except OSError:
        return None


def _is_any(host: str) -> bool:
    return host in {"", "::", "0.0.0.0"}  # noqa: S104  # asked for, not bound


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _spell(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

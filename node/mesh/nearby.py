"""What a node says of itself on its own network, and what of the answers it dials (docs/operations.md).

What is announced is that some node listens on a port of this machine: the instance and host names are drawn
anew at each start, there is no text, and a private network looks like any other. Who is there, and whether
it may be linked to, only the handshake says. Everybody on the network can announce anything, so only a few
addresses of each machine are taken, and only of machines on this network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, TypeAlias

from node.mesh.ports import AddAddress, AddressGone, MeshInput

SERVICE: Final = "_gossamer._tcp.local."
MAX_FOUND: Final = 64
"""Announcements remembered: more nodes on one network find the rest through those."""
MAX_AT_HOST: Final = 4
"""Addresses of one machine: somebody who announces without end fills no more than that."""

Network: TypeAlias = IPv4Network | IPv6Network


def record(port: int, addresses: Iterable[str], *, token: str) -> dict[str, Any]:
    """Return all that is announced: a random name, where it listens, and nothing else."""
    return {
        "type_": SERVICE,
        "name": f"{token}.{SERVICE}",
        "server": f"{token}.local.",
        "port": port,
        "parsed_addresses": sorted(addresses),
        "properties": {},
    }


def announced(host: str, interfaces: Iterable[str]) -> list[str]:
    """Return the addresses of a listener on `host` that others on our networks can dial; none on loopback."""
    if host in {"::", "0.0.0.0"}:  # noqa: S104 - asked for, not bound
        return [at for at in interfaces if host == "::" or ":" not in at]
    return [at for at in interfaces if at == host]


def dialled(found: Iterable[str], port: int, *, own: Sequence[Network]) -> list[str]:
    """Return the addresses to dial of a node that was found: those on a network that we are on too."""
    spelled = []
    for text in found:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            continue
        if address.is_link_local or not any(address in network for network in own):
            continue
        host = f"[{address}]" if address.version == 6 else str(address)
        spelled.append(f"ws://{host}:{port}")
    return spelled


class Found:
    """Which announcements are known, and what they let us dial; `own` are names that we gave ourselves."""

    def __init__(self) -> None:
        self._at: dict[str, tuple[str, ...]] = {}
        self.own: set[str] = set()

    def came(self, name: str, addresses: Sequence[str]) -> list[MeshInput]:
        """Take an announcement; return what the mesh is told."""
        old = self._at.get(name, ())
        if name in self.own or (not old and len(self._at) >= MAX_FOUND):
            return []
        others = {a for other, at in self._at.items() if other != name for a in at}
        new = _few(dict.fromkeys(addresses), others)
        if new:
            self._at[name] = new
        else:
            self._at.pop(name, None)
        gone: list[MeshInput] = [AddressGone(a) for a in old if a not in new and a not in others]
        return [*gone, *(AddAddress(a, "lan") for a in new if a not in old and a not in others)]

    def went(self, name: str) -> list[MeshInput]:
        """An announcement was taken back, or has run out."""
        old = self._at.pop(name, ())
        left = {a for at in self._at.values() for a in at}
        return [AddressGone(a) for a in old if a not in left]

    def all_gone(self) -> list[MeshInput]:
        """This machine is on other networks now: nothing that was found counts."""
        return [fact for name in list(self._at) for fact in self.went(name)]


def _few(addresses: Iterable[str], others: set[str]) -> tuple[str, ...]:
    """Return those for which there is room beside `others`; what is known already takes none."""
    used, chosen = Counter(_host(other) for other in others), []
    for address in addresses:
        if address not in others:
            if used[_host(address)] >= MAX_AT_HOST:
                continue
            used[_host(address)] += 1
        chosen.append(address)
    return tuple(chosen[:MAX_AT_HOST])


def _host(address: str) -> str:
    return address.rpartition(":")[0]

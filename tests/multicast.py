"""Whether multicast from this machine reaches it again: where it does not, discovery cannot be tested."""

from __future__ import annotations

import socket

import pytest

from node.mesh import lan

GROUP = "224.0.0.251"
PATIENCE = 2.0


def here() -> str:
    """Return our address on a network with multicast; skips where there is none, or no extra."""
    pytest.importorskip("zeroconf", reason="the extra `lan` is not installed")
    found = [address for address in lan._interfaces() if ":" not in address]
    if not found:
        pytest.skip("this machine is on no network but its own")
    if not _comes_back(found[0]):
        pytest.skip("no multicast reaches this machine from itself")
    return found[0]


def _comes_back(address: str) -> bool:
    """Send a datagram to the group of multicast DNS, at a port of our own."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        try:
            ear.bind(("", 0))
            ear.settimeout(PATIENCE)
            joined = socket.inet_aton(GROUP) + socket.inet_aton(address)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            mouth.sendto(b"anybody?", (GROUP, ear.getsockname()[1]))
            return ear.recv(100) == b"anybody?"
        except OSError:
            return False

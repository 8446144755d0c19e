"""What `gossamer doctor` says of links: why there are none to some nodes, and why nobody comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from node.commandline.findings import WARN, Finding
from node.commandline.output import span
from node.commandline.reach import ANYWHERE, reach
from node.mesh.ports import OTHER_NETWORK

MAX_TOLD: Final = 5
"""Peers that fail and are told of one by one; `gossamer peer list` has all."""
QUIET_SECONDS: Final = 1800
"""A node that can be reached and that others know is usually dialled within half an hour."""
_REMEDIES: Final = (
    (OTHER_NETWORK, "one of the two has another --network-secret, or none: give both the same file"),
    ("another host", "dial it by the name that its certificate is made out to"),
    ("certificate", "if the certificate is of their own making: gossamer config set peer_ca FILE"),
    ("TLS failed", "one of the two speaks ws:// and the other wss://, or a version of TLS that is too old"),
    ("nothing listens", "ask if their node runs, and on which port"),
    ("no answer", "a firewall or router drops it: have them forward the port, or share a relay"),
    ("no way to", "this machine, or theirs, is not on that network"),
    ("no such host", "mend the address: gossamer peer remove it and add it anew"),
    ("no node there", "something else answers at that port: ask for the address again"),
    (
        "left: refused",
        "their node refuses yours for an hour, for frames that did not hold: update both nodes",
    ),
    (
        "refused for its faults",
        "your node refuses it for an hour, for frames that did not hold: update both nodes",
    ),
    ("left: protocol", "the two run versions that do not fit: update the older one"),
    ("malformed", "the two run versions that do not fit: update the older one"),
    ("left: full", "their node has all the links that it takes: it is tried again; add another peer"),
)


def failing(peers: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Say why there is no link to those that are dialled and fail.

    While there are links elsewhere, only of those that the owner named: a contact who is off is no ailment.
    """
    linked = any(peer["state"] != "down" for peer in peers)
    failed = [
        peer
        for peer in peers
        if peer["state"] == "down"
        and peer.get("last_error")
        and not (linked and peer.get("source", "configured") != "configured")
    ]
    for peer in failed[:MAX_TOLD]:
        trouble = str(peer["last_error"])
        yield Finding("peer", WARN, f"{peer['address']}: {trouble}", _remedy(trouble))
    if len(failed) > MAX_TOLD:
        yield Finding("peer", WARN, f"and {len(failed) - MAX_TOLD} more", "gossamer peer list")


def _remedy(trouble: str) -> str:
    found = (do for mark, do in _REMEDIES if mark in trouble)
    return next(found, "it is tried again by itself: gossamer peer list says when")


def closed_in(
    status: dict[str, Any], peers: Sequence[dict[str, Any]], addresses: Sequence[str]
) -> list[Finding]:
    """Say that a node which could be reached from anywhere, by its addresses, seems not to be."""
    out = sum(peer["state"] != "down" and peer.get("direction") == "out" for peer in peers)
    told = any(reach(address) == ANYWHERE for address in addresses)
    if not told or not out or status.get("came_in", 1) or status["uptime_s"] < QUIET_SECONDS:
        return []
    text = f"in {span(status['uptime_s'])} nobody has dialled this node, though it says from where to"
    do = "forward the mesh port in your router and firewall, or share a relay: gossamer run --peer ws://it:7118"
    return [Finding("reach", WARN, text, do)]

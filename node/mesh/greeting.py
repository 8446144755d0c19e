"""Whom we take as a peer, and which of two links to one node stays (docs/protocol.md section 3)."""

from __future__ import annotations

from collections.abc import Iterable

from node.mesh.limits import (
    BUDGET_STRANGER,
    BUDGET_TRUSTED,
    MAX_HALF_OPEN,
    MAX_HALF_OPEN_SUBNET,
    is_near,
    subnet_of,
)
from node.mesh.link import Link
from node.mesh.peers import FRIENDS
from node.mesh.ports import Source

MAX_TWINS = 2
"""Links to one node that it dialled itself and has not made up its mind about."""


def crowded_out(links: Iterable[Link], new: Link) -> Link | None:
    """Return the inbound link that must go for `new`, maybe `new` itself: too many keys are unproven."""
    waiting = [link for link in links if not link.live and not link.outbound]
    if not is_near(new.remote):
        subnet = subnet_of(new.remote)
        neighbours = [link for link in waiting if subnet_of(link.remote) == subnet]
        if len(neighbours) > MAX_HALF_OPEN_SUBNET:
            return neighbours[0]
    return waiting[0] if len(waiting) > MAX_HALF_OPEN else None


def budget_for(link: Link, source: Source | None, *, relay: bool) -> int:
    """Return the live envelopes a second that we take from a link; a relay is there to be dialled."""
    if source in FRIENDS or is_near(link.remote) or (relay and not link.outbound):
        return BUDGET_TRUSTED
    return BUDGET_STRANGER


def redundant(new: Link, others: list[Link], *, own_key: bytes, now: float) -> list[Link]:
    """Return which of the links to one node go, now that `new` is live too."""
    going = [old for old in others if _goes_for(new, old, now)]
    staying = [old for old in others if old not in going]
    for old in staying:
        if old.outbound != new.outbound:
            ours_stays = own_key > new.node_key  # the link dialled by the larger key stays
            loser = old if old.outbound != ours_stays else new
        elif new.outbound or len(staying) >= MAX_TWINS:
            loser = new
        else:
            continue  # the peer dialled both, and closes one of them itself
        if loser not in going:
            going.append(loser)
    return going


def _goes_for(new: Link, old: Link, now: float) -> bool:
    """Whether an older link is surely dead: the peer has started anew, or has long been silent on it."""
    assert new.hello is not None and old.hello is not None
    return old.hello.boot_nonce != new.hello.boot_nonce or old.stale(now=now)

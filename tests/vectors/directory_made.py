"""Vectors of the directory: an open room, and the listing of it by a member that did not make it."""

from __future__ import annotations

from typing import Any

from node.clock import DAY_MS
from node.crypto import listing, ops
from node.crypto.channel import directory_channel, join_channel_secret
from node.crypto.ops import Policy, Visibility
from tests.vectors.cast import NOW, actor, fixed


def directory() -> dict[str, Any]:
    alice, bob, seed, network = actor("alice"), actor("bob"), fixed("open room seed"), fixed("network")
    invite_id, public = listing.seed_invite(seed)
    create = ops.make_create(
        alice.identity,
        policy=Policy(Visibility.OPEN, 200),
        salt16=invite_id,
        cert=alice.cert,
        devices=alice.devices,
        leaf=alice.leaf,
        name="square",
        creator_name="Alice",
        ts_ms=NOW,
    )
    said = {"name": "the square", "count": 2, "ts_ms": NOW + DAY_MS // 4}
    inner = listing.make_listing(
        bob.identity, create=create.raw, seed=seed, node_records=[alice.record], cert=bob.cert, **said
    )
    assert listing.verify_listing(listing.parse_listing(inner)).account == bob.account
    return {
        "network_id": network,
        "channel_secret": directory_channel(network).secret,
        "seed": seed,
        "invite_id": invite_id,
        "invite_key": public,
        "join_secret": join_channel_secret(seed),
        "create": {"by": "alice", "policy": [2, 200, 1], "name": "square", "called": "Alice", "ts_ms": NOW,
                   "raw": create.raw, "room_id": create.room_id},
        "listing": {"by": "bob", **said, "inner": inner},
    }  # fmt: skip

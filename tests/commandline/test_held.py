"""What `gossamer status` says of the shelves."""

from __future__ import annotations

from collections.abc import Callable

from .conftest import Scripted

Exits = Callable[..., tuple[int, str, str]]


def test_the_status_says_what_is_held_for_whom_and_how_old_it_is(
    node: Scripted, gossamer_exits: Exits
) -> None:
    zeros = dict.fromkeys(("links", "contacts", "rooms", "clients", "uptime_s", "db_bytes"), 0)
    node.answers["node_status"] = {
        **zeros,
        "connectivity": "synced",
        "held_envelopes": 6,
        "held": {
            "own": {"envelopes": 1, "bytes": 1024},
            "known": {"envelopes": 2, "bytes": 2048},
            "other": {"envelopes": 3, "bytes": 4096},
        },
        "held_quota_bytes": 512 << 20,
        "oldest_held_ms": 1_730_000_000_000,
    }
    out = gossamer_exits("status")[1]
    said = {line[:12].strip(): line[12:].strip() for line in out.splitlines()}
    assert said["held"] == "6 sealed envelopes, the oldest of 2024-10-27"
    assert said["for you"] == "1, 1.0 KiB"
    assert said["for others"] == "6.0 KiB of 512.0 MiB"
    assert (said["known nodes"], said["other nodes"]) == ("2, 2.0 KiB", "3, 4.0 KiB")

"""What the engine has, counted: for the metrics, so no name, id or address is among it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.bridge.metrics import Shown, counters, gauge
from node.clock import Instant
from node.engine.engine import Engine
from node.store.records import Shelf

STORED: Final = {
    "held_envelopes": "Sealed envelopes that are kept for others and for us.",
    "db_bytes": "Bytes of the database.",
    "oldest_held_ms": "UNIX milliseconds of the oldest sealed envelope that is kept, or 0.",
}
"""What the store's own figures say."""
_SHELVES: Final = (Shelf.OWN, Shelf.KNOWN, Shelf.OTHER)


def stored(stats: Mapping[str, int | None]) -> list[Shown]:
    """Return the store's own figures."""
    return [gauge(name, STORED.get(name, "In the store."), value or 0) for name, value in stats.items()]


def _held(engine: Engine) -> list[Shown]:
    shelving = engine.shelving
    counts = {(shelf.name.lower(),): shelving.count(shelf) for shelf in _SHELVES}
    sizes = {(shelf.name.lower(),): shelving.nbytes(shelf) for shelf in _SHELVES}
    return [
        counters("shelf_envelopes", "Sealed envelopes on each shelf.", ("shelf",), counts, "gauge"),
        counters("shelf_bytes", "Bytes on each shelf.", ("shelf",), sizes, "gauge"),
        gauge("held_quota_bytes", "Bytes that known and other may take together.", shelving.quota),
        gauge("held_ids", "Ids kept of envelopes that were let go.", shelving.ids),
    ]


def of(engine: Engine, now: Instant) -> list[Shown]:
    """Return the engine's figures; the work grows with the number of peers, rooms and contacts alone."""
    state, peers = engine.state, engine.mesh.peers(now)
    links = {(way,): sum(peer.direction == way for peer in peers) for way in ("in", "out")}
    trips = [peer.rtt_ms / 1000 for peer in peers if peer.rtt_ms is not None]
    return [
        counters("links", "Links to other nodes that stand.", ("direction",), links, "gauge"),
        gauge("link_seconds_mean", "Round trip of the links, mean.", sum(trips) / len(trips) if trips else 0),
        gauge("link_seconds_max", "Round trip of the slowest link.", max(trips, default=0)),
        gauge("addresses", "Addresses that are dialled.", len(engine.mesh.addresses())),
        gauge(
            "blocks_held", "Blocks of others' attachments that are held.", len(engine.desk.blocks.depot.held)
        ),
        gauge("contacts", "Contacts.", len(state.people.contacts())),
        gauge("rooms", "Rooms, conversations of two among them.", _rooms(engine)),
        gauge("log_seq", "The event log's newest number.", state.seq),
        gauge("nonces", "Commands remembered by their nonce.", len(state.nonces.all)),
        gauge("child_tokens", "Child tokens.", len(state.tokens)),
        gauge("origins", "Origins that are allowed.", len(state.origins)),
        gauge("consumers", "Frontends whose place is remembered.", len(state.consumers)),
        gauge("open_invites", "Invites to us that can be answered.", len(state.invites.open_incoming())),
        gauge("late_faults", "Faults of peers found too late: 0, or tell us.", engine.late_faults),
        *_held(engine),
    ]


def _rooms(engine: Engine) -> int:
    return len(engine.state.rooms.rooms()) + len(engine.state.rooms.direct)

"""Which addresses are known, and when which one is dialled (docs/protocol.md section 7).

What the owner named is dialled whenever there is no link to it; the rest while we have few links. An address
that turns out to be ourselves is never dialled again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.clock import earliest
from node.mesh.limits import authority_of, is_loopback, is_near
from node.mesh.ports import OTHER_NETWORK, AddressInfo, Source
from node.mesh.troubles import OTHER_NETWORK_RETRY, Troubles

TARGET_LINKS = 8
"""Links we look for by ourselves; more come from those who dial us."""
MAX_DIALS = 8
"""Dials under way at once."""
MAX_ADDRESSES = 512
"""Addresses kept, about 100 bytes each; those of the owner always fit."""
MAX_ADDRESS_BYTES = 255
FIRST_RETRY = 0.5
"""Seconds after a live link broke: a peer that restarts is back soon."""
RETRY = 1.0
"""Seconds after the first failure; doubles with each."""
MAX_RETRY = 15.0
MAX_RETRY_LOOPBACK = 1.0
"""A dial on this machine is refused at once and costs nothing."""
DIAL_TIMEOUT = 30.0
"""Seconds after which a dial that the shell never answered is given up; its own timeout is 10 s."""
MAX_PUT_OFF = 300.0
"""Seconds that a GOODBYE can keep us away."""

_RANK: dict[Source, int] = {"configured": 0, "contact": 1, "room": 2, "lan": 3, "px": 4}


@dataclass(slots=True)
class _Entry:
    source: Source
    next_at: float
    failures: int = 0
    dialled_at: float | None = None
    linked: bool = False
    key: bytes | None = None
    ours: bool = False


class Book:
    """The addresses of other nodes and the state of dialling each; `spread` gives a number in [0, 1)."""

    def __init__(self, spread: Callable[[], float]) -> None:
        self._spread = spread
        self._entries: dict[str, _Entry] = {}
        self._live: dict[bytes, int] = {}
        self._troubles = Troubles()

    def __len__(self) -> int:
        return len(self._entries)

    def addresses(self) -> list[str]:
        """The addresses that are dialled, the owner's first; our own left out."""
        known = sorted((_RANK[e.source], a) for a, e in self._entries.items() if not e.ours)
        return [address for _, address in known]

    def source_of(self, address: str) -> Source | None:
        """Where an address was learned, or None."""
        entry = self._entries.get(address)
        return None if entry is None else entry.source

    def dialled(self, *, now: float) -> list[AddressInfo]:
        """Return how dialling each address goes, in the order of `addresses`."""
        return [self._about(a, self._entries[a], now) for a in self.addresses()]

    def _about(self, address: str, entry: _Entry, now: float) -> AddressInfo:
        key = None if entry.key is None else entry.key.hex()
        retry = max(0.0, entry.next_at - now) if self._wanted(entry) else None
        return AddressInfo(address, entry.source, key, retry, self._troubles.why(address))

    def add(self, address: str, source: Source, *, now: float) -> None:
        """Learn an address; a better source replaces a lesser one."""
        entry = self._entries.get(address)
        if entry is not None:
            if _RANK[source] < _RANK[entry.source]:
                entry.source = source
            if source == "configured":
                entry.failures, entry.next_at = 0, now
            return
        strange = source == "px" and is_near(authority_of(address))
        full = len(self._entries) >= MAX_ADDRESSES and source != "configured"
        if strange or full or len(address.encode()) > MAX_ADDRESS_BYTES:
            return
        self._entries[address] = _Entry(source, now)

    def remove(self, address: str) -> None:
        """Forget an address."""
        self._troubles.over(address)
        self._entries.pop(address, None)

    def gone(self, address: str) -> None:
        """Forget an address of this network that is announced no more, unless a link to it stands."""
        entry = self._entries.get(address)
        if entry is not None and entry.source == "lan" and not entry.linked:
            self.remove(address)

    def due(self, *, now: float) -> list[str]:
        """Return the addresses to dial now, and count them as being dialled."""
        dialling = sum(e.dialled_at is not None for e in self._entries.values())
        chosen: list[str] = []
        ready = [(_RANK[e.source], e.next_at, a) for a, e in self._entries.items() if self._ready(e, now)]
        for _, _, address in sorted(ready):
            if dialling + len(chosen) >= MAX_DIALS:
                break
            chosen.append(address)
            self._entries[address].dialled_at = now
        return chosen

    def _ready(self, entry: _Entry, now: float) -> bool:
        return self._wanted(entry) and now >= entry.next_at

    def _wanted(self, entry: _Entry) -> bool:
        if entry.ours or entry.linked or entry.dialled_at is not None:
            return False
        if entry.key is not None and entry.key in self._live:
            return False
        return entry.source == "configured" or len(self._live) < TARGET_LINKS

    def opened(self, address: str) -> None:
        """A dial has become a websocket."""
        entry = self._entries.get(address)
        if entry is not None:
            entry.dialled_at, entry.linked = None, True

    def failed(self, address: str, *, now: float, why: str = "") -> None:
        """A dial, or the handshake after it, came to nothing; `why` is for the owner."""
        entry = self._entries.get(address)
        if entry is None:
            return
        entry.dialled_at, entry.linked = None, False
        most = MAX_RETRY_LOOPBACK if is_loopback(authority_of(address)) else MAX_RETRY
        wait = min(most, RETRY * 2.0 ** min(entry.failures, 10))
        entry.failures += 1
        if why == OTHER_NETWORK:
            wait = OTHER_NETWORK_RETRY
        entry.next_at = now + wait * (0.8 + 0.4 * self._spread())
        self._troubles.note(address, why)

    def put_off(self, address: str, seconds: float, *, now: float) -> None:
        """The peer asked to be left alone for a while."""
        entry = self._entries.get(address)
        if entry is not None:
            entry.next_at = max(entry.next_at, now + min(seconds, MAX_PUT_OFF))

    def is_ourselves(self, address: str) -> None:
        """The node behind this address is this one: never dial it again."""
        entry = self._entries.get(address)
        if entry is not None:
            entry.ours, entry.linked, entry.dialled_at = True, False, None

    def link_up(self, address: str, key: bytes, *, now: float) -> None:
        """A link to `key` is live; `address` is what was dialled, empty for an inbound one."""
        self._live[key] = self._live.get(key, 0) + 1
        if address in self._entries:
            self._entries[address].key = key
            self._troubles.over(address)
        for entry in self._entries.values():
            if entry.key == key:
                entry.failures, entry.next_at = 0, now

    def link_down(self, address: str, key: bytes, *, now: float, why: str = "") -> None:
        """A live link to `key` is gone."""
        left = self._live.get(key, 0) - 1
        if left > 0:
            self._live[key] = left
        else:
            self._live.pop(key, None)
        if address in self._entries:
            self._entries[address].linked = False
            self._troubles.note(address, f"the link ended: {why}")
        for entry in self._entries.values():
            if entry.key == key:
                entry.next_at = max(entry.next_at, now + FIRST_RETRY * (0.5 + self._spread()))

    def give_up_stuck(self, *, now: float) -> None:
        """Count dials that were never answered as failed."""
        for address, entry in self._entries.items():
            if entry.dialled_at is not None and now >= entry.dialled_at + DIAL_TIMEOUT:
                self.failed(address, now=now, why="no answer")

    @property
    def deadline(self) -> float | None:
        """When the next dial is due, or one under way is given up."""
        soon: float | None = None
        dialling = 0
        for entry in self._entries.values():
            if entry.dialled_at is not None:
                dialling += 1
                soon = earliest(soon, entry.dialled_at + DIAL_TIMEOUT)
        if dialling < MAX_DIALS:
            soon = earliest(soon, *(e.next_at for e in self._entries.values() if self._wanted(e)))
        return soon

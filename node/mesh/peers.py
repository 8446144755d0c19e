"""Which addresses are known, and when which one is dialled (docs/protocol.md section 7).

What the owner named is dialled whenever there is no link to it; the rest while we have few links, or too few
that we chose ourselves. An address that turns out to be ourselves is never dialled again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import nsmallest

from node.clock import earliest
from node.mesh.degree import MOST_LINKS
from node.mesh.limits import authority_of, is_loopback, is_near, may_be_named
from node.mesh.ports import OTHER_NETWORK, AddressInfo, Source
from node.mesh.troubles import OTHER_NETWORK_RETRY, Troubles

MAX_DIALS = 8
"""Dials under way at once."""
MAX_DIALS_STRANGERS = 5
"""Of these to nodes that strangers told us of: addresses that lead nowhere do not delay a friend."""
SLOW_DIAL = 1.5
"""Seconds after which a dial under way keeps us no longer from trying another."""
MAX_ADDRESSES = 512
"""Addresses kept, about 100 bytes each; those of the owner always fit."""
MAX_ADDRESS_BYTES = 255
MAX_FRIENDS = 1024
"""Node keys of contacts and co-members that are remembered, contacts' first, then the latest."""
MAX_UNWANTED = 64
"""Addresses that the owner has removed, the latest."""
FIRST_RETRY = 0.5
"""Seconds after a live link broke: a peer that restarts is back soon."""
STEADY = 10.0
"""Seconds that a link has to last to count as one."""
MAX_SHORT = 3
"""Links in a row that broke sooner and are dialled anew as if they had lasted; then the waiting doubles."""
HASTE = 5.0
"""Seconds after a sleep in which a link that turns out to be dead is dialled anew at once."""
RETRY = 1.0
"""Seconds after the first failure; doubles with each."""
MAX_RETRY = 15.0
"""To the owner's, contacts' and co-members' addresses."""
MAX_RETRY_STRANGER = 300.0
MAX_RETRY_LOOPBACK = 1.0
"""A dial on this machine is refused at once and costs nothing."""
DIAL_TIMEOUT = 30.0
"""Seconds after which a dial that the shell never answered is given up; its own timeout is 10 s."""
MAX_PUT_OFF = 300.0
"""Seconds that a GOODBYE can keep us away."""
ELDERS = 8
"""Of the nodes that strangers told us of, those known the longest; made up last by whoever attacks us."""
ELDER_LINKS = 2
"""Links to these that we look for."""
NEVER_SEEN = 86_400.0
"""Seconds that count for a node that was never linked: seen a day ago."""

_RANK: dict[Source, int] = {"configured": 0, "contact": 1, "room": 2, "lan": 3, "px": 4}
FRIENDS: frozenset[Source] = frozenset({"configured", "contact", "room"})
"""Sources of addresses whose links are never let go of, and whose nodes may send at the full rate."""


def rank_of(source: Source | None) -> int:
    """Return how much less than the owner's own word a source counts."""
    return _RANK["px" if source is None else source]


@dataclass(slots=True)
class _Entry:
    source: Source
    next_at: float
    failures: int = 0
    short: int = 0
    up: float = 0.0
    dialled_at: float | None = None
    linked: bool = False
    key: bytes | None = None
    ours: bool = False
    first: float = 0.0
    seen: float | None = None


class Book:
    """The addresses of other nodes and the state of dialling each; `spread` gives a number in [0, 1).

    `target` is how many links are looked for, half of them dialled by us.
    """

    def __init__(self, spread: Callable[[], float]) -> None:
        self._spread = spread
        self._entries: dict[str, _Entry] = {}
        self._live: dict[bytes, int] = {}
        self._outbound: dict[bytes, int] = {}
        self._friends: dict[bytes, Source] = {}
        self._unwanted: dict[str, None] = {}
        self._soon: float | None = None
        self._known = False
        self._target = MOST_LINKS
        self._sought: frozenset[str] = frozenset()
        self._hasty_until = float("-inf")
        self._scout = ""
        self._troubles = Troubles()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def target(self) -> int:
        """How many links are looked for."""
        return self._target

    @target.setter
    def target(self, links: int) -> None:
        self._known = self._known and links == self._target
        self._target = links

    @property
    def sought(self) -> frozenset[str]:
        """Addresses of relays, while we need a link to one and have none."""
        return self._sought

    @sought.setter
    def sought(self, relays: frozenset[str]) -> None:
        self._known = self._known and relays == self._sought
        self._sought = relays

    def addresses(self) -> list[str]:
        """The addresses that are dialled, the owner's first; not our own, nor strangers' without a link."""
        shown = ((a, e) for a, e in self._entries.items() if not e.ours and (e.linked or e.source != "px"))
        known = sorted((_RANK[e.source], a) for a, e in shown)
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
        planned = self._free(entry) and (entry.source == "configured" or self.lacking > 0)
        retry = max(0.0, entry.next_at - now) if planned else None
        return AddressInfo(address, entry.source, key, retry, self._troubles.why(address))

    def key_of(self, address: str) -> bytes | None:
        """The node that is, or is said to be, behind an address."""
        entry = self._entries.get(address)
        return None if entry is None else entry.key

    def trust(self, address: str, key: bytes) -> Source | None:
        """Return on whose word we know a node: by the address that was dialled, or by its key."""
        entry = self._entries.get(address)
        friend = self._friends.get(key)
        if entry is None or (friend is not None and _RANK[friend] < _RANK[entry.source]):
            return friend
        return entry.source

    def keyless(self) -> int:
        """How many addresses there are of friends whose node has not been met: nodes, as far as we know."""
        return sum(
            e.key is None and not e.ours and e.source in FRIENDS and a != "" for a, e in self._entries.items()
        )

    def add(
        self, address: str, source: Source, *, now: float, key: bytes | None = None,
        first: float | None = None, seen: float | None = None,
    ) -> None:  # fmt: skip
        """Learn an address, maybe of the node `key`; a better source replaces a lesser one."""
        self._known = False
        if key:
            self._befriend(key, source)
        entry = self._entries.get(address)
        if entry is not None:
            if _RANK[source] < _RANK[entry.source]:
                entry.source = source
            if source == "configured":
                entry.failures, entry.next_at = 0, now
            return
        if source in FRIENDS:
            self._unwanted.pop(address, None)
        strange = source == "px" and (address in self._unwanted or is_near(authority_of(address)))
        if strange or len(address.encode()) > MAX_ADDRESS_BYTES:
            return
        if source != "configured" and not (may_be_named(address) and self._has_place(source)):
            return
        self._entries[address] = _Entry(
            source, now, key=key if source == "px" else None, first=now if first is None else first, seen=seen
        )

    def _has_place(self, source: Source) -> bool:
        """Whether there is a place for an address; of a full book one that counts less makes way, if any."""
        if len(self._entries) < MAX_ADDRESSES:
            return True
        less = ((a, e) for a, e in self._entries.items() if _RANK[e.source] > _RANK[source])
        idle = [(a, e) for a, e in less if not e.linked and e.dialled_at is None]
        if idle:
            going, _ = max(idle, key=lambda one: (_RANK[one[1].source], one[1].failures))
            self._troubles.over(going)
            del self._entries[going]
        return bool(idle)

    def _befriend(self, key: bytes, source: Source) -> None:
        if source in FRIENDS and _RANK[source] < _RANK[self._friends.get(key, "px")]:
            self._friends[key] = source
            if len(self._friends) > MAX_FRIENDS:
                least = max(_RANK[one] for one in self._friends.values())
                del self._friends[next(k for k, one in self._friends.items() if _RANK[one] == least)]

    def retire(self, addresses: Iterable[str], keys: Iterable[bytes]) -> None:
        """Forget what contacts or co-members say no more: not dialled for their sake, no friends' keys.

        A link that stands stays, as one to a stranger. What the owner named is not touched.
        """
        self._known = False
        for address in addresses:
            entry = self._entries.get(address)
            if entry is not None and entry.source in {"contact", "room"}:
                entry.source, entry.first = "px", float("inf")
                self.forget_stranger(address)
        for key in keys:
            if self._friends.get(key, "configured") != "configured":
                del self._friends[key]

    def remove(self, address: str) -> None:
        """Forget an address, and let no stranger name it again."""
        self._known = False
        self._troubles.over(address)
        self._entries.pop(address, None)
        self._unwanted[address] = None
        if len(self._unwanted) > MAX_UNWANTED:
            del self._unwanted[next(iter(self._unwanted))]

    def forget_stranger(self, address: str) -> None:
        """Forget an address that nobody but strangers told us, unless it is in use."""
        entry = self._entries.get(address)
        if entry is not None and entry.source == "px" and not entry.linked and entry.dialled_at is None:
            self._known = False
            self._troubles.over(address)
            del self._entries[address]

    def afresh(self, *, now: float) -> None:
        """The network is another: what failed before may work now."""
        self._known = False
        self._hasty_until = now + HASTE
        for entry in self._entries.values():
            entry.short = 0
            entry.ours = False  # in another network it may be somebody else's
        self._retry_all(now)

    def _retry_all(self, now: float) -> None:
        for entry in self._entries.values():
            entry.failures = 0
            entry.next_at = min(entry.next_at, now)

    # which to dial

    def gone(self, address: str) -> None:
        """Forget an address of this network that is announced no more, unless a link to it stands."""
        entry = self._entries.get(address)
        if entry is not None and entry.source == "lan" and not entry.linked:
            self._troubles.over(address)
            self._known = False
            del self._entries[address]

    def due(self, *, now: float) -> list[str]:
        """Return the addresses to dial now, and count them as being dialled."""
        if self.deadline is None or now < self.deadline:
            return []
        self._known = False
        chosen: list[str] = []
        scout, self._scout = self._entries.get(self._scout), ""
        if scout is not None and self._free(scout):
            scout.dialled_at = now
            chosen += [address for address, entry in self._entries.items() if entry is scout]
        named = [(e.next_at, a) for a, e in self._entries.items() if self._named(e) and now >= e.next_at]
        for _, address in sorted(named)[: max(0, MAX_DIALS - self._dialling())]:
            self._entries[address].dialled_at = now
            chosen.append(address)
        while (slot := self._slot_at()) is not None and slot <= now:
            found = self._choose(now)
            if found is None:
                break
            self._entries[found].dialled_at = now
            chosen.append(found)
        return chosen

    def scout(self, *, now: float) -> None:
        """Dial a node at random that is not linked, every other time a friend, with no link missing."""
        if self.lacking > 0 or self._dialling() >= MAX_DIALS:
            return
        ready = [(a, e) for a, e in self._candidates() if now >= e.next_at]
        friends = [(a, e) for a, e in ready if e.source in FRIENDS]
        pool = friends if friends and self._spread() < 0.5 else ready
        if pool:
            self._known = False
            self._scout = pool[int(self._spread() * len(pool))][0]

    def _choose(self, now: float) -> str | None:
        """Return a friend's address, or a stranger's: an elder, one near by, a relay if needed, or any."""
        ready = [(a, e) for a, e in self._candidates() if now >= e.next_at]
        pool = [(a, e) for a, e in ready if e.source in FRIENDS]
        if not pool:
            eldest = self._eldest({a for a, _ in ready})
            if eldest is not None and not self.sought:
                return eldest
            pool = [(a, e) for a, e in ready if e.source == "lan"]
            pool = pool or [(a, e) for a, e in ready if a in self.sought] or ready
        if not pool:
            return None
        ages = [NEVER_SEEN if e.seen is None else max(0.0, now - e.seen) for _, e in pool]
        weights = [1 / (1 + age / 3600) for age in ages]
        spot = self._spread() * sum(weights)
        for (address, _), weight in zip(pool, weights, strict=True):
            spot -= weight
            if spot < 0:
                return address
        return pool[-1][0]

    def _eldest(self, able: set[str]) -> str | None:
        """Return which of `able` is known longest, while too few links lead to nodes that are."""
        linked = self.elders()
        return None if len(linked) >= ELDER_LINKS else next((a for _, a in self._oldest() if a in able), None)

    def elders(self) -> list[bytes]:
        """Return the nodes that we link to because they are known the longest."""
        keys = [self._entries[address].key for _, address in self._oldest()]
        return [key for key in dict.fromkeys(keys) if key is not None and key in self._outbound][:ELDER_LINKS]

    def _oldest(self) -> list[tuple[float, str]]:
        """Return the addresses of the oldest nodes: one that names four is still one."""
        first: dict[bytes, float] = {}
        strangers = [(a, e) for a, e in self._entries.items() if e.source == "px" and e.key is not None]
        for _, entry in strangers:
            assert entry.key is not None
            first[entry.key] = min(entry.first, first.get(entry.key, entry.first))
        eldest = {key: at for at, key in nsmallest(ELDERS, ((at, key) for key, at in first.items()))}
        return sorted((eldest[e.key], a) for a, e in strangers if e.key is not None and e.key in eldest)

    def _candidates(self) -> list[tuple[str, _Entry]]:
        """Return what may be dialled beside what the owner named: one address of a node at a time."""
        entries = self._entries
        busy = {e.key for e in entries.values() if e.dialled_at is not None and e.key is not None}
        others = [(a, e) for a, e in entries.items() if e.source != "configured" and e.key not in busy]
        if self._dialling_strangers() >= MAX_DIALS_STRANGERS:
            others = [(a, e) for a, e in others if e.source in FRIENDS]
        return [(a, e) for a, e in others if self._free(e)]

    def _dialling(self) -> int:
        return sum(e.dialled_at is not None for e in self._entries.values())

    def _dialling_strangers(self) -> int:
        return sum(e.dialled_at is not None and e.source not in FRIENDS for e in self._entries.values())

    @property
    def lacking(self) -> int:
        """How many links are missing: to as many as we look for, or to half of these dialled by us."""
        missing = max(self._target - len(self._live), (self._target + 1) // 2 - len(self._outbound))
        return max(missing, 1) if self.sought else missing

    def _slot_at(self) -> float | None:
        """When another address may be dialled that the owner did not name; None while none may."""
        others = [e for e in self._entries.values() if e.source != "configured"]
        times = sorted(e.dialled_at for e in others if e.dialled_at is not None)
        lacking = self.lacking
        if lacking <= 0 or self._dialling() >= MAX_DIALS:
            return None
        return times[len(times) - lacking] + SLOW_DIAL if len(times) >= lacking else float("-inf")

    def _named(self, entry: _Entry) -> bool:
        return entry.source == "configured" and self._free(entry)

    def _free(self, entry: _Entry) -> bool:
        if entry.ours or entry.linked or entry.dialled_at is not None:
            return False
        return entry.key is None or entry.key not in self._live

    # what came of it

    def opened(self, address: str) -> None:
        """A dial has become a websocket."""
        self._known = False
        entry = self._entries.get(address)
        if entry is not None:
            entry.dialled_at, entry.linked = None, True

    def failed(self, address: str, *, now: float, why: str = "") -> None:
        """A dial, or the handshake after it, came to nothing; `why` is for the owner."""
        self._known = False
        entry = self._entries.get(address)
        if entry is None:
            return
        entry.dialled_at, entry.linked = None, False
        wait = min(_most(address, entry), RETRY * 2.0 ** min(entry.failures, 10))
        entry.failures += 1
        if why == OTHER_NETWORK:
            wait = OTHER_NETWORK_RETRY
        entry.next_at = now + wait * (0.8 + 0.4 * self._spread())
        self._troubles.note(address, why)

    def put_off(self, address: str, seconds: float, *, now: float) -> None:
        """The peer asked to be left alone for a while."""
        self._known = False
        entry = self._entries.get(address)
        if entry is not None:
            entry.next_at = max(entry.next_at, now + min(seconds, MAX_PUT_OFF))

    def is_ourselves(self, address: str) -> None:
        """The node behind this address is this one: never dial it again."""
        self._known = False
        entry = self._entries.get(address)
        if entry is not None:
            entry.ours, entry.linked, entry.dialled_at = True, False, None

    def link_up(self, address: str, key: bytes, *, now: float) -> None:
        """A link to `key` is live; `address` is what was dialled, empty for an inbound one."""
        self._known = False
        if not self._live:
            self._retry_all(now)  # the network is back
        self._live[key] = self._live.get(key, 0) + 1
        if address:
            self._outbound[key] = self._outbound.get(key, 0) + 1
        if address in self._entries:
            self._entries[address].key = key
            self._befriend(key, self._entries[address].source)
            self._troubles.over(address)
        for entry in self._entries.values():
            if entry.key == key:
                entry.failures, entry.next_at, entry.seen = 0, now, now
                entry.up = now if self._live[key] == 1 else entry.up

    def link_down(self, address: str, key: bytes, *, now: float, why: str = "") -> None:
        """A live link to `key` is gone."""
        self._known = False
        _take_one(self._live, key)
        if address:
            _take_one(self._outbound, key)
        if address in self._entries:
            self._entries[address].linked = False
            self._troubles.note(address, f"the link ended: {why}")
        for known, entry in self._entries.items():
            if entry.key == key:
                entry.seen = now
                if key not in self._live:
                    entry.short = 0 if now >= entry.up + STEADY else entry.short + 1
                entry.next_at = max(entry.next_at, now + self._pause(known, entry, now))

    def _pause(self, address: str, entry: _Entry, now: float) -> float:
        """Return the seconds until a node is dialled again whose link broke."""
        if entry.short > MAX_SHORT:
            wait = RETRY * 2.0 ** min(entry.short - MAX_SHORT, 10)
            return min(_most(address, entry), wait) * (0.8 + 0.4 * self._spread())
        return 0.0 if now < self._hasty_until else FIRST_RETRY * (0.5 + self._spread())

    def give_up_stuck(self, *, now: float) -> None:
        """Count dials that were never answered as failed."""
        if self.deadline is None or now < self.deadline:
            return
        for address, entry in self._entries.items():
            if entry.dialled_at is not None and now >= entry.dialled_at + DIAL_TIMEOUT:
                self.failed(address, now=now, why="no answer")

    @property
    def deadline(self) -> float | None:
        """When the next dial is due, or one under way is given up."""
        if not self._known:
            self._soon, self._known = self._least(), True
        return self._soon

    def _least(self) -> float | None:
        entries = self._entries.values()
        if self._scout:
            return float("-inf")
        soon = earliest(*(e.dialled_at + DIAL_TIMEOUT for e in entries if e.dialled_at is not None))
        if self._dialling() < MAX_DIALS:
            soon = earliest(soon, *(e.next_at for e in entries if self._named(e)))
        slot = self._slot_at()
        if slot is not None:
            first = earliest(*(e.next_at for _, e in self._candidates()))
            soon = earliest(soon, None if first is None else max(first, slot))
        return soon


def _most(address: str, entry: _Entry) -> float:
    """Return the longest wait between two dials of an address."""
    if is_loopback(authority_of(address)):
        return MAX_RETRY_LOOPBACK
    return MAX_RETRY_STRANGER if entry.source == "px" else MAX_RETRY


def _take_one(counts: dict[bytes, int], key: bytes) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)

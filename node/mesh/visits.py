"""Links that are dialled to fetch something: to whom, how often, and for how long (docs/protocol.md 10).

A message says where its author's node, and relays that it uses, can be reached. They are dialled only while
nobody who may have the attachment is linked, and left again when it is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

RETRY = 5.0
"""Seconds after a dial that came to nothing, or a link that broke; doubles."""
MAX_RETRY = 300.0
DIAL_TIMEOUT = 30.0
MAX_VISITS = 64
"""Addresses known for this at a time: 8 for each attachment that is fetched."""
MAX_DIALS = 4
"""At one time; the others a second later."""
LINGER = 60.0
"""Seconds that a link stays that nothing is fetched over any more."""


@dataclass(slots=True)
class _Visit:
    wanted_by: set[bytes] = field(default_factory=set)
    next_at: float = 0.0
    patience: float = RETRY
    key: bytes | None = None
    link: int | None = None
    leave_at: float | None = None
    ours: bool = False
    """It was dialled for this; another link to it is not ours to leave."""


class Visits:
    """The addresses that errands name."""

    def __init__(self) -> None:
        self._known: dict[str, _Visit] = {}

    def __contains__(self, address: str) -> bool:
        return address in self._known

    def want(self, errand: bytes, addresses: Iterable[str], *, now: float) -> None:
        """These may be dialled for an errand."""
        for address in addresses:
            if address not in self._known and len(self._known) >= MAX_VISITS:
                return
            visit = self._known.setdefault(address, _Visit(next_at=now))
            visit.wanted_by.add(errand)
            visit.leave_at = None

    def done(self, errand: bytes, *, now: float) -> None:
        """An errand is over: addresses that nobody else names are forgotten, their links left soon."""
        for address, visit in list(self._known.items()):
            visit.wanted_by.discard(errand)
            if not visit.wanted_by:
                visit.leave_at = now + LINGER
                if visit.link is None:
                    del self._known[address]

    def opened(self, address: str, number: int, key: bytes) -> None:
        """A link that was dialled is live, to the node with this key."""
        visit = self._known.get(address)
        if visit is not None:
            visit.link, visit.key, visit.patience = number, key, RETRY

    def ended(self, address: str, *, now: float) -> None:
        """A dial came to nothing, or a link that was dialled is gone."""
        visit = self._known.get(address)
        if visit is None:
            return
        if not visit.wanted_by:
            del self._known[address]
            return
        visit.ours = False
        visit.link, visit.next_at = None, now + visit.patience
        visit.patience = min(MAX_RETRY, 2 * visit.patience)

    def due(self, errands: Iterable[bytes], linked: frozenset[bytes], *, now: float) -> list[str]:
        """Return what to dial for errands that nobody brings; `linked` are the keys of those who are here."""
        wanting, chosen = set(errands), list[str]()
        for address, visit in self._known.items():
            if not self._is_free(visit, linked) or not visit.wanted_by & wanting or now < visit.next_at:
                continue
            if len(chosen) >= MAX_DIALS:
                visit.next_at = now + 1.0
                continue
            visit.next_at, visit.ours = now + DIAL_TIMEOUT, True
            chosen.append(address)
        return chosen

    def next_try(self, errands: Iterable[bytes], linked: frozenset[bytes]) -> float | None:
        """When something is to be dialled for these errands."""
        wanting = set(errands)
        return min(
            (v.next_at for v in self._known.values() if v.wanted_by & wanting and self._is_free(v, linked)),
            default=None,
        )

    def to_leave(self, *, now: float) -> list[int]:
        """Return the links that nothing is fetched over any more, and forget them."""
        over = [(a, v) for a, v in self._known.items() if v.leave_at is not None and now >= v.leave_at]
        for address, _ in over:
            del self._known[address]
        return [visit.link for _, visit in over if visit.link is not None and visit.ours]

    @property
    def deadline(self) -> float | None:
        """When a link is to be left."""
        return min((v.leave_at for v in self._known.values() if v.leave_at is not None), default=None)

    @staticmethod
    def _is_free(visit: _Visit, linked: frozenset[bytes]) -> bool:
        return visit.link is None and (visit.key is None or visit.key not in linked)

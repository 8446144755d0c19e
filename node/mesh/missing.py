"""Envelopes that were announced and that no eager link has brought yet (docs/protocol.md section 5).

Most come by the tree a moment later. What does not is asked of its announcers, one after the other, by GRAFT,
and when that has failed by WANT, which takes its time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

FIRST_WAIT = 0.5
"""T1 until it is measured: seconds from an announcement to the first GRAFT."""
MIN_WAIT, MAX_WAIT = 0.4, 2.0
"""T1 lies above what two paths through the tree differ by. A GRAFT for a payload that was on its way makes a
cycle, and many of them keep the tree from ever settling: with 0.2 s that is what 1,000 simulated nodes do."""
JITTER = 0.2
"""Seconds added at most, other for each node: of a part that was cut off one asks, for all of them."""
SLACK = 1.5
"""T1 is as many times the longest gap lately between an announcement and its payload."""
GAPS, ENOUGH_GAPS = 64, 16
MIN_RETRY, MAX_RETRY = 0.06, 1.0
"""T2, twice the round trip: seconds from one GRAFT to the next announcer's."""
MAX_GRAFTS = 3
"""GRAFTs for one id; then it is asked for by WANT."""
MAX_MISSING = 1 << 14
"""Ids waited for over all links, about 8 MiB; what does not fit is wanted at once."""
MAX_MISSING_OF_LINK = 1 << 11
"""Of these announced first by one link, about 1 MiB."""
MAX_ANNOUNCERS = 8
"""Links remembered for one id: the target degree of the overlay."""


@dataclass(slots=True)
class Awaited:
    """One id: who announced it when and at how many hops, and who was asked for it."""

    since: float
    announcers: list[tuple[int, float, int]]
    asked: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ask:
    """An id to be asked for: by GRAFT of `link`, or, if `link` is None, by WANT of any of the `holders`.

    `slow` is who was asked before and has not sent it, `asked` all of these.
    """

    prefix: bytes
    link: int | None
    slow: int | None
    asked: tuple[int, ...] = ()
    holders: tuple[int, ...] = ()


class Patience:
    """T1, from the gaps between announcement and payload that a whole tree shows."""

    __slots__ = ("_gaps", "seconds")

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self.seconds = FIRST_WAIT

    def add(self, gap: float) -> None:
        """A payload came `gap` seconds after it was first announced, without our asking for it."""
        self._gaps.append(gap)
        if len(self._gaps) >= ENOUGH_GAPS:
            self.seconds = min(MAX_WAIT, max(MIN_WAIT, SLACK * max(self._gaps)))


class Missing:
    """The ids that are waited for; `salt` is a number of 0 to 255 that differs from node to node."""

    def __init__(self, salt: int) -> None:
        self.patience = Patience()
        self._salt = salt
        self._awaited: dict[bytes, Awaited] = {}
        self._of_link: dict[int, int] = {}
        self._due: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._awaited)

    @property
    def deadline(self) -> float | None:
        """When somebody is to be asked."""
        while self._due and self._due[0][1] not in self._awaited:
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def announced(self, link: int, prefix: bytes, hop: int, *, now: float) -> bool:
        """A link has an id that we lack; False if there is no room to wait for it."""
        found = self._awaited.get(prefix)
        if found is not None:
            if len(found.announcers) < MAX_ANNOUNCERS and all(link != one for one, _, _ in found.announcers):
                found.announcers.append((link, now, hop))
            return True
        of_link = self._of_link.get(link, 0)
        if len(self._awaited) >= MAX_MISSING or of_link >= MAX_MISSING_OF_LINK:
            return False
        self._awaited[prefix] = Awaited(now, [(link, now, hop)])
        self._of_link[link] = of_link + 1
        jitter = JITTER * (prefix[0] ^ self._salt) / 255
        heappush(self._due, (now + self.patience.seconds + jitter, prefix))
        return True

    def arrived(self, prefix: bytes, link: int | None, *, now: float) -> Awaited | None:
        """An envelope is here, by PUSH of `link` if it is given: return what was known of it."""
        found = self._awaited.pop(prefix, None)
        if found is None:
            return None
        self._less(found)
        if link is not None and link not in found.asked:
            self.patience.add(now - found.since)
        return found

    def due(self, retry: Callable[[int], float], alive: Callable[[int], bool], *, now: float) -> list[Ask]:
        """Return what to ask now; `retry` gives T2 of a link, `alive` says whether it is still there."""
        asks: list[Ask] = []
        while (at := self.deadline) is not None and now >= at:
            prefix = heappop(self._due)[1]
            found = self._awaited[prefix]
            slow = found.asked[-1] if found.asked else None
            left = [one for one, _, _ in found.announcers if one not in found.asked and alive(one)]
            if left and len(found.asked) < MAX_GRAFTS:
                found.asked.append(left[0])
                heappush(self._due, (now + retry(left[0]), prefix))
                asks.append(Ask(prefix, left[0], slow))
                continue
            del self._awaited[prefix]
            self._less(found)
            holders = tuple(one for one, _, _ in found.announcers if alive(one))
            asks.append(Ask(prefix, None, slow, tuple(found.asked), holders))
        return asks

    def _less(self, found: Awaited) -> None:
        link = found.announcers[0][0]
        left = self._of_link.get(link, 0) - 1
        if left > 0:
            self._of_link[link] = left
        else:
            self._of_link.pop(link, None)

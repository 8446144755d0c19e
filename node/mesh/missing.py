"""Envelopes that were announced and that no eager link has brought yet (docs/protocol.md section 5).

Most come by the tree a moment later. What does not is asked of its announcers, one after the other, by GRAFT,
and when that has failed by WANT, which takes its time. Who let a GRAFT be in vain is asked after others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

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
"""Ids waited for over all links, about 6 MiB; what does not fit is wanted at once."""
MAX_MISSING_OF_LINK = 1 << 10
"""Of these announced by one link, first or after others, about 400 KiB."""
SPARE = 1 << 10
"""Moments kept of ids that have come meanwhile, beside as many as are waited for."""
MAX_ANNOUNCERS = 64
"""Links remembered for one id: all there may be, so that liars who announce first crowd out nobody."""
MAX_FAILED = 8
"""GRAFTs in vain that are held against a link when it is decided whom to ask first."""


@dataclass(slots=True)
class Awaited:
    """One id: who announced it when and at how many hops, and who was asked for it."""

    since: float
    announcers: tuple[tuple[int, float, int], ...]
    asked: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """An id to be asked for: by GRAFT of `link`, or, if `link` is None, by WANT of any of the `holders`.

    `slow` is who was asked before and has not sent it, `asked` all of these. The holders come in the order in
    which they are to be asked: last those that were asked already.
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
        self._failed: dict[int, int] = {}  # GRAFTs that a link did not answer, less those that it did
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
        found, of_link = self._awaited.get(prefix), self._of_link.get(link, 0)
        if found is not None:
            if (
                of_link < MAX_MISSING_OF_LINK
                and len(found.announcers) < MAX_ANNOUNCERS
                and all(link != one for one, _, _ in found.announcers)
            ):
                found.announcers += ((link, now, hop),)
                self._of_link[link] = of_link + 1
            return True
        if len(self._awaited) >= MAX_MISSING or of_link >= MAX_MISSING_OF_LINK:
            return False
        self._awaited[prefix] = Awaited(now, ((link, now, hop),))
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
        if len(self._due) > 2 * len(self._awaited) + SPARE:
            self._due = [one for one in self._due if one[1] in self._awaited]
            heapify(self._due)
        if link is not None:
            if link not in found.asked:
                self.patience.add(now - found.since)
            elif self._failed.get(link):
                self._failed[link] -= 1
        return found

    def closed(self, link: int) -> None:
        """A link is gone, and with it what was held against it."""
        self._failed.pop(link, None)

    def due(self, retry: Callable[[int], float], alive: Callable[[int], bool], *, now: float) -> list[Ask]:
        """Return what to ask now; `retry` gives T2 of a link, `alive` says whether it is still there."""
        asks: list[Ask] = []
        while (at := self.deadline) is not None and now >= at:
            prefix = heappop(self._due)[1]
            found = self._awaited[prefix]
            slow = found.asked[-1] if found.asked else None
            if slow is not None and alive(slow):
                self._failed[slow] = min(MAX_FAILED, self._failed.get(slow, 0) + 1)
            holders = sorted(filter(alive, (one for one, _, _ in found.announcers)), key=self._distrust)
            left = [one for one in holders if one not in found.asked]
            if left and len(found.asked) < MAX_GRAFTS:
                found.asked += (left[0],)
                heappush(self._due, (now + retry(left[0]), prefix))
                asks.append(Ask(prefix, left[0], slow))
                continue
            del self._awaited[prefix]
            self._less(found)
            left += [one for one in holders if one in found.asked]
            asks.append(Ask(prefix, None, slow, found.asked, tuple(left)))
        return asks

    def _distrust(self, link: int) -> int:
        return self._failed.get(link, 0)

    def _less(self, found: Awaited) -> None:
        for link, _, _ in found.announcers:
            left = self._of_link.get(link, 0) - 1
            if left > 0:
                self._of_link[link] = left
            else:
                self._of_link.pop(link, None)

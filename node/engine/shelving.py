"""How much is held of what, and what is let go when it is too much (docs/protocol.md section 6, "Shelves").

Envelopes lie on three shelves: those of our own channels, which no quota touches, those that nodes we know
brought, and all others. A shelf is counted in portions: what one node brought, or what one day of a channel
of ours came to. The totals are here, what is oldest the store knows: it is told how much of which portion has
to go, and answers with what went. An id outlives its body until it expires, so that the envelope is not taken
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from node.chat.behind import Key
from node.clock import day_of
from node.store.records import Claim, ForgetGone, Gone, LetGo, Portion, PutEnvelope, Shelf
from node.wire.envelope import Envelope

QUOTA: Final = 512 << 20
"""Bytes held for others unless told otherwise (`config.Settings.quota`)."""
DAILY_PARTS: Final = 8
"""One node fills at most this part of the quota a day: a flood takes a week, and eight nodes, to matter."""
MAX_OWN: Final = 256 << 20
"""Bytes held of one room, or with one contact: some 300,000 messages of 35 days.

Histories are kept elsewhere. Whatever it has of channels: a member who makes epochs, or a contact who begins
sessions anew, has no more."""
MAX_GONE: Final = 1 << 19
"""Ids kept of envelopes whose bodies are gone: about 100 MB on disk and 130 MB in memory when full."""
SLICE: Final = 64 << 10
"""Bytes let go at a time: one envelope in a hundred of the smallest has to do with it."""
MOST_AT_ONCE: Final = 1 << 20
"""Bytes let go in one step, when the quota was lowered: a commit is kept waiting for 20 ms."""
PAUSE: Final = 0.1
"""Seconds between two such steps."""
FORGET_AT_ONCE: Final = 256
"""Ids forgotten at a time."""
MAX_SOURCES: Final = 4096
"""Portions of a shelf, about 200 bytes each; what further nodes bring counts as one node's."""
REST: Final = 0
"""The number of that portion."""

Order: TypeAlias = PutEnvelope | LetGo | ForgetGone | Claim
Whose: TypeAlias = tuple[int, bytes]
"""Kind and owner of channels: a room with all its epochs, a contact with all its sessions."""


@dataclass(slots=True)
class _Portion:
    """What one source comes to; `going` bytes of it were ordered to go, `today` came since `day` began."""

    count: int = 0
    nbytes: int = 0
    going: int = 0
    day: int = 0
    today: int = 0

    @property
    def staying(self) -> int:
        return self.nbytes - self.going


@dataclass(slots=True)
class _Channel:
    """Channels of ours with one owner: the days that their portions are of, by their source."""

    staying: int = 0
    days: dict[int, int] = field(default_factory=dict)


class Shelving:
    """What is held, in numbers. Every order it returns is to be written; `gone` answers those to let go."""

    def __init__(
        self, quota: int, portions: Iterable[Portion], source_of: Callable[[bytes], int], *, now: float
    ) -> None:
        self.quota = quota
        self.ids = 0
        """Ids that are kept without their bodies."""
        self._source_of = source_of
        self._numbers: dict[bytes, int] = {}
        self._shelves: dict[int, dict[int, _Portion]] = {Shelf.OWN: {}, Shelf.KNOWN: {}, Shelf.OTHER: {}}
        self._counts = dict.fromkeys(self._shelves, 0)
        self._bytes = dict.fromkeys(self._shelves, 0)
        self._going = dict.fromkeys(self._shelves, 0)
        self._forgetting = 0
        self._channels: dict[Whose | int, _Channel] = {}
        self._channel_of: dict[int, Whose | int] = {}
        self._purged = dict.fromkeys(self._shelves, -1)
        for shelf, source, count, nbytes in portions:
            if shelf == Shelf.GONE:
                self.ids += count
            else:
                self._add(shelf, source, count, nbytes)
        self.deadline: float | None = now if self._over > 0 else None

    def number(self, key: bytes) -> int:
        """Return the source of what a node key brought, or what came with a posting key."""
        found = self._numbers.get(key)
        if found is None:
            if len(self._numbers) >= MAX_SOURCES:
                self._numbers.clear()
            found = self._numbers[key] = self._source_of(key)
        return found

    def count(self, shelf: Shelf) -> int:
        """Return how many envelopes lie on a shelf."""
        return self._counts[shelf]

    def nbytes(self, shelf: Shelf) -> int:
        """Return how many bytes lie on a shelf."""
        return self._bytes[shelf]

    def facts(self) -> dict[str, dict[str, int]]:
        """Return what `node_status` says of each shelf."""
        shelves = (Shelf.OWN, Shelf.KNOWN, Shelf.OTHER)
        return {
            shelf.name.lower(): {"envelopes": self._counts[shelf], "bytes": self._bytes[shelf]}
            for shelf in shelves
        }

    def assign(self, channels: Iterable[tuple[Key, Iterable[tuple[int, bytes]]]]) -> None:
        """Say after a start which channels the portions are of, by their (day, posting key)."""
        for (kind, owner, _), posting_keys in channels:
            for day, key in posting_keys:
                source = self._source_of(key)
                portion = self._shelves[Shelf.OWN].get(source)
                if portion is not None and source not in self._channel_of:
                    self._place(source, (kind, owner), day).staying += portion.staying

    def claim(self, channel: Key, posting_keys: Iterable[tuple[int, bytes]]) -> Claim:
        """Order that what is held for others of a channel, by its (day, posting key), is ours from now on."""
        keys = tuple((day, key, self._source_of(key)) for day, key in posting_keys)
        return Claim(channel[0], channel[1], keys)

    # -- what comes -------------------------------------------------------------------------------

    def keep(self, sealed: Envelope, channel: Key | None) -> list[Order]:
        """Hold an envelope of our own channels; of one that takes too much the oldest goes."""
        source, size = self.number(sealed.rk), len(sealed.raw)
        name = self._channel_of.get(source)
        place = (
            self._place(source, channel[:2] if channel else source, day_of(sealed.ts_ms))
            if name is None
            else self._channels[name]
        )
        self._add(Shelf.OWN, source, 1, size)
        place.staying += size
        put: list[Order] = [_put(sealed, Shelf.OWN, source)]
        return put if place.staying <= MAX_OWN else [*put, *self._shorten(place)]

    def hold(self, sealed: Envelope, brought_by: bytes, *, known: bool, now: float) -> list[Order]:
        """Hold an envelope for others, or its id alone if who brought it had its part of the day."""
        shelf, today, size = Shelf.KNOWN if known else Shelf.OTHER, day_of(int(now * 1000)), len(sealed.raw)
        source = self._named(shelf, self.number(brought_by), today)
        portion = self._shelves[shelf].setdefault(source, _Portion())
        if portion.day != today:
            portion.day, portion.today = today, 0
        if portion.today + size > self.quota // DAILY_PARTS:
            self.ids += 1
            return [_put(sealed, Shelf.GONE, 0), *self._forget()]
        portion.today += size
        self._add(shelf, source, 1, size)
        put: list[Order] = [_put(sealed, shelf, source)]
        return put if self._over <= 0 else [*put, *self._make_room()]

    # -- what goes --------------------------------------------------------------------------------

    def due(self, *, now: float) -> list[Order]:
        """Go on with letting go, where the quota was lowered."""
        if self.deadline is None or now < self.deadline:
            return []
        orders = self._make_room()
        self.deadline = now + PAUSE if self._over > 0 else None
        return orders

    def gone(self, gone: Gone) -> list[Order]:
        """Count what the store took away; returns what is to be forgotten for it."""
        for order in gone.orders:
            if isinstance(order, ForgetGone):
                self._forgetting -= order.count
            else:
                self._went(order.shelf, order.source, -order.nbytes)
        grown = [self._claimed(*claimed) for claimed in gone.claimed]  # some of which may have gone at once
        for shelf, source, count, nbytes in gone.portions:
            if shelf == Shelf.GONE:
                self.ids -= count
                continue
            self._add(shelf, source, -count, -nbytes)
            self._channel_shrinks(shelf, source, nbytes)
            if shelf == Shelf.OWN:
                self._leave(source)
        too_much = [order for channel in grown for order in self._shorten(channel)]
        self.ids += gone.kept
        return [*too_much, *gone.unfinished, *self._forget()]

    def _claimed(self, claim: Claim, day: int, source: int, count: int, nbytes: int) -> _Channel:
        """Count what came to our own shelf."""
        self._add(Shelf.OWN, source, count, nbytes)
        name = self._channel_of.get(source)
        place = self._place(source, (claim.kind, claim.owner), day) if name is None else self._channels[name]
        place.staying += nbytes
        return place

    def _add(self, shelf: int, source: int, count: int, nbytes: int) -> None:
        portion = self._shelves[shelf].setdefault(source, _Portion())
        portion.count += count
        portion.nbytes += nbytes
        self._counts[shelf] += count
        self._bytes[shelf] += nbytes

    def _went(self, shelf: int, source: int, going: int) -> None:
        portion = self._shelves[shelf].get(source)
        if portion is not None:
            portion.going += going
            self._going[shelf] += going
            self._channel_shrinks(shelf, source, going)

    @property
    def _over(self) -> int:
        others = (Shelf.KNOWN, Shelf.OTHER)
        return sum(self._bytes[shelf] - self._going[shelf] for shelf in others) - self.quota

    def _make_room(self) -> list[Order]:
        orders: list[Order] = []
        left = MOST_AT_ONCE
        while self._over > 0 and left > 0:
            shelf = Shelf.OTHER if self._bytes[Shelf.OTHER] > self._going[Shelf.OTHER] else Shelf.KNOWN
            portions = self._shelves[shelf]
            source = max(portions, key=lambda one: portions[one].staying)
            nbytes = min(portions[source].staying, max(self._over, SLICE), left)
            assert nbytes > 0, "a shelf is the sum of its portions"
            orders.append(self._order(shelf, source, nbytes))
            left -= nbytes
        return orders

    def _shorten(self, channel: _Channel) -> list[LetGo]:
        orders: list[LetGo] = []
        portions = self._shelves[Shelf.OWN]
        while channel.staying > MAX_OWN:
            source = min((s for s in channel.days if portions[s].staying > 0), key=channel.days.__getitem__)
            nbytes = min(portions[source].staying, max(channel.staying - MAX_OWN, SLICE))
            orders.append(self._order(Shelf.OWN, source, nbytes))
        return orders

    def _order(self, shelf: Shelf, source: int, nbytes: int) -> LetGo:
        self._went(shelf, source, nbytes)
        return LetGo(shelf, source, nbytes)

    def _forget(self) -> list[Order]:
        count = self.ids - self._forgetting - MAX_GONE
        if count <= 0:
            return []
        count = max(count, min(FORGET_AT_ONCE, MAX_GONE))
        self._forgetting += count
        return [ForgetGone(count)]

    # -- whose it is ------------------------------------------------------------------------------

    def _place(self, source: int, channel: Whose | int, day: int) -> _Channel:
        self._channel_of[source] = channel
        place = self._channels.setdefault(channel, _Channel())
        place.days[source] = day
        return place

    def _channel_shrinks(self, shelf: int, source: int, nbytes: int) -> None:
        name = self._channel_of.get(source) if shelf == Shelf.OWN else None
        if name is not None:
            self._channels[name].staying -= nbytes

    def _leave(self, source: int) -> None:
        """Forget a day of a channel if nothing of it is left."""
        portion = self._shelves[Shelf.OWN][source]
        if portion.count or portion.going:
            return
        del self._shelves[Shelf.OWN][source]
        name = self._channel_of.pop(source, None)
        if name is not None:
            days = self._channels[name].days
            del days[source]
            if not days:
                del self._channels[name]

    def _named(self, shelf: Shelf, source: int, today: int) -> int:
        """Return the portion that a source counts to: its own while there is room for one more."""
        portions = self._shelves[shelf]
        if source in portions or len(portions) < MAX_SOURCES:
            return source
        if self._purged[shelf] != today:
            self._purged[shelf] = today
            busy = {key: one for key, one in portions.items() if one.count or one.going or one.day == today}
            portions = self._shelves[shelf] = busy
        return source if len(portions) < MAX_SOURCES else REST


def _put(sealed: Envelope, shelf: Shelf, source: int) -> PutEnvelope:
    if shelf is Shelf.GONE:
        return PutEnvelope(sealed.eid, b"", sealed.ts_ms, sealed.expires_ms, shelf, b"")
    return PutEnvelope(sealed.eid, sealed.rk, sealed.ts_ms, sealed.expires_ms, shelf, sealed.raw, source)

"""The open rooms of the network as this node knows them, from what their members list (docs/crypto.md 3.10).

A listing is somebody's word about a room that its creator signed. The newest of a room is kept, the
creator's before anybody else's. Accounts cost nothing, so what is kept is chosen so that a flood of made-up
rooms neither grows this memory nor pushes out the rooms that were there before it: see `_exposed`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace

from node import ids
from node.chat.turn import Turn
from node.clock import DAY_MS
from node.crypto.listing import Listing
from node.errors import CryptoFault
from node.tables import Table

TTL_DAYS = 2
"""Of a listing's envelope: one missed day does not take a room off the list."""
LIFE_MS = TTL_DAYS * DAY_MS + 3_600_000
"""How long a listing counts: its envelope's life, and an hour for the next one to come."""
AGAIN_MS = 20 * 3_600_000
"""A listing is renewed when it is that old: daily, the hourly look and the wait included. Until then the
creator's word counts before anybody else's, newer or not; a creator that is away loses no room its place."""
AHEAD_MS = 600_000
"""How far a lister's clock may be ahead of the mesh."""
GAP_MS = 120_000
"""A room is listed anew at most that often: what comes sooner is refused before any signature is checked."""
MAX_ROOMS = 1_000
"""Rooms kept: some 2 MB, 10 MB if every one is as large as can be."""
MAX_EACH = 4
"""Rooms of one creator."""
MAX_BY_LISTER = 32
"""Rooms of others that are kept on one account's word."""
SETTLED = 750
"""Rooms that have been listed for over a day, the longest known first, which no newcomer pushes out."""
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHORT = 8
"""Characters of an id that are taken for the whole."""


@dataclass(frozen=True)
class Listed:
    """What is kept of a room: `count` 0 says that it is over, `since_ms` is when it was first seen."""

    room_id: bytes
    creator: bytes
    lister: bytes
    name: str
    count: int
    ts_ms: int
    since_ms: int
    seed: bytes = field(repr=False)
    node_records: tuple[bytes, ...] = field(default=(), repr=False)
    history: int = 0

    def by_creator(self, now_ms: int) -> bool:
        """Say whether it is the creator's word, and of today."""
        return self.lister == self.creator and now_ms - self.ts_ms < AGAIN_MS

    def over(self, now_ms: int) -> bool:
        """Say whether it is too old to count."""
        return now_ms - self.ts_ms >= LIFE_MS


class Directory:
    """The listings kept; `known` names the accounts that we have to do with, whose rooms stay."""

    def __init__(self, known: Callable[[], Container[bytes]]) -> None:
        self.rooms: dict[bytes, Listed] = {}
        self._known = known
        self._near = b""
        self._edge: int | None = None
        """How far the farthest room is that can be pushed out, until something changes."""

    def restore(self, listed: Listed) -> None:
        """Take a stored row back."""
        self.rooms[listed.room_id] = listed

    # -- what comes in ----------------------------------------------------------------------------

    def judge(self, listing: Listing, now_ms: int, *, ours: bool) -> None:
        """Refuse what could not be kept anyhow, before its signatures cost anything.

        Raises:
            CryptoFault: If it is too old, too new, or no news; `ours` is a room that we are in.
        """
        if not now_ms - LIFE_MS < listing.ts_ms <= now_ms + AHEAD_MS:
            raise CryptoFault("a listing out of its time")
        held = self._held(listing.room_id, now_ms)
        if held is None:
            if not listing.count:
                raise CryptoFault("the end of a room that is not listed")
            if not ours:
                self._check_space(listing)
            return
        gap = GAP_MS if listing.count else 1
        if (ours or held.by_creator(now_ms)) and listing.ts_ms < held.ts_ms + gap:
            raise CryptoFault("a listing that is no news, or comes too soon after the last")

    def _held(self, room_id: bytes, now_ms: int) -> Listed | None:
        held = self.rooms.get(room_id)
        return None if held is None or held.over(now_ms) else held

    def _check_space(self, listing: Listing) -> None:
        if len(self.rooms) >= MAX_ROOMS and self._near:
            if self._edge is None:
                exposed = self._exposed()
                self._edge = self._distance(exposed[-1].creator) if exposed else 0
            if self._distance(listing.creator) >= self._edge and listing.creator not in self._known():
                raise CryptoFault("the list of rooms is full, and others stand nearer")
        if (
            sum(room.creator == listing.creator and room.count > 0 for room in self.rooms.values())
            >= MAX_EACH
        ):
            raise CryptoFault(f"more than {MAX_EACH} rooms of one creator")

    def keep(self, turn: Turn, listing: Listing, lister: bytes, *, ours: bool) -> Listed:
        """Keep a verified listing if it is the better one of its room; returns what is kept.

        Raises:
            CryptoFault: If the one that is here counts more, or the lister lists too many rooms of others.
        """
        held = self._held(listing.room_id, turn.mesh_ms)
        records = listing.node_records if lister == listing.creator else ()  # dialled by who joins
        new = Listed(
            listing.room_id, listing.creator, lister, listing.name, listing.count, listing.ts_ms,
            turn.mesh_ms if held is None else held.since_ms, listing.seed, records,
            listing.history,
        )  # fmt: skip
        if held is not None:
            self._check_better(new, held, turn.mesh_ms, ours=ours)
        elif not ours and lister != listing.creator:
            count = Counter(room.lister for room in self.rooms.values() if room.lister != room.creator)
            if count[lister] >= MAX_BY_LISTER:
                raise CryptoFault(f"more than {MAX_BY_LISTER} rooms of others on one account's word")
        self._save(turn, new)
        self._bound(turn)
        return new

    def _check_better(self, new: Listed, held: Listed, now_ms: int, *, ours: bool) -> None:
        if not new.count:
            if new.ts_ms <= held.ts_ms or not (ours or new.lister in {held.lister, held.creator}):
                raise CryptoFault("the end of a room, told late or by somebody else than who listed it")
            return
        word, old_word = (not ours and one.by_creator(now_ms) for one in (new, held))
        if word < old_word or (word == old_word and new.ts_ms < held.ts_ms + GAP_MS):
            raise CryptoFault("a listing that counts less than the one that is here")

    # -- what is let go ---------------------------------------------------------------------------

    def _bound(self, turn: Turn) -> None:
        """Over the limit, let go whom a number that only this node knows is farthest from."""
        while len(self.rooms) > MAX_ROOMS:
            if not self._near:
                self._near = turn.entropy(32)
            exposed = self._exposed() or sorted(self.rooms.values(), key=lambda room: -room.since_ms)[:1]
            self._drop(turn, exposed[-1].room_id)

    def _exposed(self) -> list[Listed]:
        """Return the rooms that a newcomer may take the place of, the farthest last.

        Not those of people we know, and not the SETTLED ones that have been listed longest, and again half a
        day after the first time: whatever is made up today does not touch them. Among the rest it is no use
        to list often, only to be many.
        """
        known = self._known()
        strangers = [room for room in self.rooms.values() if room.creator not in known]
        standing = sorted(strangers, key=lambda room: room.since_ms)
        settled = {r.room_id for r in standing[:SETTLED] if r.ts_ms - r.since_ms >= DAY_MS // 2}
        rest = [room for room in strangers if room.room_id not in settled]
        return sorted(rest, key=lambda room: self._distance(room.creator))

    def _distance(self, creator: bytes) -> int:
        return int.from_bytes(creator, "big") ^ int.from_bytes(self._near, "big")

    def expire(self, turn: Turn) -> list[Listed]:
        """Forget, and return, what nobody has listed for two days."""
        over = [room for room in self.rooms.values() if room.over(turn.mesh_ms)]
        for room in over:
            self._drop(turn, room.room_id)
        return over

    def end(self, turn: Turn, room_id: bytes) -> None:
        """A room of ours was deleted: show it no more, whatever is still on its way."""
        held = self.rooms.get(room_id)
        if held is not None and held.count:
            self._save(turn, replace(held, count=0))

    def _save(self, turn: Turn, listed: Listed) -> None:
        self.rooms[listed.room_id] = listed
        self._edge = None
        turn.put(Table.OBJECTS, b"list" + listed.room_id, listed)

    def _drop(self, turn: Turn, room_id: bytes) -> None:
        del self.rooms[room_id]
        self._edge = None
        turn.delete(Table.OBJECTS, b"list" + room_id)

    # -- what frontends see -----------------------------------------------------------------------

    def listed(self, room_id: bytes, now_ms: int) -> Listed | None:
        """Return a room that can be joined, as far as this node knows."""
        held = self._held(room_id, now_ms)
        return held if held is not None and held.count else None

    def shown(self, now_ms: int) -> list[Listed]:
        """Return the rooms that can be joined, as far as this node knows, by name."""
        rooms = [room for room in self.rooms.values() if room.count and not room.over(now_ms)]
        return sorted(rooms, key=lambda room: (room.name.casefold(), room.room_id))


def matching(text: str, rooms: list[tuple[bytes, str]]) -> list[bytes]:
    """Return the ids of the (id, name) pairs that `text` may mean: an id, a name, or an id's first 8 letters.

    Anybody can call a room like another one's id: a whole id means the room of that id alone, and a name
    that is also the beginning of another's id means both.
    """
    folded = text.casefold()
    if _UUID.fullmatch(folded):
        return [room_id for room_id, _ in rooms if ids.text(room_id) == folded]
    begin = [room_id for room_id, _ in rooms if len(text) >= SHORT and ids.text(room_id).startswith(folded)]
    exact = [room_id for room_id, name in rooms if name == text]
    called = exact or [room_id for room_id, name in rooms if name.casefold() == folded]
    return called + [room_id for room_id in begin if room_id not in called]

"""People who want to be found, as they list themselves, and those this node has found (docs/crypto.md 3.10).

Accounts cost nothing, so what is kept is chosen as with open rooms: a flood of made-up people neither grows
this memory nor pushes out those who were there before it (node/chat/directory.py).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace

from node.chat import names
from node.chat.directory import AGAIN_MS, AHEAD_MS, GAP_MS, LIFE_MS
from node.chat.people import People
from node.chat.turn import Turn
from node.clock import DAY_MS
from node.crypto.profile_listing import ProfileListing
from node.errors import CryptoFault, Refused
from node.tables import Table

MAX_LISTED = 1_000
"""People kept: some 1 MB, 4 MB if every listing is as large as can be."""
SETTLED = 750
"""People who have been listed for half a day, the longest known first, whom no newcomer pushes out."""
MAX_FOUND = 1_000
"""Results of searches that are remembered, the newest."""
FOUND_MS = DAY_MS
"""How long a result is remembered: a name that was shown can be used until then."""


@dataclass(frozen=True)
class ListedPerson:
    """What is kept of a listing; `since_ms`: when the person was first seen listed, `listed`: if they are."""

    account: bytes
    nickname: str
    avatar: str | None
    status: str | None
    cert: bytes = field(repr=False)
    devices: bytes = field(repr=False)
    list_seq: int
    listed: bool
    ts_ms: int
    since_ms: int

    def over(self, now_ms: int) -> bool:
        """Say whether it is too old to count."""
        return now_ms - self.ts_ms >= LIFE_MS


class ListedPeople:
    """The listings kept; `known` names the accounts that we have to do with, who stay."""

    def __init__(self, known: Callable[[], Container[bytes]]) -> None:
        self.people: dict[bytes, ListedPerson] = {}
        self._known = known
        self._near = b""
        self._edge: int | None = None
        """How far the farthest person is who can be pushed out, until something changes."""

    def restore(self, person: ListedPerson) -> None:
        """Take a stored row back."""
        self.people[person.account] = person

    def has(self, account: bytes) -> bool:
        """Say whether somebody is listed now, as far as this node knows."""
        held = self.people.get(account)
        return held is not None and held.listed

    def judge(self, listing: ProfileListing, now_ms: int) -> None:
        """Refuse what could not be kept anyhow, before its signatures cost anything; raises CryptoFault."""
        if not now_ms - LIFE_MS < listing.ts_ms <= now_ms + AHEAD_MS:
            raise CryptoFault("a profile listed out of its time")
        held = self.people.get(listing.account)
        if held is None or held.over(now_ms):
            if not listing.listed:
                raise CryptoFault("the end of a profile that is not listed")
            self._check_space(listing.account)
        elif listing.ts_ms < held.ts_ms + (GAP_MS if listing.listed else 1):
            raise CryptoFault("a profile that is no news, or comes too soon after the last")

    def _check_space(self, account: bytes) -> None:
        if len(self.people) < MAX_LISTED or not self._near:
            return
        if self._edge is None:
            exposed = self._exposed()
            self._edge = self._distance(exposed[-1].account) if exposed else 0
        if self._distance(account) >= self._edge and account not in self._known():
            raise CryptoFault("the list of people is full, and others stand nearer")

    def keep(self, turn: Turn, listing: ProfileListing, list_seq: int) -> ListedPerson:
        """Keep a verified listing; raises CryptoFault if its device list is older than the one here."""
        held = self.people.get(listing.account)
        if held is not None and list_seq < held.list_seq:
            raise CryptoFault("a profile listed by a device from before")
        since = turn.mesh_ms if held is None or held.over(turn.mesh_ms) else held.since_ms
        kept = ListedPerson(
            listing.account, listing.nickname, listing.avatar, listing.status, listing.cert, listing.devices,
            list_seq, listing.listed, listing.ts_ms, since,
        )  # fmt: skip
        self.people[kept.account] = kept
        self._edge = None
        turn.put(Table.PENDING, b"U" + kept.account, kept)
        while len(self.people) > MAX_LISTED:
            if not self._near:
                self._near = turn.entropy(32)
            exposed = self._exposed() or sorted(self.people.values(), key=lambda one: -one.since_ms)[:1]
            self._drop(turn, exposed[-1].account)
        return kept

    def _exposed(self) -> list[ListedPerson]:
        """Return those whose place a newcomer may take, the farthest last."""
        known = self._known()
        strangers = [one for one in self.people.values() if one.account not in known]
        standing = sorted(strangers, key=lambda one: one.since_ms)[:SETTLED]
        settled = {one.account for one in standing if one.ts_ms - one.since_ms >= DAY_MS // 2}
        rest = [one for one in strangers if one.account not in settled]
        return sorted(rest, key=lambda one: self._distance(one.account))

    def _distance(self, account: bytes) -> int:
        return int.from_bytes(account, "big") ^ int.from_bytes(self._near, "big")

    def expire(self, turn: Turn) -> None:
        """Forget who has not been listed for two days."""
        for one in [one for one in self.people.values() if one.over(turn.mesh_ms)]:
            self._drop(turn, one.account)

    def _drop(self, turn: Turn, account: bytes) -> None:
        del self.people[account]
        self._edge = None
        turn.delete(Table.PENDING, b"U" + account)

    def shown(self, now_ms: int) -> list[ListedPerson]:
        """Return those who want to be found."""
        return [one for one in self.people.values() if one.listed and not one.over(now_ms)]

    def is_due(self, own: ListedPerson, now_ms: int) -> bool:
        """Say whether our own listing is to be posted again, if what it says would be this."""
        held = self.people.get(own.account)
        if held is None or not held.listed:
            return own.listed
        return replace(held, ts_ms=0, since_ms=0) != own or now_ms - held.ts_ms >= AGAIN_MS


@dataclass(frozen=True)
class Found:
    """Somebody that a search showed, under this username, with what is needed to ask them."""

    account: bytes
    username: str
    nickname: str
    cert: bytes = field(repr=False)
    devices: bytes = field(repr=False)
    at_ms: int


class FoundPeople:
    """The results of the last 24 hours, and whom a name means among everybody."""

    def __init__(self, people: People) -> None:
        self._people = people
        self.by_account: dict[bytes, Found] = {}
        people.sought = self._among

    def restore(self, found: Found) -> None:
        """Take a stored row back."""
        self.by_account[found.account] = found

    def get(self, account: bytes) -> Found | None:
        """Return what is needed to ask somebody whom a search has shown."""
        return self.by_account.get(account)

    def remember(self, turn: Turn, listed: ListedPerson) -> Found:
        """Remember a result, the username with it."""
        account, known = listed.account, self._people.get(listed.account)
        username = self._name(listed) if known is None else known.username
        self.by_account.pop(account, None)
        found = Found(account, username, listed.nickname, listed.cert, listed.devices, turn.now.wall_ms)
        self.by_account[account] = found
        turn.put(Table.PENDING, b"u" + account, found)
        if len(self.by_account) > MAX_FOUND:
            self._drop(turn, min(self.by_account.values(), key=lambda one: one.at_ms).account)
        return found

    def _name(self, listed: ListedPerson) -> str:
        """Return the name that a stranger would get; one that another result has is taken."""
        before, people = self.by_account.get(listed.account), self._people
        others = {one.username for one in self.by_account.values() if one.account != listed.account}
        if before and people.owner_of(before.username) is None and before.nickname == listed.nickname:
            return before.username
        if people.owner_of(names.clean(listed.nickname)) is not None:
            others.add(names.clean(listed.nickname))
        return names.assign(listed.nickname, listed.account, others)

    def _among(self, name: str) -> list[bytes]:
        return [
            one.account
            for one in self.by_account.values()
            if name in {one.username, self._people.user_id(one.account)} and not self._people.get(one.account)
        ]

    def find(self, name: str) -> bytes:
        """Return whom a name means: among self, contacts, co-members, others known, and results.

        Raises:
            Refused: `unknown_user` if nobody is called so, `ambiguous_user` if several are.
        """
        sought = self._among(name)
        try:
            known = [self._people.find(name)]
        except Refused as fault:
            if not sought or fault.code == "ambiguous_user":
                raise
            known = []
        found = sorted({*known, *sought})
        if len(found) > 1:
            user_ids = [self._people.user_id(account) for account in found]
            raise Refused("ambiguous_user", "several match", field="username", candidates=user_ids)
        return found[0]

    def expire(self, turn: Turn) -> None:
        """Forget results of more than a day ago."""
        for one in [o for o in self.by_account.values() if turn.now.wall_ms - o.at_ms >= FOUND_MS]:
            self._drop(turn, one.account)

    def _drop(self, turn: Turn, account: bytes) -> None:
        del self.by_account[account]
        turn.delete(Table.PENDING, b"u" + account)


def folded(text: str) -> str:
    """Return a text for comparison: without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()


def match(text: str, *called: str) -> int | None:
    """Say how well names match: 0 one begins so, 1 a word of one does, 2 it is in one; None not at all."""
    sought = folded(text).strip()
    ranks = [_rank(sought, folded(name)) for name in called]
    return min((rank for rank in ranks if rank is not None), default=None)


def _rank(sought: str, name: str) -> int | None:
    if not sought or sought not in name:
        return None
    if name.startswith(sought):
        return 0
    return 1 if f" {sought}" in name else 2

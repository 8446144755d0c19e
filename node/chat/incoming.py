"""Requests of others that wait for the owner's answer: one a person, and told of seldom (docs/crypto.md 3.4).

One can be taken back and made again without end, so what is left of one that was taken back counts for a week
how often frontends heard of that person. What nobody repeats any more is over by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from node.chat import events
from node.chat.people import People, Person
from node.chat.turn import Turn
from node.clock import DAY_MS
from node.tables import Table

MAX_REQUESTS = 1_000
"""Requests kept in all, those just taken back too; what a stranger says of itself is kept with them alone."""
KEEP_MS = 42 * DAY_MS
"""A request is repeated weekly; one that was not for so long is over, as what is in it is."""
TELLS, TELLS_MS = 3, 7 * DAY_MS
"""Times a week that frontends are told of one person's request: it can be taken back and made again."""


@dataclass(frozen=True)
class Waiting:
    """Somebody's request; `told`: how often frontends heard of such since `since_ms`, `shown`: of this one.

    `over`: it was taken back.
    """

    message: str = field(repr=False)
    came_ms: int = 0
    told: int = 1
    since_ms: int = 0
    shown: bool = True
    over: bool = False


class Incoming:
    """The requests of others, by account."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.waiting: dict[bytes, Waiting] = {}

    def restore(self, account: bytes, data: bytes) -> None:
        """Take a stored row back; before there was an answer to a request, its row had the request itself."""
        row: bytes | Waiting = msgspec.msgpack.decode(data, type=bytes | Waiting)
        self.waiting[account] = Waiting("") if isinstance(row, bytes) else row

    def of(self, person: Person) -> Waiting | None:
        """Return somebody's request that waits for the owner's answer."""
        waiting = self.waiting.get(person.account)
        return None if waiting is None or waiting.over else waiting

    def fits(self, account: bytes) -> bool:
        """Say whether a request of this account can be kept."""
        return account in self.waiting or len(self.waiting) < MAX_REQUESTS

    def keep(self, turn: Turn, person: Person, message: str) -> None:
        """Keep somebody's request, and tell frontends of it unless they heard of such often enough."""
        now = turn.now.wall_ms
        waiting = self.waiting.get(person.account) or Waiting("", told=0, since_ms=now, shown=False)
        if now >= waiting.since_ms + TELLS_MS:
            waiting = replace(waiting, told=0, since_ms=now)
        news = not waiting.shown and waiting.told < TELLS
        told, shown = waiting.told + news, waiting.shown or news
        waiting = replace(waiting, message=message, came_ms=now, told=told, shown=shown, over=False)
        self._save(turn, person.account, waiting)
        if news:
            name, user_id = person.username, self.people.user_id(person.account)
            said = message or msgspec.UNSET
            turn.log(events.ContactRequested(username=name, user_id=user_id, message=said))

    def taken_back(self, turn: Turn, person: Person) -> None:
        """Somebody asks no more; what is left of it counts how often that happens."""
        waiting = self.of(person)
        if waiting is not None:
            self._save(turn, person.account, replace(waiting, message="", shown=False, over=True))
            if waiting.shown:
                self._tell_cancelled(turn, person)

    def forget(self, turn: Turn, account: bytes) -> None:
        """Forget the request of somebody."""
        if self.waiting.pop(account, None) is not None:
            turn.delete(Table.REQUESTS, b"w" + account)

    def expire(self, turn: Turn) -> None:
        """Forget what is over long enough, and what nobody repeats any more, of which frontends are told."""
        now = turn.now.wall_ms
        for account, waiting in list(self.waiting.items()):
            if waiting.over and now >= waiting.since_ms + TELLS_MS:
                self.forget(turn, account)
            elif not waiting.over and not waiting.came_ms:
                self._save(turn, account, replace(waiting, came_ms=now, since_ms=now))
            elif not waiting.over and now >= waiting.came_ms + KEEP_MS:
                self.forget(turn, account)
                self._tell_cancelled(turn, self.people.by_account[account])

    def _tell_cancelled(self, turn: Turn, person: Person) -> None:
        user_id = self.people.user_id(person.account)
        turn.log(events.ContactRequestCancelled(username=person.username, user_id=user_id))

    def _save(self, turn: Turn, account: bytes, waiting: Waiting) -> None:
        self.waiting[account] = waiting
        turn.put(Table.REQUESTS, b"w" + account, waiting)

"""What the owner should look at: mentions, invites, contacts and announcements (docs/bridge.md 2).

There is one notice a cause, made in the turn that logs the cause. They are bounded in number and, once read,
in age; whoever causes many pushes out only what is their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

from node import ids
from node.chat import events
from node.chat.people import People
from node.chat.turn import Turn, unpack_row
from node.clock import DAY_MS
from node.errors import Refused
from node.tables import Table

MAX_NOTICES = 1_000
"""Notices kept: more than anybody reads, and some megabytes at most."""
MAX_OF_ONE = 100
"""Kept of one person, so that nobody's flood pushes out what others caused."""
KEEP_READ_MS = 90 * DAY_MS
"""How long one is kept that was read: as long as the event log goes back."""

NOTICE = b"n"
"""What the keys of their rows begin with."""

Kind: TypeAlias = Literal["mention", "invite", "contact", "announcement", "tournament"]


@dataclass(frozen=True)
class Notice:
    """One notice; `number` orders them, `cause` is what it is the only one of, `account` who caused it."""

    notice_id: bytes
    number: int
    kind: Kind
    cause: str
    account: bytes
    at_ms: int
    data: dict[str, Any] = field(repr=False)
    is_read: bool = False
    withdrawn: bool = False


class Notices:
    """Every notice of this node, oldest first."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.all: dict[bytes, Notice] = {}
        self._causes: dict[str, bytes] = {}
        self._of: dict[bytes, dict[bytes, None]] = {}

    def restore(self, rows: Mapping[bytes, bytes]) -> None:
        """Take the stored notices back, in the order in which they were raised."""
        stored = [unpack_row(data, Notice) for key, data in rows.items() if key.startswith(NOTICE)]
        for notice in sorted(stored, key=lambda one: one.number):
            self.all[notice.notice_id] = notice
            self._of.setdefault(notice.account, {})[notice.notice_id] = None
            if notice.cause:
                self._causes[notice.cause] = notice.notice_id

    @property
    def unread(self) -> int:
        """How many are unread."""
        return sum(not notice.is_read for notice in self.all.values())

    def about(self, cause: str) -> Notice | None:
        """Return the notice of a cause, if there is one."""
        found = self._causes.get(cause)
        return None if found is None else self.all[found]

    # -- changes ----------------------------------------------------------------------------------

    def add(self, turn: Turn, kind: Kind, cause: str, account: bytes, data: dict[str, Any]) -> None:
        """Notify the owner of something, once a cause."""
        if cause in self._causes:
            return
        notice = Notice(turn.new_id(), turn.seq + 1, kind, cause, account, turn.now.wall_ms, data)
        self._causes[cause] = notice.notice_id
        self._of.setdefault(account, {})[notice.notice_id] = None
        self._save(turn, notice)
        self._bound(turn, account)
        self._tell(turn, notice)

    def change(
        self,
        turn: Turn,
        cause: str,
        *,
        withdrawn: bool = False,
        again: bool = False,
        read: bool = True,
        **data: Any,
    ) -> None:
        """Something became of a cause: it was answered, or taken back; `again`: it may come another time."""
        notice = self.about(cause)
        if notice is None:
            return
        changed = replace(
            notice,
            cause="" if again else cause,
            is_read=notice.is_read or read or withdrawn,
            withdrawn=notice.withdrawn or withdrawn,
            data={**notice.data, **data},
        )
        if again:
            del self._causes[cause]
        if changed != notice:
            self._save(turn, changed)
            self._tell(turn, changed)

    def back(self, turn: Turn, cause: str, **data: Any) -> None:
        """What was taken back is there again: it is to be looked at once more."""
        notice = self.about(cause)
        if notice is not None and notice.withdrawn:
            changed = replace(notice, withdrawn=False, is_read=False, data={**notice.data, **data})
            self._save(turn, changed)
            self._tell(turn, changed)

    def read(self, turn: Turn, notice_id: bytes) -> None:
        """Mark one as read; raises Refused `notification_not_found`."""
        notice = self.all.get(notice_id)
        if notice is None:
            raise missing("id")
        if not notice.is_read:
            self._save(turn, replace(notice, is_read=True))
            self._tell(turn, self.all[notice_id])

    def read_all(self, turn: Turn) -> int:
        """Mark all as read, and tell it once; returns how many were not."""
        unread = [notice for notice in self.all.values() if not notice.is_read]
        for notice in unread:
            self._save(turn, replace(notice, is_read=True))
        if unread:
            turn.log(events.NotificationsRead(count=len(unread), unread=0))
        return len(unread)

    def expire(self, turn: Turn) -> None:
        """Forget what was read and is old."""
        limit = turn.now.wall_ms - KEEP_READ_MS
        for notice in [one for one in self.all.values() if one.is_read and one.at_ms < limit]:
            self._forget(turn, notice)

    def _bound(self, turn: Turn, account: bytes) -> None:
        if len(self._of[account]) > MAX_OF_ONE:
            self._crowd_out(turn, account)
        if len(self.all) > MAX_NOTICES:
            loudest = max(self._of, key=lambda one: len(self._of[one]))
            gone = next((one for one in self.all.values() if one.is_read), None)
            self._crowd_out(turn, loudest if gone is None else gone.account)

    def _crowd_out(self, turn: Turn, account: bytes) -> None:
        """Forget the oldest read notice that somebody caused, or else their oldest, but not the newest."""
        mine = [self.all[notice_id] for notice_id in self._of[account]]
        self._forget(turn, next((one for one in mine[:-1] if one.is_read), mine[0]))

    def _forget(self, turn: Turn, notice: Notice) -> None:
        del self.all[notice.notice_id], self._of[notice.account][notice.notice_id]
        if not self._of[notice.account]:
            del self._of[notice.account]
        self._causes.pop(notice.cause, None)
        turn.delete(Table.NOTICES, NOTICE + notice.notice_id)

    def _save(self, turn: Turn, notice: Notice) -> None:
        self.all[notice.notice_id] = notice
        turn.put(Table.NOTICES, NOTICE + notice.notice_id, notice)

    # -- what frontends see -----------------------------------------------------------------------

    def _tell(self, turn: Turn, notice: Notice) -> None:
        """Log it; without the words of a message, for they can be deleted and the log is not rewritten."""
        shown = self._shown(notice)
        if notice.kind == "mention":
            shown["data"].pop("text", None)
        turn.log(events.Notification(**shown, unread=self.unread))

    def _shown(self, notice: Notice) -> dict[str, Any]:
        data = dict(notice.data)
        if notice.account in self.people.by_account:
            data["username"] = self.people.username(notice.account)
            data["user_id"] = self.people.user_id(notice.account)
        return {
            "id": ids.text(notice.notice_id),
            "kind": notice.kind,
            "data": data,
            "date": notice.at_ms // 1000,
            "is_read": notice.is_read,
            "withdrawn": notice.withdrawn,
        }

    def listing(
        self, *, limit: int, before: bytes | None, is_read: bool | None, kind: str | None, skip: int = 0
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return rows for `notification_list`, the newest first, and whether there are more."""
        if before is not None and before not in self.all:
            raise missing("before")
        bound = None if before is None else self.all[before].number
        chosen = islice(self._chosen(bound, is_read, kind), skip, None)
        rows = [self._shown(notice) for notice in islice(chosen, limit)]
        return rows, next(chosen, None) is not None

    def count(self, *, is_read: bool | None, kind: str | None) -> int:
        """Return how many there are of those, on whatever page."""
        return sum(1 for _ in self._chosen(None, is_read, kind))

    def _chosen(self, bound: int | None, is_read: bool | None, kind: str | None) -> Iterator[Notice]:
        for notice in reversed(self.all.values()):
            fits = (is_read is None or notice.is_read is is_read) and (kind is None or notice.kind == kind)
            if fits and (bound is None or notice.number < bound):
                yield notice


def missing(key: str) -> Refused:
    """Return the refusal of an id that is none of a notification."""
    return Refused("notification_not_found", "there is no notification with this id", field=key)

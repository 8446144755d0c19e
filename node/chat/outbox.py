"""What was said to somebody directly and may have to be said again (docs/crypto.md 3.5, "Healing").

A payload is kept with its place in its session. When the other side asks, or tells after a reset what it
has, what it lacks is sealed again under the same message id. The words of a text are not kept here: they
stand in the messages table, those of an announcement once for all to whom it went.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from msgspec import structs

from node.chat.announcements import announcement
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS
from node.tables import Table
from node.wire.payload import CHANGES, Payload, Type, decode, without_words

KEPT = frozenset({Type.TEXT, Type.INVITE, Type.INVITE_RESULT, Type.ANNOUNCEMENT}) | CHANGES
"""Types kept: a profile is told anew at every beginning, and what answers a question is asked for again."""
MAX_KEPT = 200
"""Payloads kept a person, the newest: as many as may wait for a first answer."""
KEEP_MS = HORIZON_DAYS * DAY_MS
"""After the horizon nothing is sent again: what is older is not under way any more either."""
MAX_AGAIN = 8
"""Times one payload is sent again at most, whoever asks: the other side cannot make us send without end."""

Place = tuple[bytes, bytes, int]
"""Where a payload was sealed: session, ratchet key, n."""


@dataclass(frozen=True)
class Sent:
    """One payload that was sent; `payload` has its canonical bytes, a text without its words.

    `due`: it is to be sent again; `again`: how often it was.
    """

    account: bytes
    number: int
    mid: bytes
    ts_ms: int
    place: Place
    payload: bytes = field(repr=False)
    due: bool = False
    again: int = 0

    @property
    def key(self) -> bytes:
        """The key of its row."""
        return b"o" + self.account + self.number.to_bytes(8, "big")


class Outbox:
    """What was sent to each person, the newest MAX_KEPT."""

    def __init__(self) -> None:
        self._sent: dict[bytes, OrderedDict[bytes, Sent]] = {}
        self.seen: dict[bytes, int] = {}
        """The highest number of what each person has referred to."""
        self._number = 0

    def restore(self, sent: Sent) -> None:
        """Take a stored payload back; rows come in any order, `sort` puts them right."""
        self._sent.setdefault(sent.account, OrderedDict())[sent.mid] = sent
        self._number = max(self._number, sent.number)

    def sort(self) -> None:
        """Put what was restored into the order in which it was sent."""
        for account, sent in self._sent.items():
            ordered = sorted(sent.values(), key=lambda one: one.number)
            self._sent[account] = OrderedDict((one.mid, one) for one in ordered)

    def of(self, account: bytes) -> list[Sent]:
        """Return what was sent to somebody, the oldest first."""
        return list(self._sent.get(account, {}).values())

    def sent(self, turn: Turn, account: bytes, place: Place, payload: Payload) -> None:
        """Something was sealed for somebody, for the first time or again."""
        if payload.type not in KEPT:
            return
        mine = self._sent.setdefault(account, OrderedDict())
        old = mine.get(payload.mid)
        if old is not None:
            self._save(turn, replace(old, place=place, due=False, again=old.again + 1))
            return
        self._number += 1
        body = payload.encode()
        if payload.type is Type.TEXT:
            body = structs.replace(payload, body=["", *payload.body[1:]]).encode()
        elif payload.type is Type.ANNOUNCEMENT:
            body = announcement(payload.mid, payload.ts_ms, "-", 1, "{}").encode()
        self._save(turn, Sent(account, self._number, payload.mid, turn.now.wall_ms, place, body))
        while len(mine) > MAX_KEPT:
            self.drop(turn, next(iter(mine.values())))

    def _save(self, turn: Turn, sent: Sent) -> None:
        self._sent[sent.account][sent.mid] = sent
        turn.put(Table.PENDING, sent.key, sent)

    def drop(self, turn: Turn, sent: Sent) -> None:
        """Forget one payload."""
        del self._sent[sent.account][sent.mid]
        turn.delete(Table.PENDING, sent.key)

    def unsay(self, turn: Turn, account: bytes, mid: bytes) -> None:
        """Forget what edits of a message said."""
        for sent in self.of(account):
            wordless = without_words(decode(sent.payload), mid)
            if wordless is not None:
                self._save(turn, replace(sent, payload=wordless.encode()))

    def expire(self, turn: Turn) -> None:
        """Forget what was sent a horizon ago."""
        for mine in self._sent.values():
            for sent in [one for one in mine.values() if turn.now.wall_ms >= one.ts_ms + KEEP_MS]:
                self.drop(turn, sent)

    def acknowledged(self, turn: Turn, account: bytes, refs: Collection[bytes]) -> None:
        """What a text refers to its author has seen, and all that we said before."""
        mine = self._sent.get(account, OrderedDict())
        newest = max((mine[mid].number for mid in refs if mid in mine), default=0)
        if newest > self.seen.get(account, 0):
            self.seen[account] = newest
            turn.put(Table.PENDING, b"s" + account, newest)

    def moved(self, turn: Turn, account: bytes) -> None:
        """Somebody has another device: what they have seen is for the one before alone."""
        for sent in self.of(account):
            if sent.number <= self.seen.get(account, 0):
                self.drop(turn, sent)

    def want(self, turn: Turn, account: bytes, wanted: Callable[[Sent], bool]) -> None:
        """Note that these payloads are to be sent again."""
        for sent in self.of(account):
            if not sent.due and sent.again < MAX_AGAIN and wanted(sent):
                self._save(turn, replace(sent, due=True))

    def due(self, account: bytes) -> list[tuple[Sent, Payload]]:
        """Return what is to be sent again, the oldest first."""
        return [(sent, decode(sent.payload)) for sent in self.of(account) if sent.due]

    def waiting(self) -> Collection[bytes]:
        """Return the persons for whom something is to be sent again."""
        return [account for account, mine in self._sent.items() if any(one.due for one in mine.values())]


class Heard:
    """The newest message ids that each person has told us directly: what comes twice is dropped by them."""

    MOST = 512
    """Ids kept a person: more than twice what anybody keeps to send again."""

    def __init__(self) -> None:
        self._mids: dict[bytes, OrderedDict[bytes, int]] = {}
        self._number = 0

    def restore(self, key: bytes, mid: bytes) -> None:
        """Take a stored id back; `key` is that of its row without the prefix."""
        number = int.from_bytes(key[32:], "big")
        self._mids.setdefault(key[:32], OrderedDict())[mid] = number
        self._number = max(self._number, number)

    def sort(self) -> None:
        """Put what was restored into the order in which it came."""
        for account, mids in self._mids.items():
            self._mids[account] = OrderedDict(sorted(mids.items(), key=lambda entry: entry[1]))

    def take(self, turn: Turn, account: bytes, payload: Payload) -> bool:
        """Note a payload of somebody; says whether it is news."""
        if payload.type not in KEPT:
            return True
        mids = self._mids.setdefault(account, OrderedDict())
        if payload.mid in mids:
            return False
        self._number += 1
        mids[payload.mid] = self._number
        turn.put(Table.PENDING, _row(account, self._number), payload.mid)
        while len(mids) > self.MOST:
            _, number = mids.popitem(last=False)
            turn.delete(Table.PENDING, _row(account, number))
        return True

    def has(self, account: bytes, mid: bytes) -> bool:
        """Say whether somebody has told us this, and we remember it, shown or not."""
        return mid in self._mids.get(account, ())

    def newest(self, account: bytes) -> list[bytes]:
        """Return the ids that somebody may still keep, the newest last."""
        return list(self._mids.get(account, ()))[-MAX_KEPT:]


def _row(account: bytes, number: int) -> bytes:
    return b"y" + account + number.to_bytes(8, "big")

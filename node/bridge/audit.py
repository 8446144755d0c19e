"""Which frontend did what, when, with what outcome: names of commands and codes, never what was in them.

The first time that a frontend does a thing is on record at once. What it repeats within a minute is counted,
and stands in one line when the minute is over: a busy bot costs a line a minute, and nobody can push what
they did out of the log by doing something else often (docs/bridge.md section 4, "The audit log").
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from node.bridge.ports import Via
from node.clock import Instant

WINDOW = 60.0
"""Seconds within which the same, done again, is counted and not written."""
MAX_LINES = 120
"""Lines in a minute of one token: beyond it, what it does is counted for all its connections together, so
that no number of connections and client names pushes anything out of the log in less than an hour."""
MAX_COUNTED = 4_096
"""Things counted at a time; beyond it the oldest is written."""
OK: Final = "ok"
UNANSWERED: Final = "unanswered"
"""The code of a command whose frontend was gone before its answer."""


class Who(msgspec.Struct, frozen=True, gc=False):
    """A frontend: the name of its token, how it came in, what it calls itself, its connection's number."""

    name: str | None = None
    via: Via | None = None
    client: str | None = None
    session: int | None = None


NOBODY: Final = Who()
"""Who was refused before anything was known of them."""


class Entry(msgspec.Struct, frozen=True):
    """One line of the audit log; `count` is how often, up to `ts_ms`, beside what other lines say."""

    entry: int
    ts_ms: int
    who: str | None
    via: Via | None
    client: str | None
    session: int | None
    command: str
    code: str
    count: int


class Store(Protocol):
    """Where lines are kept."""

    def last(self) -> int:
        """Return the number of the newest entry, 0 if there is none."""
        ...

    def append(self, lines: list[bytes]) -> None:
        """Keep lines."""
        ...

    def page(self, before: int | None, limit: int) -> tuple[list[Entry], bool]:
        """Return the newest entries, or those before one, oldest first; and whether there are older ones."""
        ...


class Forgetful:
    """Keeps the newest lines in memory: for a bridge without a home, as in tests."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=1_000)

    def last(self) -> int:
        """Return 0: nothing was kept."""
        return 0

    def append(self, lines: list[bytes]) -> None:
        """Keep lines."""
        self._entries += [msgspec.json.decode(line, type=Entry) for line in lines]

    def page(self, before: int | None, limit: int) -> tuple[list[Entry], bool]:
        """Return the newest entries, or those before one, oldest first; and whether there are older ones."""
        found = [entry for entry in self._entries if before is None or entry.entry < before]
        return found[-limit:], len(found) > limit


@dataclass(slots=True)
class _Count:
    until: float
    more: int = 0
    last_ms: int = 0


_encoder = msgspec.json.Encoder()


class Audit:
    """Feed outcomes, then `take` the lines that are to be written; `last` is the newest entry's number."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self._counts: OrderedDict[tuple[Who, str, str], _Count] = OrderedDict()
        self._lines: list[bytes] = []
        self._spent: dict[str | None, int] = {}
        self._spent_until = 0.0

    def saw(self, who: Who, command: str, code: str, now: Instant) -> None:
        """A frontend did, or tried, something."""
        self.due(now)
        key = (who, command, code)
        if key not in self._counts and self._spent.get(who.name, 0) >= MAX_LINES:
            key = (Who(who.name), command, code)
        count = self._counts.get(key)
        if count is not None:
            count.more, count.last_ms = count.more + 1, now.wall_ms
            return
        self._spent[who.name] = self._spent.get(who.name, 0) + 1
        self._counts[key] = _Count(now.mono + WINDOW)
        self._write(key, now.wall_ms, 1)
        if len(self._counts) > MAX_COUNTED:
            self._close()

    def due(self, now: Instant) -> None:
        """Write what was counted in the minutes that are over."""
        while self._counts and next(iter(self._counts.values())).until <= now.mono:
            self._close()
        if now.mono >= self._spent_until:
            self._spent.clear()
            self._spent_until = now.mono + WINDOW

    def close(self) -> None:
        """Write all that was counted: the node stops."""
        while self._counts:
            self._close()

    def take(self) -> list[bytes]:
        """Return the lines that are new, oldest first."""
        lines, self._lines = self._lines, []
        return lines

    def _close(self) -> None:
        key, count = self._counts.popitem(last=False)
        if count.more:
            self._write(key, count.last_ms, count.more)

    def _write(self, key: tuple[Who, str, str], ts_ms: int, count: int) -> None:
        who, command, code = key
        self.last += 1
        line = Entry(self.last, ts_ms, who.name, who.via, who.client, who.session, command, code, count)
        self._lines.append(_encoder.encode(line) + b"\n")

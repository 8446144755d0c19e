"""Finding out what a peer has and we lack, and asking for it (docs/protocol.md section 6).

A round: both sides say what they accepted, a fingerprint a day; each asks for the days in which the other has
something it lacks. Who begins gives the round its number: odd if it dialled the link, even if not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from node.clock import DAY_MS, earliest
from node.mesh.answers import CREDIT, WANT_SESSION, Answers
from node.mesh.index import Index, fingerprint
from node.mesh.link import Link
from node.wire.frame_bytes import encode
from node.wire.frames import MAX_DAYS, Batch, Credit, Days, Frame, Tail

EVERYTHING = 1 << 62
"""As the end of a round's range: no limit."""
REGRANT = CREDIT // 4
"""Bytes taken in before the sender is granted as much again."""
STALLED_AFTER = 20.0
"""Seconds without an answer before a round is given up."""
BETWEEN = 2.0
"""Seconds between two rounds that we begin on a link."""
MIN_BETWEEN = 0.5
"""Seconds between two rounds that a peer begins: each costs a look at every day."""
EMPTY = fingerprint(0, 0)


@dataclass(slots=True)
class _Round:
    """One round as we ask: `days` still unanswered, in order; None until the peer has said what it has."""

    session: int
    until_ms: int
    days: deque[int] | None = None


class Sync:
    """Catching up over one link, as the one who asks; `answers` is the other half."""

    def __init__(self, link: Link, index: Index, *, floor_ms: int, batch_bytes: int) -> None:
        self.answers = Answers(link, index, floor_ms=floor_ms, batch_bytes=batch_bytes)
        self.finished_once = False
        self.equal_ms: int | None = None
        """When the peer's newest DAYS were ours too: the end of the range."""
        self._link = link
        self._index = index
        self._floor_ms = floor_ms
        self._rounds: dict[int, _Round] = {}
        self._owed = {WANT_SESSION: 0}  # BATCH bytes taken in and not yet granted again
        self._next_session = 1 if link.outbound else 2
        self._last_theirs = 0
        self._theirs_at = float("-inf")
        self._moved_at = 0.0
        self._wished_ms: int | None = None
        self._begun_at = float("-inf")

    @property
    def running(self) -> bool:
        """Whether a round is under way."""
        return bool(self._rounds)

    @property
    def deadline(self) -> float | None:
        """When a round that does not move is given up, or a wished one can begin."""
        stalled = self._moved_at + STALLED_AFTER if self._rounds else None
        if self._wished_ms is None or self._ours_running:
            return stalled
        return earliest(stalled, self._begun_at + BETWEEN)

    def wish(self, *, until_ms: int) -> None:
        """Ask for a round of ours about everything before `until_ms`; `poll` begins it."""
        self._wished_ms = max(until_ms, self._wished_ms or 0)
        self._link.touch()

    def poll(self, *, now: float) -> None:
        """Begin the round that was asked for, if none of ours is under way and the last is not too recent."""
        if self._wished_ms is None or self._ours_running or now < self._begun_at + BETWEEN:
            return
        session, until_ms = self._next_session, self._wished_ms
        self._next_session += 2
        self._wished_ms, self._begun_at = None, now
        self._open(session, until_ms, now)

    def on_days(self, frame: Days, *, until_ms: int, now: float) -> bool:
        """Take what the peer has: the answer to our DAYS, or the beginning of its round; False if unasked."""
        if self._is_ours(frame.session):
            found = self._rounds.get(frame.session)
            if found is None or found.days is not None:
                return False
        else:
            if frame.session <= self._last_theirs or now < self._theirs_at + MIN_BETWEEN:
                return False
            self._last_theirs, self._theirs_at = frame.session, now
            found = self._open(frame.session, until_ms, now)
        self._moved_at = now
        self.equal_ms = found.until_ms if frame.days == self._summary(found.until_ms) else None
        tails = [t for day in frame.days if (t := self._tail(found, *day)) is not None]
        found.days = deque(tail.day for tail in tails)
        for tail in tails:
            self._send(tail)
        return True

    def on_batch(self, frame: Batch, *, expected: bool, now: float) -> bool:
        """Account for a BATCH; False if nobody asked for it.

        `expected` says whether a WANT is unanswered, which is what session 0 is for.
        """
        if frame.session != WANT_SESSION:
            found = self._rounds.get(frame.session)
            if found is None or not found.days:
                return False
            if not frame.more:
                found.days.popleft()
        elif not expected:
            return False
        self._moved_at = now
        self._take_in(frame.session, sum(map(len, frame.envelopes)))
        return True

    def moved(self, *, now: float) -> None:
        """The peer is answering in another way, by IHAVE."""
        self._moved_at = now

    def finish(self, *, idle: bool, now: float) -> list[bool]:
        """End rounds that are answered (when `idle`: no WANT is open) or stalled; True for each answered."""
        ended: list[bool] = []
        for session, found in list(self._rounds.items()):
            answered = idle and found.days is not None and not found.days
            if answered or now >= self._moved_at + STALLED_AFTER:
                del self._rounds[session], self._owed[session]
                self.finished_once |= answered
                ended.append(answered)
        return ended

    @property
    def _ours_running(self) -> bool:
        return any(self._is_ours(session) for session in self._rounds)

    def _is_ours(self, session: int) -> bool:
        return session % 2 == (1 if self._link.outbound else 0)

    def _open(self, session: int, until_ms: int, now: float) -> _Round:
        for other in [n for n in self._rounds if n % 2 == session % 2]:
            del self._rounds[other], self._owed[other]
        found = self._rounds[session] = _Round(session, until_ms)
        self._owed[session] = 0
        self._moved_at = now
        self.answers.open_session(session)
        self._send(Days(session, self._summary(until_ms)))
        return found

    def _summary(self, until_ms: int) -> tuple[tuple[int, int, bytes], ...]:
        days: list[tuple[int, int, bytes]] = []
        for day in self._index.numbers()[-MAX_DAYS:]:
            end = min((day + 1) * DAY_MS, until_ms)
            count, held = self._index.summary(day, max(day * DAY_MS, self._floor_ms), end)
            if count:
                days.append((day, count, held))
        return tuple(days)

    def _tail(self, found: _Round, day: int, count: int, theirs: bytes) -> Tail | None:
        """Return what to ask of a day, None if the peer has nothing there that we lack."""
        start, end = max(day * DAY_MS, self._floor_ms), min((day + 1) * DAY_MS, found.until_ms)
        if self._index.summary(day, start, end) == (count, theirs):
            return None
        if self._index.starts_with(day, start, count, theirs):
            return None
        newest = self._index.newest_ms(day, end)
        if newest is None or newest <= start:
            return Tail(found.session, day, start, EMPTY)
        return Tail(found.session, day, newest, self._index.summary(day, start, newest)[1])

    def _take_in(self, session: int, size: int) -> None:
        self._owed[session] += size
        if self._owed[session] >= REGRANT:
            self._send(Credit(session, self._owed[session]))
            self._owed[session] = 0

    def _send(self, frame: Frame) -> None:
        self._link.send_control(encode(frame))

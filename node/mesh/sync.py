"""Finding out what a peer has and we lack, and asking for it (docs/protocol.md section 6).

A round: both sides say what they accepted, a fingerprint a day, the second only where it differs; each asks
for the days in which the other has something it lacks. Who begins gives the round its number: odd if it
dialled the link, even if not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from node.clock import DAY_MS, earliest
from node.errors import DecodeError
from node.mesh import ranges
from node.mesh.answers import CREDIT, WANT_SESSION, Answers
from node.mesh.comparing import Answering
from node.mesh.index import Index, fingerprint
from node.mesh.link import Link
from node.mesh.tried import Tried
from node.mesh.turns import Turns
from node.wire.frame_bytes import encode
from node.wire.frames import (
    MAX_BATCH_BYTES,
    MAX_DAYS,
    Batch,
    Credit,
    Days,
    Frame,
    NegEnd,
    NegMsg,
    NegOpen,
    Tail,
)

EVERYTHING = 1 << 62
"""As the end of a round's range: no limit."""
REGRANT = CREDIT // 4
"""Bytes taken in before the sender is granted as much again."""
LATE = CREDIT + 2 * MAX_BATCH_BYTES
"""Bytes of BATCH that may come for a round that was given up: all its credit; a disk can hang, a line too."""
LEAST_COST = 1_024
"""Of these, taken by a BATCH at least."""
STALLED_AFTER = 20.0
"""Seconds without an answer before a round is given up."""
BETWEEN = 2.0
"""Seconds between two rounds that we begin on a link."""
MIN_BETWEEN = 0.5
"""Seconds between two rounds that a peer begins: each costs a look at every day."""
MAX_TWICE = 64
"""Envelopes that a peer may have to send again in a round that ends before them: comparing costs more."""
MAX_ASKED = 2
"""TAILs unanswered in a round, one being answered and one on its way: a DAYS makes us send three frames."""
EMPTY = fingerprint(0, 0)


@dataclass(slots=True)
class _Round:
    """One round as we ask: `days` still unanswered, in order; None until the peer has said what it has.

    `later` are the days that are still to be asked for, as the peer has them; `taken` are envelopes of the
    day that is being answered.
    """

    session: int
    until_ms: int
    days: deque[int] | None = None
    later: list[tuple[int, int, bytes]] = field(default_factory=list)
    answering: Answering | None = None
    taken: int = 0


class Sync:
    """Catching up over one link, as the one who asks; `answers` is the other half."""

    def __init__(self, link: Link, index: Index, *, floor_ms: int, batch_bytes: int) -> None:
        self.answers = Answers(link, index, floor_ms=floor_ms, batch_bytes=batch_bytes, asking=self._is_asked)
        self.turns = Turns()
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
        self._late = 0

    @property
    def running(self) -> bool:
        """Whether a round is under way."""
        return bool(self._rounds)

    @property
    def put_off(self) -> bool:
        """Whether a day is still to be asked for, here or over another link."""
        return any(found.later for found in self._rounds.values())

    @property
    def deadline(self) -> float | None:
        """When a round that does not move is given up, or a wished one can begin."""
        if not self._rounds and self._wished_ms is None:
            return None
        stalled = self._moved_at + STALLED_AFTER if any(map(_waits, self._rounds.values())) else None
        for found in self._rounds.values():
            if found.days is not None and len(found.days) < MAX_ASKED:
                stalled = earliest(stalled, *(self.turns.free_at(day) for day, _, _ in found.later))
        if self._wished_ms is None or self._ours_running:
            return stalled
        return earliest(stalled, self._begun_at + BETWEEN)

    def wish(self, *, until_ms: int) -> None:
        """Ask for a round of ours about everything before `until_ms`; `poll` begins it."""
        self._wished_ms = max(until_ms, self._wished_ms or 0)
        self._link.touch()

    def poll(self, *, now: float) -> None:
        """Begin the round that was asked for, if none of ours is under way and the last is not too recent."""
        self.ask_later(now=now)
        if self._wished_ms is None or self._ours_running or now < self._begun_at + BETWEEN:
            return
        session, until_ms = self._next_session, self._wished_ms
        self._next_session += 2
        self._wished_ms, self._begun_at = None, now
        self._open(session, until_ms, now)
        self._send(Days(session, self._summary(until_ms)))

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
        ours = self._summary(found.until_ms)
        if self._is_ours(frame.session):
            same = not frame.days  # the answer leaves out what is equal
        else:
            same = frame.days == ours
            self._send(Days(frame.session, _differing(ours, frame.days)))
        self.equal_ms = found.until_ms if same else None
        found.days, found.later = deque(), [day for day in frame.days if not self._has_all(found, *day)]
        self._ask(found, now)
        return True

    def _has_all(self, found: _Round, day: int, count: int, theirs: bytes) -> bool:
        """Whether the peer has nothing of a day that we lack, as far as fingerprints can tell."""
        start = max(day * DAY_MS, self._floor_ms)
        return self._state(found, day) == (count, theirs) or self._index.starts_with(
            day, start, count, theirs
        )

    def ask_later(self, *, now: float) -> None:
        """Ask for days that were put off, as far as it is their turn."""
        if self.put_off:
            for found in self._rounds.values():
                self._ask(found, now)
            self.answers.pump()  # what the peer asked of a day that we need not ask for any more

    def _ask(self, found: _Round, now: float) -> None:
        """Send as many TAILs as may be unanswered, for days that no other round is asking for."""
        left, found.later = found.later, []
        self._link.touch()
        for spot, (day, count, theirs) in enumerate(left):
            assert found.days is not None
            if len(found.days) >= MAX_ASKED:
                found.later += left[spot:]
                return
            asker = self._link.number, found.session
            if not self.turns.is_free(day, asker, now=now):
                found.later.append((day, count, theirs))
            elif not self._has_all(found, day, count, theirs) and self._tried.ask(
                day, self._state(found, day)[1] + theirs, now=now
            ):
                self.turns.claim(day, asker, begun=not found.days, now=now)
                found.days.append(day)
                self._moved_at = now
                self._send(self._tail(found, day))

    def _state(self, found: _Round, day: int) -> tuple[int, bytes]:
        """Return count and fingerprint of what we have of a day, as far as this round goes."""
        start, end = max(day * DAY_MS, self._floor_ms), min((day + 1) * DAY_MS, found.until_ms)
        return self._index.summary(day, start, end)

    @property
    def _tried(self) -> Tried:
        return self.turns.tried(self._link.node_key)

    def on_batch(self, frame: Batch, *, expected: bool, now: float) -> bool:
        """Account for a BATCH; False if nobody asked for it.

        `expected` says whether a WANT is unanswered, which is what session 0 is for.
        """
        if frame.session != WANT_SESSION:
            found, asker = self._rounds.get(frame.session), (self._link.number, frame.session)
            if found is None:
                return self._is_late(frame)
            if not found.days or (frame.more and not frame.envelopes):
                return False
            found.taken += len(frame.envelopes)
            if frame.envelopes:
                self.turns.reached(int.from_bytes(frame.envelopes[-1][2:10], "big"))
            if not frame.more:
                day = found.days.popleft()
                if found.taken >= ranges.MAX_HAVE:
                    self.wish(until_ms=found.until_ms)  # there may be more than one comparison shows
                found.taken = 0
                self._tried.answered(day, now=now)
                self.turns.done(day, asker)
                if found.days:
                    self.turns.begin(found.days[0], asker, now=now)
                self.answers.pump()  # what the peer asked of that day can be answered now
        elif not expected or (frame.more and not frame.envelopes):
            return False
        self._moved_at = now
        self._take_in(frame.session, sum(map(len, frame.envelopes)))
        return True

    def _is_late(self, frame: Batch) -> bool:
        """Whether a BATCH can be an answer in a round that was given up: what it brings is used."""
        cost = max(LEAST_COST, sum(map(len, frame.envelopes)))
        known = self._next_session if self._is_ours(frame.session) else self._last_theirs + 1
        if frame.session >= known or cost > self._late:
            return False
        self._late -= cost
        return True

    def on_comparison(self, frame: NegOpen | NegMsg | NegEnd, *, now: float) -> bool:
        """Take a frame of a comparison; False if it has no place.

        Raises:
            DecodeError: If what it says is not well-formed; the comparison is over.
        """
        found = self._rounds.get(frame.session)
        if isinstance(frame, NegOpen):
            free = found is not None and found.answering is None and found.days and found.days[0] == frame.day
            if found is None or not free:
                return False
            found.answering = Answering(frame.day, limit=self.answers.neg_bytes)
        elif found is None or found.answering is None or found.answering.day != frame.day:
            taken = self.answers.on_answer(frame, now=now)
            self._moved_at = now if taken else self._moved_at
            return taken or isinstance(frame, NegEnd)  # both may have ended it
        assert found.answering is not None
        self._moved(found, now)
        self.answers.compared(frame.session, frame.day)
        if isinstance(frame, NegEnd):
            found.answering = None
            return True
        taken = found.answering.take(frame.message)
        self._answer_comparison(found, now)
        return taken

    def _answer_comparison(self, found: _Round, now: float) -> None:
        """Say what is to be said to the last message, if there is room; too much work ends the comparison."""
        compared = found.answering
        if compared is None or compared.waiting is None or not self._link.bulk_room:
            return
        if not self.answers.work.take(ranges.work_of(compared.waiting), now=now):
            found.answering = None
            self._link.send_bulk(encode(NegEnd(found.session, compared.day, b"")))
            return
        try:
            said = compared.answer(self.answers.items(compared.day))
        except DecodeError:
            found.answering = None
            raise
        self._link.send_bulk(encode(NegMsg(found.session, compared.day, said)))

    def pump(self, *, now: float) -> None:
        """Let answers go on, now that there is room."""
        for found in self._rounds.values():
            self._answer_comparison(found, now)
        self.answers.pump()

    def _is_asked(self, session: int, day: int) -> bool:
        """Whether we wait for an answer about a day, in a round that we began, or will ask."""
        found = self._rounds.get(session)
        if found is None or not self._is_ours(session):
            return False
        return day in (found.days or ()) or any(later == day for later, _, _ in found.later)

    def finish(self, *, idle: bool, now: float) -> list[bool]:
        """End rounds that are answered (when `idle`: no WANT is open) or stalled; True for each answered."""
        ended: list[bool] = []
        for session, found in list(self._rounds.items()):
            answered = idle and found.days is not None and not found.days and not found.later
            if answered or (_waits(found) and now >= self._moved_at + STALLED_AFTER):
                del self._rounds[session], self._owed[session]
                self._over(session, answered, now)
                ended.append(answered)
        return ended

    def _over(self, session: int, answered: bool, now: float) -> None:
        self.turns.over((self._link.number, session))
        if answered:
            self.finished_once = True
            self.turns.finished(now=now)
        else:
            self._tried.failed()
            self._late = LATE

    def brought(self, frame: Batch, *, now: float) -> None:
        """Something in a BATCH was new to us."""
        found = self._rounds.get(frame.session)
        if found is not None:
            self._moved(found, now)

    def _moved(self, found: _Round, now: float) -> None:
        """The peer is answering in a round: leave it the days that it was asked for."""
        self._moved_at = now
        for day in found.days or ():
            self.turns.moved(day, (self._link.number, found.session), now=now)

    @property
    def _ours_running(self) -> bool:
        return any(self._is_ours(session) for session in self._rounds)

    def _is_ours(self, session: int) -> bool:
        return session % 2 == (1 if self._link.outbound else 0)

    def _open(self, session: int, until_ms: int, now: float) -> _Round:
        for other in [n for n in self._rounds if n % 2 == session % 2]:
            del self._rounds[other], self._owed[other]
            self.turns.replaced((self._link.number, other))
        found = self._rounds[session] = _Round(session, until_ms)
        self._owed[session] = 0
        self._moved_at = now
        self.answers.open_session(session, until_ms)
        self._link.touch()
        return found

    def _summary(self, until_ms: int) -> tuple[tuple[int, int, bytes], ...]:
        days: list[tuple[int, int, bytes]] = []
        for day in self._index.numbers()[-MAX_DAYS:]:
            end = min((day + 1) * DAY_MS, until_ms)
            count, held = self._index.summary(day, max(day * DAY_MS, self._floor_ms), end)
            if count:
                days.append((day, count, held))
        return tuple(days)

    def _tail(self, found: _Round, day: int) -> Tail:
        """Return what to ask of a day: all from the newest on that we have from before we were away."""
        start, end = max(day * DAY_MS, self._floor_ms), min((day + 1) * DAY_MS, found.until_ms)
        if self.turns.before_ms is not None:
            end = min(end, self.turns.before_ms + 1)
        elif len(self._index.items(day, end, (day + 1) * DAY_MS)) > MAX_TWICE:
            end = (day + 1) * DAY_MS  # the peer may go further than we do, and that is not what we lack
        newest = self._index.newest_ms(day, end)
        if newest is None or newest <= start:
            return Tail(found.session, day, 0, EMPTY)
        return Tail(found.session, day, newest, self._index.summary(day, start, newest)[1])

    def _take_in(self, session: int, size: int) -> None:
        self._owed[session] += size
        if self._owed[session] >= REGRANT:
            self._send(Credit(session, self._owed[session]))
            self._owed[session] = 0

    def _send(self, frame: Frame) -> None:
        self._link.send_control(encode(frame))


def _waits(found: _Round) -> bool:
    """Whether the peer has yet to say something in a round, or to send what it said it had."""
    return found.days is None or bool(found.days) or not found.later


def _differing(
    ours: tuple[tuple[int, int, bytes], ...], theirs: tuple[tuple[int, int, bytes], ...]
) -> tuple[tuple[int, int, bytes], ...]:
    """Return the answer to a peer's days: ours that are not the same, and those that we lack as empty."""
    mine = {day: (count, held) for day, count, held in ours}
    both = mine | {day: mine.get(day, (0, EMPTY)) for day, _, _ in theirs}
    said = {day: (count, held) for day, count, held in theirs}
    return tuple((day, *both[day]) for day in sorted(both) if both[day] != said.get(day))[-MAX_DAYS:]

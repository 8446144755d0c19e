"""What we send a peer that catches up: the answers to its TAILs and WANTs (docs/protocol.md section 6).

Answers go out as fast as the peer grants credit and the link takes them, a page of the store at a time, so
that a peer which asks for everything and reads nothing costs a page. Where the peer's part of a day is not
the beginning of ours, the two days are compared first, and what it lacks is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias, assert_never

from node.clock import DAY_MS
from node.errors import DecodeError
from node.mesh.comparing import WORK_BURST, WORK_PER_S, Opened
from node.mesh.index import ID_BYTES, Index, Items
from node.mesh.limits import TokenBucket
from node.mesh.link import Link
from node.mesh.packed import Packed
from node.mesh.ports import ByIds, ByTime
from node.mesh.ranges import MAX_MESSAGE, work_of
from node.wire.frame_bytes import encode
from node.wire.frames import MAX_CREDIT, MAX_DAYS, Batch, Gone, NegEnd, NegMsg, NegOpen, Tail
from node.wire.negentropy import END

CREDIT = 262_144
"""Bytes of BATCH a peer may be sent in a session before it grants more."""
MAX_WANTS = 8
"""WANTs of one peer waiting: it may have two under way, and give up some."""
MAX_VAIN = 8
"""WANTs for nothing that is here, more than others: honest peers ask for what was announced."""
BATCH_BYTES = 16_384
"""Envelopes in one BATCH, if there is more than one: a live frame can go between any two."""
READ_IDS = 16
"""Envelopes read by id at once, in each of three sessions."""
READ_BYTES = 65_536
"""Bytes after which such a read is enough: large envelopes come two or three at a time."""
WANT_SESSION = 0


@dataclass(slots=True)
class _Stream:
    """A TAIL that fits: what a day holds from `start_ms` on, which is a time of that day or its end."""

    day: int
    start_ms: int
    after: tuple[int, bytes] | None = None

    @property
    def end_ms(self) -> int:
        return (self.day + 1) * DAY_MS


@dataclass(slots=True)
class _Fetch:
    """Envelopes by id: ids not read yet, being read, and not there; envelopes read and not sent yet."""

    ids: Packed
    reading: tuple[bytes, ...] = ()
    ready: deque[bytes] = field(default_factory=deque, repr=False)
    gone: Packed = field(default_factory=lambda: Packed(ID_BYTES))

    def take(self, envelopes: tuple[bytes, ...], at_hand: Callable[[bytes], bytes | None]) -> None:
        """Take what was read, in the order asked; what a read that was enough left out is read again."""
        found = {blake2b(raw, digest_size=32).digest()[:ID_BYTES]: raw for raw in envelopes}
        enough = sum(map(len, envelopes)) >= READ_BYTES
        last = max((spot for spot, prefix in enumerate(self.reading) if prefix in found), default=-1)
        looked, size, spot = self.reading[: last + 1] if enough and last >= 0 else self.reading, 0, 0
        while spot < len(looked) and size < READ_BYTES:
            raw = found.get(looked[spot]) or at_hand(looked[spot])
            if raw is None:
                self.gone.append(looked[spot])
            else:
                self.ready.append(raw)
                size += len(raw)
            spot += 1
        self.ids.put_back(self.reading[spot:])
        self.reading = ()


_Job: TypeAlias = Tail | _Stream | Opened | _Fetch
"""A TAIL that is yet to be looked at becomes a stream or a comparison; that one a fetch of what it showed."""


@dataclass(slots=True)
class _Lane:
    """The answers of one session, one after the other; `compared` are days that the peer compared for us."""

    session: int
    until_ms: int = 0
    credit: int = CREDIT
    reading: bool = False
    jobs: deque[_Job] = field(default_factory=deque)
    compared: set[int] = field(default_factory=set)


class Answers:
    """What a peer asks of us on one link. `reads` are to be carried out and answered by `on_held`.

    `asking` says whether, in a round that we began, we still wait for an answer about a day ourselves.
    """

    def __init__(
        self, link: Link, index: Index, *, floor_ms: int, batch_bytes: int, asking: Callable[[int, int], bool]
    ) -> None:
        self.reads: list[tuple[int, ByIds | ByTime]] = []
        self.needs: list[bytes] = []
        """Ids that a comparison showed the peer to have and us to lack; to be asked for."""
        self.at_hand: Callable[[bytes], bytes | None] = lambda _prefix: None
        """An envelope that gossip keeps for a moment, held or not: what was announced is given."""
        self.work = TokenBucket(WORK_PER_S, now=0.0, burst=WORK_BURST)
        self._link = link
        self._index = index
        self._floor_ms = floor_ms
        self._batch_bytes = batch_bytes
        self.neg_bytes = min(MAX_MESSAGE, batch_bytes)
        self._asking = asking
        self._vain = 0
        self._lanes = {WANT_SESSION: _Lane(WANT_SESSION)}

    def open_session(self, session: int, until_ms: int) -> None:
        """A round has begun; the one before it with the same beginner is over."""
        for other in [n for n in self._lanes if n != WANT_SESSION and n % 2 == session % 2]:
            del self._lanes[other]
        self._lanes[session] = _Lane(session, until_ms)

    def items(self, day: int, end_ms: int | None = None) -> Items:
        """Return what we accepted of a day, from the floor of this link on."""
        start_ms = max(day * DAY_MS, self._floor_ms)
        return self._index.items(day, start_ms, min((day + 1) * DAY_MS, end_ms or (day + 1) * DAY_MS))

    def on_tail(self, frame: Tail) -> bool:
        """Take a TAIL; False if it belongs to no round, or is one too many."""
        lane = self._lanes.get(frame.session)
        if lane is None or lane.session == WANT_SESSION or len(lane.jobs) >= MAX_DAYS:
            return False
        lane.jobs.append(frame)
        self.pump()
        return True

    def on_want(self, ids: tuple[bytes, ...]) -> bool:
        """Take a WANT; False if too many are waiting, or were in vain: nothing of it was ever accepted."""
        lane = self._lanes[WANT_SESSION]
        if len(lane.jobs) >= MAX_WANTS:
            return False
        here = {prefix for prefix in ids if prefix in self._index or self.at_hand(prefix) is not None}
        if here or not ids:  # of one that asked for ephemerals alone nothing is left: they were pushed
            self._vain = max(0, self._vain - 1)
        elif self._vain >= MAX_VAIN:
            return False
        else:
            self._vain += 1
        gone = Packed(ID_BYTES, (prefix for prefix in ids if prefix not in here))
        lane.jobs.append(_Fetch(Packed(ID_BYTES, (p for p in ids if p in here)), gone=gone))
        self.pump()
        return True

    def compared(self, session: int, day: int) -> None:
        """The peer has compared a day for us, and knows what it lacks of it."""
        lane = self._lanes.get(session)
        if lane is not None and len(lane.compared) < MAX_DAYS:
            lane.compared.add(day)

    def on_answer(self, frame: NegMsg | NegEnd, *, now: float) -> bool:
        """Take the answer to what we said in a comparison; False if none is under way.

        Raises:
            DecodeError: If it is not well-formed; the comparison is over.
        """
        lane = self._lanes.get(frame.session)
        job = lane.jobs[0] if lane is not None and lane.jobs else None
        if lane is None or not isinstance(job, Opened) or not job.begun or job.day != frame.day:
            return False
        said = None
        if isinstance(frame, NegMsg) and self.work.take(work_of(frame.message), now=now):
            try:
                said, need = job.go_on(self.items(job.day, lane.until_ms), frame.message)
            except DecodeError:
                self._end_comparison(lane, job)
                raise
            self.needs += need
        if said is None:
            self._end_comparison(lane, job)
        else:
            self._send(lane, NegMsg(lane.session, job.day, said))
        self.pump()
        return True

    def _end_comparison(self, lane: _Lane, job: Opened) -> None:
        self._send(lane, NegEnd(lane.session, job.day, b""))
        lane.jobs[0] = _Fetch(job.lacked())

    def on_credit(self, session: int, nbytes: int) -> None:
        """The peer has taken in that much and can take as much again."""
        lane = self._lanes.get(session)
        if lane is not None:
            lane.credit = min(MAX_CREDIT, lane.credit + nbytes)
            self.pump()

    def on_held(self, session: int, envelopes: tuple[bytes, ...], more: bool) -> None:
        """The store has answered a read."""
        lane = self._lanes.get(session)
        if lane is None or not lane.jobs or not lane.reading:
            return  # the round was over before the store answered
        lane.reading = False
        match lane.jobs[0]:
            case _Stream() as stream:
                more = more and bool(envelopes)
                self._send_batch(lane, envelopes, more)
                if more:
                    stream.after = _place(envelopes[-1])
            case _Fetch() as fetch:
                fetch.take(envelopes, self.at_hand)
                if session != WANT_SESSION:  # nobody named these
                    fetch.gone = Packed(ID_BYTES)
            case Tail() | Opened():
                return  # these read nothing
            case job:
                assert_never(job)
        self.pump()

    def pump(self) -> None:
        """Make more frames while the link has room for them."""
        for lane in list(self._lanes.values()):
            while self._room(lane) and lane.jobs and not lane.reading and self._step(lane, lane.jobs[0]):
                pass

    def _room(self, lane: _Lane) -> bool:
        return self._link.asked_room if lane.session == WANT_SESSION else self._link.bulk_room

    def _send(self, lane: _Lane, frame: Batch | Gone | NegOpen | NegMsg | NegEnd) -> None:
        """Queue a frame; what answers a WANT may be what a full queue of live frames left out."""
        if lane.session != WANT_SESSION:
            self._link.send_bulk(encode(frame))
            return
        first = frame.envelopes[0] if isinstance(frame, Batch) and frame.envelopes else b""
        self._link.send_asked(encode(frame), ts_ms=_ts_ms(first))

    def _step(self, lane: _Lane, job: _Job) -> bool:
        """Do the next thing for the first job of a lane; False if something has to happen first."""
        match job:
            case Tail():
                return self._look_at(lane, job)
            case Opened():
                if not job.begun:
                    said = job.begin(self.items(job.day, lane.until_ms))
                    self._send(lane, NegOpen(lane.session, job.day, said))
                return False
            case _ if lane.credit <= 0:
                return False
            case _Stream():
                return self._read(lane, ByTime(job.start_ms, job.end_ms, job.after, self._batch_bytes))
            case _Fetch() if not job.ready and job.ids:
                job.reading = job.ids.take(READ_IDS)
                return self._read(lane, ByIds(job.reading, READ_BYTES))
            case _Fetch():
                page = _page(job.ready, self._batch_bytes)
                more = bool(job.ready or job.ids)
                if not more and job.gone:
                    self._send(lane, Gone(tuple(job.gone)))
                self._send_batch(lane, page, more=more)
                return True
            case _:
                assert_never(job)

    def _look_at(self, lane: _Lane, tail: Tail) -> bool:
        """Decide how a TAIL is answered; False if the peer's answer to ours about the same day comes first.

        Both may ask for one day, and one comparison shows both what they lack: the side that did not begin
        the round opens it.
        """
        start = max(tail.day * DAY_MS, self._floor_ms)
        if self._index.summary(tail.day, start, tail.t0_ms)[1] == tail.fingerprint:
            lane.jobs[0] = _Stream(tail.day, min(max(tail.t0_ms, start), (tail.day + 1) * DAY_MS))
        elif self._asking(lane.session, tail.day):
            return False
        elif tail.day in lane.compared:
            lane.jobs[0] = _Fetch(Packed(ID_BYTES))
        else:
            end_ms = lane.until_ms
            end = END if end_ms >= (tail.day + 1) * DAY_MS else (end_ms, b"")
            lane.jobs[0] = Opened(tail.day, end, limit=self.neg_bytes)
        return True

    def _read(self, lane: _Lane, spec: ByIds | ByTime) -> bool:
        lane.reading = True
        self.reads.append((lane.session, spec))
        self._link.touch()
        return False

    def _send_batch(self, lane: _Lane, envelopes: tuple[bytes, ...], more: bool) -> None:
        lane.credit -= sum(map(len, envelopes))
        waiting = deque(envelopes)
        while page := _page(waiting, BATCH_BYTES):
            if not waiting and not more:
                break
            self._send(lane, Batch(lane.session, page, more=True))
        if not more:
            self._send(lane, Batch(lane.session, page, more=False))
            lane.jobs.popleft()


def _page(ready: deque[bytes], room: int) -> tuple[bytes, ...]:
    """Take as many envelopes as fit, at least one."""
    page: list[bytes] = []
    while ready and (len(ready[0]) <= room or not page):
        room -= len(ready[0])
        page.append(ready.popleft())
    return tuple(page)


def _place(raw: bytes) -> tuple[int, bytes]:
    """Return (ts_ms, eid) of a raw envelope."""
    return _ts_ms(raw), blake2b(raw, digest_size=32).digest()


def _ts_ms(raw: bytes) -> int:
    """Return the time of a raw envelope."""
    return int.from_bytes(raw[2:10], "big")

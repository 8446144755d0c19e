"""What we send a peer that catches up: the answers to its TAILs and WANTs (docs/protocol.md section 6).

Answers go out as fast as the peer grants credit and the link takes them, a page of the store at a time, so
that a peer which asks for everything and reads nothing costs a page.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias, assert_never

from node.clock import DAY_MS
from node.mesh.index import ID_BYTES, Index
from node.mesh.link import Link
from node.mesh.ports import ByIds, ByTime
from node.wire.frame_bytes import encode
from node.wire.frames import MAX_CREDIT, MAX_DAYS, MAX_HOP, MAX_IDS, Batch, Gone, IHave, Tail

CREDIT = 262_144
"""Bytes of BATCH a peer may be sent in a session before it grants more."""
MAX_WANTS = 8
"""WANTs of one peer waiting: it may have two under way, and give up some."""
READ_IDS = 64
"""Envelopes read by id at once: 2 MiB if all are of the largest size."""
WANT_SESSION = 0


@dataclass(slots=True)
class _Stream:
    """A TAIL: what a day holds from `start_ms` on, in full, or by ids if the peer's older part differs."""

    day: int
    start_ms: int
    listing: bool
    after: tuple[int, bytes] | None = None

    @property
    def end_ms(self) -> int:
        return (self.day + 1) * DAY_MS


@dataclass(slots=True)
class _Fetch:
    """A WANT: ids not read yet, ids being read, envelopes read and not sent."""

    ids: deque[bytes]
    reading: tuple[bytes, ...] = ()
    ready: deque[bytes] = field(default_factory=deque, repr=False)


_Job: TypeAlias = _Stream | _Fetch


@dataclass(slots=True)
class _Lane:
    """The answers of one session, one after the other."""

    session: int
    credit: int = CREDIT
    reading: bool = False
    jobs: deque[_Job] = field(default_factory=deque)


class Answers:
    """What a peer asks of us on one link. `reads` are to be carried out and answered by `on_held`."""

    def __init__(self, link: Link, index: Index, *, floor_ms: int, batch_bytes: int) -> None:
        self.reads: list[tuple[int, ByIds | ByTime]] = []
        self._link = link
        self._index = index
        self._floor_ms = floor_ms
        self._batch_bytes = batch_bytes
        self._lanes = {WANT_SESSION: _Lane(WANT_SESSION)}

    def open_session(self, session: int) -> None:
        """A round has begun; the one before it with the same beginner is over."""
        for other in [n for n in self._lanes if n != WANT_SESSION and n % 2 == session % 2]:
            del self._lanes[other]
        self._lanes[session] = _Lane(session)

    def on_tail(self, frame: Tail) -> bool:
        """Take a TAIL; False if it belongs to no round, or is one too many."""
        lane = self._lanes.get(frame.session)
        if lane is None or lane.session == WANT_SESSION or len(lane.jobs) >= MAX_DAYS:
            return False
        start = max(frame.day * DAY_MS, self._floor_ms)
        before = self._index.summary(frame.day, start, frame.t0_ms)[1]
        if before == frame.fingerprint:
            lane.jobs.append(_Stream(frame.day, max(frame.t0_ms, start), listing=False))
        else:
            lane.jobs.append(_Stream(frame.day, start, listing=True))
        self.pump()
        return True

    def on_want(self, ids: tuple[bytes, ...]) -> bool:
        """Take a WANT; False if too many are waiting."""
        lane = self._lanes[WANT_SESSION]
        if len(lane.jobs) >= MAX_WANTS:
            return False
        lane.jobs.append(_Fetch(deque(ids)))
        self.pump()
        return True

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
                fetch.ready.extend(envelopes)
                self._send_gone(fetch, envelopes)
            case job:
                assert_never(job)
        self.pump()

    def pump(self) -> None:
        """Make more frames while the link has room for them."""
        for lane in list(self._lanes.values()):
            while self._link.bulk_room and lane.jobs and not lane.reading and self._step(lane, lane.jobs[0]):
                pass

    def _step(self, lane: _Lane, job: _Job) -> bool:
        """Do the next thing for the first job of a lane; False if something has to happen first."""
        match job:
            case _Stream(listing=True):
                self._list_page(lane, job)
                return True
            case _ if lane.credit <= 0:
                return False
            case _Stream():
                return self._read(lane, ByTime(job.start_ms, job.end_ms, job.after, self._batch_bytes))
            case _Fetch() if not job.ready and job.ids:
                job.reading = tuple(job.ids.popleft() for _ in range(min(READ_IDS, len(job.ids))))
                return self._read(lane, ByIds(job.reading))
            case _Fetch():
                page = _page(job.ready, self._batch_bytes)
                self._send_batch(lane, page, more=bool(job.ready or job.ids))
                return True
            case _:
                assert_never(job)

    def _read(self, lane: _Lane, spec: ByIds | ByTime) -> bool:
        lane.reading = True
        self.reads.append((lane.session, spec))
        self._link.touch()
        return False

    def _list_page(self, lane: _Lane, job: _Stream) -> None:
        after = job.after or (job.start_ms, b"")
        page = list(self._index.prefixes(job.day, after, job.end_ms, MAX_IDS))
        if page:
            job.after = page[-1]
            self._link.send_bulk(encode(IHave(tuple((eid[:ID_BYTES], MAX_HOP) for _, eid in page))))
        else:
            self._send_batch(lane, (), more=False)

    def _send_batch(self, lane: _Lane, envelopes: tuple[bytes, ...], more: bool) -> None:
        lane.credit -= sum(map(len, envelopes))
        self._link.send_bulk(encode(Batch(lane.session, envelopes, more)))
        if not more:
            lane.jobs.popleft()

    def _send_gone(self, fetch: _Fetch, envelopes: tuple[bytes, ...]) -> None:
        found = {blake2b(raw, digest_size=32).digest()[:ID_BYTES] for raw in envelopes}
        missing = tuple(prefix for prefix in fetch.reading if prefix not in found)
        if missing:
            self._link.send_bulk(encode(Gone(missing)))


def _page(ready: deque[bytes], room: int) -> tuple[bytes, ...]:
    """Take as many envelopes as one BATCH holds."""
    page: list[bytes] = []
    while ready and len(ready[0]) <= room:
        room -= len(ready[0])
        page.append(ready.popleft())
    return tuple(page)


def _place(raw: bytes) -> tuple[int, bytes]:
    """Return (ts_ms, eid) of a raw envelope."""
    return int.from_bytes(raw[2:10], "big"), blake2b(raw, digest_size=32).digest()

"""What waits for one frontend's socket: a bounded queue, and the seam between replay and live.

Nothing is lost and nothing comes twice: while the log is replayed, live logged events are left out because
the log has them; the replay ends only when it has read past the last one left out (docs/bridge.md 3).
A frontend that reads too slowly costs at most this queue: then it is told where to resume.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from node.bridge.intervals import Intervals, joined
from node.chat import events

MAX_EVENTS = 1024
MAX_BYTES = 4 * 1024 * 1024
"""Queued for one frontend; above either it is slow, and the log on disk is its queue from there on."""

PIECE_BYTES = 64 * 1024
"""Enough for one write: what is out of the queue is not counted any more."""


@dataclass(slots=True)
class Item:
    """One encoded frame, and the place in the log that the frontend is at after it; 0 says nothing of that.

    `logged`: it is in the log itself. Of items with the same `key` only the newest matters.
    """

    data: bytes = field(repr=False)
    seq: int = 0
    key: str | None = None
    logged: bool = False


@dataclass(slots=True)
class Replay:
    """How far the log was read; `skipped` is the newest live event left out meanwhile."""

    cursor: int
    newest: int | None = None
    until: int | None = None
    skipped: int = 0
    had: Intervals = ()


class Outbox:
    """The queue of one session; the shell takes, writes, and says what it wrote."""

    def __init__(self) -> None:
        self.replay: Replay | None = None
        self.parked = False
        self.muted = False
        self.lagged = False
        self.position: int | None = None
        self.reported = 0
        self.announced = 0
        self._now: deque[Item] = deque()
        self._later: deque[Item] = deque()
        self._bytes = 0
        self._floor = 0
        self._taken: Item | None = None
        self._missed: Intervals = ()

    def __len__(self) -> int:
        return len(self._now) + len(self._later)

    @property
    def bytes(self) -> int:
        """Bytes of what is queued."""
        return self._bytes

    @property
    def ready(self) -> bool:
        """Say whether `take` would return something."""
        return bool(self._now) and not self.parked

    def takes(self, seq: int) -> bool:
        """Say whether an event with this `seq` (0: not logged) is to be queued; remembers one left out."""
        if self.muted or self.lagged:
            return False
        if seq and self.replay is not None and self.replay.newest is None:
            self.replay.skipped = max(self.replay.skipped, seq)
            return False
        return seq == 0 or seq > self._floor

    def push(self, item: Item, *, answer: bool = False) -> None:
        """Queue a frame; answers do not wait for the end of a replay."""
        queue = self._now if answer or self.replay is None else self._later
        queue.append(item)
        self._bytes += len(item.data)
        if len(self) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._coalesce()
        if len(self) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self.fall_behind()

    def fall_behind(self) -> None:
        """Stop here: the frontend goes on from the log, when it resumes."""
        self.lagged = True
        self.clear()

    def passed(self, seq: int) -> None:
        """A logged event was not asked for: the position moves all the same, after what is queued."""
        if not seq or not self.takes(seq):
            return
        queue = self._later or self._now
        last = queue[-1] if queue else self._taken
        if last is not None:
            last.seq = max(last.seq, seq)
        else:
            self._moved(seq)

    def missed(self, seq: int) -> None:
        """As `passed`, but what the frontend was not shown it has not had."""
        if self.position is not None and seq > self.reported:
            self._missed = joined(self._missed, seq - 1, seq)
        self.passed(seq)

    def take(self, most: int = 64) -> list[Item]:
        """Return the next frames to write in one piece, in order; none while parked."""
        items, size = list[Item](), 0
        while self._now and not self.parked and len(items) < most and size < PIECE_BYTES:
            items.append(self._now.popleft())
            size += len(items[-1].data)
        self._bytes -= size
        self._taken = items[-1] if items else self._taken
        return items

    def written(self, item: Item) -> None:
        """A frame was handed to the socket."""
        if item is self._taken:
            self._taken = None
        if item.seq:
            self.announced = max(self.announced, item.seq)
            self._moved(item.seq)

    def anchor(self, seq: int) -> None:
        """The frontend has everything up to `seq`, or knows that it starts there."""
        self.position = self.reported = self.announced = seq

    def start_replay(
        self, after: int, *, newest: int | None = None, until: int | None = None, had: Intervals = ()
    ) -> None:
        """What is queued goes first, then the log after `after`, with what of it was queued already."""
        if self.muted:
            return
        self.anchor(after)
        self.replay = Replay(after, newest, until, had=had)
        if newest is None:
            self._leave_to_the_log(self.replay)

    def _leave_to_the_log(self, replay: Replay) -> None:
        for queue in (self._now, self._later):
            replay.skipped = max([replay.skipped, *(item.seq for item in queue)])
            kept = [item for item in queue if not item.logged or item.seq <= replay.cursor]
            self._bytes -= sum(len(item.data) for item in queue) - sum(len(item.data) for item in kept)
            queue.clear()
            queue.extend(replace(item, seq=0) for item in kept)

    def end_replay(self, seq: int) -> None:
        """The log was read up to `seq`: go live behind it."""
        replay, self.replay = self.replay, None
        if replay is not None and replay.newest is None:
            self._floor = max(self._floor, seq)
        self._moved(seq)
        self._now.extend(self._later)
        self._later.clear()

    def clear(self) -> None:
        """Forget everything that is queued."""
        self._now.clear()
        self._later.clear()
        self._bytes = 0

    def discard(self) -> None:
        """Forget what was parked, and what still comes until the answer to the hello."""
        self.clear()
        self.replay, self.position = None, None
        self.parked, self.muted = False, True

    def take_report(self) -> Intervals:
        """Return what was written since the last call, but for what was missed."""
        if self.position is None or self.position <= self.reported:
            return ()
        written: list[tuple[int, int]] = []
        after, upto = self.reported, self.position
        for start, end in self._missed:
            if start >= upto:
                break
            if start > after:
                written.append((after, start))
            after = max(after, end)
        if after < upto:
            written.append((after, upto))
        self._missed = tuple((start, end) for start, end in self._missed if end > upto)
        self.reported = upto
        return tuple(written)

    def _moved(self, seq: int) -> None:
        if self.position is not None and seq > self.position:
            self.position = seq

    def _coalesce(self) -> None:
        for queue in (self._now, self._later):
            newest = {item.key: item for item in queue if item.key is not None}
            kept = [item for item in queue if item.key is None or newest[item.key] is item]
            queue.clear()
            queue.extend(kept)
        self._bytes = sum(len(item.data) for queue in (self._now, self._later) for item in queue)


def key_of(event: events.Event) -> str | None:
    """Say of which events only the newest matters to one who reads slowly, and about whom."""
    match event:
        case events.Presence():
            return f"presence {event.user_id}"
        case events.Typing():
            return f"typing {event.room} {event.user_id}"
        case events.Attachment():
            return f"attachment {event.id} {event.room}"
        case _:
            return None

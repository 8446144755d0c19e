"""One peer as the mesh sees it: its link, what is to be announced to it, and the sync with it."""

from __future__ import annotations

from node.mesh.index import Index
from node.mesh.limits import BUDGET_STRANGER
from node.mesh.link import Link
from node.mesh.packed import Packed
from node.mesh.ports import ByIds, ByTime, PauseReading, PeerInfo, Source
from node.mesh.sync import EVERYTHING, Sync
from node.wire.frame_bytes import encode
from node.wire.frames import BATCH_OVERHEAD, ID_BYTES, MAX_BATCH_BYTES, MAX_IDS, Hello, IHave

ANNOUNCE_SOON = 0.02
"""Seconds that announcements are gathered into one IHAVE while the tree is young or broken, and of what no
PUSH will bring."""
ANNOUNCE_AFTER = 0.2
"""The same beside a tree that stands, where nothing was announced lately: few wait for these, and a frame
costs a node as much as a PUSH."""
ANNOUNCE_EVERY = 0.6
"""Seconds between two IHAVEs on a link beside such a tree: in a stream a gap that nothing else tells of is
noticed that much later at worst. All that waits leaves soon when the tree changes."""
ANNOUNCE_SPREAD = 0.5
"""By so much of themselves both differ from node to node, half of it either way: else all would announce at
one moment what came to all at one moment, and stand in the way of what comes then."""
ANNOUNCE_AGAIN = 0.5
"""Seconds until a link is looked at again whose peer reads nothing."""
MAX_ANNOUNCED = 8192
"""Ids waiting to be announced; what does not fit is left to a sync."""
MAX_FRAMES_AT_ONCE = 8
"""IHAVEs sent at one go: the control queue is never filled by them."""


class Neighbour:
    """A link and all that belongs to it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.sync: Sync | None = None
        self._own_hello: Hello | None = None
        self._announcements = Packed(ID_BYTES + 1)
        self._announce_at: float | None = None
        self._announced_at = float("-inf")

    def make_hello(self, hello: Hello) -> Hello:
        """Remember what we told the peer of ourselves."""
        self._own_hello = hello
        return hello

    def go_live(self, hello: Hello, index: Index, *, now: float) -> None:
        """Both have greeted: from here on frames of every kind may pass."""
        assert self._own_hello is not None
        self.link.greeted(hello, now=now, granted=self._own_hello.budget)
        floor_ms = max(hello.floor_ms, self._own_hello.floor_ms)
        batch_bytes = min(MAX_BATCH_BYTES, hello.max_frame - BATCH_OVERHEAD)
        self.sync = Sync(self.link, index, floor_ms=floor_ms, batch_bytes=batch_bytes)

    def pauses(self, *, now: float) -> list[PauseReading]:
        """Return for how long the shell is to leave the link unread, if at all."""
        seconds = self.link.pause(now=now)
        return [PauseReading(self.link.number, seconds)] if seconds else []

    @property
    def holds(self) -> bool:
        """Whether the peer keeps envelopes for others."""
        return self.link.hello is not None and "hold" in self.link.hello.roles

    @property
    def relays(self) -> bool:
        """Whether the peer carries for strangers."""
        return self.link.hello is not None and "relay" in self.link.hello.roles

    @property
    def trusted(self) -> bool:
        """Whether we granted the peer more than a stranger gets."""
        return self._own_hello is not None and self._own_hello.budget > BUDGET_STRANGER

    def announce(self, prefix: bytes, hop: int, *, now: float, calm: float | None = None) -> None:
        """Tell the peer soon that we have an envelope, with what else is to be told.

        Beside a tree that stands that has time: `calm` is this node's part of ANNOUNCE_SPREAD, 0 to 1.
        """
        if len(self._announcements) >= MAX_ANNOUNCED:
            self._announcements.take(1)
            if self.sync is not None:
                self.sync.wish(until_ms=EVERYTHING)
        self._announcements.append(prefix + bytes((hop,)))
        if calm is None:
            self._announce_by(now + ANNOUNCE_SOON)
        else:
            pace = 1 + ANNOUNCE_SPREAD * (calm - 0.5)
            self._announce_by(max(now + ANNOUNCE_AFTER * pace, self._announced_at + ANNOUNCE_EVERY * pace))

    def hurry(self, *, now: float) -> None:
        """The tree changes: what was to be announced some time is announced soon."""
        if self._announcements:
            self._announce_by(now + ANNOUNCE_SOON)

    def _announce_by(self, at: float) -> None:
        if self._announce_at is None or (at < self._announce_at and self.link.control_room):
            self._announce_at = at
            self.link.touch()

    def send_announcements(self, *, now: float) -> None:
        """Send what was gathered, if it is time."""
        if self._announce_at is None or now < self._announce_at:
            return
        for _ in range(MAX_FRAMES_AT_ONCE):
            if not self._announcements or not self.link.control_room:
                break
            page, self._announced_at = self._announcements.take(MAX_IDS), now
            self.link.send_control(encode(IHave(tuple((one[:ID_BYTES], one[ID_BYTES]) for one in page))))
        wait = ANNOUNCE_SOON if self.link.control_room else ANNOUNCE_AGAIN
        self._announce_at = now + wait if self._announcements else None

    @property
    def has_work(self) -> bool:
        """Whether there may be something to send or to read."""
        return self.link.waits or (self.sync is not None and bool(self.sync.answers.reads))

    def take_reads(self) -> list[tuple[int, ByIds | ByTime]]:
        """Return the reads that answers to the peer need."""
        if self.sync is None:
            return []
        reads, self.sync.answers.reads = self.sync.answers.reads, []
        return reads

    def pump(self, *, now: float) -> None:
        """Let answers go on, now that there is room."""
        if self.sync is not None:
            self.sync.pump(now=now)

    @property
    def catches_up(self) -> bool:
        """Whether a round of sync is under way: what ends it may come over another link."""
        return self.sync is not None and self.sync.running

    @property
    def deadline(self) -> float:
        """When this neighbour wants to be looked at."""
        soon = self.link.deadline
        if self._announce_at is not None and self._announce_at < soon:
            soon = self._announce_at
        catching_up = self.sync.deadline if self.sync is not None else None
        return soon if catching_up is None or soon < catching_up else catching_up

    def info(self, now: float, source: Source | None) -> PeerInfo:
        """Return what the owner is shown of this neighbour."""
        link = self.link
        return PeerInfo(
            peer=link.node_key.hex(),
            address=link.address or link.remote,
            direction="out" if link.outbound else "in",
            rtt_ms=link.rtt_ms,
            age_s=now - link.opened,
            copies=link.copies,
            state="syncing" if self.sync is not None and self.sync.running else "live",
            source=source,
        )

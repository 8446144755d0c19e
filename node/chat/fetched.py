"""Attachments above 1 MiB: what of them is here, and when they are asked of peers (docs/crypto.md 3.14).

They do not travel by gossip: each is fetched block by block from whoever has it. Those up to a size come by
themselves, larger ones when a frontend asks. What is on disk is known by its hashes, so a start goes on where
the node stopped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from node import ids
from node.chat import events
from node.chat.attachment_record import PENDING
from node.chat.filing import (
    BlockWritten,
    DropUnfinished,
    FileFinished,
    FindParts,
    FinishFile,
    PartsFound,
    Seek,
    SeekNoMore,
    Settled,
    WriteBlock,
)
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS, earliest
from node.crypto.attachment import bids, object_of
from node.wire.manifest import Manifest

if TYPE_CHECKING:
    from node.chat.attachments import Attachments

AUTOMATIC = 16 * 1024 * 1024
"""Bytes of content up to which an attachment comes by itself: anybody in a room can name one."""
A_DAY = 1024 * 1024 * 1024
"""Bytes that come by themselves in a day: what never opens is erased each time, so it fills no room."""
MAX_FETCHED = 4
"""Fetched at a time: each is looked for at eight addresses, and has up to 64 names of blocks in memory."""
TELL_SECONDS = 1.0
"""Between two events about the progress of one."""
STALLED_SECONDS = 30.0
STALLED_MOST = 3600.0
"""Without a block for so long another one gets its turn, and it is looked anew who may have it."""


@dataclass
class _Coming:
    manifest: Manifest
    moved: float
    patience: float = STALLED_SECONDS
    seeking: bool = False
    finishing: bool = False
    got: set[int] = field(default_factory=set)
    writing: dict[int, bytes] = field(default_factory=dict)
    told: float = float("-inf")
    bids: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Name its blocks once."""
        self.bids = bids(self.manifest)

    @property
    def received(self) -> int:
        """Bytes that came, on the scale of the content."""
        return min(self.manifest.size, sum(self.manifest.span(index)[1] for index in self.got))


class Fetched:
    """Those of `book` that are too large for gossip, by their ids."""

    def __init__(self, book: Attachments) -> None:
        self.automatic = AUTOMATIC
        self.waiting: deque[bytes] = deque()
        self.active: dict[bytes, _Coming] = {}
        self._told: set[bytes] = set()
        """Those of which it was said that nobody has them, since something of them came."""
        self._book = book
        self._by_itself: dict[bytes, int] = {}
        self._day_ends = float("-inf")

    # -- beginning and ending ---------------------------------------------------------------------

    def starting(self) -> None:
        """Begin with what was asked for, then with the newest, as it was before the stop."""
        records = self._book.records
        self.waiting = deque(
            sorted(self.waiting, key=lambda one: (not records[one].asked, -records[one].since_ms))
        )

    def fill(self, turn: Turn) -> None:
        """Fetch more, where there is a place."""
        for _ in range(len(self.waiting)):
            if len(self.active) >= MAX_FETCHED:
                return
            ident = self.waiting.popleft()
            record = self._book.records.get(ident)
            if record is None or record.state != PENDING or ident in self.active:
                continue
            manifest = record.parsed
            if turn.mesh_ms - record.since_ms > HORIZON_DAYS * DAY_MS:
                self._book.fail(turn, ident, "nobody has it any more")
            elif record.asked or self._by_itself_now(turn, ident, manifest.size):
                self.active[ident] = _Coming(manifest, turn.now.mono)
                turn.files.append(FindParts(record.name, manifest))
            elif manifest.size > self.automatic:
                self._book.tell(turn, ident, PENDING, 0, "it is large, and comes when it is asked for")
            else:
                why = "much has come today; it comes when it is asked for"
                self._book.tell(turn, ident, PENDING, 0, why)

    def _by_itself_now(self, turn: Turn, ident: bytes, size: int) -> bool:
        """Whether one comes by itself: it is not large, nor too much today; a day begins with its first."""
        if size > self.automatic:
            return False
        if turn.now.mono >= self._day_ends:
            self._day_ends = turn.now.mono + DAY_MS / 1000
            self._by_itself.clear()
        if ident not in self._by_itself and sum(self._by_itself.values()) + size > A_DAY:
            return False
        self._by_itself[ident] = size
        return True

    def ask(self, turn: Turn, ident: bytes) -> None:
        """A frontend wants one that has not come, however large."""
        record = self._book.records[ident]
        if record.state != PENDING or record.parsed.gossiped:
            return
        if not record.asked:
            self._book.save(turn, ident, replace(record, asked=True))
        self.hurry(ident)
        if ident in self.active or ident in list(self.waiting)[:MAX_FETCHED]:
            return
        if ident in self.waiting:
            self.waiting.remove(ident)
        self.waiting.appendleft(ident)
        self._book.fill(turn)

    def hurry(self, ident: bytes) -> None:
        """Look anew who has one within half a minute: a frontend waits, or a message named it again."""
        if ident in self.active:
            self.active[ident].patience = STALLED_SECONDS

    def found(self, turn: Turn, ident: bytes, found: PartsFound) -> None:
        """The folder said what of one is here already."""
        coming = self.active[ident]
        coming.got |= found.blocks
        if found.whole:
            self._book.ready(turn, ident)
        elif not self._complete(turn, ident, coming):
            self._seek(turn, ident, coming)

    def _seek(self, turn: Turn, ident: bytes, coming: _Coming) -> None:
        """Have the blocks fetched that are not here."""
        coming.seeking = True
        here = coming.got | set(coming.writing)
        names = enumerate(coming.bids)
        wanted = {name: coming.manifest.span(index)[1] for index, name in names if index not in here}
        record = self._book.records[ident]
        turn.of_peers.append(Seek(record.name, record.parsed, tuple(wanted.items()), record.rooms))

    def forget(self, ident: bytes) -> None:
        """One is here, or is wanted no more."""
        self._told.discard(ident)
        if ident in self.waiting:
            self.waiting.remove(ident)

    def stop(self, turn: Turn, ident: bytes) -> None:
        """One is here, has failed or gives its place to another."""
        coming = self.active.pop(ident, None)
        if coming is not None and coming.seeking:
            turn.of_peers.append(SeekNoMore(object_of(coming.manifest)))
            turn.of_peers += [Settled(name) for name in coming.writing.values()]

    def make_room(self, turn: Turn, kept: set[bytes]) -> None:
        """There is no room: say so, and let go of what has come of those that nobody is bringing.

        Anybody in a room can name many files and bring a block of each. What somebody asked for stays, and
        what goes is fetched anew when its turn comes.
        """
        records = self._book.records
        kept |= self.active.keys() | {one for one, record in records.items() if record.asked}
        turn.files.append(DropUnfinished(frozenset(records[one].name for one in kept if one in records)))
        text = "there is no room for attachments: make some, they are fetched then"
        turn.tell(events.Warning(code="storage_full", message=text))

    # -- what comes -------------------------------------------------------------------------------

    def came(self, turn: Turn, name: bytes, block: bytes, data: bytes) -> bool:
        """Have a block written whose hash holds; False if nobody waits for it."""
        ident = ids.uuid8(name)
        coming = self.active.get(ident)
        places = [] if coming is None else [n for n, bid in enumerate(coming.bids) if bid == block]
        if coming is None or not set(places) - coming.got:
            return False
        for index in places:
            coming.writing[index] = block
            turn.files.append(WriteBlock(name, index, coming.manifest.span(index)[0], data))
        return True

    def written(self, turn: Turn, ident: bytes, result: BlockWritten) -> None:
        """A block is on disk, or there is no room for it."""
        coming = self.active.get(ident)
        block = None if coming is None else coming.writing.pop(result.index, None)
        if coming is None or block is None:
            return
        turn.of_peers.append(Settled(block))
        if result.why is not None:
            self._book.answered(turn, FileFinished(result.name, result.why))
            return
        coming.got.add(result.index)
        coming.moved, coming.patience = turn.now.mono, STALLED_SECONDS
        self._told.discard(ident)
        if not self._complete(turn, ident, coming) and turn.now.mono >= coming.told + TELL_SECONDS:
            coming.told = turn.now.mono
            self._book.tell(turn, ident, "progress", coming.received)

    def _complete(self, turn: Turn, ident: bytes, coming: _Coming) -> bool:
        if len(coming.got) < len(coming.manifest.blocks):
            return False
        coming.finishing = True
        turn.files.append(FinishFile(self._book.records[ident].name, coming.manifest))
        return True

    # -- time -------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When one has stood still for long enough."""
        going = [c for c in self.active.values() if c.seeking and not c.finishing]
        return earliest(*(c.moved + self._patience(c) for c in going))

    def _patience(self, coming: _Coming) -> float:
        """Return how long one may stand still: no longer than the first time while another one waits."""
        return STALLED_SECONDS if self.waiting else coming.patience

    def due(self, turn: Turn) -> None:
        """Where nothing comes, say so, look anew who may have it, and let another one have its turn."""
        for ident, coming in list(self.active.items()):
            if (
                not coming.seeking
                or coming.finishing
                or turn.now.mono < coming.moved + self._patience(coming)
            ):
                continue
            if ident not in self._told:
                self._told.add(ident)
                why = "nobody who has it can be reached now"
                self._book.tell(turn, ident, PENDING, coming.received, why)
            coming.moved, coming.patience = turn.now.mono, min(STALLED_MOST, 2 * coming.patience)
            if self.waiting:
                self.stop(turn, ident)
                self.waiting.append(ident)
            else:
                self._seek(turn, ident, coming)

"""Attachments up to 1 MiB: which are awaited now, and when another has its turn (docs/crypto.md 3.14).

They travel by gossip on a channel of their own, which the manifest names: as many are awaited at a time as
memory allows, the others wait their turn. A part counts if it hashes to what the manifest says.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node.chat.attachment_record import PENDING
from node.chat.channels import Route
from node.chat.filing import FindParts, FinishFile, PartsFound, WritePart
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS, day_of, earliest
from node.crypto import attachment as sealed
from node.crypto.channel import ChannelKind
from node.errors import CryptoFault
from node.wire.manifest import Manifest

if TYPE_CHECKING:
    from node.chat.attachments import Attachments

MAX_ACTIVE = 8
"""Awaited at a time: what a reading of all their channels brings at once stays within 16 MiB."""
TELL_SECONDS = 1.0
"""Between two events about the progress of one."""
STALLED_SECONDS = 30.0
STALLED_MOST = 3600.0
"""Without a part for so long another one gets its turn and the mesh is asked; twice as long each time."""
SYNC_SECONDS = 300.0
"""At most so often the mesh is asked on their account: anybody in a room can name what nobody has."""
MAX_AWAITED_MS = HORIZON_DAYS * DAY_MS
"""No longer than others hold what was posted."""


@dataclass
class _Incoming:
    manifest: Manifest
    moved: float
    patience: float
    asked: bool = False
    finishing: bool = False
    got: set[int] = field(default_factory=set)
    told: float = float("-inf")

    @property
    def received(self) -> int:
        """Bytes that came, on the scale of the content."""
        here = sum(self.manifest.span(index)[1] for index in self.got)
        return min(self.manifest.size, here)


class Gossiped:
    """Those of `book` that travel by gossip, by their ids."""

    def __init__(self, book: Attachments) -> None:
        self.waiting: deque[bytes] = deque()
        self.active: dict[bytes, _Incoming] = {}
        self._book = book
        self._patience: dict[bytes, float] = {}
        self._ask_after = 0.0

    # -- beginning and ending ---------------------------------------------------------------------

    def fill(self, turn: Turn) -> None:
        """Await more, where there is a place."""
        while self.waiting and len(self.active) < MAX_ACTIVE:
            ident = self.waiting.popleft()
            record = self._book.records.get(ident)
            if record is None or record.state != PENDING or ident in self.active:
                continue
            manifest = record.parsed
            if turn.mesh_ms - record.since_ms > MAX_AWAITED_MS:
                self._book.fail(turn, ident, "nobody has it any more")
            else:
                patience = self._patience.get(ident, STALLED_SECONDS)
                self.active[ident] = _Incoming(manifest, turn.now.mono, patience)
                turn.files.append(FindParts(record.name, manifest))

    def found(self, turn: Turn, ident: bytes, found: PartsFound) -> None:
        """The folder said what of one is here already."""
        coming = self.active.get(ident)
        if coming is None:
            return
        if found.whole:
            self._book.ready(turn, ident)
            return
        coming.got |= found.blocks
        if not self._complete(turn, coming, found.name):
            self._watch(turn, ident, coming)

    def _watch(self, turn: Turn, ident: bytes, coming: _Incoming) -> None:
        """Have the channel read from when the message was sent, and watch it."""
        coming.asked = True
        route = Route(sealed.channel_of(coming.manifest), ident)
        turn.watch.append((route, day_of(min(self._book.records[ident].since_ms, turn.mesh_ms)) - 1))

    def stop(self, turn: Turn, ident: bytes) -> None:
        """One is here, has failed or gives its place to another."""
        coming = self.active.pop(ident, None)
        if coming is not None and coming.asked:
            turn.unwatch.append((int(ChannelKind.ATTACHMENT), ident, b""))

    def forget(self, ident: bytes) -> None:
        """One is here, or is wanted no more."""
        self._patience.pop(ident, None)
        if ident in self.waiting:
            self.waiting.remove(ident)

    # -- what comes -------------------------------------------------------------------------------

    def take(self, turn: Turn, ident: bytes, inner: bytes) -> None:
        """Take a part; raises PeerFault with nothing changed if nobody waits for it or it is not genuine."""
        coming = self.active.get(ident)
        if coming is None:
            raise CryptoFault("a part that nobody waits for")
        index, data = sealed.read_part(coming.manifest, inner)
        if index in coming.got or coming.finishing:
            return
        name = self._book.records[ident].name
        coming.got.add(index)
        coming.moved, coming.patience = turn.now.mono, STALLED_SECONDS
        self._patience.pop(ident, None)
        turn.files.append(WritePart(name, coming.manifest.span(index)[0], data))
        if not self._complete(turn, coming, name) and turn.now.mono >= coming.told + TELL_SECONDS:
            coming.told = turn.now.mono
            self._book.tell(turn, ident, "progress", coming.received)

    def _complete(self, turn: Turn, coming: _Incoming, name: bytes) -> bool:
        if len(coming.got) < len(coming.manifest.blocks):
            return False
        coming.finishing = True
        turn.files.append(FinishFile(name, coming.manifest))
        return True

    # -- time -------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When one has been awaited long enough."""
        return earliest(*(coming.moved + coming.patience for coming in self.active.values() if coming.asked))

    def due(self, turn: Turn) -> None:
        """Where nothing comes let another one have its turn; or look again, and ask the mesh."""
        now = turn.now.mono
        for ident, coming in list(self.active.items()):
            if coming.asked and not coming.finishing and now >= coming.moved + coming.patience:
                self.stop(turn, ident)
                self._patience[ident] = min(STALLED_MOST, 2 * coming.patience)
                self.waiting.append(ident)
                if now >= self._ask_after:
                    self._ask_after = now + SYNC_SECONDS
                    turn.sync_wanted = True

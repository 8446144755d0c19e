"""The attachments of this node: which are here, which are awaited, which are still to be posted.

Small ones travel by gossip on a channel of their own, which the manifest names (docs/crypto.md 3.14): as many
are awaited at a time as memory allows, the others wait their turn. Ours are posted part by part, so slowly
that no mesh notices. A part counts if it hashes to what the manifest says; the whole, once it opened.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from node import ids
from node.chat import events
from node.chat.channels import Route
from node.chat.fetched import Fetched
from node.chat.filing import (
    BlockWritten,
    DropFile,
    FileFinished,
    FilesSwept,
    FindParts,
    FinishFile,
    PartRead,
    PartsFound,
    ReadPart,
    Share,
    SweepFiles,
    WritePart,
)
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS, day_of, earliest
from node.crypto import attachment as sealed
from node.crypto.channel import ChannelKind
from node.errors import CryptoFault, DecodeError, Refused
from node.tables import Table
from node.wire import manifest as manifests
from node.wire.manifest import Manifest

MAX_RECORDS = 10_000
"""Attachments known: 30 MB of manifests. For one more the oldest that has not come is given up."""
MAX_ROOMS = 8
"""Rooms remembered in which one is named: whose frontends are told of it."""
MAX_ACTIVE = 8
"""Awaited at a time: what a reading of all their channels brings at once stays within 16 MiB."""
PART_SECONDS = 0.5
"""Between two parts of 32 KiB that we post: 64 KiB/s an author (docs/crypto.md 3.14)."""
TELL_SECONDS = 1.0
"""Between two events about the progress of one."""
STALLED_SECONDS = 30.0
STALLED_MOST = 3600.0
"""Without a part for so long another one gets its turn and the mesh is asked; twice as long each time."""
SYNC_SECONDS = 300.0
"""At most so often the mesh is asked on their account: anybody in a room can name what nobody has."""
FULL_SECONDS = 60.0
"""The disk is tried again after this time."""
POSTED_AGAIN_MS = 7 * DAY_MS
"""Parts posted longer ago are posted again for another message that names them."""
UNNAMED_MS = DAY_MS
"""What was put here and never sent is kept so long."""
MAX_AWAITED_MS = HORIZON_DAYS * DAY_MS

State: TypeAlias = Literal["pending", "ready", "failed"]
PENDING: Final = "pending"
READY: Final = "ready"
FAILED: Final = "failed"


@dataclass(frozen=True)
class Record:
    """One attachment, `name` its file's; `named` messages name it, in `rooms`, the last at `since_ms`.

    `asked`: a frontend wants it, however large.
    """

    name: bytes
    manifest: bytes = field(repr=False)
    state: State
    since_ms: int
    named: int = 0
    rooms: tuple[bytes, ...] = ()
    posted_ms: int = 0
    asked: bool = False

    @property
    def parsed(self) -> Manifest:
        """The manifest as first named here."""
        return manifests.parse(self.manifest)


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


class Attachments:
    """Every attachment of this node by its id of 16 bytes."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}
        self.posting: dict[bytes, int] = {}
        """What is still to be posted, and from which part on."""
        self._active: dict[bytes, _Incoming] = {}
        self._waiting: deque[bytes] = deque()
        self._patience: dict[bytes, float] = {}
        self.fetched = Fetched(self)
        self._swept = False
        self._post_at: float | None = None
        self._full_until = 0.0
        self._ask_after = 0.0

    # -- a start ----------------------------------------------------------------------------------

    def restore(self, ident: bytes, record: Record) -> None:
        """Take a stored record back."""
        self.records[ident] = record
        if record.state == PENDING:
            self._await(ident, record)

    def _await(self, ident: bytes, record: Record, *, first: bool = False) -> None:
        """Await one when there is a place; of large ones the newest first, so that no flood keeps it out."""
        if record.parsed.gossiped:
            self._waiting.append(ident)
        elif first:
            self.fetched.waiting.appendleft(ident)
        else:
            self.fetched.waiting.append(ident)

    def starting(self, turn: Turn) -> None:
        """Have the folder compared with what should be there; nothing is fetched before."""
        self.fetched.starting()
        names = {state: self._names(state) for state in (READY, PENDING)}
        turn.files.append(SweepFiles(names[READY], names[PENDING]))

    def _names(self, state: State) -> frozenset[bytes]:
        return frozenset(r.name for r in self.records.values() if r.state == state)

    def _on_swept(self, turn: Turn, missing: frozenset[bytes]) -> None:
        """What is gone from the folder is awaited again, while somebody may still have it."""
        for ident, record in [*self.records.items()] if missing else ():
            if record.state == READY and record.name in missing:
                self.save(turn, ident, replace(record, state=PENDING))
                self._await(ident, record)
        self._swept = True
        self._post_at = turn.now.mono if self.posting else None
        self.fill(turn)

    # -- ours -------------------------------------------------------------------------------------

    def put(self, turn: Turn, manifest: Manifest) -> bytes:
        """Know a content that has just been sealed here; returns its id.

        Raises:
            Refused: If there are too many; its file goes.
        """
        ident = sealed.id_of(manifest)
        if ident not in self.records and not self._make_room(turn):
            turn.files.append(DropFile(sealed.object_of(manifest)))
            raise Refused("storage_full", "there are too many attachments: delete messages that have some")
        self.save(turn, ident, Record(sealed.object_of(manifest), manifest.encode(), READY, turn.now.wall_ms))
        return ident

    def find(self, text: str, *, field: str) -> tuple[bytes, Record]:
        """Return (id, record) of the attachment that a frontend names; raises Refused."""
        try:
            ident = ids.parse(text)
        except ValueError:
            raise Refused("invalid", "an attachment is named by its UUID", field=field) from None
        if ident not in self.records:
            raise Refused("attachment_unknown", "there is no attachment with this id", field=field)
        return ident, self.records[ident]

    def received(self, ident: bytes) -> int:
        """Return how many bytes of one are here, on the scale of its content."""
        record = self.records[ident]
        coming = self._active.get(ident) or self.fetched.active.get(ident)
        return record.parsed.size if record.state == READY else 0 if coming is None else coming.received

    def _post(self, turn: Turn, ident: bytes, record: Record) -> None:
        """Post an attachment of ours, unless it was not long ago; large ones are given to relays."""
        if not record.parsed.gossiped:
            turn.of_peers.append(Share(record.parsed))
            return
        if ident in self.posting or turn.now.wall_ms - record.posted_ms < POSTED_AGAIN_MS:
            return
        self._posted(turn, ident, 0)
        if self._post_at is None and self._swept:
            self._post_at = turn.now.mono

    def _posted(self, turn: Turn, ident: bytes, count: int) -> None:
        self.posting[ident] = count
        turn.put(Table.PENDING, b"A" + ident, count)

    def _on_read(self, turn: Turn, read: PartRead) -> None:
        """A part of ours was read: post it, and the next one when it is time."""
        ident = next(iter(self.posting), b"")
        record = self.records.get(ident)
        if record is not None and record.name == read.name:
            manifest = record.parsed
            if read.data is not None:
                inner = sealed.part(manifest, read.index, read.data)
                turn.post(sealed.channel_of(manifest), inner)
            if read.data is None or read.index + 1 == len(manifest.blocks):
                self._end_posting(turn, ident)
                self.save(turn, ident, replace(record, posted_ms=turn.now.wall_ms))
            else:
                self._posted(turn, ident, read.index + 1)
        self._post_at = turn.now.mono + PART_SECONDS if self.posting else None

    def _end_posting(self, turn: Turn, ident: bytes) -> None:
        if self.posting.pop(ident, None) is not None:
            turn.delete(Table.PENDING, b"A" + ident)

    # -- what messages name -----------------------------------------------------------------------

    def named(self, turn: Turn, raw: bytes, room: bytes, *, mine: bool, ts_ms: int) -> None:
        """A message that is shown names an attachment; one that nobody can read is none."""
        try:
            manifest = manifests.parse(raw)
        except DecodeError:
            return
        ident = sealed.id_of(manifest)
        record = self.records.get(ident)
        if record is None:
            if not self._make_room(turn):
                return
            record = Record(sealed.object_of(manifest), raw, PENDING, ts_ms)
            self._await(ident, record, first=True)
        elif record.state != READY:
            if record.state == FAILED:
                record = replace(record, state=PENDING, since_ms=ts_ms)
                self._await(ident, record)
            record = replace(record, manifest=record.parsed.named_again(manifest).encode())
            self.fetched.hurry(ident)
        rooms = record.rooms if room in record.rooms else (*record.rooms, room)[-MAX_ROOMS:]
        since_ms = max(record.since_ms, ts_ms) if record.state == PENDING else record.since_ms
        self.save(turn, ident, replace(record, named=record.named + 1, rooms=rooms, since_ms=since_ms))
        if mine and record.state == READY:
            self._post(turn, ident, self.records[ident])
        self.fill(turn)

    def unnamed(self, turn: Turn, raw: bytes) -> None:
        """A message that named an attachment is gone; so is the attachment if no other one names it."""
        try:
            ident = sealed.id_of(manifests.parse(raw))
        except DecodeError:
            return
        record = self.records.get(ident)
        if record is None:
            return
        if record.named > 1:
            self.save(turn, ident, replace(record, named=record.named - 1))
        else:
            self._erase(turn, ident)

    def save(self, turn: Turn, ident: bytes, record: Record) -> None:
        """Keep what is known of one."""
        self.records[ident] = record
        turn.put(Table.ATTACHMENTS, ident, record)

    def _make_room(self, turn: Turn) -> bool:
        """Give the oldest that has not come up for one more; False if all have."""
        if len(self.records) < MAX_RECORDS:
            return True
        oldest = next((ident for ident, record in self.records.items() if record.state != READY), None)
        if oldest is not None:
            self.tell(turn, oldest, FAILED, 0, "too many others are awaited")
            self._erase(turn, oldest)
        return oldest is not None

    def _erase(self, turn: Turn, ident: bytes) -> None:
        record = self.records.pop(ident)
        self._stop(turn, ident)
        self._end_posting(turn, ident)
        self._forget_waiting(ident)
        turn.delete(Table.ATTACHMENTS, ident)
        turn.files.append(DropFile(record.name))

    # -- what is awaited --------------------------------------------------------------------------

    def fill(self, turn: Turn) -> None:
        """Await more, where there is a place."""
        if not self._swept or turn.now.mono < self._full_until:
            return
        self.fetched.fill(turn)
        while self._waiting and len(self._active) < MAX_ACTIVE:
            ident = self._waiting.popleft()
            record = self.records.get(ident)
            if record is None or record.state != PENDING or ident in self._active:
                continue
            manifest = record.parsed
            if turn.mesh_ms - record.since_ms > MAX_AWAITED_MS:
                self.fail(turn, ident, "nobody has it any more")
            else:
                patience = self._patience.get(ident, STALLED_SECONDS)
                self._active[ident] = _Incoming(manifest, turn.now.mono, patience)
                turn.files.append(FindParts(record.name, manifest))

    def _on_found(self, turn: Turn, ident: bytes, found: PartsFound) -> None:
        coming = self._active.get(ident)
        if coming is None:
            return
        if found.whole:
            self.ready(turn, ident)
            return
        coming.got |= found.blocks
        if not self._complete(turn, coming, found.name):
            self._watch(turn, ident, coming)

    def _watch(self, turn: Turn, ident: bytes, coming: _Incoming) -> None:
        """Have the channel read from when the message was sent, and watch it."""
        coming.asked = True
        route = Route(sealed.channel_of(coming.manifest), ident)
        turn.watch.append((route, day_of(min(self.records[ident].since_ms, turn.mesh_ms)) - 1))

    def _complete(self, turn: Turn, coming: _Incoming, name: bytes) -> bool:
        if len(coming.got) < len(coming.manifest.blocks):
            return False
        coming.finishing = True
        turn.files.append(FinishFile(name, coming.manifest))
        return True

    def take(self, turn: Turn, ident: bytes, inner: bytes) -> None:
        """Take a part; raises PeerFault with nothing changed if nobody waits for it or it is not genuine."""
        coming = self._active.get(ident)
        if coming is None:
            raise CryptoFault("a part that nobody waits for")
        index, data = sealed.read_part(coming.manifest, inner)
        if index in coming.got or coming.finishing:
            return
        name = self.records[ident].name
        coming.got.add(index)
        coming.moved, coming.patience = turn.now.mono, STALLED_SECONDS
        self._patience.pop(ident, None)
        turn.files.append(WritePart(name, coming.manifest.span(index)[0], data))
        if not self._complete(turn, coming, name) and turn.now.mono >= coming.told + TELL_SECONDS:
            coming.told = turn.now.mono
            self.tell(turn, ident, "progress", coming.received)

    def _stop(self, turn: Turn, ident: bytes) -> None:
        self.fetched.stop(turn, ident)
        coming = self._active.pop(ident, None)
        if coming is not None and coming.asked:
            turn.unwatch.append((int(ChannelKind.ATTACHMENT), ident, b""))

    def _forget_waiting(self, ident: bytes) -> None:
        self._patience.pop(ident, None)
        self.fetched.forget(ident)
        if ident in self._waiting:
            self._waiting.remove(ident)

    def _on_finished(self, turn: Turn, ident: bytes, finished: FileFinished) -> None:
        if ident not in self._active and ident not in self.fetched.active:
            return
        if finished.why is None:
            self.ready(turn, ident)
        elif finished.why == "bad":
            self.fail(turn, ident, "it does not open as its message says")
        else:
            self._stop(turn, ident)
            self._await(ident, self.records[ident])
            if turn.now.mono >= self._full_until:
                self.fetched.make_room(turn, {ident, *self._active})
            self._full_until = turn.now.mono + FULL_SECONDS
        self.fill(turn)

    def ready(self, turn: Turn, ident: bytes) -> None:
        """Say that one is here."""
        self._stop(turn, ident)
        self._forget_waiting(ident)
        record = self.records[ident]
        self.save(turn, ident, replace(record, state=READY))
        self.tell(turn, ident, READY, record.parsed.size)
        if not record.parsed.gossiped:
            turn.of_peers.append(Share(record.parsed))

    def fail(self, turn: Turn, ident: bytes, why: str) -> None:
        """Give one up."""
        self._stop(turn, ident)
        self._forget_waiting(ident)
        record = self.records[ident]
        self.save(turn, ident, replace(record, state=FAILED))
        turn.files.append(DropFile(record.name))
        self.tell(turn, ident, FAILED, 0, why)

    def tell(
        self,
        turn: Turn,
        ident: bytes,
        state: Literal["pending", "progress", "ready", "failed"],
        received: int,
        why: str | UnsetType = UNSET,
    ) -> None:
        """Say how one stands, in the rooms that it was named in."""
        record = self.records[ident]
        manifest = record.parsed
        for room in record.rooms:
            turn.tell(
                events.Attachment(
                    id=ids.text(ident),
                    room=ids.text(room),
                    name=manifest.name,
                    state=state,
                    received=received,
                    size=manifest.size,
                    why=why,
                )
            )

    # -- answers of the folder, and time ----------------------------------------------------------

    def answered(
        self, turn: Turn, result: PartsFound | FileFinished | PartRead | FilesSwept | BlockWritten
    ) -> None:
        """Go on with what the folder answered."""
        match result:
            case PartsFound() if ids.uuid8(result.name) in self.fetched.active:
                self.fetched.found(turn, ids.uuid8(result.name), result)
            case BlockWritten():
                self.fetched.written(turn, ids.uuid8(result.name), result)
            case FilesSwept(missing):
                self._on_swept(turn, missing)
            case PartRead():
                self._on_read(turn, result)
            case PartsFound():
                self._on_found(turn, ids.uuid8(result.name), result)
            case FileFinished():
                self._on_finished(turn, ids.uuid8(result.name), result)

    @property
    def deadline(self) -> float | None:
        """When something is to be posted, or has been awaited long enough."""
        stalled = (coming.moved + coming.patience for coming in self._active.values() if coming.asked)
        waits = self._waiting or self.fetched.waiting
        full = self._full_until if waits and self._full_until and self._swept else None
        return earliest(self._post_at, full, self.fetched.deadline, *stalled)

    def due(self, turn: Turn) -> None:
        """Read the next part to post; give up, or ask again, where nothing comes."""
        now = turn.now.mono
        if self._post_at is not None and now >= self._post_at:
            self._read_next(turn)
        if self._full_until and now >= self._full_until:
            self._full_until = 0.0
        for ident, coming in list(self._active.items()):
            if coming.asked and not coming.finishing and now >= coming.moved + coming.patience:
                self._stalled(turn, ident, coming)
        self.fetched.due(turn)
        self.fill(turn)

    def _read_next(self, turn: Turn) -> None:
        self._post_at = None
        ident, index = next(iter(self.posting.items()), (b"", 0))
        record = self.records.get(ident)
        if record is None:
            self._end_posting(turn, ident)
            self._post_at = turn.now.mono if self.posting else None
        else:
            turn.files.append(ReadPart(record.name, index, *record.parsed.span(index)))

    def _stalled(self, turn: Turn, ident: bytes, coming: _Incoming) -> None:
        """Let another one have its turn; or look again, and ask the mesh."""
        self._stop(turn, ident)
        self._patience[ident] = min(STALLED_MOST, 2 * coming.patience)
        self._waiting.append(ident)
        if turn.now.mono >= self._ask_after:
            self._ask_after = turn.now.mono + SYNC_SECONDS
            turn.sync_wanted = True

    def expire(self, turn: Turn) -> None:
        """Erase what was put here and never sent, and give up what nobody holds any more."""
        for ident, record in list(self.records.items()):
            age = turn.now.wall_ms - record.since_ms
            if record.state == READY and not record.named and age > UNNAMED_MS:
                self._erase(turn, ident)
            elif record.state == PENDING and turn.mesh_ms - record.since_ms > MAX_AWAITED_MS:
                self.fail(turn, ident, "nobody has it any more")


def described(ident: bytes, record: Record, received: int) -> dict[str, Any]:
    """Return what a frontend is told of an attachment."""
    manifest = record.parsed
    told = {"id": ids.text(ident), "name": manifest.name, "type": manifest.type, "size": manifest.size}
    return {**told, "state": record.state, "received": received, "hash": manifest.hash.hex()}

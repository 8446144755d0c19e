"""The attachments of this node: which are here, which are awaited, and what becomes of them.

Small ones travel by gossip (`gossiped.py`, and `posting.py` for ours), large ones are fetched from whoever
has them (`fetched.py`). Each is known while a message names it; it is here once the whole has opened
(docs/crypto.md 3.14).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from msgspec import UNSET, UnsetType

from node import ids
from node.chat import events
from node.chat.attachment_record import FAILED, PENDING, READY, Record, State
from node.chat.fetched import Fetched
from node.chat.filing import (
    BlockWritten,
    DropFile,
    FileFinished,
    FilesSwept,
    PartRead,
    PartsFound,
    Share,
    SweepFiles,
)
from node.chat.gossiped import MAX_AWAITED_MS, Gossiped
from node.chat.posting import Posting
from node.chat.turn import Turn
from node.clock import DAY_MS, earliest
from node.crypto import attachment as sealed
from node.errors import DecodeError, Refused
from node.tables import Table
from node.wire import manifest as manifests
from node.wire.manifest import Manifest

MAX_RECORDS = 10_000
"""Attachments known: 30 MB of manifests. For one more the oldest that has not come is given up."""
MAX_ROOMS = 8
"""Rooms remembered in which one is named: whose frontends are told of it."""
FULL_SECONDS = 60.0
"""The disk is tried again after this time."""
UNNAMED_MS = DAY_MS
"""What was put here and never sent is kept so long."""


class Attachments:
    """Every attachment of this node by its id of 16 bytes."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}
        self.posting = Posting(self)
        self.gossiped = Gossiped(self)
        self.fetched = Fetched(self)
        self._swept = False
        self._full_until = 0.0

    # -- a start ----------------------------------------------------------------------------------

    def restore(self, ident: bytes, record: Record) -> None:
        """Take a stored record back."""
        self.records[ident] = record
        if record.state == PENDING:
            self._await(ident, record)

    def _await(self, ident: bytes, record: Record, *, first: bool = False) -> None:
        """Await one when there is a place; of large ones the newest first, so that no flood keeps it out."""
        if record.parsed.gossiped:
            self.gossiped.waiting.append(ident)
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
        self.posting.begin(turn.now.mono)
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
        coming = self.gossiped.active.get(ident) or self.fetched.active.get(ident)
        return record.parsed.size if record.state == READY else 0 if coming is None else coming.received

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
            record = self.records[ident]
            if record.parsed.gossiped:
                self.posting.post(turn, ident, record)
            else:  # large ones are given to relays
                turn.of_peers.append(Share(record.parsed))
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
        self.posting.end(turn, ident)
        self._forget_waiting(ident)
        turn.delete(Table.ATTACHMENTS, ident)
        turn.files.append(DropFile(record.name))

    # -- what is awaited --------------------------------------------------------------------------

    def fill(self, turn: Turn) -> None:
        """Await more, where there is a place."""
        if not self._swept or turn.now.mono < self._full_until:
            return
        self.fetched.fill(turn)
        self.gossiped.fill(turn)

    def _stop(self, turn: Turn, ident: bytes) -> None:
        self.fetched.stop(turn, ident)
        self.gossiped.stop(turn, ident)

    def _forget_waiting(self, ident: bytes) -> None:
        self.gossiped.forget(ident)
        self.fetched.forget(ident)

    def _on_finished(self, turn: Turn, ident: bytes, finished: FileFinished) -> None:
        if ident not in self.gossiped.active and ident not in self.fetched.active:
            return
        if finished.why is None:
            self.ready(turn, ident)
        elif finished.why == "bad":
            self.fail(turn, ident, "it does not open as its message says")
        else:
            self._stop(turn, ident)
            self._await(ident, self.records[ident])
            if turn.now.mono >= self._full_until:
                self.fetched.make_room(turn, {ident, *self.gossiped.active})
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
        state: State | Literal["progress"],
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
                self.posting.read(turn, result)
            case PartsFound():
                self.gossiped.found(turn, ids.uuid8(result.name), result)
            case FileFinished():
                self._on_finished(turn, ids.uuid8(result.name), result)

    @property
    def deadline(self) -> float | None:
        """When something is to be posted, or has been awaited long enough."""
        waits = self.gossiped.waiting or self.fetched.waiting
        full = self._full_until if waits and self._full_until and self._swept else None
        stalled = self.gossiped.deadline if self.gossiped.active else None
        return earliest(self.posting.deadline, full, self.fetched.deadline, stalled)

    def due(self, turn: Turn) -> None:
        """Read the next part to post; give up, or ask again, where nothing comes."""
        now = turn.now.mono
        self.posting.due(turn)
        if self._full_until and now >= self._full_until:
            self._full_until = 0.0
        self.gossiped.due(turn)
        self.fetched.due(turn)
        self.fill(turn)

    def expire(self, turn: Turn) -> None:
        """Erase what was put here and never sent, and give up what nobody holds any more."""
        for ident, record in list(self.records.items()):
            age = turn.now.wall_ms - record.since_ms
            if record.state == READY and not record.named and age > UNNAMED_MS:
                self._erase(turn, ident)
            elif record.state == PENDING and turn.mesh_ms - record.since_ms > MAX_AWAITED_MS:
                self.fail(turn, ident, "nobody has it any more")

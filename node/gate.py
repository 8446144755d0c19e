"""Who is behind the bridge: the engine's loop, what a locked node answers, or nobody for a moment.

The bridge outlives the vault, so it talks to this gate. While one takes over from the other, what frontends
send waits here; a replay waits until the store is open again, a page of history is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from node.bridge.metrics import Shown
from node.bridge.ports import BridgeInput, SessionStarted
from node.bridge.server import BridgeServer
from node.clock import Instant
from node.engine.effects import OpenVault, StopNode
from node.engine.locked import LOCKED, Effect, Locked
from node.errors import Refused
from node.loop import EngineLoop
from node.store.attachments import AttachmentFiles, Upload
from node.store.sqlite import SqliteStore
from node.wire.manifest import Manifest


class Gate:
    """The bridge's way in, and its reader; `loop` and `locked` are never both there."""

    def __init__(
        self, clock: Callable[[], Instant], stopping: asyncio.Event, order: Callable[[OpenVault], None]
    ) -> None:
        self.bridge: BridgeServer | None = None
        self._clock, self._stopping, self._order = clock, stopping, order
        self._loop: EngineLoop | None = None
        self._locked: Locked | None = None
        self._store: SqliteStore | None = None
        self._opened = asyncio.Event()
        self._held: list[BridgeInput] = []

    @property
    def is_locked(self) -> bool:
        """Say whether there is no engine behind."""
        return self._loop is None

    @property
    def state(self) -> str:
        """Say no more than anybody may know: `ok`, `locked`, or `starting` in between."""
        return "ok" if self._loop is not None else "locked" if self._locked is not None else "starting"

    async def figures(self) -> list[Shown]:
        """Return what the open node counts and measures; nothing of a locked one."""
        loop, store = self._loop, self._store
        if loop is None or store is None or not loop.begun:
            return []
        return loop.figures(self._clock(), await store.stats())

    @property
    def kept(self) -> tuple[SessionStarted, ...]:
        """The sessions that the next engine finds attached."""
        return () if self._locked is None else self._locked.kept

    # -- what the bridge calls --------------------------------------------------------------------

    def submit(self, event: BridgeInput) -> None:
        """Hand an input on, or keep it until somebody is there."""
        if self._loop is not None:
            self._loop.submit(event)
        elif self._locked is not None:
            self._perform(self._locked.handle(event, now=self._clock()))
        else:
            self._held.append(event)

    def backlog(self) -> int:
        """Return how many inputs wait: the bridge reads no socket beyond its limit."""
        return len(self._held) if self._loop is None else self._loop.backlog()

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Read the event log, once it is open."""
        while self._store is None:
            await self._opened.wait()
        return await self._store.events_after(seq, limit)

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        """Read a room's messages; raises Refused `locked`."""
        if self._store is None:
            raise Refused(LOCKED, "the vault was locked meanwhile", retryable=True)
        return await self._store.history(room, before, after, limit, skip)

    async def message_count(self, room: bytes) -> int:
        """Count a room's messages; raises Refused `locked`."""
        if self._store is None:
            raise Refused(LOCKED, "the vault was locked meanwhile", retryable=True)
        return await self._store.message_count(room)

    async def search(
        self, text: str, room: bytes | None, before: tuple[bytes, Sequence[bytes]] | None, limit: int
    ) -> tuple[list[bytes], bool]:
        """Find messages; raises Refused `locked`."""
        if self._store is None:
            raise Refused(LOCKED, "the vault was locked meanwhile", retryable=True)
        return await self._store.search(text, room, before, limit)

    # -- attachments (bridge.http_attachments.Shelf) --------------------------------------------

    def attachment(self, ident: bytes) -> tuple[Manifest, str] | None:
        """Return the manifest of an attachment, and how it stands; raises Refused `locked`."""
        if self._loop is None or not self._loop.begun:
            raise Refused(LOCKED, "the vault is locked", retryable=True)
        record = self._loop.engine.state.attachments.records.get(ident)
        return None if record is None else (record.parsed, record.state)

    def upload(self) -> Upload:
        """Begin to take a content in; raises Refused `locked`."""
        return self._attachments().upload()

    def content(self, manifest: Manifest) -> Iterator[bytes]:
        """Give out a whole attachment, blocking; raises PeerFault, StoreFull, Refused `locked`."""
        return self._attachments().content(manifest)

    def _attachments(self) -> AttachmentFiles:
        if self._loop is None or self._loop.reads.files is None:
            raise Refused(LOCKED, "the vault is locked", retryable=True)
        return self._loop.reads.files

    # -- who is behind ----------------------------------------------------------------------------

    def open(self, loop: EngineLoop, store: SqliteStore) -> None:
        """From now on an engine answers; frontends that came while it was locked are started there."""
        waiting = (*(() if self._locked is None else self._locked.waiting), *self._held)
        self._loop, self._locked, self._held, self._store = loop, None, [], store
        self._opened.set()
        for event in waiting:
            loop.submit(event)

    def hold(self) -> None:
        """Keep what comes; nothing is read from the store any more."""
        self._loop = self._store = None
        self._opened.clear()

    def lock(self, locked: Locked) -> None:
        """From now on `locked` answers, also what was kept."""
        held, self._held, self._locked = self._held, [], locked
        self._perform(locked.start())
        for event in held:
            self.submit(event)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case OpenVault():
                    self._order(effect)
                case StopNode():
                    self._stopping.set()
                case _:
                    assert self.bridge is not None
                    self.bridge.perform(effect)

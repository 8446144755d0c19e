"""What the engine has asked of the store and of the folder of attachments, while it goes on.

Answers come back as inputs. Reads of the store run side by side, orders to the folder one after the other on
a thread. An engine that took the place of another (docs/architecture.md, "When the disk is full") is brought
nothing that the other has asked for, but what frontends wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from node.bridge.ports import Deliver, ReadAnswered
from node.chat import events
from node.chat.filing import FileOrder
from node.engine import outage
from node.engine.effects import (
    AfterFetched,
    AnswerStatus,
    ChannelRead,
    FetchAfter,
    FetchMessages,
    FindMessages,
    Input,
    MessagesFetched,
    MessagesFound,
    ReadChannel,
)
from node.gathering import Gathering
from node.mesh.ports import ByIds, ByTime, HeldRead, ReadHeld
from node.store.attachments import AttachmentFiles
from node.store.sqlite import SqliteStore
from node.wire import envelope

READ_PAGE = 2_000
"""Envelopes of a channel handed to the engine at a time."""
Read: TypeAlias = ReadHeld | ReadChannel | FindMessages | FetchMessages | FetchAfter | AnswerStatus


class Reads:
    """Reads under way; `submit` hears the answers, `tell` what goes to a frontend, `ended` of each end."""

    def __init__(
        self,
        store: SqliteStore,
        held: Gathering,
        submit: Callable[[Input], None],
        tell: Callable[[Deliver], None],
        ended: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self._store, self._held = store, held
        self._submit, self._tell, self._ended = submit, tell, ended
        self.files: AttachmentFiles | None = None
        self.generation = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._orders: asyncio.Queue[tuple[int, FileOrder]] = asyncio.Queue()
        self._filing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, effect: Read) -> None:
        """Read something of the store."""
        task = asyncio.create_task(self._read(effect, self.generation))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def file(self, order: FileOrder) -> None:
        """Have the folder do something."""
        self._orders.put_nowait((self.generation, order))
        if self._filing is None:
            self._filing = asyncio.create_task(self._file(), name="attachments")
            self._filing.add_done_callback(self._ended)

    async def answered(self, patience: float) -> None:
        """Wait so many seconds for the store and the folder to answer what they were asked."""
        filed = asyncio.create_task(self._orders.join())
        await asyncio.wait({filed, *self._under_way}, timeout=patience)
        filed.cancel()

    async def stop(self) -> None:
        """End what is under way."""
        if self._filing is not None:
            self._filing.cancel()
            await asyncio.gather(self._filing, return_exceptions=True)
        if self.files is not None:
            self.files.close()
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._ended(task)

    def _bring(self, generation: int, event: Input) -> None:
        """Hand the engine what was read for it; one that took its place has not asked."""
        if generation == self.generation or isinstance(event, outage.AGAIN):
            self._submit(event)

    async def _read(self, effect: Read, asked: int) -> None:
        match effect:
            case ReadHeld(ticket, ByIds(ids16, most)):
                await self._held.write()
                self._bring(asked, HeldRead(ticket, tuple(await self._store.envelopes_by_id(ids16, most))))
            case ReadHeld(ticket, ByTime(t0, t1, after, most)):
                await self._held.write()
                found, more = await self._store.envelopes_by_time(t0, t1, after, most)
                self._bring(asked, HeldRead(ticket, tuple(found), more))
            case ReadChannel():
                await self._held.write()
                await self._read_channel(effect, asked)
            case FindMessages(room, mids):
                known = [mid for mid in mids if await self._store.message(room, mid) is not None]
                self._bring(asked, MessagesFound(room, tuple(known)))
            case FetchMessages(room, mids, to_change):
                bodies = [(mid, await self._store.message(room, mid)) for mid in mids]
                self._bring(asked, MessagesFetched(room, tuple(bodies), to_change))
            case FetchAfter(room, mid, limit):
                body, page, more = await self._store.message(room, mid), list[bytes](), False
                if body is not None:
                    page, more = await self._store.history(room, None, mid, limit)
                self._bring(asked, AfterFetched(room, mid, body, tuple(page), more))
            case AnswerStatus(session, req, fields, nonced):
                whole = {**fields, **await self._store.stats()}
                if nonced is not None:
                    self._bring(asked, ReadAnswered(nonced, whole))
                else:
                    self._tell(Deliver(session, events.Ok(req=req, fields=whole)))

    async def _read_channel(self, order: ReadChannel, asked: int) -> None:
        after: tuple[int, bytes] | None = (order.since_ms, b"") if order.since_ms else None
        while True:
            found = await self._store.envelopes_by_rk(order.keys, READ_PAGE, after)
            done = len(found) < READ_PAGE
            self._bring(asked, ChannelRead(order.channel, tuple(found), order.final, done))
            if done or asked != self.generation:
                return
            last = envelope.parse(found[-1])
            after = (last.ts_ms, last.eid)

    async def _file(self) -> None:
        while True:
            asked, order = await self._orders.get()
            assert self.files is not None
            answer = await asyncio.to_thread(self.files.carry_out, order)
            if answer is not None:
                self._bring(asked, answer)
            self._orders.task_done()

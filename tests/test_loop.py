"""The loop around the engine: without room nothing is acknowledged, and all goes on when there is some."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, get_args

import msgspec
import pytest

from node.bridge.outbox import MAX_EVENTS
from node.bridge.ports import BridgeEffect, CommandReceived, Deliver
from node.chat import commands, events
from node.chat.filing import FileOrder
from node.clock import Instant
from node.engine.commands import no_room
from node.engine.effects import Effect, Hold, MessagesFetched, Persist
from node.errors import StoreFull
from node.lanes import FLOOD_STEP
from node.loop import SHOW_TRIES, SHOWN_AT_ONCE, EngineLoop
from node.mesh.ports import MeshEffect, SendBytes
from node.sim import SimNode
from node.store.records import Gone, Put, PutEnvelope
from node.tables import Table

FULL = StoreFull("the database could not be written: database or disk is full")
SEALED = PutEnvelope(bytes(32), bytes(32), 0, 1, shelf=0, raw=b"sealed")


class FullStore:
    """A store whose disk takes nothing more, until it is told to."""

    first_seq = 7
    expiring = False

    def __init__(self) -> None:
        self.cleaned = 0
        self.full = self.quick = True
        self.kept: list[Any] = []

    def at_once(self, writes: Any) -> bool:
        return self.quick

    async def commit(self, writes: Any) -> Gone:
        if self.full:
            raise FULL
        self.kept += writes
        return Gone()

    async def probe(self) -> None:
        await self.commit([])

    async def load(self) -> str:
        return "loaded"

    async def expire(self, now_ms: int) -> list[bytes]:
        self.cleaned += 1
        raise FULL


class Bridge:
    """Takes what is to be shown."""

    def __init__(self) -> None:
        self.told: list[tuple[int, events.Event]] = []

    def perform(self, effect: Any) -> None:
        assert isinstance(effect, Deliver)
        self.told.append((effect.session, effect.event))

    def behind(self) -> int:
        return 0


class Links:
    """A mesh of which only the closing is seen."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def perform(self, effect: Any) -> None:
        raise AssertionError(effect)

    def write(self) -> None:
        """Nothing was ordered."""

    def close_all(self, reason: str) -> None:
        self.closed.append(reason)

    def took(self, batch: list[Any]) -> None:
        self.done = batch


def machine(effects: list[Effect], *, read_only: bool = False) -> Any:
    """An engine that answers every input with these effects, with sessions 1 and 2 attached."""
    state = SimpleNamespace(sessions={1: 0, 2: 0})
    return SimpleNamespace(
        deadline=None,
        read_only=read_only,
        start=lambda _now: [],
        handle=lambda _event, now: list(effects),
        state=state,
        desk=SimpleNamespace(state=state, unanswered=list),
        mesh=SimpleNamespace(forget=lambda _eids: None, congested=False),
        expires_at=lambda now: now.wall_ms,
    )


def looped(effects: list[Effect]) -> tuple[EngineLoop, Bridge, FullStore]:
    """A loop around such an engine; the one that takes its place refuses what it is asked."""
    store, bridge = FullStore(), Bridge()
    loop = EngineLoop(store, lambda: Instant(time.monotonic(), 0))  # type: ignore[arg-type] # a stand-in
    loop._engine, loop.bridge, loop.mesh = machine(effects), bridge, Links()
    refused = Deliver(1, events.Error(code="storage_full", message="no room", req=5))

    def rebuild(loaded: Any, sessions: Any, *, read_only: bool) -> Any:
        assert (loaded, sessions) == ("loaded", (0, 0))
        return machine([refused] if read_only else effects, read_only=read_only)

    loop.rebuild = rebuild
    return loop, bridge, store


def only_reads(loop: EngineLoop) -> bool:
    engine: Any = loop.engine
    return bool(engine.read_only)


@asynccontextmanager
async def running(loop: EngineLoop) -> AsyncIterator[None]:
    task = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_command_that_finds_no_room_is_asked_again_of_an_engine_that_only_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.loop.PROBE_SECONDS", 0.01)
    done = events.Ok(req=5, fields={"id": "x"})
    loop, bridge, store = looped([Persist((Put(Table.SELF, b"k", b"v"),)), Deliver(1, done)])
    asked = CommandReceived(1, commands.RoomCreate(name="tea", req=5))
    async with running(loop):
        loop.submit(asked)
        await until(lambda: bridge.told)
        assert [getattr(told, "code", told) for _, told in bridge.told] == ["storage_full"]
        assert only_reads(loop)
        assert store.kept == []
        assert isinstance(loop.mesh, Links)
        assert loop.mesh.closed
        store.full = False
        await until(lambda: not only_reads(loop))
        loop.submit(asked)
        await until(lambda: len(bridge.told) == 2)
        assert bridge.told[1] == (1, done)
        assert len(store.kept) == 1


async def test_what_the_store_brought_and_found_no_room_is_refused_to_who_had_waited_for_it() -> None:
    persist = Persist((Put(Table.SELF, b"k", b"v"),))
    refused = events.error_of(no_room(), "other")
    told = [Deliver(1, events.Ok(req=5, fields={"id": "x"})), Deliver(2, refused)]
    loop, bridge, _ = looped([persist, *told])
    async with running(loop):
        loop.submit(MessagesFetched(b"room", (), to_change=True))
        await until(lambda: len(bridge.told) == 2)
        assert [(session, event.code, event.req) for session, event in bridge.told] == [
            (1, "storage_full", 5),
            (2, "storage_full", "other"),
        ]


async def test_a_sealed_envelope_that_finds_no_room_is_let_go_and_fetched_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.gathering.HOLD_SECONDS", 0.0)
    loop, bridge, _ = looped([Hold(SEALED), Deliver(1, events.Ok(req=1))])
    async with running(loop):
        loop.submit(CommandReceived(1, commands.RoomList()))
        await until(lambda: only_reads(loop))
        assert not len(loop._held)
        assert bridge.told == [(1, events.Ok(req=1))], "what was answered is not asked again"


async def test_a_stop_without_room_is_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    loop, bridge, _ = looped([Persist((Put(Table.SELF, b"k", b"v"),)), Deliver(1, events.Ok(req=5))])
    loop.submit(CommandReceived(1, commands.RoomCreate(name="tea", req=5)))
    await loop.settle()
    assert bridge.told == []
    assert "not stored" in caplog.text


async def test_what_expires_is_left_for_later_when_there_is_no_room_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, _, store = looped([])
    await loop._keep_house(Instant(time.monotonic(), 0))
    await loop._keep_house(Instant(time.monotonic(), 0))
    assert store.cleaned == 1
    assert "tried again" in caplog.text


async def test_a_start_that_finds_no_room_leaves_an_engine_that_only_reads() -> None:
    loop, bridge, store = looped([])
    first = machine([])
    first.start = lambda _now: [Persist((Put(Table.SELF, b"k", b"v"),)), Deliver(1, events.Ok(req=1))]
    await loop.begin(first)
    assert only_reads(loop)
    assert (bridge.told, store.kept) == ([], [])


async def test_a_store_that_cannot_even_be_read_is_read_again_and_the_node_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("node.loop.PROBE_SECONDS", 0.01)
    loop, bridge, store = looped([Persist((Put(Table.SELF, b"k", b"v"),))])
    tries: list[int] = []

    async def load() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise StoreFull("the database could not be written: disk I/O error")
        return "loaded"

    monkeypatch.setattr(store, "load", load)
    async with running(loop):
        loop.submit(CommandReceived(1, commands.RoomCreate(name="tea", req=5)))
        await until(lambda: bridge.told)
        assert [getattr(told, "code", told) for _, told in bridge.told] == ["storage_full"]
    assert "cannot be read" in caplog.text
    tries.clear()
    loop.stopping.set()
    with pytest.raises(StoreFull):
        await loop._run_out(FULL)


def blank(kind: type[Any]) -> Any:
    """An effect of which only the kind matters."""
    if issubclass(kind, msgspec.Struct):
        return kind(*(None for _ in kind.__struct_fields__))
    made = object.__new__(kind)
    for place in dataclasses.fields(kind):
        object.__setattr__(made, place.name, None)
    return made


@pytest.mark.parametrize("kind", get_args(Effect), ids=lambda kind: kind.__name__)
async def test_every_effect_is_carried_out_by_who_it_is_for(kind: type[Any]) -> None:
    loop, taken = EngineLoop(FullStore(), lambda: Instant(0.0, 0)), list[str]()  # type: ignore[arg-type]

    def taker(name: str) -> Any:
        return SimpleNamespace(perform=lambda _effect: taken.append(name))

    async def read(_effect: Any, _asked: int) -> None:
        taken.append("store")

    async def file() -> None:
        await loop.reads._orders.get()
        taken.append("folder")

    loop.bridge, loop.mesh, loop.vault = taker("bridge"), taker("mesh"), taker("vault")
    loop.reads._read, loop.reads._file = read, file  # type: ignore[method-assign]
    before = loop._next_shred
    loop._perform(blank(kind))
    await asyncio.sleep(0)
    by_loop = [bool(len(loop._held)), loop.stopping.is_set(), loop._next_shred < before]
    assert len(taken) + sum(by_loop) == (0 if kind is Persist else 1)
    whose = {"mesh": get_args(MeshEffect), "bridge": get_args(BridgeEffect), "folder": get_args(FileOrder)}
    assert kind in whose.get("".join(taken), [kind])


@pytest.mark.parametrize("kind", get_args(Effect), ids=lambda kind: kind.__name__)
def test_every_effect_has_a_place_in_the_simulator(kind: type[Any]) -> None:
    source = inspect.getsource(SimNode._one)
    assert kind in get_args(FileOrder) or f"{kind.__name__}(" in source


async def test_links_have_written_before_frontends_are_told() -> None:
    seen: list[str] = []
    told = Deliver(1, events.Ok(req=5))
    loop, _, store = looped([told, SendBytes(7, b"sealed"), told])
    store.full = False

    class Outlet:
        def perform(self, effect: Any) -> None:
            seen.append(type(effect).__name__)

        def behind(self) -> int:
            return 0

        def write(self) -> None:
            seen.append("written")

        def close_all(self, reason: str) -> None:
            raise AssertionError(reason)

        def took(self, batch: list[Any]) -> None:
            seen.extend(type(event).__name__ for event in batch)

    loop.bridge = loop.mesh = Outlet()
    async with running(loop):
        loop.submit(CommandReceived(1, commands.RoomList()))
        await until(lambda: len(seen) == 5)
    assert seen == ["SendBytes", "written", "Deliver", "Deliver", "CommandReceived"]


async def test_frontends_are_written_to_before_deadlines_are_asked() -> None:
    seen: list[str] = []
    loop, _, store = looped([Deliver(1, events.Ok(req=5))])
    store.full = False

    class Outlet:
        def perform(self, effect: Any) -> None:
            asyncio.get_running_loop().call_soon(seen.append, "written")

        def behind(self) -> int:
            return 0

    class Asked(SimpleNamespace):
        @property
        def deadline(self) -> None:
            seen.append("asked")

    loop.bridge = Outlet()
    plain = machine([Deliver(1, events.Ok(req=5))])
    loop._engine = Asked(**{k: v for k, v in vars(plain).items() if k != "deadline"})  # type: ignore[assignment]
    async with running(loop):
        await until(lambda: store.cleaned and seen[-2:] == ["asked", "asked"])
        seen.clear()
        loop.submit(CommandReceived(1, commands.RoomList()))
        await until(lambda: len(seen) == 2)
    assert seen == ["written", "asked"]


async def test_peers_get_before_a_commit_what_stands_before_its_first_write_and_nothing_else() -> None:
    seen: list[object] = []
    write = Persist((Put(Table.SELF, b"k", b"v"),))
    effects: list[Effect] = [SendBytes(7, b"passed on"), write, SendBytes(7, b"our own")]
    loop, _, store = looped(effects)
    store.full = False

    class Outlet:
        def __init__(self) -> None:
            self.waiting: list[bytes] = []

        def perform(self, effect: Any) -> None:
            self.waiting.append(effect.data)

        def write(self) -> None:
            seen.extend(self.waiting)
            self.waiting.clear()

        def took(self, batch: list[Any]) -> None:
            """Nothing is read."""

    async def commit(writes: Any) -> Gone:
        seen.append(len(writes))
        return Gone()

    loop.mesh, store.commit = Outlet(), commit  # type: ignore[assignment,method-assign] # stand-ins
    async with running(loop):
        for number in range(2):
            loop.submit(CommandReceived(number, commands.RoomList()))
        await until(lambda: len(seen) == 5)
    assert seen == [b"passed on", 2, b"our own", b"passed on", b"our own"]


async def test_of_a_commit_that_fails_nothing_leaves_but_what_stood_before_it() -> None:
    write = Persist((Put(Table.SELF, b"k", b"v"),))
    loop, _, _ = looped([SendBytes(7, b"passed on"), write, SendBytes(7, b"our own")])
    left: list[bytes] = []

    class Outlet(Links):
        def perform(self, effect: Any) -> None:
            left.append(effect.data)

    loop.mesh = Outlet()
    async with running(loop):
        loop.submit(CommandReceived(1, commands.RoomList()))
        await until(lambda: only_reads(loop))
    assert left == [b"passed on"]


async def test_a_gap_that_closes_shows_a_prompt_frontend_all_that_waited_without_filling_its_queue() -> None:
    loop, bridge, store = looped([Deliver(1, events.Ok(req=n)) for n in range(3_000)])
    store.full = False
    queues: list[int] = []

    async def reads() -> None:
        while len(bridge.told) < 3_000:
            queues.append(len(bridge.told) - sum(queues))
            await asyncio.sleep(0)
        queues.append(len(bridge.told) - sum(queues))

    async with running(loop):
        reader = asyncio.create_task(reads())
        loop.submit(CommandReceived(1, commands.RoomList()))
        await asyncio.wait_for(reader, 30)
    assert sum(queues) == 3_000
    assert max(queues) <= SHOWN_AT_ONCE < MAX_EVENTS


class SlowStore(FullStore):
    """A store whose commits end when they are let, each with what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.full = self.quick = False
        self.under_way: list[tuple[list[Any], asyncio.Future[None]]] = []

    async def commit(self, writes: Any) -> Gone:
        end = asyncio.get_running_loop().create_future()
        self.under_way.append((list(writes), end))
        await end
        return await super().commit(writes)


def numbered() -> tuple[EngineLoop, Bridge, SlowStore, list[int]]:
    """A loop whose engine writes and answers each command with its number; the list has those it has had."""
    loop, bridge, _ = looped([])
    store, had = SlowStore(), list[int]()

    def handle(event: Any, now: Instant) -> list[Effect]:
        number = event.command.req
        had.append(number)
        return [
            Persist((Put(Table.SELF, b"k", bytes([number])),)),
            SendBytes(7, bytes([number])),
            Deliver(1, events.Ok(req=number)),
        ]

    loop.store = loop._held._store = store  # type: ignore[assignment]
    loop.engine.handle = handle  # type: ignore[method-assign,assignment]
    return loop, bridge, store, had


class Sent(Links):
    """Keeps what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def perform(self, effect: Any) -> None:
        self.sent.append(effect.data)


async def test_the_engine_goes_on_while_a_commit_is_under_way_and_lets_nothing_go_before_its_own() -> None:
    loop, bridge, store, had = numbered()
    links = loop.mesh = Sent()
    async with running(loop):
        for number in (1, 2, 3):
            loop.submit(CommandReceived(1, commands.RoomList(req=number)))
            await until(lambda n=number: had[-1:] == [n])
        assert [len(writes) for writes, _ in store.under_way] == [1], "two and three wait for the first"
        assert (bridge.told, links.sent) == ([], [])
        store.under_way[0][1].set_result(None)
        await until(lambda: len(store.under_way) == 2)
        assert [event.req for _, event in bridge.told] == [1]
        assert links.sent == [b"\x01"]
        assert [write.value for write in store.under_way[1][0]] == [b"\x02", b"\x03"], "they share a commit"
        store.under_way[1][1].set_result(None)
        await until(lambda: len(bridge.told) == 3)
        assert [event.req for _, event in bridge.told] == [1, 2, 3]
        assert links.sent == [b"\x01", b"\x02", b"\x03"]


async def test_a_commit_that_fails_takes_what_was_handled_behind_it_along() -> None:
    loop, bridge, store, had = numbered()
    links = loop.mesh = Sent()
    async with running(loop):
        for number in (1, 2):
            loop.submit(CommandReceived(1, commands.RoomList(req=number)))
            await until(lambda n=number: had[-1:] == [n])
        store.full = True
        store.under_way[0][1].set_result(None)
        await until(lambda: len(bridge.told) == 2)
        assert [(event.code, event.req) for _, event in bridge.told] == [("storage_full", 5)] * 2
        assert only_reads(loop)
        assert links.sent == []
        assert store.kept == []


async def test_where_something_else_finds_no_room_what_is_under_way_is_let_go_first() -> None:
    loop, bridge, store, had = numbered()
    loop.mesh = Sent()
    async with running(loop):
        for number in (1, 2):
            loop.submit(CommandReceived(1, commands.RoomList(req=number)))
            await until(lambda n=number: had[-1:] == [n])
        loop._full = FULL
        loop._alarm.ring()
        await asyncio.sleep(0.01)
        store.under_way[0][1].set_result(None)
        await until(lambda: len(bridge.told) == 2)
        assert [getattr(event, "code", "ok") for _, event in bridge.told] == ["ok", "storage_full"]
        assert len(store.kept) == 1


async def test_who_stops_stores_and_tells_what_was_handled_behind_a_commit() -> None:
    loop, bridge, store, had = numbered()
    loop.mesh = Sent()
    task = asyncio.create_task(loop.run())
    for number in (1, 2):
        loop.submit(CommandReceived(1, commands.RoomList(req=number)))
        await until(lambda n=number: had[-1:] == [n])
    loop.submit(CommandReceived(1, commands.RoomList(req=3)))
    loop.finish()
    settled = asyncio.create_task(finished(task, loop))
    for turn in range(3):
        await until(lambda n=turn: len(store.under_way) > n or settled.done())
        if settled.done():
            break
        store.under_way[turn][1].set_result(None)
    await settled
    assert [event.req for _, event in bridge.told] == [1, 2, 3]
    assert len(store.kept) == 3


async def finished(task: asyncio.Task[None], loop: EngineLoop) -> None:
    await task
    await loop.settle()


async def test_frontends_that_take_what_they_are_told_have_their_time_in_a_burst_and_others_no_more() -> None:
    loop, bridge, store = looped([Deliver(1, events.Ok(req=n)) for n in range(1_000)])
    store.full = False
    waiting = [MAX_EVENTS]
    looks: list[int] = []

    def behind() -> int:
        looks.append(waiting[0])
        waiting[0] = max(0, waiting[0] - step)
        return looks[-1]

    bridge.behind = behind  # type: ignore[method-assign]
    for step, most in ((100, 60), (0, SHOW_TRIES + 8)):
        looks.clear()
        waiting[0] = MAX_EVENTS
        bridge.told.clear()
        async with running(loop):
            loop.submit(CommandReceived(1, commands.RoomList()))
            await until(lambda: len(bridge.told) == 1_000)
        assert len(looks) <= most, "nobody waits long for one that takes nothing"
        assert step == 0 or len([seen for seen in looks if seen > MAX_EVENTS // 2]) == 6


async def test_what_is_due_besides_is_done_though_one_commit_follows_the_other() -> None:
    """What waits for others would grow without bound, and nothing of it be on disk."""
    loop, _, store, _ = numbered()
    kept: list[int] = []

    async def expire(_now_ms: int) -> Gone:
        kept.append(1)
        return Gone()

    store.expire = expire  # type: ignore[method-assign,assignment]
    loop.engine.let_go = lambda _gone: []  # type: ignore[method-assign]
    loop.mesh = Sent()
    loop._next_expiry = time.monotonic() + 0.05
    async with running(loop):
        for number in range(200):
            loop._held.add(SEALED, now=0.0)
            loop.submit(CommandReceived(1, commands.RoomList(req=number)))
            await until(lambda: store.under_way)
            done, store.under_way = store.under_way, []
            loop.submit(CommandReceived(1, commands.RoomList(req=number)))
            await asyncio.sleep(0)
            for _, end in done:
                end.set_result(None)
            if kept and any(isinstance(one, PutEnvelope) for one in store.kept):
                break
        assert kept and any(isinstance(one, PutEnvelope) for one in store.kept)


async def test_who_stops_and_finds_no_room_is_answered_all_the_same() -> None:
    loop, bridge, store, had = numbered()
    loop.mesh = Sent()
    task = asyncio.create_task(loop.run())
    loop.submit(CommandReceived(1, commands.RoomList(req=1)))
    await until(lambda: had == [1])
    store.full = True
    loop.finish()
    store.under_way[0][1].set_result(None)
    await asyncio.wait_for(task, 5)
    assert [(event.code, event.req) for _, event in bridge.told] == [("storage_full", 5)]


@pytest.mark.parametrize(("congested", "most"), [(True, FLOOD_STEP), (False, 10)])
async def test_what_frontends_tell_others_waits_where_no_link_takes_more(congested: bool, most: int) -> None:
    loop, _, _, had = numbered()
    loop.engine.mesh.congested = congested  # type: ignore[misc] # a stand-in
    for number in range(10):
        loop.submit(CommandReceived(1, commands.RoomCreate(name="tea", req=number)))
    loop._advance(Instant(5.0, 0), None)
    assert had == list(range(most))

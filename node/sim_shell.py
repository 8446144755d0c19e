"""What a daemon's loop does around an engine, for the simulator: reading the store, and changing engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

import msgspec

from node.bridge.ports import ReadAnswered, ReadHistory, ReadSearch, StartReplay
from node.chat import backup, events
from node.chat.me import Me
from node.clock import Instant
from node.engine import outage
from node.engine.effects import (
    AfterFetched,
    AnswerStatus,
    Effect,
    FetchAfter,
    FetchMessages,
    FindMessages,
    Hold,
    Input,
    MessagesFetched,
    MessagesFound,
    Persist,
)
from node.engine.engine import Engine, Setup
from node.errors import Refused
from node.mesh.ports import ByIds, HeldRead, ReadHeld
from node.store.memory import MemoryStore

REPLAYED = 100_000
"""Events, or envelopes: more than any simulated node has."""


def read(store: MemoryStore, order: ReadHistory | ReadSearch | AnswerStatus) -> dict[str, Any]:
    """Return what the store answers to a command that it answers; raises Refused."""
    rest: dict[str, Any] = {}
    match order:
        case AnswerStatus():
            return {**order.fields, **store.stats()}
        case ReadHistory(_, _, room, before, after, limit):
            bodies, more = store.history(room, before, after, limit, order.skip)
            rest = {"count": store.message_count(room)} if order.count else rest
        case ReadSearch():
            bodies, more = store.search(order.text, order.room, order.before, order.limit)
        case _:
            assert_never(order)
    return {"messages": [msgspec.json.decode(body) for body in bodies], "more": more, **rest}


def answered(
    store: MemoryStore, order: ReadHistory | ReadSearch | AnswerStatus
) -> ReadAnswered | events.Ok | events.Error:
    """Return what comes of a reading: something for the engine if it has a nonce, else the answer."""
    try:
        fields = read(store, order)
    except Refused as fault:
        return events.error_of(fault, order.req)
    return (
        events.Ok(req=order.req, fields=fields)
        if order.nonced is None
        else ReadAnswered(order.nonced, fields)
    )


def replayed(store: MemoryStore, order: StartReplay) -> list[events.Event]:
    """Return what a replay shows: the newest messages that were asked for, or the log and `caught_up`."""
    logged = store.events_after(order.after_seq, REPLAYED)
    if order.newest is not None:
        until = order.until_seq or 0
        said = [body for seq, body in logged if seq <= until and b'"user_message"' in body]
        kept = [body for body in said if b'"deleted":true' not in body]
        return [events.decode_json(body) for body in kept[-order.newest :]]
    last = logged[-1][0] if logged else order.after_seq
    return [*(events.decode_json(body) for _, body in logged), events.CaughtUp(seq=last)]


def stand_in(
    engine: Engine, failed: Sequence[Input], setup: Setup, store: MemoryStore, now: Instant
) -> tuple[Engine, list[Input]]:
    """Return what takes an engine's place when its store is full, or has room again, and what to ask it."""
    sessions, again = outage.carried_over(engine.desk, failed)
    return Engine(replace(setup, sessions=sessions, read_only=store.full), store.load(), now), again


def committed(store: MemoryStore, order: Persist | Hold, engine: Engine | None) -> list[Effect]:
    """Write what is to be written; return what the engine does about what went for it."""
    gone = store.commit(order.writes if isinstance(order, Persist) else (order.write,))
    return engine.let_go(gone) if gone and engine is not None else []


def held(store: MemoryStore, order: ReadHeld) -> HeldRead:
    """Return what the store answers to the mesh."""
    if isinstance(order.spec, ByIds):
        return HeldRead(order.ticket, tuple(store.envelopes_by_id(order.spec.ids16, order.spec.max_bytes)))
    spec = order.spec
    found, more = store.envelopes_by_time(spec.t0_ms, spec.t1_ms, spec.after, spec.max_bytes)
    return HeldRead(order.ticket, tuple(found), more)


def backup_of(me: Me, store: MemoryStore, now: Instant) -> list[bytes]:
    """Return the records of a backup of what was committed, in their order."""
    loaded = store.load()
    stored = [(table, *row) for table, rows in loaded.rows.items() for row in rows.items()]
    rows = [row for row in (backup.kept(*one) for one in stored) if row is not None]
    messages = [backup.message_of(one.seq, one.body) for one in store.messages()]
    head = backup.Head(now.wall_ms, "simulated", me.account, me.profile.username, False, loaded.last_seq)
    owner = backup.Owner(me.identity.account_seed)
    records: list[backup.Record] = [head, owner, *rows, *messages, backup.End(len(rows), len(messages))]
    return [backup.encode(record) for record in records]


def backup_facts(engine: Engine | None, store: MemoryStore, records: Sequence[bytes]) -> dict[str, Any]:
    """Return what is told of a backup that was written."""
    assert engine is not None
    people, rooms = engine.state.people.contacts(), engine.state.rooms.rooms()
    held = {"rooms": len(rooms), "contacts": len(people), "messages": len(store.messages())}
    return {"path": "simulated", "size": sum(map(len, records)), **held}


def fetched(store: MemoryStore, order: FindMessages | FetchMessages | FetchAfter) -> Input:
    """Return what the store answers to a question about messages."""
    match order:
        case FindMessages(room, mids):
            return MessagesFound(room, tuple(mid for mid in mids if store.message(room, mid) is not None))
        case FetchMessages(room, mids, to_change):
            bodies = tuple((mid, store.message(room, mid)) for mid in mids)
            return MessagesFetched(room, bodies, to_change)
        case FetchAfter(room, mid, limit):
            body, page, more = store.message(room, mid), list[bytes](), False
            if body is not None:
                page, more = store.history(room, None, mid, limit)
            return AfterFetched(room, mid, body, tuple(page), more)
        case _:
            assert_never(order)

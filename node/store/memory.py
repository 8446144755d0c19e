"""The store without a disk: what the simulator and pure tests give a node to remember by.

It answers exactly as `node.store.sqlite` does, at once; one test runs the same sentences against both. A
crash is `restore(snapshot())`: commits are whole, so what a node had committed is what it wakes up with.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import islice
from typing import assert_never

from msgspec import structs

from node.chat.finding import Needle, page
from node.errors import Refused, StoreFull
from node.store.records import (
    KEEP_EVENTS,
    KEEP_EVENTS_MS,
    AppendEvent,
    Claim,
    Claimed,
    Delete,
    DropEnvelopes,
    DropMessage,
    ForgetGone,
    Gone,
    Held,
    LetGo,
    Loaded,
    Portion,
    Put,
    PutEnvelope,
    PutMessage,
    RewriteMessage,
    Shelf,
    Write,
    portions,
    retold,
    shown,
)
from node.tables import ALL

MessageKey = tuple[bytes, bytes]


@dataclass(slots=True)
class _State:
    rows: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    events: dict[int, AppendEvent] = field(default_factory=dict)
    messages: dict[MessageKey, PutMessage] = field(default_factory=dict)
    order: dict[bytes, list[tuple[int, bytes]]] = field(default_factory=dict)
    held: dict[bytes, PutEnvelope] = field(default_factory=dict)
    """By the first 16 bytes of the id, which is what peers ask by."""
    held_order: list[tuple[int, bytes]] = field(default_factory=list)
    held_by_rk: dict[bytes, list[tuple[int, bytes]]] = field(default_factory=dict)
    last_seq: int = 0
    first_seq: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a memory store held at one moment; opaque."""

    state: _State = field(repr=False)
    log_epoch: str


class MemoryStore:
    """The store of one simulated home."""

    def __init__(self, log_epoch: str = "00000000-0000-4000-8000-000000000000") -> None:
        self.log_epoch = log_epoch
        self.full = self.expiring = False
        self._state = _State()

    @property
    def first_seq(self) -> int:
        """The oldest event still in the log."""
        return self._state.first_seq

    @property
    def last_seq(self) -> int:
        """The newest event of the log, 0 if there never was one."""
        return self._state.last_seq

    def snapshot(self) -> Snapshot:
        """Return everything committed so far; records are shared, being immutable."""
        return Snapshot(_copied(self._state), self.log_epoch)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot was; it can be restored again."""
        self._state, self.log_epoch = _copied(snapshot.state), snapshot.log_epoch

    def messages(self) -> list[PutMessage]:
        """Return every message, in the order of the log."""
        return sorted(self._state.messages.values(), key=lambda message: message.seq)

    def load(self) -> Loaded:
        """Read back everything a start needs."""
        tables: dict[str, dict[bytes, bytes]] = {table: {} for table in sorted(ALL)}
        for (table, key), value in self._state.rows.items():
            tables.setdefault(table, {})[key] = value
        held: list[Held] = [(e.eid, e.ts_ms, e.expires_ms) for e in self._held_after(None)]
        portions = _portions(self._state.held.values())
        return Loaded(tables, self.last_seq, self.log_epoch, self.first_seq, held, portions)

    def commit(self, writes: Sequence[Write]) -> Gone:
        """Write all records, at once and whole; returns what went.

        Raises:
            StoreFull: While it is `full`; nothing has changed.
        """
        if self.full:
            raise StoreFull("this store was told to be full")
        there: list[PutEnvelope] = []
        for write in writes:
            if isinstance(write, PutEnvelope) and write.eid[:16] in self._state.held:
                there.append(write)
            self._apply(write)
        orders = [write for write in writes if isinstance(write, LetGo | ForgetGone)]
        claims = [write for write in writes if isinstance(write, Claim)]
        moved = [one for claim in claims for one in self._claim(claim)]
        went = _portions([*there, *(envelope for envelope, _ in moved)])
        gone = self._clear(orders) if orders else Gone()
        claimed = tuple(came for _, came in moved)
        return replace(gone, portions=(*gone.portions, *went), claimed=claimed) if went else gone

    def _claim(self, claim: Claim) -> Iterator[tuple[PutEnvelope, Claimed]]:
        for day, key, source in claim.keys:
            for _, eid in self._state.held_by_rk.get(key, []):
                envelope = self._state.held[eid[:16]]
                if envelope.shelf in {Shelf.KNOWN, Shelf.OTHER}:
                    ours = structs.replace(envelope, shelf=Shelf.OWN, source=source)
                    self._state.held[eid[:16]] = ours
                    yield envelope, (claim, day, source, 1, len(envelope.raw))

    def _apply(self, write: Write) -> None:
        match write:
            case Put(table, key, value):
                self._state.rows[(table, key)] = value
            case Delete(table, key):
                self._state.rows.pop((table, key), None)
            case PutEnvelope():
                self._hold(write)
            case DropEnvelopes(eids):
                for eid in eids:
                    self._drop(eid)
            case LetGo() | ForgetGone() | Claim():
                pass  # when all else is written
            case AppendEvent():
                assert write.seq > self._state.last_seq, "the log only grows"
                self._state.events[write.seq] = write
                self._state.last_seq = write.seq
            case PutMessage():
                self._put_message(write)
            case RewriteMessage(room, mid, body):
                known = self._state.messages.get((room, mid))
                if known is not None:
                    self._state.messages[(room, mid)] = structs.replace(known, body=body)
            case DropMessage(room, mid):
                old = self._state.messages.pop((room, mid), None)
                if old is not None:
                    self._state.order[room].remove((old.seq, mid))
            case _:
                assert_never(write)

    def _hold(self, envelope: PutEnvelope) -> None:
        if envelope.eid[:16] not in self._state.held:
            self._state.held[envelope.eid[:16]] = envelope
            entry = (envelope.ts_ms, envelope.eid)
            insort(self._state.held_order, entry)
            insort(self._state.held_by_rk.setdefault(envelope.rk, []), entry)

    def _clear(self, orders: Sequence[LetGo | ForgetGone]) -> Gone:
        freed = [self._let_go(order) for order in orders if isinstance(order, LetGo)]
        count = sum(order.count for order in orders if isinstance(order, ForgetGone))
        gone = [e for e in self._held_after(None) if e.shelf == Shelf.GONE][:count] if count else []
        for envelope in gone:
            self._drop(envelope.eid)
        kept = sum(portion[2] for portion in freed)
        return Gone(tuple(orders), (*freed, *_portions(gone)), kept, tuple(e.eid for e in gone))

    def _let_go(self, order: LetGo) -> Portion:
        ours = [e for e in self._held_after(None) if (e.shelf, e.source) == (order.shelf, order.source)]
        count = freed = 0
        for envelope in ours:
            if freed >= order.nbytes:
                break
            count, freed = count + 1, freed + len(envelope.raw)
            self._drop(envelope.eid)
            self._hold(structs.replace(envelope, rk=b"", raw=b"", shelf=Shelf.GONE, source=0))
        return order.shelf, order.source, count, freed

    def _drop(self, eid: bytes) -> None:
        envelope = self._state.held.pop(eid[:16], None)
        if envelope is not None:
            for order in (self._state.held_order, self._state.held_by_rk[envelope.rk]):
                del order[bisect_left(order, (envelope.ts_ms, eid))]

    def _held_after(self, after: tuple[int, bytes] | None) -> Iterator[PutEnvelope]:
        order = self._state.held_order
        for at in range(0 if after is None else bisect_right(order, after), len(order)):
            yield self._state.held[order[at][1][:16]]

    def _put_message(self, message: PutMessage) -> None:
        order = self._state.order.setdefault(message.room, [])
        old = self._state.messages.get((message.room, message.mid))
        if old is not None and not message.edit:
            return
        self._state.messages[(message.room, message.mid)] = message
        if old is not None and old.seq == message.seq:
            return
        if old is not None:
            order.remove((old.seq, old.mid))
        order.insert(bisect_right(order, message.seq, key=lambda entry: entry[0]), (message.seq, message.mid))

    def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` logged events after `seq` as (seq, JSON), in order."""
        numbers = range(max(seq + 1, self.first_seq), self.last_seq + 1)
        page = [n for n in numbers[: limit * 2] if n in self._state.events][:limit]
        return [(n, self._body(self._state.events[n])) for n in page]

    def _body(self, event: AppendEvent) -> bytes:
        if event.message is None:
            assert event.body is not None
            return event.body
        said = self._state.messages[event.message].body
        return shown(said) if event.body is None else retold(event.body, said)

    def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        """Return one page of a room's messages, oldest first, and whether there is more beyond it."""
        order = self._state.order.get(room, [])
        low = 0 if after is None else self._position(room, after, "after") + 1
        high = len(order) if before is None else self._position(room, before, "before")
        within = order[low + skip : high] if after is not None else order[low : max(low, high - skip)]
        page = within[:limit] if after is not None else within[max(0, len(within) - limit) :]
        bodies = [shown(self._state.messages[(room, mid)].body) for _, mid in page]
        return bodies, len(within) > limit

    def message_count(self, room: bytes) -> int:
        """Return how many messages of a room are stored."""
        return len(self._state.order.get(room, []))

    def _position(self, room: bytes, mid: bytes, side: str) -> int:
        found = self._state.messages.get((room, mid))
        if found is None:
            raise Refused("message_not_found", "this room has no such message", field=side)
        return self._state.order[room].index((found.seq, mid))

    def search(
        self, text: str, room: bytes | None, before: tuple[bytes, Sequence[bytes]] | None, limit: int
    ) -> tuple[list[bytes], bool]:
        """Return the newest messages that hold a text, the newest first, and whether there are more."""
        needle = Needle.of(text)
        rooms = [(key, order) for key, order in self._state.order.items() if room in {None, key}]
        placed = sorted((seq, n, key, mid) for key, order in rooms for n, (seq, mid) in enumerate(order))
        names = [(key, mid) for _, _, key, mid in placed]
        if before is not None:
            start = [name for name in names if name[1] == before[0] and name[0] in before[1]]
            if not start:
                raise Refused("message_not_found", "there is no such message", field="before")
            names = names[: names.index(start[0])]
        bodies = [shown(self._state.messages[name].body) for name in reversed(names)]
        found = [body for body in bodies if needle.found(body)]
        return page(found, limit)

    def message(self, room: bytes, mid: bytes) -> bytes | None:
        """Return the body of one message, or None."""
        found = self._state.messages.get((room, mid))
        return None if found is None else found.body

    def envelopes_by_rk(
        self, rks: Sequence[bytes], limit: int, after: tuple[int, bytes] | None = None
    ) -> list[bytes]:
        """Return the oldest `limit` held envelopes of these routing keys by (ts_ms, eid), after `after`."""
        lists = [self._state.held_by_rk.get(rk, []) for rk in set(rks)]
        found = merge(*(order if after is None else order[bisect_right(order, after) :] for order in lists))
        return [self._state.held[eid[:16]].raw for _, eid in islice(found, limit)]

    def envelopes_by_id(self, prefixes: Sequence[bytes], max_bytes: int | None = None) -> list[bytes]:
        """Return the held envelopes whose ids begin with these 16 bytes; unknown ones are left out.

        Those after the one with which they are `max_bytes` or more are left out as well.
        """
        page: list[bytes] = []
        for prefix in prefixes:
            if max_bytes is not None and sum(map(len, page)) >= max_bytes:
                break
            one = self._state.held.get(prefix)
            if one is not None and one.raw:
                page.append(one.raw)
        return page

    def envelopes_by_time(
        self, start_ms: int, end_ms: int, after: tuple[int, bytes] | None, max_bytes: int
    ) -> tuple[list[bytes], bool]:
        """Return a page of the envelopes with start <= ts_ms < end by (ts_ms, eid), and if there is more."""
        page: list[bytes] = []
        used = 0
        low = (start_ms, b"") if after is None else max(after, (start_ms, b""))
        for envelope in self._held_after(low):
            if envelope.ts_ms >= end_ms:
                break
            if not envelope.raw:
                continue
            used += len(envelope.raw)
            if page and used > max_bytes:
                return page, True
            page.append(envelope.raw)
        return page, False

    def expire(self, now_ms: int) -> Gone:
        """Drop envelopes whose time is over and compact the event log; return what went."""
        gone = [e for e in self._state.held.values() if e.expires_ms <= now_ms]
        gone.sort(key=lambda e: (e.expires_ms, e.eid))
        for envelope in gone:
            self._drop(envelope.eid)
        self._compact(now_ms)
        return Gone(portions=_portions(gone), forgotten=tuple(e.eid for e in gone))

    def _compact(self, now_ms: int) -> None:
        log = self._state.events
        if not log:
            return
        old = now_ms - KEEP_EVENTS_MS
        young = next((seq for seq, event in log.items() if event.ts_ms >= old), self.last_seq)
        first = max(young, self.last_seq - KEEP_EVENTS + 1)
        for seq in [seq for seq in log if seq < first]:
            del log[seq]
        self._state.first_seq = next(iter(log))

    def stats(self) -> dict[str, int | None]:
        """Return `held_envelopes`, the oldest's `oldest_held_ms`, and `db_bytes` (of what they say)."""
        held = [e for e in self._state.held.values() if e.raw]
        used = sum(len(e.raw) for e in held) + sum(len(m.body) for m in self._state.messages.values())
        oldest = min((e.ts_ms for e in held), default=None)
        return {"held_envelopes": len(held), "oldest_held_ms": oldest, "db_bytes": used}


def _portions(held: Iterable[PutEnvelope]) -> tuple[Portion, ...]:
    return portions((e.shelf, e.source, len(e.raw)) for e in held)


def _copied(state: _State) -> _State:
    twin = copy(state)
    twin.rows, twin.events = dict(state.rows), dict(state.events)
    twin.messages, twin.held = dict(state.messages), dict(state.held)
    twin.held_order = list(state.held_order)
    twin.held_by_rk = {rk: list(order) for rk, order in state.held_by_rk.items()}
    twin.order = {room: list(order) for room, order in state.order.items()}
    return twin

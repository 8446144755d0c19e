"""The loop tells the engine what a commit took away, and writes what the engine makes of it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from node.clock import Instant
from node.engine.effects import Effect, Hold, Persist
from node.loop import EngineLoop
from node.store.records import ForgetGone, Gone, LetGo, Put, Shelf
from node.tables import Table


class Store:
    """Takes everything, and lets go of what it is told to."""

    first_seq, expiring = 1, False

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def at_once(self, writes: Any) -> bool:
        return True

    async def commit(self, writes: Any) -> Gone:
        self.kept += writes
        orders = tuple(one for one in writes if isinstance(one, LetGo | ForgetGone))
        return Gone(orders, tuple((one.shelf, one.source, 1, 5) for one in orders if isinstance(one, LetGo)))

    async def expire(self, _now_ms: int) -> Gone:
        return Gone(portions=((Shelf.OWN, 9, 1, 7),), forgotten=(b"e" * 32,))


def looped() -> tuple[EngineLoop, Store, list[Gone]]:
    store, told = Store(), list[Gone]()

    def let_go(gone: Gone) -> list[Effect]:
        told.append(gone)
        return [Hold(ForgetGone(3))] if len(told) == 1 else []

    loop = EngineLoop(store, lambda: Instant(time.monotonic(), 0))  # type: ignore[arg-type] # a stand-in
    parts = {"deadline": None, "let_go": let_go, "expires_at": lambda _now: 0, "state": SimpleNamespace()}
    loop._engine = SimpleNamespace(**parts)  # type: ignore[assignment]
    return loop, store, told


async def test_what_is_let_go_for_others_is_told_when_it_is_written() -> None:
    loop, store, told = looped()
    order = LetGo(Shelf.OTHER, 4, 1)
    await loop._carry_out([Hold(order)])
    assert (store.kept, told) == ([], [])
    await loop.settle()
    assert store.kept == [order]
    assert [gone.orders for gone in told] == [(order,)]
    await loop.settle()
    assert store.kept == [order, ForgetGone(3)], "and so is what follows from it"


async def test_what_is_let_go_of_ours_is_told_with_its_commit_and_what_expired_as_well() -> None:
    loop, store, told = looped()
    order = LetGo(Shelf.OWN, 4, 1)
    await loop._carry_out([Persist((Put(Table.SELF, b"k", b"v"), order))])
    assert [gone.orders for gone in told] == [(order,)]
    await loop._clean(Instant(time.monotonic() + 1, 0))
    assert told[1].forgotten == (b"e" * 32,)
    assert len(store.kept) == 2


async def test_an_engine_that_took_the_place_of_another_is_not_told_what_that_let_go() -> None:
    loop, store, told = looped()
    await loop._carry_out([Hold(LetGo(Shelf.OTHER, 4, 1))])
    commit = store.commit

    async def replaced_meanwhile(writes: Any) -> Gone:
        loop._held.drop()
        return await commit(writes)

    store.commit = replaced_meanwhile  # type: ignore[method-assign]
    await loop.settle()
    assert told == []


async def test_a_node_that_never_runs_for_a_whole_day_has_its_shred_round_an_hour_after_the_start() -> None:
    loop, _, _ = looped()
    rounds: list[bool] = []

    async def shred() -> bool:
        rounds.append(True)
        return True

    loop.shred, begun = shred, time.monotonic()
    for hours, expected in ((0.9, 0), (1.1, 1), (2.0, 1), (24.0, 1), (25.2, 2)):
        await loop._clean(Instant(begun + 3600 * hours, 0))
        assert len(rounds) == expected, hours

"""The totals when orders are written late and together, as the loop does: much has changed by then."""

from __future__ import annotations

from random import Random

import pytest

from node.engine import shelving
from node.engine.shelving import Order, Shelving
from node.store.memory import MemoryStore
from node.store.records import Gone, Shelf, plain_source
from node.wire.envelope import Envelope
from tests.engine.test_shelving import OWN, sealed

SEEDS = 200
STEPS = 160
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SLICE": 300, "MAX_OWN": 2_000, "MAX_GONE": 20, "FORGET_AT_ONCE": 5, "MAX_SOURCES": 6}
    for name, value in sizes.items():
        monkeypatch.setattr(shelving, name, value)


class Late:
    """A store, and orders that wait to be written."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.store, self.now = rng, MemoryStore(), 0.0
        self.shelving = Shelving(4_000, (), plain_source, now=0.0)
        self.waiting: list[Order] = []
        self.came: list[Envelope] = []

    def took(self, gone: Gone) -> None:
        self.waiting += self.shelving.gone(gone) if gone else []

    def flush(self) -> None:
        orders, self.waiting = self.waiting, []
        self.took(self.store.commit(orders))

    def fresh(self, days: int, rk: bytes) -> Envelope:
        ts_ms = self.rng.randrange(days) * DAY_MS + len(self.came)
        self.came.append(sealed(len(self.came), self.rng.randrange(20, 900), ts_ms, rk))
        return self.came[-1]

    def step(self) -> None:
        rng, numbers = self.rng, self.shelving
        kinds = ("hold", "keep", "twice", "expire", "claim", "day", "quota", "due", "flush")
        match rng.choices(kinds, (50, 15, 12, 7, 4, 4, 2, 2, 4))[0]:
            case "hold":
                who, known = bytes([rng.randrange(9)]), rng.random() < 0.4
                self.waiting += numbers.hold(self.fresh(50, b"k"), who, known=known, now=self.now)
            case "keep":
                self.took(self.store.commit(numbers.keep(self.fresh(3, b"ours"), OWN)))
            case "twice" if self.came and rng.random() < 0.5:
                self.took(self.store.commit(numbers.keep(rng.choice(self.came), OWN)))
            case "twice" if self.came:
                self.waiting += numbers.hold(rng.choice(self.came), b"z", known=False, now=self.now)
            case "expire":
                self.took(self.store.expire(rng.randrange(60) * DAY_MS))
            case "claim":
                self.waiting.append(numbers.claim(OWN, [(4, b"k".ljust(32, b"."))]))
            case "day":
                self.now += 86_400.0
            case "quota":
                numbers.quota, numbers.deadline = rng.choice((1_000, 4_000)), self.now
            case "due":
                self.waiting += numbers.due(now=self.now)
            case _:
                self.flush()

    def check(self) -> None:
        stored = dict.fromkeys(Shelf, (0, 0))
        for shelf, _, count, nbytes in self.store.load().portions:
            stored[Shelf(shelf)] = stored[Shelf(shelf)][0] + count, stored[Shelf(shelf)][1] + nbytes
        numbers = self.shelving
        for shelf in (Shelf.OWN, Shelf.KNOWN, Shelf.OTHER):
            assert (numbers.count(shelf), numbers.nbytes(shelf)) == stored[shelf]
            assert sum(one.nbytes for one in numbers._shelves[shelf].values()) == stored[shelf][1]
            assert numbers._going[shelf] == 0
        assert sum(one.staying for one in numbers._channels.values()) == stored[Shelf.OWN][1]
        assert numbers.ids == stored[Shelf.GONE][0]


@pytest.mark.parametrize("part", range(4))
def test_whatever_is_written_late_the_totals_are_those_of_the_store_when_all_is_written(part: int) -> None:
    for seed in range(part, SEEDS, 4):
        late = Late(Random(seed))
        for _ in range(STEPS):
            late.step()
        while late.waiting:
            late.flush()
        late.check()

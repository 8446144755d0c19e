"""What is held of what, and what goes first, whatever comes in whatever order, over the store in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b

import pytest
from hypothesis import given, settings, strategies as st

from node.engine import shelving
from node.engine.shelving import REST, Shelving
from node.store.memory import MemoryStore
from node.store.records import Gone, LetGo, Shelf, plain_source
from node.wire.envelope import KEPT, Envelope

QUOTA, DAY = 8_000, 86_400.0
OWN = (1, b"room", b"")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLICE": 300, "MAX_OWN": 2_000, "MAX_GONE": 20, "FORGET_AT_ONCE": 5}.items():
        monkeypatch.setattr(shelving, name, value)


def sealed(number: int, size: int, ts_ms: int = 0, rk: bytes = b"k") -> Envelope:
    raw = b"%d " % number + bytes(max(0, size - len(b"%d " % number)))
    eid = blake2b(raw, digest_size=32).digest()
    return Envelope(raw, KEPT, ts_ms, 35, rk.ljust(32, b"."), bytes(64), b"", eid)


class World:
    """A store and its numbers."""

    def __init__(self, quota: int = QUOTA) -> None:
        self.store, self.now, self.number = MemoryStore(), 0.0, 0
        self.shelving = Shelving(quota, (), plain_source, now=0.0)
        self.orders: list[object] = []

    def hold(self, who: bytes, size: int = 100, *, known: bool = False, ts_ms: int | None = None) -> Envelope:
        self.number += 1
        came = sealed(self.number, size, self.number if ts_ms is None else ts_ms)
        self.write(self.shelving.hold(came, who, known=known, now=self.now))
        return came

    def keep(self, size: int = 100, day: int = 0, channel: tuple[int, bytes, bytes] = OWN) -> Envelope:
        self.number += 1
        came = sealed(self.number, size, day * 86_400_000 + self.number, channel[1] + b"%d" % day)
        self.write(self.shelving.keep(came, channel))
        return came

    def write(self, orders: list[shelving.Order]) -> None:
        while orders:
            self.orders += orders
            orders = self.took(self.store.commit(orders))

    def took(self, gone: Gone) -> list[shelving.Order]:
        return self.shelving.gone(gone) if gone else []

    def expire(self, ts_ms: int) -> None:
        self.write(self.took(self.store.expire(ts_ms)))

    def share(self, who: bytes, shelf: Shelf = Shelf.OTHER) -> int:
        found = {(p[0], p[1]): p[3] for p in self.store.load().portions}
        return found.get((shelf, plain_source(who)), 0)

    def has(self, came: Envelope) -> bool:
        return bool(self.store.envelopes_by_id([came.eid[:16]]))

    def days(self, count: int) -> Iterator[int]:
        for day in range(count):
            self.now = day * DAY
            yield day

    def check(self) -> None:
        """The totals are the sum of what is held, and what is for others within the quota."""
        loaded = self.store.load()
        held: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for shelf, _, count, nbytes in loaded.portions:
            held[shelf] = held[shelf][0] + count, held[shelf][1] + nbytes
        numbers = self.shelving
        for shelf in (Shelf.OWN, Shelf.KNOWN, Shelf.OTHER):
            assert (numbers.count(shelf), numbers.nbytes(shelf)) == held[shelf], shelf
        assert numbers.ids == held[Shelf.GONE][0] <= shelving.MAX_GONE
        assert held[Shelf.KNOWN][1] + held[Shelf.OTHER][1] <= numbers.quota


def test_the_largest_portion_of_other_loses_its_oldest_before_known_loses_anything() -> None:
    world = World()
    known = []
    for _ in world.days(4):
        known += [world.hold(b"friend", known=True) for _ in range(10)]
    first = [world.hold(b"quiet") for _ in range(5)]
    loud = []
    for _ in world.days(4):
        loud += [world.hold(b"loud") for _ in range(10)]
        world.check()
    assert all(map(world.has, known + first))
    assert not any(world.has(one) for one in loud[:5])
    assert all(map(world.has, loud[-10:]))
    assert world.share(b"loud") <= QUOTA - 4_500


def test_when_other_is_empty_known_loses_from_its_largest_portion() -> None:
    world = World()
    for _ in world.days(9):
        for name in (b"one", b"two"):
            for _ in range(9):
                world.hold(name, known=True)
                world.check()
    assert world.share(b"one", Shelf.KNOWN) + world.share(b"two", Shelf.KNOWN) > QUOTA - 1_000
    assert abs(world.share(b"one", Shelf.KNOWN) - world.share(b"two", Shelf.KNOWN)) <= 400


def test_no_node_fills_more_than_an_eighth_of_the_quota_a_day_and_what_is_over_leaves_its_id() -> None:
    world = World()
    came = [world.hold(b"flood") for _ in range(25)]
    assert [world.has(one) for one in came] == [True] * 10 + [False] * 15
    assert world.share(b"flood") == QUOTA // 8
    assert {one.eid for one in came} == {eid for eid, _, _ in world.store.load().envelopes}
    assert world.shelving.ids == 15
    assert world.has(world.hold(b"another"))
    world.now = DAY
    assert world.has(world.hold(b"flood"))
    world.check()


def test_our_own_channels_are_outside_the_quota_and_a_channel_that_is_too_large_loses_its_oldest_days() -> (
    None
):
    world = World()
    other = [world.hold(b"%d" % n) for n in range(50)]
    quiet = world.keep(channel=(1, b"quiet room", b""))
    mine = [world.keep(day=day) for day in (3, 1, 2, 0) for _ in range(8)]
    world.check()
    assert all(map(world.has, [*other, quiet]))
    assert world.shelving.nbytes(Shelf.OWN) <= shelving.MAX_OWN + 100
    assert all(map(world.has, mine[:8])), "the youngest day goes last"
    assert sum(map(world.has, mine[-8:])) <= 2, "a slice is let go at a time"


def test_a_channel_is_counted_on_after_a_start() -> None:
    world = World()
    mine = [world.keep(day=day) for day in (0, 1) for _ in range(9)]
    again = World()
    again.store, again.number = world.store, world.number
    again.shelving = Shelving(QUOTA, world.store.load().portions, plain_source, now=0.0)
    keys = [(day, (b"room%d" % day).ljust(32, b".")) for day in (0, 1)]
    again.shelving.assign([(OWN, keys)])
    again.check()
    for _ in range(5):
        again.keep(day=1)
    again.check()
    assert again.shelving.nbytes(Shelf.OWN) <= shelving.MAX_OWN
    assert not again.has(mine[0])
    assert all(map(again.has, mine[9:]))


def test_a_lowered_quota_is_reached_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelving, "MOST_AT_ONCE", 1_000)
    world = World(quota=80_000)
    for n in range(60):
        world.hold(b"%d" % n)
    world.shelving = Shelving(2_000, world.store.load().portions, plain_source, now=5.0)
    steps = 0
    while world.shelving.deadline is not None:
        world.write(world.shelving.due(now=world.shelving.deadline))
        steps += 1
    world.check()
    assert steps == 4
    assert Shelving(2_000, world.store.load().portions, plain_source, now=5.0).deadline is None


def test_ids_are_bounded_and_the_oldest_are_forgotten() -> None:
    world = World()
    came = [world.hold(b"flood") for _ in range(60)]
    world.check()
    kept = {eid for eid, _, _ in world.store.load().envelopes}
    assert came[0].eid in kept, "what is held is not forgotten"
    assert [one.eid in kept for one in came[-15:]] == [True] * 15
    assert came[12].eid not in kept


def test_more_nodes_than_are_told_apart_share_one_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelving, "MAX_SOURCES", 8)
    world = World()
    for n in range(30):
        world.hold(b"sybil %d" % n)
    world.check()
    shares = {p[1]: p[3] for p in world.store.load().portions if p[0] == Shelf.OTHER}
    assert len(shares) == 9
    assert shares[REST] == QUOTA // 8, "they have one node's part of the day"
    world.expire(10**12)
    world.now = DAY
    world.hold(b"newcomer")
    assert world.share(b"newcomer") == 100, "an empty portion makes room"


def test_only_the_last_step_is_reported_when_it_is_asked_for_more_than_there_is() -> None:
    world = World()
    world.hold(b"one")
    gone = world.store.commit([LetGo(Shelf.OTHER, plain_source(b"one"), 10**6)])
    assert (gone.kept, gone.portions[0][2:]) == (1, (1, 100))


def test_what_is_held_twice_is_counted_once_and_takes_nothing_from_the_rest() -> None:
    """An id that the mesh forgot too early, for a clock's sake, comes again and is in the store still."""
    world = World()
    mine = [world.keep(day=n % 3) for n in range(19)]
    theirs = [world.hold(b"%d" % n) for n in range(70)]
    for _ in range(5):
        for one in mine:
            world.write(world.shelving.keep(one, OWN))
        for n, one in enumerate(theirs):
            world.write(world.shelving.hold(one, b"%d" % (n + 1), known=True, now=0.0))
            world.check()
    assert all(map(world.has, [*mine, *theirs]))


def test_a_channel_that_becomes_ours_is_outside_the_quota_with_what_was_held_of_it() -> None:
    world = World()
    first = [world.hold(b"a") for _ in range(8)]
    world.write([world.shelving.claim(OWN, [(0, b"k".ljust(32, b"."))])])
    world.check()
    assert (world.shelving.count(Shelf.OWN), world.shelving.count(Shelf.OTHER)) == (8, 0)
    for _ in world.days(9):
        for who in (b"a", b"b", b"c"):
            for _ in range(10):
                world.hold(who)
        world.check()
    assert all(map(world.has, first))
    assert world.shelving.nbytes(Shelf.OTHER) > QUOTA - 1_000
    for _ in range(14):
        world.keep(day=5)
        world.check()
    assert sum(map(world.has, first)) < 8, "it counts to what its room may have"


@pytest.mark.mesh_attack("N08")
def test_what_is_claimed_has_no_more_place_than_what_came_as_ours() -> None:
    world = World(quota=80_000)
    for _ in range(60):
        world.hold(b"hoarder")
    world.write([world.shelving.claim(OWN, [(0, b"k".ljust(32, b"."))])])
    world.check()
    assert 1_500 < world.shelving.nbytes(Shelf.OWN) <= shelving.MAX_OWN


@pytest.mark.mesh_attack("N08")
def test_a_member_who_makes_one_epoch_after_the_other_has_one_rooms_place() -> None:
    world = World()
    for epoch in range(6):
        for _ in range(10):
            world.keep(channel=(1, b"room", b"epoch %d" % epoch), day=epoch)
        world.check()
    assert world.shelving.nbytes(Shelf.OWN) <= shelving.MAX_OWN


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("hold"),
            st.sampled_from([b"a", b"b", b"c", b"d"]),
            st.integers(20, 900),
            st.booleans(),
            st.integers(0, 50),
        ),
        st.tuples(st.just("keep"), st.integers(20, 900), st.integers(0, 3)),
        st.tuples(st.just("expire"), st.integers(0, 60)),
        st.tuples(st.just("twice"), st.integers(0, 80)),
        st.tuples(st.just("claim")),
        st.tuples(st.just("day")),
        st.tuples(st.just("restart")),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_comes_the_totals_hold_and_what_goes_is_what_should(steps: list[tuple[object, ...]]) -> None:
    world = World(quota=4_000)
    filled: dict[tuple[bytes, bool], int] = defaultdict(int)
    came_before: list[Envelope] = []
    for name, *args in steps:
        before, done = world.store.load().portions, len(world.orders)
        match name, args:
            case "hold", [bytes() as who, int() as size, bool() as known, int() as ts]:
                came = world.hold(who, size, known=known, ts_ms=ts * 86_400_000)
                came_before.append(came)
                put = world.orders[done]
                if put.shelf != Shelf.GONE:  # type: ignore[attr-defined]
                    filled[who, known] += len(came.raw)
            case "keep", [int() as size, int() as day]:
                world.keep(size, day)
            case "expire", [int() as day]:
                world.expire(day * 86_400_000)
            case "twice", [int() as which] if came_before:
                world.write(world.shelving.keep(came_before[which % len(came_before)], OWN))
            case "twice", _:
                pass
            case "claim", []:
                world.write([world.shelving.claim(OWN, [(4, b"k".ljust(32, b"."))])])
            case "day", []:
                world.now += DAY
                filled.clear()
            case _:
                world.shelving = Shelving(4_000, before, plain_source, now=world.now)
                keys = [(day, (b"room%d" % day).ljust(32, b".")) for day in range(4)]
                keys.append((4, b"k".ljust(32, b".")))
                world.shelving.assign([(OWN, keys)])
                filled.clear()
        world.check()
        assert all(size <= 500 for size in filled.values()), "more than an eighth a day"
        gone = [order for order in world.orders[done:] if isinstance(order, LetGo)]
        if any(order.shelf == Shelf.KNOWN for order in gone):
            assert not world.shelving.nbytes(Shelf.OTHER), "known went before other"

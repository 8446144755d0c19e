"""Comparing two sets by ranges: whatever they are and however they are cut, what differs is found."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings, strategies as st

from node.errors import DecodeError
from node.mesh.days import Entry
from node.mesh.index import Index, Items
from node.mesh.ranges import MAX_MESSAGE, Found, answer, begin, go_on
from node.wire.negentropy import END, Range, count_ranges, read, write
from tests.independent.reconciling import Side

DAY = 20_000
START = DAY * 86_400_000
END_MS = START + 86_400_000
ROUNDS = 4_000


def items(entries: list[Entry]) -> Items:
    return Index((eid, ts, 1 << 60) for ts, eid in entries).items(DAY, START, END_MS)


def side(entries: list[Entry], *, limit: int = 0, ours: bool = True) -> Side:
    return Side([(ts, eid.hex()) for ts, eid in entries], limit=limit, ours=ours)


def compared(ours: list[Entry], theirs: list[Entry], *, limit: int = MAX_MESSAGE) -> tuple[Found, list[int]]:
    """Both sides ours; return what the opener found, and the sizes of all messages."""
    found, sizes = Found(), list[int]()
    message: bytes | None = begin(items(ours), limit=limit)
    while message is not None:
        said = answer(items(theirs), message, limit=limit)
        sizes += [len(message), len(said)]
        message = go_on(items(ours), said, found, limit=limit)
        assert len(sizes) < ROUNDS
    return found, sizes


def settled(found: Found, ours: list[Entry], theirs: list[Entry]) -> bool:
    wanted = {eid for _, eid in theirs} - {eid for _, eid in ours}
    return set(found.need) == wanted and set(found.have) == set(ours) - set(theirs)


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[list[Entry], list[Entry]]:
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    size = draw(st.sampled_from([0, 1, 5, 31, 32, 33, 100, 600, 1_500]))
    spread = draw(st.sampled_from([1, 3, 1_000, 86_400_000]))
    crowd = draw(st.sampled_from([0, 31]))  # ids that begin alike
    every = [(START + rng.randrange(spread), bytes(crowd) + rng.randbytes(32 - crowd)) for _ in range(size)]
    every = list({eid[:16] + eid[-16:]: (ts, eid) for ts, eid in every}.values()) if not crowd else every[:1]
    keep_a, keep_b = draw(st.sampled_from([0.0, 0.5, 0.99, 1.0])), draw(st.sampled_from([0.0, 0.9, 1.0]))
    return [e for e in every if rng.random() < keep_a], [e for e in every if rng.random() < keep_b]


LIMITS = st.sampled_from([4_096, 5_000, 20_000, MAX_MESSAGE])


@settings(max_examples=100, deadline=None)
@given(two_sets(), LIMITS)
def test_any_two_sets_are_reconciled_whatever_the_limit(
    sets: tuple[list[Entry], list[Entry]], limit: int
) -> None:
    found, sizes = compared(*sets, limit=limit)
    assert settled(found, *sets) and max(sizes) <= limit


@settings(max_examples=60, deadline=None)
@given(two_sets(), LIMITS, st.booleans(), st.booleans())
def test_we_open_and_another_implementation_answers(
    sets: tuple[list[Entry], list[Entry]], limit: int, limited: bool, ours_cut: bool
) -> None:
    ours, theirs = sets
    other, found = side(theirs, limit=limit if limited else 0, ours=ours_cut), Found()
    message: bytes | None = begin(items(ours), limit=limit)
    for _ in range(ROUNDS):
        if message is None:
            break
        said = other.hear(message.hex())
        assert said is not None
        message = go_on(items(ours), bytes.fromhex(said), found, limit=limit)
    assert message is None and settled(found, ours, theirs)


@settings(max_examples=60, deadline=None)
@given(two_sets(), LIMITS, st.booleans(), st.booleans())
def test_another_implementation_opens_and_we_answer(
    sets: tuple[list[Entry], list[Entry]], limit: int, limited: bool, ours_cut: bool
) -> None:
    theirs, ours = sets
    other = side(theirs, limit=limit if limited else 0, ours=ours_cut)
    said: str | None = other.open()
    for _ in range(ROUNDS):
        if said is None:
            break
        said = other.hear(answer(items(ours), bytes.fromhex(said), limit=limit).hex())
    assert said is None
    assert other.need == {eid.hex() for _, eid in ours} - {eid.hex() for _, eid in theirs}
    assert other.have == {eid.hex() for _, eid in theirs} - {eid.hex() for _, eid in ours}


def test_a_hundred_of_a_hundred_thousand_are_found_by_four_messages_of_112_kb() -> None:
    rng = random.Random(5)
    every = [(START + rng.randrange(86_400_000), rng.randbytes(32)) for _ in range(100_000)]
    lacking = set(rng.sample(range(len(every)), 100))
    ours, theirs = items(every), items([entry for at, entry in enumerate(every) if at not in lacking])
    found, sizes = Found(), list[int]()
    message: bytes | None = begin(ours)
    while message is not None:
        said = answer(theirs, message)
        sizes += [len(message), len(said)]
        message = go_on(ours, said, found)
    assert len(found.have) == 100 and not found.need
    assert len(sizes) == 4 and sum(sizes) < 112_000


@pytest.mark.parametrize("limit", [4_096, MAX_MESSAGE])
def test_only_what_comes_before_the_end_is_compared(limit: int) -> None:
    rng = random.Random(6)
    ours = [(START + at * 1_000, rng.randbytes(32)) for at in range(600)]
    theirs = [(START + at * 1_000 + 5, rng.randbytes(32)) for at in range(600)]
    end = (START + 300_000, b"")
    found, message = Found(), begin(items(ours), end, limit=limit)
    while message:
        message = go_on(items(ours), answer(items(theirs), message, limit=limit), found, limit=limit) or b""
    assert set(found.have) == set(ours[:300])
    assert set(found.need) == {eid for _, eid in theirs[:300]}


def test_equal_sets_say_nothing_back() -> None:
    rng = random.Random(7)
    every = [(START + rng.randrange(1_000), rng.randbytes(32)) for _ in range(1_000)]
    assert compared(every, every)[1] == [len(begin(items(every))), 1]


def test_ranges_beyond_the_day_mean_the_day() -> None:
    rng = random.Random(8)
    every = [(START + rng.randrange(1_000), rng.randbytes(32)) for _ in range(40)]
    said = answer(items(every), write([Range((5, b"")), Range((1 << 63, b"z"), ids=()), Range(END, ids=())]))
    told = [entry.ids for entry in read(said)]
    assert told == [None, tuple(eid for _, eid in sorted(every)), ()]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_what_is_not_a_message_changes_nothing(junk: bytes) -> None:
    found = Found({b"n": None}, {(1, b"h"): None})
    try:
        read(junk)
    except DecodeError:
        with pytest.raises(DecodeError):
            go_on(items([]), junk, found)
        with pytest.raises(DecodeError):
            answer(items([]), junk)
        assert found == Found({b"n": None}, {(1, b"h"): None})


RANGE = st.one_of(
    st.builds(Range, st.tuples(st.integers(0, 1 << 50), st.binary(max_size=32))),
    st.builds(Range, st.tuples(st.integers(0, 1 << 50), st.binary()), st.binary(min_size=16, max_size=16)),
    st.builds(
        lambda bound, ids: Range(bound, ids=tuple(ids)),
        st.tuples(st.integers(0, 1 << 50), st.binary(max_size=32)),
        st.lists(st.binary(min_size=32, max_size=32), max_size=200),
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(RANGE, max_size=12), st.binary(max_size=3))
def test_ranges_are_counted_without_reading_them(said: list[Range], junk: bytes) -> None:
    said = [one for one in said if len(one.bound[1]) <= 32]
    message = write(sorted(said, key=lambda one: one.bound))
    assert count_ranges(message) == len(read(message)) == len(said)
    assert count_ranges(message + junk) >= len(said)
    for cut in range(0, len(message), 7):
        count_ranges(message[:cut])


def test_a_count_without_end_is_counted_in_no_time() -> None:
    message = b"\x61\x05\x00\x02" + b"\xff" * 61_000
    began = time.process_time()
    assert count_ranges(message) <= 1
    assert time.process_time() - began < 2.0, "it would be hours"

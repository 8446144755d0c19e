"""The index of accepted ids: fingerprints that depend on the set alone."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest
from hypothesis import given, settings, strategies as st

from node.clock import DAY_MS
from node.mesh.index import Index, fingerprint

DAY = 20_000
START, END = DAY * DAY_MS, (DAY + 1) * DAY_MS
FOREVER = END * 2


def filled(entries: list[tuple[int, bytes]]) -> Index:
    return Index((eid, START + at, FOREVER) for at, eid in entries)


ENTRIES = st.lists(st.tuples(st.integers(0, 50), st.binary(min_size=32, max_size=32)), max_size=40)


def test_a_fingerprint_is_that_of_negentropy_v1() -> None:
    assert fingerprint(0, 0) == sha256(bytes(32) + b"\0").digest()[:16]
    ids = [bytes([n]) * 32 for n in range(200)]
    total = sum(int.from_bytes(eid, "little") for eid in ids)
    wrapped = (total % (1 << 256)).to_bytes(32, "little")
    assert fingerprint(total, 200) == sha256(wrapped + b"\x81\x48").digest()[:16]


@settings(max_examples=200)
@given(ENTRIES, st.randoms(use_true_random=False), st.integers(0, 51), st.integers(0, 51))
def test_a_summary_depends_on_the_set_alone(
    entries: list[tuple[int, bytes]], rng: random.Random, low: int, high: int
) -> None:
    entries = list({eid[:16]: (at, eid) for at, eid in entries}.values())
    index = filled(entries)
    shuffled = list(entries)
    rng.shuffle(shuffled)
    assert filled(shuffled).summary(DAY, START, END) == index.summary(DAY, START, END)
    inside = [eid for at, eid in entries if low <= at < high]
    wanted = fingerprint(sum(int.from_bytes(eid, "little") for eid in inside), len(inside))
    assert index.summary(DAY, START + low, START + high) == (len(inside), wanted)


def test_parts_of_a_large_day_add_up_after_insertions_and_removals() -> None:
    rng = random.Random(1)
    index = Index([])
    held: dict[bytes, int] = {}
    for _ in range(3_000):
        eid, at = rng.randbytes(32), rng.randrange(5_000)
        index.add(eid, START + at, FOREVER)
        held[eid] = at
        if rng.random() < 0.3:
            gone = rng.choice(list(held)[-50:])
            index.discard(gone)
            del held[gone]
        if rng.random() < 0.05:
            low, high = sorted(rng.randrange(5_000) for _ in range(2))
            inside = [int.from_bytes(eid, "little") for eid, at in held.items() if low <= at < high]
            found = index.summary(DAY, START + low, START + high)
            assert found == (len(inside), fingerprint(sum(inside), len(inside)))
    assert len(index) == len(held)


def test_a_prefix_of_a_day_is_recognised() -> None:
    rng = random.Random(2)
    entries = [(at, rng.randbytes(32)) for at in range(600)]
    index, older = filled(entries), filled(entries[:400])
    assert index.starts_with(DAY, START, *older.summary(DAY, START, END))
    assert not older.starts_with(DAY, START, *index.summary(DAY, START, END))
    assert not index.starts_with(DAY, START, *filled(entries[1:400]).summary(DAY, START, END))
    assert index.newest_ms(DAY, END) == START + 599
    assert index.newest_ms(DAY, START) is None


def test_a_run_of_a_day_shows_its_ids_in_order_and_nothing_beside_it() -> None:
    rng = random.Random(3)
    entries = sorted((rng.randrange(20), rng.randbytes(32)) for _ in range(100))
    inside = [(START + at, eid) for at, eid in entries if 3 <= at < 15]
    items = filled(entries).items(DAY, START + 3, START + 15)
    assert len(items) == len(inside) and items.entries(0, 1_000) == inside
    assert items.rank((0, b"")) == 0 and items.rank((FOREVER, b"")) == len(inside)
    assert [items.rank(entry) for entry in inside] == list(range(len(inside)))


def test_expired_ids_leave_and_an_empty_day_is_no_day() -> None:
    index = Index([(b"a" * 32, START, START + 10), (b"b" * 32, START, START + 20)])
    index.expire(START + 10)
    assert b"a" * 16 not in index and b"b" * 16 in index and index.numbers() == [DAY]
    index.discard(b"b" * 32)
    index.expire(FOREVER)
    assert index.numbers() == [] and len(index) == 0
    assert index.add(b"c" * 32, START, FOREVER)
    assert index.add(b"c" * 32, START, FOREVER) is False


@pytest.mark.mesh_attack("N15")
def test_a_clock_that_goes_ahead_and_back_changes_nothing_and_what_is_over_is_forgotten() -> None:
    rng = random.Random(3)
    rows = [(rng.randbytes(32), at * 1_000, at * 1_000 + DAY_MS) for at in range(100)]
    index = Index(rows)
    before = index.summary(0, 0, DAY_MS)
    index.expire(DAY_MS + 50_000)
    assert len(index) == 49
    index.expire(2 * DAY_MS)
    assert not len(index)
    index.expire(DAY_MS - 1)
    assert index.summary(0, 0, DAY_MS) == before
    index.expire(DAY_MS + 50_000)
    assert len(index) == 49
    index.expire(5 * DAY_MS)
    assert not index._over
    index.expire(0)
    assert not len(index)

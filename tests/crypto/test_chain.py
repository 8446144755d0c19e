"""One-way chains: every index once, bounded work, bounded memory, nothing readable backwards."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from node.crypto import chain as chains
from node.crypto.chain import MAX_JUMP, MAX_SKIPPED, AlreadyConsumed, RecvChain, SendChain, Skipped
from node.crypto.labels import Label
from node.errors import CryptoFault

LABEL = Label.RCHAIN
KEY = bytes(range(32))
DAY = 20_000


def seeds_of(key: bytes, count: int) -> list[bytes]:
    seeds = []
    for _ in range(count):
        key, seed = chains.step(LABEL, key)
        seeds.append(seed)
    return seeds


def round_trip(chain: RecvChain) -> RecvChain:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(chain), type=RecvChain)


@settings(max_examples=60, deadline=None)
@given(st.permutations(list(range(40))), st.lists(st.integers(0, 39), max_size=20))
def test_any_order_with_duplicates_gives_every_seed_exactly_once(order: list[int], again: list[int]) -> None:
    expected, chain, done = seeds_of(KEY, 40), RecvChain(KEY), set[int]()
    for index in order + again:
        if index in done:
            with pytest.raises(AlreadyConsumed):
                chains.seek(LABEL, chain, index, day=DAY)
            continue
        chain, seed = chains.seek(LABEL, round_trip(chain), index, day=DAY)
        assert seed == expected[index]
        done.add(index)
    assert chain.skipped == ()
    assert chain.next_index == 40


def test_seeds_agree_with_the_sender_across_run_borders() -> None:
    expected = seeds_of(KEY, 301)
    chain, seed = chains.seek(LABEL, RecvChain(KEY), 300, day=DAY)
    assert seed == expected[300]
    for index in (0, 63, 64, 65, 127, 128, 299, 130):
        chain, seed = chains.seek(LABEL, chain, index, day=DAY)
        assert seed == expected[index]
    assert chain.skipped_count == 300 - 8


def test_a_jump_over_the_bound_is_refused_before_any_key_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_work(_label: bytes, _key: bytes) -> tuple[bytes, bytes]:
        raise AssertionError("stepped")

    monkeypatch.setattr(chains, "step", no_work)
    for index in (MAX_JUMP + 1, 1 << 31, (1 << 32) - 1):
        with pytest.raises(CryptoFault, match="jumps"):
            chains.seek(LABEL, RecvChain(KEY), index, day=DAY)
    with pytest.raises(CryptoFault):
        chains.close(LABEL, RecvChain(KEY), MAX_JUMP + 1, day=DAY)


def test_the_largest_jump_keeps_the_newest_seeds_before_its_target() -> None:
    before = RecvChain(KEY)
    chain, _seed = chains.seek(LABEL, before, MAX_JUMP, day=DAY)
    assert chain.next_index == MAX_JUMP + 1
    assert chain.skipped_count == MAX_SKIPPED
    assert chain.skipped[0].first == MAX_JUMP - MAX_SKIPPED
    assert chains.given_up(before, chain) == ((0, MAX_JUMP - MAX_SKIPPED),)
    with pytest.raises(AlreadyConsumed):
        chains.check(chain, MAX_JUMP - MAX_SKIPPED - 1)
    chains.check(chain, MAX_JUMP - MAX_SKIPPED)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=12))
def test_whatever_is_jumped_over_a_chain_never_keeps_more_than_its_bound(jumps: list[int]) -> None:
    chain = RecvChain(KEY)
    for jump in jumps:
        chain, _ = chains.seek(LABEL, chain, chain.next_index + jump, day=DAY)
        assert chain.skipped_count <= MAX_SKIPPED
        ends = [(run.first, run.end) for run in chain.skipped]
        assert all(a[1] <= b[0] for a, b in pairwise(ends))
        assert all(0 < end - first <= chains.RUN_SEEDS for first, end in ends)


def test_a_skipped_seed_lives_35_days_and_no_longer() -> None:
    chain, _ = chains.seek(LABEL, RecvChain(KEY), 1, day=DAY)
    _, seed = chains.seek(LABEL, chain, 0, day=DAY + 35)
    assert seed == seeds_of(KEY, 1)[0]
    with pytest.raises(AlreadyConsumed):
        chains.seek(LABEL, chain, 0, day=DAY + 36)
    later, _ = chains.seek(LABEL, chain, 2, day=DAY + 36)
    assert later.skipped == ()


def test_a_refused_index_leaves_the_chain_usable_as_it_was() -> None:
    chain, _ = chains.seek(LABEL, RecvChain(KEY), 3, day=DAY)
    stored = msgspec.msgpack.encode(chain)
    for index in (3, 4 + MAX_JUMP + 1):
        with pytest.raises(CryptoFault):
            chains.seek(LABEL, chain, index, day=DAY)
    assert msgspec.msgpack.encode(chain) == stored


def test_nothing_in_a_dumped_chain_leads_back_to_a_used_seed() -> None:
    expected, chain = seeds_of(KEY, 10), RecvChain(KEY)
    for index in (5, 2, 7):
        chain, _ = chains.seek(LABEL, chain, index, day=DAY)
    dump = msgspec.msgpack.encode(chain)
    for index in (5, 2, 7):
        assert expected[index] not in dump
    reachable = set(seeds_of(chain.key, 50))
    assert not reachable & set(expected[:8])
    for index in (0, 1, 3, 4, 6):
        assert expected[index] in dump


def test_a_chain_with_nothing_skipped_is_a_row_of_under_80_bytes() -> None:
    chain, _ = chains.seek(LABEL, RecvChain(KEY, 9_999), 9_999, day=DAY)
    assert len(msgspec.msgpack.encode(chain)) < 80
    assert len(msgspec.msgpack.encode(SendChain(KEY, 10_000))) < 80


def test_runs_stored_as_rows_of_their_own_follow_every_change() -> None:
    chain, rows = RecvChain(KEY), dict[int, Skipped]()
    head = chain.head
    for index in (200, 64, 10, 0, 199, 201, 205, 63, 65):
        after, _ = chains.seek(LABEL, chain, index, day=DAY)
        put, gone = chains.changed(chain, after)
        assert sum(run.end - run.first for run in put) <= max(64, index - chain.next_index)
        for first in gone:
            del rows[first]
        rows.update({run.first: run for run in put})
        chain, head = after, after.head
        assert len(msgspec.msgpack.encode(head)) < 80
        assert chains.joined(head, tuple(reversed(rows.values()))) == chain


def test_a_chain_that_ends_leaves_its_missing_seeds_and_no_key() -> None:
    chain, _ = chains.seek(LABEL, RecvChain(KEY), 2, day=DAY)
    runs = chains.close(LABEL, chain, 6, day=DAY)
    assert chains.count(runs) == 5
    rest, seed = chains.take(runs, 4)
    assert seed == seeds_of(KEY, 5)[4]
    with pytest.raises(AlreadyConsumed):
        chains.take(rest, 4)
    with pytest.raises(CryptoFault):
        chains.close(LABEL, chain, 2, day=DAY)


def test_the_newest_seeds_survive_a_smaller_bound() -> None:
    chain, _ = chains.seek(LABEL, RecvChain(KEY), 150, day=DAY)
    kept = chains.newest(chain.skipped, 100)
    assert (chains.count(kept), kept[0].first, kept[-1].end) == (100, 50, 150)
    assert chains.newest(chain.skipped, 0) == ()
    assert chains.take(kept, 50)[1] == seeds_of(KEY, 51)[50]


def test_nothing_is_given_up_by_a_small_jump_or_a_late_message() -> None:
    start = RecvChain(KEY)
    chain, _ = chains.seek(LABEL, start, 5, day=DAY)
    assert chains.given_up(start, chain) == ()
    late, _ = chains.seek(LABEL, chain, 2, day=DAY)
    assert chains.given_up(chain, late) == ()


def test_labels_devices_and_epochs_lead_to_different_chains() -> None:
    assert chains.step(Label.CHAIN, KEY) != chains.step(Label.RCHAIN, KEY)
    firsts = {
        chains.first_chain(es, epoch, device)
        for es in (KEY, bytes(32))
        for epoch in (b"e" * 32, b"f" * 32)
        for device in (b"d" * 16, b"g" * 16)
    }
    assert len(firsts) == 8


def test_states_are_frozen_and_show_no_key() -> None:
    chain, _ = chains.seek(LABEL, RecvChain(KEY), 3, day=DAY)
    with pytest.raises(AttributeError):
        chain.next_index = 0  # type: ignore[misc]  # that it cannot be assigned is the point
    shown = repr(chain) + repr(chain.skipped) + repr(SendChain(KEY))
    assert repr(chain.key)[2:-1] not in shown
    assert repr(KEY)[2:-1] not in shown
    assert "seeds" not in shown

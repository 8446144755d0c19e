"""Waiting for what was announced, remembering what came, and what nobody sent."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from node.mesh import missing as module, recent as recent_module
from node.mesh.missing import FIRST_WAIT, MAX_GRAFTS, MAX_WAIT, MIN_WAIT, Ask, Missing, Patience
from node.mesh.promises import MAX_DOUBTED, PROMISED_FOR, Promises
from node.mesh.recent import KEEP_FOR, MAX_COUNTED, MAX_GRAFTED, Recent
from tests.mesh.meshnet import START, envelope

X, Y = bytes(16), bytes([0]) + b"y" * 15


def due(missing: Missing, now: float, alive: tuple[int, ...] = (1, 2, 3, 4, 5)) -> list[Ask]:
    return missing.due(lambda _link: 0.1, alive.__contains__, now=now)


def test_what_comes_in_time_is_not_asked_for() -> None:
    missing = Missing(0)
    assert missing.announced(1, X, 3, now=0.0) and missing.deadline == FIRST_WAIT
    found = missing.arrived(X, 2, now=0.3)
    assert found is not None and found.announcers == ((1, 0.0, 3),)
    assert missing.deadline is None and due(missing, 9.0) == [] and len(missing) == 0


def test_announcers_are_asked_one_after_the_other_and_then_all_by_want() -> None:
    missing = Missing(0)
    for link in (1, 2, 3, 4):
        missing.announced(link, X, 1, now=0.0)
    assert due(missing, FIRST_WAIT - 0.01) == []
    now, slow = FIRST_WAIT, None
    for link in (1, 2, 3):
        assert due(missing, now) == [Ask(X, link, slow)]
        now, slow = now + 0.1001, link
    assert due(missing, now) == [Ask(X, None, 3, (1, 2, 3), (4, 1, 2, 3))]
    assert MAX_GRAFTS == 3 and len(missing) == 0 and missing.deadline is None


def test_who_let_grafts_be_in_vain_is_asked_after_others_until_it_has_served_as_often() -> None:
    missing = Missing(0)

    def asked(prefix: bytes, now: float) -> int | None:
        missing.announced(1, prefix, 1, now=now)
        missing.announced(2, prefix, 1, now=now)
        return due(missing, now + 0.7)[0].link

    assert asked(X, 0.0) == 1 and due(missing, 1.0) == [Ask(X, 2, 1)]
    missing.arrived(X, 2, now=1.0)
    assert asked(Y, 2.0) == 2, "the second announcer, because the first has let us down"
    assert due(missing, 3.0) == [Ask(Y, 1, 2)]
    missing.arrived(Y, 1, now=3.0)
    assert asked(X, 4.0) == 1
    due(missing, 5.0)
    missing.closed(1)
    missing.closed(2)
    assert missing._failed == {}


def test_what_a_broken_link_announced_is_asked_of_the_next() -> None:
    missing = Missing(0)
    missing.announced(1, X, 1, now=0.0)
    missing.announced(2, X, 1, now=0.1)
    assert due(missing, 1.0, alive=(2,)) == [Ask(X, 2, None)]
    assert due(missing, 2.0, alive=()) == [Ask(X, None, 2, (2,), ())]


def test_nodes_wait_differently_long() -> None:
    waits = set()
    for salt in range(0, 256, 16):
        missing = Missing(salt)
        missing.announced(1, X, 1, now=0.0)
        assert missing.deadline is not None and FIRST_WAIT <= missing.deadline <= FIRST_WAIT + module.JITTER
        waits.add(missing.deadline)
    assert len(waits) == 16


@given(st.lists(st.floats(0, 100), min_size=16, max_size=200))
def test_the_wait_lies_above_the_gaps_and_within_bounds(gaps: list[float]) -> None:
    patience = Patience()
    for gap in gaps:
        patience.add(gap)
    assert MIN_WAIT <= patience.seconds <= MAX_WAIT
    assert patience.seconds >= min(MAX_WAIT, max(gaps[-64:]))


def test_what_a_graft_brought_does_not_lengthen_the_wait() -> None:
    missing = Missing(0)
    for number in range(100):
        prefix = number.to_bytes(16, "big")
        missing.announced(1, prefix, 1, now=0.0)
        due(missing, 1.0)
        missing.arrived(prefix, 1, now=1.9)
    assert missing.patience.seconds == FIRST_WAIT


def test_a_link_cannot_make_us_wait_for_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MISSING_OF_LINK", 10)
    missing = Missing(0)
    taken = [missing.announced(1, bytes([n]) * 16, 1, now=0.0) for n in range(20)]
    assert taken == [True] * 10 + [False] * 10
    assert missing.announced(2, X, 1, now=0.0) and missing.announced(2, bytes([5]) * 16, 1, now=0.0)
    due(missing, 5.0, alive=())
    assert len(missing) == 0 and missing._of_link == {}
    assert missing.announced(1, X, 1, now=6.0)


def test_announcers_of_one_id_are_bounded() -> None:
    missing = Missing(0)
    for link in range(100):
        missing.announced(link, X, 1, now=0.0)
    assert len(missing._awaited[X].announcers) == module.MAX_ANNOUNCERS


@pytest.mark.mesh_attack("N03")
def test_m4_who_repeats_what_others_announced_is_remembered_for_its_share_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_MISSING_OF_LINK", 10)
    missing = Missing(0)
    for n in range(10):
        missing.announced(1, bytes([n]) * 16, 1, now=0.0)
        missing.announced(2, bytes([n + 10]) * 16, 1, now=0.0)
    for n in range(20):
        missing.announced(3, bytes([n]) * 16, 1, now=0.0)
    assert missing._of_link == {1: 10, 2: 10, 3: 10}
    due(missing, 9.0, alive=())
    assert missing._of_link == {} and len(missing) == 0


def test_the_last_minute_is_at_hand_and_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    recent, rng = Recent(), random.Random(1)
    first, second = envelope(rng, START.wall_ms), envelope(rng, START.wall_ms)
    recent.add(first, 2, 7, now=0.0)
    recent.add(second, 2, 7, now=KEEP_FOR - 1)
    copy = recent.get(first.eid[:16])
    assert copy is not None and copy.raw is first.raw and (copy.hop, copy.link) == (2, 7)
    recent.add(envelope(rng, START.wall_ms), 0, None, now=KEEP_FOR)
    assert recent.get(first.eid[:16]) is None and recent.get(second.eid[:16]) is not None
    monkeypatch.setattr(recent_module, "MAX_BYTES", 2_000)
    for _ in range(50):
        recent.add(envelope(rng, START.wall_ms), 0, None, now=KEEP_FOR)
    assert len(recent) == 3 and recent._bytes <= 2_000


def test_an_envelope_is_given_to_a_peer_three_times() -> None:
    recent, env = Recent(), envelope(random.Random(1), START.wall_ms)
    recent.add(env, 0, None, now=0.0)
    prefix = env.eid[:16]
    assert [recent.graft(prefix, 1) for _ in range(5)] == [True] * MAX_GRAFTED + [False] * 2
    assert recent.graft(prefix, 2)
    recent.closed(1)
    assert recent.graft(prefix, 1)


def test_what_is_counted_of_who_asks_for_everything_is_bounded() -> None:
    recent = Recent()
    for number in range(2 * MAX_COUNTED):
        recent.graft(number.to_bytes(16, "big"), 1)
    assert len(recent._grafted[1]) == MAX_COUNTED


def test_a_promise_is_broken_when_nobody_sent_the_envelope() -> None:
    promises = Promises()
    promises.doubt(X, (1, 2), now=0.0)
    promises.doubt(Y, (1, 3), now=1.0)
    promises.kept(Y)
    assert promises.deadline == PROMISED_FOR and promises.broken(now=PROMISED_FOR - 0.1) == set()
    assert promises.broken(now=PROMISED_FOR) == {1, 2} and promises.deadline is None
    for number in range(2 * MAX_DOUBTED):
        promises.doubt(number.to_bytes(16, "big"), (1,), now=50.0)
    assert len(promises._doubted) == MAX_DOUBTED

"""Causal order of one room, and holes that are never silent."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.chat.timeline import GAP_AFTER_LINK, GAP_AFTER_SYNC, MAX_WAITING, Item, Timeline

EPOCH = bytes(16)


def item(number: int, *refs: int, account: bytes = b"a" * 32) -> Item:
    return Item(mid(number), EPOCH, account, number, number, str(number), "text", None, tuple(map(mid, refs)))


def mid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def shown(items: list[Item]) -> list[int]:
    return [int(i.text) for i in items]


def test_a_message_whose_reference_is_missing_waits_and_then_both_come_in_order() -> None:
    line = Timeline()
    assert line.offer(item(2, 1), now=0, linked=1) == []
    assert shown(line.offer(item(1), now=1, linked=1)) == [1, 2]


@given(st.permutations(list(range(1, 9))), st.data())
def test_any_order_of_arrival_shows_every_message_once_after_what_it_refers_to(
    order: list[int], data: st.DataObject
) -> None:
    refs = {n: data.draw(st.sets(st.integers(1, n - 1), max_size=3)) if n > 1 else set() for n in range(1, 9)}
    line, seen = Timeline(), []
    for number in order:
        seen += shown(line.offer(item(number, *refs[number]), now=0, linked=1))
    assert sorted(seen) == list(range(1, 9))
    assert all(seen.index(ref) < seen.index(n) for n in refs for ref in refs[n])
    assert line.deadline is None


def test_a_hole_is_shown_ten_seconds_after_two_peers_had_nothing_more() -> None:
    line = Timeline()
    line.offer(item(2, 1), now=0, linked=3)
    line.peer_finished(7, linked=3, now=1)
    assert line.deadline == GAP_AFTER_LINK
    line.peer_finished(8, linked=3, now=2)
    assert line.deadline == 2 + GAP_AFTER_SYNC
    assert line.expire(11.9) == []
    (late,) = line.expire(12)
    assert late.gap and late.mid == mid(2)


def test_with_a_single_peer_one_finished_sync_is_enough() -> None:
    line = Timeline()
    line.offer(item(2, 1), now=0, linked=1)
    line.peer_finished(7, linked=1, now=1)
    assert line.deadline == 1 + GAP_AFTER_SYNC


def test_without_a_link_nothing_is_given_up() -> None:
    line = Timeline()
    line.offer(item(2, 1), now=0, linked=0)
    assert line.deadline is None
    line.link_up(100)
    assert line.deadline == 100 + GAP_AFTER_LINK


def test_what_the_store_knows_frees_what_waited_for_it() -> None:
    line = Timeline()
    line.offer(item(2, 1), now=0, linked=1)
    assert line.unknown(item(2, 1)) == (mid(1),)
    assert shown(line.learn((mid(1),))) == [2]


def test_the_copied_id_of_another_member_does_not_suppress_the_original() -> None:
    line = Timeline()
    thief, author = b"t" * 32, b"a" * 32
    line.offer(item(1, account=thief), now=0, linked=1)
    other = line.rename(mid(1), author)
    assert other not in {None, mid(1)}
    assert line.rename(mid(1), thief) is None


def test_too_many_waiting_shows_the_oldest_with_its_gap() -> None:
    line = Timeline()
    for number in range(2, MAX_WAITING + 2):
        assert line.offer(item(number, 1), now=0, linked=1) == []
    out = line.offer(item(MAX_WAITING + 2, 1), now=0, linked=1)
    assert [(i.text, i.gap) for i in out] == [("2", True)]


def test_references_name_the_heads_and_ones_own_last_message() -> None:
    line = Timeline()
    line.offer(item(1), now=0, linked=1)
    line.offer(item(2), now=0, linked=1)
    here, before, lamport = line.compose(EPOCH)
    assert set(here) == {mid(1), mid(2)} and before == () and lamport == 3
    line.sent(item(3, 1, 2))
    assert line.compose(b"\1" * 16) == ((), (mid(3),), 4)


def test_what_was_freed_or_given_up_is_kept_nowhere() -> None:
    line = Timeline()
    for number in range(40, 1, -1):
        assert line.offer(item(number, number - 1), now=0, linked=1) == []
    line.offer(item(99, 98), now=0, linked=1)
    assert shown(line.offer(item(1), now=1, linked=1)) == list(range(1, 41))
    assert [late.gap for late in line.expire(GAP_AFTER_LINK)] == [True]
    assert (line.waiting, line._blocked, line._ready) == ({}, {}, [])


def test_a_message_that_waits_for_two_is_freed_by_the_second_whichever_that_is() -> None:
    for first, second in ((1, 2), (2, 1)):
        line = Timeline()
        line.offer(item(3, 1, 2), now=0, linked=1)
        assert shown(line.offer(item(first), now=1, linked=1)) == [first]
        assert shown(line.offer(item(second), now=1, linked=1)) == [second, 3]

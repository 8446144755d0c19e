"""The queue of one frontend: bounded, in order, and without gap or repeat between replay and live."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.bridge import intervals
from node.bridge.outbox import MAX_BYTES, MAX_EVENTS, Item, Outbox


def push(box: Outbox, seq: int, data: bytes = b"x") -> None:
    if box.takes(seq):
        box.push(Item(data, seq))


def taken(box: Outbox) -> list[int]:
    items = box.take(10_000)
    for item in items:
        box.written(item)
    return [item.seq for item in items]


def test_the_1025th_event_is_one_too_many_and_nothing_is_kept() -> None:
    box = Outbox()
    box.anchor(10)
    for seq in range(11, 11 + MAX_EVENTS):
        push(box, seq)
    assert not box.lagged
    push(box, 5000)
    assert box.lagged
    assert len(box) == 0
    push(box, 5001)
    assert len(box) == 0
    assert box.position == 10


def test_four_mebibytes_are_too_much_too() -> None:
    box = Outbox()
    for seq in range(1, 5):
        push(box, seq, bytes(MAX_BYTES // 4))
    assert not box.lagged
    push(box, 5)
    assert box.lagged


def test_what_was_taken_no_longer_counts() -> None:
    box = Outbox()
    for seq in range(1, 5 * MAX_EVENTS):
        push(box, seq, bytes(2048))
        assert taken(box) == [seq]
    assert not box.lagged


def test_of_presence_only_the_newest_is_kept_before_anything_is_given_up() -> None:
    box = Outbox()
    for number in range(MAX_EVENTS + 500):
        box.push(Item(b"%d" % number, 0, f"presence {number % 3}"))
    push(box, 1)
    assert not box.lagged
    assert len(box) < MAX_EVENTS


def test_live_events_during_a_replay_are_left_to_the_log_and_not_repeated_after() -> None:
    box = Outbox()
    box.start_replay(0)
    push(box, 3)
    assert box.replay is not None
    assert box.replay.skipped == 3
    assert taken(box) == []
    box.end_replay(3)
    push(box, 3)
    push(box, 4)
    assert taken(box) == [4]


def test_answers_do_not_wait_for_the_replay_and_told_events_do() -> None:
    box = Outbox()
    box.push(Item(b"hello"), answer=True)
    box.start_replay(0)
    box.push(Item(b"told"))
    box.push(Item(b"ok"), answer=True)
    assert [item.data for item in box.take()] == [b"hello", b"ok"]
    box.end_replay(0)
    assert [item.data for item in box.take()] == [b"told"]


def test_the_newest_messages_for_a_plain_session_let_live_events_wait() -> None:
    box = Outbox()
    box.start_replay(0, newest=200, until=9)
    push(box, 10)
    assert taken(box) == []
    box.end_replay(9)
    assert taken(box) == [10]


def test_parked_is_kept_muted_is_forgotten() -> None:
    box = Outbox()
    box.parked = True
    push(box, 1)
    assert box.take() == []
    assert not box.ready
    box.discard()
    push(box, 2)
    assert len(box) == 0
    box.muted = False
    push(box, 3)
    assert taken(box) == [3]


def test_an_event_that_was_not_asked_for_moves_the_position_behind_what_is_queued() -> None:
    box = Outbox()
    box.anchor(0)
    push(box, 1)
    box.passed(2)
    assert box.position == 0
    assert taken(box) == [2]
    assert box.position == 2
    box.passed(3)
    assert box.position == 3
    assert box.take_report() == ((0, 3),)
    assert box.take_report() == ()


def test_what_is_under_way_to_the_socket_holds_the_position_back() -> None:
    box = Outbox()
    box.anchor(0)
    push(box, 1)
    push(box, 2)
    one, two = box.take()
    box.passed(3)
    assert box.position == 0
    box.written(one)
    assert box.position == 1
    box.written(two)
    assert box.position == 3


def test_what_was_not_shown_is_left_out_of_the_report() -> None:
    box = Outbox()
    box.anchor(10)
    box.missed(11)
    box.passed(12)
    push(box, 13)
    box.missed(14)
    assert box.take_report() == ((11, 12),)
    assert taken(box) == [14]
    box.passed(15)
    assert box.take_report() == ((12, 13), (14, 15))
    box.missed(16)
    assert box.take_report() == () and box.position == 16
    for seq in range(17, 200_000, 2):
        box.passed(seq)
        box.missed(seq + 1)
    assert len(box._missed) <= intervals.MOST
    assert box.take_report()[-1] == (199_998, 199_999)


@given(
    st.integers(0, 12),
    st.integers(1, 4),
    st.lists(st.sampled_from(["commit", "deliver", "page", "write"]), max_size=80),
)
def test_whatever_the_interleaving_a_resumed_frontend_has_each_event_once_in_order(
    start: int, page: int, steps: list[str]
) -> None:
    """A log that grows, orders that follow commits, pages read in between: the shell's loop, without it."""
    log, delivered, seen = 12, 12, []
    box = Outbox()
    box.start_replay(start)
    cursor = start
    for step in [*steps, *["deliver"] * 100, *["page", "write"] * 100]:
        if step == "commit":
            log += 1
        elif step == "deliver" and delivered < log:
            delivered += 1
            push(box, delivered)
        elif step == "page" and box.replay is not None:
            rows = list(range(cursor + 1, min(log, cursor + page) + 1))
            seen += rows
            cursor = rows[-1] if rows else cursor
            if len(rows) < page and cursor >= box.replay.skipped:
                box.end_replay(cursor)
        elif step == "write":
            seen += taken(box)
    assert seen == list(range(start + 1, log + 1))

"""One link: what leaves first, how much waits, when it is given up."""

from __future__ import annotations

import random

import pytest

from node.crypto.channel import network_id
from node.crypto.handshake import LinkKeys, make_link_keys
from node.errors import PeerFault
from node.mesh import link as link_module
from node.mesh.link import Link
from node.wire.frame_bytes import encode_push, pushed_ms
from node.wire.frames import Hello


def keys(seed: int) -> LinkKeys:
    return make_link_keys(
        bytes([seed]) * 32, network_id=network_id(None), psk=None, entropy=random.Random(seed).randbytes
    )


def hello(budget: int = 10_000) -> Hello:
    return Hello(0, b"12345678", (), frozenset(), 65_519, 0, 0, budget)


def ends(*, budget: int = 10_000) -> tuple[Link, Link]:
    """Two live ends of one link."""
    a, b = (
        Link(
            n,
            outbound=n == 1,
            address="",
            remote="",
            keys=keys(n),
            entropy=random.Random(n).randbytes,
            now=0.0,
        )
        for n in (1, 2)
    )
    for one, other in ((a, b), (b, a), (a, b)):
        for message in one.flush(now=0.0):
            list(other.receive(message, now=0.0))
    for end in (a, b):
        end.greeted(hello(budget), now=0.0)
        end.drained(10_000, now=0.0)
    return a, b


def pass_on(a: Link, b: Link, *, now: float = 0.0) -> list[bytes]:
    return [frame for message in a.flush(now=now) for frame in b.receive(message, now=now)]


def test_urgent_frames_overtake_what_waits() -> None:
    a, b = ends()
    a.send_bulk(b"bulk")
    a.send_live(b"live", ephemeral=False, now=0.0)
    a.send_control(b"control")
    assert pass_on(a, b) == [b"control", b"live", b"bulk"]


def test_many_frames_are_one_message_within_the_limit() -> None:
    a, b = ends()
    for number in range(200):
        a.send_live(b"%4d" % number + bytes(900), ephemeral=False, now=0.0)
    messages = a.flush(now=0.0)
    assert len(messages) == 6 and max(map(len, messages)) <= link_module.FILLED_BYTES
    got = [frame for message in messages for frame in b.receive(message, now=0.0)]
    assert [int(frame[:4]) for frame in got] == list(range(200))


def test_no_more_than_a_window_is_handed_over_unwritten() -> None:
    a, b = ends()
    for _ in range(1_000):
        a.send_live(bytes(1_000), ephemeral=False, now=0.0)
    first = sum(map(len, a.flush(now=0.0)))
    assert 262_144 <= first < 262_144 + 2_000 and a.flush(now=0.0) == []
    a.drained(100_000, now=0.0)
    assert 99_000 < sum(map(len, a.flush(now=0.0))) < 102_000
    assert b.live


def test_a_catch_up_leaves_room_for_live_frames() -> None:
    a, b = ends()
    while a.bulk_room:
        a.send_bulk(bytes(10_000))
    a.send_bulk(bytes(60_000))
    sent = sum(map(len, a.flush(now=0.0)))
    assert sent < 65_536 + 11_000
    a.send_live(b"live", ephemeral=False, now=0.0)
    assert len(a.flush(now=0.0)) == 1 and a.waits and b.live


def push(ts_ms: int) -> bytes:
    """A PUSH of a thousand bytes of a time."""
    return encode_push(1, b"\1\1" + ts_ms.to_bytes(8, "big") + bytes(984))


def times(frames: list[bytes]) -> list[int]:
    """The times of PUSHes, those of answers to WANTs negative; -1,000 stands for a frame of a catch-up."""
    return [-int(f[1:6]) if f[:1] == b"A" else -1_000 if f[:1] == b"B" else pushed_ms(f) for f in frames]


def overfull(left_out: int) -> tuple[Link, Link, int]:
    """A link whose queue was full, so many left out, and a window of it sealed; the time of the next."""
    a, b = ends()
    ts_ms = 100
    while a.send_promised(push(ts_ms)):
        ts_ms += 1
    assert not any(a.send_live(push(ts_ms), ephemeral=False, now=0.0) for _ in range(left_out))
    assert not a.send_live(push(ts_ms), ephemeral=True, now=0.0), "which nobody asks for again"
    return a, b, times(pass_on(a, b))[-1] + 1


def ask(a: Link, ts_ms: int, size: int = 1_000) -> None:
    """Queue an answer to a WANT."""
    a.send_asked(b"A%05d" % ts_ms + bytes(size - 6), ts_ms=ts_ms)


def leaving(a: Link, b: Link, nbytes: int = 10_000) -> list[int]:
    """What leaves next, when so much was written."""
    a.drained(nbytes, now=0.0)
    return times(pass_on(a, b))


def test_what_a_full_queue_left_out_goes_before_newer_live_frames_and_after_older_ones() -> None:
    a, b, head = overfull(2)
    for ts_ms in (head + 3, head + 5):
        ask(a, ts_ms)
    a.send_bulk(b"B" * 1_000)
    order = leaving(a, b)
    assert order[:7] == [head, head + 1, head + 2, -head - 3, head + 3, head + 4, -head - 5]
    assert -1_000 not in order, "the rest of a catch-up waits for all of them"
    while a._live:
        order += leaving(a, b)
    assert order[7:] == list(range(head + 5, head + len(order) - 2)), "each once"
    while a.waits:
        order += leaving(a, b)
    assert order[-1] == -1_000


def test_what_is_asked_for_goes_ahead_for_as_many_bytes_as_were_left_out() -> None:
    a, b, head = overfull(3)
    for _ in range(5):
        ask(a, 1, len(push(1)))
    order = leaving(a, b)
    assert order[:4] == [-1, -1, -1, head] and min(order[4:]) > 0


def test_nothing_that_is_asked_for_goes_ahead_where_nothing_was_left_out_since_the_link_was_idle() -> None:
    a, b, _ = overfull(1)
    while a.waits:
        leaving(a, b)
    a.drained(262_144 + 2_000, now=0.0)
    assert pass_on(a, b) == [], "now it is idle"
    a.send_live(push(7), ephemeral=False, now=0.0)
    ask(a, 1)
    assert times(pass_on(a, b)) == [7, -1]


def test_answers_to_wants_and_the_rest_of_a_catch_up_take_turns() -> None:
    a, b = ends()
    for number in range(3):
        ask(a, number)
        a.send_bulk(b"B" * 1_000)
        a.send_bulk(b"B" * 1_000)
    assert times(pass_on(a, b)) == [0, -1_000, -1, -1_000, -2, -1_000, -1_000, -1_000, -1_000]
    while a.asked_room:
        ask(a, 1)
    assert a.bulk_room, "neither keeps the other from being made"
    a.drained(10_000, now=0.0)
    assert len(pass_on(a, b)) < 36 and a.waits, "both leave room for what is live"


def test_a_full_live_queue_and_a_spent_budget_refuse() -> None:
    a, _ = ends()
    taken = 0
    while a.send_live(bytes(10_000), ephemeral=False, now=0.0):
        taken += 10_000
    assert link_module.MAX_LIVE_BYTES - 10_000 < taken <= link_module.MAX_LIVE_BYTES
    a, _ = ends(budget=100)
    assert sum(a.send_live(b"x" * 700, ephemeral=False, now=0.0) for _ in range(200)) == 75
    another = [a.send_live(b"x" * 700, ephemeral=False, now=0.0, origin=b"another") for _ in range(200)]
    assert sum(another) == 25, "the rest is kept for what comes from elsewhere"
    assert sum(a.send_live(b"x" * 700, ephemeral=False, now=0.5) for _ in range(200)) == 25
    a, _ = ends(budget=100)
    assert sum(a.send_live(b"x" * 700, ephemeral=True, now=0.0) for _ in range(200)) == 20
    a, _ = ends(budget=100)
    assert sum(a.send_live(bytes(10_486), ephemeral=False, now=0.0) for _ in range(200)) == 37


def test_a_link_whose_peer_reads_no_control_frames_is_deaf() -> None:
    a, _ = ends()
    for _ in range(256):
        a.send_control(b"x")
    assert not a.deaf and not a.control_room
    a.send_control(b"x")
    assert a.deaf


def test_an_idle_link_is_not_blocked_by_its_idleness() -> None:
    a, _ = ends()
    a.drained(1_000_000, now=0.0)
    assert not a.blocked(now=100.0)
    a.send_control(b"x")
    a.flush(now=100.0)
    assert not a.blocked(now=119.0) and a.blocked(now=120.0)
    a.drained(19, now=119.5)
    assert not a.blocked(now=200.0)


def test_a_link_is_not_blocked_by_the_sleep_of_this_machine() -> None:
    """What was written before it is told of within a second, which may be after it."""
    a, _ = ends()
    a.send_control(b"x")
    a.flush(now=100.0)
    a.hurry(now=4_000.0)
    assert not a.blocked(now=4_000.0) and a.blocked(now=4_020.0)


def test_silence_is_broken_by_a_ping_and_ended_after_it() -> None:
    a, _ = ends()
    assert a.ping_due(now=0.0), "the round trip is measured at once"
    a.ping_sent = 0.0
    assert a.ponged(now=0.25) == 250.0 and a.rtt_ms == 250.0
    assert a.ponged(now=0.3) is None
    assert not a.ping_due(now=14.9) and a.ping_due(now=15.0)
    a.ping_sent = 15.0
    assert not a.silent_too_long(now=24.9) and a.silent_too_long(now=25.0)


def test_a_link_that_never_opens_is_given_up_after_ten_seconds() -> None:
    link = Link(1, outbound=False, address="", remote="", keys=keys(1), entropy=bytes, now=5.0)
    assert link.deadline == 15.0
    assert not link.silent_too_long(now=14.9) and link.silent_too_long(now=15.0)


@pytest.mark.parametrize("cut", [1, 2, 5, 30])
def test_a_message_that_is_cut_short_is_refused(cut: int) -> None:
    a, b = ends()
    a.send_control(b"x" * 20)
    (message,) = a.flush(now=0.0)
    with pytest.raises(PeerFault):
        list(b.receive(message[:cut], now=0.0))


def test_frames_that_are_replayed_or_out_of_order_are_refused() -> None:
    a, b = ends()
    a.send_control(b"one")
    (one,) = a.flush(now=0.0)
    a.send_control(b"two")
    (two,) = a.flush(now=0.0)
    with pytest.raises(PeerFault):
        list(b.receive(two, now=0.0))
    assert list(b.receive(one, now=0.0)) == [b"one"]
    with pytest.raises(PeerFault):
        list(b.receive(one, now=0.0))


def test_a_frame_larger_than_a_filled_message_leaves_alone() -> None:
    a, b = ends()
    for size in (10, 60_000, 10):
        a.send_live(bytes(size), ephemeral=False, now=0.0)
    messages = a.flush(now=0.0)
    assert [len(frame) for message in messages for frame in b.receive(message, now=0.0)] == [10, 60_000, 10]
    assert len(messages) == 3


def test_a_link_is_congested_from_a_third_of_its_queue_on_until_that_has_left() -> None:
    a, _ = ends()
    for _ in range((link_module.WINDOW + link_module.CONGESTED_BYTES) // 30_000):
        assert a.send_promised(bytes(30_000))
    a.flush(now=0.0)
    assert not a.congested, "what was handed to the socket does not count"
    while not a.congested:
        assert a.send_promised(bytes(30_000)), "long before it is full"
    assert sum(map(len, a._live)) <= link_module.MAX_LIVE_BYTES // 2
    a.drained(link_module.WINDOW, now=0.0)
    a.flush(now=0.0)
    assert not a.congested


def test_no_bytes_of_our_own_come_back_to_us() -> None:
    a, _ = ends()
    a.send_control(b"x")
    (message,) = a.flush(now=0.0)
    with pytest.raises(PeerFault):
        list(a.receive(message, now=0.0))


def test_the_bounds_fit_what_a_peer_may_cost() -> None:
    """M4."""
    live, window = link_module.MAX_LIVE_BYTES, link_module.WINDOW
    control = link_module.MAX_CONTROL * 5_000
    store_page = 64 * 33_000
    assert live + window + control + link_module.BULK_WINDOW + 61_440 + store_page < 6 << 20

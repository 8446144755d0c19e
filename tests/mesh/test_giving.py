"""What peers ask of us, part by part: bounded, in order, never more than was read for them."""

from __future__ import annotations

from node.mesh.giving import MAX_ASKED, RUN, STRANGER_RATE, Giving, Read
from node.wire.frames import MAX_PART_BYTES, Fetch, Part

BLOCK = b"b" * 32
DATA = bytes(range(256)) * (20 * MAX_PART_BYTES // 256)


def giving(*, trusted: bool = True) -> Giving:
    made = Giving()
    made.opened(1, trusted=trusted)
    return made


def answer(made: Giving, read: Read | None) -> None:
    assert read is not None
    start = read.index * MAX_PART_BYTES
    made.on_read(read.ticket, DATA[start : start + read.count * MAX_PART_BYTES])


def drained(made: Giving, now: float = 0.0) -> list[Part]:
    parts = []
    while (part := made.next(1, now=now)) is not None:
        parts.append(part)
    return parts


def test_parts_in_a_row_are_read_at_once_and_sent_in_order() -> None:
    made = giving()
    for index in range(10):
        assert made.on_fetch(1, Fetch(BLOCK, index))
    read = made.read(1)
    assert read is not None and (read.index, read.count) == (0, RUN)
    assert made.read(1) is None
    answer(made, read)
    assert made.read(1) is None  # nothing more before some of it is sent
    parts = drained(made)
    assert [part.index for part in parts] == list(range(RUN))
    assert b"".join(part.data for part in parts) == DATA[: RUN * MAX_PART_BYTES]
    answer(made, made.read(1))
    assert [part.index for part in drained(made)] == [8, 9]


def test_what_is_not_here_is_answered_by_nothing_each() -> None:
    made = giving()
    for index in (0, 1, 5):
        made.on_fetch(1, Fetch(BLOCK, index))
    read = made.read(1)
    assert read is not None
    made.on_read(read.ticket, None)
    assert drained(made) == [Part(BLOCK, 0, b""), Part(BLOCK, 1, b"")]
    read = made.read(1)
    assert read is not None and read.index == 5
    made.on_read(read.ticket, b"short")
    assert drained(made) == [Part(BLOCK, 5, b"short")]


def test_a_flood_is_refused_and_costs_a_run() -> None:
    made = giving()
    assert [made.on_fetch(1, Fetch(BLOCK, 0)) for _ in range(MAX_ASKED + 3)].count(False) == 3
    reads = 0
    while (read := made.read(1)) is not None and reads < 100:
        answer(made, read)
        reads += 1
    assert reads == RUN // 2 + 1  # the same part again and again is no run; and no more is read than may wait


def test_strangers_get_a_steady_rate_and_others_all_at_once() -> None:
    for trusted in (True, False):
        made, sent, now = giving(trusted=trusted), 0, 0.0
        while now < 10.0:
            made.on_fetch(1, Fetch(BLOCK, 0))
            while (read := made.read(1)) is not None:
                made.on_read(read.ticket, bytes(MAX_PART_BYTES))
            sent += sum(len(part.data) for part in drained(made, now))
            now += 0.001
            if not trusted:
                assert made.deadline is None or made.deadline > now - 0.002
        if trusted:
            assert sent > 15 * STRANGER_RATE / 10
        else:
            assert 8 * STRANGER_RATE < sent < 12 * STRANGER_RATE


def test_what_was_read_for_a_link_that_is_gone_goes_nowhere() -> None:
    made = giving()
    made.on_fetch(1, Fetch(BLOCK, 0))
    read = made.read(1)
    assert read is not None
    made.closed(1)
    assert made.on_read(read.ticket, DATA) is None
    assert made.next(1, now=0.0) is None and made._tickets == {}

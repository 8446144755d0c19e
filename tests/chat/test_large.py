"""Objects of direct sessions: key and parts in either order, each once, bounded, nothing else."""

from __future__ import annotations

import pytest

from node.chat.large import MAX_CONTENT, MAX_EXPECTED, MAX_HELD, Large
from node.chat.objects import split
from node.chat.turn import Turn
from node.clock import DAY_MS, Instant
from node.errors import DecodeError
from node.sim import stream
from node.tables import Table
from node.wire.payload import MAX_ITEM_BYTES, Payload, Type

SESSION = b"s" * 16, b"a" * 32
NOW_MS = 1_790_000_000_000


def turn_at(ms: int = NOW_MS, seed: str = "large") -> Turn:
    return Turn(Instant(0.0, ms), ms, stream(seed), 0)


def body(size: int, seed: str = "body") -> list[object]:
    data = stream(seed)(size)
    items = [data[at : at + MAX_ITEM_BYTES] for at in range(0, size, MAX_ITEM_BYTES)]
    return [bytes(16), items]


def sent(content: list[object], seed: str = "sent") -> tuple[Payload, list[bytes]]:
    said: list[Payload] = []
    parts: list[bytes] = []
    Large().send(turn_at(seed=seed), Type.HISTORY, content, said.append, parts.append)
    return said[0], parts


def take_all(large: Large, turn: Turn, parts: list[bytes]) -> list[Payload]:
    taken = [large.take(turn, SESSION[0], part) for part in parts]
    return [payload for payload in taken if payload is not None]


def test_the_body_comes_once_when_key_and_parts_have_come() -> None:
    content = body(100_000)
    key, parts = sent(content)
    large, turn = Large(), turn_at()
    large.expect(turn, SESSION, key, NOW_MS)
    whole = take_all(large, turn, parts + parts)
    assert [(payload.type, payload.body) for payload in whole] == [(Type.HISTORY, content)]
    assert large.expected == {} and large._parts == {}
    assert turn.rows == {(Table.OBJECT_KEYS, SESSION[0] + key.body[0]): None}


def test_parts_before_their_key_are_not_kept_and_the_channel_is_read_for_them_when_it_comes() -> None:
    key, parts = sent(body(100_000))
    large, turn = Large(), turn_at()
    assert take_all(large, turn, parts) == []
    assert large._parts == {}
    large.expect(turn, SESSION, key, NOW_MS)
    assert turn.behind == [(2, SESSION[1], SESSION[0])]
    assert len(take_all(large, turn, parts)) == 1


def test_a_start_expects_what_was_expected_before() -> None:
    from node.chat.large import Expected
    from node.chat.turn import unpack_row

    key, parts = sent(body(100_000))
    turn = turn_at()
    Large().expect(turn, SESSION, key, NOW_MS)
    row = turn.rows[Table.OBJECT_KEYS, SESSION[0] + key.body[0]]
    assert row is not None
    again = Large()
    again.restore(unpack_row(row, Expected))
    assert len(take_all(again, turn, parts)) == 1


def test_what_does_not_open_or_is_no_body_of_its_type_is_given_up_in_silence() -> None:
    key, parts = sent(body(100_000))
    object_id, k, what = key.body
    for wrong in ([object_id, bytes(32), what],):
        large, turn = Large(), turn_at()
        large.expect(turn, SESSION, Payload(key.mid, 0, 0, Type.OBJECT, wrong), NOW_MS)
        assert take_all(large, turn, parts) == []
        assert large.expected == {}
    misshapen: list[object] = [bytes(16), [7]]
    key, parts = sent(misshapen)
    large, turn = Large(), turn_at()
    large.expect(turn, SESSION, key, NOW_MS)
    assert take_all(large, turn, parts) == []
    assert large.expected == {}


def test_a_type_that_does_not_come_as_an_object_is_not_expected() -> None:
    key, parts = sent(body(1000))
    large, turn = Large(), turn_at()
    for what in (int(Type.TEXT), 200):
        large.expect(turn, SESSION, Payload(key.mid, 0, 0, Type.OBJECT, [*key.body[:2], what]), NOW_MS)
    assert large.expected == {} and not turn.rows and not turn.behind


def test_a_malformed_part_is_refused() -> None:
    with pytest.raises(DecodeError):
        Large().take(turn_at(), SESSION[0], b"\x92\x07\x01")


def test_unfinished_objects_of_a_session_are_bounded_and_expire() -> None:
    large, turn = Large(), turn_at()
    for number in range(3 * MAX_EXPECTED):
        key = Payload(bytes(16), 0, 0, Type.OBJECT, [number.to_bytes(32, "big"), bytes(32), 12])
        large.expect(turn, SESSION, key, NOW_MS)
    assert len(large.expected) == MAX_EXPECTED
    large.expire(turn_at(NOW_MS + 36 * DAY_MS))
    assert large.expected == {}


def test_the_parts_of_all_sessions_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.large.MAX_HELD", MAX_HELD // 16)
    large, turn = Large(), turn_at()
    key, parts = sent(body(300_000))
    for number in range(20):
        session = number.to_bytes(16, "big")
        large.expect(turn, (session, bytes(32)), key, NOW_MS)
        for part in parts[:-1]:
            assert large.take(turn, session, part) is None
    assert 0 < sum(assembly.size for assembly in large._parts.values()) <= MAX_HELD // 16


def test_the_largest_body_fits_the_parts_of_one_object() -> None:
    assert len(split(bytes(MAX_CONTENT + 40))) == 64


def test_the_key_of_an_object_is_fresh_each_time_and_its_parts_show_nothing_of_the_body() -> None:
    content: list[object] = [bytes(16), [b"known words " * 100]]
    (one, parts), (other, _) = sent(content, "one"), sent(content, "other")
    assert one.body[1] != other.body[1]
    assert not any(b"known words" in part for part in parts)

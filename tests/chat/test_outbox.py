"""What is kept of what was said directly, for how long, and how often it is said again."""

from __future__ import annotations

from node.chat.outbox import KEEP_MS, MAX_AGAIN, MAX_KEPT, Heard, Outbox, Sent
from node.chat.turn import Turn, unpack_row
from node.clock import Instant
from node.tables import Table
from node.wire.payload import Payload, Type

ANN = b"a" * 32
PLACE = (b"s" * 16, b"k" * 32, 0)


def turn_at(wall_ms: int) -> Turn:
    return Turn(Instant(wall_ms / 1000, wall_ms), wall_ms, bytes, 0)


def text(number: int) -> Payload:
    return Payload(number.to_bytes(16, "big"), 5, number, Type.TEXT, [f"words {number}", "text", None])


def say(outbox: Outbox, number: int, wall_ms: int = 0) -> Turn:
    turn = turn_at(wall_ms)
    outbox.sent(turn, ANN, PLACE, text(number))
    return turn


def test_the_newest_are_kept_without_their_words_and_come_back_after_a_start() -> None:
    outbox, rows = Outbox(), {}
    for number in range(MAX_KEPT + 5):
        rows.update(say(outbox, number).rows)
    mids = [sent.mid for sent in outbox.of(ANN)]
    assert mids == [text(number).mid for number in range(5, MAX_KEPT + 5)]
    stored = {key: row for (_, key), row in rows.items() if row is not None}
    assert len(stored) == MAX_KEPT and not any(b"words" in row for row in stored.values())
    again = Outbox()
    for row in reversed(stored.values()):
        again.restore(unpack_row(row, Sent))
    again.sort()
    assert again.of(ANN) == outbox.of(ANN)
    say(again, 9_999)
    assert again.of(ANN)[-1].number > outbox.of(ANN)[-1].number


def test_what_is_a_horizon_old_is_forgotten() -> None:
    outbox = Outbox()
    say(outbox, 1, 0)
    say(outbox, 2, 10)
    turn = turn_at(KEEP_MS)
    outbox.expire(turn)
    assert [sent.mid for sent in outbox.of(ANN)] == [text(2).mid]
    assert list(turn.rows.values()) == [None]


def test_what_somebody_has_seen_is_not_sent_to_another_device_of_theirs() -> None:
    outbox = Outbox()
    for number in range(4):
        say(outbox, number)
    turn = turn_at(0)
    outbox.acknowledged(turn, ANN, (text(1).mid, bytes(16)))
    outbox.acknowledged(turn, ANN, (text(0).mid,))
    assert outbox.seen[ANN] == unpack_row(turn.rows[Table.PENDING, b"s" + ANN] or b"", int)
    assert len(outbox.of(ANN)) == 4
    outbox.moved(turn, ANN)
    assert [sent.mid for sent in outbox.of(ANN)] == [text(2).mid, text(3).mid]


def test_one_payload_is_sent_again_a_few_times_at_most() -> None:
    outbox = Outbox()
    say(outbox, 1)
    for _ in range(3 * MAX_AGAIN):
        outbox.want(turn_at(0), ANN, lambda _sent: True)
        for _, payload in outbox.due(ANN):
            outbox.sent(turn_at(0), ANN, PLACE, payload)
    assert outbox.of(ANN)[0].again == MAX_AGAIN and not outbox.waiting()


def test_profiles_and_questions_are_not_kept() -> None:
    outbox, turn = Outbox(), turn_at(0)
    for kind, body in ((Type.PROFILE, ["a", None, None, None]), (Type.NACK, [bytes(16), [], None])):
        outbox.sent(turn, ANN, PLACE, Payload(bytes(16), 0, 0, kind, body))
    assert not turn.rows and not outbox.of(ANN)


def test_an_id_is_news_once_and_the_newest_ones_are_remembered() -> None:
    heard, rows = Heard(), {}
    for number in range(Heard.MOST + 10):
        turn = turn_at(0)
        assert heard.take(turn, ANN, text(number)) and not heard.take(turn, ANN, text(number))
        rows.update(turn.rows)
    stored = {key: row for (table, key), row in rows.items() if row is not None and table == Table.PENDING}
    assert len(stored) == Heard.MOST
    again = Heard()
    for key, row in reversed(stored.items()):
        again.restore(key[1:], unpack_row(row, bytes))
    again.sort()
    assert again.newest(ANN) == heard.newest(ANN) == [text(n).mid for n in range(322, 522)]
    assert not again.take(turn_at(0), ANN, text(400)) and again.take(turn_at(0), ANN, text(0))
    assert heard.take(turn_at(0), b"b" * 32, text(400)), "of another person"

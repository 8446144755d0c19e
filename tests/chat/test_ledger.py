from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from node import ids
from node.chat import events
from node.chat.ledger import MAX_OPEN, RECENT, TOLD, HeldRow, Ledger, Reached, at
from node.chat.people import People, Person
from node.chat.turn import Logged, Turn
from node.clock import Instant

ROOM, PEER, OTHER = bytes([1]) * 16, bytes([2]) * 32, bytes([3]) * 32
ORDER = ["held", "delivered", "read"]


def a_turn(seq: int = 0, ms: int = 1_000) -> Turn:
    return Turn(Instant(ms / 1000, ms), ms, bytes, seq)


def mid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def a_ledger(*, direct: bool = True) -> Ledger:
    people = People(b"me" * 16, "me")
    for account, name in ((PEER, "bob"), (OTHER, "cat")):
        people.restore(Person(account, name))
    return Ledger(people, {ROOM} if direct else set())


def told(turn: Turn) -> list[tuple[str, int, Any]]:
    """Return (status, number of the message, by) of what a turn tells, in order."""
    every = [out.event for out in turn.out if isinstance(out, Logged)]
    news = [event for event in every if isinstance(event, events.MessageStatus)]
    place = [(e, int.from_bytes(ids.parse(e.id), "big")) for e in news]
    return [(e.status, number, e.by if isinstance(e.by, str) else None) for e, number in place]


def say(ledger: Ledger, turn: Turn, *numbers: int) -> None:
    for number in numbers:
        ledger.said(turn, ROOM, mid(number), number)
        ledger.carried(turn, ROOM, mid(number), mid(number) + bytes(16), ledger.number(ROOM, mid(number)))


def test_a_message_is_held_only_when_those_before_it_are() -> None:
    ledger, turn = a_ledger(), a_turn()
    say(ledger, turn, 1, 2, 3)
    ledger.taken(turn, [mid(2), mid(3)])
    assert told(turn) == []
    ledger.taken(turn, [mid(1)])
    assert told(turn) == [("held", 1, None), ("held", 2, None), ("held", 3, None)]
    assert not ledger.following


def test_what_is_delivered_to_the_other_is_not_told_to_be_held_after_that() -> None:
    ledger, turn = a_ledger(), a_turn()
    say(ledger, turn, 1)
    ledger.receipt(turn, ROOM, PEER, (1, mid(1)), None)
    ledger.taken(turn, [mid(1)])
    assert told(turn) == [("delivered", 1, "bob")]
    assert not ledger.following


def test_read_says_delivered_and_a_position_never_moves_back() -> None:
    ledger, turn = a_ledger(), a_turn()
    say(ledger, turn, 1, 2)
    ledger.receipt(turn, ROOM, PEER, None, (2, mid(2)))
    ledger.receipt(turn, ROOM, PEER, (1, mid(1)), (1, mid(1)))
    ledger.receipt(turn, ROOM, PEER, (2, mid(2)), None)
    assert told(turn) == [("read", 1, "bob"), ("read", 2, "bob")]
    known = ledger.reached[ROOM, PEER]
    assert (at(known.delivered), at(known.read)) == (2, 2)


def test_in_a_group_everybody_has_a_position_of_their_own() -> None:
    ledger, turn = a_ledger(direct=False), a_turn()
    say(ledger, turn, 1)
    ledger.receipt(turn, ROOM, PEER, (1, mid(1)), None)
    ledger.receipt(turn, ROOM, OTHER, (1, mid(1)), (1, mid(1)))
    assert told(turn) == [("held", 1, None), ("delivered", 1, "bob"), ("read", 1, "cat")]


def test_of_many_at_once_the_newest_are_told_of_and_all_are_meant() -> None:
    ledger, turn = a_ledger(), a_turn()
    say(ledger, turn, *range(1, 201))
    ledger.receipt(turn, ROOM, PEER, (200, mid(200)), None)
    assert told(turn) == [("delivered", n, "bob") for n in range(201 - TOLD, 201)]
    assert at(ledger.reached[ROOM, PEER].delivered) == 200


def test_of_messages_that_are_not_remembered_the_one_named_is_told() -> None:
    ledger, turn = a_ledger(), a_turn()
    ledger.receipt(turn, ROOM, PEER, (7, mid(7)), None)
    assert told(turn) == [("delivered", 7, "bob")]


def test_too_many_to_be_followed_become_one_that_a_sync_settles() -> None:
    ledger, turn = a_ledger(), a_turn()
    say(ledger, turn, *range(1, MAX_OPEN + 11))
    ledger.taken(turn, [mid(n) for n in range(1, MAX_OPEN + 11)])
    assert told(turn) == []
    ledger.in_step(turn, turn.mesh_ms)
    assert told(turn) == []
    ledger.in_step(turn, turn.mesh_ms + 1)
    assert told(turn)[-1] == ("held", MAX_OPEN + 10, None)
    assert not ledger.following
    assert not ledger._carriers


def test_what_no_peer_has_is_told_when_it_is_given_up() -> None:
    ledger, turn = a_ledger(), a_turn()
    say(ledger, turn, 1)
    assert ledger.unheld_since(ROOM) == [(mid(1), 1_000)]
    ledger.failed(turn, ROOM, mid(1), "expired")
    assert told(turn) == [("failed", 1, None)]
    assert not ledger.following


def test_who_leaves_without_having_it_is_told_of_if_they_ever_told_anything() -> None:
    ledger, turn = a_ledger(direct=False), a_turn()
    say(ledger, turn, 1, 2)
    ledger.left(turn, ROOM, OTHER, "left")
    ledger.receipt(turn, ROOM, PEER, (1, mid(1)), None)
    ledger.left(turn, ROOM, PEER, "removed")
    assert told(turn)[-1] == ("failed", 2, "bob")
    assert [by for status, _, by in told(turn) if status == "failed"] == ["bob"]


def test_what_was_sent_twice_is_followed_in_its_newest_envelope() -> None:
    ledger, turn = a_ledger(), a_turn()
    say(ledger, turn, 1)
    ledger.carried(turn, ROOM, mid(1), b"another envelope" + bytes(16), ledger.number(ROOM, mid(1)))
    ledger.taken(turn, [mid(1)])
    assert told(turn) == []
    ledger.taken(turn, [b"another envelope"])
    assert told(turn) == [("held", 1, None)]


Step = tuple[str, int, int, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["say", "taken", "step", "receipt"]),
        st.integers(1, 30),
        st.integers(0, 30),
        st.booleans(),
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
def test_no_status_goes_back_or_comes_twice_in_whatever_order_news_come(
    steps: list[Step], direct: bool
) -> None:
    ledger, seq, seen = a_ledger(direct=direct), 0, dict[tuple[int, Any], list[str]]()
    for what, one, other, flag in steps:
        turn = a_turn(ms=1_000 + seq)
        match what:
            case "say":
                seq += 1
                say(ledger, turn, seq)
            case "taken":
                ledger.taken(turn, [mid(n) for n in range(min(one, other), max(one, other))])
            case "step":
                ledger.in_step(turn, 1_000 + one)
            case _:
                far = (min(one, seq), mid(min(one, seq))) if seq else None
                read = (min(other, seq), mid(min(other, seq))) if flag and seq and other else None
                ledger.receipt(turn, ROOM, PEER if flag or direct else OTHER, far, read)
        for status, number, by in told(turn):
            seen.setdefault((number, None if direct else by), []).append(status)
    for statuses in seen.values():
        assert statuses == sorted(set(statuses), key=ORDER.index)
    assert all(len(line) <= RECENT for line in ledger._recent.values())


def test_stored_positions_are_taken_back() -> None:
    ledger, turn = a_ledger(), a_turn()
    ledger.restore(Reached(ROOM, PEER, ((5, 1),), ((3, 1),)))
    ledger.restore(HeldRow(ROOM, 6, mid(6), 1))
    ledger.receipt(turn, ROOM, PEER, (4, mid(4)), (3, mid(3)))
    assert told(turn) == []
    ledger.receipt(turn, ROOM, PEER, (6, mid(6)), None)
    assert told(turn) == [("delivered", 6, "bob")]

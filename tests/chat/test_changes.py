"""What changes make of a message: the same in every order, and within bounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from hypothesis import given, strategies as st

from node.chat import changes, events
from node.chat.changes import MAX_EACH, MAX_REGISTERS, MAX_SHOWN, Change, Message
from node.chat.people import People, Person
from node.wire.payload import Type

ANN, BOB, CAT = (bytes([number]) * 32 for number in (1, 2, 3))
MID = bytes(16)


def people() -> People:
    known = People(ANN, "ann")
    for account, name in ((BOB, "bob"), (CAT, "cat")):
        known.restore(Person(account, name))
    return known


PEOPLE = people()
SAID = events.UserMessage(
    username="ann",
    timestamp=1,
    message="first",
    room="room",
    id="id",
    user_id=PEOPLE.user_id(ANN),
    ts_ms=1000,
    seq=7,
)

stamps = st.tuples(st.integers(0, 3), st.integers(0, 2), st.binary(min_size=16, max_size=16))
edits = st.builds(
    lambda stamp, text: Change(ANN, ANN, MID, stamp, Type.EDIT, text=text),
    stamps,
    st.sampled_from("abc"),
)
deletes = st.builds(
    lambda stamp, by: Change(by, ANN, MID, stamp, Type.DELETE), stamps, st.sampled_from([ANN, BOB])
)
reactions = st.builds(
    lambda stamp, by, emoji, on: Change(by, ANN, MID, stamp, Type.REACTION, emoji=emoji, on=on),
    stamps,
    st.sampled_from([ANN, BOB, CAT]),
    st.sampled_from("\N{EYES}\N{CAT}\N{DOG}"),
    st.booleans(),
)


def after(those: list[Change]) -> Message:
    message = Message(SAID)
    for change in those:
        message = changes.applied(PEOPLE, message, change)
    return message


@given(st.lists(edits | reactions | reactions | deletes, max_size=5), st.data())
def test_all_orders_of_the_same_changes_come_to_the_same(those: list[Change], data: st.DataObject) -> None:
    first = after(those)
    for order in permutations(those):
        assert after(list(order)) == first
    assert after(those + data.draw(st.permutations(those))) == first


@given(st.lists(reactions, max_size=40), st.randoms())
def test_registers_beyond_the_bound_do_not_depend_on_the_order(those: list[Change], random: object) -> None:
    many = [
        replace(change, emoji=chr(0x1F600 + number % 13), stamp=(number % 7, 0, change.stamp[2]))
        for number, change in enumerate(those)
    ]
    shuffled = list(many)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert after(many) == after(shuffled)


def test_a_person_keeps_their_newest_reactions_and_a_message_so_many() -> None:
    mine = [
        Change(BOB, ANN, MID, (number, 0, MID), Type.REACTION, emoji=chr(0x1F600 + number), on=True)
        for number in range(MAX_EACH + 3)
    ]
    shown = after(mine).event.reactions
    assert isinstance(shown, list)
    assert {one.emoji for one in shown} == {one.emoji for one in mine[3:]}
    crowd = [
        Change(
            number.to_bytes(32, "big"),
            ANN,
            MID,
            (number, 0, MID),
            Type.REACTION,
            emoji=chr(0x1F300 + number % 64),
            on=True,
        )
        for number in range(1, MAX_REGISTERS + 100)
    ]
    full = after(crowd)
    assert len(full.marks.registers) == MAX_REGISTERS
    assert isinstance(full.event.reactions, list)
    assert len(full.event.reactions) == MAX_SHOWN
    assert len(changes.write(full)) < 120_000


def test_a_stored_message_is_read_back_with_what_decides_and_frontends_see_its_first_line() -> None:
    message = after(
        [
            Change(ANN, ANN, MID, (2, 0, MID), Type.EDIT, text="line\nbreak"),
            Change(BOB, ANN, MID, (3, 0, MID), Type.REACTION, emoji="\N{CAT}", on=True),
        ]
    )
    stored = changes.write(message)
    assert changes.read(stored) == message
    line, _, rest = stored.partition(b"\n")
    assert events.decode_json(line) == message.event and rest
    assert changes.write(Message(SAID)) == events.encode_json(SAID)
    assert changes.read(b"{}") is changes.read(None) is None


def test_of_a_deleted_message_no_words_are_left() -> None:
    edited = after([Change(ANN, ANN, MID, (2, 0, MID), Type.EDIT, text="words", mentions=(BOB,))])
    gone = changes.applied(PEOPLE, edited, Change(ANN, ANN, MID, (1, 0, MID), Type.DELETE))
    assert b"words" not in changes.write(gone) and b"first" not in changes.write(gone)
    assert gone.event.deleted is True and gone.event.seq == 7

"""The kept messages of a room: the newest, in order, in memory as in the store."""

from __future__ import annotations

from dataclasses import replace

from node.chat.keeping import MAX_KEPT_BYTES, Keeper, Kept
from node.chat.turn import Turn, unpack_row
from node.clock import Instant
from node.crypto import roommsg
from node.crypto.chain import RecvChain, SendChain
from node.crypto.primitives import ed25519_keypair
from node.crypto.roomitem import parse_item
from node.crypto.roommsg import Kind
from node.sim import stream
from node.wire.payload import Payload, Type

ROOM = bytes(16)


def turn() -> Turn:
    return Turn(Instant(0.0, 0), 0, stream("keeping"), 0)


def text(index: int, size: int = 10) -> Payload:
    return Payload(index.to_bytes(16, "big"), 1, 1, Type.TEXT, ["x" * min(size, 16_000), "text", None])


def edit(index: int, target: int, words: str = "y") -> Payload:
    return Payload(index.to_bytes(16, "big"), 1, 1, Type.EDIT, [target.to_bytes(16, "big"), words, [], None])


def say(
    keeper: Keeper, at: Turn, index: int, limit: int, size: int = 10, payload: Payload | None = None
) -> None:
    chain, payload = SendChain(bytes(32), index), payload or text(index, size)
    _, inner = roommsg.seal(
        chain,
        kind=Kind.MESSAGE,
        room_id=ROOM,
        epoch16=ROOM,
        device_id=ROOM,
        view16=ROOM,
        payload=payload.encode(),
        dsk_sk=ed25519_keypair(bytes(32))[1],
        entropy=stream(str(index)),
    )
    keeper.keep(at, limit, RecvChain(chain.key, chain.index), inner, payload)


def indexes(keeper: Keeper) -> list[int]:
    return [parse_item(item).msg.core.index for item in keeper.items()]


def test_the_newest_are_kept_in_order_and_stored_as_in_memory() -> None:
    keeper, at = Keeper(ROOM), turn()
    for index in range(10):
        say(keeper, at, index, 4)
    assert indexes(keeper) == [6, 7, 8, 9]
    rows = [unpack_row(row, Kept) for row in at.rows.values() if row is not None]
    again = Keeper(ROOM)
    again.restore(rows[::-1])
    assert again.items() == keeper.items()
    say(again, at, 10, 4)
    assert indexes(again) == [7, 8, 9, 10]


def test_what_was_there_before_goes_before_and_first() -> None:
    keeper, at, other = Keeper(ROOM), turn(), Keeper(ROOM)
    for index in (5, 6):
        say(keeper, at, index, 4)
    for index in (1, 2, 3):
        say(other, turn(), index, 4)
    items = [(item, parse_item(item).msg.core, text(1 + at)) for at, item in enumerate(other.items())]
    keeper.put_before(at, 4, items)
    assert indexes(keeper) == [2, 3, 5, 6]


def test_nothing_is_kept_without_a_policy_and_everything_goes_with_it() -> None:
    keeper, at = Keeper(ROOM), turn()
    say(keeper, at, 1, 0)
    assert keeper.items() == [] and at.rows == {}
    say(keeper, at, 1, 3)
    keeper.bound(at, 0)
    assert keeper.items() == [] and set(at.rows.values()) == {None}


def test_what_is_kept_fits_one_object() -> None:
    keeper, at = Keeper(ROOM), turn()
    for index in range(130):
        say(keeper, at, index, 1000, size=16_000)
    assert sum(len(item) for item in keeper.items()) <= MAX_KEPT_BYTES
    assert indexes(keeper)[-1] == 129


def changed(keeper: Keeper) -> list[int]:
    return [parse_item(item).msg.core.index for item in keeper.changes()]


def test_of_two_changes_that_set_the_same_the_later_stays_and_both_go_with_their_message() -> None:
    keeper, at = Keeper(ROOM), turn()
    say(keeper, at, 1, 3)
    for index in (2, 3):
        say(keeper, at, index, 3, payload=edit(index, 1))
    say(keeper, at, 4, 3, payload=edit(4, 99))
    assert changed(keeper) == [3] and indexes(keeper) == [1]
    again = Keeper(ROOM)
    again.restore([unpack_row(row, Kept) for row in at.rows.values() if row is not None])
    assert changed(again) == [3] and again.items() == keeper.items()
    for index in (5, 6, 7):
        say(keeper, at, index, 3)
    assert indexes(keeper) == [5, 6, 7] and changed(keeper) == []
    keeper.bound(at, 0)
    assert set(at.rows.values()) == {None}


def test_changes_push_no_message_out() -> None:
    keeper, at = Keeper(ROOM), turn()
    for index in range(3):
        say(keeper, at, index, 3)
    for index in range(3, 20):
        say(keeper, at, index, 3, payload=edit(index, index % 3 + 50))
    assert indexes(keeper) == [0, 1, 2]
    assert sum(row is not None for row in at.rows.values()) == 6


def test_a_message_that_is_erased_goes_with_its_changes_one_of_an_earlier_release_too() -> None:
    keeper, at = Keeper(ROOM), turn()
    for index in (1, 2):
        say(keeper, at, index, 9)
    say(keeper, at, 3, 9, payload=edit(3, 1))
    keeper.erase(at, text(1).mid, lambda mid, _core: mid == text(1).mid)
    assert indexes(keeper) == [2] and changed(keeper) == []
    old = Keeper(ROOM)
    old.restore([replace(unpack_row(row, Kept), mid=b"") for row in at.rows.values() if row is not None])
    old.erase(at, text(2).mid, lambda mid, _core: mid == text(2).mid)
    assert old.items() == [] and set(at.rows.values()) == {None}

"""The kept messages of a room: the newest, in order, in memory as in the store."""

from __future__ import annotations

from node.chat.keeping import MAX_KEPT_BYTES, Keeper, Kept
from node.chat.turn import Turn, unpack_row
from node.clock import Instant
from node.crypto import roommsg
from node.crypto.chain import RecvChain, SendChain
from node.crypto.primitives import ed25519_keypair
from node.crypto.roomitem import parse_item
from node.crypto.roommsg import Kind
from node.sim import stream

ROOM = bytes(16)


def turn() -> Turn:
    return Turn(Instant(0.0, 0), 0, stream("keeping"), 0)


def say(keeper: Keeper, at: Turn, index: int, limit: int, size: int = 10) -> None:
    chain = SendChain(bytes(32), index)
    _, inner = roommsg.seal(
        chain,
        kind=Kind.MESSAGE,
        room_id=ROOM,
        epoch16=ROOM,
        device_id=ROOM,
        view16=ROOM,
        payload=bytes(size),
        dsk_sk=ed25519_keypair(bytes(32))[1],
        entropy=stream(str(index)),
    )
    keeper.keep(at, limit, RecvChain(chain.key, chain.index), inner)


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
    keeper.put_before(at, 4, other.items())
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
    for index in range(70):
        say(keeper, at, index, 1000, size=30_000)
    assert sum(len(item) for item in keeper.items()) <= MAX_KEPT_BYTES
    assert indexes(keeper)[-1] == 69

"""Which leaf a slot is made for, and when ours is renewed and named."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from node.chat.leaves import Leaves
from node.chat.me import LEAF_DAYS, Me
from node.chat.turn import Turn, unpack_row
from node.clock import DAY_MS, Instant
from node.crypto.ops import Leaf
from tests.chat.room_samples import ADA, BEN, CYD, NOW, add_of, does, new_room


def turn(days: int = 0) -> Turn:
    at_ms = NOW + days * DAY_MS
    return Turn(Instant(0.0, at_ms), at_ms, Random(days).randbytes, 0)


def ours() -> tuple[Leaves, Turn]:
    """The leaves of a room that we made a moment ago, with Ben in it."""
    at = turn()
    me = Me.create(ADA.keys, "ada", "Ada", at.now, at.entropy)
    founder = replace(ADA, leaf=me.new_leaf(at))
    log = new_room(founder)
    does(log, ADA, add_of(BEN))
    return Leaves(log.room_id, me, log), at


def test_a_leaf_is_that_of_the_log_until_a_message_brings_one_of_a_higher_number() -> None:
    leaves, at = ours()
    ben = leaves.log.roster.members[BEN.account]
    assert leaves.of(ben) == BEN.leaf
    for number in (5, 4, 6, 2):
        leaves.renewed(at, BEN.device, Leaf(number, ADA.leaf.public))
    assert leaves.of(ben) == Leaf(6, ADA.leaf.public)
    assert leaves.of(replace(ben, leaf=Leaf(7, BEN.leaf.public))).leaf_id == 7, "as after a return"


def test_ours_is_renewed_when_it_is_a_week_old_and_stored_with_the_message() -> None:
    leaves, at = ours()
    assert leaves.fresh(at) is None
    assert leaves.fresh(turn(LEAF_DAYS - 1)) is None
    later = turn(LEAF_DAYS)
    named = leaves.fresh(later)
    assert named == (2, leaves.me.leaves[2].public)
    stored = later.rows["objects", b"leaf" + leaves.room_id + ADA.device]
    assert stored is not None and unpack_row(stored, tuple[int, bytes]) == named
    assert leaves.me.leaves[1].replaced_day is not None and leaves.me.leaves[2].replaced_day is None


def test_a_leaf_that_the_log_does_not_tell_is_named_once_for_each_roster() -> None:
    leaves, _ = ours()
    named = leaves.fresh(turn(LEAF_DAYS))
    assert [leaves.for_newcomers() for _ in range(3)] == [named, None, None]
    does(leaves.log, ADA, add_of(CYD))
    assert [leaves.for_newcomers() for _ in range(2)] == [named, None]


def test_who_is_out_retires_the_leaf_in_use() -> None:
    leaves, at = ours()
    leaves.retire(at)
    assert leaves.me.leaves[1].replaced_day is not None

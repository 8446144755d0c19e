"""What people do beside each other comes to one room, and what is done behind a back to nothing."""

from __future__ import annotations

import pytest

from node.crypto.ops import (
    Leave,
    Meta,
    Remove,
    Role,
    RoleChange,
)
from tests.chat.room_samples import (
    ADA,
    BEN,
    CYD,
    DOT,
    EVE,
    FAY,
    accounts,
    add_of,
    beside,
    does,
    facts,
    later,
    new_room,
    people,
    person,
    ranked_room,
    refused,
    replica,
)


@pytest.mark.attack("A19")
def test_what_a_removed_admin_did_behind_the_removers_back_is_void_with_all_that_hangs_on_it() -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    sneaked = beside(log, BEN, add_of(FAY), (last,))
    side = replica(log, sneaked)
    hangs = does(side, FAY, add_of(person(7)))
    attack = does(side, FAY, Remove(EVE.account))
    removal = later(log, Remove(BEN.account))
    for ops_ in ((sneaked, hangs, attack), (attack, hangs, sneaked)):
        got = replica(log, *ops_)
        assert accounts(got) == people(ADA, CYD, DOT, EVE)
        assert not any(got.applied(op.op_id) for op in (sneaked, hangs, attack))
        assert got.applied(removal.op_id)


def test_what_the_remover_had_seen_stays() -> None:
    log = ranked_room()
    does(log, BEN, add_of(FAY))
    does(log, ADA, Remove(BEN.account))
    assert FAY.account in log.roster.members


@pytest.mark.attack("A20")
def test_equals_who_remove_the_same_member_agree_and_cannot_remove_each_other() -> None:
    log = new_room(ADA)
    for who, role in ((BEN, Role.ADMIN), (CYD, Role.ADMIN), (DOT, Role.GREETER)):
        does(log, ADA, add_of(who, role))
    refused(log, BEN, Remove(CYD.account))
    last = log.ops_in_order()[-1]
    one, two = (beside(log, who, Remove(DOT.account), (last,)) for who in (BEN, CYD))
    assert facts(replica(log, one, two)) == facts(replica(log, two, one))


@pytest.mark.attack("A20")
def test_a_demoted_admin_does_nothing_more_by_not_having_heard_of_it() -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    unheard = beside(log, BEN, Remove(CYD.account), (last,))
    later(log, RoleChange(BEN.account, Role.MEMBER))
    got = replica(log, unheard)
    assert CYD.account in got.roster.members
    assert got.roster.members[BEN.account].role is Role.MEMBER
    assert not got.applied(unheard.op_id)


@pytest.mark.attack("A20")
def test_a_promotion_leaves_what_was_done_beside_it() -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    unheard = beside(log, CYD, add_of(FAY), (last,))
    later(log, RoleChange(CYD.account, Role.ADMIN))
    got = replica(log, unheard)
    assert FAY.account in got.roster.members
    assert got.roster.members[CYD.account].role is Role.ADMIN


def test_someone_added_twice_at_once_is_a_member_once() -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    one, two = (beside(log, who, add_of(FAY), (last,)) for who in (CYD, DOT))
    left, right = replica(log, one, two), replica(log, two, one)
    assert facts(left) == facts(right)
    assert FAY.account in left.roster.members
    assert left.applied(one.op_id) != left.applied(two.op_id)


def test_an_add_beside_a_removal_does_not_bring_anyone_back() -> None:
    log = ranked_room()
    does(log, EVE, Leave())
    last = log.ops_in_order()[-1]
    one = beside(log, CYD, add_of(EVE), (last,))
    side = replica(log, beside(log, DOT, add_of(EVE), (last,)))
    gone = does(side, ADA, Remove(EVE.account))
    both = [op for op in side.ops_in_order() if not log.knows(op.op_id)]
    left, right = replica(log, one, *both), replica(log, *both, one)
    assert facts(left) == facts(right)
    assert left.applied(gone.op_id)
    assert EVE.account not in left.roster.members


@pytest.mark.attack("A20")
def test_ops_that_make_each_other_void_in_turn_end_with_the_removal() -> None:
    log = ranked_room()
    gus = person(8)
    does(log, ADA, add_of(gus, Role.ADMIN))
    last = log.ops_in_order()[-1]
    behind = beside(log, BEN, add_of(FAY), (last,))
    again = beside(log, CYD, add_of(FAY), (last,))
    side = replica(log, behind)
    gone = does(side, gus, Remove(FAY.account))
    later(log, Remove(BEN.account))
    for order in ((behind, again, gone), (gone, again, behind)):
        assert FAY.account not in replica(log, *order).roster.members


@pytest.mark.attack("A21")
def test_of_two_ops_with_one_number_the_smaller_counts_and_both_are_kept_as_proof() -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    one = beside(log, BEN, Meta("one"), (last,))
    two = beside(log, BEN, Meta("two"), (last,))
    small, large = sorted([one, two], key=lambda op: op.op_id)
    left, right = replica(log, one, two), replica(log, two, one)
    assert facts(left) == facts(right)
    assert left.applied(small.op_id)
    assert not left.applied(large.op_id)
    assert left.forks == right.forks == ((small, large),)
    assert isinstance(small.body, Meta)
    assert left.name == small.body.name


def test_a_leave_cannot_be_taken_back_by_a_second_op_of_its_number() -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    leave = beside(log, BEN, Leave(), (last,))
    smaller = (beside(log, BEN, Meta(str(n)), (last,)) for n in range(1000))
    other = next(op for op in smaller if op.op_id < leave.op_id)
    assert BEN.account not in replica(log, leave, other).roster.members
    assert BEN.account not in replica(log, other, leave).roster.members

"""What counts of those who went, in the epochs that did not know it."""

from __future__ import annotations

import pytest

from node.crypto.ops import (
    Leave,
    Remove,
)
from tests.chat.room_samples import (
    ADA,
    BEN,
    CYD,
    E0,
    E1,
    E2,
    EVE,
    add_of,
    beside,
    does,
    facts,
    new_room,
    ranked_room,
    replica,
)


@pytest.mark.attack("A18")
def test_a_removed_device_counts_up_to_the_cut_and_in_no_epoch_that_is_not_listed() -> None:
    log = new_room(ADA)
    added = does(log, ADA, add_of(BEN))
    assert log.cut_for(BEN.device) is None
    heads = log.heads
    does(log, ADA, Remove(BEN.account, cut=((BEN.device, E0, 4), (BEN.device, E1, -1))))
    assert log.cut_for(BEN.device) == {E0: 4, E1: -1}
    assert log.cut_for(ADA.device) is None
    assert log.allows(BEN.device, E0, 4, heads)
    assert not log.allows(BEN.device, E0, 5, heads)
    assert log.allows(BEN.device, E1, -1, heads)
    assert not log.allows(BEN.device, E1, 0, heads)
    assert not log.allows(BEN.device, E2, -1, heads)
    assert log.allows(ADA.device, E2, 9, heads)
    assert log.cut_for(BEN.device, [added.op_id]) is not None
    assert log.device(BEN.device) is not None
    assert log.roster.by_device(BEN.device) is None


def test_entries_of_a_cut_for_other_devices_are_nothing() -> None:
    log = ranked_room()
    does(log, CYD, Remove(EVE.account, cut=((BEN.device, E0, 0),)))
    assert log.cut_for(BEN.device) is None
    assert log.cut_for(EVE.device) == {}


@pytest.mark.parametrize("leaves", [True, False])
def test_who_went_can_be_added_again_and_speaks_in_every_epoch_since(leaves: bool) -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    before = log.heads
    cut = ((BEN.device, E0, 4),)
    if leaves:
        does(log, BEN, Leave(cut))
    else:
        does(log, ADA, Remove(BEN.account, cut=cut))
    assert BEN.account not in log.roster.members
    again = does(log, ADA, add_of(BEN))
    assert log.roster.members[BEN.account].added_by == again.op_id
    assert log.allows(BEN.device, E1, 100, log.heads)
    assert log.cut_for(BEN.device, log.heads) is None
    assert not log.allows(BEN.device, E0, 5, before)
    does(log, BEN, add_of(CYD))
    assert CYD.account in log.roster.members


def test_a_second_removal_cuts_the_newer_epochs_and_reopens_nothing_of_the_older() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    first = log.heads
    does(log, ADA, Remove(BEN.account, cut=((BEN.device, E0, 4),)))
    does(log, ADA, add_of(BEN))
    second = log.heads
    does(log, ADA, Remove(BEN.account, cut=((BEN.device, E0, 9), (BEN.device, E1, 2))))
    assert not log.allows(BEN.device, E0, 5, first)
    assert log.allows(BEN.device, E1, 2, second)
    assert not log.allows(BEN.device, E1, 3, second)
    assert log.cut_for(BEN.device, log.heads) is None


def test_of_two_removals_beside_each_other_the_higher_index_counts() -> None:
    log = ranked_room()
    heads = log.heads
    last = log.ops_in_order()[-1]
    one = beside(log, ADA, Remove(EVE.account, cut=((EVE.device, E0, 3), (EVE.device, E1, 0))), (last,))
    two = beside(log, BEN, Remove(EVE.account, cut=((EVE.device, E0, 5),)), (last,))
    left, right = replica(log, one, two), replica(log, two, one)
    assert left.cut_for(EVE.device, heads) == right.cut_for(EVE.device, heads) == {E0: 5, E1: 0}
    assert facts(left) == facts(right)

"""A device whose account goes on at another: what somebody with its keys alone can still do to the log."""

from __future__ import annotations

from random import Random

import pytest

from node.chat.membership import RoomLog
from node.crypto.ops import Device, Invite, Leave, Meta, Op, OpBody, Remove
from node.errors import PeerFault
from tests.chat.room_samples import (
    ADA,
    BEN,
    CYD,
    NOW,
    Person,
    add_of,
    beside,
    facts,
    invite,
    ranked_room,
    replace_device,
    replica,
)

ELSEWHERE = replace_device(ADA, Random(41).randbytes, 1_700_000_000)
BENS = replace_device(BEN, Random(42).randbytes, 1_700_000_001)


def device(who: Person) -> Device:
    return Device(who.cert.raw, who.devices.raw, who.leaf)


def both_ways(log: RoomLog, *ops: Op) -> RoomLog:
    """Return a log that learnt the ops in this order; in the other it comes to the same."""
    one, other = replica(log, *ops), replica(log, *reversed(ops))
    assert facts(one) == facts(other)
    return one


@pytest.mark.attack("A37")
@pytest.mark.parametrize("body", [Meta("thief"), invite(9), add_of(CYD)])
def test_the_keys_of_the_old_device_alone_do_not_hold_off_the_new_one(body: OpBody) -> None:
    log = ranked_room()
    if not isinstance(body, Meta | Invite):
        log.add(log.next_op(ADA.keys, Remove(CYD.account), ts_ms=NOW))
    last = log.ops_in_order()[-1]
    thief = beside(log, ADA, body, (last,))
    back = beside(log, ELSEWHERE, device(ELSEWHERE), (last,))
    assert thief.author_seq == back.author_seq
    after = both_ways(log, thief, back)
    assert after.roster.members[ADA.account].device_id == ELSEWHERE.device
    assert after.roster.by_device(ADA.device) is None
    following = after.next_op(ELSEWHERE.keys, Meta("mine"), ts_ms=NOW)
    more = beside(replica(log, thief), ADA, Meta("thief again"), (thief,))
    end = both_ways(after, following, more)
    assert end.roster.members[ADA.account].device_id == ELSEWHERE.device
    with pytest.raises(PeerFault):
        end.add(end.next_op(ADA.keys, Meta("on top"), ts_ms=NOW))


@pytest.mark.attack("A21")
def test_two_ops_of_one_number_by_one_device_are_still_one() -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    one, two = (beside(log, BEN, Meta(name), (last,)) for name in ("one", "two"))
    after = both_ways(log, one, two)
    assert after.applied(min(one, two, key=lambda op: op.op_id).op_id)
    assert not after.applied(max(one, two, key=lambda op: op.op_id).op_id)
    assert len(after.forks) == 1


@pytest.mark.attack("A20")
@pytest.mark.parametrize("rejoined", [False, True])
def test_who_was_removed_or_left_does_not_come_back_at_another_device(rejoined: bool) -> None:
    log = ranked_room()
    last = log.ops_in_order()[-1]
    back = beside(log, BENS, device(BENS), (last,))
    going = beside(log, ADA, Remove(BEN.account), (last,))
    after = both_ways(log, back, going)
    assert BEN.account not in after.roster.members
    assert after.device(BENS.device) is None, "it never was in the room"
    gone = replica(log, going)
    with pytest.raises(PeerFault):
        gone.add(gone.next_op(BENS.keys, device(BENS), ts_ms=NOW))
    left = both_ways(log, back, beside(log, BEN, Leave(), (last,)))
    assert BEN.account not in left.roster.members
    if rejoined:
        after.add(after.next_op(ADA.keys, add_of(BEN), ts_ms=NOW))
        assert after.roster.members[BEN.account].device_id == BEN.device

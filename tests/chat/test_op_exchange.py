"""What is asked for, what may be given to whom, and when a room was known to be over."""

from __future__ import annotations

from node.chat.op_exchange import BESIDE_BYTES, HUSH, MAX_ASKED, MAX_BYTES, MAX_NAMES, _Ask
from node.chat.parked import MAX_NAMED, Parked, needed
from node.crypto.ops import Delete, Leave, Meta, Remove
from node.wire.payload import MAX_OP_BYTES
from tests.chat.room_samples import ADA, BEN, CYD, EVE, add_of, beside, does, ranked_room, replica

HERE = b"e" * 16


def test_an_op_is_open_to_those_who_had_not_gone_before_it() -> None:
    log = ranked_room()
    before = does(log, ADA, Meta(topic="before"))
    removal = does(log, ADA, Remove(EVE.account))
    after = does(log, ADA, Meta(topic="after"))
    everybody = [ADA.device, BEN.device, EVE.device]
    assert log.was_open_to(everybody, before.op_id)
    assert log.was_open_to(everybody, removal.op_id)
    assert not log.was_open_to(everybody, after.op_id)
    assert log.was_open_to([ADA.device, BEN.device], after.op_id)
    assert not log.was_open_to([bytes(16)], before.op_id)


def test_an_op_beside_a_leave_is_open_to_who_left_and_all_is_to_who_came_back() -> None:
    log = ranked_room()
    parents = (log.ops_in_order()[-1],)
    leave = beside(log, CYD, Leave(), parents)
    meta = beside(log, ADA, Meta(topic="beside"), parents)
    for op in (leave, meta):
        log.add(op)
    after = does(log, ADA, Meta(topic="after"))
    assert log.was_open_to([CYD.device], meta.op_id)
    assert not log.was_open_to([CYD.device], after.op_id)
    does(log, ADA, add_of(CYD))
    assert log.was_open_to([CYD.device], after.op_id)


def test_who_knew_the_end_or_anything_after_it_knew_that_the_room_was_over() -> None:
    log = ranked_room()
    before = log.view16
    end = does(log, BEN, Delete())
    gone = does(log, CYD, Leave())
    assert log.deleted
    assert not log.deleted_at(before)
    assert log.deleted_at(end.op16)
    assert log.deleted_at(gone.op16)


def test_a_void_end_ends_nothing() -> None:
    log = ranked_room()
    parents = (log.ops_in_order()[-1],)
    end = beside(log, BEN, Delete(), parents)
    log.add(end)
    assert log.deleted
    log.add(beside(log, ADA, Remove(BEN.account), parents))
    assert not log.deleted
    assert not log.deleted_at(end.op16)


def test_what_is_needed_is_what_present_members_named_and_is_not_here() -> None:
    log = ranked_room()
    unknown, other = b"u" * 16, b"o" * 16
    parked = [
        Parked(log.room_id, HERE, b"1", unknown, ADA.device),
        Parked(log.room_id, HERE, b"2", log.view16, ADA.device),
        Parked(log.room_id, HERE, b"3", other, b"?" * 16),
        Parked(log.room_id, HERE, b"4"),
    ]
    assert needed(log, parked, ()) == {unknown: HERE}
    copy = replica(log)
    parent = does(copy, ADA, Meta(topic="parent"))
    child = does(copy, ADA, Meta(topic="child"))
    assert needed(log, (), [child]) == {parent.op16: b""}
    assert needed(log, (), [child, parent]) == {}


def test_one_device_names_only_so_many() -> None:
    log = ranked_room()
    parked = [
        Parked(log.room_id, HERE, bytes([n]), n.to_bytes(16, "big"), ADA.device)
        for n in range(1, MAX_NAMED + 9)
    ]
    parked.append(Parked(log.room_id, HERE, b"ben", b"b" * 16, BEN.device))
    found = needed(log, parked, ())
    assert len(found) == MAX_NAMED + 1
    assert b"b" * 16 in found


def test_waits_between_questions_grow_and_outlast_the_silence_of_those_who_answered() -> None:
    ask, waits = _Ask(0.0), []
    for _ in range(12):
        now = ask.due
        ask.again(now)
        waits.append(ask.due - now)
    assert waits == sorted(waits)
    assert waits[0] > HUSH
    assert waits[-1] == 6 * 3600


def test_the_largest_op_fits_an_answer() -> None:
    assert MAX_OP_BYTES < MAX_BYTES
    assert BESIDE_BYTES < MAX_BYTES
    assert MAX_NAMES <= MAX_ASKED

"""The room log: who is in, and what is before what."""

from __future__ import annotations

import pytest

from node.chat.membership import RoomLog
from node.crypto import ops
from node.crypto.epoch import roster_hash
from node.crypto.labels import Label
from node.crypto.ops import (
    Leave,
    Meta,
    Op,
    Remove,
    Role,
)
from node.crypto.primitives import sign
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire.codec import pack, unpack
from tests.chat.room_samples import (
    ADA,
    BEN,
    CYD,
    EVE,
    NOW,
    accounts,
    add_of,
    beside,
    create,
    does,
    facts,
    invite,
    new_room,
    people,
    person,
    ranked_room,
    refused,
    replica,
)


def test_a_new_room_holds_its_creator() -> None:
    log = new_room(ADA)
    member = log.roster.members[ADA.account]
    assert (member.role, member.device_id, member.dsk) == (Role.CREATOR, ADA.device, ADA.keys.dsk_pub)
    assert (member.name, member.leaf, member.certificate) == ("founder", ADA.leaf, ADA.cert)
    assert (log.name, log.creator, log.lamport, log.deleted) == ("harbour", ADA.account, 0, False)
    assert log.heads == (log.ops_in_order()[0].op_id,)
    assert log.view16 == log.heads[0][:16]


def test_the_room_is_the_one_that_its_create_op_makes() -> None:
    op = create(ADA)
    other = RoomLog(create(BEN).room_id)
    with pytest.raises(CryptoFault):
        other.add(op)
    assert not other.roster.members
    assert other.heads == ()


def test_an_added_member_is_in_and_adds_others_itself() -> None:
    log = new_room(ADA)
    added = does(log, ADA, add_of(BEN))
    does(log, BEN, add_of(CYD))
    assert accounts(log) == people(ADA, BEN, CYD)
    assert log.roster.members[BEN.account].added_by == added.op_id
    assert log.roster.by_device(BEN.device) == log.roster.members[BEN.account] == log.device(BEN.device)
    assert log.roster.device_ids() == sorted([ADA.device, BEN.device, CYD.device])
    assert log.roster.roster_hash == roster_hash([CYD.device, ADA.device, BEN.device])
    assert log.roster_at([added.op_id]).members.keys() == people(ADA, BEN)


def test_an_op_is_new_once_and_needs_its_parents() -> None:
    log = new_room(ADA)
    first, second = does(log, ADA, add_of(BEN)), does(log, BEN, add_of(CYD))
    copy = RoomLog(log.room_id)
    assert copy.add(second).missing == (first.op_id,)
    assert not copy.knows(second.op_id)
    assert copy.add(log.ops_in_order()[0]).new
    assert copy.add(first).new
    assert not copy.add(first).new
    assert copy.add(second).new
    assert facts(copy) == facts(log)


def test_heads_of_an_unknown_op_have_no_roster() -> None:
    log = new_room(ADA)
    for heads in ([b"?" * 32], []):
        with pytest.raises(CryptoFault):
            log.roster_at(heads)


@pytest.mark.attack("A01")
def test_a_stranger_changes_nothing() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    for body in (add_of(EVE), Remove(BEN.account), Leave(), Meta("mine")):
        refused(log, EVE, body, PeerFault)


@pytest.mark.attack("A01")
def test_an_op_signed_by_another_device_than_it_names_changes_nothing() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    op = log.next_op(ADA.keys, add_of(CYD), ts_ms=NOW)
    body = op.raw[:-64]
    forged = ops.parse_op(body + sign(Label.OP, BEN.keys.dsk_sk, body))
    with pytest.raises(CryptoFault):
        log.add(forged)
    fields = unpack(body)
    fields[4] = BEN.device
    borrowed = pack(fields)
    with pytest.raises(CryptoFault):
        log.add(ops.parse_op(borrowed + sign(Label.OP, BEN.keys.dsk_sk, borrowed)))
    assert accounts(log) == people(ADA, BEN)


@pytest.mark.attack("A01")
def test_every_flipped_bit_of_an_add_is_refused_by_the_log() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    before = facts(log)
    raw = log.next_op(ADA.keys, add_of(CYD), ts_ms=NOW).raw
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            op = ops.parse_op(bytes(changed))
            assert log.add(op).missing
        except PeerFault:
            continue
    assert facts(log) == before


def test_numbers_that_do_not_follow_are_refused() -> None:
    log = new_room(ADA)
    does(log, ADA, Meta("one"))
    for seq, lamport in ((2, 2), (4, 2), (3, 1), (3, 3)):
        op = ops.make_op(
            ADA.keys,
            room_id=log.room_id,
            author_seq=seq,
            parents=log.heads,
            lamport=lamport,
            ts_ms=NOW,
            body=Meta("x"),
        )
        with pytest.raises(DecodeError):
            log.add(op)


def test_more_heads_than_an_op_can_name_are_joined_step_by_step() -> None:
    log = new_room(ADA)
    crowd = [person(n) for n in range(10, 28)]
    for who in crowd:
        does(log, ADA, add_of(who))
    last = log.ops_in_order()[-1]
    for n, who in enumerate(crowd):
        log.add(beside(log, who, invite(n), (last,)))
    assert len(log.heads) == ops.MAX_PARENTS
    does(log, ADA, Meta("joined"))
    assert len(log.heads) == 3
    does(log, ADA, Meta("again"))
    assert len(log.heads) == 1


def test_the_graph_knows_what_came_before_what() -> None:
    log = ranked_room()
    first, last = log.ops_in_order()[0], log.ops_in_order()[-1]
    assert log.is_strict_ancestor(first.op16, last.op16)
    assert not log.is_strict_ancestor(last.op16, first.op16)
    assert not log.is_strict_ancestor(last.op16, last.op16)
    assert not log.is_strict_ancestor(b"?" * 16, last.op16)
    assert all(log.is_strict_ancestor(op.op_id, last.op_id) for op in log.ops_in_order()[:-1])
    assert log.includes([last.op_id], first.op_id)
    assert log.includes([last.op_id], last.op_id)
    assert not log.includes([first.op_id], last.op_id)
    side = beside(log, BEN, Meta("side"), (first, log.ops_in_order()[1]))
    log.add(side)
    assert not log.is_strict_ancestor(last.op_id, side.op_id)
    assert not log.is_strict_ancestor(side.op_id, last.op_id)
    assert log.op(side.op16) == side
    assert log.knows16(side.op16)


def test_a_full_log_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_room(ADA)
    monkeypatch.setattr("node.chat.membership.MAX_OPS", 1)
    refused(log, ADA, Meta("x"), DecodeError)


def test_many_adds_check_each_signature_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = new_room(ADA)
    crowd = [person(n) for n in range(100, 140)]
    for who in crowd:
        does(source, ADA, add_of(who))
    checked: list[Op] = []
    real = ops.verify_op

    def counted(op: Op, dsk_pub: bytes) -> None:
        checked.append(op)
        real(op, dsk_pub)

    monkeypatch.setattr("node.chat.membership.verify_op", counted)
    monkeypatch.setattr("node.chat.membership.resolve", lambda *_: pytest.fail("worked out from scratch"))
    copy = replica(source)
    assert len(copy.roster.members) == 41
    assert len(checked) == 41


def test_who_fills_the_log_can_still_be_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    monkeypatch.setattr("node.chat.membership.MAX_OPS", 2)
    with pytest.raises(DecodeError):
        does(log, ADA, add_of(CYD))
    does(log, ADA, Remove(BEN.account))
    assert accounts(log) == people(ADA)

"""The room log: who is in, who may do what, and the same answer whatever way the ops came."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from node.chat import roster
from node.chat.membership import RoomLog, Unauthorised
from node.clock import DAY_MS
from node.crypto import joining, keys, ops, prekeys
from node.crypto.epoch import roster_hash
from node.crypto.labels import Label
from node.crypto.ops import (
    Delete,
    Device,
    Invite,
    InviteRevoke,
    Inviting,
    Leaf,
    Leave,
    Meta,
    Op,
    OpBody,
    Policy,
    PolicyChange,
    Remove,
    Role,
    RoleChange,
    Visibility,
)
from node.crypto.primitives import sign
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire.codec import pack, unpack
from tests.chat.room_samples import (
    NOW,
    TODAY,
    Person,
    add_of,
    beside,
    create,
    does,
    facts,
    new_room,
    person,
    replica,
)

ADA, BEN, CYD, DOT, EVE = (person(n) for n in range(1, 6))
E0, E1, E2 = b"0" * 16, b"1" * 16, b"2" * 16


def accounts(log: RoomLog) -> set[bytes]:
    return set(log.roster.members)


def people(*some: Person) -> set[bytes]:
    return {who.account for who in some}


def invite(number: int = 1, **changes: object) -> Invite:
    seed = bytes([number]) * 32
    made = Invite(
        bytes([number]) * 16, joining.invite_keypair(seed)[0], b"c" * 32, 1, NOW + DAY_MS, Role.GREETER
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def refused(log: RoomLog, author: Person, body: OpBody, kind: type[PeerFault] = Unauthorised) -> None:
    """Assert that the op is refused and that the log is as it was."""
    before = facts(log)
    op = ops.make_op(
        author.keys,
        room_id=log.room_id,
        author_seq=log.next_author_seq(author.account),
        parents=log.heads,
        lamport=log.lamport + 1,
        ts_ms=NOW,
        body=body,
    )
    with pytest.raises(kind):
        log.add(op)
    assert facts(log) == before
    assert not log.knows(op.op_id)


# -- one after the other --------------------------------------------------------------------------


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


@pytest.mark.attack("A02")
def test_a_device_that_its_account_does_not_list_is_not_added() -> None:
    log = new_room(ADA)
    entropy = Random(77).randbytes
    ghost = replace_device(BEN, entropy)
    refused(log, ADA, replace(add_of(BEN), cert=ghost.cert.raw), CryptoFault)


def replace_device(who: Person, entropy: object, seq: int = 1) -> Person:
    """Return the same account on a new device, with a list of that number."""
    fresh = keys.Identity.generate(entropy, TODAY)  # type: ignore[arg-type]
    identity = keys.Identity(
        who.keys.account_seed,
        fresh.device_seed,
        fresh.dik_secret,
        fresh.intro_secret,
        fresh.node_seed,
        created_day=TODAY,
    )
    cert = keys.make_cert(identity, TODAY, TODAY + 3650)
    link = bytes(32) if seq == 1 else who.devices.list_hash
    devices = keys.make_list(identity, seq, link, [cert.cert_hash], [], TODAY)
    return Person(identity, cert, devices, Leaf(99, who.leaf.public), who.leaf_secret)


def test_a_device_belongs_to_one_account_for_good() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    shared = keys.Identity(
        EVE.keys.account_seed,
        BEN.keys.device_seed,
        BEN.keys.dik_secret,
        BEN.keys.intro_secret,
        BEN.keys.node_seed,
        created_day=TODAY,
    )
    cert = keys.make_cert(shared, TODAY, TODAY + 1)
    devices = keys.make_list(shared, 1, bytes(32), [cert.cert_hash], [], TODAY)
    body = ops.Add(EVE.account, Role.GREETER, cert.raw, devices.raw, EVE.leaf, "eve")
    assert cert.device_id == BEN.device
    refused(log, ADA, body)
    does(log, BEN, Leave())
    refused(log, ADA, body)


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


# -- who may do what ------------------------------------------------------------------------------


def ranked_room(policy: Policy | None = None) -> RoomLog:
    """Ada created it, Ben is admin, Cyd and Dot greeters, Eve a plain member."""
    log = new_room(ADA, policy)
    for who, role in ((BEN, Role.ADMIN), (CYD, Role.GREETER), (DOT, Role.GREETER), (EVE, Role.MEMBER)):
        does(log, ADA, add_of(who, role))
    return log


FAY = person(6)
DENIED: list[tuple[Person, OpBody]] = [
    (EVE, add_of(FAY)),
    (EVE, invite()),
    (CYD, add_of(FAY, Role.ADMIN)),
    (BEN, add_of(FAY, Role.ADMIN)),
    (ADA, add_of(FAY, Role.CREATOR)),
    (CYD, invite(role=Role.ADMIN)),
    (ADA, add_of(EVE)),
    (CYD, Remove(DOT.account)),
    (CYD, Remove(BEN.account)),
    (EVE, Remove(CYD.account)),
    (EVE, Remove(EVE.account)),
    (BEN, Remove(ADA.account)),
    (ADA, Remove(ADA.account)),
    (ADA, Remove(FAY.account)),
    (BEN, RoleChange(CYD.account, Role.ADMIN)),
    (BEN, RoleChange(BEN.account, Role.MEMBER)),
    (BEN, RoleChange(ADA.account, Role.MEMBER)),
    (ADA, RoleChange(EVE.account, Role.CREATOR)),
    (CYD, RoleChange(EVE.account, Role.GREETER)),
    (CYD, Meta("mine")),
    (CYD, PolicyChange(Policy(Visibility.OPEN))),
    (CYD, Delete()),
    (CYD, InviteRevoke(b"?" * 16)),
]


@pytest.mark.parametrize(("author", "body"), DENIED, ids=lambda value: type(value).__name__)
def test_what_a_role_may_not_do_is_refused(author: Person, body: OpBody) -> None:
    refused(ranked_room(), author, body)


ALLOWED: list[tuple[Person, OpBody]] = [
    (CYD, add_of(FAY)),
    (CYD, invite()),
    (ADA, add_of(FAY, Role.ADMIN)),
    (CYD, Remove(EVE.account)),
    (BEN, Remove(CYD.account)),
    (ADA, Remove(BEN.account)),
    (BEN, RoleChange(EVE.account, Role.GREETER)),
    (ADA, RoleChange(EVE.account, Role.ADMIN)),
    (BEN, Meta("ours")),
    (BEN, PolicyChange(Policy(Visibility.OPEN))),
    (BEN, Delete()),
    (EVE, Leave()),
    (ADA, Leave()),
]


@pytest.mark.parametrize(("author", "body"), ALLOWED, ids=lambda value: type(value).__name__)
def test_what_a_role_may_do_counts(author: Person, body: OpBody) -> None:
    log = ranked_room()
    op = does(log, author, body)
    assert log.applied(op.op_id)


def test_in_an_open_room_everyone_lets_others_in() -> None:
    log = ranked_room(Policy(Visibility.OPEN, invite=Inviting.ADMINS))
    does(log, EVE, add_of(FAY, Role.MEMBER))
    assert FAY.account in log.roster.members
    refused(log, FAY, add_of(person(7), Role.GREETER))


def test_where_admins_invite_greeters_make_no_greeters() -> None:
    log = ranked_room(Policy(invite=Inviting.ADMINS))
    refused(log, CYD, add_of(FAY, Role.GREETER))
    does(log, CYD, add_of(FAY, Role.MEMBER))
    refused(log, FAY, invite(role=Role.MEMBER))
    assert log.policy.admits is Role.MEMBER


def test_name_topic_and_policy_change() -> None:
    log = new_room(ADA)
    does(log, ADA, Meta("pier", None))
    does(log, ADA, Meta(None, "boats"))
    does(log, ADA, PolicyChange(Policy(Visibility.OPEN, 200)))
    assert (log.name, log.topic, log.policy.history) == ("pier", "boats", 200)


def test_in_a_deleted_room_one_can_only_leave() -> None:
    log = ranked_room()
    does(log, ADA, Delete())
    assert log.deleted
    refused(log, ADA, add_of(FAY))
    does(log, EVE, Leave())
    assert EVE.account not in log.roster.members


def test_a_room_has_a_limit_of_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MAX_MEMBERS", 2)
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    refused(log, ADA, add_of(CYD))


# -- devices --------------------------------------------------------------------------------------


def test_a_new_device_of_a_member_enters_by_its_own_signature() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    fresh = replace_device(BEN, Random(70).randbytes, seq=2)
    does(log, fresh, Device(fresh.cert.raw, fresh.devices.raw, fresh.leaf))
    member = log.roster.members[BEN.account]
    assert (member.device_id, member.role, member.name) == (fresh.device, Role.GREETER, "p2")
    refused(log, BEN, Leave(), CryptoFault)
    does(log, fresh, Leave())
    old = log.device(BEN.device)
    assert old is not None
    assert old.account == BEN.account


@pytest.mark.attack("A02")
def test_a_device_list_never_goes_back() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    fresh = replace_device(BEN, Random(70).randbytes, seq=2)
    does(log, fresh, Device(fresh.cert.raw, fresh.devices.raw, fresh.leaf))
    refused(log, BEN, Device(BEN.cert.raw, BEN.devices.raw, BEN.leaf))
    does(log, fresh, Leave())
    refused(log, ADA, add_of(BEN))
    does(log, ADA, add_of(fresh))
    assert BEN.account in log.roster.members


def test_a_device_of_another_account_cannot_pose_as_a_members() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    refused(log, EVE, Device(EVE.cert.raw, EVE.devices.raw, EVE.leaf))
    refused(log, EVE, Device(BEN.cert.raw, BEN.devices.raw, EVE.leaf), CryptoFault)


# -- invites --------------------------------------------------------------------------------------


def test_an_invite_counts_its_uses() -> None:
    log = new_room(ADA)
    does(log, ADA, invite(max_uses=2))
    does(log, ADA, add_of(BEN, invite_id=invite().invite_id))
    assert log.invites[invite().invite_id].uses_left == 1
    does(log, BEN, add_of(CYD, invite_id=invite().invite_id))
    assert log.invites[invite().invite_id].uses_left == 0
    refused(log, ADA, add_of(DOT, invite_id=invite().invite_id))


@pytest.mark.attack("A23")
def test_an_invite_that_is_unknown_revoked_over_or_for_less_admits_nobody() -> None:
    log = new_room(ADA)
    does(log, ADA, invite(1))
    does(log, ADA, InviteRevoke(invite(1).invite_id))
    does(log, ADA, invite(2, expires_ms=NOW - DAY_MS))
    does(log, ADA, invite(3, role=Role.MEMBER))
    for number in (1, 2, 3, 4):
        refused(log, ADA, add_of(BEN, invite_id=invite(number).invite_id))
    does(log, ADA, add_of(BEN, Role.MEMBER, invite(3).invite_id))
    refused(log, ADA, invite(1))


@pytest.mark.attack("A23")
def test_a_race_for_the_last_use_ends_the_same_everywhere() -> None:
    log = new_room(ADA)
    does(log, ADA, add_of(BEN))
    opened = does(log, ADA, invite())
    one = beside(log, ADA, add_of(CYD, invite_id=invite().invite_id), (opened,))
    two = beside(log, BEN, add_of(DOT, invite_id=invite().invite_id), (opened,))
    left, right = replica(log, one, two), replica(log, two, one)
    assert facts(left) == facts(right)
    assert accounts(left) == people(ADA, BEN, CYD)
    assert left.invites[invite().invite_id].uses == 1


def request(who: Person, number: int = 1, room: bytes = b"", ts_ms: int = NOW) -> joining.JoinRequest:
    prekey = prekeys.new_prekey(Random(5).randbytes, 1, TODAY)
    inner = joining.make_join_request(
        who.keys,
        room_id=room,
        invite_seed=bytes([number]) * 32,
        invite_id=invite(number).invite_id,
        cert=who.cert,
        devices=who.devices,
        bundle=prekeys.make_bundle(who.keys, 1, prekey),
        node_record=b"",
        leaf=who.leaf,
        name="x",
        ts_ms=ts_ms,
    )
    return joining.parse_join_request(inner, invite(number).invite_pk)


def test_a_join_request_is_judged_by_room_time_invite_and_person() -> None:
    log = new_room(ADA)
    does(log, ADA, invite(1, expires_ms=NOW + 1000))
    room = log.room_id
    assert log.judge_join(request(BEN, room=room), now_ms=NOW).invite_id == invite().invite_id
    for wish, now in (
        (request(BEN, room=b"x" * 16), NOW),
        (request(BEN, room=room), NOW + DAY_MS + 1),
        (request(BEN, room=room, ts_ms=NOW + 1000), NOW),
        (request(BEN, 2, room=room), NOW),
        (request(ADA, room=room), NOW),
    ):
        with pytest.raises(Unauthorised):
            log.judge_join(wish, now_ms=now)


def test_who_was_put_out_does_not_come_back_by_an_older_invite() -> None:
    log = new_room(ADA)
    does(log, ADA, invite(1, max_uses=5))
    does(log, ADA, add_of(BEN, invite_id=invite().invite_id))
    does(log, BEN, invite(2, max_uses=5))
    does(log, ADA, Remove(BEN.account))
    assert log.was_removed(BEN.account)
    assert log.invites[invite(2).invite_id].uses_left == 0
    for number in (1, 2):
        with pytest.raises(Unauthorised):
            log.judge_join(request(BEN, number, log.room_id), now_ms=NOW)
        refused(log, ADA, add_of(BEN, invite_id=invite(number).invite_id))
    does(log, ADA, invite(3))
    does(log, ADA, add_of(BEN, invite_id=invite(3).invite_id))
    assert not log.was_removed(BEN.account)


def test_who_left_may_come_back_by_the_same_invite() -> None:
    log = new_room(ADA)
    does(log, ADA, invite(1, max_uses=5))
    does(log, ADA, add_of(BEN, invite_id=invite().invite_id))
    does(log, BEN, Leave())
    assert not log.was_removed(BEN.account)
    does(log, ADA, add_of(BEN, invite_id=invite().invite_id))
    assert BEN.account in log.roster.members


# -- going, cuts, coming back ---------------------------------------------------------------------


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
    assert log.cut_covers(BEN.device, [added.op_id])
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


# -- beside each other ----------------------------------------------------------------------------


def later(log: RoomLog, body: OpBody) -> Op:
    """Let a greeter and then Ada act: in the order of ops, what an admin does beside both comes first."""
    does(log, DOT, invite(9))
    return does(log, ADA, body)


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
    assert log.ancestors(last.op_id) == {op.op_id for op in log.ops_in_order()[:-1]}
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

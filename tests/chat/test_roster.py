"""Who may do what: roles, devices and invites, one op after the other."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from node.chat import roster
from node.chat.membership import Unauthorised
from node.clock import DAY_MS
from node.crypto import keys, ops
from node.crypto.ops import (
    Delete,
    Device,
    InviteRevoke,
    Inviting,
    Leave,
    Meta,
    OpBody,
    Policy,
    PolicyChange,
    Remove,
    Role,
    RoleChange,
    Visibility,
)
from node.errors import CryptoFault
from tests.chat.room_samples import (
    ADA,
    BEN,
    CYD,
    DOT,
    EVE,
    FAY,
    NOW,
    TODAY,
    Person,
    accounts,
    add_of,
    beside,
    does,
    facts,
    invite,
    new_room,
    people,
    person,
    ranked_room,
    refused,
    replace_device,
    replica,
    request,
)

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


@pytest.mark.attack("A02")
def test_a_device_that_its_account_does_not_list_is_not_added() -> None:
    log = new_room(ADA)
    entropy = Random(77).randbytes
    ghost = replace_device(BEN, entropy)
    refused(log, ADA, replace(add_of(BEN), cert=ghost.cert.raw), CryptoFault)


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
    assert BEN.account not in log.roster.members
    assert log.invites[invite(2).invite_id].uses_left == 0
    for number in (1, 2):
        with pytest.raises(Unauthorised):
            log.judge_join(request(BEN, number, log.room_id), now_ms=NOW)
        refused(log, ADA, add_of(BEN, invite_id=invite(number).invite_id))
    does(log, ADA, invite(3))
    does(log, ADA, add_of(BEN, invite_id=invite(3).invite_id))
    assert BEN.account in log.roster.members


def test_who_left_may_come_back_by_the_same_invite() -> None:
    log = new_room(ADA)
    does(log, ADA, invite(1, max_uses=5))
    does(log, ADA, add_of(BEN, invite_id=invite().invite_id))
    does(log, BEN, Leave())
    assert BEN.account not in log.roster.members
    does(log, ADA, add_of(BEN, invite_id=invite().invite_id))
    assert BEN.account in log.roster.members

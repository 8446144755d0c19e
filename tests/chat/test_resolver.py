"""The resolver: whatever people do beside each other, the same ops come to the same room (I5)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from node.chat import membership
from node.chat.membership import RoomLog
from node.chat.resolver import resolve
from node.crypto.ops import (
    Delete,
    Device,
    Invite,
    InviteRevoke,
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
    card_of,
)
from node.errors import PeerFault
from tests.chat.room_samples import (
    NOW,
    Person,
    add_of,
    beside,
    facts,
    new_room,
    person,
    replace_device,
    replica,
)

CROWD = [person(n) for n in range(1, 7)]
ADA = CROWD[0]
ELSEWHERE = [replace_device(who, Random(60 + n).randbytes, 1_000 + n) for n, who in enumerate(CROWD)]
"""Everybody at another device, as after a restore: it acts beside the one before, with the same numbers."""


def some_body(random: Random, log: RoomLog, author: Person) -> OpBody:
    """Return anything that anyone might try."""
    who = random.choice(CROWD)
    epoch16 = bytes([random.randrange(3)]) * 16
    cut = ((who.device, epoch16, random.randrange(-1, 5)),)
    invite_id = bytes([random.randrange(3)]) * 16
    role = random.choice([Role.MEMBER, Role.GREETER, Role.ADMIN])
    given_id = random.choice([None, None, *log.invites])
    bodies: list[OpBody] = [
        add_of(who, random.choice([Role.GREETER, role]), given_id),
        add_of(who, role),
        Remove(who.account, "", cut),
        Remove(who.account, "", cut),
        Leave(),
        RoleChange(who.account, role),
        Invite(invite_id, b"p" * 32, b"c" * 32, random.randrange(1, 3), 0, role),
        InviteRevoke(invite_id),
        Meta(str(random.random())),
        PolicyChange(Policy(random.choice(list(Visibility)))),
    ]
    if author in ELSEWHERE and random.random() < 0.6:
        return Device(author.cert.raw, author.devices.raw, author.leaf)
    return Delete() if random.random() < 0.01 else random.choice(bodies)


def act(random: Random, log: RoomLog, author: Person) -> Op | None:
    """Let someone try something on its own log, honestly or with forgotten parents; None if it is refused."""
    body = some_body(random, log, author)
    try:
        if random.random() < 0.3:
            known = log.ops_in_order()
            op = beside(log, author, body, (random.choice(known),))
        else:
            op = log.next_op(author.keys, body, ts_ms=NOW)
        log.add(op)
    except PeerFault:
        return None
    return op


def history(seed: int, steps: int) -> list[Op]:
    """Return the ops of a room whose people act on their own replicas and meet now and then."""
    random = Random(seed)
    start = new_room(ADA)
    for who in CROWD[1:4]:
        role = random.choice([Role.GREETER, Role.ADMIN])
        start.add(start.next_op(ADA.keys, add_of(who, role), ts_ms=NOW))
    logs = [replica(start) for _ in CROWD]
    for _ in range(steps):
        at = random.randrange(len(CROWD))
        if random.random() < 0.3:
            logs[at].add_all(random.choice(logs).ops_in_order())
        else:
            act(random, logs[at], random.choice([CROWD, CROWD, ELSEWHERE])[at])
    for log in logs:
        logs[0].add_all(log.ops_in_order())
    return list(logs[0].ops_in_order())


@given(st.integers(0, 1 << 32), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_and_number_of_times_in_which_ops_come_change_nothing(seed: int, random: Random) -> None:
    ops = history(seed, 40)
    expected = RoomLog(ops[0].room_id)
    expected.add_all(ops)
    mixed = ops + random.sample(ops, len(ops) // 2)
    random.shuffle(mixed)
    got = RoomLog(ops[0].room_id)
    assert not got.add_all(mixed)
    assert facts(got) == facts(expected)
    assert got.forks == expected.forks


@given(st.integers(0, 1 << 32))
@settings(max_examples=30, deadline=None)
def test_one_step_at_a_time_comes_to_what_all_at_once_comes_to(seed: int) -> None:
    log = RoomLog((ops := history(seed, 30))[0].room_id)
    for op in ops:
        log.add(op)
        stepped = (log.roster, log.ops_in_order(), log.view16)
        whole = resolve(log._graph, log._graph.everything())
        assert (whole.state.roster(), whole.order) == stepped[:2]


@pytest.mark.attack("A20")
@given(st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_the_creator_is_never_lost_but_by_leaving(seed: int) -> None:
    ops = history(seed, 40)
    log = RoomLog(ops[0].room_id)
    log.add_all(ops)
    left = any(isinstance(op.body, Leave) and op.author == ADA.account for op in ops)
    if not left:
        assert log.roster.members[ADA.account].role is Role.CREATOR


@pytest.mark.attack("A01")
@given(st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_nobody_is_a_member_without_an_op_that_counts_by_someone_who_could(seed: int) -> None:
    ops = history(seed, 40)
    log = RoomLog(ops[0].room_id)
    log.add_all(ops)
    for member in log.roster.members.values():
        assert log.applied(member.added_by)
    goings = [op for op in ops if isinstance(op.body, Remove) and log.applied(op.op_id)]
    for going in goings:
        assert isinstance(going.body, Remove)
        back = log.roster.members.get(going.body.account)
        assert back is None or log.is_strict_ancestor(going.op_id, back.added_by)
        for who in [*CROWD, *ELSEWHERE]:
            if who.account == going.body.account:
                assert log.device(who.device) is None or log.cut_for(who.device) is not None


@pytest.mark.attack("A37")
@given(st.integers(0, 1 << 32), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_who_is_in_and_came_back_once_is_not_put_back_to_the_device_before(seed: int, random: Random) -> None:
    ops = history(seed, 40)
    log = RoomLog(ops[0].room_id)
    log.add_all(ops)
    for op in ops:
        member = log.roster.members.get(op.author)
        if isinstance(op.body, Device) and log.applied(op.op_id) and member is not None:
            again = log.is_strict_ancestor(op.op_id, member.added_by)
            assert again or member.device_list.seq >= card_seq(op)
    mixed = random.sample(ops, len(ops))
    other = RoomLog(ops[0].room_id)
    assert not other.add_all(mixed)
    assert facts(other) == facts(log)


def card_seq(op: Op) -> int:
    card = card_of(op)
    assert card is not None
    return card.devices.seq


def test_a_long_log_in_one_line_is_never_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_room(ADA)
    monkeypatch.setattr(membership, "resolve", lambda *_: pytest.fail("worked out from scratch"))
    for n in range(200):
        log.add(log.next_op(ADA.keys, Meta(str(n)), ts_ms=NOW))
    assert log.name == "199"
    assert len(log.ops_in_order()) == 201

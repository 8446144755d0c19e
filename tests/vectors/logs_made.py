"""Vectors of the room log: an op of each type, and what sets of ops come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias

from node.chat.membership import RoomLog, Unauthorised
from node.clock import DAY_MS
from node.crypto import joining, keys, ops
from node.crypto.ops import (
    Add,
    Invite,
    Leave,
    Meta,
    Op,
    OpBody,
    Policy,
    PolicyChange,
    Remove,
    Role,
    RoleChange,
)
from node.errors import CryptoFault
from tests.vectors.cast import NOW, TODAY, actor, fixed

Story: TypeAlias = "Callable[[RoomLog], tuple[list[Op], list[Op]]]"
"""What happens in a copy of the base log: (ops that are taken, ops that are refused)."""


def does(log: RoomLog, name: str, body: OpBody) -> Op:
    """Let someone who knows all of `log` act, and add it."""
    op = log.next_op(actor(name).identity, body, ts_ms=NOW)
    log.add(op)
    return op


def admit(name: str, role: Role, invite_id: bytes | None = None) -> Add:
    who = actor(name)
    asked = None if invite_id is None else fixed("asked")
    return Add(who.account, role, who.cert.raw, who.devices.raw, who.leaf, name, invite_id, asked)


def invite(number: int, uses: int = 1) -> Invite:
    seed = fixed(f"invite {number}")
    public, join_cs = joining.invite_keypair(seed)[0], fixed(f"join {number}")
    return Invite(fixed(f"invite {number}", 16), public, join_cs, uses, NOW + DAY_MS, Role.GREETER)


@cache
def base() -> tuple[Op, ...]:
    """Alice creates the room; Bob and Carol are admins, Dave a greeter, Erin a member."""
    alice = actor("alice")
    create = ops.make_create(
        alice.identity,
        policy=Policy(),
        salt16=fixed("room salt", 16),
        cert=alice.cert,
        devices=alice.devices,
        leaf=alice.leaf,
        name="harbour",
        creator_name="Alice",
        ts_ms=NOW,
    )
    log = RoomLog(create.room_id)
    log.add(create)
    for name, role in (("bob", 3), ("carol", 3), ("dave", 2), ("erin", 1)):
        does(log, "alice", admit(name, Role(role)))
    return log.ops_in_order()


def copy(given: Iterable[Op]) -> RoomLog:
    listed = list(given)
    log = RoomLog(base()[0].room_id)
    assert not log.add_all(listed)
    return log


def base_log() -> RoomLog:
    return copy(base())


def _quiet(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """An op of every type that is not in the base, one after the other."""
    who, dave = actor("dave"), invite(1)
    second = keys.make_list(
        who.identity, 2, who.devices.list_hash, [who.cert.cert_hash], [b"\x07" * 16], TODAY
    )
    bodies: list[tuple[str, OpBody]] = [
        ("dave", dave),
        ("dave", admit("frank", Role.GREETER, dave.invite_id)),
        ("bob", ops.InviteRevoke(dave.invite_id)),
        ("dave", ops.Device(who.cert.raw, second.raw, who.leaf)),
        ("carol", PolicyChange(Policy(ops.Visibility.OPEN, 50, ops.Inviting.ADMINS))),
        ("bob", Meta("quay", "ships and weather")),
        ("alice", RoleChange(actor("erin").account, Role.ADMIN)),
        ("alice", Remove(actor("frank").account, "spam", ((actor("frank").device, bytes(16), -1),))),
        ("erin", Leave(((actor("erin").device, b"\x01" * 16, 41),))),
        ("alice", ops.Delete()),
    ]
    return [does(log, name, body) for name, body in bodies], []


def _removed_beside(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """An admin removes a greeter who beside it adds someone and opens an invite: both are void."""
    other = base_log()
    made = [does(log, "bob", Remove(actor("dave").account))]
    return [*made, does(other, "dave", invite(2)), does(other, "dave", admit("frank", Role.GREETER))], []


def _chain_of_removals(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """Alice removes Bob, who beside it removed Dave, who beside both added Frank: Frank is in."""
    opened = does(log, "dave", invite(6))
    second, third = base_log(), copy([*base(), opened])
    first = does(log, "alice", Remove(actor("bob").account))
    void = does(second, "bob", Remove(actor("dave").account))
    return [opened, first, void, does(third, "dave", admit("frank", Role.GREETER))], []


def _named_beside(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """Two name the room beside each other: the higher lamport comes last, although its id is the smaller."""
    late = [does(log, "bob", Meta(topic="ships")), does(log, "bob", Meta("north"))]
    other, carol = base_log(), actor("carol").identity
    tried = (other.next_op(carol, Meta(f"south {n}"), ts_ms=NOW) for n in range(1000))
    return [*late, next(op for op in tried if op.op_id > max(one.op_id for one in late))], []


def _equals(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """Two use up an invite for one beside each other, and of two names the later in the order stays."""
    opened = does(log, "bob", invite(3))
    one, other = copy([*base(), opened]), copy([*base(), opened])
    frank = does(one, "bob", admit("frank", Role.GREETER, invite(3).invite_id))
    again = does(other, "erin", Leave())
    back = does(other, "carol", admit("erin", Role.MEMBER, invite(3).invite_id))
    names = [does(one, "bob", Meta("north")), does(other, "carol", Meta("south"))]
    return [opened, frank, again, back, *names], []


def _forked(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """Bob says two things under one number; Carol leaves under the number by which she renames the room."""
    other = base_log()
    made = [does(log, "bob", Meta("one")), does(other, "bob", Meta("two"))]
    more, less = base_log(), base_log()
    return [*made, does(more, "carol", Meta("three")), does(less, "carol", Leave())], []


def _demoted(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """Alice makes Bob a member after what Dave did; beside both, so before them, Bob uses his rank."""
    other = base_log()
    first = [does(log, "dave", invite(5)), does(log, "alice", RoleChange(actor("bob").account, Role.MEMBER))]
    used = [
        does(other, "bob", Remove(actor("erin").account)),
        does(other, "bob", admit("frank", Role.MEMBER)),
    ]
    return [*first, *used], []


def _came_back(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """Dave is removed, his invite with him, and added again; an add of Erin beside her removal is void."""
    opened = does(log, "dave", invite(7))
    gone = [does(log, "bob", Remove(actor(name).account)) for name in ("dave", "erin")]
    back = does(log, "alice", admit("dave", Role.MEMBER))
    other = base_log()
    left = does(other, "erin", Leave())
    return [opened, *gone, back, left, does(other, "carol", admit("erin", Role.MEMBER))], []


def _refused(log: RoomLog) -> tuple[list[Op], list[Op]]:
    """What its author had no right to, as far as it knew, is not taken at all."""
    bodies: list[tuple[str, OpBody]] = [
        ("erin", admit("frank", Role.MEMBER)),
        ("bob", Remove(actor("carol").account)),
        ("dave", RoleChange(actor("erin").account, Role.GREETER)),
        ("bob", RoleChange(actor("dave").account, Role.ADMIN)),
        ("dave", admit("frank", Role.ADMIN)),
        ("alice", admit("bob", Role.MEMBER)),
        ("frank", Meta("mine")),
        ("erin", invite(4)),
        ("dave", Meta("mine")),
    ]
    made = [log.next_op(actor(name).identity, body, ts_ms=NOW) for name, body in bodies]
    return [], [op for op in made if _is_refused(log, op)]


def _is_refused(log: RoomLog, op: Op) -> bool:
    try:
        log.add(op)
    except (Unauthorised, CryptoFault):
        return True
    raise AssertionError("taken")


STORIES: tuple[Story, ...] = (
    _quiet,
    _removed_beside,
    _chain_of_removals,
    _named_beside,
    _equals,
    _forked,
    _demoted,
    _came_back,
    _refused,
)


def logs() -> dict[str, Any]:
    cases = []
    for story in STORIES:
        taken, refused = story(base_log())
        log = copy([*base(), *taken])
        assert _facts(copy([*taken[::-1], *base()])) == _facts(log)
        said = {"story": story.__name__.lstrip("_"), "ops": [op.raw for op in taken]}
        cases.append({**said, "refused": [op.raw for op in refused], "comes_to": _facts(log)})
    named = [{"raw": op.raw, "op_id": op.op_id} for op in base()]
    return {"room_id": base()[0].room_id, "base": named, "cases": cases}


def _facts(log: RoomLog) -> dict[str, Any]:
    order = log.ops_in_order()
    rules = log.policy
    return {
        "members": [[a, int(m.role), m.device_id] for a, m in sorted(log.roster.members.items())],
        "roster_hash": log.roster.roster_hash,
        "name": log.name,
        "topic": log.topic,
        "policy": [int(rules.visibility), rules.history, int(rules.invite)],
        "deleted": int(log.deleted),
        "invites": [[key, one.uses_left] for key, one in sorted(log.invites.items())],
        "order": [op.op16 for op in order],
        "void": [op.op16 for op in order if not log.applied(op.op_id)],
        "forks": [[one.op16, other.op16] for one, other in log.forks],
        "heads": log.heads,
        "view16": log.view16,
    }

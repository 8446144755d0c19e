"""People and rooms for tests: seeded, so that every run is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random

import pytest

from node.chat.membership import RoomLog, Unauthorised
from node.clock import DAY_MS
from node.crypto import joining, keys, ops, prekeys
from node.crypto.keys import DeviceCert, DeviceList, Identity
from node.crypto.ops import (
    Add,
    Invite,
    Leaf,
    Op,
    OpBody,
    Policy,
    Role,
)
from node.crypto.primitives import x25519_public
from node.errors import PeerFault

TODAY = 20_000
NOW = TODAY * DAY_MS + 1_000


@dataclass(frozen=True)
class Person:
    """One person with one device and one leaf."""

    keys: Identity
    cert: DeviceCert
    devices: DeviceList
    leaf: Leaf
    leaf_secret: bytes

    @property
    def account(self) -> bytes:
        return self.keys.account

    @property
    def device(self) -> bytes:
        return self.keys.device_id


@cache
def person(seed: int) -> Person:
    entropy = Random(seed).randbytes
    identity = Identity.generate(entropy, TODAY)
    cert = keys.make_cert(identity, TODAY, TODAY + 3650)
    devices = keys.make_list(identity, 1, bytes(32), [cert.cert_hash], [], TODAY)
    secret = entropy(32)
    return Person(identity, cert, devices, Leaf(seed, x25519_public(secret)), secret)


def create(founder: Person, policy: Policy | None = None, name: str = "harbour") -> Op:
    return ops.make_create(
        founder.keys,
        policy=policy or Policy(),
        salt16=bytes(16),
        cert=founder.cert,
        devices=founder.devices,
        leaf=founder.leaf,
        name=name,
        creator_name="founder",
        ts_ms=NOW,
    )


def new_room(founder: Person, policy: Policy | None = None) -> RoomLog:
    op = create(founder, policy)
    log = RoomLog(op.room_id)
    log.add(op)
    return log


def add_of(who: Person, role: Role = Role.GREETER, invite_id: bytes | None = None) -> Add:
    return Add(who.account, role, who.cert.raw, who.devices.raw, who.leaf, f"p{who.leaf.leaf_id}", invite_id)


def does(log: RoomLog, author: Person, body: OpBody, *, ts_ms: int = NOW) -> Op:
    """Let `author` make an op on top of the log, and add it."""
    op = log.next_op(author.keys, body, ts_ms=ts_ms)
    log.add(op)
    return op


def beside(log: RoomLog, author: Person, body: OpBody, parents: tuple[Op, ...]) -> Op:
    """Let `author`, who knows `parents` alone, make an op; it is not added."""
    known = RoomLog(log.room_id)
    for op in log.ops_in_order():
        if any(op is parent or log.is_strict_ancestor(op.op_id, parent.op_id) for parent in parents):
            known.add(op)
    return known.next_op(author.keys, body, ts_ms=NOW)


def replica(log: RoomLog, *more: Op) -> RoomLog:
    """Return another node's log with the same ops, and some more."""
    copy = RoomLog(log.room_id)
    assert not copy.add_all([*log.ops_in_order(), *more])
    return copy


def facts(log: RoomLog) -> object:
    """Return everything a log comes to, to be compared."""
    members = {account: (m.role, m.device_id, m.leaf, m.name) for account, m in log.roster.members.items()}
    applied = {op.op_id for op in log.ops_in_order() if log.applied(op.op_id)}
    order = [op.op_id for op in log.ops_in_order()]
    cuts = {device: log.cut_for(device) for device in (person(n).device for n in range(1, 8))}
    return members, dict(log.invites), log.name, log.policy, applied, order, log.view16, log.heads, cuts


ADA, BEN, CYD, DOT, EVE, FAY = (person(n) for n in range(1, 7))
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


def ranked_room(policy: Policy | None = None) -> RoomLog:
    """Ada created it, Ben is admin, Cyd and Dot greeters, Eve a plain member."""
    log = new_room(ADA, policy)
    for who, role in ((BEN, Role.ADMIN), (CYD, Role.GREETER), (DOT, Role.GREETER), (EVE, Role.MEMBER)):
        does(log, ADA, add_of(who, role))
    return log


def later(log: RoomLog, body: OpBody) -> Op:
    """Let a greeter and then Ada act: in the order of ops, what an admin does beside both comes first."""
    does(log, DOT, invite(9))
    return does(log, ADA, body)


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

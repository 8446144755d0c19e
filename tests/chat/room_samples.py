"""People and rooms for tests: seeded, so that every run is the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from node.chat.membership import RoomLog
from node.clock import DAY_MS
from node.crypto import keys, ops
from node.crypto.keys import DeviceCert, DeviceList, Identity
from node.crypto.ops import Add, Leaf, Op, OpBody, Policy, Role
from node.crypto.primitives import x25519_public

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

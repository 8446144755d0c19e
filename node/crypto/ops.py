"""The bytes of the room log: what one op is, who signed it, what it says (docs/crypto.md 3.6).

    op = [1, room_id, type, account, device_id, author_seq, parents, lamport, ts_ms, body] || SIG(op, device)

An op names the ops it follows by their whole hashes, so a log is one object wherever it is kept. The room's
id is made from the `create` op, its signature included: nobody can make another room of that id. This module
decides what an op looks like; who may do what is `node/chat/roster.py`'s question. Direct rooms have no log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias, assert_never

from node.clock import day_of
from node.crypto.keys import (
    MAX_CERT_BYTES,
    MAX_LIST_BYTES,
    DeviceCert,
    DeviceList,
    Identity,
    check_listed,
    parse_cert,
    parse_list,
    split_signed,
)
from node.crypto.labels import Label
from node.crypto.primitives import SIG_BYTES, dh, digest, sign, verify
from node.errors import CryptoFault, DecodeError
from node.ids import uuid8
from node.wire import codec
from node.wire.codec import Shape, array, blob, blob_upto, literal, many, optional, string, uint
from node.wire.payload import MAX_NAME_BYTES, MAX_OP_BYTES

MAX_PARENTS = 16
"""Enough to join every branch of a busy minute; further heads are joined by the next op."""
MAX_CUT = 500
"""Entries of a cut: 36 bytes each, so that the op stays under 24 KiB."""
MAX_INDEX = (1 << 32) - 1
MAX_USES = 10_000
MAX_REASON_BYTES = 256
MAX_TOPIC_BYTES = 1024
NO_ROOM = bytes(16)
_VERSION = 1
_PROBE = b"\x01" * 32
"""Any scalar: a low-order point gives zero with all of them."""


class OpType(IntEnum):
    """What an op does; the number on the wire."""

    CREATE = 1
    INVITE = 2
    INVITE_REVOKE = 3
    ADD = 4
    LEAVE = 5
    REMOVE = 6
    ROLE = 7
    DELETE = 8
    DEVICE = 9
    POLICY = 10
    META = 11


class Role(IntEnum):
    """A member's rank; higher is more."""

    MEMBER = 1
    GREETER = 2
    ADMIN = 3
    CREATOR = 4


class Visibility(IntEnum):
    """Who can find and enter a room: the invited, or everyone in the mesh."""

    PRIVATE = 1
    OPEN = 2


class Inviting(IntEnum):
    """Who can invite: everyone who came by an invite, or only those whom an admin made greeters."""

    ANYONE = 1
    ADMINS = 2


@dataclass(frozen=True, slots=True)
class Leaf:
    """A device's X25519 key in one room, by which epochs reach it; `leaf_id` 32 bits, `public` 32 bytes."""

    leaf_id: int
    public: bytes


@dataclass(frozen=True, slots=True)
class Policy:
    """A room's rules; `history` is how many of its newest messages a newcomer may be given, 0 for none."""

    visibility: Visibility = Visibility.PRIVATE
    history: int = 0
    invite: Inviting = Inviting.ANYONE

    @property
    def admits(self) -> Role:
        """The role that an invite gives."""
        return Role.GREETER if self.invite is Inviting.ANYONE else Role.MEMBER


Cut: TypeAlias = tuple[tuple[bytes, bytes, int], ...]
"""(device_id, epoch16, highest index accepted), index -1 for the announce alone; sorted, a pair once."""


@dataclass(frozen=True, slots=True)
class Create:
    """The first op: its author, who calls itself `creator_name`, is the creator of the room `name`.

    `cert` and `devices` are raw, `salt16` random.
    """

    policy: Policy
    salt16: bytes
    cert: bytes = field(repr=False)
    devices: bytes = field(repr=False)
    leaf: Leaf
    name: str
    creator_name: str = ""


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite: its public key, its join channel's secret (32 bytes, for all greeters), uses and end."""

    invite_id: bytes
    invite_pk: bytes
    join_cs: bytes = field(repr=False)
    max_uses: int
    expires_ms: int
    role: Role


@dataclass(frozen=True, slots=True)
class InviteRevoke:
    """The invite of this id is closed."""

    invite_id: bytes


@dataclass(frozen=True, slots=True)
class Add:
    """Someone becomes a member; `invite_id` and `join_req_hash` say by which invite and request, or nil."""

    account: bytes
    role: Role
    cert: bytes = field(repr=False)
    devices: bytes = field(repr=False)
    leaf: Leaf
    name: str
    invite_id: bytes | None = None
    join_req_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """The author goes; `cut` bounds what counts of its device, the message that carries this included."""

    cut: Cut = ()


@dataclass(frozen=True, slots=True)
class Remove:
    """`account` is put out; `cut` is what the author had accepted of its devices."""

    account: bytes
    reason: str = ""
    cut: Cut = ()


@dataclass(frozen=True, slots=True)
class RoleChange:
    """`account` gets another role."""

    account: bytes
    role: Role


@dataclass(frozen=True, slots=True)
class Delete:
    """The room ends: nobody sends any more, members keep what they have."""


@dataclass(frozen=True, slots=True)
class Device:
    """The author's device has a new certificate, or the author a new device, which may sign this itself."""

    cert: bytes = field(repr=False)
    devices: bytes = field(repr=False)
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """The room's rules become these."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class Meta:
    """The room's name or topic changes; None leaves it as it is."""

    name: str | None = None
    topic: str | None = None


OpBody: TypeAlias = (
    Create | Invite | InviteRevoke | Add | Leave | Remove | RoleChange | Delete | Device | PolicyChange | Meta
)


@dataclass(frozen=True, slots=True)
class Op:
    """One signed op. `raw` is its bytes, signature included; `op_id` 32 bytes names it in the log.

    `room_id` is the room it belongs to, for a `create` the id that it makes. `author_seq` counts the
    author's ops from 1, `lamport` is one above the highest of the parents.
    """

    raw: bytes = field(repr=False)
    op_id: bytes
    room_id: bytes
    type: OpType
    author: bytes
    device_id: bytes
    author_seq: int
    parents: tuple[bytes, ...]
    lamport: int
    ts_ms: int
    body: OpBody

    @property
    def op16(self) -> bytes:
        """The first 16 bytes of the id: how messages name it."""
        return self.op_id[:16]


@dataclass(frozen=True, slots=True)
class Card:
    """The certificate and device list that an op brings along, both verified."""

    cert: DeviceCert
    devices: DeviceList


def _is(kind: type[IntEnum]) -> Shape:
    numbers = frozenset(int(member) for member in kind)
    return lambda value: type(value) is int and value in numbers


_LEAF = array(uint(32), blob(32))
_POLICY = array(_is(Visibility), uint(32), _is(Inviting))
_NAME = string(MAX_NAME_BYTES)
_CERTS = (blob_upto(MAX_CERT_BYTES, least=1), blob_upto(MAX_LIST_BYTES, least=1))
_CUT = many(array(blob(16), blob(16), uint(33)), MAX_CUT)
_BODIES: dict[OpType, Shape] = {
    OpType.CREATE: array(_POLICY, blob(16), *_CERTS, _LEAF, _NAME, _NAME),
    OpType.INVITE: array(blob(16), blob(32), blob(32), uint(32), uint(63), _is(Role)),
    OpType.INVITE_REVOKE: array(blob(16)),
    OpType.ADD: array(blob(32), _is(Role), *_CERTS, _LEAF, _NAME, optional(blob(16)), optional(blob(32))),
    OpType.LEAVE: array(_CUT),
    OpType.REMOVE: array(blob(32), string(MAX_REASON_BYTES), _CUT),
    OpType.ROLE: array(blob(32), _is(Role)),
    OpType.DELETE: array(),
    OpType.DEVICE: array(*_CERTS, _LEAF),
    OpType.POLICY: array(_POLICY),
    OpType.META: array(optional(_NAME), optional(string(MAX_TOPIC_BYTES))),
}
_OP = array(
    literal(_VERSION),
    blob(16),
    _is(OpType),
    blob(32),
    blob(16),
    uint(32),
    many(blob(32), MAX_PARENTS),
    uint(63),
    uint(63),
    lambda _body: True,
)


def make_op(
    identity: Identity,
    *,
    room_id: bytes,
    author_seq: int,
    parents: Iterable[bytes],
    lamport: int,
    ts_ms: int,
    body: OpBody,
) -> Op:
    """Sign an op with this device's key; `parents` are whole op ids. `RoomLog.next_op` fills in the rest.

    Raises:
        DecodeError: If a field is over its limit.
    """
    kind, fields = _write(body)
    head: list[Any] = [_VERSION, room_id, int(kind), identity.account, identity.device_id, author_seq]
    following: list[Any] = [sorted(set(parents)), lamport, ts_ms, fields]
    signed = codec.pack([*head, *following])
    return parse_op(signed + sign(Label.OP, identity.dsk_sk, signed))


def make_create(
    identity: Identity,
    *,
    policy: Policy,
    salt16: bytes,
    cert: DeviceCert,
    devices: DeviceList,
    leaf: Leaf,
    name: str,
    creator_name: str,
    ts_ms: int,
) -> Op:
    """Sign the op that makes a room; the new room's id is the op's `room_id`."""
    body = Create(policy, salt16, cert.raw, devices.raw, leaf, name, creator_name)
    return make_op(identity, room_id=NO_ROOM, author_seq=1, parents=(), lamport=0, ts_ms=ts_ms, body=body)


def parse_op(raw: bytes) -> Op:
    """Read an op's bytes; shape only, the signature is `verify_op`'s.

    Raises:
        DecodeError: If it is malformed, too large, not canonical, or contradicts itself.
    """
    signed, _ = split_signed(raw, 1, MAX_OP_BYTES)
    fields = codec.decode(signed, _OP, max_bytes=MAX_OP_BYTES)
    _, room_id, number, author, device_id, seq, parents, lamport, ts_ms, values = fields
    kind = OpType(number)
    if not _BODIES[kind](values):
        raise DecodeError(f"body of {kind.name} is not of the expected shape")
    if parents != sorted(set(parents)) or seq < 1:
        raise DecodeError("an op's parents are not in order, or its number is 0")
    first = kind is OpType.CREATE
    if first != (room_id == NO_ROOM) or first != (not parents) or first != (lamport == 0):
        raise DecodeError("an op that is neither the first of its room nor follows another")
    if first and seq != 1:
        raise DecodeError("a room's first op that is not its author's first")
    made = uuid8(digest(Label.ROOM, raw)) if first else room_id
    body = _read(kind, values)
    op_id = digest(Label.OPID, raw)
    return Op(raw, op_id, made, kind, author, device_id, seq, tuple(parents), lamport, ts_ms, body)


def verify_op(op: Op, dsk_pub: bytes) -> None:
    """Raise CryptoFault unless the device whose signing key this is signed `op`."""
    verify(Label.OP, dsk_pub, op.raw[:-SIG_BYTES], op.raw[-SIG_BYTES:])


def room_id_of(create: Op) -> bytes:
    """Return the 16-byte id of the room that a `create` op, signature included, makes."""
    assert create.type is OpType.CREATE
    return create.room_id


def card_of(op: Op) -> Card | None:
    """Verify the certificate and device list that `op` brings; None if its type brings none.

    Raises:
        DecodeError: If either is malformed.
        CryptoFault: If a signature does not hold, the account is another, the device not listed that day,
            or its leaf unusable.
    """
    match op.body:
        case Create(cert=cert, devices=devices, leaf=leaf) | Device(cert=cert, devices=devices, leaf=leaf):
            account = op.author
        case Add(account=account, cert=cert, devices=devices, leaf=leaf):
            pass
        case _:
            return None
    card = Card(parse_cert(cert), parse_list(devices))
    if card.cert.account != account:
        raise CryptoFault("an op that brings another account's certificate")
    check_listed(card.cert, card.devices, day_of(op.ts_ms))
    check_leaf(leaf)
    return card


def check_leaf(leaf: Leaf) -> None:
    """Raise CryptoFault if nothing can be agreed with this leaf (a low-order point, RFC 7748 6.1)."""
    dh(_PROBE, leaf.public)


def _write(body: OpBody) -> tuple[OpType, list[Any]]:
    match body:
        case Create(policy, salt16, cert, devices, leaf, name, creator):
            card = [cert, devices, _leaf_out(leaf)]
            return OpType.CREATE, [_policy_out(policy), salt16, *card, name, creator]
        case Invite(invite_id, invite_pk, join_cs, uses, expires_ms, role):
            return OpType.INVITE, [invite_id, invite_pk, join_cs, uses, expires_ms, int(role)]
        case InviteRevoke(invite_id):
            return OpType.INVITE_REVOKE, [invite_id]
        case Add(account, role, cert, devices, leaf, name, invite_id, req_hash):
            card = [cert, devices, _leaf_out(leaf), name]
            return OpType.ADD, [account, int(role), *card, invite_id, req_hash]
        case Leave(cut):
            return OpType.LEAVE, [_cut_out(cut)]
        case Remove(account, reason, cut):
            return OpType.REMOVE, [account, reason, _cut_out(cut)]
        case RoleChange(account, role):
            return OpType.ROLE, [account, int(role)]
        case Delete():
            return OpType.DELETE, []
        case Device(cert, devices, leaf):
            return OpType.DEVICE, [cert, devices, _leaf_out(leaf)]
        case PolicyChange(policy):
            return OpType.POLICY, [_policy_out(policy)]
        case Meta(name, topic):
            return OpType.META, [name, topic]
        case _:
            assert_never(body)


def _read(kind: OpType, values: list[Any]) -> OpBody:
    """Turn the values of a body, whose shape has been checked, into its dataclass."""
    match kind:
        case OpType.CREATE:
            policy, salt16, cert, devices, leaf, *names = values
            return Create(_policy_in(policy), salt16, cert, devices, Leaf(*leaf), *names)
        case OpType.INVITE:
            return _invite_in(values)
        case OpType.INVITE_REVOKE:
            return InviteRevoke(*values)
        case OpType.ADD:
            account, role, cert, devices, leaf, *rest = values
            return Add(account, Role(role), cert, devices, Leaf(*leaf), *rest)
        case OpType.LEAVE:
            return Leave(_cut_in(values[0]))
        case OpType.REMOVE:
            account, reason, cut = values
            return Remove(account, reason, _cut_in(cut))
        case OpType.ROLE:
            return RoleChange(values[0], Role(values[1]))
        case OpType.DELETE:
            return Delete()
        case OpType.DEVICE:
            cert, devices, leaf = values
            return Device(cert, devices, Leaf(*leaf))
        case OpType.POLICY:
            return PolicyChange(_policy_in(values[0]))
        case OpType.META:
            return Meta(*values)
        case _:
            assert_never(kind)


def _invite_in(values: list[Any]) -> Invite:
    invite_id, invite_pk, join_cs, uses, expires_ms, role = values
    if not 1 <= uses <= MAX_USES:
        raise DecodeError(f"an invite is for 1 to {MAX_USES} uses")
    return Invite(invite_id, invite_pk, join_cs, uses, expires_ms, Role(role))


def _policy_out(policy: Policy) -> list[int]:
    return [int(policy.visibility), policy.history, int(policy.invite)]


def _policy_in(values: list[int]) -> Policy:
    return Policy(Visibility(values[0]), values[1], Inviting(values[2]))


def _leaf_out(leaf: Leaf) -> list[Any]:
    return [leaf.leaf_id, leaf.public]


def _cut_out(cut: Cut) -> list[Any]:
    """An index goes out one higher, for -1 has to be a number without a sign."""
    return [[device, epoch16, index + 1] for device, epoch16, index in sorted(cut)]


def _cut_in(values: list[Any]) -> Cut:
    pairs = [(device, epoch16) for device, epoch16, _ in values]
    if pairs != sorted(set(pairs)) or any(index > MAX_INDEX + 1 for _, _, index in values):
        raise DecodeError("a cut that is out of order or out of range")
    return tuple((device, epoch16, index - 1) for device, epoch16, index in values)

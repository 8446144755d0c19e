"""Who is in a room and who may do what: the rules of the room log, one op at a time (docs/crypto.md 3.6).

`State` is a room after some ops; `objection` says why an op may not follow, `apply` makes it follow. Both are
pure functions of state and op. Which ops there are and in what order they count is `membership.py`'s part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from node.clock import DAY_MS
from node.crypto.epoch import roster_hash
from node.crypto.joining import JoinRequest
from node.crypto.keys import DeviceCert, DeviceList, supersedes
from node.crypto.ops import (
    Add,
    Card,
    Create,
    Delete,
    Device,
    Invite,
    InviteRevoke,
    Leaf,
    Leave,
    Meta,
    Op,
    Policy,
    PolicyChange,
    Remove,
    Role,
    RoleChange,
    Visibility,
)
from node.errors import CryptoFault, PeerFault

MAX_MEMBERS = 1_000
"""What an epoch has slots for."""
JOIN_WINDOW_MS = DAY_MS
"""How far a join request's time may be from ours."""
INVITE_GRACE_MS = DAY_MS
"""An `add` may be signed this long after its invite's end: the request was in time, its answer was not."""


class Unauthorised(PeerFault):
    """An op that its author had no right to, in a room as the author itself knew it."""

    code = "unauthorised"


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the log has it; `leaf` is the one of the log, later messages may have renewed it."""

    account: bytes
    role: Role
    name: str
    leaf: Leaf
    certificate: DeviceCert = field(repr=False)
    device_list: DeviceList = field(repr=False)
    added_by: bytes

    @property
    def device_id(self) -> bytes:
        """The member's device, 16 bytes."""
        return self.certificate.device_id

    @property
    def dsk(self) -> bytes:
        """The public key by which the device signs."""
        return self.certificate.dsk


@dataclass(frozen=True, slots=True)
class InviteState:
    """An invite and what became of it. `opened` is its place in the order of ops."""

    invite_id: bytes
    invite_pk: bytes
    join_cs: bytes = field(repr=False)
    max_uses: int
    expires_ms: int
    role: Role
    author: bytes
    op_id: bytes
    opened: int
    uses: int = 0
    revoked: bool = False

    @property
    def uses_left(self) -> int:
        """How many it can still admit, 0 if it was revoked."""
        return 0 if self.revoked else max(0, self.max_uses - self.uses)

    def over(self, at_ms: int) -> bool:
        """Say whether its end in time is past; 0 is an invite without one."""
        return 0 < self.expires_ms <= at_ms


@dataclass(frozen=True, slots=True)
class Departure:
    """How an account last went: its role until then, its place in the order, whether it was put out."""

    role: Role
    at: int
    removed: bool
    op_id: bytes


@dataclass(frozen=True, slots=True)
class Roster:
    """The members of a room at one point of its log, by account and by device.

    `roster_hash` (32 bytes) is what an epoch for exactly these members carries.
    """

    members: Mapping[bytes, Member]
    devices: Mapping[bytes, Member]
    roster_hash: bytes

    def device_ids(self) -> list[bytes]:
        """Return the members' device ids, sorted."""
        return sorted(self.devices)

    def by_device(self, device_id: bytes) -> Member | None:
        """Return the member whose device this is."""
        return self.devices.get(device_id)


@dataclass(slots=True)
class State:
    """A room after the ops applied so far.

    `devices` has who brought each device that ever was in it, `granted` the hashes of the join requests that
    somebody came in by.
    """

    members: dict[bytes, Member] = field(default_factory=dict)
    devices: dict[bytes, Member] = field(default_factory=dict)
    departed: dict[bytes, Departure] = field(default_factory=dict)
    pinned: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    invites: dict[bytes, InviteState] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    name: str = ""
    topic: str = ""
    creator: bytes = b""
    ended_by: bytes = b""
    applied: dict[bytes, Op] = field(default_factory=dict)
    granted: set[bytes] = field(default_factory=set)

    def roster(self) -> Roster:
        """Return a snapshot of the members."""
        devices = {member.device_id: member for member in self.members.values()}
        return Roster(MappingProxyType(dict(self.members)), MappingProxyType(devices), roster_hash(devices))

    @property
    def deleted(self) -> bool:
        """Whether the room was ended; `ended_by` is the op that did it."""
        return bool(self.ended_by)

    def rank(self, account: bytes) -> int:
        """Return an account's role as a number, 0 if it is no member."""
        member = self.members.get(account)
        return 0 if member is None else int(member.role)


def objection(state: State, op: Op, card: Card | None, *, late: bool = False) -> str | None:
    """Say why `op` may not follow in `state`, None if it may.

    `late` is for an op that others, unknown to its author, have overtaken: its target may be gone already.
    """
    if isinstance(op.body, Create):
        return None if not state.applied else "a room is created once"
    author = state.members.get(op.author)
    if author is None:
        return "its author is not a member"
    if state.deleted and not isinstance(op.body, Leave):
        return "the room was deleted"
    match op.body:
        case Add():
            return _add_objection(state, author, op, op.body, card)
        case Remove(account=account):
            return _remove_objection(state, author, account, late=late)
        case Device():
            return _card_objection(state, card)
        case Invite() | InviteRevoke() | RoleChange() | Delete() | PolicyChange() | Meta():
            return _rank_objection(state, author.role, op)
        case Leave():
            return None


def apply(state: State, op: Op, card: Card | None) -> None:
    """Make `op`, to which there was no objection, follow in `state`."""
    match op.body:
        case Create() | Add():
            _enter(state, op, card)
        case Invite():
            _open_invite(state, op, op.body)
        case InviteRevoke(invite_id):
            state.invites[invite_id] = replace(state.invites[invite_id], revoked=True)
        case Leave():
            _depart(state, op, op.author, removed=False)
        case Remove(account=account):
            _depart(state, op, account, removed=True)
        case RoleChange(account, role):
            state.members[account] = replace(state.members[account], role=role)
        case Delete():
            state.ended_by = op.op_id
        case Device(leaf=leaf):
            _renew(state, op, leaf, card)
        case PolicyChange(policy):
            state.policy = policy
        case Meta(name, topic):
            state.name = state.name if name is None else name
            state.topic = state.topic if topic is None else topic
    state.applied[op.op_id] = op


def can_invite(state: State, role: Role) -> bool:
    """Say whether a member of this role may invite and add: greeters and up, in open rooms everyone."""
    return role >= Role.GREETER or state.policy.visibility is Visibility.OPEN


def usable_invite(state: State, invite_id: bytes, account: bytes) -> InviteState | str:
    """Return the invite if it can still admit `account`, else why not; its end in time is not judged here.

    Who was put out does not come back by an invite that was open then.
    """
    invite = state.invites.get(invite_id)
    if invite is None:
        return "there is no such invite"
    if invite.uses_left == 0:
        return "the invite is revoked or used up"
    gone = state.departed.get(account)
    if gone is not None and gone.removed and invite.opened < gone.at:
        return "an invite from before the removal does not bring anyone back"
    return invite


def admit(state: State, request: JoinRequest, *, now_ms: int) -> InviteState:
    """Return the invite by which a verified request for this room can be granted now; raises Unauthorised."""
    if abs(now_ms - request.ts_ms) > JOIN_WINDOW_MS:
        raise Unauthorised("a join request of another day")
    if request.account in state.members:
        raise Unauthorised("that account is a member already")
    if request.req_hash in state.granted:
        raise Unauthorised("a join request that was granted before")
    invite = usable_invite(state, request.invite_id, request.account)
    if isinstance(invite, str):
        raise Unauthorised(invite)
    if invite.over(request.ts_ms):
        raise Unauthorised("the invite has ended")
    return invite


def _may_give(state: State, giver: Role, role: Role) -> bool:
    """A role can be given by those above it, and by equals as far as the policy admits."""
    return role < giver or (role == giver and role <= state.policy.admits)


def _add_objection(state: State, author: Member, op: Op, body: Add, card: Card | None) -> str | None:
    if not can_invite(state, author.role) or not _may_give(state, author.role, body.role):
        return "its author may not add anyone in this role"
    if body.account in state.members:
        return "that account is a member already"
    if len(state.members) >= MAX_MEMBERS:
        return f"a room has at most {MAX_MEMBERS} members"
    if body.invite_id is not None:
        invite = usable_invite(state, body.invite_id, body.account)
        if isinstance(invite, str):
            return invite
        if body.role > invite.role or invite.over(op.ts_ms - INVITE_GRACE_MS):
            return "the invite was for less, or is long over"
    return _card_objection(state, card)


def _remove_objection(state: State, author: Member, account: bytes, *, late: bool) -> str | None:
    target, gone = state.members.get(account), state.departed.get(account)
    if target is not None:
        role = target.role
    elif late:
        role = Role.MEMBER if gone is None else gone.role
    else:
        return "that account is not a member"
    return None if author.role > role else "only someone above a member can remove it"


def _card_objection(state: State, card: Card | None) -> str | None:
    assert card is not None
    owner = state.devices.get(card.cert.device_id)
    if owner is not None and owner.account != card.cert.account:
        return "a device that is another account's"
    try:
        supersedes(card.devices, state.pinned.get(card.cert.account))
    except CryptoFault as exc:
        return str(exc)
    return None


def _rank_objection(state: State, role: Role, op: Op) -> str | None:
    match op.body:
        case Invite(invite_id=invite_id, role=given):
            known = invite_id in state.invites
            allowed = can_invite(state, role) and not known and _may_give(state, role, given)
        case InviteRevoke(invite_id):
            invite = state.invites.get(invite_id)
            allowed = invite is not None and (role >= Role.ADMIN or invite.author == op.author)
        case RoleChange(account, given):
            target = state.members.get(account)
            allowed = target is not None and target.role < role and given < role
        case _:
            allowed = role >= Role.ADMIN
    return None if allowed else f"its author may not do this: {op.type.name.lower()}"


def _enter(state: State, op: Op, card: Card | None) -> None:
    assert card is not None
    body = op.body
    if isinstance(body, Create):
        role, state.policy, state.name, state.creator = Role.CREATOR, body.policy, body.name, op.author
        name = body.creator_name
    else:
        assert isinstance(body, Add)
        role, name = body.role, body.name
        if body.join_req_hash is not None:
            state.granted.add(body.join_req_hash)
        if body.invite_id is not None:
            invite = state.invites[body.invite_id]
            state.invites[body.invite_id] = replace(invite, uses=invite.uses + 1)
    account = card.cert.account
    _seat(state, Member(account, role, name, body.leaf, card.cert, card.devices, op.op_id))


def _seat(state: State, member: Member) -> None:
    state.members[member.account] = member
    state.devices[member.device_id] = member
    state.pinned[member.account] = (member.device_list.seq, member.device_list.list_hash)


def _open_invite(state: State, op: Op, body: Invite) -> None:
    state.invites[body.invite_id] = InviteState(
        body.invite_id,
        body.invite_pk,
        body.join_cs,
        body.max_uses,
        body.expires_ms,
        body.role,
        op.author,
        op.op_id,
        len(state.applied),
    )


def _depart(state: State, op: Op, account: bytes, *, removed: bool) -> None:
    """Take a member out; the invites of one who was put out close with it, for it knows their seeds."""
    member = state.members.pop(account, None)
    if member is None and account in state.departed:
        return
    role = Role.MEMBER if member is None else member.role
    state.departed[account] = Departure(role, len(state.applied), removed, op.op_id)
    if removed:
        for invite in [i for i in state.invites.values() if i.author == account and not i.revoked]:
            state.invites[invite.invite_id] = replace(invite, revoked=True)


def _renew(state: State, op: Op, leaf: Leaf, card: Card | None) -> None:
    assert card is not None
    old = state.members[op.author]
    _seat(state, replace(old, leaf=leaf, certificate=card.cert, device_list=card.devices))

"""Ops of a room log and what one of them does: docs/crypto.md 3.6."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.independent.notation import h, sig, uuid8
from tests.independent.people import Person
from tests.independent.spelling import read_signed, write

CREATE, INVITE, REVOKE, ADD, LEAVE, REMOVE, ROLE, DELETE, DEVICE, POLICY, META = range(1, 12)
NOBODY, MEMBER, GREETER, ADMIN, CREATOR = range(5)
OPEN, ANYONE = 2, 1
"""The policy is `[visibility, history, invite]`: open rooms let everybody add, `ANYONE` makes greeters."""
DAY_MS = 86_400_000


@dataclass(frozen=True, eq=False)
class Op:
    """One op as received."""

    raw: bytes
    op_id: bytes
    room_id: bytes
    kind: int
    author: bytes
    device: bytes
    number: int
    parents: tuple[bytes, ...]
    lamport: int
    ts_ms: int
    body: list[Any]


def make(who: Person, fields: list[Any]) -> bytes:
    """`fields`: room id, type, author_seq, parents, lamport, ts_ms, body."""
    room, kind, seq, parents, *rest = fields
    raw = write([1, room, kind, who.account, who.device_id, seq, sorted(parents), *rest])
    return raw + sig("op", who.device_seed, raw)


def read_op(raw: bytes) -> Op:
    _, room, kind, author, device, number, parents, lamport, ts_ms, body = read_signed(raw, 1)[0]
    room = uuid8(h("room", raw)) if kind == CREATE else room
    return Op(raw, h("opid", raw), room, kind, author, device, number, tuple(parents), lamport, ts_ms, body)


@dataclass
class Going:
    """How an account last went."""

    role: int
    at: int
    removed: bool


@dataclass
class Opening:
    """An invite: what it gives, and what was used of it."""

    author: bytes
    at: int
    uses_left: int
    expires_ms: int
    role: int
    closed: bool = False


@dataclass
class Room:
    """A room after the ops that count so far; `members` is account to (role, device id)."""

    members: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    owners: dict[bytes, bytes] = field(default_factory=dict)
    lists: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    gone: dict[bytes, Going] = field(default_factory=dict)
    invites: dict[bytes, Opening] = field(default_factory=dict)
    policy: list[int] = field(default_factory=lambda: [1, 0, ANYONE])
    name: str = ""
    topic: str = ""
    deleted: bool = False
    counted: list[bytes] = field(default_factory=list)

    def rank(self, account: bytes) -> int:
        return self.members.get(account, (NOBODY, b""))[0]

    def allows(self, op: Op, *, late: bool) -> bool:
        """`late`: the target of a removal may be gone already, by something its author did not know."""
        rank = self.rank(op.author)
        if op.kind == CREATE:
            return not self.counted
        if rank == NOBODY or (self.deleted and op.kind != LEAVE):
            return False
        match op.kind, op.body:
            case 2, [invite_id, _, _, _, _, role]:
                return self._greets(rank) and invite_id not in self.invites and self._gives(rank, role)
            case 3, [invite_id]:
                invite = self.invites.get(invite_id)
                return invite is not None and (rank >= ADMIN or invite.author == op.author)
            case 4, _:
                return self._allows_add(op, rank)
            case 6, [account, _, _]:
                gone = self.gone.get(account)
                before = gone.role if gone else MEMBER
                return rank > self.rank(account) if account in self.members else late and rank > before
            case 7, [account, role]:
                return NOBODY < self.rank(account) < rank and role < rank
            case 9, [cert, devices, _]:
                return self._takes(cert, devices)
            case 5, _:
                return True
            case _:
                return rank >= ADMIN

    def count(self, op: Op) -> None:
        match op.kind, op.body:
            case 1, [policy, _, cert, devices, _, name, _]:
                self.policy, self.name = policy, name
                self._seat(op.author, CREATOR, cert, devices)
            case 2, [invite_id, _, _, uses, expires_ms, role]:
                opening = Opening(op.author, len(self.counted), uses, expires_ms, role)
                self.invites[invite_id] = opening
            case 3, [invite_id]:
                self.invites[invite_id].closed = True
            case 4, [account, role, cert, devices, _, _, invite_id, _]:
                self._seat(account, role, cert, devices)
                if invite_id is not None:
                    self.invites[invite_id].uses_left -= 1
            case 5, _:
                self._goes(op.author, removed=False)
            case 6, [account, _, _]:
                self._goes(account, removed=True)
            case 7, [account, role]:
                self.members[account] = (role, self.members[account][1])
            case 8, _:
                self.deleted = True
            case 9, [cert, devices, _]:
                self._seat(op.author, self.rank(op.author), cert, devices)
            case 10, [policy]:
                self.policy = policy
            case 11, [name, topic]:
                self.name = self.name if name is None else name
                self.topic = self.topic if topic is None else topic
        self.counted.append(op.op_id)

    def _greets(self, rank: int) -> bool:
        return rank >= GREETER or self.policy[0] == OPEN

    def _gives(self, rank: int, role: int) -> bool:
        return role < rank or (role == rank and role <= (GREETER if self.policy[2] == ANYONE else MEMBER))

    def _allows_add(self, op: Op, rank: int) -> bool:
        account, role, cert, devices, _, _, invite_id, _ = op.body
        if not self._greets(rank) or not self._gives(rank, role) or account in self.members:
            return False
        if invite_id is not None:
            invite, gone = self.invites.get(invite_id), self.gone.get(account)
            if invite is None or invite.closed or invite.uses_left < 1 or role > invite.role:
                return False
            if (gone and gone.removed and invite.at < gone.at) or 0 < invite.expires_ms <= op.ts_ms - DAY_MS:
                return False
        return self._takes(cert, devices)

    def _takes(self, cert: bytes, devices: bytes) -> bool:
        """A device has one owner for good, and a list of devices never goes back."""
        account = read_signed(cert, 2)[0][1]
        _, _, seq, previous, *_ = read_signed(devices, 1)[0]
        known_seq, known = self.lists.get(account, (0, bytes(32)))
        same, next_one = (seq, h("listid", devices)) == (known_seq, known), seq == known_seq + 1
        follows = seq > known_seq and (not next_one or previous == known or not known_seq)
        return self.owners.get(device_of(cert), account) == account and (same or follows)

    def _seat(self, account: bytes, role: int, cert: bytes, devices: bytes) -> None:
        self.members[account] = (role, device_of(cert))
        self.owners[device_of(cert)] = account
        self.lists[account] = (read_signed(devices, 1)[0][2], h("listid", devices))

    def _goes(self, account: bytes, *, removed: bool) -> None:
        """Who went already does not go again; with one who was put out, all it had opened closes."""
        if account not in self.members and account in self.gone:
            return
        role = self.members.pop(account, (MEMBER, b""))[0]
        self.gone[account] = Going(role, len(self.counted), removed)
        for invite in self.invites.values():
            invite.closed = invite.closed or (removed and invite.author == account)


def device_of(cert: bytes) -> bytes:
    _, _, dsk, dik, *_ = read_signed(cert, 2)[0]
    return h("dev", dsk + dik)[:16]

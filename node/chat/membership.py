"""A room's log: signed ops in, one roster out, the same on every node (docs/crypto.md 3.6).

An op is judged twice. When it comes, against the room as its author knew it: the state its parents lead to,
which is the same everywhere, so a refusal is too. Then among all ops that are here, in one order: causes
first, else the higher rank at its parents, lamport, op id. Before that order is walked, two filters make ops
void: whoever is removed by a higher rank loses what the remover had not seen, whoever is demoted what needed
the old rank; an `add` of someone who goes counts only if it follows the going. And of two ops of one
device with one number the smaller id counts, but a `leave` before anything.
An op that follows everything known, the usual case, is applied in one step. What still counts of who is gone
is `cuts.py`'s. Direct rooms have no log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.chat.cuts import Goings
from node.chat.resolver import Graph, resolve
from node.chat.roster import (
    InviteState,
    Member,
    Roster,
    State,
    Unauthorised,
    admit,
    apply,
    can_invite,
    objection,
)
from node.crypto.joining import JoinRequest
from node.crypto.keys import Identity
from node.crypto.ops import (
    MAX_PARENTS,
    Card,
    Create,
    Leave,
    Op,
    OpBody,
    Policy,
    PolicyChange,
    Remove,
    Visibility,
    card_of,
    make_op,
    verify_op,
)
from node.errors import CryptoFault, DecodeError

MAX_OPS = 50_000
"""Ops of one room; a thousand members who come, invite and go ten times over stay below."""
GOING_OPS = 2_000
"""Beyond that people can still go and be put out: who fills a log on purpose does not stay for it."""
MAX_STATES = 16
"""States kept for sets of heads other than the newest: concurrent authors mostly share theirs."""

__all__ = [
    "AddResult",
    "InviteState",
    "Member",
    "RoomLog",
    "Roster",
    "Unauthorised",
]


@dataclass(frozen=True, slots=True)
class AddResult:
    """What became of an op: `new` if it is in the log only now; else a duplicate, or `missing` parents."""

    new: bool
    missing: tuple[bytes, ...] = ()


class RoomLog:
    """All ops of one room that this node has, and what they come to."""

    def __init__(self, room_id: bytes) -> None:
        self.room_id = room_id
        self.size = 0
        """Bytes of all ops together."""
        self._graph = Graph()
        self._by16: dict[bytes, Op] = {}
        self._heads: set[bytes] = set()
        self._newest: Op | None = None
        self._dsk: dict[bytes, bytes] = {}
        self._owners: dict[bytes, bytes] = {}
        self._goings = Goings(self._graph)
        self._forks: tuple[tuple[Op, Op], ...] = ()
        self._state: State | None = State()
        self._order: list[Op] = []
        self._roster: Roster | None = None
        self._policies: list[Op] | None = None
        self._states: dict[frozenset[bytes], State] = {}

    # -- taking ops in ----------------------------------------------------------------------------

    def add(self, op: Op) -> AddResult:
        """Take one op; one whose parents are not here is not kept, add it again when they are.

        Raises:
            CryptoFault: If it is another room's, not signed by its author's device, or brings a bad card.
            DecodeError: If its numbers do not fit its parents, or the log is full.
            Unauthorised: If its author, as far as it knew, had no right to it.
        """
        if op.room_id != self.room_id:
            raise CryptoFault("an op of another room")
        if op.op_id in self._graph.ops:
            return AddResult(new=False)
        missing = tuple(parent for parent in op.parents if parent not in self._graph.ops)
        if missing:
            return AddResult(new=False, missing=missing)
        card, rank = self.judge(op)
        self._insert(op, card, rank)
        return AddResult(new=True)

    def judge(self, op: Op) -> tuple[Card | None, int]:
        """Return what an op, whose parents are here, brings, and its author's rank; raises as `add`."""
        room_left = MAX_OPS + (GOING_OPS if isinstance(op.body, Leave | Remove) else 0)
        if len(self._graph.ops) >= room_left:
            raise DecodeError(f"a room's log holds at most {MAX_OPS} ops")
        card = self._check_signatures(op)
        state = self._state_at(op.parents)
        self._check_place(op, state, card)
        return card, state.rank(op.author)

    def add_all(self, ops: Iterable[Op]) -> tuple[Op, ...]:
        """Take ops in any order; return those whose parents are not here or among them; raises as `add`."""
        left = list(ops)
        while left:
            waiting = [op for op in left if self.add(op).missing]
            if len(waiting) == len(left):
                break
            left = waiting
        return tuple(left)

    def next_op(self, identity: Identity, body: OpBody, *, ts_ms: int) -> Op:
        """Sign an op of ours that follows everything known; it is not added yet."""
        return make_op(
            identity,
            room_id=self.room_id,
            author_seq=self.next_author_seq(identity.account),
            parents=self.heads,
            lamport=self.lamport + 1,
            ts_ms=ts_ms,
            body=body,
        )

    def _check_signatures(self, op: Op) -> Card | None:
        """Check the op's signature first: everything after it costs more."""
        known = self._dsk.get(op.device_id)
        if known is not None:
            verify_op(op, known)
            return card_of(op)
        card = card_of(op)
        if card is None or card.cert.account != op.author or card.cert.device_id != op.device_id:
            raise CryptoFault("an op by a device that is not in the room")
        verify_op(op, card.cert.dsk)
        return card

    def _check_place(self, op: Op, state: State, card: Card | None) -> None:
        """Check what an op says of itself against the ops it follows."""
        own = state.members.get(op.author)
        brought = card is not None and card.cert.account == op.author and card.cert.device_id == op.device_id
        if own is not None and own.device_id != op.device_id and not brought:
            raise CryptoFault("an op by a device that is not its author's")
        if not isinstance(op.body, Create):
            if op.lamport != 1 + max(self._graph.ops[parent].lamport for parent in op.parents):
                raise DecodeError("an op whose lamport does not follow its parents")
            if op.author_seq != 1 + self._graph.last_seq(op.author, op.parents):
                raise DecodeError("an op whose number does not follow its author's last")
        problem = objection(state, op, card)
        if problem is not None:
            raise Unauthorised(problem)

    def _insert(self, op: Op, card: Card | None, rank: int) -> None:
        follows_all = set(op.parents) == self._heads
        self._graph.insert(op, card, rank, follows_all=follows_all)
        self._heads.difference_update(op.parents)
        self._heads.add(op.op_id)
        self._by16.setdefault(op.op16, op)
        self.size += len(op.raw)
        if self._newest is None or (op.lamport, op.op_id) > (self._newest.lamport, self._newest.op_id):
            self._newest = op
        if card is not None:
            self._dsk[card.cert.device_id] = card.cert.dsk
            self._owners[card.cert.device_id] = card.cert.account
        self._roster = self._policies = None
        if follows_all and self._state is not None:
            apply(self._state, op, card)
            self._order.append(op)
            self._goings.note(op)
        else:
            self._state = None

    # -- what the ops come to ---------------------------------------------------------------------

    def _now(self) -> State:
        """Return the state that all ops lead to, worked out again if ops came in beside each other."""
        if self._state is None:
            outcome = resolve(self._graph, self._graph.everything())
            self._state, self._order, self._forks = outcome.state, list(outcome.order), outcome.forks
            self._goings = Goings(self._graph)
            for op in self._order:
                if op.op_id in outcome.state.applied:
                    self._goings.note(op)
        return self._state

    def _state_at(self, heads: Iterable[bytes]) -> State:
        """Return the state that these ops and all before them lead to; not to be changed."""
        key = frozenset(heads)
        if key == self._heads:
            return self._now()
        state = self._states.pop(key, None)
        if state is None:
            state = resolve(self._graph, self._graph.closure(key)).state
        self._states[key] = state
        while len(self._states) > MAX_STATES:
            del self._states[next(iter(self._states))]
        return state

    @property
    def roster(self) -> Roster:
        """The members now."""
        if self._roster is None:
            self._roster = self._now().roster()
        return self._roster

    def roster_at(self, heads: Iterable[bytes]) -> Roster:
        """Return the members as of these ops (whole ids); raises CryptoFault if one is not here."""
        named = tuple(heads)
        if not named or any(head not in self._graph.ops for head in named):
            raise CryptoFault("heads that this log does not have")
        if frozenset(named) == self._heads:
            return self.roster
        return self._state_at(named).roster()

    @property
    def name(self) -> str:
        """The room's name."""
        return self._now().name

    @property
    def create(self) -> Op:
        """The op that made the room."""
        self._now()
        return self._order[0]

    @property
    def standing(self) -> InviteState | None:
        """The invite by which everybody enters an open room, as its `create` op names it, or None."""
        body = self.create.body if self._graph.ops else None
        if not isinstance(body, Create) or body.policy.visibility is not Visibility.OPEN:
            return None
        return self.invites.get(body.salt16)

    @property
    def topic(self) -> str:
        """The room's topic, empty if it has none."""
        return self._now().topic

    @property
    def policy(self) -> Policy:
        """The room's rules."""
        return self._now().policy

    def policy_at(self, heads: Iterable[bytes]) -> Policy:
        """Return the rules as of these ops (whole ids), which are here."""
        return self._state_at(heads).policy

    def kept_at(self, view16: bytes) -> bool:
        """Say whether the room had a history for who knew an op, by the first 16 bytes of its id.

        The newest op counts as all that is known: who knew of a change beside it is taken not to have.
        """
        if view16 == self.view16:
            return self.policy.history > 0
        if self._policies is None:
            made = self._now().applied.values()
            self._policies = [op for op in made if isinstance(op.body, Create | PolicyChange)]
        for op in reversed(self._policies):
            if op.op16 == view16 or self.is_strict_ancestor(op.op_id, view16):
                assert isinstance(op.body, Create | PolicyChange)
                return op.body.policy.history > 0
        return False

    @property
    def creator(self) -> bytes:
        """The account that made the room, a member still or not; empty before the `create` op is here."""
        return self._now().creator

    @property
    def deleted(self) -> bool:
        """Whether the room was ended for good."""
        return self._now().deleted

    def deleted_at(self, op16: bytes) -> bool:
        """Say whether who knew this op, by the first 16 bytes of its id, knew that the room was over."""
        end = self._now().ended_by
        return bool(end) and (end[:16] == op16 or self.is_strict_ancestor(end, op16))

    def has_room_for(self, count: int) -> bool:
        """Say whether so many more ops fit."""
        return len(self._graph.ops) + count <= MAX_OPS

    @property
    def invites(self) -> Mapping[bytes, InviteState]:
        """All invites ever made, by id, with what is left of each."""
        return self._now().invites

    def applied(self, op_id: bytes) -> bool:
        """Say whether an op is here and counts, that is, no filter or other op made it void."""
        return op_id in self._now().applied

    @property
    def forks(self) -> tuple[tuple[Op, Op], ...]:
        """Pairs of ops by one device with one number: proof that it said two things; the first counts."""
        self._now()
        return self._forks

    def device(self, device_id: bytes) -> Member | None:
        """Return whose device this is or once was, None if it never was in the room."""
        return self.roster.by_device(device_id) or self._now().devices.get(device_id)

    def greeters(self) -> list[Member]:
        """Return the members who may let somebody in."""
        state = self._now()
        return [member for member in state.members.values() if can_invite(state, member.role)]

    def granted(self, req_hash: bytes) -> bool:
        """Say whether somebody came in by the join request of this hash."""
        return req_hash in self._now().granted

    def judge_join(self, request: JoinRequest, *, now_ms: int) -> InviteState:
        """Return the invite by which a verified request can be granted now.

        Raises:
            Unauthorised: If it is for another room, too old, from a member, or its invite does not admit it.
        """
        if request.room_id != self.room_id:
            raise Unauthorised("a join request for another room")
        return admit(self._now(), request, now_ms=now_ms)

    # -- the graph --------------------------------------------------------------------------------

    @property
    def heads(self) -> tuple[bytes, ...]:
        """The ids that no op follows yet, sorted; of more than 16 the newest."""
        newest = sorted(self._heads, key=lambda head: (self._graph.ops[head].lamport, head))
        return tuple(sorted(newest[-MAX_PARENTS:]))

    @property
    def lamport(self) -> int:
        """The highest lamport of the heads, -1 for an empty log."""
        return max((self._graph.ops[head].lamport for head in self._heads), default=-1)

    @property
    def view16(self) -> bytes:
        """The first 16 bytes of the newest op, by lamport and then id; zeros for an empty log."""
        return bytes(16) if self._newest is None else self._newest.op16

    def next_author_seq(self, account: bytes) -> int:
        """Return the number of an account's next op on top of `heads`."""
        return 1 + self._graph.last_seq(account, self.heads)

    def ops_in_order(self) -> tuple[Op, ...]:
        """Return every op, the void ones too, parents first; the same order on every node."""
        self._now()
        return tuple(self._order)

    def op(self, op_id: bytes) -> Op | None:
        """Return an op by its id, or by the first 16 bytes of it."""
        return self._by16.get(op_id[:16])

    def ops_of(self, account: bytes) -> list[Op]:
        """Return the ops that an account made, void ones too, by their number."""
        return self._graph.ops_of(account)

    def device_of(self, op_id: bytes) -> bytes | None:
        """Return the id of the device that an op, which is here, brings; None if it brings none."""
        return self._graph.device_of(op_id)

    def knows(self, op_id: bytes) -> bool:
        """Say whether an op is here, by its whole id."""
        return op_id in self._graph.ops

    def knows16(self, op16: bytes) -> bool:
        """Say whether an op is here, by the first 16 bytes of its id."""
        return op16 in self._by16

    def is_strict_ancestor(self, earlier: bytes, later: bytes) -> bool:
        """Say whether an op comes before another, by id or its first 16 bytes; False if one is not here."""
        one, other = self.op(earlier), self.op(later)
        return one is not None and other is not None and self._graph.precedes(one.op_id, other.op_id)

    def includes(self, heads: Iterable[bytes], op_id: bytes) -> bool:
        """Say whether an op is one of these heads or before one: what was known where an epoch was made."""
        return self._graph.includes(heads, op_id)

    def was_open_to(self, devices: Iterable[bytes], op_id: bytes) -> bool:
        """Say whether an op, which is here, follows no going of anybody who had one of these devices.

        Its author then meant it for all of them; who is a member again was given the whole log. A device
        whose op turned out void is its account's all the same.
        """
        state = self._now()
        accounts = {self._owners.get(one) for one in devices}
        for account in accounts - state.members.keys():
            if account is None or self._goings.follows(op_id, account):
                return False
        return True

    # -- cuts -------------------------------------------------------------------------------------

    def cut_for(self, device_id: bytes, heads: Iterable[bytes] = ()) -> dict[bytes, int] | None:
        """Return what counts of a device in epochs made at `heads`: epoch16 to highest index, -1 for none.

        None if no removal or leave of its account concerns such epochs. Without `heads`, the cut of the
        first going.
        """
        member = self._now().devices.get(device_id)
        if member is None or member.account not in self._goings.of:
            return None
        return self._goings.cut(member.account, device_id, heads)

    def allows(self, device_id: bytes, epoch16: bytes, index: int, heads: Iterable[bytes]) -> bool:
        """Say whether a device's message `index` (-1: its announce) counts in an epoch made at `heads`."""
        cut = self.cut_for(device_id, heads)
        return cut is None or index <= cut.get(epoch16, -2)

"""What the ops of others bring to a room's log, and what its people are told of it (docs/crypto.md 3.6).

The log judges each op; one whose parents are not here waits for them, unjudged. Of ops that somebody gives
only those are taken which something here needs: nobody fills a log with what nobody asked for.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from node.chat.branches import Branches
from node.chat.op_exchange import OpExchange
from node.chat.room import Room
from node.chat.room_facts import Facts, tell_changes, tell_gone, tell_joined
from node.chat.turn import Turn
from node.crypto.ops import Leave, Op, OpType
from node.errors import PeerFault

MAX_PENDING_OPS = 1_000
"""Ops a room keeps whose parents are not here; nobody's signature is checked before they are."""


class OpInbox:
    """Puts ops of others into one room's log; `pending` are those that wait for their parents."""

    def __init__(self, room: Room, exchange: OpExchange, branches: Branches) -> None:
        self.room, self.exchange, self.branches = room, exchange, branches
        self.pending: dict[bytes, Op] = {}

    def take(self, turn: Turn, come: Iterable[Op]) -> None:
        """Take ops, and those that waited for them; what is refused leaves nothing behind."""
        for op in come:
            self._pend(turn, op)
        moved = True
        while moved:
            moved = False
            for op_id, pending in list(self.pending.items()):
                if self._apply(turn, pending):
                    del self.pending[op_id]
                    moved = True
        self.room.save(turn)

    def needed_of(self, given: list[Op], needed: Container[bytes]) -> list[Op]:
        """Return, of ops that somebody gives, what is needed by op16, and what these need in turn."""
        names, taken = needed, list[Op]()
        while found := [op for op in given if op.op16 in names]:
            taken += found
            given = [op for op in given if op not in found]
            parents = {parent[:16] for op in found for parent in op.parents}
            names = {op16 for op16 in parents if not self.room.log.knows16(op16)}
        return taken

    def has(self, op: Op) -> bool:
        """Say whether an op is in the log, or waits to be."""
        return self.room.log.knows(op.op_id) or op.op_id in self.pending

    def restore(self, op: Op) -> None:
        """Take a stored op back after a start; one that waited for its parents may turn out to be bad."""
        try:
            missing = self.room.log.add(op).missing
        except PeerFault:
            return
        if missing:
            self.pending[op.op_id] = op

    def _pend(self, turn: Turn, op: Op) -> None:
        self.pending[op.op_id] = op
        if len(self.pending) > MAX_PENDING_OPS:
            oldest = next(iter(self.pending))
            del self.pending[oldest]
            self.room.drop_op(turn, oldest)

    def _apply(self, turn: Turn, op: Op) -> bool:
        """Put an op into the log; False if its parents are missing. A refused one leaves nothing behind."""
        log = self.room.log
        before, view16 = Facts.of(log), log.view16
        try:
            result = log.add(op)
        except PeerFault:
            self.room.drop_op(turn, op.op_id)
            return True
        self.room.store_op(turn, op)
        if result.missing:
            turn.sync_wanted = True
            self.exchange.lacking(turn)
            return False
        if result.new:
            self.branches.hand_on(turn, op, before.members, view16)
            self._tell(turn, op, before)
        return True

    def _tell(self, turn: Turn, op: Op, before: Facts) -> None:
        """Log what an op changed for the people in the room."""
        after, known = self.room.log.roster.members, before.members
        for account in after.keys() - known.keys():
            tell_joined(turn, self.room, account)
        for account in known.keys() - after.keys():
            left = isinstance(op.body, Leave) and op.author == account
            tell_gone(turn, self.room, account, "leave" if left else "removed")
        author = after.get(op.author)
        if op.type is OpType.DEVICE and author is not None and op.author != self.room.me.account:
            self.room.people.meet(turn, op.author, author.name)
            self.room.people.pin_member(turn, op.author, author.certificate, author.device_list)
        self.room.kept.bound(turn, self.room.history)
        tell_changes(turn, self.room, before)

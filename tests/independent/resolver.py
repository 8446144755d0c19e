"""From a set of ops to one roster, whatever order they came in: docs/crypto.md 3.6, slowly and all anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tests.independent.log import ADD, LEAVE, REMOVE, ROLE, Op, Room

ROUNDS = 8
"""Beyond that the ops contradict each other on purpose, and what the last two rounds voided stays void."""


@dataclass(frozen=True)
class Outcome:
    """What a set of ops comes to."""

    room: Room
    order: list[Op]
    forks: list[tuple[bytes, bytes]]


class Log:
    """Ops of one room, each after its parents."""

    def __init__(self, ops: Iterable[Op]) -> None:
        self.ops = {op.op_id: op for op in ops}
        self._before: dict[bytes, frozenset[bytes]] = {}
        self._ranks: dict[bytes, int] = {}

    @cached_property
    def outcome(self) -> Outcome:
        return self.resolve(frozenset(self.ops))

    def refuses(self, op: Op) -> bool:
        """Say whether the author of an op had, as far as it knew, no right to it."""
        return not self.resolve(self._closure(op.parents)).room.allows(op, late=False)

    def before(self, op: Op) -> frozenset[bytes]:
        if op.op_id not in self._before:
            self._before[op.op_id] = self._closure(op.parents)
        return self._before[op.op_id]

    def rank(self, op: Op) -> int:
        """Return the rank of an op's author where its parents lead."""
        if op.op_id not in self._ranks:
            self._ranks[op.op_id] = self.resolve(self.before(op)).room.rank(op.author)
        return self._ranks[op.op_id]

    def resolve(self, ids: frozenset[bytes]) -> Outcome:
        ops = [self.ops[op_id] for op_id in ids]
        order = self._ordered(ops)
        void: frozenset[bytes] = frozenset()
        last = void
        for _ in range(ROUNDS):
            room = _walked(order, void)
            found = self._void(ops, room)
            if found == void:
                break
            void, last = found, void
        else:
            room = _walked(order, void | last)
        return Outcome(room, order, _pairs(ops))

    def _closure(self, heads: Iterable[bytes]) -> frozenset[bytes]:
        found: set[bytes] = set()
        for head in heads:
            found |= {head} | self.before(self.ops[head])
        return frozenset(found)

    def _ordered(self, ops: list[Op]) -> list[Op]:
        """Causes first; of what could come next the highest rank, then lamport, then id."""
        left, done, order = list(ops), set[bytes](), list[Op]()
        while left:
            ready = [op for op in left if done.issuperset(op.parents)]
            following = min(ready, key=lambda op: (-self.rank(op), op.lamport, op.op_id))
            left.remove(following)
            done.add(following.op_id)
            order.append(following)
        return order

    def _beside(self, one: Op, other: Op) -> bool:
        return (
            one.op_id not in self.before(other) and other.op_id not in self.before(one) and one is not other
        )

    def _void(self, ops: list[Op], room: Room) -> frozenset[bytes]:
        void = set()
        for op in ops:
            target = op.author if op.kind == LEAVE else op.body[0] if op.kind in {REMOVE, ROLE} else None
            if target is not None and op.op_id in room.counted:
                void.update(other.op_id for other in ops if self._voids(op, other, target))
        kept = set()
        for op in sorted(ops, key=_claim):
            if op.op_id not in void:
                if (op.author, op.device, op.number) in kept:
                    void.add(op.op_id)
                kept.add((op.author, op.device, op.number))
        return frozenset(void)

    def _voids(self, op: Op, other: Op, target: bytes) -> bool:
        """A going voids what the target did beside it under a lower rank, and adds of the target beside it.

        A change of role voids what the target did beside it that needed more than the new role.
        """
        if not self._beside(op, other):
            return False
        outranked = other.author == target and self.rank(other) < self.rank(op)
        if op.kind == ROLE:
            return outranked and self.rank(other) > op.body[1]
        return outranked or (other.kind == ADD and other.body[0] == target)


def _walked(order: list[Op], void: frozenset[bytes]) -> Room:
    room = Room()
    for op in order:
        if op.op_id not in void and room.allows(op, late=True):
            room.count(op)
    return room


def _claim(op: Op) -> tuple[bool, bytes]:
    """Of two ops of one number by one device a leave counts, else the smaller id."""
    return op.kind != LEAVE, op.op_id


def _pairs(ops: list[Op]) -> list[tuple[bytes, bytes]]:
    first: dict[tuple[bytes, bytes, int], bytes] = {}
    ordered = sorted(ops, key=_claim)
    named = [(op, first.setdefault((op.author, op.device, op.number), op.op_id)) for op in ordered]
    return [(kept, op.op_id) for op, kept in named if kept != op.op_id]

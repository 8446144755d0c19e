"""The graph of a room's ops, and the one order in which they count (docs/crypto.md 3.6).

`resolve` is a function of a set of ops: who knows the same ops comes to the same state, whatever way and
however often they came. See `membership.py` for the rules in words.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from node.chat.roster import State, apply, objection
from node.crypto.ops import Add, Card, Leave, Op, Remove, RoleChange

MAX_ROUNDS = 8
"""Voiding a removal brings back what it voided, rank below rank, and there are four. Beyond that the ops
contradict each other on purpose, and what either of the last two rounds voided stays void."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a set of ops comes to; `order` holds the void ones too, `forks` the pairs that share a number."""

    state: State
    order: tuple[Op, ...]
    forks: tuple[tuple[Op, Op], ...]


@dataclass(slots=True)
class _Node:
    """An op's place: `before` is a bit set of the indices before it, None for all lower ones."""

    op: Op
    card: Card | None
    rank: int
    index: int
    before: int | None


class Graph:
    """Ops by id, each with the set of those before it."""

    def __init__(self) -> None:
        self.ops: dict[bytes, Op] = {}
        self._nodes: dict[bytes, _Node] = {}
        self._by_index: list[_Node] = []
        self._by_author: dict[bytes, list[tuple[int, int]]] = {}

    def insert(self, op: Op, card: Card | None, rank: int, *, follows_all: bool) -> None:
        """Put in an op whose parents are here; `rank` is its author's where its parents lead."""
        index = len(self._by_index)
        before = None if follows_all else self.closure(op.parents)
        node = _Node(op, card, rank, index, before)
        self.ops[op.op_id] = op
        self._nodes[op.op_id] = node
        self._by_index.append(node)
        insort(self._by_author.setdefault(op.author, []), (op.author_seq, index))

    def everything(self) -> int:
        """Return the bit set of all ops."""
        return (1 << len(self._by_index)) - 1

    def closure(self, heads: Iterable[bytes]) -> int:
        """Return the bit set of some ops and all before them."""
        bits = 0
        for head in heads:
            node = self._nodes[head]
            bits |= _before(node) | 1 << node.index
        return bits

    def precedes(self, earlier: bytes, later: bytes) -> bool:
        """Say whether one op is strictly before another; False if one is not here."""
        one, other = self._nodes.get(earlier), self._nodes.get(later)
        return one is not None and other is not None and _precedes(one, other)

    def includes(self, heads: Iterable[bytes], op_id: bytes) -> bool:
        """Say whether an op is one of these heads or before one."""
        return any(head == op_id or self.precedes(op_id, head) for head in heads)

    def last_seq(self, author: bytes, heads: Iterable[bytes]) -> int:
        """Return the highest number of an author's ops among `heads` and those before them, 0 if none."""
        tops = [self._nodes[head] for head in heads]
        for seq, index in reversed(self._by_author.get(author, ())):
            node = self._by_index[index]
            if any(node is top or _precedes(node, top) for top in tops):
                return seq
        return 0

    def ops_of(self, author: bytes) -> list[Op]:
        """Return an author's ops by their number."""
        return [self._by_index[index].op for _, index in self._by_author.get(author, ())]

    def device_of(self, op_id: bytes) -> bytes | None:
        """Return the id of the device that an op brings, None if it brings none."""
        card = self._nodes[op_id].card
        return None if card is None else card.cert.device_id

    def nodes(self, bits: int) -> list[_Node]:
        """Return the nodes of a bit set, in the order they came in."""
        if bits == self.everything():
            return list(self._by_index)
        return [node for node in self._by_index[: bits.bit_length()] if bits >> node.index & 1]


def resolve(graph: Graph, bits: int) -> Outcome:
    """Return what a set of ops, closed under causes, comes to."""
    nodes = graph.nodes(bits)
    order = _ordered(nodes)
    void: frozenset[bytes] = frozenset()
    for _ in range(MAX_ROUNDS):
        state = _walk(order, void)
        found = _void(nodes, state)
        if found == void:
            break
        void, before = found, void
    else:
        state = _walk(order, void | before)
    return Outcome(state, tuple(node.op for node in order), _forks(nodes))


def _before(node: _Node) -> int:
    return (1 << node.index) - 1 if node.before is None else node.before


def _precedes(one: _Node, other: _Node) -> bool:
    if one.index >= other.index:
        return False
    return other.before is None or bool(other.before >> one.index & 1)


def _beside(one: _Node, other: _Node) -> bool:
    return one is not other and not _precedes(one, other) and not _precedes(other, one)


def _ordered(nodes: list[_Node]) -> list[_Node]:
    """Order by cause, then by rank (highest first), lamport, id."""
    here = {node.op.op_id: node for node in nodes}
    waits = {node.op.op_id: len(node.op.parents) for node in nodes}
    children: dict[bytes, list[bytes]] = {}
    ready: list[tuple[int, int, bytes]] = []
    for node in nodes:
        for parent in node.op.parents:
            children.setdefault(parent, []).append(node.op.op_id)
        if not node.op.parents:
            heappush(ready, _key(node))
    order = []
    while ready:
        op_id = heappop(ready)[2]
        order.append(here[op_id])
        for child in children.get(op_id, ()):
            waits[child] -= 1
            if waits[child] == 0:
                heappush(ready, _key(here[child]))
    assert len(order) == len(nodes)
    return order


def _key(node: _Node) -> tuple[int, int, bytes]:
    return -node.rank, node.op.lamport, node.op.op_id


def _walk(order: list[_Node], void: frozenset[bytes]) -> State:
    state = State()
    for node in order:
        if node.op.op_id not in void and objection(state, node.op, node.card, late=True) is None:
            apply(state, node.op, node.card)
    return state


def _void(nodes: list[_Node], state: State) -> frozenset[bytes]:
    """Return what the removals and demotions that count, and then the forks, make void."""
    concerning: dict[bytes, list[_Node]] = {}
    for node in nodes:
        concerning.setdefault(node.op.author, []).append(node)
        if isinstance(node.op.body, Add):
            concerning.setdefault(node.op.body.account, []).append(node)
    void: set[bytes] = set()
    for node in nodes:
        target = _lowered(node.op)
        if target is not None and node.op.op_id in state.applied:
            void.update(other.op.op_id for other in concerning.get(target, ()) if _voids(node, other, target))
    kept: dict[tuple[bytes, bytes, int], Op] = {}
    for node in sorted(nodes, key=_claim):
        if node.op.op_id not in void and kept.setdefault(_number(node.op), node.op) is not node.op:
            void.add(node.op.op_id)
    return frozenset(void)


def _lowered(op: Op) -> bytes | None:
    """Return whom an op takes out or gives another role."""
    match op.body:
        case Leave():
            return op.author
        case Remove(account=account) | RoleChange(account=account):
            return account
        case _:
            return None


def _voids(node: _Node, other: _Node, target: bytes) -> bool:
    """Say whether an op that lowers `target` makes another op beside it void."""
    body, op = node.op.body, other.op
    outranked = op.author == target and other.rank < node.rank
    if isinstance(body, RoleChange):
        return outranked and other.rank > body.role and _beside(node, other)
    brings_back = isinstance(op.body, Add) and op.body.account == target
    return (outranked or brings_back) and _beside(node, other)


def _number(op: Op) -> tuple[bytes, bytes, int]:
    """Name an op's number: each device counts for itself where the two do not know of each other.

    Who restored an old backup cannot know the newest number of the device before; and whoever has that
    device's keys alone cannot void what brings the new one.
    """
    return op.author, op.device_id, op.author_seq


def _claim(node: _Node) -> tuple[bool, bytes]:
    """Order ops of one number: a `leave` cannot be taken back by a second op, else the smaller id."""
    return not isinstance(node.op.body, Leave), node.op.op_id


def _forks(nodes: list[_Node]) -> tuple[tuple[Op, Op], ...]:
    """Return each pair of ops by one device with one number: the proof that it said two things."""
    first: dict[tuple[bytes, bytes, int], Op] = {}
    pairs = []
    for node in sorted(nodes, key=_claim):
        kept = first.setdefault(_number(node.op), node.op)
        if kept is not node.op:
            pairs.append((kept, node.op))
    return tuple(pairs)

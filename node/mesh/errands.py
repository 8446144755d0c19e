"""What is to be fetched, and how each peer has answered for it (docs/protocol.md section 10).

An errand is a set of blocks, those of one attachment or those that a peer offers a relay. A block has the
hash of its bytes for a name, is asked of one link at a time, and is in memory until it is whole: so whoever
sent false bytes is known, and nothing is kept before its hash holds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from node.wire.frames import MAX_PART_BYTES

REST = 15.0
"""Seconds that a peer without a block is not asked for that errand, at first; twice as long each time."""
MAX_REST = 600.0
MAX_BLOCKS = 128
"""Of one errand: an attachment has 64, and a peer may offer so many before we have fetched them."""
MAX_DRY = 3
"""Blocks in a row that a peer has not got before it rests: a relay may have some of an attachment."""


TAKE_OVER = 30.0
"""Seconds that a link has for a block before one that has nothing else to bring is asked for it; doubles."""


@dataclass(slots=True)
class Block:
    """One block: its parts so far, `since` when it is asked of whom, and which links have not got it."""

    name: bytes
    size: int
    asked: int = 0
    since: float = 0.0
    patience: float = TAKE_OVER
    parts: dict[int, bytes] = field(default_factory=dict, repr=False)
    without: set[int] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many parts it has."""
        return -(-self.size // MAX_PART_BYTES)

    def length(self, index: int) -> int:
        """Return the bytes of a part; 0 if there is no such part."""
        return max(0, min(MAX_PART_BYTES, self.size - index * MAX_PART_BYTES))


@dataclass(slots=True)
class _Manner:
    """How one link answers for one errand."""

    dry: int = 0
    rests_until: float = float("-inf")
    patience: float = REST


@dataclass(slots=True)
class Errand:
    """Blocks to fetch from nodes with the keys `holders`, relays and others; or `only` from one link.

    `free` are blocks that no link is asked for now, `addresses` where holders may be reached.
    """

    name: bytes
    blocks: dict[bytes, Block]
    free: deque[bytes]
    holders: frozenset[bytes] = frozenset()
    addresses: tuple[str, ...] = ()
    only: int | None = None
    manners: dict[int, _Manner] = field(default_factory=dict)

    def add(self, blocks: list[Block]) -> None:
        """More is to be brought."""
        for block in blocks:
            if block.name not in self.blocks and len(self.blocks) < MAX_BLOCKS:
                self.blocks[block.name] = block
                self.free.append(block.name)

    def rank(self, number: int, key: bytes, *, relay: bool) -> int | None:
        """Return 0 for a holder, 1 for a relay, 2 for others; None for who is not to be asked at all."""
        if self.only is not None:
            return 0 if number == self.only else None
        if key in self.holders:
            return 0
        return 1 if relay else 2

    def rests(self, number: int, *, now: float) -> bool:
        """Whether a link is not to be asked now."""
        manner = self.manners.get(number)
        return manner is not None and now < manner.rests_until

    def rest(self, number: int, *, now: float) -> None:
        """Leave a link alone for a while; after that it is asked for everything again."""
        manner = self.manners.setdefault(number, _Manner())
        manner.rests_until, manner.dry = now + manner.patience, 0
        manner.patience = min(MAX_REST, 2 * manner.patience)
        for block in self.blocks.values():
            block.without.discard(number)

    def shun(self, number: int) -> None:
        """Never ask a link again: it sent what the block is not."""
        self.manners.setdefault(number, _Manner()).rests_until = float("inf")

    def lacks(self, block: Block, number: int, *, now: float) -> None:
        """A link has not got a block."""
        manner = self.manners.setdefault(number, _Manner())
        if now < manner.rests_until:
            return  # asked before it rested: everything is asked again after that
        manner.dry += 1
        block.without.add(number)
        if manner.dry >= MAX_DRY or all(number in self.blocks[name].without for name in self.free):
            self.rest(number, now=now)

    def gave(self, number: int) -> None:
        """A link has sent a block."""
        manner = self.manners.get(number)
        if manner is not None:
            manner.dry, manner.patience = 0, REST

    def forget(self, number: int) -> None:
        """A link is gone."""
        self.manners.pop(number, None)
        for block in self.blocks.values():
            block.without.discard(number)

    def choose(self, number: int) -> Block | None:
        """Take the next block that nobody is asked for and this link may have."""
        for _ in range(len(self.free)):
            name = self.free.popleft()
            if number not in self.blocks[name].without:
                return self.blocks[name]
            self.free.append(name)
        return None

    def give_back(self, block: Block) -> None:
        """A block was not brought: what came of it is dropped, for it may be false."""
        block.asked = 0
        block.parts.clear()
        if block.name in self.blocks:
            self.free.appendleft(block.name)

    def next_try(self, *, now: float) -> float | None:
        """When a link that rests is to be asked again."""
        waits = [m.rests_until for m in self.manners.values() if now < m.rests_until < float("inf")]
        return min(waits, default=None)

"""Who is asked for which part, and what becomes of what they send (docs/protocol.md section 10).

Those who should have an attachment are asked first: its author's node and other members', then relays; others
only while none of these is linked. Each gets a block to bring, and the next one before the first is whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from node.clock import earliest
from node.crypto.attachment import bid
from node.errors import CryptoFault
from node.mesh.errands import Block, Errand
from node.mesh.spreading import Unasked
from node.mesh.visits import Visits
from node.wire.frames import Fetch, Part

WINDOW = 16
"""Parts asked of a link and not answered, 384 KiB; it begins with 2 and grows by one with each answer."""
FIRST_WINDOW = 2
AT_ONCE = 2
"""FETCHes that one frame of a peer can bring about."""
MAX_BLOCKS_OF_LINK = 2
"""Blocks of one link in memory; the second is begun while the first ends."""
MAX_BEGUN = 8
"""Parts of the second, while the first still comes or is written: who keeps one back has us hold no more."""
MAX_UNTAKEN = 8
"""Blocks that came and are not on disk yet, 8 MiB: a slow disk slows the asking."""
ANSWER_WITHIN = 20.0
"""Seconds without a part before a link's blocks are given to others."""
LOOK_AFTER = 0.005
"""Seconds after a change until all links are looked at: one frame never brings about frames on many."""
MAX_ERRANDS = 16
"""Of our own: more than are fetched at a time. Beside them there is one for each link that offers."""
MAX_OFFERED = 64
"""Blocks that are brought for others at a time, 64 MiB in memory: a relay has up to 256 links."""
OFFERED_WITHIN = 300.0
"""Seconds for a block that is brought for others: who sends it more slowly keeps others' from coming."""


@dataclass(slots=True)
class _Line:
    """One link: what it owes us."""

    number: int
    key: bytes
    relay: bool
    address: str
    dull: bool = False
    """It offered what it does not bring: nothing that it offers is asked for any more."""
    window: int = FIRST_WINDOW
    moved_at: float = 0.0
    owed: set[tuple[bytes, int]] = field(default_factory=set)
    untaken: int = 0
    """Blocks that it brought and that are not on disk yet."""
    errand: bytes = b""
    """What it offers a relay."""
    bringing: dict[bytes, tuple[Errand, Block]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Came:
    """A whole block, whose hash holds."""

    errand: bytes
    name: bytes
    data: bytes = field(repr=False)


class Fetching:
    """The errands, and the links that can be sent on them."""

    def __init__(self) -> None:
        self.visits = Visits()
        self._errands: dict[bytes, Errand] = {}
        self._lines: dict[int, _Line] = {}
        self._untaken: dict[bytes, _Line] = {}
        self.deadline: float | None = None

    def _soon(self, at: float | None) -> None:
        self.deadline = earliest(self.deadline, at)

    def seek(self, errand: Errand, *, now: float) -> None:
        """Begin an errand, or learn of one under way who else may have it."""
        self._soon(now + LOOK_AFTER)
        known = self._errands.get(errand.name)
        if errand.only is not None and not self._offers(errand.only):
            return
        if known is None:
            if errand.only is None and len(self._own) >= MAX_ERRANDS:
                return
            self._errands[errand.name] = errand
            if errand.only is not None:
                self._lines[errand.only].errand = errand.name
        else:
            known.holders |= errand.holders
            known.add([block for block in errand.blocks.values() if block.name not in self._untaken])
        if errand.only is None:
            self.visits.want(errand.name, errand.addresses, now=now)

    def _offers(self, number: int) -> bool:
        """Whether what a link offered may be asked of it: it may be gone by now."""
        line = self._lines.get(number)
        return line is not None and not line.dull

    @property
    def _own(self) -> list[Errand]:
        return [errand for errand in self._errands.values() if errand.only is None]

    def drop(self, name: bytes, *, now: float) -> None:
        """Give up an errand."""
        errand = self._errands.pop(name, None)
        if errand is None:
            return
        self.visits.done(name, now=now)
        self._soon(now + LOOK_AFTER)
        for line in self._lines.values():
            line.bringing = {n: (e, b) for n, (e, b) in line.bringing.items() if e is not errand}

    def taken(self, name: bytes, *, now: float) -> int | None:
        """A block that came is on disk, or given up; returns the link that brought it and can go on."""
        self._soon(now + LOOK_AFTER)
        line = self._untaken.pop(name, None)
        if line is None:
            return None
        line.untaken -= 1
        return line.number

    def opened(self, number: int, key: bytes, address: str, *, relay: bool, now: float) -> None:
        """A link is live."""
        if self._errands:
            self._soon(now + LOOK_AFTER)
        self._lines[number] = _Line(number, key, relay, address)
        if address:
            self.visits.opened(address, number, key)

    def closed(self, number: int, *, now: float) -> None:
        """A link is gone: others bring what it was to bring."""
        line = self._lines.pop(number, None)
        if line is None:
            return
        self._release(line)
        if line.address:
            self.visits.ended(line.address, now=now)
        if self._errands:
            self._soon(now + LOOK_AFTER)
        for errand in list(self._errands.values()):
            errand.forget(number)
            if errand.only == number:
                del self._errands[errand.name]

    def on_part(self, number: int, frame: Part, *, now: float) -> Came | None:
        """Take a part; returns the block that it completes.

        Raises:
            Unasked: If nobody asked for it.
            CryptoFault: If it cannot be that part, or the block is not what its name says; it is dropped.
        """
        line = self._lines[number]
        if (frame.object, frame.index) not in line.owed:
            raise Unasked("a PART that nobody asked for")
        line.owed.discard((frame.object, frame.index))
        line.moved_at = now
        line.window = min(WINDOW, line.window + 1)
        errand, block = line.bringing.get(frame.object, (None, None))
        if errand is None or block is None:
            return None  # given to somebody else meanwhile, or wanted no more
        if not frame.data:
            self._lacking(line, errand, block, now)
            return None
        if len(frame.data) != block.length(frame.index):
            raise self._lied(line, errand, block, now)
        block.parts[frame.index] = frame.data
        return None if len(block.parts) < block.count else self._whole(line, errand, block, now)

    def _whole(self, line: _Line, errand: Errand, block: Block, now: float) -> Came:
        data = b"".join(block.parts[index] for index in range(block.count))
        if bid(data) != block.name:
            raise self._lied(line, errand, block, now)
        del line.bringing[block.name], errand.blocks[block.name]
        errand.gave(line.number)
        if block.name not in self._untaken:
            self._untaken[block.name] = line
            line.untaken += 1
        if not errand.blocks and errand.only is not None:
            self._errands.pop(errand.name, None)
        return Came(errand.name, block.name, data)

    def _lied(self, line: _Line, errand: Errand, block: Block, now: float) -> CryptoFault:
        self._soon(now + LOOK_AFTER)
        del line.bringing[block.name]
        errand.give_back(block)
        errand.shun(line.number)
        for name, (other, held) in list(line.bringing.items()):
            if other is errand:
                del line.bringing[name]
                errand.give_back(held)
        if errand.only is not None:
            del self._errands[errand.name]
        return CryptoFault("a block that is not what its name says")

    def _lacking(self, line: _Line, errand: Errand, block: Block, now: float) -> None:
        self._soon(now + LOOK_AFTER)
        del line.bringing[block.name]
        errand.give_back(block)
        if errand.only is not None:  # it offered what it has not got
            errand.free.remove(block.name)
            del errand.blocks[block.name]
        else:
            errand.lacks(block, line.number, now=now)

    def _release(self, line: _Line) -> set[bytes]:
        """Take from a link what it was to bring; returns the errands concerned."""
        touched = set()
        for errand, block in line.bringing.values():
            errand.give_back(block)
            touched.add(errand.name)
        line.bringing.clear()
        return touched

    # -- asking -----------------------------------------------------------------------------------

    def ask(self, number: int, *, now: float) -> Iterator[Fetch]:
        """Yield what to ask of a link now, at most two frames."""
        line = self._lines.get(number)
        if line is None or not (self._errands or line.bringing):
            return
        for _ in range(AT_ONCE):
            block = self._next(line, now) if len(line.owed) < line.window else None
            if block is None:
                return
            if not line.owed:
                line.moved_at = now
            self._soon(line.moved_at + ANSWER_WITHIN)
            line.owed.add((block.name, block.asked))
            block.asked += 1
            yield Fetch(block.name, block.asked - 1)

    def _next(self, line: _Line, now: float) -> Block | None:
        ahead = line.untaken
        for _, block in line.bringing.values():
            while block.asked < (block.count if not ahead else min(block.count, MAX_BEGUN)):
                if (block.name, block.asked) not in line.owed:
                    return block
                block.asked += 1  # asked before it was given up: that answer will do
            ahead += 1
        if ahead >= MAX_BLOCKS_OF_LINK or len(self._untaken) >= MAX_UNTAKEN:
            return None
        for errand in self._for(line):
            chosen = self._choose(line, errand, now)
            if chosen is not None:
                chosen.since = now
                line.bringing[chosen.name] = (errand, chosen)
                return chosen if (chosen.name, 0) not in line.owed else self._next(line, now)
        return None

    def _for(self, line: _Line) -> Iterator[Errand]:
        """Yield the errands that a link can be sent on."""
        yield from self._own
        offered = self._errands.get(line.errand)
        if offered is not None and self._brought_for_others < MAX_OFFERED:
            yield offered

    @property
    def _brought_for_others(self) -> int:
        return sum(e.only is not None for line in self._lines.values() for e, _ in line.bringing.values())

    def _choose(self, line: _Line, errand: Errand, now: float) -> Block | None:
        if not self._may(line, errand, now):
            return None
        if not errand.free:
            return None if line.bringing else self._take_over(line, errand, now)
        chosen = errand.choose(line.number)
        if chosen is None and errand.only is None:  # it lacks all that is left
            errand.rest(line.number, now=now)
            self._soon(errand.next_try(now=now))
        return chosen

    def _take_over(self, line: _Line, errand: Errand, now: float) -> Block | None:
        """Have the last blocks brought by who has nothing to do, where another takes long for them."""
        for other in self._lines.values():
            for mine, block in other.bringing.values() if other is not line else ():
                late = mine is errand and now >= block.since + block.patience
                if late and line.number not in block.without:
                    del other.bringing[block.name]
                    block.patience *= 2
                    errand.give_back(block)
                    return errand.choose(line.number)
        return None

    def _may(self, line: _Line, errand: Errand, now: float) -> bool:
        """Whether a link is to be asked: others than holders and relays only where none of these is left."""
        rank = errand.rank(line.number, line.key, relay=line.relay)
        if rank is None or errand.rests(line.number, now=now):
            return False
        return rank < 2 or not self._has_better(errand, now)

    def _has_better(self, errand: Errand, now: float) -> bool:
        return any(
            errand.rank(line.number, line.key, relay=line.relay) in {0, 1}
            and not errand.rests(line.number, now=now)
            for line in self._lines.values()
        )

    # -- time -------------------------------------------------------------------------------------

    def _stranded(self, now: float) -> list[bytes]:
        """The errands that no holder or relay is linked for."""
        return [e.name for e in self._errands.values() if e.free and not self._has_better(e, now)]

    def due(self, *, now: float) -> list[str]:
        """Take their blocks from links that stopped answering; return the addresses to dial.

        After it every link is to be asked anew.
        """
        for line in self._lines.values():
            if line.bringing and now >= line.moved_at + ANSWER_WITHIN:
                for name in self._release(line):
                    self._rest(self._errands[name], line, now)
            elif self._too_slow(line, now):
                line.dull = True
                self._release(line)
                del self._errands[line.errand]
        stranded, linked = self._stranded(now), frozenset(line.key for line in self._lines.values())
        dials = self.visits.due(stranded, linked, now=now)
        late = [line.moved_at + ANSWER_WITHIN for line in self._lines.values() if line.bringing]
        again = [errand.next_try(now=now) for errand in self._errands.values()]
        slow = [at for line in self._lines.values() for at in _patience_ends(line) if at > now]
        self.deadline = earliest(
            self.visits.next_try(stranded, linked), self.visits.deadline, *late, *again, *slow
        )
        return dials

    @staticmethod
    def _too_slow(line: _Line, now: float) -> bool:
        """Whether a link takes too long for what it offered."""
        return any(e.only is not None and now >= b.since + OFFERED_WITHIN for e, b in line.bringing.values())

    def _rest(self, errand: Errand, line: _Line, now: float) -> None:
        if errand.only is None:
            errand.rest(line.number, now=now)
        else:
            del self._errands[errand.name]

    @property
    def numbers(self) -> list[int]:
        """The links, while there is something to fetch."""
        return list(self._lines) if self._errands else []


def _patience_ends(line: _Line) -> Iterator[float]:
    for errand, block in line.bringing.values():
        yield block.since + (block.patience if errand.only is None else OFFERED_WITHIN)


def errand_for(
    name: bytes,
    blocks: tuple[tuple[bytes, int], ...],
    *,
    holders: frozenset[bytes] = frozenset(),
    addresses: tuple[str, ...] = (),
    only: int | None = None,
) -> Errand:
    """Make an errand of blocks given as (name, bytes)."""
    made = {block: Block(block, size) for block, size in blocks}
    return Errand(name, made, deque(made), holders, addresses, only)

"""One day compared with a peer by ranges: whose turn it is, and when it is enough (docs/protocol.md 6).

Whatever a peer says, a comparison ends within MAX_MESSAGES messages either way and MAX_SPENT bytes. Ended
early it has still shown something, and the next round goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.mesh import ranges
from node.mesh.index import ID_BYTES, Items
from node.mesh.packed import Packed
from node.mesh.ranges import MAX_MESSAGE, Found
from node.wire.frames import MAX_NEG_BYTES
from node.wire.negentropy import END, Bound

MAX_MESSAGES = 64
"""Messages of the opener in one comparison: 16 to the fourth is 65,536, so honest sets need far fewer."""
MAX_SPENT = 4 << 20
"""Bytes of one comparison, both ways: all ids of 100,000 envelopes and what finds them."""
LEAST_MESSAGE = 8_192
"""Where the opener's messages stop shrinking when the answers to them do not fit into one."""
CROWDED = MAX_MESSAGE * 3 // 4
"""An answer of this size has probably left something out."""
WORK_PER_S = 20_000
"""Ranges a second that we look up for one peer in the long run, each some 10 us."""
WORK_BURST = MAX_SPENT // 16
"""Ranges at once: a whole comparison."""
_TIME_BYTES = 8
_PLACE_BYTES = _TIME_BYTES + ID_BYTES
"""What is remembered of an entry that the peer lacks: its time and the beginning of its id."""


@dataclass(slots=True)
class Opened:
    """A comparison that we opened, because the peer asked for a day in which we differ."""

    day: int
    end: Bound = END
    begun: bool = False
    limit: int = MAX_MESSAGE
    """Bytes of a message of ours; a peer may take less than we would say."""
    _have: Packed = field(default_factory=lambda: Packed(_PLACE_BYTES), repr=False)
    _messages: int = 0
    _spent: int = 0

    def begin(self, items: Items) -> bytes:
        """Return the first message."""
        self.begun = True
        return self._count(ranges.begin(items, self.end, limit=self.limit))

    def go_on(self, items: Items, message: bytes) -> tuple[bytes | None, list[bytes]]:
        """Take an answer; return the next message, None if all is known or it is enough, and ids to ask for.

        Raises:
            DecodeError: If the answer is not well-formed; nothing is noted.
        """
        found = Found()
        if len(message) > CROWDED:
            self.limit = max(LEAST_MESSAGE, self.limit // 2)  # finer cuts than can be answered are in vain
        room = ranges.MAX_HAVE - len(self._have)
        said = ranges.go_on(items, message, found, limit=self.limit, room=room)
        self._have.extend(ts_ms.to_bytes(_TIME_BYTES, "big") + eid[:ID_BYTES] for ts_ms, eid in found.have)
        self._spent += len(message)
        enough = self._messages >= MAX_MESSAGES or self._spent + 2 * MAX_NEG_BYTES > MAX_SPENT
        enough = enough or len(self._have) >= ranges.MAX_HAVE
        return None if said is None or enough else self._count(said), list(found.need)

    def lacked(self) -> Packed:
        """Return the beginnings of the ids that the peer lacks, by time and id, each once."""
        return Packed(ID_BYTES, [place[_TIME_BYTES:] for place in sorted(set(self._have))])

    def _count(self, message: bytes) -> bytes:
        self._messages += 1
        self._spent += len(message)
        return message


@dataclass(slots=True)
class Answering:
    """A comparison that the peer opened about a day that we asked for."""

    day: int
    waiting: bytes | None = field(default=None, repr=False)
    """A message that has no answer yet; the peer has to wait for it before it says more."""
    limit: int = MAX_MESSAGE
    _messages: int = 0
    _spent: int = 0

    def take(self, message: bytes) -> bool:
        """Keep a message until there is room to answer; False if it comes out of turn, or is too much."""
        self._messages += 1
        self._spent += len(message)
        if self.waiting is not None or self._messages > MAX_MESSAGES or self._spent > MAX_SPENT:
            return False
        self.waiting = message
        return True

    def answer(self, items: Items) -> bytes:
        """Return what to say to the message that waits.

        Raises:
            DecodeError: If it is not well-formed.
        """
        message, self.waiting = self.waiting, None
        assert message is not None
        said = ranges.answer(items, message, limit=self.limit)
        self._spent += len(said)
        return said

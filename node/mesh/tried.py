"""Days that stay different although a peer has given all it will: not asked for again so soon.

What was evicted counts as accepted and cannot be sent any more, so two honest nodes may differ for the whole
horizon; and a peer may claim ids that do not exist (docs/protocol.md section 6).
"""

from __future__ import annotations

from collections import OrderedDict

AGAIN_AFTER = 600.0
"""Seconds before the same two sets are compared once more."""
MAX_TRIED = 128
"""Days remembered for one peer: three times what two nodes can speak of."""


class Tried:
    """What was asked of one peer; a state is whatever identifies both sets of a day."""

    def __init__(self) -> None:
        self._asked: dict[int, bytes] = {}
        self._answered: OrderedDict[int, tuple[bytes, float]] = OrderedDict()

    def ask(self, day: int, state: bytes, *, now: float) -> bool:
        """Whether to ask for a day; False if the peer has answered the same a short while ago."""
        known = self._answered.get(day)
        if known is not None and known[0] == state and now < known[1] + AGAIN_AFTER:
            return False
        if day in self._asked or len(self._asked) < MAX_TRIED:
            self._asked[day] = state
        return True

    def answered(self, day: int, *, now: float) -> None:
        """The peer has given what it has of a day that was asked for."""
        state = self._asked.pop(day, None)
        if state is not None:
            self._answered[day] = state, now
            self._answered.move_to_end(day)
            if len(self._answered) > MAX_TRIED:
                self._answered.popitem(last=False)

    def failed(self) -> None:
        """Something that a peer said to have did not come in time: ask for all of it again."""
        self._asked.clear()
        self._answered.clear()

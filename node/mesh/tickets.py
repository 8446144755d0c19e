"""Which link and session a page of the store was read for."""

from __future__ import annotations

from node.mesh.ports import ByIds, ByTime, ReadHeld


class Tickets:
    """The reads that are under way; a number is used once."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, int]] = {}
        self._last = 0

    def order(self, number: int, session: int, spec: ByIds | ByTime) -> ReadHeld:
        """Return the order to read something for a session of a link."""
        self._last += 1
        self._open[self._last] = (number, session)
        return ReadHeld(self._last, spec)

    def take(self, ticket: int) -> tuple[int, int]:
        """Return the link and session of an answer; no link if nobody asked."""
        return self._open.pop(ticket, (-1, 0))

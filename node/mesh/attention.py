"""The links of a node, and which of them something has happened to since they were last looked at.

A frame concerns one link, or a few that it is passed on over. Only these are asked what they have to send and
when they want to be woken; all are asked that at a deadline. So a node with 64 links takes a frame in as fast
as one with two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from node.clock import earliest
from node.mesh.neighbour import Neighbour


class Attention(dict[int, Neighbour]):
    """The links by their numbers; whatever queues a frame on one, or lets it be woken sooner, touches it."""

    def __init__(self) -> None:
        super().__init__()
        self._touched: set[int] = set()
        self._soonest: float | None = None  # of those not touched; too early at worst

    def __setitem__(self, number: int, near: Neighbour) -> None:
        """A link is there: it is looked at, now and whenever it is touched."""
        super().__setitem__(number, near)
        near.link.touch = partial(self._touched.add, number)
        self._touched.add(number)

    def touch_all(self) -> None:
        """Look at every link."""
        self._soonest = None
        self._touched.update(self)

    def due(self, *, now: float) -> list[Neighbour]:
        """Return the links whose time has come, and those that catch up; they are looked at, too."""
        self._soonest, found = None, []
        for number, near in self.items():
            deadline = near.deadline
            if now >= deadline or near.catches_up:
                self._touched.add(number)
                found.append(near)
            else:
                self._soonest = earliest(self._soonest, deadline)
        return found

    def touched(self) -> Iterator[Neighbour]:
        """Yield the links to look at, by number, and whatever is touched meanwhile; none is left then."""
        while self._touched:
            seen = sorted(self._touched)
            self._touched.clear()
            for number in seen:
                near = self.get(number)
                if near is not None:
                    yield near
                    self._touched.discard(number)
                    self._soonest = earliest(self._soonest, near.deadline)

    @property
    def deadline(self) -> float | None:
        """When some link wants to be looked at, or earlier."""
        soon = self._soonest
        for number in self._touched:
            near = self.get(number)
            if near is not None:
                soon = earliest(soon, near.deadline)
        return soon

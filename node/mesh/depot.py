"""What a relay holds of others' attachments: sealed blocks, for a day, within a quota (docs/protocol.md 10).

A block is held under a hash of its bytes, so junk costs its sender the sending of it, and no more than its
share of the room: what is full loses the oldest of whoever has most there.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.clock import DAY_MS

QUOTA = 1024 * 1024 * 1024
"""Bytes that a relay holds; other nodes hold none."""
SHARE = 8
"""One node has at most an eighth of it: 128 MiB, two of the largest attachments."""
HELD_MS = DAY_MS
LEAST = 131_072
"""What a small block counts: one node has 1,024 at most, a quarter of a MiB of what is remembered of them."""


@dataclass(frozen=True)
class Held:
    """A block that is held: its bytes, since when, for the node with which key."""

    size: int
    since_ms: int
    giver: bytes

    @property
    def charge(self) -> int:
        """What it counts: small ones more than they are, so that their number is bounded too."""
        return max(self.size, LEAST)


class Depot:
    """The blocks held for others, oldest first."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self.held: dict[bytes, Held] = {}
        self._used: dict[bytes, int] = {}

    @property
    def used(self) -> int:
        """Bytes that count."""
        return sum(self._used.values())

    def willing(self, blocks: tuple[tuple[bytes, int], ...], giver: bytes) -> tuple[tuple[bytes, int], ...]:
        """Return which of the offered blocks may be fetched: what is here is not, nor what is too much."""
        room, chosen = self.quota // SHARE - self._used.get(giver, 0), list[tuple[bytes, int]]()
        for name, size in blocks:
            room -= max(size, LEAST)
            if room < 0:
                break
            if name not in self.held:
                chosen.append((name, size))
        return tuple(chosen)

    def keep(self, name: bytes, held: Held) -> list[bytes] | None:
        """Hold a block; returns those that go for it, None if it is not held itself and nothing goes."""
        mine = self._used.get(held.giver, 0) + held.charge
        if name in self.held or mine > self.quota // SHARE:
            return None
        used, left, going = dict(self._used), self.quota - self.used, dict[bytes, None]()
        while left < held.charge:
            most = max(used, key=lambda key: used[key])
            if used[most] <= mine:
                return None
            oldest = next(n for n, one in self.held.items() if one.giver == most and n not in going)
            used[most] -= self.held[oldest].charge
            left += self.held[oldest].charge
            going[oldest] = None
        for old in going:
            self.drop(old)
        self.restore(name, held)
        return [*going]

    def restore(self, name: bytes, held: Held) -> None:
        """Take back what is held."""
        self.held[name] = held
        self._used[held.giver] = self._used.get(held.giver, 0) + held.charge

    def drop(self, name: bytes) -> None:
        """Hold a block no longer."""
        held = self.held.pop(name, None)
        if held is not None:
            self._used[held.giver] -= held.charge
            if not self._used[held.giver]:
                del self._used[held.giver]

    def expired(self, now_ms: int) -> list[bytes]:
        """Return what has been held for long enough; a clock that was set back forgets nothing too early."""
        return [name for name, held in self.held.items() if abs(now_ms - held.since_ms) > HELD_MS]
